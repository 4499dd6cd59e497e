"""Vectors for texts: an encoder run over texts of all lengths, without reading much padding."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nlp_models.data.pieces import Tokenizer, frame_size
from nlp_models.errors import InputError, require
from nlp_models.heads import POOLINGS, pool
from nlp_models.types import Params, TextEncoder

BATCH_TOKENS = 4096  # padding with them: few enough for the caches, enough for full products
SHORTEST = 16  # what the shortest texts are padded to


@partial(jax.jit, static_argnames=('model', 'pooling', 'normalize'))
def _embed(model: TextEncoder, params: Params, tokens: Any, lengths: Any, pooling, normalize):
    y = model.encode(params, tokens, lengths=lengths)
    return pool(y, lengths, pooling, normalize=normalize)


def embed_texts(
    model: TextEncoder,
    params: Params,
    tokenizer: Tokenizer,
    texts: list[str],
    *,
    pooling: str = 'mean',
    normalize: bool = True,
    max_length: int | None = None,
    lower: bool = False,
) -> np.ndarray:
    """One vector for each text.

    Texts of similar length are read together, padded to one of few lengths, so that few programs
    are compiled and little is read that is not there.

    Args:
      model: an encoder.
      params: its parameters.
      tokenizer: its tokenizer; a text stands within the special tokens that it has.
      texts: any, of at least one token each.
      pooling: 'mean', 'cls' or 'last' (`heads.pool`).
      normalize: whether the vectors are to have length 1.
      max_length: tokens that texts are cut to, special ones counted; None for what the model reads.
      lower: whether texts are made lower-case first.

    Returns:
      `[N, D]` float32, in the order of the texts.

    Raises:
      InputError: for a pooling there is none of, a text without a token, or a limit that leaves no
        room for any.
    """
    require(pooling in POOLINGS, 'pooling', pooling, f'must be one of {", ".join(POOLINGS)}')
    limits = [limit for limit in (max_length, model.context) if limit is not None]
    limit = min(limits, default=None)
    texts = [text.lower() for text in texts] if lower else texts
    ids = [_frame(tokenizer, tokenizer.encode(text), limit, i) for i, text in enumerate(texts)]
    lengths = np.array([len(each) for each in ids], np.int32)
    order = np.argsort(-lengths, kind='stable')  # the longest first: if it fits, all do
    parts: list[tuple[np.ndarray, Any]] = []
    first = 0
    while first < len(order):
        width = padded_length(int(lengths[order[first]]), limit)
        rows = max(1, BATCH_TOKENS // width)
        chosen = order[first : first + rows]
        # A batch that is not full is filled up to a power of two: few shapes here too.
        height = min(rows, 1 << (len(chosen) - 1).bit_length())
        tokens = np.zeros((height, width), np.int32)
        real = np.ones(height, np.int32)
        for i, row in enumerate(chosen):
            tokens[i, : lengths[row]] = ids[row]
            real[i] = lengths[row]
        parts.append((chosen, _embed(model, params, tokens, jnp.asarray(real), pooling, normalize)))
        first += rows
    result = None
    for chosen, vectors in parts:  # all are under way by now
        host = np.asarray(vectors)
        if result is None:
            result = np.empty((len(texts), host.shape[1]), np.float32)
        result[chosen] = host[: len(chosen)]
    return np.zeros((0, 0), np.float32) if result is None else result


def padded_length(length: int, limit: int | None) -> int:
    """The smallest of 16, 24, 32, 48, 64, 96, 128, … that holds a text; at most the limit."""
    size = SHORTEST
    while size < length:
        size = size * 3 // 2 if size & (size - 1) == 0 else size * 4 // 3
    return size if limit is None else min(size, limit)


def _frame(tokenizer: Tokenizer, ids: np.ndarray, limit: int | None, index: int) -> np.ndarray:
    """A text's tokens within the special ones, cut to the limit."""
    if limit is not None:
        room = limit - frame_size(tokenizer)
        require(room >= 1, 'max_length', limit, 'must leave room for a token')
        ids = ids[:room]
    framed = tokenizer.frame(ids)
    if len(framed) == 0:
        raise InputError(f'text {index + 1} is empty: a vector needs at least one token')
    return framed
