"""Seconds and bytes of a token, in training and in generation, of models of one family in turn.

Every round has parameters and tokens of its own and gives every model one turn
(`parallel_time.afresh`), so ratios between sizes or lengths are of the same minute of the machine.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np

from nlp_models import costs, models, ngram, trees
from nlp_models.analysis import parallel_time, throughput
from nlp_models.errors import require

ADAM = 4  # arrays as large as the parameters: they, their gradients, two moments


class Point(NamedTuple):
    """What is timed.

    Attributes:
      group: a config's `model` group.
      length: T of the training rows, or the tokens of the text that is being generated.
    """

    group: Any
    length: int


class Timed(NamedTuple):
    """What was found.

    Attributes:
      seconds: of a token, one number a round.
      num_bytes: held at once: in training parameters, gradients, Adam's moments and what the
        compiled program plans for, in generation parameters and the state of one text; float32.
      state_bytes: of these, the state's; 0 in training.
      parameters: of the model; of an n-gram its grams.
    """

    seconds: list[float]
    num_bytes: int
    state_bytes: int
    parameters: int


def training(
    points: Sequence[Point],
    *,
    vocab_size: int,
    tokens: int,
    seeds: Sequence[int],
    block_seconds: float,
) -> list[Timed]:
    """Forward and backward pass on random tokens, on all devices (`throughput.prepare_training`).

    Args:
      points: models, none of them an n-gram.
      vocab_size: V.
      tokens: B·T of a batch, about.
      seeds: of the rounds.
      block_seconds: how long a turn takes at least, about.

    Returns:
      One a point.
    """
    longest = max(point.length for point in points)

    def prepare(point: Point, model: Any, params: Any) -> tuple[Any, int, int, int]:
        ready = throughput.prepare_training(
            model,
            params,
            length=point.length,
            longest=longest,
            tokens_per_batch=tokens,
            vocab_size=vocab_size,
            seed=seeds[0],
        )
        held = ready.planned_bytes + ADAM * trees.num_bytes(params)
        return ready.draw, ready.batch_size * point.length, held, 0

    return _timed(points, prepare, vocab_size, seeds, block_seconds)


def generation(
    points: Sequence[Point], *, vocab_size: int, seeds: Sequence[int], block_seconds: float
) -> list[Timed]:
    """The last tokens of a random text, greedily, for one text (`throughput.prepare_decoding`).

    Args:
      points: models, none of them an n-gram.
      vocab_size: V.
      seeds: of the rounds.
      block_seconds: how long a turn takes at least, about.

    Returns:
      One a point.
    """

    def prepare(point: Point, model: Any, params: Any) -> tuple[Any, int, int, int]:
        def ready(params: Any, seed: int) -> throughput.Decoding:
            return throughput.prepare_decoding(
                model, params, length=point.length, vocab_size=vocab_size, seed=seed
            )

        def draw(params: Any, seed: int) -> Callable[[], Any]:
            return ready(params, seed).call

        state = ready(params, seeds[0]).state_bytes
        return draw, throughput.DECODED_TOKENS, state + trees.num_bytes(params), state

    return _timed(points, prepare, vocab_size, seeds, block_seconds)


def _timed(
    points: Sequence[Point],
    prepare: Callable,
    vocab_size: int,
    seeds: Sequence[int],
    block_seconds: float,
) -> list[Timed]:
    longest, prepared = max(point.length for point in points), []
    for group, length in points:
        model = models.build_language_model(group, vocab_size=vocab_size, max_length=longest)
        init = jax.jit(model.init)
        ready = prepare(Point(group, length), model, init(jax.random.key(seeds[0])))
        prepared.append((init, *ready, costs.count_parameters(model)))

    def calls(seed: int) -> list[Callable[[], Any]]:
        return [draw(init(jax.random.key(seed)), seed) for init, draw, *_ in prepared]

    seconds = parallel_time.afresh(calls, seeds, block_seconds=block_seconds)
    return [
        Timed([second / tokens for second in mine], *rest)
        for mine, (_, _, tokens, *rest) in zip(seconds, prepared, strict=True)
    ]


def counting(
    text: np.ndarray,
    *,
    order: int,
    vocab_size: int,
    tokens: int,
    contexts: Sequence[int],
    seeds: Sequence[int],
    block_seconds: float,
) -> tuple[Timed, list[Timed]]:
    """An n-gram's training, which is to count a text, and its generation at several lengths.

    Args:
      text: real tokens, of which every round counts a piece that begins elsewhere: on random ones
        hardly any two grams would be the same.
      order: n.
      vocab_size: V.
      tokens: counted in a round, fewer than the text has.
      contexts: tokens of the texts that are generated.
      seeds: of the rounds.
      block_seconds: how long a turn takes at least, about.

    Returns:
      (of training, of generation at each length).
    """
    room = len(text) - tokens
    require(room > 0 and tokens > 0, 'tokens', tokens, f'must be from 1 to {len(text) - 1}')
    count = partial(ngram.fit, order=order, vocab_size=vocab_size)

    def piece(seed: int) -> np.ndarray:
        begin = int(np.random.default_rng(seed).integers(room))
        return np.asarray(text[begin : begin + tokens])

    (fitting,) = parallel_time.afresh(
        lambda seed: [partial(count, piece(seed))], seeds, block_seconds=block_seconds
    )
    # One piece for all rounds: tables of another length would be another program.
    model, params = ngram.build(order, vocab_size), jax.device_put(count(piece(seeds[0])))
    held, grams = trees.num_bytes(params), ngram.num_parameters(params)
    ready = partial(throughput.prepare_decoding, model, params, vocab_size=vocab_size)

    def calls(seed: int) -> list[Callable[[], Any]]:
        return [ready(length=length, seed=seed).call for length in contexts]

    seconds = parallel_time.afresh(calls, seeds, block_seconds=block_seconds)
    state = ready(length=contexts[0], seed=seeds[0]).state_bytes
    writing = [
        Timed([s / throughput.DECODED_TOKENS for s in mine], held + state, state, grams)
        for mine in seconds
    ]
    return Timed([second / tokens for second in fitting], held, 0, grams), writing
