"""Gathers the English that comes with CPython: the language reference and the docstrings.

Pure functions of the running interpreter's files; `pydoc` makes a TFDS set of them.
"""

import ast
import hashlib
import importlib
import os
import sysconfig
import warnings
from pathlib import Path

from nlp_models.errors import InputError

Document = tuple[str, str]
"""A name, such as `topics/for` or `Lib/json/decoder.py`, and the text that goes under it."""

SPLITS = {'train': 0.9, 'validation': 0.05, 'test': 0.05}
"""Each split's share of the characters."""

_SKIPPED_FOLDERS = {
    'site-packages', 'dist-packages', 'test', 'tests', 'idle_test', '__pycache__',
}  # fmt: skip


def read_documents() -> list[Document]:
    """Reads the help topics and the standard library's docstrings of the running Python.

    Returns:
      The documents: topics by name, then source files by path; none is without text.

    Raises:
      InputError: if this Python was installed without `pydoc_data` or without its sources.
    """
    return [*read_topics(), *read_docstrings(Path(sysconfig.get_paths()['stdlib']))]


def read_topics() -> list[Document]:
    """Reads the pages of the language reference that `help()` shows.

    Returns:
      One document a topic, named `topics/<topic>`, sorted by name.

    Raises:
      InputError: if this Python was installed without them.
    """
    try:
        topics = importlib.import_module('pydoc_data.topics').topics
    except (ImportError, AttributeError) as error:
        raise InputError(
            "name='pydoc' needs a Python with its help topics, and this one was installed without "
            'the module pydoc_data.topics: use a full CPython, or give a text as path'
        ) from error
    found = ((f'topics/{name}', _clean(topics[name])) for name in sorted(topics))
    return [(name, text) for name, text in found if text]


def read_docstrings(root: Path) -> list[Document]:
    """Reads the docstrings of all Python sources in a folder and its subfolders.

    Args:
      root: the folder, such as the standard library's.

    Returns:
      One document a source file, named `Lib/<relative path>`, sorted by path: its docstrings as
      `list_docstrings` has them, a blank line between them.

    Raises:
      InputError: if there is no docstring in any file there.
    """
    return [(name, join_docstrings(texts)) for name, texts in list_docstrings(root)]


def join_docstrings(texts: list[str]) -> str:
    """The docstrings of a file as one document."""
    return '\n\n'.join(texts)


def list_docstrings(root: Path) -> list[tuple[str, list[str]]]:
    """Reads the docstrings of all Python sources in a folder, each by itself.

    Tests, installed packages, files that do not parse and files that are not UTF-8 are passed over.

    Args:
      root: the folder, such as the standard library's.

    Returns:
      For each file that has any, its name `Lib/<relative path>`, sorted by path, and the docstrings
      of the module, its classes and functions in the order they are written.

    Raises:
      InputError: if there is no docstring in any file there.
    """
    found = ((path, _docstrings(path)) for path in list_sources(root))
    files = [(f'Lib/{path.relative_to(root).as_posix()}', texts) for path, texts in found if texts]
    if not files:
        raise InputError(
            "name='pydoc' needs the standard library's sources, and there are none in "
            f'{str(root)!r}: use a full CPython, or give a text as path'
        )
    return files


def split_documents(
    documents: list[Document], shares: dict[str, float] | None = None
) -> dict[str, list[Document]]:
    """Deals whole documents out to the splits, in an order that only their names decide.

    The documents are ordered by the SHA-256 of their names, and the characters counted through; a
    document belongs where its middle character falls. So the shares are met up to half a
    document, and a document added or removed moves few others.

    Args:
      documents: names and texts.
      shares: split name to its share of the characters, summing to 1; `SPLITS` unless given.

    Returns:
      Split name to its documents.
    """
    shares = SPLITS if shares is None else shares
    ordered = sorted(documents, key=lambda document: hashlib.sha256(document[0].encode()).digest())
    total = sum(len(text) for _, text in ordered)
    splits: dict[str, list[Document]] = {name: [] for name in shares}
    names = list(shares)
    ends = [total * sum(list(shares.values())[: i + 1]) for i in range(len(names))]
    before = 0
    for name, text in ordered:
        middle = before + len(text) / 2
        before += len(text)
        split = next((s for s, end in zip(names, ends, strict=True) if middle < end), names[-1])
        splits[split].append((name, text))
    return splits


def list_sources(root: Path) -> list[Path]:
    """The `.py` files below a folder, sorted, without tests and installed packages."""
    paths = []
    for folder, subfolders, files in os.walk(root):
        subfolders[:] = [name for name in subfolders if name not in _SKIPPED_FOLDERS]
        paths += [Path(folder, name) for name in files if name.endswith('.py')]
    return sorted(paths)


def _docstrings(path: Path) -> list[str]:
    """The docstrings of a source file in the order they are written."""
    try:
        with warnings.catch_warnings():
            # Old sources hold escapes that newer parsers warn about; their text is still text.
            warnings.simplefilter('ignore')
            tree = ast.parse(path.read_text(encoding='utf-8'))
    except (OSError, ValueError, SyntaxError, RecursionError):
        return []
    nodes = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    nodes.sort(key=lambda node: (node.lineno, node.col_offset))
    found = (_clean(ast.get_docstring(node, clean=True) or '') for node in [tree, *nodes])
    return [text for text in found if text]


def _clean(text: str) -> str:
    """Strips blank ends, and turns half surrogate pairs, which have no UTF-8 form, into '?'."""
    return text.strip().encode('utf-8', errors='replace').decode()
