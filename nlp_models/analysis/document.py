"""What a report is made of, before it is a page (`html`) or a file of Markdown (`markdown`).

A document is a list of blocks; a text within it is a string or a tuple of strings and the small
things below. Whatever is written once here says the same in both.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

# What stands before the words of verdicts and outcomes, so that they are told by no colour alone.
SIGNS = {
    'supported': '✓',
    'refuted': '×',
    'qualified': '~',
    'inconclusive': '?',
    'not run': '–',
    'met': '✓',
    'failed': '×',
    'open': '?',
    'diverged': '!',
}


@dataclass(frozen=True)
class Code:
    """A formula, a file's name, a piece of a command."""

    text: str


@dataclass(frozen=True)
class File:
    """A file of the repository, by its path within it; a link where there is something to link."""

    path: str


@dataclass(frozen=True)
class Link:
    """A link to an anchor of this document."""

    text: 'Text'
    to: str


@dataclass(frozen=True)
class Strong:
    """Words that matter most."""

    text: str


@dataclass(frozen=True)
class Small:
    """What is said aside."""

    text: 'Text'


@dataclass(frozen=True)
class Break:
    """A new line."""


@dataclass(frozen=True)
class Number:
    """A number: what it is to the last digit, and how it is written."""

    value: float | int
    written: str


@dataclass(frozen=True)
class Mark:
    """A verdict or an outcome, one of `SIGNS`."""

    word: str


Text = str | Code | File | Link | Strong | Small | Break | Number | Mark | tuple[Any, ...]


@dataclass(frozen=True)
class Heading:
    """A heading of level 1 to 4, and where links find it."""

    level: int
    text: Text
    anchor: str = ''


@dataclass(frozen=True)
class Paragraph:
    """Text; kind is '', 'small', 'notice' (something is wrong) or 'contents' (links)."""

    text: Text
    kind: str = ''


@dataclass(frozen=True)
class Table:
    """A table; the first cell of a row names it."""

    header: tuple[str, ...]
    rows: tuple[tuple[Text, ...], ...]
    caption: Text = ''


@dataclass(frozen=True)
class Figure:
    """A PNG file with what it shows, told to who cannot see it by `alt` or else the caption."""

    file: Path
    caption: Text
    alt: str = ''


@dataclass(frozen=True)
class Definitions:
    """Names and what they are."""

    pairs: tuple[tuple[str, Text], ...]


@dataclass(frozen=True)
class Command:
    """What is typed, or read as it stands, in lines of its own."""

    text: str


@dataclass(frozen=True)
class Details:
    """Blocks that are shown when asked for."""

    summary: Text
    blocks: tuple[Any, ...]


@dataclass(frozen=True)
class Group:
    """Blocks that belong together; kind is 'claim' or ''."""

    anchor: str
    kind: str
    blocks: tuple[Any, ...]


def plain(text: Text) -> str:
    """The words of a text."""
    match text:
        case str():
            return text
        case tuple():
            return ''.join(plain(each) for each in text)
        case Break():
            return ' '
        case File(path):
            return path
        case Number(_, written):
            return written
        case Mark(word):
            return word
    return plain(text.text)
