"""The TFDS builder `pydoc`: the English that every Python carries, with no download.

Two sources: the topics behind Python's `help()`, one document each, and the docstrings of the
standard library, one document a source file (`pydoc_text` gathers them). The text belongs to the
interpreter that runs, so the builder's config is named for its version and a copy prepared by
another Python is never read.

Importing this module imports TFDS and registers the builder.
"""

import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds

from nlp_models.data.pydoc_text import SPLITS, read_documents, split_documents

CONFIG = 'python' + '.'.join(str(part) for part in sys.version_info[:3])
"""The builder config of the running interpreter, such as `python3.11.7`."""


class Pydoc(tfds.core.GeneratorBasedBuilder):
    """Help topics and standard library docstrings, split 90/5/5 by document."""

    name = 'pydoc'
    VERSION = tfds.core.Version('1.0.0')
    BUILDER_CONFIGS = [  # noqa: RUF012 (TFDS's own way to say it)
        tfds.core.BuilderConfig(name=CONFIG, description='The text of this Python version.')
    ]

    def _info(self) -> tfds.core.DatasetInfo:
        """Two features, both text; documents stay in the order in which they were dealt out."""
        return tfds.core.DatasetInfo(
            builder=self,
            description='The English of CPython: help topics and standard library docstrings.',
            features=tfds.features.FeaturesDict(
                {'name': tfds.features.Text(), 'text': tfds.features.Text()}
            ),
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator]:
        """Gathers all documents and deals them out; nothing is downloaded."""
        del dl_manager
        splits = split_documents(read_documents())
        return {split: self._generate_examples(splits[split]) for split in SPLITS}

    def _generate_examples(self, documents: list[tuple[str, str]]) -> Iterator:
        """Numbers the documents, as TFDS needs a key for each."""
        for index, (name, text) in enumerate(documents):
            yield index, {'name': name, 'text': text}


def prepare_pydoc(data_dir: Path) -> tfds.core.DatasetBuilder:
    """Opens the set, preparing it first where that has not been done.

    Any number of processes may do this at once: each prepares under a private folder and renames
    the result into place, which only the first can; the others take what they find there.

    Args:
      data_dir: the folder that TFDS sets live in; made if missing.

    Returns:
      The builder, prepared.

    Raises:
      InputError: if this Python carries no such text.
      OSError: if the folder cannot be written.
    """
    builder = Pydoc(data_dir=data_dir, config=CONFIG)
    if builder.is_prepared():
        return builder
    data_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=data_dir, prefix='.pydoc-') as private:
        fresh = Pydoc(data_dir=private, config=CONFIG)
        fresh.download_and_prepare(file_format='array_record')
        place = Path(builder.data_dir)
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.rename(fresh.data_dir, place)
        except OSError:
            if not builder.is_prepared():
                raise
    return Pydoc(data_dir=data_dir, config=CONFIG)
