"""Text to what is scored: the tokens of a context, and those of a continuation of it."""

from typing import NamedTuple

import numpy as np

from nlp_models.data.pieces import Tokenizer
from nlp_models.errors import InputError


class Pair(NamedTuple):
    """A context and what may follow it, as token ids.

    Attributes:
      context: int32, at least one token.
      continuation: int32, at least one token: those whose probabilities are asked for.
    """

    context: np.ndarray
    continuation: np.ndarray


def beginning(tokenizer: Tokenizer) -> np.ndarray:
    """The special tokens that a model expects before a text, int32; often none."""
    framed = [tokenizer.frame(np.array([token], tokenizer.dtype)) for token in (0, 1)]
    alike = np.flatnonzero(framed[0] != framed[1])  # where the text itself stands
    return framed[0][: alike[0]].astype(np.int32)


def _special_first(tokenizer: Tokenizer) -> int | None:
    """The token that begins texts, or else ends them."""
    names = [name for name in ('bos', 'eos') if name in tokenizer.special]
    return tokenizer.special[names[0]] if names else None


def first_token(tokenizer: Tokenizer) -> int:
    """The token that a text is predicted from where there is nothing before it.

    Returns:
      The one that begins texts (bos), else the one that ends them (eos), else that of a line break.

    Raises:
      InputError: for a tokenizer that has none of them.
    """
    special = _special_first(tokenizer)
    if special is not None:
        return special
    ids = tokenizer.encode('\n')
    if len(ids) == 0:
        raise InputError(
            f'a {tokenizer.name} tokenizer has no token that a text begins with: give a context '
            'that is not empty'
        )
    return int(ids[-1])


def encode(tokenizer: Tokenizer, text: str) -> np.ndarray:
    """A text's tokens behind those that a model expects before it, int32.

    A text that spells them out itself is not given them twice.
    """
    ids, before = tokenizer.encode(text).astype(np.int32), beginning(tokenizer)
    if len(before) and np.array_equal(ids[: len(before)], before):
        return ids
    return np.concatenate([before, ids])


def encode_pair(
    tokenizer: Tokenizer, context: str, continuation: str, first: int | None = None
) -> Pair:
    """Split the tokens of a context with its continuation where the context's own tokens end.

    Blanks at the context's end are moved to the continuation: most tokenizers write a word with the
    blank before it as one token, and a context that ends with a blank calls for the others. Both
    are then tokenised as one text, and as many tokens as the context has by itself are taken to be
    the context's. So lm-evaluation-harness does it.

    Where the border falls within a token, the continuation's tokens are those behind it, so that
    the context is the same for all its continuations; where none are behind it, the continuation's
    own.

    Blanks alone are a context where texts have no token to begin with and the border falls between
    tokens, as with letters: what follows a blank is likelier known than what begins a line with it.

    Args:
      tokenizer: the tokenizer.
      context: a text; where it is empty, the continuation follows `first`.
      continuation: a text.
      first: `first_token` by default.

    Returns:
      The pair.

    Raises:
      InputError: for a continuation without a token.
    """
    blanks = len(context) - len(context.rstrip())
    cut = len(context) - blanks
    before, after = context[:cut], context[cut:] + continuation
    head = encode(tokenizer, before)
    if len(head):
        tail = encode(tokenizer, before + after)[len(head) :]
        if len(tail) == 0:
            tail = tokenizer.encode(continuation).astype(np.int32)
    else:
        head = tokenizer.encode(context).astype(np.int32)
        tail = tokenizer.encode(after).astype(np.int32)
        itself = first is None and _special_first(tokenizer) is None
        if itself and 0 < len(head) < len(tail) and np.array_equal(tail[: len(head)], head):
            return Pair(head, tail[len(head) :])
        head = np.array([first_token(tokenizer) if first is None else first], np.int32)
        if len(tail) > 1 and tail[0] == head[0]:  # it is spelled out
            tail = tail[1:]
    if len(tail) == 0:
        raise InputError(f'the choice {continuation!r} has no token: it cannot be scored')
    return Pair(head, tail)
