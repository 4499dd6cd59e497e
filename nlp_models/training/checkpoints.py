"""Checkpoints: orbax writes the arrays, this file makes sure they are what was saved.

A checkpoint is a folder `checkpoints/00001000/` with

    arrays/      the state, written by orbax
    state.json   the step, what was measured there, and a sha256 of every array
    files.json   a sha256 of every other file, and of its own contents

written under another name by a thread of its own and put in place with one rename, so it is whole
or not there. Orbax does not notice a flipped bit; here every file and every array is checked when
it is read. Arrays are saved as the host's, so any number of devices can read them.
"""

import hashlib
import json
import os
import shutil
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from absl import logging

from nlp_models import trees
from nlp_models.errors import RunError

PARTIAL = '.partial'


class Checkpoint(NamedTuple):
    """A checkpoint that was read and found intact.

    Attributes:
      step: steps done.
      tree: nested dicts of NumPy arrays, as they were saved.
      info: what was saved with it: `valid_loss` (or None), `logged`, and whatever the caller put.
      path: where it lies.
    """

    step: int
    tree: Any
    info: dict[str, Any]
    path: Path


def _file_digests(folder: Path) -> dict[str, str]:
    """sha256 of every file below a folder but `files.json`, by relative path."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob('*'))
        if path.is_file() and path.name != 'files.json'
    }


def _sealed(files: dict[str, str]) -> str:
    """The contents of `files.json`: the digests, and a digest of those."""
    seal = hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()
    return json.dumps({'files': files, 'seal': seal}, sort_keys=True)


def steps(folder: Path) -> list[int]:
    """The steps that have a checkpoint, ascending; none is looked into."""
    if not folder.is_dir():
        return []
    return sorted(int(path.name) for path in folder.iterdir() if path.name.isdigit())


def load(path: Path) -> Checkpoint:
    """Read one checkpoint.

    Args:
      path: its folder.

    Returns:
      The checkpoint.

    Raises:
      ValueError: where a file is missing, was added, or is not what was written.
    """
    try:
        if (path / 'files.json').read_text() != _sealed(_file_digests(path)):
            raise ValueError('a file is damaged or missing')
        info = json.loads((path / 'state.json').read_text())
        tree = _orbax().restore((path / 'arrays').absolute())
    except OSError as error:
        raise ValueError(f'it cannot be read ({error})') from error
    tree = jax.tree.map(np.asarray, tree)
    if trees.digests(tree) != info.pop('arrays'):
        raise ValueError('an array is not the one that was saved')
    return Checkpoint(info.pop('step'), tree, info, path)


def load_newest(folder: Path) -> Checkpoint | None:
    """Read the newest intact checkpoint; each damaged one on the way is named in one log line.

    Args:
      folder: the run's `checkpoints`.

    Returns:
      The checkpoint, or None where there is none at all.

    Raises:
      RunError: where there are checkpoints but none is intact.
    """
    candidates = steps(folder)
    for step in reversed(candidates):
        try:
            return load(_path(folder, step))
        except ValueError as error:
            logging.warning('Skipping checkpoint %s: %s', _path(folder, step), error)
    if candidates:
        raise RunError(f'none of the {len(candidates)} checkpoints in {folder} is intact')
    return None


def load_best(folder: Path) -> Checkpoint | None:
    """Read the intact checkpoint of the lowest validation loss; as `load_newest` otherwise."""
    losses = {step: _valid_loss(folder, step) for step in steps(folder)}
    measured = {step: loss for step, loss in losses.items() if loss is not None}
    for step in sorted(measured, key=lambda step: (measured[step], step)):
        try:
            return load(_path(folder, step))
        except ValueError as error:
            logging.warning('Skipping checkpoint %s: %s', _path(folder, step), error)
    return load_newest(folder)


class Writer:
    """Saves checkpoints in the background: the newest `keep` of them and the best one.

    Only one process may write into a folder.
    """

    def __init__(self, folder: Path, keep: int):
        """Take over a folder, clearing away what an interrupted save left.

        Args:
          folder: the run's `checkpoints`; it is made by the first save.
          keep: how many of the newest to keep.
        """
        self._folder, self._keep = folder, keep
        self._thread = ThreadPoolExecutor(1, 'checkpoints')
        self._pending: Future | None = None
        if folder.is_dir():
            for path in folder.glob(f'*{PARTIAL}'):
                shutil.rmtree(path)

    def save(self, step: int, tree: Any, info: dict[str, Any]) -> None:
        """Save a state; waits for the save before it, not for this one.

        Args:
          step: steps done.
          tree: nested dicts of host arrays that nobody will change.
          info: JSON-able; `valid_loss` decides which is best.
        """
        self.wait()
        self._pending = self._thread.submit(self._write, step, tree, info)

    def wait(self) -> None:
        """Return when everything is on disk; raises what went wrong there."""
        if self._pending is not None:
            self._pending.result()
            self._pending = None

    def delete_after(self, step: int) -> None:
        """Delete the checkpoints of later steps (they were found damaged)."""
        for other in steps(self._folder):
            if other > step:
                shutil.rmtree(_path(self._folder, other))

    def _write(self, step: int, tree: Any, info: dict[str, Any]) -> None:
        final = _path(self._folder, step)
        partial = final.with_name(final.name + PARTIAL)
        partial.mkdir(parents=True)
        _orbax().save((partial / 'arrays').absolute(), tree)  # it takes no other
        state = {'step': step, **info, 'arrays': trees.digests(tree)}
        (partial / 'state.json').write_text(json.dumps(state, sort_keys=True))
        (partial / 'files.json').write_text(_sealed(_file_digests(partial)))
        for path in partial.rglob('*'):
            _sync(path)
        if final.exists():  # the same step saved twice: the later one knows more
            shutil.rmtree(final)
        partial.rename(final)
        _sync(self._folder)
        self._prune()

    def _prune(self) -> None:
        present = steps(self._folder)
        keep = set(present[-self._keep :])
        losses = {step: _valid_loss(self._folder, step) for step in present}
        measured = {step: loss for step, loss in losses.items() if loss is not None}
        if measured:
            keep.add(min(measured, key=lambda step: (measured[step], step)))
        for step in present:
            if step not in keep:
                shutil.rmtree(_path(self._folder, step))


def _path(folder: Path, step: int) -> Path:
    return folder / f'{step:08d}'


def _valid_loss(folder: Path, step: int) -> float | None:
    """The validation loss noted with a checkpoint; None where there is none or it is unreadable."""
    try:
        return json.loads((_path(folder, step) / 'state.json').read_text())['valid_loss']
    except (OSError, ValueError, KeyError):
        return None


def _orbax() -> Any:
    """Orbax's own reader and writer; imported only when used."""
    import orbax.checkpoint as ocp

    return ocp.PyTreeCheckpointer()


def _sync(path: Path) -> None:
    """Have the operating system write a file or folder to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
