"""From a config's `data` group to labelled texts, or labelled pairs of texts, for classification.

`records` reads what a user gives, `docstring_packages` is a set that every Python carries, and
`labelled_batches` cuts batches out of them.
"""

import functools
import hashlib
import json
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nlp_models.data import batches, corpora, named_sets
from nlp_models.data.docstring_packages import docstring_packages
from nlp_models.data.pairs import Ragged, encode_texts
from nlp_models.data.records import Record, read_named_records, read_records
from nlp_models.data.tokenizers import Tokenizer, learn_tokenizer
from nlp_models.data.tsv import split_pairs
from nlp_models.errors import InputError, require

LABELLED: dict[str, Callable[[], dict[str, list[tuple[str, str]]]]] = {
    'docstring_packages': docstring_packages
}
"""The labelled texts that are made here: text and label of each split."""


@dataclass(frozen=True, eq=False)  # equal to itself alone, so that what is asked of it can be kept
class Labelled:
    """Labelled texts, or labelled pairs of texts.

    Attributes:
      first: the texts' tokens, without special tokens.
      second: the second texts' tokens; None where there are no pairs.
      targets: `[texts]` int32, indices into the dataset's labels.
      texts: the texts themselves.
      second_texts: the second texts themselves; None where there are no pairs.
      tokenizer: whose ids these are.
    """

    first: Ragged
    second: Ragged | None
    targets: np.ndarray
    texts: list[str]
    second_texts: list[str] | None
    tokenizer: Tokenizer

    def __len__(self) -> int:
        """How many there are."""
        return len(self.texts)

    def take(self, indices: Any) -> 'Labelled':
        """Some of them.

        Args:
          indices: `[some]` integers, in any order and as often as wanted.

        Returns:
          Those texts, in the order of the indices.
        """
        indices = np.asarray(indices, np.int64)
        texts = self.second_texts
        return Labelled(
            first=_take(self.first, indices),
            second=None if self.second is None else _take(self.second, indices),
            targets=self.targets[indices],
            texts=[self.texts[i] for i in indices.tolist()],
            second_texts=None if texts is None else [texts[i] for i in indices.tolist()],
            tokenizer=self.tokenizer,
        )


class LabelledDataset(NamedTuple):
    """Labelled texts in three splits.

    Attributes:
      name: of the texts made here, of the TFDS set, or of the file.
      version: of what made them, of the set, or the size of the file.
      fingerprint: SHA-256, in hexadecimal: of all text, all labels and where the splits part.
      tokenizer: learned on the training split, unless it was given.
      labels: what the targets are indices of.
      train: what is trained on.
      validation: held out.
      test: held out, too.
    """

    name: str
    version: str
    fingerprint: str
    tokenizer: Tokenizer
    labels: tuple[str, ...]
    train: Labelled
    validation: Labelled
    test: Labelled


def load_labelled(data: Any, tokenizer: Tokenizer | None = None) -> LabelledDataset:
    """Opens the labelled texts that a config asks for.

    - `docstring_packages`: see there; the splits are its own.
    - a file of the user's: see `records`; dealt out by a hash of the (first) text, so that no text
      is in two splits, however often it occurs and whatever order the file is in.
    - a TFDS set: its own splits; those it lacks are cut as `named_sets` does.

    Args:
      data: with the fields `labelled` (one of `LABELLED`), `path` (a file) and `name` (of a TFDS
        set), of which one is given and the others are ''; `splits` (shares of train, validation and
        test), `text_field`, `second_field` ('' for texts that are no pairs) and `label_field` (of a
        JSON file or a TFDS set), `tfds_dir`, `labels` (in the order of the targets; empty for those
        of the training split, sorted, as numbers if all are), `lower` (whether all texts are turned
        to lower case first), `train_size` (training texts, drawn by `draw_balanced`; 0 for all),
        `sample_seed` (of that draw), `tokenizer` (the kind) and `vocab_size` (for bpe).
      tokenizer: where it is given and not to be learned; the last two fields are not read then.

    Returns:
      The texts, in memory.

    Raises:
      InputError: if they cannot be had, there are fewer than two labels, a label is not defined or
        one of validation or test has no training text; the message names the field, or the line.
    """
    given = [field for field in ('labelled', 'path', 'name') if data[field]]
    if len(given) != 1:
        told = ' and '.join(f'{field}={data[field]!r}' for field in given)
        raise InputError(
            f'{told or "labelled, path and name are empty"}: give one of labelled (one of '
            f'{", ".join(LABELLED)}), path (a file) and name (of a TFDS set)'
        )
    name, version, splits = _READ[given[0]](data)
    if data.lower:
        splits = {
            split: [r._replace(first=r.first.lower(), second=r.second.lower()) for r in records]
            for split, records in splits.items()
        }
    if not splits['train']:
        raise InputError(
            f'the training split of {name!r} is empty: give more texts, or splits with a larger '
            'share for training'
        )
    labels = _find_labels(name, splits, tuple(data.labels))
    size, count = data.train_size, len(splits['train'])
    should = f'must be from 0, for all, to the number of training texts, {count}'
    require(0 <= size <= count, 'train_size', size, should)
    require(data.sample_seed >= 0, 'sample_seed', data.sample_seed, 'must be at least 0')
    if size:
        targets = np.array([labels.index(record.label) for record in splits['train']])
        drawn = draw_balanced(targets, size, data.sample_seed)
        splits = {**splits, 'train': [splits['train'][i] for i in drawn]}
    if tokenizer is None:
        texts = (text for r in splits['train'] for text in (r.first, r.second) if text)
        tokenizer = learn_tokenizer(data.tokenizer, texts, data.vocab_size)
    made = {split: make_labelled(splits[split], labels, tokenizer) for split in corpora.SPLITS}
    return LabelledDataset(name, version, _fingerprint(splits, labels), tokenizer, labels, **made)


def make_labelled(
    records: Sequence[Record], labels: Sequence[str], tokenizer: Tokenizer
) -> Labelled:
    """Tokenizes labelled texts.

    Args:
      records: all of them pairs, or none.
      labels: in the order of the targets.
      tokenizer: of all texts.

    Returns:
      The texts, in the order given.

    Raises:
      InputError: where a text has no token, or a label is not among `labels`.
    """
    numbers = {label: number for number, label in enumerate(labels)}
    for record in records:
        if record.label not in numbers:
            raise _undefined(record, labels)
    firsts = [record.first for record in records]
    seconds = [record.second for record in records] if any(r.second for r in records) else None
    return Labelled(
        first=encode_texts(firsts, tokenizer, 'text'),
        second=None if seconds is None else encode_texts(seconds, tokenizer, 'second text'),
        targets=np.array([numbers[record.label] for record in records], np.int32),
        texts=firsts,
        second_texts=seconds,
        tokenizer=tokenizer,
    )


def draw_balanced(targets: np.ndarray, size: int, seed: int) -> np.ndarray:
    """Draws examples, of each label as many as of any other as long as it has them.

    What a seed draws of one size is among what it draws of any larger size.

    Args:
      targets: `[examples]` the label of each.
      size: how many to draw, at most all.
      seed: of the draw.

    Returns:
      `[size]` different indices, int64, rising.
    """
    order = batches.random_generator(seed, 1).permutation(len(targets))
    ranks = np.empty(len(targets), np.int64)  # how many of its label come before it in this order
    for target in np.unique(targets):
        mine = order[targets[order] == target]
        ranks[mine] = np.arange(len(mine))
    return np.sort(order[np.argsort(ranks[order], kind='stable')[:size]])


def _take(texts: Ragged, indices: np.ndarray) -> Ragged:
    """Some of the texts."""
    parts = [texts.ids[texts.offsets[i] : texts.offsets[i + 1]] for i in indices.tolist()]
    offsets = np.concatenate([[0], np.cumsum(texts.lengths[indices])]).astype(np.int64)
    return Ragged(np.concatenate([texts.ids[:0], *parts]), offsets)


Read = tuple[str, str, dict[str, list[Record]]]
"""Name, version, and the records of each split."""


def _read_made(data: Any) -> Read:
    """The texts that are made here."""
    if data.labelled not in LABELLED:
        known = ', '.join(LABELLED)
        raise InputError(
            f'labelled={data.labelled!r} is unknown: choose one of {known}, or give a path or name'
        )
    splits = {
        split: [Record(text, '', label, f'{data.labelled!r}, {split}') for text, label in examples]
        for split, examples in LABELLED[data.labelled]().items()
    }
    return data.labelled, 'python' + '.'.join(map(str, sys.version_info[:3])), splits


def _read_file(data: Any) -> Read:
    """A file of the user's."""
    path = Path(data.path).expanduser()
    shares = corpora.check_splits(data.splits)
    records = read_records(path, data.text_field, data.second_field, data.label_field)
    # Texts go to the splits with the places of their records, which lead back to those.
    texts = [record.first.lower() if data.lower else record.first for record in records]
    dealt = split_pairs([(text, str(place)) for place, text in enumerate(texts)], shares)
    splits = {split: [records[int(place)] for _, place in part] for split, part in dealt.items()}
    return path.name, f'{path.stat().st_size} bytes', splits


def _read_named(data: Any) -> Read:
    """A TFDS set."""
    folder = Path(data.tfds_dir).expanduser() if data.tfds_dir else None
    shares = corpora.check_splits(data.splits)
    named = named_sets.open_named_set(data.name, data.text_field, shares, folder)
    read = functools.partial(read_named_records, named)
    splits = {split: read(split, data.second_field, data.label_field) for split in corpora.SPLITS}
    return named.name, named.version, splits


_READ: dict[str, Callable[[Any], Read]] = {
    'labelled': _read_made, 'path': _read_file, 'name': _read_named
}  # fmt: skip


def _find_labels(
    name: str, splits: dict[str, list[Record]], given: tuple[str, ...]
) -> tuple[str, ...]:
    """The labels in order, after checking that there is something to learn of each."""
    trained = {record.label for record in splits['train']}
    numbers = all(re.fullmatch(r'-?\d+', label) for label in trained)
    by_number = (lambda label: (int(label), label)) if numbers else None
    labels: tuple[str, ...] = given or tuple(sorted(trained, key=by_number))
    if len(set(labels)) != len(labels):
        raise InputError(f'labels={labels!r} has a label twice: give each once')
    for split in corpora.SPLITS:
        for record in splits[split]:
            if given and record.label not in given:
                raise _undefined(record, given)
            if record.label not in trained:
                raise InputError(
                    f'{record.where} is for {split} and has the label {record.label!r}, which no '
                    f'training text has ({_list(sorted(trained))}): give more texts of it, or '
                    'other splits'
                )
    if len(labels) < 2:
        raise InputError(f'{name!r} has the label {_list(labels)!r} alone: there must be two')
    return labels


def _undefined(record: Record, labels: Sequence[str]) -> InputError:
    """What to tell about a label that is not defined."""
    return InputError(
        f'{record.where} has the label {record.label!r}, which is not among the labels defined: '
        f'{_list(labels)}'
    )


def _list(labels: Sequence[str]) -> str:
    """Labels as they are shown in an error."""
    more = f' and {len(labels) - 20} more' if len(labels) > 20 else ''
    return ', '.join(labels[:20]) + more


def _fingerprint(splits: dict[str, list[Record]], labels: tuple[str, ...]) -> str:
    """SHA-256 of the labels and the digests of the three splits' records."""
    digests = []
    for split in corpora.SPLITS:
        digest = hashlib.sha256()
        for first, second, label, _ in splits[split]:
            digest.update(json.dumps([first, second, label]).encode())
        digests.append(digest.hexdigest())
    return hashlib.sha256(json.dumps([labels, digests]).encode()).hexdigest()
