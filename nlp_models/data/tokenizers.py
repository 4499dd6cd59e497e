"""Bytes, characters and byte-level BPE: text to token ids and back, learned from training text.

Whatever the tokenizer, each token knows how many Unicode characters start in it, so a loss in
nats a token turns into bits a character without looking at the text again.
"""

import functools
import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
from tokenizers import Tokenizer as HuggingFaceTokenizer
from tokenizers import models, pre_tokenizers, trainers

from nlp_models.errors import InputError

BPE_TRAINING_CHARACTERS = 50_000_000
"""How many characters of the training split BPE is trained on at most, from its start."""

UNKNOWN = '\ufffd'
"""What the character tokenizer's token 0 decodes to: a character the training split lacks."""


class Tokenizer(NamedTuple):
    """A fixed vocabulary and the two ways through it.

    Attributes:
      name: the kind, a key of `TOKENIZERS`.
      vocab_size: V, the number of tokens.
      dtype: the smallest of uint8, uint16 and uint32 that holds every id.
      characters: `[V]` int32, how many Unicode characters start in each token (its UTF-8 bytes
        that are not continuation bytes); summed over the tokens of a text it is the text's length
        in characters. The character tokenizer's unknown token stands for one character.
      encode: `(text) -> ids`, a 1-D array of `dtype`. Raises InputError for text that has no UTF-8
        form (lone surrogates).
      decode: `(ids) -> text`; bytes that are no UTF-8 become U+FFFD. Raises ValueError for an id
        outside the vocabulary.
      to_json: `() -> str`, what `tokenizer_from_json` reads.
    """

    name: str
    vocab_size: int
    dtype: np.dtype
    characters: np.ndarray
    encode: Callable[[str], np.ndarray]
    decode: Callable[[Any], str]
    to_json: Callable[[], str]


def learn_tokenizer(kind: str, texts: Iterable[str], vocab_size: int) -> Tokenizer:
    """Makes the tokenizer of a kind from the text it may learn from.

    Args:
      kind: `bytes` (learns nothing), `chars` (the sorted distinct characters of `texts` after the
        unknown token, id 0) or `bpe` (byte-level, so that nothing is unknown; trained on the first
        `BPE_TRAINING_CHARACTERS` = 50 million characters of `texts`; deterministic).
      texts: the training split in pieces, read once and only as far as needed.
      vocab_size: tokens, for `bpe` alone: an upper bound, as a short text has few pairs to merge.

    Returns:
      The tokenizer.

    Raises:
      InputError: if the kind is unknown, or `vocab_size` is less than the 256 bytes BPE needs.
    """
    tokenizer_settings(kind, vocab_size)
    return TOKENIZERS[kind].learn(texts, vocab_size)


def tokenizer_settings(kind: str, vocab_size: int) -> dict[str, Any]:
    """Checks what is asked for and returns all that the learned vocabulary depends on but the text.

    Args:
      kind: a key of `TOKENIZERS`.
      vocab_size: tokens, read for `bpe` alone.

    Returns:
      A JSON-serializable dict.

    Raises:
      InputError: as `learn_tokenizer`.
    """
    if kind not in TOKENIZERS:
        raise InputError(f'tokenizer={kind!r} is unknown: choose one of {", ".join(TOKENIZERS)}')
    if kind != 'bpe':
        return {'kind': kind}
    if vocab_size < 256:
        raise InputError(
            f'vocab_size={vocab_size} is too small: byte-level BPE starts from 256 bytes, so give '
            'at least 256'
        )
    return {'kind': kind, 'vocab_size': vocab_size, 'trained_on': BPE_TRAINING_CHARACTERS}


def tokenizer_from_json(text: str) -> Tokenizer:
    """Reads a tokenizer back from `Tokenizer.to_json`.

    Args:
      text: the JSON text.

    Returns:
      A tokenizer that encodes and decodes as the one written.

    Raises:
      ValueError: if the text is not what `to_json` writes.
    """
    saved = json.loads(text)
    if not isinstance(saved, dict) or saved.get('kind') not in TOKENIZERS or 'state' not in saved:
        raise ValueError(f'not a saved tokenizer: {text[:80]!r}')
    return TOKENIZERS[saved['kind']].restore(saved['state'])


# ---- bytes ----------------------------------------------------------------------------------


def _make_bytes(state: None = None) -> Tokenizer:
    """The 256 bytes of UTF-8, each its own token."""
    del state
    pieces = tuple(bytes([value]) for value in range(256))
    return _make_tokenizer(
        'bytes', pieces, lambda text: np.frombuffer(_utf8(text), np.uint8), state=None
    )


# ---- characters -----------------------------------------------------------------------------


def _learn_characters(texts: Iterable[str]) -> Tokenizer:
    """Takes the distinct characters of the texts, in the order of their code points."""
    seen: set[str] = set()
    for text in texts:
        seen.update(text)
    return _make_characters(''.join(sorted(seen)))


def _make_characters(alphabet: str) -> Tokenizer:
    """Id 0 is any other character; id i is the i-th of the alphabet, counted from 1."""
    pieces = (UNKNOWN.encode(), *(character.encode() for character in alphabet))
    # A table over all code points makes encoding one gather, with 0 wherever nothing was learned.
    table = np.zeros(0x110000, _id_dtype(len(pieces)))
    table[_code_points(alphabet)] = np.arange(1, len(pieces))
    return _make_tokenizer('chars', pieces, lambda text: table[_code_points(text)], state=alphabet)


def _code_points(text: str) -> np.ndarray:
    """The text's characters as `[len(text)]` uint32."""
    try:
        return np.frombuffer(text.encode('utf-32-le'), '<u4')
    except UnicodeEncodeError as error:
        raise _no_utf8(error) from error


# ---- byte-level BPE -------------------------------------------------------------------------


def _learn_bpe(texts: Iterable[str], vocab_size: int) -> Tokenizer:
    """Merges the most frequent pairs inside words, from bytes up, until the vocabulary is full."""
    bpe = HuggingFaceTokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(_first_characters(texts, BPE_TRAINING_CHARACTERS), trainer)
    return _make_bpe(json.loads(bpe.to_str()))


def _make_bpe(state: dict[str, Any]) -> Tokenizer:
    """Wraps a Hugging Face tokenizer, given as its own JSON object."""
    bpe = HuggingFaceTokenizer.from_str(json.dumps(state))
    to_byte = {letter: value for value, letter in enumerate(_byte_letters())}
    spelled = sorted(bpe.get_vocab().items(), key=lambda item: item[1])
    pieces = tuple(bytes(to_byte[letter] for letter in token) for token, _ in spelled)

    def encode(text: str) -> np.ndarray:
        _utf8(text)
        # The batch call leaves out the offsets, which nobody reads here.
        ids = bpe.encode_batch_fast([text], add_special_tokens=False)[0].ids
        return np.array(ids, _id_dtype(len(pieces)))

    return _make_tokenizer('bpe', pieces, encode, state=state)


def _byte_letters() -> list[str]:
    """The letter that byte-level BPE writes each of the 256 bytes as.

    Visible Latin-1 characters stand for themselves; the rest follow from U+0100 on, in order.
    """
    visible = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    hidden = [value for value in range(256) if value not in visible]
    return [chr(b) if b in visible else chr(0x100 + hidden.index(b)) for b in range(256)]


def _first_characters(texts: Iterable[str], limit: int) -> Iterator[str]:
    """The texts as far as `limit` characters."""
    for text in texts:
        yield text[:limit]
        limit -= len(text)
        if limit <= 0:
            return


# ---- what they share ------------------------------------------------------------------------


class _Kind(NamedTuple):
    """How a kind of tokenizer is learned from `(texts, vocab_size)` and restored from its state."""

    learn: Callable[[Iterable[str], int], Tokenizer]
    restore: Callable[[Any], Tokenizer]


TOKENIZERS: dict[str, _Kind] = {
    'bytes': _Kind(lambda texts, vocab_size: _make_bytes(), _make_bytes),
    'chars': _Kind(lambda texts, vocab_size: _learn_characters(texts), _make_characters),
    'bpe': _Kind(_learn_bpe, _make_bpe),
}


def _make_tokenizer(
    name: str, pieces: tuple[bytes, ...], encode: Callable[[str], np.ndarray], state: Any
) -> Tokenizer:
    """Completes a tokenizer from the UTF-8 bytes of each token, its encoder and its JSON state."""
    characters = np.array([sum(b & 0xC0 != 0x80 for b in piece) for piece in pieces], np.int32)
    characters.flags.writeable = False
    saved = {'kind': name, 'state': state}
    return Tokenizer(
        name=name,
        vocab_size=len(pieces),
        dtype=_id_dtype(len(pieces)),
        characters=characters,
        encode=encode,
        decode=functools.partial(_decode, pieces),
        to_json=lambda: json.dumps(saved, sort_keys=True),
    )


def _decode(pieces: tuple[bytes, ...], ids: Any) -> str:
    """Joins the tokens' bytes and reads them as UTF-8."""
    ids = np.asarray(ids).reshape(-1)
    if ids.size and not (ids.min() >= 0 and ids.max() < len(pieces)):
        raise ValueError(
            f'ids from {ids.min()} to {ids.max()} cannot be decoded: the vocabulary has '
            f'{len(pieces)} tokens, from 0 on'
        )
    return b''.join(pieces[i] for i in ids.tolist()).decode('utf-8', errors='replace')


def _id_dtype(vocab_size: int) -> np.dtype:
    """The smallest unsigned type that holds the ids 0 to `vocab_size` − 1."""
    return np.dtype(np.min_scalar_type(max(vocab_size - 1, 0)))


def _utf8(text: str) -> bytes:
    """The text's UTF-8 bytes."""
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise _no_utf8(error) from error


def _no_utf8(error: UnicodeEncodeError) -> InputError:
    """What to tell about text that holds half a surrogate pair."""
    return InputError(
        f'the text cannot be encoded: character {error.start} is {error.object[error.start]!r}, '
        'a lone surrogate, which is no Unicode character'
    )
