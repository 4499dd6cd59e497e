"""The lines of a user's file."""

from pathlib import Path

from nlp_models.errors import InputError


def read_lines(path: Path, *, file: str, line: str) -> list[bytes]:
    """Reads a file's lines, which end with LF; a byte order mark is dropped.

    Args:
      path: the file.
      file: what file is wanted, to end an error with, such as 'a text file with a source a line'.
      line: what is wanted a line, likewise, such as 'a source'.

    Returns:
      The lines without their ends; what follows the last line's end is none.

    Raises:
      InputError: if the file cannot be read or is empty.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(
            f'path={str(path)!r} cannot be read ({error.strerror or error}): give {file}'
        ) from error
    lines = content.removeprefix(b'\xef\xbb\xbf').split(b'\n')
    if not lines[-1]:
        lines.pop()
    if not lines:
        raise InputError(f'path={str(path)!r} is empty: give {line} a line')
    return lines
