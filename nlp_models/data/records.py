"""Labelled texts as they lie in a file of the user's, tab-separated or JSON, or in a TFDS set."""

import json
from pathlib import Path
from typing import Any, NamedTuple

from absl import logging

from nlp_models.data.lines import read_lines
from nlp_models.data.named_sets import NamedSet, stream_fields
from nlp_models.errors import InputError


class Record(NamedTuple):
    """A labelled text, or pair of texts.

    Attributes:
      first: the text, never empty.
      second: the other text of a pair; '' where there is none.
      label: never empty.
      where: it stands, for errors, such as "'reviews.tsv', line 7".
    """

    first: str
    second: str
    label: str
    where: str


def read_records(path: Path, text_field: str, second_field: str, label_field: str) -> list[Record]:
    """Reads a file of labelled texts, checking every line.

    A file whose name ends with `.jsonl` holds a JSON object a line, with texts and label in the
    fields named. Any other holds `text TAB label` or `first TAB second TAB label` a line, as its
    first line says, and no names of fields.

    Args:
      path: a UTF-8 text file; a byte order mark is dropped, lines end with LF or CRLF.
      text_field: of JSON, the text's, a string.
      second_field: of JSON, the second text's, a string; '' for texts that are no pairs.
      label_field: of JSON, the label's, a string or an integer.

    Returns:
      The records in the order of the file, blanks around texts and labels stripped.

    Raises:
      InputError: if the file cannot be read or is empty, or for the first line, with its number,
        that is not UTF-8, is not JSON or not as wide as line 1, or lacks a field or has it empty.
    """
    wanted = 'a file with a text, a tab and a label a line, or a JSON object a line (.jsonl)'
    lines = read_lines(path, file=wanted, line='a labelled text')
    as_json = path.suffix == '.jsonl'
    tabs = lines[0].count(b'\t')
    if as_json:
        names = [text_field, *([second_field] if second_field else []), label_field]
    else:
        names = ['first text', 'second text', 'label'] if tabs == 2 else ['text', 'label']
    records = []
    for number, line in enumerate(lines, 1):
        where = f'{str(path)!r}, line {number}'
        text = _decode(line, where)
        values = _read_json(text, where, names) if as_json else _read_tabs(text, where, tabs)
        for name, value in zip(names, values, strict=True):
            if not value:
                raise InputError(f'{where} has an empty {name}: {_shorten(text)}')
        first, *second, label = values
        records.append(Record(first, second[0] if second else '', label, where))
    return records


def read_named_records(
    named_set: NamedSet, split: str, second_field: str, label_field: str
) -> list[Record]:
    """Reads the labelled texts of a TFDS set; those that the set gives no class of are left out.

    Args:
      named_set: its text feature is the text's.
      split: train, validation or test.
      second_field: the feature of the second text; '' for texts that are no pairs.
      label_field: the feature of the label: a class, an integer or a text.

    Returns:
      The records in the order of the set, blanks around texts stripped.

    Raises:
      InputError: if the set has no such features, or a text is empty or not UTF-8.
    """
    fields = [named_set.text_feature, *([second_field] if second_field else []), label_field]
    records, left_out = [], 0
    for index, values in stream_fields(named_set, split, fields):
        where = f'{named_set.name!r}, example {index} of {split}'
        *texts, label = (value.strip() for value in values)
        for field, text in zip(fields, texts, strict=False):
            if not text:
                raise InputError(f'{where} has nothing in its feature {field!r}: choose another')
        if label:
            records.append(Record(texts[0], texts[1] if second_field else '', label, where))
        else:
            left_out += 1
    if left_out:
        logging.info('%d examples of %s have no label and are left out', left_out, split)
    return records


def _decode(line: bytes, where: str) -> str:
    """A line as text, without the CR of its end."""
    try:
        return line.decode().removesuffix('\r')
    except UnicodeDecodeError as error:
        raise InputError(
            f'{where} is not UTF-8 at its byte {error.start}: convert the file to UTF-8 first'
        ) from error


def _read_tabs(text: str, where: str, tabs: int) -> list[str]:
    """What stands between the tabs of a line."""
    values = [value.strip() for value in text.split('\t')]
    found = len(values) - 1
    if found not in (1, 2):
        raise InputError(
            f'{where} has {found or "no"} tab{"" if found == 1 else "s"} in {_shorten(text)}: give '
            'a text, a tab and a label, or two texts and a label with tabs between'
        )
    if found != tabs:
        raise InputError(
            f'{where} has {found} tab{"" if found == 1 else "s"} where line 1 has {tabs}, in '
            f'{_shorten(text)}: give as many texts in every line'
        )
    return values


def _read_json(text: str, where: str, names: list[str]) -> list[str]:
    """The fields of a line's object."""
    try:
        record: Any = json.loads(text)
    except ValueError as error:
        raise InputError(f'{where} is not JSON ({error}): {_shorten(text)}') from error
    if not isinstance(record, dict):
        raise InputError(f'{where} is no JSON object: {_shorten(text)}')
    values = []
    for name in names:
        if name not in record:
            raise InputError(
                f'{where} has no field {name!r}: it has {", ".join(map(repr, record)) or "none"}'
            )
        value = record[name]
        right = isinstance(value, str) or (name == names[-1] and type(value) is int)
        if not right:
            kind = 'a string or an integer' if name == names[-1] else 'a string'
            raise InputError(
                f'{where} has {_shorten(str(value))} in its field {name!r}: give {kind}'
            )
        try:
            str(value).encode()
        except UnicodeEncodeError as error:
            raise InputError(
                f'{where} has half a surrogate pair in its field {name!r}, which is no character'
            ) from error
        values.append(str(value).strip())
    return values


def _shorten(text: str) -> str:
    """A line as it is shown in an error."""
    return repr(text if len(text) <= 60 else text[:57] + '...')
