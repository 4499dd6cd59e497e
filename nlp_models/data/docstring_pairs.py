"""Pairs of the two halves of a docstring, from the standard library of the running Python.

The English that every Python carries, as pairs that belong together: to find a docstring's other
half among all others is a retrieval task with no download and no labels.
"""

import re
import sysconfig
from pathlib import Path

from nlp_models.data.pydoc_text import (
    join_docstrings,
    list_docstrings,
    read_topics,
    split_documents,
)

SHORTEST = 80
"""Characters that a docstring has at least, its blanks counted as one each."""

PROSE = 0.75
"""The share of a docstring's characters that are letters and blanks, at least: no tables."""

_SENTENCE_END = re.compile(r'[.!?:][)"\'`]*(?=\s)|(?=\n\s*\n)')


def docstring_halves(root: Path | None = None) -> dict[str, list[tuple[str, str]]]:
    """Cuts every docstring of some prose in two.

    A docstring is in the split in which the set `pydoc` has the document of its file, so whoever
    has trained on that set's training part has not seen the halves tested here. A docstring is left
    out where it is short or no prose (`SHORTEST`, `PROSE`), or where one of its halves has been
    there before, in any split: every half has one other half, and none is in two splits.

    Args:
      root: the folder of the sources; the standard library's unless given.

    Returns:
      `(first half, second half)` of `train`, `validation` and `test`, runs of blanks and line ends
      each turned into one blank.

    Raises:
      InputError: if this Python has no help topics or no sources.
    """
    root = Path(sysconfig.get_paths()['stdlib']) if root is None else root
    files = list_docstrings(root)
    documents = [*read_topics(), *((name, join_docstrings(texts)) for name, texts in files)]
    dealt = split_documents(documents)
    split_of = {name: split for split, named in dealt.items() for name, _ in named}
    pairs: dict[str, list[tuple[str, str]]] = {split: [] for split in dealt}
    seen: set[str] = set()
    for name, texts in files:
        for text in filter(_is_prose, texts):
            halves = cut_in_half(text)
            if seen.isdisjoint(halves):
                pairs[split_of[name]].append(halves)
            seen.update(halves)
    return pairs


def cut_in_half(text: str) -> tuple[str, str]:
    """Cuts a text at the end of a sentence or paragraph, else of a line, else of a word.

    The end nearest to the middle is taken, of sentences and of lines if it is in the middle half.

    Args:
      text: with at least two words.

    Returns:
      Its two parts, their runs of blanks and line ends each turned into one blank.
    """
    text = text.strip()
    middle = len(text) / 2
    for ends in (_SENTENCE_END, re.compile(r'(?=\n)'), re.compile(r'(?=\s)')):
        places = [found.end() for found in ends.finditer(text)]
        nearest = min(places, key=lambda place: abs(place - middle), default=0)
        if abs(nearest - middle) <= len(text) / 4:
            break
    return ' '.join(text[:nearest].split()), ' '.join(text[nearest:].split())


def _is_prose(text: str) -> bool:
    """Whether a docstring is long enough, and mostly words."""
    text = ' '.join(text.split())
    letters = sum(character.isalpha() or character == ' ' for character in text)
    return len(text) >= SHORTEST and letters >= PROSE * len(text)
