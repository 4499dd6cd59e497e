"""Token files: each split's ids written to disk once, then mapped into memory.

A folder of token files is named for what it is made of: the text itself, the tokenizer and its
settings, the format. So it never goes stale, and any number of runs share it.
"""

import contextlib
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from absl import logging

from nlp_models.data.corpora import SPLITS, Corpus, cache_folder, open_corpus
from nlp_models.data.tokenizers import (
    Tokenizer,
    learn_tokenizer,
    tokenizer_from_json,
    tokenizer_settings,
)
from nlp_models.errors import InputError

FORMAT_VERSION = 2
"""Of the files in a folder of tokens; other versions' folders are left alone."""

_BLOCK = 1 << 20  # characters encoded at a time


class Dataset(NamedTuple):
    """A corpus as token ids.

    Attributes:
      name: the corpus's.
      version: the corpus's.
      fingerprint: SHA-256, in hexadecimal, of the SHA-256 digests of the three splits' UTF-8 text:
        it changes with any character and with where the splits part, and with nothing else.
      tokenizer: whose ids these are.
      train: `[tokens]` ids of the tokenizer's dtype, mapped read-only; length 0 for an empty split.
      validation: likewise.
      test: likewise.
    """

    name: str
    version: str
    fingerprint: str
    tokenizer: Tokenizer
    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray


def load_dataset(data: Any, tokenizer: Tokenizer | None = None) -> Dataset:
    """Opens a text as tokens, tokenizing it first where that has not been done.

    The text is read through each time, to know that the tokens are its own. They lie in
    `<cache_dir>/tokens/<key>/`, complete or not at all: a folder is filled under a private name and
    renamed into place, and where several processes fill one at once the first is taken by all.

    Args:
      data: with the fields that `corpora.open_corpus` reads, and `tokenizer` (the kind, as
        `learn_tokenizer` takes it) and `vocab_size` (tokens, for bpe alone).
      tokenizer: where it is given and not to be learned; the two fields are not read then.

    Returns:
      The dataset; a few MiB in memory whatever the size of the text.

    Raises:
      InputError: if the text or the tokenizer cannot be had, or the tokens cannot be written; the
        message names the field.
    """
    if tokenizer is None:
        settings = tokenizer_settings(data.tokenizer, data.vocab_size)
    else:
        settings = {'given': hashlib.sha256(tokenizer.to_json().encode()).hexdigest()}
    corpus = open_corpus(data)
    fingerprint = _join({split: _digest(corpus.stream(split)) for split in SPLITS})
    key = hashlib.sha256(
        json.dumps([FORMAT_VERSION, fingerprint, settings], sort_keys=True).encode()
    ).hexdigest()
    folder = cache_folder(data) / 'tokens' / key
    meta = _read_meta(folder)
    if meta is None:
        logging.info('Writing the tokens of %s to %s', corpus.name, folder)
        try:
            _build(
                folder,
                corpus,
                fingerprint,
                lambda: (
                    tokenizer
                    or learn_tokenizer(data.tokenizer, corpus.stream('train'), data.vocab_size)
                ),
            )
        except OSError as error:
            raise InputError(
                f'the tokens cannot be written to {str(folder)!r}: {error.strerror or error}; set '
                'cache_dir (or NLP_MODELS_CACHE) to a folder that can be written'
            ) from error
        meta = _read_meta(folder)
        if meta is None:
            raise InputError(f'the tokens in {str(folder)!r} vanished: is the cache being deleted?')
    tokenizer = tokenizer or tokenizer_from_json(
        (folder / 'tokenizer.json').read_text(encoding='utf-8')
    )
    ids = {split: _map(folder / f'{split}.bin', tokenizer.dtype) for split in SPLITS}
    return Dataset(
        name=corpus.name,
        version=corpus.version,
        fingerprint=fingerprint,
        tokenizer=tokenizer,
        train=ids['train'],
        validation=ids['validation'],
        test=ids['test'],
    )


def _build(
    folder: Path, corpus: Corpus, fingerprint: str, make_tokenizer: Callable[[], Tokenizer]
) -> None:
    """Fills a private folder and puts it in place, unless another process has done so by then."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    private = _private(folder)
    private.mkdir()
    try:
        tokenizer = make_tokenizer()
        digests, tokens = {}, {}
        for split in SPLITS:
            path = private / f'{split}.bin'
            digests[split] = _write(path, corpus.stream(split), tokenizer)
            tokens[split] = path.stat().st_size // tokenizer.dtype.itemsize
        if _join(digests) != fingerprint:
            raise InputError(
                f'the text of {corpus.name!r} changed while it was read: leave it alone while a '
                'run is starting'
            )
        if tokens['train'] == 0:
            raise InputError(
                f'the training split of {corpus.name!r} is empty: give a longer text, or splits '
                'with a larger share for training'
            )
        (private / 'tokenizer.json').write_text(tokenizer.to_json(), encoding='utf-8')
        meta = {
            'format': FORMAT_VERSION,
            'name': corpus.name,
            'version': corpus.version,
            'fingerprint': fingerprint,
            'tokenizer': tokenizer.name,
            'vocab_size': tokenizer.vocab_size,
            'dtype': tokenizer.dtype.name,
            'tokens': tokens,
            'files': {path.name: path.stat().st_size for path in sorted(private.iterdir())},
        }
        (private / 'meta.json').write_text(json.dumps(meta, indent=2) + '\n', encoding='utf-8')
        _put(private, folder)
    finally:
        shutil.rmtree(private, ignore_errors=True)


def _put(private: Path, folder: Path) -> None:
    """Renames a folder into place; a folder that is there stays if it is whole."""
    for _ in range(3):
        try:
            private.rename(folder)
            return
        except OSError:
            if _read_meta(folder) is not None:
                return
            if not folder.exists():
                raise
        # What is there is damaged. Renamed before it is deleted, so that nobody finds half of it.
        damaged = _private(folder)
        with contextlib.suppress(FileNotFoundError):
            folder.rename(damaged)
        shutil.rmtree(damaged, ignore_errors=True)
    private.rename(folder)


def _private(folder: Path) -> Path:
    """A name beside a folder that nobody else uses."""
    return folder.with_name(f'.{folder.name[:8]}-{os.getpid()}-{secrets.token_hex(4)}')


def _read_meta(folder: Path) -> dict[str, Any] | None:
    """The description of a folder of tokens; None unless all its files have the sizes it says."""
    try:
        meta = json.loads((folder / 'meta.json').read_text(encoding='utf-8'))
        files = meta['files']
        whole = {'tokenizer.json', *(f'{split}.bin' for split in SPLITS)} <= files.keys() and all(
            (folder / name).stat().st_size == size for name, size in files.items()
        )
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return None
    return meta if whole else None


def _write(path: Path, texts: Iterable[str], tokenizer: Tokenizer) -> str:
    """Writes the ids of a split to a file, and returns the digest of its text."""
    digest = hashlib.sha256()
    with path.open('wb') as file:
        for block in _blocks(texts):
            digest.update(block.encode())
            file.write(tokenizer.encode(block).data)
    return digest.hexdigest()


def _blocks(texts: Iterable[str]) -> Iterator[str]:
    """Joins short texts, so that encoding and writing are paid for by the MiB.

    A block ends before the blank before the last word it would have, so no word is cut in two and
    the tokens (of a byte-level BPE, too, whose words begin with their blank) are those of the whole
    text at once. Only a single word of a block's size is cut.
    """
    held: list[str] = []
    size = 0
    for text in texts:
        held.append(text)
        size += len(text)
        if size >= _BLOCK:
            block = ''.join(held)
            *before, word = block.rsplit(None, 1) or ['']
            end = block.rindex(word) - 1 if before else len(block)
            yield block[:end]
            held, size = [block[end:]], len(block) - end
    if size:
        yield ''.join(held)


def _digest(texts: Iterable[str]) -> str:
    """SHA-256 of a text's UTF-8 form, whatever pieces it comes in."""
    digest = hashlib.sha256()
    for text in texts:
        digest.update(text.encode())
    return digest.hexdigest()


def _join(digests: dict[str, str]) -> str:
    """One fingerprint for the three splits, which holds where they part."""
    return hashlib.sha256(''.join(digests[split] for split in SPLITS).encode()).hexdigest()


def _map(path: Path, dtype: np.dtype) -> np.ndarray:
    """A file of ids as a read-only array, mapped into memory (which an empty file cannot be)."""
    if path.stat().st_size:
        return np.memmap(path, dtype=dtype, mode='r')
    empty = np.zeros(0, dtype)
    empty.flags.writeable = False
    return empty
