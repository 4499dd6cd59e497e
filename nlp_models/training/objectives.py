"""What is minimised: functions of parameters, carried state and batch that return sums.

All have the form `(params, carry, batch, key=None) -> (Sums, carry)`; a key turns dropout on, and
the carry is None but for language models whose state is handed from batch to batch. Sums and
weights are returned apart and divided once, after everything has been added up over microbatches
and devices: a mean of means is wrong as soon as one of them holds fewer tokens.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from nlp_models.heads import pool
from nlp_models.types import LanguageModel, Seq2Seq, SequenceModel, TextEncoder

Objective = Callable[..., tuple[Any, Any]]  # (Sums, or what else an evaluation counts; carry)


class Sums(NamedTuple):
    """A loss summed over tokens, and how many they were.

    Attributes:
      loss: Σ weight · loss, in nats.
      weight: Σ weight, in tokens (of contrastive training, in pairs).
    """

    loss: Float[Array, '']
    weight: Float[Array, '']


class Hits(NamedTuple):
    """What an evaluation counts besides the loss.

    Attributes:
      loss: as in `Sums`.
      weight: as in `Sums`.
      correct: Σ weight where the likeliest token (or partner) is the right one.
      exact: rows of which every token is.
      rows: rows that have any token with a weight.
    """

    loss: Float[Array, '']
    weight: Float[Array, '']
    correct: Float[Array, '']
    exact: Float[Array, '']
    rows: Float[Array, '']


def cross_entropy(logits: Float[Array, 'B T V'], targets: Int[Array, 'B T']) -> Float[Array, 'B T']:
    """−log softmax(logits)[target], in nats.

    Args:
      logits: `[B, T, V]` float32.
      targets: `[B, T]`, in [0, V).

    Returns:
      `[B, T]` float32; NaN where a target is out of range.
    """
    # Not by index: the gradient of that is a scatter, one element after the other on a CPU.
    hit = targets[..., None] == jnp.arange(logits.shape[-1])
    picked = jnp.sum(jnp.where(hit, logits, 0), axis=-1)
    known = (targets >= 0) & (targets < logits.shape[-1])
    return jnp.where(known, jax.nn.logsumexp(logits, axis=-1) - picked, jnp.nan)


def count_hits(
    logits: Float[Array, 'B T V'],
    targets: Int[Array, 'B T'],
    weights: Float[Array, 'B T'],
    whole: Bool[Array, 'B'] | None = None,
) -> Hits:
    """The sums of an evaluation.

    A row is exact where the likeliest token is the right one at every place that has a weight.
    Where the model read the right tokens before each place, greedy decoding writes just such rows.

    Args:
      logits: `[B, T, V]` float32.
      targets: `[B, T]`.
      weights: `[B, T]`, 0 or 1.
      whole: which rows hold all of what is to be written `[B]`; the others are not exact.

    Returns:
      The sums.
    """
    right = (jnp.argmax(logits, axis=-1) == targets).astype(weights.dtype)
    counted = jnp.any(weights > 0, axis=1)
    exact = counted & jnp.all((right > 0) | (weights == 0), axis=1)
    exact = exact if whole is None else exact & whole
    return Hits(
        loss=jnp.sum(cross_entropy(logits, targets) * weights),
        weight=jnp.sum(weights),
        correct=jnp.sum(right * weights),
        exact=jnp.sum(exact.astype(jnp.float32)),
        rows=jnp.sum(counted.astype(jnp.float32)),
    )


def language_modelling(model: LanguageModel, *, dropout: bool = False) -> Objective:
    """The next token's cross-entropy.

    Args:
      model: the model.
      dropout: whether the key is handed to the model.

    Returns:
      `(params, carry, batch, key) -> (Sums, carry)`. The batch holds `tokens` `[B, T + 1]`; with
      `weights` `[B, T]` the predictions count by these; with `restart` `[B]` the rows where it is
      not zero begin from `start` instead of from the carry. A carry of None begins there too, and
      then None is returned.
    """

    def objective(params, carry, batch, key=None):
        tokens = batch['tokens']
        state = model.start(params, tokens.shape[0])
        if carry is not None:
            restart = batch['restart']

            def pick(fresh, carried):
                return jnp.where(restart.reshape(-1, *[1] * (fresh.ndim - 1)) != 0, fresh, carried)

            state = jax.tree.map(pick, state, carry)
        state, logits = model.apply(params, state, tokens[:, :-1], key=key if dropout else None)
        nats = cross_entropy(logits, tokens[:, 1:])
        weights = batch.get('weights', jnp.ones_like(nats))
        # The gradient stops at the state handed over: truncated back-propagation through time.
        carry = None if carry is None else jax.lax.stop_gradient(state)
        return Sums(jnp.sum(nats * weights), jnp.sum(weights)), carry

    return objective


def labelling(model: LanguageModel, *, count: bool = False) -> Objective:
    """The cross-entropy of a label at each place of what is read, not of the next token.

    Args:
      model: the model; its logits at a place are of that place's label.
      count: give `Hits`, over the places that are scored, in place of `Sums`.

    Returns:
      An objective over batches of `inputs` and `targets` `[B, T]` int32, `weights` `[B, T]` of the
      loss and `scored` `[B, T]`, 1 at the places that count (`data.synthetic.Examples`).
    """

    def objective(params, carry, batch, key=None):
        del carry, key
        inputs, targets = batch['inputs'], batch['targets']
        _, logits = model.apply(params, model.start(params, inputs.shape[0]), inputs)
        if count:
            return count_hits(logits, targets, batch['scored']), None
        nats = cross_entropy(logits, targets)
        return Sums(jnp.sum(nats * batch['weights']), jnp.sum(batch['weights'])), None

    return objective


def regression(model: SequenceModel) -> Objective:
    """The squared error of one number that is known once the whole row has been read.

    Args:
      model: from vectors to vectors of width 1 (`models.build_vector_model`).

    Returns:
      An objective over batches of `inputs` `[B, T, C]` and `targets` `[B]`: the squared errors,
      summed, and the number of rows.
    """

    def objective(params, carry, batch, key=None):
        del carry, key
        inputs = batch['inputs']
        _, y = model.apply(params, model.start(params, inputs.shape[0]), inputs)
        errors = y[:, -1, 0] - batch['targets']
        return Sums(jnp.sum(jnp.square(errors)), jnp.asarray(float(len(errors)))), None

    return objective


def masked_language_modelling(
    model: TextEncoder, *, dropout: bool = False, count: bool = False
) -> Objective:
    """The cross-entropy of the tokens that were hidden (Devlin et al. 2019, section 3.1).

    Args:
      model: the model, with a masked-token head.
      dropout: whether the key is handed to the model.
      count: give `Hits` in place of `Sums`.

    Returns:
      An objective over batches of `tokens` `[B, S]`, some of them hidden, `targets` `[B, S]` and
      `weights` `[B, S]`, 1 where a token is to be guessed; with `lengths` `[B]` where rows end.

    Raises:
      ValueError: for a model without that head.
    """
    if model.logits is None:
        raise ValueError('the model has no masked-token head')
    to_logits = model.logits

    def objective(params, carry, batch, key=None):
        del carry
        key = key if dropout else None
        y = model.encode(params, batch['tokens'], lengths=batch.get('lengths'), key=key)
        logits = to_logits(params, y)
        targets, weights = batch['targets'], batch['weights']
        if count:
            return count_hits(logits, targets, weights), None
        nats = cross_entropy(logits, targets)
        return Sums(jnp.sum(nats * weights), jnp.sum(weights)), None

    return objective


def sequence_to_sequence(
    model: Seq2Seq, *, dropout: bool = False, count: bool = False
) -> Objective:
    """The cross-entropy of each token of the target, given the source and the target before it.

    The decoder reads the right tokens, not its own ("teacher forcing", Williams & Zipser 1989).

    Args:
      model: the model.
      dropout: whether the key is handed to the model.
      count: give `Hits` in place of `Sums`.

    Returns:
      An objective over batches of `source` `[B, S]`, `source_lengths` `[B]`, `tokens` `[B, T + 1]`
      and `weights` `[B, T]`; to be counted, also `whole` `[B]`, see `count_hits`.
    """

    def objective(params, carry, batch, key=None):
        del carry
        tokens, weights = batch['tokens'], batch['weights']
        key = key if dropout else None
        keys = (None, None) if key is None else tuple(jax.random.split(key))
        state = model.start(
            params,
            tokens.shape[0],
            source=batch['source'],
            source_lengths=batch['source_lengths'],
            key=keys[0],
        )
        _, logits = model.apply(params, state, tokens[:, :-1], key=keys[1])
        if count:
            return count_hits(logits, tokens[:, 1:], weights, batch.get('whole')), None
        nats = cross_entropy(logits, tokens[:, 1:])
        return Sums(jnp.sum(nats * weights), jnp.sum(weights)), None

    return objective


def contrastive(
    model: TextEncoder,
    *,
    pooling: str,
    temperature: float,
    axis_name: str | None = None,
    dropout: bool = False,
    count: bool = False,
) -> Objective:
    """Whose other half is it? Each pair's against those of all others in the batch, both ways.

        −½ Σ_i (log softmax_j(u_i · v_j / τ)_i + log softmax_j(v_i · u_j / τ)_i),   |u| = |v| = 1

    In-batch negatives (Henderson et al. 2017), symmetric as in Radford et al. 2021, figure 3. A
    pair j whose first or second text is that of pair i is none: it would be as right an answer.

    Args:
      model: the encoder.
      pooling: of its output, see `heads.pool`.
      temperature: τ.
      axis_name: the device axis, whose shares are each other's negatives.
      dropout: whether the key is handed to the model.
      count: give `Hits` in place of `Sums`.

    Returns:
      An objective over batches of `first` and `second` `[B, S]`, `first_lengths`,
      `second_lengths`, `first_numbers` and `second_numbers` `[B]` (equal texts have equal ones),
      and with `weights` `[B]` of the pairs that are real.
    """

    def embed(params, tokens, lengths, key):
        y = model.encode(params, tokens, lengths=lengths, key=key)
        return pool(y, lengths, pooling, normalize=True)

    def objective(params, carry, batch, key=None):
        del carry
        key = key if dropout else None
        keys = (None, None) if key is None else tuple(jax.random.split(key))
        u, v = (
            embed(params, batch[name], batch[f'{name}_lengths'], k)
            for name, k in zip(('first', 'second'), keys, strict=True)
        )
        weights = batch.get('weights', jnp.ones(len(u)))
        numbers = batch['first_numbers'], batch['second_numbers']
        all_u, all_v, real, all_numbers, begin = u, v, weights, numbers, 0
        if axis_name is not None:
            all_u, all_v, real, all_numbers = jax.tree.map(
                lambda a: lax.all_gather(a, axis_name, tiled=True), (u, v, weights, numbers)
            )
            begin = lax.axis_index(axis_name) * len(u)
        targets = begin + jnp.arange(len(u))
        alike = [mine[:, None] == all_ for mine, all_ in zip(numbers, all_numbers, strict=True)]
        alike = (alike[0] | alike[1]) & (targets[:, None] != jnp.arange(len(all_u)))
        # No partner is a filler, or as right as the right one.
        hidden = jnp.where(alike | (real == 0), jnp.finfo(jnp.float32).min / 4, 0)
        both = [(u @ all_v.T / temperature + hidden), (v @ all_u.T / temperature + hidden)]
        if count:
            one, other = (count_hits(s[:, None], targets[:, None], weights[:, None]) for s in both)
            return jax.tree.map(lambda a, b: (a + b) / 2, one, other), None
        nats = sum(cross_entropy(s[:, None], targets[:, None])[:, 0] for s in both) / 2
        return Sums(jnp.sum(nats * weights), jnp.sum(weights)), None

    return objective
