"""What a tokenizer is, whatever its kind, and how one is made of its tokens' bytes."""

import functools
import json
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from nlp_models.errors import InputError

UNKNOWN = '\ufffd'
"""What token 0 of a vocabulary of characters or words decodes to: what the training split lacks."""


class Tokenizer(NamedTuple):
    """A fixed vocabulary and the two ways through it.

    Attributes:
      name: the kind, a key of `tokenizers.TOKENIZERS`.
      vocab_size: V, the number of tokens.
      dtype: the smallest of uint8, uint16 and uint32 that holds every id.
      characters: `[V]` int32, how many Unicode characters start in each token (its UTF-8 bytes
        that are not continuation bytes); summed over the tokens of a text it is the text's length
        in characters. A character tokenizer's unknown token stands for one character, a word counts
        the blank after it, and of a pretrained tokenizer see `pretrained_tokenizer`.
      encode: `(text) -> ids`, a 1-D array of `dtype`, without special tokens. Raises InputError for
        text that has no UTF-8 form (lone surrogates).
      decode: `(ids) -> text`; bytes that are no UTF-8 become U+FFFD. Raises ValueError for an id
        outside the vocabulary.
      frame: `(ids) -> ids`, a text's ids with the special tokens that its model expects around
        them ([CLS] and [SEP], or the beginning's); the ids themselves where there are none.
      special: the ids of those special tokens that the vocabulary has, under the names bos, eos,
        cls, sep, mask, pad and unk; of a pretrained tokenizer alone.
      ends: ids any of which ends a text, the one under eos first; of a pretrained tokenizer alone.
      to_json: `() -> str`, what `tokenizers.tokenizer_from_json` reads.
    """

    name: str
    vocab_size: int
    dtype: np.dtype
    characters: np.ndarray
    encode: Callable[[str], np.ndarray]
    decode: Callable[[Any], str]
    frame: Callable[[np.ndarray], np.ndarray]
    special: dict[str, int]
    ends: tuple[int, ...]
    to_json: Callable[[], str]


def make_tokenizer(
    name: str,
    pieces: tuple[bytes, ...],
    encode: Callable[[str], np.ndarray],
    state: Any,
    between: str = '',
) -> Tokenizer:
    """Completes a tokenizer of which every token is a piece of text.

    Args:
      name: the kind.
      pieces: each token's UTF-8 bytes; they need not be whole characters.
      encode: as `Tokenizer.encode`.
      state: what the kind is restored from, JSON-serializable.
      between: what stands between two tokens of a text; counted with the first of them.

    Returns:
      The tokenizer.
    """
    return Tokenizer(
        name=name,
        vocab_size=len(pieces),
        dtype=id_dtype(len(pieces)),
        characters=frozen([count_characters(piece) + len(between) for piece in pieces]),
        encode=encode,
        decode=functools.partial(_decode, pieces, between.encode()),
        frame=lambda ids: ids,
        special={},
        ends=(),
        to_json=lambda: json.dumps({'kind': name, 'state': state}, sort_keys=True),
    )


def frame_size(tokenizer: Tokenizer) -> int:
    """How many special tokens stand around a text."""
    return len(tokenizer.frame(np.zeros(0, tokenizer.dtype)))


def count_characters(piece: bytes) -> int:
    """How many characters start in some bytes of UTF-8."""
    return sum(byte & 0xC0 != 0x80 for byte in piece)


def frozen(characters: list[int]) -> np.ndarray:
    """`Tokenizer.characters` of a list: int32, and not to be written."""
    array = np.array(characters, np.int32)
    array.flags.writeable = False
    return array


def id_dtype(vocab_size: int) -> np.dtype:
    """The smallest unsigned type that holds the ids 0 to `vocab_size` − 1."""
    return np.dtype(np.min_scalar_type(max(vocab_size - 1, 0)))


def check_ids(ids: Any, vocab_size: int) -> list[int]:
    """Ids as a list of ints.

    Raises:
      ValueError: where one of them is no token.
    """
    ids = np.asarray(ids).reshape(-1)
    if ids.size and not (ids.min() >= 0 and ids.max() < vocab_size):
        raise ValueError(
            f'ids from {ids.min()} to {ids.max()} cannot be decoded: the vocabulary has '
            f'{vocab_size} tokens, from 0 on'
        )
    return ids.tolist()


def byte_letters() -> list[str]:
    """The letter that byte-level BPE writes each of the 256 bytes as.

    Visible Latin-1 characters stand for themselves; the rest follow from U+0100 on, in order.
    """
    visible = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    hidden = [value for value in range(256) if value not in visible]
    return [chr(b) if b in visible else chr(0x100 + hidden.index(b)) for b in range(256)]


def utf8(text: str) -> bytes:
    """The text's UTF-8 bytes.

    Raises:
      InputError: where it has none.
    """
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise no_utf8(error) from error


def no_utf8(error: UnicodeEncodeError) -> InputError:
    """What to tell about text that holds half a surrogate pair."""
    return InputError(
        f'the text cannot be encoded: character {error.start} is {error.object[error.start]!r}, '
        'a lone surrogate, which is no Unicode character'
    )


def _decode(pieces: tuple[bytes, ...], between: bytes, ids: Any) -> str:
    """Joins the tokens' bytes and reads them as UTF-8."""
    chosen = (pieces[i] for i in check_ids(ids, len(pieces)))
    return between.join(chosen).decode('utf-8', errors='replace')
