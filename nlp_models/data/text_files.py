"""Text files as a corpus: checked, cut into splits by position, streamed in pieces.

A folder's files are joined as if they were one file; no file is ever whole in memory.
"""

import codecs
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from nlp_models.errors import InputError

SEPARATOR = '\n\n'
"""What stands between two files of a folder: a blank line."""

_CHUNK = 1 << 20  # bytes read at a time


class Part(NamedTuple):
    """A stretch of the joined text: some bytes of a file, or the separator where `path` is None.

    Attributes:
      path: the file.
      skip: bytes at the file's start that are not text (a byte order mark).
      start: position of the part in the joined text, in bytes.
      size: bytes.
    """

    path: Path | None
    skip: int
    start: int
    size: int


class JoinedText(NamedTuple):
    """The files of a text in order, and where the validation and the test split start.

    Attributes:
      parts: the stretches of the joined text, without gaps.
      size: bytes in all.
      cuts: `(validation, test)`, positions in bytes, both at the start of a character.
    """

    parts: tuple[Part, ...]
    size: int
    cuts: tuple[int, int]


def open_text(path: Path, splits: tuple[float, float, float]) -> JoinedText:
    """Finds the files, measures them and cuts them into splits.

    A folder is all its regular files, hidden ones (and hidden folders) left out, recursively, in
    sorted order of their relative paths, joined by a blank line; files without text do not count.
    A byte order mark at a file's start is dropped: it marks the encoding and is no text. Nothing
    else is changed, line ends included. Cuts are measured in bytes and moved forward to where the
    next character starts.

    Args:
      path: a file or a folder.
      splits: shares of train, validation and test, summing to 1.

    Returns:
      The text, to be read by `stream_text`.

    Raises:
      InputError: if the path does not exist, is neither file nor folder, cannot be read, or holds
        no text.
    """
    parts: list[Part] = []
    position = 0
    for file in list_files(path):
        skip, size = _measure(file)
        if size == 0:
            continue
        if parts:
            parts.append(Part(None, 0, position, len(SEPARATOR)))
            position += len(SEPARATOR)
        parts.append(Part(file, skip, position, size))
        position += size
    if not parts:
        raise InputError(f'path={str(path)!r} is empty: give a UTF-8 text with some characters')
    train, validation, test = splits
    # A split of share 0 is empty whatever the rounding of the sum before it.
    ends = (position * train, position if test == 0 else position * (train + validation))
    cuts = [_next_character(parts, min(int(end), position)) for end in ends]
    return JoinedText(tuple(parts), position, (cuts[0], cuts[1]))


def stream_text(text: JoinedText, split: str) -> Iterator[str]:
    """Reads a split, about 1 MiB at a time.

    Args:
      text: from `open_text`.
      split: train, validation or test.

    Yields:
      Pieces of the split's text, in order.

    Raises:
      InputError: if a file is not UTF-8 (with the offset of its first wrong byte), cannot be read,
        or has changed since it was opened.
    """
    bounds = (0, *text.cuts, text.size)
    which = ('train', 'validation', 'test').index(split)
    begin, end = bounds[which], bounds[which + 1]
    for part in text.parts:
        low, high = max(begin, part.start), min(end, part.start + part.size)
        if low >= high:
            continue
        if part.path is None:
            yield SEPARATOR[low - part.start : high - part.start]
        else:
            yield from _read(part.path, part.skip + low - part.start, part.skip + high - part.start)


def list_files(path: Path) -> list[Path]:
    """The files of a text in the order in which they are joined.

    Args:
      path: a file, or a folder, which is read as `open_text` says.

    Returns:
      Regular files.

    Raises:
      InputError: if the path does not exist, is neither file nor folder, or cannot be read.
    """
    try:
        if path.is_file():
            return [path]
        exists = path.exists()
    except OSError as error:
        raise _unreadable(error, path) from error
    if not exists:
        raise InputError(f'path={str(path)!r} does not exist: give a text file or a folder of them')
    if not path.is_dir():
        raise InputError(f'path={str(path)!r} is neither a regular file nor a folder')
    found = []
    for folder, subfolders, names in os.walk(path, onerror=_refuse):
        subfolders[:] = [name for name in subfolders if not name.startswith('.')]
        found += [Path(folder, name) for name in names if not name.startswith('.')]
    found = [file for file in found if file.is_file()]
    return sorted(found, key=lambda file: file.relative_to(path).as_posix())


def _measure(path: Path) -> tuple[int, int]:
    """How many bytes a file has before its text, and in it."""
    try:
        with path.open('rb') as file:
            skip = 3 if file.read(3) == codecs.BOM_UTF8 else 0
            return skip, os.fstat(file.fileno()).st_size - skip
    except OSError as error:
        raise _unreadable(error, path) from error


def _next_character(parts: list[Part], position: int) -> int:
    """The first position from the given one on at which a character starts."""
    for part in parts:
        if part.path is not None and part.start <= position < part.start + part.size:
            offset = position - part.start
            try:
                with part.path.open('rb') as file:
                    file.seek(part.skip + offset)
                    ahead = file.read(min(3, part.size - offset))
            except OSError as error:
                raise _unreadable(error, part.path) from error
            # A character has at most three continuation bytes; where more follow the file is not
            # UTF-8, which reading it will say.
            starts = [i for i, byte in enumerate(ahead) if byte & 0xC0 != 0x80]
            return position + (starts[0] if starts else len(ahead))
    return position


def _read(path: Path, begin: int, end: int) -> Iterator[str]:
    """Decodes the bytes of a file from `begin` to `end`, both at the start of a character."""
    held = b''  # the first bytes of a character whose rest is still to be read
    try:
        with path.open('rb') as file:
            file.seek(begin)
            while begin < end:
                read = file.read(min(_CHUNK, end - begin))
                if not read:
                    raise InputError(
                        f'{str(path)!r} has become shorter while it was read: leave the text alone '
                        'while a run is starting'
                    )
                first = begin - len(held)
                begin += len(read)
                try:
                    text, used = codecs.utf_8_decode(held + read, 'strict', begin == end)
                except UnicodeDecodeError as error:
                    raise InputError(
                        f'{str(path)!r} is not UTF-8 at byte {first + error.start} '
                        f'({error.reason}): convert it to UTF-8 first'
                    ) from error
                held = (held + read)[used:]
                if text:
                    yield text
    except OSError as error:
        raise _unreadable(error, path) from error


def _refuse(error: OSError) -> None:
    """Makes `os.walk` stop at a folder that cannot be listed, which it would pass over."""
    raise _unreadable(error, error.filename) from error


def _unreadable(error: OSError, path: object) -> InputError:
    """What to tell about a file that the system does not hand out."""
    return InputError(f'{str(path)!r} cannot be read: {error.strerror or error}')
