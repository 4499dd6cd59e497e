"""Text to token ids and back: bytes, characters, words, byte-level BPE, and tokenizers as given.

All but the given ones are learned from training text. Whatever the tokenizer, each token knows how
many Unicode characters start in it, so a loss in nats a token turns into bits a character without
looking at the text again.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from tokenizers import Tokenizer as HuggingFaceTokenizer
from tokenizers import models, pre_tokenizers, trainers

from nlp_models.data.pieces import (
    UNKNOWN,
    Tokenizer,
    byte_letters,
    id_dtype,
    make_tokenizer,
    no_utf8,
    utf8,
)
from nlp_models.data.pretrained_tokenizer import restore_pretrained
from nlp_models.errors import InputError

BPE_TRAINING_CHARACTERS = 50_000_000
"""How many characters of the training split BPE is trained on at most, from its start."""


def learn_tokenizer(kind: str, texts: Iterable[str], vocab_size: int) -> Tokenizer:
    """Makes the tokenizer of a kind from the text it may learn from.

    Args:
      kind: `bytes` (learns nothing), `chars` (the sorted distinct characters of `texts` after the
        unknown token, id 0), `words` (likewise what stands between blanks, of any kind; a text
        comes back with its words one blank apart) or `bpe` (byte-level, so that nothing is unknown;
        trained on the first `BPE_TRAINING_CHARACTERS` = 50 million characters of `texts`;
        deterministic).
      texts: the training split in pieces, read once and only as far as needed.
      vocab_size: tokens, for `bpe` alone: an upper bound, as a short text has few pairs to merge.

    Returns:
      The tokenizer.

    Raises:
      InputError: if the kind is unknown, or `vocab_size` is less than the 256 bytes BPE needs.
    """
    tokenizer_settings(kind, vocab_size)
    return _LEARN[kind](texts, vocab_size)


def tokenizer_settings(kind: str, vocab_size: int) -> dict[str, Any]:
    """Checks what is asked for and returns all that the learned vocabulary depends on but the text.

    Args:
      kind: of those that are learned.
      vocab_size: tokens, read for `bpe` alone.

    Returns:
      A JSON-serializable dict.

    Raises:
      InputError: as `learn_tokenizer`.
    """
    if kind not in _LEARN:
        raise InputError(f'tokenizer={kind!r} is unknown: choose one of {", ".join(_LEARN)}')
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
    return TOKENIZERS[saved['kind']](saved['state'])


# ---- bytes ----------------------------------------------------------------------------------


def _make_bytes(state: None = None) -> Tokenizer:
    """The 256 bytes of UTF-8, each its own token."""
    del state
    pieces = tuple(bytes([value]) for value in range(256))
    return make_tokenizer(
        'bytes', pieces, lambda text: np.frombuffer(utf8(text), np.uint8), state=None
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
    table = np.zeros(0x110000, id_dtype(len(pieces)))
    table[_code_points(alphabet)] = np.arange(1, len(pieces))
    return make_tokenizer('chars', pieces, lambda text: table[_code_points(text)], state=alphabet)


def _code_points(text: str) -> np.ndarray:
    """The text's characters as `[len(text)]` uint32."""
    try:
        return np.frombuffer(text.encode('utf-32-le'), '<u4')
    except UnicodeEncodeError as error:
        raise no_utf8(error) from error


# ---- words ----------------------------------------------------------------------------------


def _learn_words(texts: Iterable[str]) -> Tokenizer:
    """Takes the distinct words of the texts, in the order of their code points."""
    seen: set[str] = set()
    for text in texts:
        seen.update(text.split())
    return _make_words(sorted(seen))


def _make_words(words: list[str]) -> Tokenizer:
    """Id 0 is any other word; id i is the i-th of the words, counted from 1."""
    pieces = (UNKNOWN.encode(), *(utf8(word) for word in words))
    numbers = {word: number for number, word in enumerate(words, 1)}

    def encode(text: str) -> np.ndarray:
        utf8(text)
        return np.array([numbers.get(word, 0) for word in text.split()], id_dtype(len(pieces)))

    return make_tokenizer('words', pieces, encode, state=words, between=' ')


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
    to_byte = {letter: value for value, letter in enumerate(byte_letters())}
    spelled = sorted(bpe.get_vocab().items(), key=lambda item: item[1])
    pieces = tuple(bytes(to_byte[letter] for letter in token) for token, _ in spelled)

    def encode(text: str) -> np.ndarray:
        utf8(text)
        # The batch call leaves out the offsets, which nobody reads here.
        ids = bpe.encode_batch_fast([text], add_special_tokens=False)[0].ids
        return np.array(ids, id_dtype(len(pieces)))

    return make_tokenizer('bpe', pieces, encode, state=state)


def _first_characters(texts: Iterable[str], limit: int) -> Iterator[str]:
    """The texts as far as `limit` characters."""
    for text in texts:
        yield text[:limit]
        limit -= len(text)
        if limit <= 0:
            return


# ---- the table ------------------------------------------------------------------------------


_LEARN: dict[str, Callable[[Iterable[str], int], Tokenizer]] = {
    'bytes': lambda texts, vocab_size: _make_bytes(),
    'chars': lambda texts, vocab_size: _learn_characters(texts),
    'words': lambda texts, vocab_size: _learn_words(texts),
    'bpe': _learn_bpe,
}

TOKENIZERS: dict[str, Callable[[Any], Tokenizer]] = {
    'bytes': _make_bytes,
    'chars': _make_characters,
    'words': _make_words,
    'bpe': _make_bpe,
    'pretrained': restore_pretrained,
}
"""How each kind is restored from its state."""
