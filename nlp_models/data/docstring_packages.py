"""Docstrings of the standard library, each labelled with the package that it comes from.

Texts with real labels in every Python, with no download: which of about ten packages does this
docstring belong to? Their names are masked, and no file is in two splits, so what is learned is
what the packages are about and how they are written, not whose name stands in the text.
"""

import re
import sysconfig
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path

from nlp_models.data.pydoc_text import list_docstrings
from nlp_models.errors import InputError

SHORTEST = 40
"""Characters that a docstring has at least, its blanks counted as one each."""

PROSE = 0.75
"""The share of a docstring's characters that are letters and blanks, at least: no tables."""

FILES = 5
"""Files that a package has at least, so that each split gets some of its own."""

DOCSTRINGS = 100
"""Docstrings that a package has at least."""

SHARES = {'train': 0.6, 'validation': 0.15, 'test': 0.25}
"""Each split's share of a package's docstrings, as nearly as whole files allow."""

PLACEHOLDER = 'PACKAGE'
"""What stands in a text where one of the packages was named."""

Example = tuple[str, str]
"""A text and its label."""


def docstring_packages(root: Path | None = None) -> dict[str, list[Example]]:
    """Labels every docstring of some prose with the top-level package of its file.

    The packages are those folders of the standard library that have `FILES` files and `DOCSTRINGS`
    docstrings at least. Wherever the name of any of them is a word of any text, in whatever case
    and also as a part of a dotted or underscored name, `PLACEHOLDER` stands in its place: the name
    of another package would tell, too. A package's files go to the splits by `deal_files`. A text
    that two packages have is left out, and one that a package has twice is there once.

    Args:
      root: the folder of the sources; the standard library's unless given.

    Returns:
      `(text, package)` of `train`, `validation` and `test`, runs of blanks and line ends each
      turned into one blank; by package, then by file.

    Raises:
      InputError: if there are no sources, or fewer than two such packages among them.
    """
    root = Path(sysconfig.get_paths()['stdlib']) if root is None else root
    packages: dict[str, dict[str, list[str]]] = defaultdict(dict)
    for name, texts in list_docstrings(root):
        _, package, *rest = name.split('/')
        prose = [text for text in (' '.join(text.split()) for text in texts) if _is_prose(text)]
        if rest and prose:
            packages[package][name] = prose
    chosen = {
        package: files
        for package, files in sorted(packages.items())
        if len(files) >= FILES and sum(map(len, files.values())) >= DOCSTRINGS
    }
    if len(chosen) < 2:
        raise InputError(
            f"labelled='docstring_packages' needs two packages of {FILES} files and {DOCSTRINGS} "
            f'docstrings, and {str(root)!r} has {len(chosen)}: use a full CPython, or give a path'
        )
    masked = {
        package: {name: mask_names(texts, chosen) for name, texts in files.items()}
        for package, files in chosen.items()
    }
    owners = Counter(text for files in masked.values() for text in set().union(*files.values()))
    splits: dict[str, list[Example]] = {split: [] for split in SHARES}
    for package, files in masked.items():
        kept, seen = {}, set()
        for name, texts in files.items():
            texts = [text for text in dict.fromkeys(texts) if owners[text] == 1]
            kept[name] = [text for text in texts if text not in seen]
            seen.update(texts)
        split_of = deal_files({name: len(texts) for name, texts in kept.items()})
        for name, texts in kept.items():
            splits[split_of[name]] += [(text, package) for text in texts]
    return splits


def mask_names(texts: Iterable[str], names: Iterable[str]) -> list[str]:
    """Puts `PLACEHOLDER` wherever one of the names is a word.

    Args:
      texts: to be masked.
      names: words; letters and digits beside one make another word of it, underscores and full
        stops do not.

    Returns:
      The texts, none of which has any of the names as a word, in any case.
    """
    some = '|'.join(re.escape(name) for name in names)
    pattern = re.compile(rf'(?<![^\W_])(?:{some})(?![^\W_])', re.IGNORECASE)
    return [pattern.sub(PLACEHOLDER, text) for text in texts]


def deal_files(sizes: dict[str, int]) -> dict[str, str]:
    """Deals the files of a package out to the splits, whole.

    From the largest file on, each goes to the split that lacks most of its share of `SHARES`. So
    every split has a file of its own where there are as many, except that one huge file may leave
    a split nothing it lacks; such a split then gets the smallest file of the split that has most.

    Args:
      sizes: file name to how many docstrings it has.

    Returns:
      File name to split.
    """
    total = sum(sizes.values())
    lacking = {split: share * total for split, share in SHARES.items()}
    dealt: dict[str, list[str]] = {split: [] for split in SHARES}
    for name in sorted(sizes, key=lambda name: (-sizes[name], name)):
        split = max(lacking, key=lambda split: lacking[split])
        lacking[split] -= sizes[name]
        dealt[split].append(name)
    for split in SHARES:
        richest = max(dealt.values(), key=len)
        if not dealt[split] and len(richest) > 1:
            dealt[split].append(richest.pop())
    return {name: split for split, names in dealt.items() for name in names}


def _is_prose(text: str) -> bool:
    """Whether a docstring, its blanks made one each, is long enough and mostly words."""
    letters = sum(character.isalpha() or character == ' ' for character in text)
    return len(text) >= SHORTEST and letters >= PROSE * len(text)
