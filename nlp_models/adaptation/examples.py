"""Examples of a user's file: JSON objects a line, or a table whose first line names its columns."""

import hashlib
import json
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nlp_models.adaptation.prompts import Example, as_text
from nlp_models.errors import InputError, require


def read_examples(path: str | Path, fields: Sequence[str]) -> list[dict[str, Any]]:
    """Read a file of examples.

    Args:
      path: a UTF-8 file that ends in .jsonl, an object a line, or .tsv, a header and then as many
        tab-separated values a line. A byte order mark is dropped, lines end with LF or CRLF.
      fields: those that every example must have.

    Returns:
      The examples in the order of the file, with all of their fields; values are texts (those of
      JSON that are none as JSON writes them), lists of texts, or null, which counts as missing.

    Raises:
      InputError: if the file cannot be read, has another ending or no example, and, with the line's
        number, for a line that does not parse or lacks a field.
    """
    path = Path(path)
    if path.suffix not in ('.jsonl', '.tsv'):
        raise InputError(f'path={str(path)!r} must end in .jsonl or .tsv, by what is in it')
    try:
        content = path.read_bytes().decode('utf-8-sig')
    except OSError as error:
        raise InputError(
            f'path={str(path)!r} cannot be read ({error.strerror or error}): give a .jsonl or '
            '.tsv file'
        ) from error
    except UnicodeDecodeError as error:
        raise InputError(
            f'path={str(path)!r} is not UTF-8 at its byte {error.start}: convert it first'
        ) from error
    lines = [line.removesuffix('\r') for line in content.split('\n')]
    while lines and not lines[-1].strip():
        lines.pop()
    numbered = [(f'{str(path)!r}, line {number}', line) for number, line in enumerate(lines, 1)]
    rows = _objects(numbered) if path.suffix == '.jsonl' else _table(numbered)
    if not rows:
        raise InputError(f'path={str(path)!r} has no examples')
    for where, row in rows:
        for name in fields:
            if row.get(name) is None:
                there = ', '.join(key for key, value in row.items() if value is not None)
                raise InputError(f'{where} has no field {name!r}: it has {there or "none"}')
    return [row for _, row in rows]


def split_examples(
    examples: Sequence[Example], share: float, *, ignore: Collection[str] = (), seed: int = 0
) -> tuple[list[Example], list[Example]]:
    """Deal examples out to two parts by a hash of what is in them.

    Examples that are alike stay together, so none of one part is in the other, whatever the order
    of the file; the share is met up to that.

    Args:
      examples: the examples.
      share: of the first part, in [0, 1].
      ignore: fields that do not make two examples different, such as the answer.
      seed: another one is another split.

    Returns:
      (the part, the rest), each in the order given.

    Raises:
      InputError: for a share that is none.
    """
    require(0 <= share <= 1, 'share', share, 'must be from 0 to 1')

    def digest(example: Example) -> bytes:
        content = sorted((k, as_text(v)) for k, v in example.items() if k not in ignore)
        return hashlib.sha256(json.dumps([seed, content]).encode()).digest()

    digests = [digest(example) for example in examples]
    order = sorted(range(len(examples)), key=digests.__getitem__)
    cut = round(share * len(examples))
    while 0 < cut < len(order) and digests[order[cut]] == digests[order[cut - 1]]:
        cut += 1
    first = np.zeros(len(examples), bool)
    first[order[:cut]] = True
    return (
        [each for each, chosen in zip(examples, first, strict=True) if chosen],
        [each for each, chosen in zip(examples, first, strict=True) if not chosen],
    )


def _objects(lines: list[tuple[str, str]]) -> list[tuple[str, dict[str, Any]]]:
    """The objects of JSON lines, each with its place."""
    rows = []
    for where, line in lines:
        try:
            value = json.loads(line)
        except ValueError as error:
            raise InputError(f'{where} is not JSON ({error}): {_shorten(line)}') from error
        if not isinstance(value, dict):
            raise InputError(f'{where} is no JSON object: {_shorten(line)}')
        rows.append((where, {name: _plain(each) for name, each in value.items()}))
    return rows


def _plain(value: Any) -> Any:
    """Texts, lists of texts and null as they are, anything else as a text."""
    if isinstance(value, list):
        return [as_text(each) for each in value]
    return None if value is None else as_text(value)


def _table(lines: list[tuple[str, str]]) -> list[tuple[str, dict[str, Any]]]:
    """The rows of a table by the names in its first line."""
    if not lines:
        return []
    names = [name.strip() for name in lines[0][1].split('\t')]
    if len(set(names)) < len(names) or not all(names):
        raise InputError(f'{lines[0][0]} must name each column once: {_shorten(lines[0][1])}')
    rows = []
    for where, line in lines[1:]:
        values = line.split('\t')
        if len(values) != len(names):
            raise InputError(
                f'{where} has {len(values)} values, the header {len(names)} names: {_shorten(line)}'
            )
        rows.append((where, dict(zip(names, values, strict=True))))
    return rows


def _shorten(text: str) -> str:
    """A line as it is shown in an error."""
    return repr(text if len(text) <= 60 else text[:57] + '...')
