"""How fast a language model trains and decodes, against the length of the sequence."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from absl import logging
from jax import lax

from nlp_models import timing, trees
from nlp_models.training import parallel
from nlp_models.training.objectives import language_modelling
from nlp_models.types import LanguageModel, Params

DECODED_TOKENS = 32  # a call, so that what a call costs apart from its tokens does not count


class Training(NamedTuple):
    """A training step without its optimizer, ready to be timed.

    Attributes:
      call: computes the gradients and returns them.
      batch_size: B.
      planned_bytes: what the compiled program needs beside arguments and results, on all devices;
        0 where it does not tell.
      draw: `(params, seed) -> call`, on other parameters and tokens, compiled already.
    """

    call: Callable[[], Any]
    batch_size: int
    planned_bytes: int
    draw: Callable[[Params, int], Callable[[], Any]]


class Decoding(NamedTuple):
    """The decoding of `DECODED_TOKENS` tokens, ready to be timed.

    Attributes:
      call: decodes them and returns the last one.
      state_bytes: of what is carried from token to token.
    """

    call: Callable[[], Any]
    state_bytes: int


def training_throughput(
    model: LanguageModel,
    params: Params,
    *,
    lengths: tuple[int, ...],
    tokens_per_batch: int,
    vocab_size: int,
    memory_limit: float,
    seconds: float,
    seed: int,
) -> list[dict[str, Any]]:
    """Forward and backward pass of the loss on random tokens, on all devices.

    The tokens of a batch stay the same as its sequences grow longer, so a recurrence has more
    steps to take one after the other and attention more pairs to compare.

    Args:
      model: the model; its context must hold the longest sequence.
      params: its parameters.
      lengths: T, ascending.
      tokens_per_batch: B·T, about; at least one row a device.
      vocab_size: V.
      memory_limit: bytes the compiled program may plan for; the lengths from the first one that
        needs more are left out.
      seconds: to spend on each length, about, once compiled.
      seed: of the tokens.

    Returns:
      For each length `length`, `batch_size`, `tokens_per_second`.
    """
    rows = []
    for length in lengths:
        training = prepare_training(
            model,
            params,
            length=length,
            longest=max(lengths),
            tokens_per_batch=tokens_per_batch,
            vocab_size=vocab_size,
            seed=seed,
        )
        if training.planned_bytes > memory_limit:
            logging.info('Length %d would take %d bytes: left out', length, training.planned_bytes)
            break
        elapsed = timing.median_seconds(training.call, seconds=seconds)
        rows.append(
            {
                'length': length,
                'batch_size': training.batch_size,
                'tokens_per_second': training.batch_size * length / elapsed,
            }
        )
    return rows


def prepare_training(
    model: LanguageModel,
    params: Params,
    *,
    length: int,
    longest: int,
    tokens_per_batch: int,
    vocab_size: int,
    seed: int,
) -> Training:
    """Compile the forward and backward pass of the loss on random tokens, for all devices.

    Args:
      model: the model; its context must hold the length.
      params: its parameters.
      length: T.
      longest: of the lengths to be compared: as many devices take part in each as its batch can be
        shared out over.
      tokens_per_batch: B·T, about; at least one row a device.
      vocab_size: V.
      seed: of the tokens.

    Returns:
      What to time.
    """
    objective = language_modelling(model)
    devices = parallel.choose(0, max(1, tokens_per_batch // longest))
    number = len(devices.devices)
    batch_size = number * max(1, tokens_per_batch // (length * number))

    def place(params: Params, seed: int) -> tuple[Any, Any]:
        rng = np.random.default_rng([seed, length])
        tokens = rng.integers(vocab_size, size=(batch_size, length + 1), dtype=np.int32)
        return devices.replicate(params), devices.place_shards({'tokens': tokens})

    placed = place(params, seed)
    gradient, _ = devices.compile(
        jax.grad(lambda p, b: objective(p, None, b, None)[0].loss), *placed
    )
    analysis = gradient.memory_analysis()  # pyright: ignore[reportFunctionMemberAccess]
    # Told for one device; those of a CPU share one memory.
    planned = 0 if analysis is None else number * analysis.temp_size_in_bytes

    def draw(params: Params, seed: int) -> Callable[[], Any]:
        return partial(gradient, *place(params, seed))

    return Training(partial(gradient, *placed), batch_size, planned, draw)


def decoding_cost(
    model: LanguageModel,
    params: Params,
    *,
    lengths: tuple[int, ...],
    vocab_size: int,
    seconds: float,
    seed: int,
) -> list[dict[str, Any]]:
    """One token at a time, for one text, where its end has reached each of some lengths.

    The state is made for exactly that length and filled with random tokens up to the last
    `DECODED_TOKENS`, which are then decoded greedily, in one call on one device.

    Args:
      model: the model; its context must hold the longest text.
      params: its parameters.
      lengths: of the text at its end, in tokens.
      vocab_size: V.
      seconds: to spend on each length, about, once compiled.
      seed: of the tokens.

    Returns:
      For each length `length`, `seconds_per_token`, `tokens_per_second`, `state_bytes`.
    """
    rows = []
    for length in lengths:
        decoding = prepare_decoding(model, params, length=length, vocab_size=vocab_size, seed=seed)
        elapsed = timing.median_seconds(decoding.call, seconds=seconds)
        rows.append(
            {
                'length': length,
                'seconds_per_token': elapsed / DECODED_TOKENS,
                'tokens_per_second': DECODED_TOKENS / elapsed,
                'state_bytes': decoding.state_bytes,
            }
        )
    return rows


def prepare_decoding(
    model: LanguageModel, params: Params, *, length: int, vocab_size: int, seed: int
) -> Decoding:
    """Read a random text up to its last tokens, which are then to be decoded greedily.

    Args:
      model: the model; its context must hold the text.
      params: its parameters.
      length: of the text at its end, in tokens; the state is made for exactly that.
      vocab_size: V.
      seed: of the tokens.

    Returns:
      What to time.
    """
    rng = np.random.default_rng([seed, length])
    state = model.start(params, 1, length)
    text = rng.integers(vocab_size, size=(1, length), dtype=np.int32)
    # In pieces, so that attention need not compare all pairs at once to fill its state.
    for begin in range(0, length - DECODED_TOKENS, 512):
        end = min(begin + 512, length - DECODED_TOKENS)
        state, _ = _read(model, params, state, text[:, begin:end])
    return Decoding(partial(_decode, model, params, state, text[:, -1]), trees.num_bytes(state))


# Compiled once for each model and shape, whatever the number of lengths.


@partial(jax.jit, static_argnums=0)
def _read(model: LanguageModel, params: Params, state: Any, tokens: Any) -> Any:
    return model.apply(params, state, tokens)


@partial(jax.jit, static_argnums=0)
def _decode(model: LanguageModel, params: Params, state: Any, token: Any) -> Any:
    def step(carry: Any, _: Any) -> Any:
        state, token = carry
        state, logits = model.apply(params, state, token[:, None])
        return (state, jnp.argmax(logits[:, 0], axis=-1).astype(jnp.int32)), None

    return lax.scan(step, (state, token), None, length=DECODED_TOKENS)[0][1]
