"""How far back a model knows: one symbol at many distances, and who can still name it.

The task is `data.synthetic.delayed`: a key, fillers, a query, and the key again. One model meets
all distances at once, like a text in which some words depend on the one before and others on one
long ago, and is scored at each.

What "held out" means differs. A network must generalise over the fillers, so its test examples are
of contents that training cannot draw. An n-gram cannot: a context of its full length that was never
counted is as good as none, and one whose other keys alone were counted is worse than none. So an
n-gram reads a text and is tested on another text, drawn alike and independently of it: keys and
fillers are uniform in both, and the key is independent of all that lies behind it.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nlp_models import ngram
from nlp_models.analysis.solving import Problem
from nlp_models.data.synthetic import delayed, draws, vocab_size
from nlp_models.data.synthetic.delays import QUERY
from nlp_models.errors import require


def problem(distances: Sequence[int], *, alphabet: int, fillers: int) -> Problem:
    """Symbols at several distances as one problem of `solving`.

    Args:
      distances: D of them, each at least 1; the example at index i is of distance i mod D.
      alphabet: A, different keys.
      fillers: F.

    Returns:
      The problem: rows of max(distances) tokens, of which those behind the query are 0 and count
      for nothing. The distance of each row is that of the place that is scored, plus one.
    """
    length = max(distances, default=0)

    def sample(seed: int, index: np.ndarray, *, split: str = 'train') -> draws.Examples:
        shape = (len(index), length)
        whole = draws.Examples(
            *(np.zeros(shape, np.int32) for _ in range(2)),
            *(np.zeros(shape, np.float32) for _ in range(2)),
        )
        for i, distance in enumerate(distances):
            rows = np.flatnonzero(index % len(distances) == i)
            if not rows.size:
                continue
            setting = {'distance': distance, 'alphabet': alphabet, 'fillers': fillers}
            some = delayed(seed, index[rows], split=split, **setting)
            for ours, theirs in zip(whole, some, strict=True):
                ours[rows, :distance] = theirs
        return whole

    setting = {'distance': length, 'alphabet': alphabet, 'fillers': fillers}
    return Problem(sample, length, vocab_size('delayed', setting))


def right(model: Any) -> Callable[[Any, dict], jax.Array]:
    """Whether a model says the right token at the place of each row that is scored.

    Args:
      model: a language model.

    Returns:
      `(params, batch) -> right`, float32 `[B]` of 0 and 1, for `training.runs.evaluate`; the batch
      holds the fields of `Examples`, with one scored place in each row.
    """

    def answer(params: Any, batch: dict) -> jax.Array:
        tokens = batch['inputs']
        _, logits = model.apply(params, model.start(params, tokens.shape[0]), tokens)
        hit = (jnp.argmax(logits, axis=-1) == batch['targets']).astype(jnp.float32)
        return jnp.sum(hit * batch['scored'], axis=1)

    return answer


def by_distance(hits: np.ndarray, distances: Sequence[int]) -> dict[int, list[float]]:
    """Accuracy at each distance.

    Args:
      hits: 0 or 1, `[R, B]`, of R runs and the examples 0 to B − 1 of `problem`.
      distances: those of the problem.

    Returns:
      Distance to the share of its examples that are right, one value a run.

    Raises:
      InputError: where some distance has no example.
    """
    number = len(distances)
    enough = hits.shape[1] >= number
    require(enough, 'examples', hits.shape[1], f'must be at least one a distance, {number}')
    return {d: hits[:, i::number].mean(axis=1).tolist() for i, d in enumerate(distances)}


def text(
    seed: int, distances: Sequence[int], number: int, *, alphabet: int, fillers: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Examples of `delayed` in a random order, each with its answer, as one text.

    Unlike there, every content may occur: keys and fillers are uniform and independent.

    Args:
      seed: of NumPy's generator.
      distances: each at least 1.
      number: of examples of each.
      alphabet: A.
      fillers: F.

    Returns:
      (tokens int32 `[length]`, where the answers are `[examples]`, their distances `[examples]`).
    """
    random = np.random.default_rng(seed)
    order = random.permutation(np.repeat(np.asarray(distances), number))
    ends = np.cumsum(order + 1)  # an example of distance d has d tokens and the answer
    answers = ends - 1
    keys = random.integers(1, 1 + alphabet, len(order), dtype=np.int32)
    tokens = random.integers(1 + alphabet, 1 + alphabet + fillers, ends[-1], dtype=np.int32)
    tokens[answers[order > 1] - 1] = QUERY  # which a distance of 1 leaves out
    tokens[answers - order] = keys
    tokens[answers] = keys
    return tokens, answers, order


def of_ngram(
    order: int, seed: int, distances: Sequence[int], number: int, *, alphabet: int, fillers: int
) -> dict[int, float]:
    """Accuracy of a fitted n-gram at each distance, on a text independent of the one it read.

    A distance of 1 has texts of its own: without a query, nothing says that the key comes next.

    Args:
      order: n.
      seed: of the texts.
      distances: each at least 1.
      number: of examples of each, in the text that is read and in the one that is tested.
      alphabet: A; by chance 1/A are right.
      fillers: F.

    Returns:
      Distance to accuracy.
    """
    setting = {'alphabet': alphabet, 'fillers': fillers}
    size = vocab_size('delayed', {'distance': max(distances), **setting})
    model = ngram.build(order, size)
    found = {}
    for some in ([d for d in distances if d == 1], [d for d in distances if d > 1]):
        if not some:
            continue
        read, _, _ = text(2 * seed, some, number, **setting)
        tested, answers, which = text(2 * seed + 1, some, number, **setting)
        params = ngram.fit(read, order=order, vocab_size=size)
        _, logits = jax.jit(model.apply)(params, model.start(params, 1), tested[None, :-1])
        guessed = np.argmax(np.asarray(logits)[0], axis=-1)
        hits = guessed[answers - 1] == tested[answers]
        found |= {d: float(hits[which == d].mean()) for d in some}
    return {d: found[d] for d in distances}


def windowed_reach(num_layers: int, window: int) -> int:
    """The farthest distance that a transformer with a window sees: L (w − 1) + 1 tokens.

    Each of L layers lets a place read w − 1 places before it; the last token read is at a distance
    of 1 from the one to predict. An n-gram of order n reaches n − 1.

    Args:
      num_layers: L.
      window: w, tokens that a token sees with itself.

    Returns:
      The distance, in tokens.
    """
    return num_layers * (window - 1) + 1


def reach(model: Any, params: Any, tokens: np.ndarray, others: np.ndarray) -> int:
    """The farthest distance at which another token changes what is predicted, by trying each.

    Args:
      model: a language model.
      params: its parameters.
      tokens: one row `[T]`.
      others: what stands in place of each token `[T]`, in no place the same.

    Returns:
      The largest d for which the logits behind the last token change in any bit when the d-th
      token before the one to predict does; 0 where none does.
    """
    length = len(tokens)
    rows = np.where(np.eye(length, dtype=bool), others, tokens)
    rows = np.concatenate([tokens[None], rows]).astype(np.int32)  # [1 + T, T]
    _, logits = jax.jit(model.apply)(params, model.start(params, length + 1), rows)
    last = np.asarray(logits)[:, -1]
    changed = np.flatnonzero((last[1:] != last[0]).any(axis=-1))
    return length - int(changed[0]) if changed.size else 0
