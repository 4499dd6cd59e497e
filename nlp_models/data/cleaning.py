"""From raw documents to those worth training on, with a report of what went and why.

`quality` has the rules and `duplicates` what finds repetitions; the command `experiments.clean`
applies them to files.
"""

import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from nlp_models.data import duplicates, quality, text_files
from nlp_models.errors import InputError, require

STEPS = ('empty', 'exact duplicate', 'repeated parts', 'rules', 'near-duplicate')
"""What is done, in this order."""


class Drop(NamedTuple):
    """A document that went.

    Attributes:
      document: its number.
      step: of `STEPS`.
      why: in words, such as 'words: 12, not at least 50' or 'like document 7'.
    """

    document: int
    step: str
    why: str


class Report(NamedTuple):
    """What became of some documents.

    Attributes:
      characters: of each document as it came, `[documents]` int64.
      kept: numbers of the documents that are left, rising.
      left: characters that those have, `[kept]` int64: fewer where something was taken out.
      drops: of all others, in their order.
    """

    characters: np.ndarray
    kept: list[int]
    left: np.ndarray
    drops: list[Drop]

    def table(self) -> list[tuple[str, int, int]]:
        """(what, documents, characters) of all there were, of what went by reason, and of the rest.

        The characters that were taken out of documents which are left are one row, with no
        documents. Rows without documents and characters are left out, the last excepted.
        """
        rows = [('all', len(self.characters), int(self.characters.sum()))]
        for step in STEPS:
            found: dict[str, list[int]] = {}
            for drop in self.drops:
                if drop.step == step:
                    reason = drop.why.split(':')[0] if step == 'rules' else step
                    found.setdefault(reason, []).append(drop.document)
            rows += [
                (name, len(who), int(self.characters[who].sum())) for name, who in found.items()
            ]
            if step == 'repeated parts':
                cut = int(self.characters[self.kept].sum() - self.left.sum())
                rows += [('repeated parts of what is kept', 0, cut)] * (cut > 0)
        return [*rows, ('kept', len(self.kept), int(self.left.sum()))]


def clean(
    documents: Sequence[str],
    *,
    rules: Sequence[quality.Rule] = quality.GOPHER,
    exact: bool = True,
    repeated: str = 'lines',
    near: float = 0.8,
) -> tuple[list[str], Report]:
    """Drops what is empty, there before, against the rules or nearly there before, in this order.

    Args:
      documents: the texts.
      rules: that a document must meet.
      exact: whether to drop documents that are the same as an earlier one (`exact_duplicates`).
      repeated: what to take out that has stood before: 'lines', 'paragraphs' or 'none'
        (`drop_repeated`).
      near: Jaccard similarity from which a document is nearly the same as an earlier one
        (`near_duplicates`); 0 for not to look.

    Returns:
      (the documents that are left, in their order, the report).

    Raises:
      InputError: for a `near` or `repeated` that is none of these, or where near-duplicates need a
        library that is not installed.
    """
    require(0 <= near <= 1, 'near', near, 'must be from 0, for none, to 1')
    known = ('none', *duplicates.PARTS)
    require(repeated in known, 'repeated', repeated, f'must be one of {", ".join(known)}')
    drops: dict[int, Drop] = {}
    texts = list(documents)

    def drop(number: int, step: str, why: str) -> None:
        drops[number] = Drop(number, step, why)

    def left() -> list[int]:
        return [number for number in range(len(texts)) if number not in drops]

    for number in left():
        if not texts[number].strip():
            drop(number, 'empty', 'no characters but blanks')
    if exact:
        for number, first in enumerate(duplicates.exact_duplicates(texts).tolist()):
            if first != number:
                drop(number, 'exact duplicate', f'like document {first}')
    if repeated != 'none':
        kept = left()
        shorter = duplicates.drop_repeated([texts[number] for number in kept], repeated)
        for number, text in zip(kept, shorter, strict=True):
            texts[number] = text
            if not text:
                drop(number, 'repeated parts', f'all its {repeated} have stood before')
    for number in left():
        if broken := quality.first_broken(texts[number], rules):
            why = f'{broken.rule}: {broken.value:.3g}, not {broken.limit}'
            drop(number, 'rules', why)
    if near:
        kept = left()
        found = duplicates.near_duplicates([texts[number] for number in kept], threshold=near)
        for place, first in enumerate(found.first.tolist()):
            if first != place:
                drop(kept[place], 'near-duplicate', f'like document {kept[first]}')
    kept = left()
    return [texts[number] for number in kept], Report(
        characters=np.array([len(document) for document in documents], np.int64),
        kept=kept,
        left=np.array([len(texts[number]) for number in kept], np.int64),
        drops=[drops[number] for number in sorted(drops)],
    )


def read_documents(paths: Sequence[Path]) -> list[str]:
    """Reads documents from files and from the files of folders.

    Args:
      paths: files, and folders that are read recursively without what is hidden. A file `.jsonl`
        has an object with the field `text` a line; of any other, blank lines part the documents.

    Returns:
      The documents in the order of the paths; of a folder, of its files' names.

    Raises:
      InputError: if a file cannot be read, is not UTF-8 or, with the line's number, holds something
        else than it should; or if there is no document at all.
    """
    documents, files = [], [file for path in paths for file in text_files.list_files(path)]
    for path in files:
        try:
            text = path.read_bytes().removeprefix(b'\xef\xbb\xbf').decode()
        except OSError as error:
            raise InputError(f'{str(path)!r} cannot be read: {error.strerror or error}') from error
        except UnicodeDecodeError as error:
            raise InputError(
                f'{str(path)!r} is not UTF-8 at byte {error.start}: convert it to UTF-8 first'
            ) from error
        if path.suffix == '.jsonl':
            lines = text.removesuffix('\n').split('\n') if text else []
            documents += [_read_object(line, path, n) for n, line in enumerate(lines, 1)]
        else:
            parts = re.split(r'\r?\n(?:[^\S\n]*\n)+', text)
            documents += [part.strip('\r\n') for part in parts if part.strip()]
    if not documents:
        raise InputError(f'input {", ".join(map(str, paths))} has no document: give some text')
    return documents


def check_output(path: Path) -> None:
    """Raises an InputError where a file cannot be written: said before the work."""
    if not path.parent.is_dir():
        raise InputError(f'output {path} cannot be written: there is no folder {path.parent}')
    if path.is_dir() or not os.access(path.parent, os.W_OK):
        raise InputError(
            f'output {path} cannot be written: it is a folder, or its folder is locked'
        )


def write_documents(documents: Sequence[str], path: Path) -> None:
    """Writes documents as `read_documents` reads them.

    Args:
      documents: the texts.
      path: FILE.jsonl for an object a line, any other for texts with a blank line between.

    Raises:
      InputError: where a document has a blank line, which only a `.jsonl` can hold.
    """
    if path.suffix == '.jsonl':
        lines = [json.dumps({'text': document}, ensure_ascii=False) for document in documents]
        text = ''.join(f'{line}\n' for line in lines)
    else:
        for document in documents:
            whole = not re.search(r'\n\s*\n', document)
            require(whole, 'output', str(path), 'must end in .jsonl: a document has blank lines')
        text = ''.join(f'{document}\n\n' for document in documents).removesuffix('\n')
    partial = path.with_name(path.name + '.partial')
    partial.write_text(text, encoding='utf-8')
    partial.replace(path)


def _read_object(line: str, path: Path, number: int) -> str:
    """The text of a line of a JSONL file."""
    where = f'{str(path)!r}, line {number}'
    try:
        record = json.loads(line)
    except ValueError as error:
        raise InputError(f'{where} is not JSON ({error})') from error
    if not isinstance(record, dict) or 'text' not in record:
        fields = ', '.join(map(repr, record)) if isinstance(record, dict) else 'no object'
        raise InputError(f"{where} has no field 'text': it has {fields or 'none'}")
    text = record['text']
    if not isinstance(text, str):
        raise InputError(f"{where} has {str(text)[:60]!r} in its field 'text': give a string")
    return text
