"""The same model computed in other ways: how far logits are apart, and when greedy texts part.

In exact arithmetic rows do not depend on the batch they are in, reading at once is reading token by
token, and gradients of shares add up to the gradient of the whole. In floating point each way adds
up in another order. A way has a reader, `(params, tokens [B, T]) -> logits [B, T, V]`, and a
writer, `(params, prompts [B, T]) -> tokens [B, N]`, greedy.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from nlp_models.analysis import spread
from nlp_models.generation.decoding import generate
from nlp_models.generation.sampling import Sampling
from nlp_models.training import objectives, parallel
from nlp_models.training.optimizers import build_optimizer, build_schedule
from nlp_models.training.step import init_state, make_train_step
from nlp_models.types import LanguageModel

GREEDY = Sampling(temperature=0.0)


class Way(NamedTuple):
    """A way of computing a model."""

    read: Callable[[Any, np.ndarray], np.ndarray]
    write: Callable[[Any, np.ndarray], np.ndarray]


class Apart(NamedTuple):
    """How far two ways are apart.

    Attributes:
      bits: share of the logits that are not the same to the last bit.
      largest: largest difference of any logit.
      parted: share of the texts that are not the same.
      place: mean place of the first token that is not, N where all are.
    """

    bits: float
    largest: float
    parted: float
    place: float


def apart(one: tuple, other: tuple) -> Apart:
    """Two pairs of logits `[B, T, V]` and texts `[B, N]`, compared."""
    (mine, my_texts), (theirs, their_texts) = one, other
    places = spread.part_at(my_texts, their_texts)
    difference = np.abs(np.asarray(mine, np.float64) - np.asarray(theirs, np.float64))
    return Apart(
        bits=float(np.mean(np.asarray(mine) != np.asarray(theirs))),
        largest=float(difference.max()),
        parted=float(np.mean(places < my_texts.shape[1])),
        place=float(places.mean()),
    )


def together(model: LanguageModel, number: int) -> Way:
    """All rows in one batch: read at once, written token by token from a state.

    Args:
      model: the model.
      number: N, tokens to write.
    """
    read = jax.jit(lambda params, tokens: _logits(model, params, tokens))

    def write(params: Any, prompts: np.ndarray) -> np.ndarray:
        return np.stack(generate(model, params, list(prompts), num_tokens=number, sampling=GREEDY))

    return Way(lambda params, tokens: np.asarray(read(params, tokens)), write)


def alone(way: Way) -> Way:
    """Every row in a batch of its own."""

    def each(function: Callable, params: Any, rows: np.ndarray) -> np.ndarray:
        return np.concatenate([function(params, row[None]) for row in rows])

    return Way(partial(each, way.read), partial(each, way.write))


def anew(model: LanguageModel, number: int) -> Way:
    """Read token by token; written by reading the whole text anew for every token, all at once.

    Args:
      model: the model.
      number: N, tokens to write.
    """

    @jax.jit
    def read(params: Any, tokens: jax.Array) -> jax.Array:
        def step(state: Any, token: jax.Array) -> tuple[Any, jax.Array]:
            state, logits = model.apply(params, state, token[:, None])
            return state, logits[:, 0]

        state = model.start(params, tokens.shape[0], tokens.shape[1])
        return jnp.swapaxes(lax.scan(step, state, tokens.T)[1], 0, 1)

    @jax.jit
    def write(params: Any, prompts: jax.Array) -> jax.Array:
        length = prompts.shape[1]
        # What is not written yet stands behind, where no place before it sees it.
        text = jnp.pad(prompts, ((0, 0), (0, number)))

        def step(text: jax.Array, at: jax.Array) -> tuple[jax.Array, None]:
            logits = _logits(model, params, text)
            last = lax.dynamic_index_in_dim(logits, at - 1, axis=1, keepdims=False)
            token = jnp.argmax(last, axis=-1).astype(text.dtype)
            return lax.dynamic_update_index_in_dim(text, token, at, axis=1), None

        return lax.scan(step, text, length + jnp.arange(number))[0][:, length:]

    return Way(
        lambda params, tokens: np.asarray(read(params, tokens)),
        lambda params, prompts: np.asarray(write(params, prompts)),
    )


def _logits(model: LanguageModel, params: Any, tokens: jax.Array) -> jax.Array:
    return model.apply(params, model.start(params, tokens.shape[0]), tokens)[1]


def on_devices(
    init: Callable[[jax.Array], Any],
    objective: objectives.Objective,
    optimizer: Any,
    draw: Callable[[int], Sequence[Any]],
    *,
    seeds: Sequence[int],
    num_devices: int,
) -> list[Any]:
    """Train runs one after the other, each batch's rows shared out over devices.

    Args:
      init: `(key) -> params`.
      objective: as in `runs.train`.
      optimizer: a config's `optimizer` group.
      draw: `(seed) -> batches` of all steps, dicts of arrays `[B, …]` on the host.
      seeds: of the runs.
      num_devices: at least 1; it must divide B.

    Returns:
      The parameters of each, on the host.
    """
    transformation, schedule = build_optimizer(optimizer), build_schedule(optimizer)
    advance, found = None, []
    for seed in seeds:
        batches = draw(seed)
        devices = parallel.choose(num_devices, len(next(iter(batches[0].values()))))
        state = init_state(jax.jit(init)(jax.random.key(seed)), transformation, len(batches))
        carry = devices.replicate(jax.device_get(state))
        if advance is None:
            step = make_train_step(
                objective, transformation, schedule, seed=0, axis_name=devices.axis_name
            )
            advance, _ = devices.compile(step, carry, devices.place_shards(batches[0]))
        pipeline = parallel.Pipeline()
        for batch in batches:
            carry, sums = advance(carry, devices.place_shards(batch))
            pipeline.add(sums)
        found.append(devices.first(carry.params))
    return found
