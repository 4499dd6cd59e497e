"""Named TFDS sets as a corpus: opened, downloaded where that can be done, streamed by document.

TFDS itself is imported inside the functions here, and needs no TensorFlow to read a prepared set.
"""

import contextlib
import difflib
import importlib
import io
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from absl import logging

from nlp_models.data.reachability import unreachable_hosts
from nlp_models.errors import InputError

SEPARATOR = '\n\n'
"""What every document ends with, so that the texts can be joined: a blank line."""

_LANGUAGE_PACKAGES = (
    'text', 'question_answering', 'summarization', 'text_simplification', 'translate',
)  # fmt: skip

_FETCHED = 256  # documents read at a time


class NamedSet(NamedTuple):
    """A prepared TFDS set.

    Attributes:
      name: with its config, such as `wiki40b/en`.
      version: of the set.
      sources: split to the data source it is read from and the range of documents in it.
      text_feature: the feature that holds the text.
    """

    name: str
    version: str
    sources: dict[str, tuple[Any, range]]
    text_feature: str


def open_named_set(
    name: str,
    text_feature: str,
    splits: tuple[float, float, float],
    tfds_dir: Path | None,
) -> NamedSet:
    """Opens a TFDS set, preparing it first where that has not been done.

    The splits are those the set has under the names train, validation and test. Where validation
    or test is missing it is cut, at its share in `splits` (of the documents), from the end of
    train, validation before test; train is then what is left.

    Args:
      name: as `tfds.builder` takes it, without a namespace: `lm1b`, `wiki40b/en`, `lm1b:1.1.0`.
      text_feature: the feature to read.
      splits: shares of train, validation and test.
      tfds_dir: the folder TFDS sets live in; None for TFDS's own choice.

    Returns:
      The set, ready to be read by `stream_documents`.

    Raises:
      InputError: if TFDS knows no such set, it has no such text feature or no train split, or it is
        neither on disk nor to be had.
    """
    with quiet_tfds():
        builder = _open_pydoc(tfds_dir) if name == 'pydoc' else _find(name, tfds_dir)
        _check_feature(builder, text_feature)
        readable = _is_readable(builder)
    if not readable:
        logging.info('Downloading and preparing %s in %s', name, builder.data_dir)
        _prepare(builder, name)
    # Sets that come without metadata (mocked ones) say nothing of their splits.
    present = set(builder.info.splits) or {'train', 'validation', 'test'}
    if 'train' not in present:
        raise InputError(f'name={name!r} has no split train: it has {", ".join(sorted(present))}')
    with quiet_tfds():
        opened = {
            split: builder.as_data_source(split=split)
            for split in ('train', 'validation', 'test')
            if split in present
        }
    full_name = '/'.join(filter(None, (builder.name, builder.builder_config_name)))
    return NamedSet(full_name, str(builder.version), _cut(opened, splits), text_feature)


def stream_documents(named_set: NamedSet, split: str) -> Iterator[str]:
    """Reads the documents of a split in the order TFDS keeps them.

    Args:
      named_set: from `open_named_set`.
      split: train, validation or test.

    Yields:
      One document at a time, a blank line at its end.

    Raises:
      InputError: if a document is not UTF-8, or the set's files are missing or damaged.
    """
    for index, example in _stream(named_set, split):
        yield _as_text(named_set, split, index, example[named_set.text_feature]) + SEPARATOR


def stream_fields(
    named_set: NamedSet, split: str, fields: Sequence[str]
) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Reads some features of the examples of a split as texts, in the order TFDS keeps them.

    Args:
      named_set: from `open_named_set`.
      split: train, validation or test.
      fields: each a text, an integer, or a class: its name, or '' where it is -1, as in splits that
        do not give the classes away.

    Yields:
      (number of the example, what its fields hold).

    Raises:
      InputError: as `stream_documents`, and if there is no such feature.
    """
    import tensorflow_datasets as tfds

    features = dict(named_set.sources[split][0].dataset_info.features.items())
    classes = {}
    for field in fields:
        feature = features.get(field)
        if isinstance(feature, tfds.features.ClassLabel):
            classes[field] = feature
        elif not (isinstance(feature, tfds.features.Text) or _is_integer(feature)):
            raise InputError(
                f'{field!r} is no text, class or integer of {named_set.name!r}: its features are '
                f'{", ".join(features)}'
            )

    def read(index: int, field: str, value: Any) -> str:
        if field in classes:
            return classes[field].int2str(int(value)) if value >= 0 else ''
        if isinstance(value, str | bytes):
            return _as_text(named_set, split, index, value)
        return str(int(value))

    for index, example in _stream(named_set, split):
        yield index, tuple(read(index, field, example[field]) for field in fields)


def _is_integer(feature: Any) -> bool:
    """Whether a feature holds one integer."""
    dtype = getattr(feature, 'np_dtype', None)
    return dtype is not None and feature.shape == () and np.issubdtype(dtype, np.integer)


def _stream(named_set: NamedSet, split: str) -> Iterator[tuple[int, Any]]:
    """The examples of a split with their numbers."""
    source, documents = named_set.sources[split]
    for first in range(documents.start, documents.stop, _FETCHED):
        indices = list(range(first, min(first + _FETCHED, documents.stop)))
        try:
            examples = _fetch(source, indices)
        except (RuntimeError, OSError) as error:
            raise InputError(
                f'name={named_set.name!r} cannot be read ({_line(error)}): move the folder of the '
                'set away to have it prepared anew'
            ) from error
        yield from zip(indices, examples, strict=True)


def _as_text(named_set: NamedSet, split: str, index: int, text: str | bytes) -> str:
    """What TFDS gives, mostly bytes, as a text."""
    try:
        return text if isinstance(text, str) else text.decode()
    except UnicodeDecodeError as error:
        raise InputError(
            f'name={named_set.name!r} is not UTF-8: document {index} for {split} has '
            f'a wrong byte at {error.start}'
        ) from error


@contextlib.contextmanager
def quiet_tfds() -> Iterator[None]:
    """Keeps what TFDS prints and logs (errors apart) from the screen, for as long as it lasts.

    Yields:
      Nothing.
    """
    from tensorflow_datasets.core.utils import tqdm_utils

    verbosity, bars = logging.get_verbosity(), tqdm_utils._active
    logging.set_verbosity(logging.ERROR)
    tqdm_utils.disable_progress_bar()
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            tqdm_utils.enable_progress_bar()


def _open_pydoc(tfds_dir: Path | None) -> Any:
    """The set made from the running Python, whose builder lives in this package."""
    from nlp_models.data import pydoc

    if tfds_dir is None:
        raise ValueError("the set 'pydoc' is prepared here, so it needs a folder")
    try:
        return pydoc.prepare_pydoc(tfds_dir)
    except OSError as error:
        raise InputError(
            f"name='pydoc' cannot be prepared in {str(tfds_dir)!r}: {error.strerror or error}; "
            'set cache_dir or tfds_dir to a folder that can be written'
        ) from error


def _find(name: str, tfds_dir: Path | None) -> Any:
    """The builder of a set that TFDS knows, or of one that lies in `tfds_dir` without its code."""
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core import constants

    # TFDS gives up on its older sets at the first package that cannot be imported (an image one,
    # where TensorFlow is missing), so those of language are imported one by one.
    for package in _LANGUAGE_PACKAGES:
        with contextlib.suppress(ImportError):
            importlib.import_module(f'tensorflow_datasets.{package}')
    # Asked first, as TFDS would go on to look an unknown name up in the network.
    known = tfds.list_builders(with_community_datasets=False)
    base = re.split('[/:]', name)[0]
    root = Path(constants.DATA_DIR) if tfds_dir is None else tfds_dir
    if base not in known and not (base and (root.expanduser() / base).is_dir()):
        close = difflib.get_close_matches(base, ['pydoc', *known], n=3, cutoff=0.5)
        hint = f'; close names: {", ".join(close)}' if close else ''
        raise InputError(
            f'name={name!r} is no set that TFDS knows{hint} (a text of your own goes into path)'
        )
    try:
        return tfds.builder(name, data_dir=None if tfds_dir is None else str(tfds_dir))
    except Exception as error:
        raise InputError(f'name={name!r} cannot be opened by TFDS: {_line(error)}') from error


def _check_feature(builder: Any, text_feature: str) -> None:
    """Refuses a feature that the set lacks or that holds no text."""
    import tensorflow_datasets as tfds

    features = builder.info.features or {}
    texts = [key for key, kind in features.items() if isinstance(kind, tfds.features.Text)]
    if text_feature not in texts:
        raise InputError(
            f'text_feature={text_feature!r} is no text feature of {builder.name!r}: '
            f'it has {", ".join(texts) or "none"} (all features: {", ".join(features)})'
        )


def _is_readable(builder: Any) -> bool:
    """Whether the set lies on disk in a form that can be read without TensorFlow."""
    try:
        builder.as_data_source(split='train')
    except Exception as error:
        if not builder.is_prepared():
            return False
        if 'train' not in builder.info.splits:
            return True  # the caller says so better
        raise InputError(
            f'{builder.name!r} lies in {builder.data_dir!r} but cannot be read from there '
            f"({_line(error)}): move that folder away to have it prepared anew, as 'array_record'"
        ) from error
    return True


def _prepare(builder: Any, name: str) -> None:
    """Downloads and prepares a set, unless no host of its downloads answers.

    TFDS itself would try an unreachable host for minutes, so it is only sent where one answers.
    """
    import tensorflow_datasets as tfds

    silent = unreachable_hosts(_download_urls(builder))
    advice = (
        'on a machine with a network, and with tensorflow installed (most TFDS sets need it to be '
        f'prepared, none to be read), run {_command(name, builder)} and bring that folder here'
    )
    if silent:
        raise InputError(
            f'name={name!r} is not on disk and cannot be downloaded, {", ".join(silent)} cannot '
            f'be reached: {advice}'
        )
    try:
        with quiet_tfds():
            builder.download_and_prepare(
                file_format='array_record',
                download_config=tfds.download.DownloadConfig(try_download_gcs=False),
            )
    except Exception as error:
        raise InputError(
            f'name={name!r} is not on disk and cannot be prepared ({_line(error)}): {advice}'
        ) from error


def _command(name: str, builder: Any) -> str:
    """A shell command that prepares the set where it was looked for."""
    return (
        f'python -c "import tensorflow_datasets as tfds; tfds.builder({name!r}, '
        f'data_dir={str(builder.data_dir_root)!r}).download_and_prepare('
        "file_format='array_record')\""
    )


def _download_urls(builder: Any) -> list[str]:
    """What the set is downloaded from, as far as TFDS has it on record."""
    if builder.url_infos:
        return list(builder.url_infos)
    # A set of TFDS's own with no record of downloads takes its data from TFDS's bucket.
    own = type(builder).__module__.startswith('tensorflow_datasets.')
    return ['https://storage.googleapis.com/tfds-data'] if own else []


def _cut(
    opened: dict[str, Any], splits: tuple[float, float, float]
) -> dict[str, tuple[Any, range]]:
    """Gives each split its documents, cutting the missing ones from the end of train."""
    train = opened['train']
    stop = len(train)
    ranges = {}
    for split, share in (('test', splits[2]), ('validation', splits[1])):
        if split in opened:
            ranges[split] = (opened[split], range(len(opened[split])))
        else:
            start = stop - int(len(train) * share)
            ranges[split] = (train, range(start, stop))
            stop = start
    return {'train': (train, range(stop)), **ranges}


def _fetch(source: Any, indices: list[int]) -> Sequence[Any]:
    """Reads some documents, together where the source can, which is five times faster."""
    try:
        return source.__getitems__(indices)
    except TypeError:  # TFDS's mocked sources can only be asked for one
        return [source[index] for index in indices]


def _line(error: Exception) -> str:
    """An exception as one line, the first of TFDS's sometimes long ones."""
    words = ' '.join(str(error).split())
    return f'{type(error).__name__}: {words[:300]}' if words else type(error).__name__
