"""From a config's `data` group to a corpus: named, versioned text, streamed split by split."""

import math
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from nlp_models.data import named_sets, text_files
from nlp_models.errors import InputError

SPLITS = ('train', 'validation', 'test')


class Corpus(NamedTuple):
    """Text in three splits.

    Attributes:
      name: of the TFDS set with its config, or of the file or folder.
      version: the TFDS set's, or the size of the text in the files.
      stream: `(split) -> iterator of str`, pieces of the split's text in order: about 1 MiB of a
        file at a time, a document of a TFDS set, ending with a blank line. Deterministic; can be
        called any number of times. Raises InputError for text that is not UTF-8.
    """

    name: str
    version: str
    stream: Callable[[str], Iterator[str]]


def open_corpus(data: Any) -> Corpus:
    """Opens the text that a config asks for.

    A text file or folder is cut into splits by position (`text_files.open_text`), a TFDS set has
    its own (`named_sets.open_named_set`), the set `pydoc` is made from the running Python.

    Args:
      data: with the fields `path` (a text file or folder; '' for a TFDS set), `name` (of the TFDS
        set), `splits` (shares of train, validation and test), `text_feature`, `tfds_dir` (where
        TFDS sets live; '' for TFDS's own choice, and `<cache_dir>/tfds` for pydoc) and `cache_dir`.

    Returns:
      The corpus. A TFDS set is prepared by now; of a file only the size is known.

    Raises:
      InputError: if the text cannot be had; the message names the field.
    """
    splits = check_splits(data.splits)
    if data.path:
        path = Path(data.path).expanduser()
        text = text_files.open_text(path, splits)
        return Corpus(
            path.name or str(path),
            f'{text.size} bytes',
            lambda split: text_files.stream_text(text, _check_split(split)),
        )
    if not data.name:
        raise InputError("name='' and path='': give the name of a TFDS set or the path of a text")
    folder = Path(data.tfds_dir).expanduser() if data.tfds_dir else None
    if folder is None and data.name == 'pydoc':
        folder = cache_folder(data) / 'tfds'
    named = named_sets.open_named_set(data.name, data.text_feature, splits, folder)
    return Corpus(
        named.name,
        named.version,
        lambda split: named_sets.stream_documents(named, _check_split(split)),
    )


def cache_folder(data: Any) -> Path:
    """Where this package keeps what it made from a text.

    Args:
      data: with the field `cache_dir`.

    Returns:
      `cache_dir`; where that is '' the environment's NLP_MODELS_CACHE, or `~/.cache/nlp_models`.
    """
    chosen = data.cache_dir or os.environ.get('NLP_MODELS_CACHE') or '~/.cache/nlp_models'
    return Path(chosen).expanduser()


def check_splits(splits: Any) -> tuple[float, float, float]:
    """Three shares of a whole, the first of them positive."""
    try:
        shares = tuple(splits)
    except TypeError:
        shares = ()
    numbers = all(isinstance(x, float | int) and math.isfinite(x) and x >= 0 for x in shares)
    if len(shares) != 3 or not numbers or shares[0] <= 0 or abs(sum(shares) - 1) > 1e-6:
        raise InputError(
            f'splits={splits!r} must be three numbers, none negative and the first positive, that '
            'sum to 1: the shares of train, validation and test, such as (0.9, 0.05, 0.05)'
        )
    return float(shares[0]), float(shares[1]), float(shares[2])


def _check_split(split: str) -> str:
    """A split's name."""
    if split not in SPLITS:
        raise ValueError(f'split={split!r} must be one of {", ".join(SPLITS)}')
    return split
