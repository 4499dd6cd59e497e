"""A model's numbers on a split of the text."""

import collections
import math
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nlp_models.data import batches
from nlp_models.training.objectives import language_modelling
from nlp_models.training.parallel import Pipeline
from nlp_models.types import LanguageModel, Params


class Score(NamedTuple):
    """How well a text was predicted.

    Attributes:
      loss: nats a token.
      bits_per_char: nats ÷ ln 2 ÷ Unicode characters of the tokens scored.
      perplexity: e^loss, a token.
      tokens: how many were scored.
    """

    loss: float
    bits_per_char: float
    perplexity: float
    tokens: int


def score(nats: float, tokens: float, characters: float) -> Score:
    """Turn sums into a `Score`."""
    loss = nats / tokens
    bits = nats / math.log(2) / characters if characters else math.nan
    return Score(loss, bits, math.exp(min(loss, 700.0)), int(tokens))


def evaluate(
    eval_step: Callable[[Any, dict], Any],
    params: Any,
    scored: Iterable[dict[str, np.ndarray]],
    count: Callable[[dict[str, np.ndarray]], dict[str, float]],
    *,
    shard: Callable[[Any], Any] = lambda batch: batch,
    stop: Callable[[], bool] = lambda: False,
) -> dict[str, float] | None:
    """Sum up what a step says of each batch.

    Args:
      eval_step: `(params, batch) -> sums`, a NamedTuple of numbers, with a device axis where there
        is one.
      params: placed as `eval_step` wants them.
      scored: the batches.
      count: further numbers of a batch, found on the host.
      shard: shares a batch out as `eval_step` wants it.
      stop: asked before each batch; true ends the evaluation without a result.

    Returns:
      Name to sum, or None where it was stopped.
    """
    sums, counted, pipeline = [], collections.Counter(), Pipeline()
    for batch in scored:
        if stop():
            return None
        sums.append(eval_step(params, shard(batch)))
        pipeline.add(sums[-1])
        counted.update(count(batch))
    # One number a batch and device; added up in float64.
    totals = {
        name: float(np.sum([np.asarray(getattr(each, name)) for each in sums], dtype=float))
        for name in (sums[0]._fields if sums else ())
    }
    return {**totals, **counted}


def count_characters(characters: np.ndarray) -> Callable[[dict[str, np.ndarray]], dict[str, float]]:
    """Counts, in a batch of windows, the Unicode characters of what is scored.

    Args:
      characters: how many begin with each token of the vocabulary, `[V]`.

    Returns:
      For `evaluate`.
    """

    def count(batch: dict[str, np.ndarray]) -> dict[str, float]:
        return {'characters': float((characters[batch['tokens'][:, 1:]] * batch['weights']).sum())}

    return count


def evaluate_carried(
    model: LanguageModel,
    params: Params,
    tokens: np.ndarray,
    characters: np.ndarray,
    *,
    length: int,
    num_streams: int,
) -> Score | None:
    """Score a text whose state is carried from its beginning to its end.

    It is cut into `num_streams` pieces read side by side, each from the model's start, so every
    token but the first of each piece is predicted from all of the piece before it.

    Args:
      model: a model of unbounded context.
      params: its parameters.
      tokens: the text `[M]`.
      characters: Unicode characters that each token of the vocabulary begins, `[V]`.
      length: T of each call.
      num_streams: pieces.

    Returns:
      The score; None for a model of bounded context, whose state cannot be carried through, and
      for a text too short for the pieces.
    """
    size = (len(tokens) - 1) // num_streams
    if model.context is not None or size < 1:
        return None
    length = min(length, size)
    objective = language_modelling(model)

    @jax.jit
    def step(params, state, batch):
        return objective(params, state, batch)

    state = model.start(params, num_streams)
    rows = np.arange(num_streams)[:, None] * size
    nats = count = num_characters = 0.0
    for begin in range(0, size, length):
        places = begin + np.arange(length + 1)
        weights = np.broadcast_to(places[1:] <= size, (num_streams, length)).astype(np.float32)
        window = tokens[rows + np.minimum(places, size)].astype(np.int32)
        batch = {'tokens': window, 'weights': weights, 'restart': np.zeros(num_streams)}
        sums, state = step(params, state, batch)
        nats, count = nats + float(sums.loss), count + float(sums.weight)
        num_characters += float((characters[window[:, 1:]] * weights).sum())
    return score(nats, count, num_characters)


def evaluate_on_host(
    model: LanguageModel,
    params: Params,
    tokens: np.ndarray,
    characters: np.ndarray,
    *,
    length: int,
    batch_size: int,
    stride: int | None = None,
) -> Score:
    """`evaluate` on one device for a model that needs no training step: compiled here.

    Args:
      model: the model.
      params: its parameters.
      tokens: the text `[M]`.
      characters: Unicode characters that each token of the vocabulary begins, `[V]`.
      length: T of a window.
      batch_size: windows a batch.
      stride: from window to window; side by side by default.

    Returns:
      The score.
    """
    objective = language_modelling(model)
    step = jax.jit(lambda params, batch: objective(params, None, batch)[0])
    windows = batches.evaluation_batches(
        tokens, batch_size=batch_size, length=length, stride=stride
    )
    scored = (each._asdict() for each in windows)
    sums = evaluate(step, jax.tree.map(jnp.asarray, params), scored, count_characters(characters))
    assert sums is not None  # nothing stops it
    return score(sums['loss'], sums['weight'], sums['characters'])


def evaluate_all(
    model: LanguageModel,
    params: Params,
    tokens: np.ndarray,
    characters: np.ndarray,
    *,
    length: int,
) -> dict[str, Score]:
    """Score a split in each of the ways that go under a name of their own.

    Args:
      model: the model.
      params: its parameters.
      tokens: the split `[M]`.
      characters: Unicode characters that each token of the vocabulary begins, `[V]`.
      length: T, of the training.

    Returns:
      By name: `side_by_side` is the headline, windows of T from the model's start; `overlapping`
      the same with a stride of T/2, so that what is scored has half a window before it;
      `carried_state` the text read from its beginning, for models of unbounded context. A split
      shorter than one window has no score.
    """
    if len(tokens) < length + 1:
        return {}
    batch_size = max(1, 8192 // length)

    def windows(stride):
        return evaluate_on_host(
            model, params, tokens, characters, length=length, batch_size=batch_size, stride=stride
        )

    scores = {'side_by_side': windows(length), 'overlapping': windows(max(1, length // 2))}
    carried = evaluate_carried(
        model, params, tokens, characters, length=length, num_streams=min(8, len(tokens) - 1)
    )
    return scores | ({'carried_state': carried} if carried else {})
