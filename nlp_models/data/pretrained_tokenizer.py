"""A tokenizer as a pretrained model brings it: the `tokenizer.json` of the library `tokenizers`.

The library does the work; here it becomes a `Tokenizer` like those learned from text, cut to no
length and filled up to none, and says what a task needs to know of its special tokens.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from tokenizers import Tokenizer as HuggingFaceTokenizer

from nlp_models.data.pieces import (
    Tokenizer,
    byte_letters,
    check_ids,
    count_characters,
    frozen,
    id_dtype,
    utf8,
)
from nlp_models.errors import InputError

SPECIAL = {
    'bos': ('<s>', '<bos>', '<|begin_of_text|>', '<|endoftext|>'),
    'eos': ('</s>', '<eos>', '<|end_of_text|>', '<|endoftext|>'),
    'cls': ('[CLS]',),
    'sep': ('[SEP]',),
    'mask': ('[MASK]', '<mask>'),
    'pad': ('[PAD]', '<pad>'),
    'unk': ('[UNK]', '<unk>'),
}
"""The names of special tokens, and how each is spelled where nobody says."""


def pretrained_tokenizer(
    json_text: str,
    special: Mapping[str, Any] | None = None,
    *,
    ends: Iterable[int] = (),
    source: str = 'tokenizer.json',
) -> Tokenizer:
    """Makes a tokenizer of the text of a `tokenizer.json`.

    It encodes as the library does, with truncation and padding switched off: a special token that
    is spelled out in a text is read as that token. A tokenizer that starts a text with a blank of
    its own does so wherever `encode` is called.

    `characters` is exact where the tokens are bytes (byte-level BPE). Elsewhere the normalizer may
    have changed the text, and a token counts as it is written: a WordPiece token that starts a word
    has one more for the blank before it, punctuation none; ▁ is a blank, so that the one a text
    begins with is counted too many. Special tokens count 0, the unknown one 1.

    Args:
      json_text: the file's content.
      special: special tokens by name (bos, eos, cls, sep, mask, pad, unk; also with `_token` or
        `_token_id` behind it, as model folders have them), each an id, a spelling, a dict with the
        spelling as `content`, or None. Other names are passed over. A name not given is looked up
        by the spellings of `SPECIAL` among the tokenizer's special tokens.
      ends: tokens that end a text, beside the one that is eos (chat models have several); an id
        that is no special token of this tokenizer was another's, and is passed over.
      source: what to call it in errors.

    Returns:
      The tokenizer, of kind `pretrained`.

    Raises:
      InputError: if the text is no tokenizer, or a special token is not in it.
    """
    try:
        library = HuggingFaceTokenizer.from_str(json_text)
    except Exception as error:  # the library raises nothing more exact
        raise InputError(f'{source!r} {_what_is_wrong(json_text, error)}') from error
    library.no_truncation()
    library.no_padding()
    saved = json.loads(library.to_str())
    vocabulary = library.get_vocab(with_added_tokens=True)
    size = max(library.get_vocab_size(with_added_tokens=True), 1 + max(vocabulary.values()))
    dtype = id_dtype(size)
    known = _special_ids(special or {}, saved, vocabulary, size, source)
    marked = {token['id'] for token in saved['added_tokens'] if token['special']}
    eos = [known['eos']] if 'eos' in known else []
    all_ends = (*eos, *sorted({*ends} & marked - {*eos}))
    before, after = (np.array(ids, dtype) for ids in _frame(library, vocabulary))

    def encode(text: str) -> np.ndarray:
        utf8(text)
        # The batch call leaves out the offsets, which nobody reads here.
        ids = library.encode_batch_fast([text], add_special_tokens=False)[0].ids
        return np.array(ids, dtype)

    def to_json() -> str:
        state = {'special': known, 'ends': all_ends, 'tokenizer': saved}
        return json.dumps({'kind': 'pretrained', 'state': state}, sort_keys=True)

    return Tokenizer(
        name='pretrained',
        vocab_size=size,
        dtype=dtype,
        characters=frozen(_characters(saved, vocabulary, size, known.get('unk'))),
        encode=encode,
        decode=lambda ids: library.decode(check_ids(ids, size), skip_special_tokens=True),
        frame=lambda ids: np.concatenate([before, np.asarray(ids, dtype), after]),
        special=known,
        ends=all_ends,
        to_json=to_json,
    )


def restore_pretrained(state: Mapping[str, Any]) -> Tokenizer:
    """A tokenizer from the state that its `to_json` wrote."""
    text = json.dumps(state['tokenizer'])
    return pretrained_tokenizer(text, state['special'], ends=state['ends'])


def _what_is_wrong(json_text: str, error: Exception) -> str:
    """The end of a sentence about a text that the library does not take."""
    try:
        json.loads(json_text)
    except ValueError as wrong:
        return f'is not JSON ({wrong}): a tokenizer.json is expected'
    return f'is no tokenizer of the library `tokenizers` ({" ".join(str(error).split())[:200]})'


def _special_ids(
    special: Mapping[str, Any],
    saved: dict[str, Any],
    vocabulary: dict[str, int],
    size: int,
    source: str,
) -> dict[str, int]:
    """The ids of the special tokens that are there, by name."""
    marked = {token['content'] for token in saved['added_tokens'] if token['special']}
    found = {}
    for name, spellings in SPECIAL.items():
        given = next((special[key] for key in (name, f'{name}_token', f'{name}_token_id')
                      if special.get(key) is not None), None)  # fmt: skip
        token = given.get('content') if isinstance(given, Mapping) else given
        if token is None:
            token = next((spelling for spelling in spellings if spelling in marked), None)
            if token is None:
                continue
        number = token if isinstance(token, int) else vocabulary.get(str(token))
        if number is None or not 0 <= number < size:
            raise InputError(
                f'{source!r} has no token {token!r}, which is given as its {name} token: give the '
                f'tokenizer that belongs to the model; its vocabulary has {size} tokens'
            )
        found[name] = number
    return found


def _frame(
    library: HuggingFaceTokenizer, vocabulary: dict[str, int]
) -> tuple[list[int], list[int]]:
    """What the tokenizer's post-processor puts before a single text, and after it."""
    for text in ('a', *list(vocabulary)[:1000]):
        plain = library.encode(text, add_special_tokens=False).ids
        if plain:
            framed = library.encode(text)
            start = framed.special_tokens_mask.index(0)
            return framed.ids[:start], framed.ids[start + len(plain) :]
    return [], []


def _characters(
    saved: dict[str, Any], vocabulary: dict[str, int], size: int, unknown: int | None
) -> list[int]:
    """How many characters each token stands for, as `pretrained_tokenizer` explains."""
    count = _counter(saved)
    counts = [0] * size
    for token, number in vocabulary.items():
        counts[number] = count(token)
    for token in saved['added_tokens']:  # these are spelled as the text is
        counts[token['id']] = 0 if token['special'] else len(token['content'])
    if unknown is not None:
        counts[unknown] = 1
    return counts


def _counter(saved: dict[str, Any]) -> Callable[[str], int]:
    """The rule by which a token's characters are counted, for the kind of model this is."""
    parts = json.dumps([saved['pre_tokenizer'], saved['decoder']])
    if '"ByteLevel"' in parts:
        to_byte = {letter: value for value, letter in enumerate(byte_letters())}
        return lambda token: count_characters(bytes(to_byte.get(letter, 0) for letter in token))
    if saved['model']['type'] == 'WordPiece':
        inside = saved['model']['continuing_subword_prefix']
        return lambda token: (
            len(token) - len(inside)
            if token.startswith(inside)
            else len(token) + token[:1].isalnum()
        )
    byte = re.compile('<0x([0-9A-F]{2})>')

    def count(token: str) -> int:
        found = byte.fullmatch(token)
        return count_characters(bytes.fromhex(found[1])) if found else len(token)

    return count
