"""From a config's `data` group to pairs of texts: a source, and the target that belongs to it.

Pairs for sequence-to-sequence models, which read the source and write the target, and for
contrastive training, which tells who belongs to whom. `pair_batches` cuts batches out of them.
"""

import functools
import hashlib
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nlp_models.data import corpora, procedural
from nlp_models.data.docstring_pairs import docstring_halves
from nlp_models.data.scan import scan_splits
from nlp_models.data.tokenizers import Tokenizer, learn_tokenizer
from nlp_models.data.tsv import Pair, read_tsv, split_pairs
from nlp_models.errors import InputError, require

PAIRS = (*procedural.RULES, 'scan_simple', 'scan_length', 'scan_add_jump', 'docstring_halves')
"""The pairs that are made here."""

HELD_OUT_STRINGS = 1000
"""How many strings of a procedural task the validation and the test split have each."""


class Ragged(NamedTuple):
    """Texts of different lengths as token ids, end to end.

    Attributes:
      ids: `[tokens]`.
      offsets: `[texts + 1]` int64: text i is `ids[offsets[i]:offsets[i + 1]]`.
    """

    ids: np.ndarray
    offsets: np.ndarray

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each text."""
        return np.diff(self.offsets)


@dataclass(frozen=True, eq=False)  # equal to itself alone, so that what is asked of it can be kept
class Pairs:
    """A finite set of pairs.

    Attributes:
      source: the sources' tokens.
      target: the targets' tokens.
      source_texts: the sources themselves.
      target_texts: the targets themselves, what a prediction's text is compared with.
      tokenizer: whose ids these are.
    """

    source: Ragged
    target: Ragged
    source_texts: Sequence[str]
    target_texts: Sequence[str]
    tokenizer: Tokenizer

    def __len__(self) -> int:
        """How many pairs."""
        return len(self.target_texts)

    @functools.cached_property
    def source_numbers(self) -> np.ndarray:
        """`[pairs]` int32, equal where the sources are."""
        return _numbers(self.source_texts)

    @functools.cached_property
    def target_numbers(self) -> np.ndarray:
        """`[pairs]` int32, equal where the targets are."""
        return _numbers(self.target_texts)


@dataclass(frozen=True, eq=False)
class DrawnPairs:
    """Pairs without end, drawn by a rule as they are wanted.

    Attributes:
      rule: of `procedural.RULES`.
      min_length: letters of a string at least, and so tokens of source and target.
      max_length: at most.
      tokenizer: whose ids the letters get.
    """

    rule: str
    min_length: int
    max_length: int
    tokenizer: Tokenizer


class PairDataset(NamedTuple):
    """Pairs in three splits.

    Attributes:
      name: of the pairs made here, or of the file.
      version: of the rule that made them, or the size of the file.
      fingerprint: SHA-256, in hexadecimal: of all text and where the splits part; of drawn pairs,
        of what they are drawn by.
      tokenizer: one for sources and targets, learned on the training split's, unless it was given.
      train: what is trained on.
      validation: held out.
      test: held out, too.
    """

    name: str
    version: str
    fingerprint: str
    tokenizer: Tokenizer
    train: Pairs | DrawnPairs
    validation: Pairs
    test: Pairs


def begin_id(tokenizer: Tokenizer) -> int:
    """BEGIN = V, the token that a target is begun from; the tokenizer itself has no such token."""
    return tokenizer.vocab_size


def end_id(tokenizer: Tokenizer) -> int:
    """END = V + 1, the token that says that a target ends."""
    return tokenizer.vocab_size + 1


def pair_vocab_size(tokenizer: Tokenizer) -> int:
    """V + 2, the tokens that a sequence-to-sequence model has: the tokenizer's, BEGIN and END."""
    return tokenizer.vocab_size + 2


def load_pairs(data: Any, tokenizer: Tokenizer | None = None) -> PairDataset:
    """Opens the pairs that a config asks for.

    - `reverse`, `sort`: strings of letters, see `procedural`; training draws them, validation and
      test are `HELD_OUT_STRINGS` = 1000 held-out strings each (fewer where there are fewer).
    - `scan_simple`, `scan_length`, `scan_add_jump`: see `scan`; a twentieth of what is published as
      the training part is the validation part.
    - `docstring_halves`: see `docstring_pairs`.
    - a file of the user's: see `tsv`.

    Args:
      data: with the fields `pairs` (one of `PAIRS`; '' for a file), `path` (the file; '' for the
        others), `splits` (of the file, shares of train, validation and test), `tokenizer` (the
        kind) and `vocab_size` (for bpe), `min_length` and `max_length` (letters of the procedural
        strings).
      tokenizer: where it is given and not to be learned; those two fields are not read then.

    Returns:
      The pairs, in memory.

    Raises:
      InputError: if they cannot be had; the message names the field, or the file's line.
    """
    if data.path and data.pairs:
        raise InputError(f'pairs={data.pairs!r} and path={data.path!r}: give one of them')
    if data.path:
        path = Path(data.path).expanduser()
        shares = corpora.check_splits(data.splits)
        pairs = read_tsv(path)
        named = path.name, f'{path.stat().st_size} bytes'
        return _finite(named, split_pairs(pairs, shares), data, tokenizer)
    known = ', '.join(PAIRS)
    if data.pairs not in PAIRS:
        raise InputError(f'pairs={data.pairs!r} is unknown: choose one of {known}, or give a path')
    if data.pairs in procedural.RULES:
        return _drawn(data, tokenizer)
    if data.pairs == 'docstring_halves':
        version = 'python' + '.'.join(str(part) for part in sys.version_info[:3])
        return _finite((data.pairs, version), docstring_halves(), data, tokenizer)
    return _finite((data.pairs, '1'), scan_splits(data.pairs[5:]), data, tokenizer)


def held_out_pairs(
    pairs: DrawnPairs, split: str, *, number: int, min_length: int, max_length: int
) -> Pairs:
    """Held-out pairs of a procedural task, of any length.

    Args:
      pairs: the training split, whatever lengths it draws.
      split: validation or test.
      number: of pairs, all different; fewer where there are fewer of these lengths.
      min_length: letters; equal to `max_length` for one length alone.
      max_length: letters.

    Returns:
      The pairs, by length; the same for every seed.
    """
    strings = procedural.held_out_strings(
        split, number=number, min_length=min_length, max_length=max_length
    )
    made = procedural.apply_rule(pairs.rule, strings)
    texts = zip(procedural.as_text(strings), procedural.as_text(made), strict=True)
    return make_pairs(list(texts), pairs.tokenizer)


def make_pairs(pairs: list[Pair], tokenizer: Tokenizer) -> Pairs:
    """Tokenizes pairs.

    Args:
      pairs: sources and targets.
      tokenizer: of both.

    Returns:
      The pairs, in the order given.

    Raises:
      InputError: where a text has no token.
    """
    sources = [source for source, _ in pairs]
    targets = [target for _, target in pairs]
    return Pairs(
        source=encode_texts(sources, tokenizer, 'source'),
        target=encode_texts(targets, tokenizer, 'target'),
        source_texts=sources,
        target_texts=targets,
        tokenizer=tokenizer,
    )


def encode_texts(texts: Sequence[str], tokenizer: Tokenizer, what: str) -> Ragged:
    """Texts as tokens.

    Args:
      texts: each is encoded once, however often it occurs.
      tokenizer: for all.
      what: they are, for the error.

    Returns:
      Their ids, without special tokens.

    Raises:
      InputError: where a text has no token.
    """
    known: dict[str, np.ndarray] = {}
    for text in texts:
        if text not in known:
            known[text] = tokenizer.encode(text)
    encoded = [known[text] for text in texts]
    lengths = np.array([len(ids) for ids in encoded], np.int64)
    if not lengths.all():
        text = texts[int(np.argmin(lengths))]
        raise InputError(f'the {what} {text[:60]!r} has no token: give it a text to read')
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    return Ragged(np.concatenate([np.zeros(0, tokenizer.dtype), *encoded]), offsets)


def _numbers(texts: Sequence[str]) -> np.ndarray:
    numbers: dict[str, int] = {}
    return np.array([numbers.setdefault(text, len(numbers)) for text in texts], np.int32)


def _finite(
    named: tuple[str, str],
    splits: dict[str, list[Pair]],
    data: Any,
    tokenizer: Tokenizer | None,
) -> PairDataset:
    """A dataset of finite splits; the tokenizer is learned on the training one."""
    name, version = named
    train = splits['train']
    if not train:
        raise InputError(
            f'the training split of {name!r} is empty: give more pairs, or splits with a larger '
            'share for training'
        )
    if tokenizer is None:
        texts = (text for pair in train for text in pair)
        tokenizer = learn_tokenizer(data.tokenizer, texts, data.vocab_size)
    return PairDataset(
        name=name,
        version=version,
        fingerprint=_fingerprint(splits),
        tokenizer=tokenizer,
        train=make_pairs(train, tokenizer),
        validation=make_pairs(splits['validation'], tokenizer),
        test=make_pairs(splits['test'], tokenizer),
    )


def _drawn(data: Any, tokenizer: Tokenizer | None) -> PairDataset:
    """A dataset whose training pairs are drawn; letters are its tokens."""
    shortest, longest = data.min_length, data.max_length
    require(shortest >= 1, 'min_length', shortest, 'must be at least 1')
    require(longest >= shortest, 'max_length', longest, f'must be at least min_length, {shortest}')
    if tokenizer is None:
        tokenizer = learn_tokenizer(data.tokenizer, [procedural.ALPHABET], data.vocab_size)
    require(
        tokenizer.name in ('chars', 'bytes'),
        'tokenizer',
        tokenizer.name,
        f'must be chars or bytes for {data.pairs!r}, whose tokens are letters',
    )
    train = DrawnPairs(data.pairs, shortest, longest, tokenizer)
    held = {
        split: held_out_pairs(
            train, split, number=HELD_OUT_STRINGS, min_length=shortest, max_length=longest
        )
        for split in procedural.HELD_OUT
    }
    rule = [data.pairs, procedural.ALPHABET, shortest, longest]
    texts = {
        split: list(zip(pairs.source_texts, pairs.target_texts, strict=True))
        for split, pairs in held.items()
    }
    fingerprint = _fingerprint({'train': [('rule', json.dumps(rule))], **texts})
    return PairDataset(data.pairs, '1', fingerprint, tokenizer, train=train, **held)


def _fingerprint(splits: dict[str, list[Pair]]) -> str:
    """SHA-256 of the digests of the three splits' pairs, a tab within each and a line end after."""
    digests = []
    for split in corpora.SPLITS:
        digest = hashlib.sha256()
        for source, target in splits[split]:
            digest.update(f'{source}\t{target}\n'.encode())
        digests.append(digest.hexdigest())
    return hashlib.sha256(''.join(digests).encode()).hexdigest()
