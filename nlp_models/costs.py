"""What models cost, by counting: parameters, floating-point operations, bytes.

Operations are those of matrix products, two for each multiplication with its addition; what is done
element by element (gates, softmax, normalisation, optimizer) is left out, as is usual. A backward
pass has two products for each one forward, with what is recomputed left out too: the count is that
of the mathematics, not of an implementation, so that FLOP/s compare between implementations. XLA's
own count cannot serve: it has the body of a scan once, whatever its length.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from nlp_models import trees

FORWARD, FORWARD_BACKWARD = 1, 3  # passes, each as many operations as the forward pass


class Recurrence(NamedTuple):
    """A cell over a sequence, as far as its cost depends on it.

    Attributes:
      batch_size: B.
      length: T.
      input_size: D.
      hidden_size: N.
      gates: G.
      recurrent_gates: for how many of the gates h is multiplied with a matrix: G of the gated
        cells, 0 of the cells that are linear in their carry.
      carries: arrays `[B, N]` carried.
    """

    batch_size: int
    length: int
    input_size: int
    hidden_size: int
    gates: int
    recurrent_gates: int
    carries: int = 1

    @property
    def tokens(self) -> int:
        """B·T."""
        return self.batch_size * self.length

    @property
    def state_size(self) -> int:
        """N′: N of all the arrays carried."""
        return self.carries * self.hidden_size


def count_parameters(model: Any) -> int:
    """How many parameters a model of any kind has, by its `init`; none is made."""
    return trees.count(jax.eval_shape(model.init, jax.random.key(0)))


def closest_size(count: Callable[[int], int], target: int) -> int:
    """The size n ≥ 1 for which `count(n)` comes closest to a target.

    Args:
      count: rises with n.
      target: at least 1.

    Returns:
      n.
    """
    low, high = 1, 2
    while count(high) < target:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if count(middle) < target else (low, middle)
    return min((low, high), key=lambda n: abs(count(n) - target))


def input_flops(r: Recurrence) -> float:
    """Of x U for all time steps: 2 · B·T · D · G·N."""
    return 2.0 * r.tokens * r.input_size * r.gates * r.hidden_size


def step_flops(r: Recurrence) -> float:
    """Of the recurrent products of all time steps: 2 · B·T · N · G_W·N."""
    return 2.0 * r.tokens * r.hidden_size * r.recurrent_gates * r.hidden_size


def sequential_flops(r: Recurrence, passes: int = FORWARD) -> float:
    """One step after the other: x U and h W of every step, the same for any hand-written backward.

    Args:
      r: the recurrence.
      passes: `FORWARD` or `FORWARD_BACKWARD` (the gradients of x, the parameters and the carry).

    Returns:
      FLOPs.
    """
    return passes * (input_flops(r) + step_flops(r))


def combinations(length: int) -> int:
    """How many pairs `lax.associative_scan` combines over T elements: just under 2 T.

    It combines neighbours, scans the T // 2 results, and combines those with what lies between:
    C(T) = ⌊T/2⌋ + C(⌊T/2⌋) + ⌈T/2⌉ − 1, C(1) = 0.
    """
    if length < 2:
        return 0
    half = length // 2
    return half + combinations(half) + (length - half - 1)


def associative_flops(r: Recurrence, passes: int = FORWARD) -> float:
    """A cell linear in its carry, all steps at once: x U, and the products of the scan.

    The scan's are counted, although element by element, because they are what is done instead of
    the recurrence: a₁ a₂ and a₂ b₁ + b₂, 3 for each component and combination, once forward and
    once backward.

    Args:
      r: the recurrence.
      passes: `FORWARD` or `FORWARD_BACKWARD`.

    Returns:
      FLOPs.
    """
    solves = 1 if passes == FORWARD else 2
    solve = 3.0 * r.batch_size * r.state_size * combinations(r.length)
    return passes * input_flops(r) + solves * solve


def newton_flops(
    r: Recurrence, iterations: int, *, diagonal: bool = False, passes: int = FORWARD
) -> float:
    """Newton's iteration for all steps at once (Lim et al. 2024), x U once before it.

    An iteration evaluates the cell at all steps, its Jacobians (2 · N · G_W·N a step, as written
    out by hand), and solves the linear recurrence: 2 N′³ + 2 N′² a combination with full Jacobians,
    3 N′ with diagonal ones. The gradient takes one solve with full Jacobians; with diagonal ones as
    many as the values did, about. Then there is one backward pass of the cell at all steps.

    Args:
      r: the recurrence.
      iterations: taken.
      diagonal: whether the Jacobians' diagonals serve (quasi-DEER).
      passes: `FORWARD` or `FORWARD_BACKWARD`.

    Returns:
      FLOPs.
    """
    n = float(r.state_size)
    one = 3 * n if diagonal else 2 * n**3 + 2 * n**2
    solve = r.batch_size * combinations(r.length) * one
    forward = input_flops(r) + iterations * (2 * step_flops(r) + solve)
    if passes == FORWARD:
        return forward
    backward_solves = iterations if diagonal else 1
    return forward + backward_solves * solve + 2 * (input_flops(r) + step_flops(r))


def attended_pairs(length: int, *, causal: bool = True, window: int = 0) -> int:
    """How many (query, key) pairs attention of a sequence to itself has to look at.

    Args:
      length: T.
      causal: whether a query sees only keys up to itself.
      window: how many keys it sees in a direction, its own among them; 0 for all.

    Returns:
      Pairs, at most T².
    """
    w = min(window, length) if window else length
    below = w * length - w * (w - 1) // 2  # keys at or before the query
    return below if causal else 2 * below - length


def attention_flops(
    batch_size: int,
    length: int,
    width: int,
    *,
    causal: bool = True,
    window: int = 0,
    passes: int = FORWARD,
) -> float:
    """Q Kᵀ and the product with V, of the pairs that are not masked: 4 · B · pairs · D.

    Args:
      batch_size: B.
      length: T.
      width: D, of all heads together.
      causal: see `attended_pairs`.
      window: see `attended_pairs`.
      passes: `FORWARD` or `FORWARD_BACKWARD`.

    Returns:
      FLOPs.
    """
    pairs = attended_pairs(length, causal=causal, window=window)
    return passes * 4.0 * batch_size * pairs * width


def attention_layer_flops(
    batch_size: int, length: int, width: int, *, window: int = 0, passes: int = FORWARD
) -> float:
    """Causal self-attention with its projections Q, K, V and output: 8 · B·T · D² more."""
    projections = passes * 8.0 * batch_size * length * width**2
    return projections + attention_flops(batch_size, length, width, window=window, passes=passes)


def transformer_flops(
    batch_size: int,
    length: int,
    *,
    width: int,
    num_layers: int,
    vocab_size: int,
    feed_forward_size: int = 0,
    window: int = 0,
    passes: int = FORWARD_BACKWARD,
) -> float:
    """A decoder-only transformer's products: L layers of attention and feed-forward, and the head.

    Args:
      batch_size: B.
      length: T.
      width: D.
      num_layers: L.
      vocab_size: V.
      feed_forward_size: F; 0 for 4 D.
      window: see `attended_pairs`.
      passes: `FORWARD_BACKWARD` for a train step, whose optimizer has no products.

    Returns:
      FLOPs.
    """
    tokens = batch_size * length
    layer = attention_layer_flops(batch_size, length, width, window=window, passes=passes)
    layer += passes * 4.0 * tokens * width * (feed_forward_size or 4 * width)
    return num_layers * layer + passes * 2.0 * tokens * width * vocab_size


# What a forward and backward pass holds at once, in float32: to tell beforehand what will not fit.
# Each is fitted to what XLA plans for the compiled functions on a CPU and is within a factor of
# three of it (a test says so). `trees` has what parameters take; they are small beside these.


def sequential_bytes(r: Recurrence) -> float:
    """The inputs, the gates of all steps and their gradients: 4 · B·T · (3 D + 2 N + 3 G·N)."""
    return 4.0 * r.tokens * (3 * r.input_size + (2 + 3 * r.gates) * r.hidden_size)


def associative_bytes(r: Recurrence) -> float:
    """The same, and the scan's own arrays, about eight `[B, T, N]` at once."""
    return sequential_bytes(r) + 4.0 * r.tokens * 8 * r.state_size


def newton_bytes(r: Recurrence, *, diagonal: bool = False) -> float:
    """The same, and the Jacobians: about six `[B, T, N′, N′]` at once, or `[B, T, N′]`."""
    entries = 8 * r.state_size if diagonal else 6 * r.state_size**2
    return sequential_bytes(r) + 4.0 * r.tokens * entries


def attention_bytes(
    batch_size: int, length: int, width: int, num_heads: int, *, plain: bool
) -> float:
    """A layer of self-attention: about twelve `[B, T, D]`, and plainly three `[B, H, T, T]`."""
    scores = 3.0 * batch_size * num_heads * length**2 if plain else 0.0
    return 4.0 * (12.0 * batch_size * length * width + scores)
