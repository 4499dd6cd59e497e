"""log p(continuation | context) by any language model, what contexts share being read once.

Contexts that begin alike (the examples of a few-shot prompt, an instruction) are read so far for
all of them, then each context for all of its continuations, and then each continuation. The state
is what is handed on: that of one row is given to many. Rows of similar length are read together,
padded to one of few widths, so that few programs are compiled.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nlp_models.adaptation.pairs import Pair
from nlp_models.embedding import BATCH_TOKENS, SHORTEST, padded_length
from nlp_models.errors import InputError
from nlp_models.generation.prompts import state_bytes
from nlp_models.types import LanguageModel, Params, State

STATE_BYTES = 2**29  # what a batch of rows may keep of its texts
LOGITS = 2**26  # how many logits may be held at once


class Scored(NamedTuple):
    """What a model says of pairs.

    Attributes:
      log_probabilities: of each pair, log p of each token of the continuation, in nats, float32.
      greedy: whether each of those tokens was the likeliest one `[N]`.
      truncated: whether the context was cut on the left to what the model can read `[N]`.
    """

    log_probabilities: list[np.ndarray]
    greedy: np.ndarray
    truncated: np.ndarray

    @property
    def log_likelihoods(self) -> np.ndarray:
        """Their sums, log p(continuation | context), `[N]` float64."""
        return np.array([np.sum(each, dtype=np.float64) for each in self.log_probabilities])


class _Row(NamedTuple):
    """A continuation behind a context.

    Attributes:
      number: of the pair.
      context: all of its tokens but the last, which is read with the continuation.
      tokens: what is read behind that: its last token, and the continuation but for its last.
      targets: the continuation.
    """

    number: int
    context: np.ndarray
    tokens: np.ndarray
    targets: np.ndarray


@partial(jax.jit, static_argnames=('model',))
def _read(
    model: LanguageModel, params: Params, state: State, owners: Any, tokens: Any, lengths: Any
) -> State:
    """The state after more tokens, each row going on from the row `owners` of a state."""
    state = jax.tree.map(lambda leaf: leaf[owners], state)
    return model.apply(params, state, tokens, lengths=lengths)[0]


@partial(jax.jit, static_argnames=('model',))
def _score(
    model: LanguageModel,
    params: Params,
    state: State,
    owners: Any,
    tokens: Any,
    targets: Any,
    lengths: Any,
) -> tuple[State, jax.Array, jax.Array]:
    """Likewise; and log p of each target, and whether it is the likeliest `[B, T]`."""
    state = jax.tree.map(lambda leaf: leaf[owners], state)
    state, logits = model.apply(params, state, tokens, lengths=lengths)
    log_p = jax.nn.log_softmax(logits.astype(jnp.float32), axis=-1)
    chosen = jnp.take_along_axis(log_p, targets[..., None], axis=-1)[..., 0]
    return state, chosen, jnp.argmax(logits, axis=-1) == targets


def score_pairs(model: LanguageModel, params: Params, pairs: Sequence[Pair]) -> Scored:
    """Score continuations of contexts; each as if it were read alone, from the model's start.

    A model of bounded context reads the last tokens of what is too long: with n tokens of context
    and m of continuation, of which the last is not read, those of n + m − 1 that it can.

    Args:
      model: any language model.
      params: its parameters.
      pairs: tokens of contexts and continuations.

    Returns:
      The scores, in the order of the pairs.

    Raises:
      InputError: for a continuation that is longer than the model can read.
    """
    rows, truncated = [], np.zeros(len(pairs), bool)
    for number, pair in enumerate(pairs):
        ids, size = np.concatenate(pair).astype(np.int32), len(pair.continuation)
        if model.context is not None:
            if size > model.context:
                raise InputError(
                    f'a choice has {size} tokens: the model reads at most {model.context}'
                )
            truncated[number] = len(ids) > model.context + 1
            ids = ids[-(model.context + 1) :]
        begin = len(ids) - size - 1  # where the context's last token stands
        rows.append(_Row(number, ids[:begin], ids[begin:-1], ids[begin + 1 :]))
    log_probabilities: list[np.ndarray] = [np.zeros(0, np.float32)] * len(pairs)
    greedy = np.ones(len(pairs), bool)
    params = jax.device_put(params)
    for cut in (False, True):  # what was cut begins like nothing else
        some = [row for row in rows if truncated[row.number] == cut]
        for found in _score_rows(model, params, some):
            for number, chosen, best in found:
                log_probabilities[number], greedy[number] = chosen, best.all()
    return Scored(log_probabilities, greedy, truncated)


_Found = list[tuple[int, np.ndarray, np.ndarray]]  # number of the pair, log p, whether the best


def _score_rows(model: LanguageModel, params: Params, rows: list[_Row]) -> list[_Found]:
    """Rows whose beginning is read once for all of them, where that is worth it."""
    if not rows:
        return []
    limit = model.context
    room = padded_length(max(len(row.context) + len(row.tokens) for row in rows), limit)
    state = model.start(params, 1, room)
    vocab_size = jax.eval_shape(model.apply, params, state, np.zeros((1, 1), np.int32))[1].shape[-1]
    most = max(1, STATE_BYTES // max(1, state_bytes(model, params, 1, room)))

    contexts: dict[bytes, list[_Row]] = {}
    for row in rows:
        contexts.setdefault(row.context.tobytes(), []).append(row)
    of_context = [*contexts.values()]
    shared = _shared([each[0].context for each in of_context])
    if shared:
        tokens = _padded([rows[0].context[:shared]], 1, _width(shared, limit))
        lengths = np.array([shared], np.int32)
        state = _read(model, params, state, np.zeros(1, np.int32), tokens, lengths)

    of_context.sort(key=lambda each: -len(each[0].context))  # the longest first: if it fits, all do
    pending: list[tuple[list[_Row], list[tuple[Any, Any]]]] = []
    first = 0
    while first < len(of_context):
        width = _width(len(of_context[first][0].context) - shared, limit)
        fit = min(most, max(1, BATCH_TOKENS // max(1, width)))
        several = of_context[first : first + fit]
        owned = [(row, number) for number, each in enumerate(several) for row in each]
        after = state
        if width:
            parts = [each[0].context[shared:] for each in several]
            height = _height(len(several), fit)
            lengths = np.zeros(height, np.int32)
            lengths[: len(parts)] = [len(part) for part in parts]
            tokens = _padded(parts, height, width)
            after = _read(model, params, state, np.zeros(height, np.int32), tokens, lengths)
        else:
            owned = [(row, 0) for row, _ in owned]
        pending += _score_owned(model, params, after, owned, most, vocab_size)
        first += len(several)
    return [_gather(*each) for each in pending]


def _score_owned(
    model: LanguageModel,
    params: Params,
    state: State,
    owned: list[tuple[_Row, int]],
    most: int,
    vocab_size: int,
) -> list[tuple[list[_Row], list[tuple[Any, Any]]]]:
    """Rows, each behind a row of a state; their numbers are still under way."""
    owned = sorted(owned, key=lambda each: -len(each[0].tokens))
    pending, first = [], 0
    while first < len(owned):
        width = _width(len(owned[first][0].tokens), model.context)
        fit = max(1, min(most, BATCH_TOKENS // width, LOGITS // (width * vocab_size)))
        some = owned[first : first + fit]
        height = _height(len(some), fit)
        owners, lengths = np.zeros(height, np.int32), np.zeros(height, np.int32)
        owners[: len(some)] = [owner for _, owner in some]
        lengths[: len(some)] = [len(row.tokens) for row, _ in some]
        tokens = _padded([row.tokens for row, _ in some], height, width)
        targets = _padded([row.targets for row, _ in some], height, width)
        # What is very long is read in pieces: its logits would be too many.
        size = width if width * vocab_size <= LOGITS else max(1, LOGITS // vocab_size)
        pieces, behind = [], state
        for begin in range(0, width, size):
            part = slice(begin, begin + size)
            left = np.clip(lengths - begin, 0, tokens[:, part].shape[1])
            behind, *found = _score(
                model, params, behind, owners, tokens[:, part], targets[:, part], left
            )
            pieces.append(tuple(found))
            owners = np.arange(height, dtype=np.int32)
        pending.append(([row for row, _ in some], pieces))
        first += len(some)
    return pending


def _gather(rows: list[_Row], pieces: list[tuple[Any, Any]]) -> _Found:
    """The numbers of a batch, on the host."""
    chosen, best = (
        np.concatenate([np.asarray(piece[i]) for piece in pieces], axis=1) for i in range(2)
    )
    sizes = [len(row.tokens) for row in rows]
    return [
        (row.number, chosen[i, :size], best[i, :size])
        for i, (row, size) in enumerate(zip(rows, sizes, strict=True))
    ]


def _shared(contexts: list[np.ndarray]) -> int:
    """How many tokens several contexts begin with; 0 where reading them once saves little."""
    shortest = min(map(len, contexts))
    for other in contexts[1:]:
        same = contexts[0][:shortest] == other[:shortest]
        shortest = shortest if same.all() else int(np.argmin(same))
    return shortest if len(contexts) > 1 and shortest >= SHORTEST else 0


def _width(length: int, limit: int | None) -> int:
    """What rows are padded to: 0, 1, 2, 4, 8, and above that what `padded_length` has."""
    if 2 * length > SHORTEST or length == 0:
        return padded_length(length, limit) if length else 0
    size = 1 << (length - 1).bit_length()
    return size if limit is None else min(size, limit)


def _height(rows: int, most: int) -> int:
    """The next power of two, as far as that goes."""
    return min(most, 1 << (rows - 1).bit_length())


def _padded(rows: list[np.ndarray], height: int, width: int) -> np.ndarray:
    """Rows side by side, `[height, width]` int32."""
    tokens = np.zeros((height, width), np.int32)
    for row, ids in zip(tokens, rows, strict=False):
        row[: len(ids)] = ids
    return tokens
