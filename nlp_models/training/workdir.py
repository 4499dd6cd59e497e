"""A run's folder: `config.json`, `manifest.json`, `metrics.jsonl`, `checkpoints/`.

It holds every number of the run; plots, tables and reports read it and nothing else.
"""

import contextlib
import fcntl
import importlib.metadata
import json
import os
import platform
import sys
from pathlib import Path
from typing import Any

import jax
import ml_collections

from nlp_models.adaptation.classifier import Classes
from nlp_models.data.tokenizers import Tokenizer, tokenizer_from_json
from nlp_models.errors import InputError
from nlp_models.training import machine
from nlp_models.training.tasks.task import Shape

# Fields that a run already begun may be given anew. With other `steps` the schedule stretches to
# the new end; with another number of devices sums are rounded otherwise. All else is another run.
MAY_CHANGE = (
    'steps',
    'eval_every',
    'log_every',
    'checkpoint_every',
    'keep_checkpoints',
    'num_devices',
    'data.cache_dir',
    'data.tfds_dir',
)

_PACKAGES = (
    'nlp_models',
    'jax',
    'jaxlib',
    'flax',
    'optax',
    'orbax-checkpoint',
    'ml-collections',
    'tensorflow-datasets',
    'tokenizers',
    'numpy',
)


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file so that it is either the old one or the new one, whole."""
    partial = path.with_name(path.name + '.partial')
    partial.write_text(json.dumps(value, indent=2, sort_keys=True) + '\n')
    partial.replace(path)


def read_config(folder: Path) -> ml_collections.ConfigDict:
    """The config of the run in a folder.

    Raises:
      InputError: where the folder holds no run.
    """
    path = folder / 'config.json'
    try:
        raw = json.loads(path.read_text())
    except FileNotFoundError:
        raise InputError(f'workdir {folder} holds no run: there is no {path}') from None
    except (OSError, ValueError) as error:
        raise InputError(f'{path} cannot be read: {error}') from error

    if not isinstance(raw, dict):
        raise InputError(f'{path} is no config: it holds {type(raw).__name__}')

    def tuples(value):  # JSON has lists alone, configs tuples alone
        if isinstance(value, dict):
            return {key: tuples(entry) for key, entry in value.items()}
        return tuple(value) if isinstance(value, list) else value

    return ml_collections.ConfigDict(tuples(raw))


def differences(old: Any, new: Any, prefix: str = '') -> dict[str, tuple[Any, Any]]:
    """The fields in which two nested dicts differ: dotted name to (old, new)."""
    found: dict[str, tuple[Any, Any]] = {}
    for key in sorted({*old, *new}):
        a, b, name = old.get(key), new.get(key), f'{prefix}{key}'
        if isinstance(a, dict) and isinstance(b, dict):
            found.update(differences(a, b, f'{name}.'))
        elif a != b:
            found[name] = (a, b)
    return found


class Workdir:
    """The folder of one training run, held by this process alone while it is open."""

    def __init__(self, path: str | os.PathLike, config: ml_collections.ConfigDict):
        """Open a folder for a run, making it where it is not there.

        Args:
          path: the folder.
          config: of the run.

        Raises:
          InputError: where it cannot be written, is in use, holds something else, or holds a run
            whose config differs in a field that may not change (see `MAY_CHANGE`).
        """
        self.path = Path(path)
        self.checkpoints = self.path / 'checkpoints'
        self._config = json.loads(config.to_json())
        self._made = not self.path.is_dir()
        try:
            if not self._made and not (self.path / 'config.json').exists():
                other = sorted(p.name for p in self.path.iterdir() if not p.name.startswith('.'))
                if other:
                    raise InputError(f'workdir {path} holds no run but other files: {other[0]}')
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = open(self.path / '.lock', 'a')  # noqa: SIM115 – held until `close`
        except OSError as error:
            raise InputError(f'workdir {path} cannot be written: {error.strerror}') from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._refuse_another_config()
        except BlockingIOError:
            self._made = False  # it is the other's
            self.close()
            raise InputError(f'workdir {path} is in use by another process') from None
        except InputError:
            self.close()
            raise

    def _refuse_another_config(self) -> None:
        if not (self.path / 'config.json').exists():
            return
        stored = json.loads(read_config(self.path).to_json())
        changed = {
            name: values
            for name, values in differences(stored, self._config).items()
            if name not in MAY_CHANGE
        }
        if changed:
            listed = ', '.join(f'{n} ({old!r}, now {new!r})' for n, (old, new) in changed.items())
            raise InputError(
                f'workdir {self.path} holds a run with another config: {listed}; '
                'use another workdir'
            )

    def begin(self, dataset: Any, **facts: Any) -> None:
        """Write `config.json`, `manifest.json` and `tokenizer.json`: the run is possible.

        Args:
          dataset: the text of the run.
          **facts: of the run, for the manifest.

        Raises:
          InputError: where the folder holds a run on another text.
        """
        check_same_text(self.path, dataset)
        write_json(self.path / 'manifest.json', make_manifest(data=describe_data(dataset), **facts))
        (self.path / 'tokenizer.json').write_text(dataset.tokenizer.to_json())
        write_json(self.path / 'config.json', self._config)  # the last: now it is a run's folder

    def close(self) -> None:
        """Give the folder free; one that was made for a run that could not begin is removed."""
        if self._made and not (self.path / 'config.json').exists():
            with contextlib.suppress(OSError):
                (self.path / '.lock').unlink()
                self.path.rmdir()
        self._lock.close()


def read_shape(folder: Path) -> Shape:
    """What the model of a run was built for.

    Raises:
      InputError: where the folder's manifest does not say.
    """
    path = folder / 'manifest.json'
    try:
        return Shape(**json.loads(path.read_text())['shape'])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f'{path} does not say what the model was built for: {error!r}') from error


def read_classes(folder: Path) -> Classes | None:
    """What a run has learned to tell apart; None where its task is another.

    Raises:
      InputError: where the folder's manifest or config cannot be read.
    """
    config: Any = read_config(folder)
    path = folder / 'manifest.json'
    if config.task != 'classification':
        return None
    try:
        data = json.loads(path.read_text())['data']
        labels, pairs = tuple(data['labels']), data['pairs']
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f'{path} does not say what the classes are: {error!r}') from error
    return Classes(labels, config.sequence_length, config.data.lower, pairs)


def read_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer of a run.

    Raises:
      InputError: where the folder has none that can be read.
    """
    path = folder / 'tokenizer.json'
    try:
        return tokenizer_from_json(path.read_text())
    except (OSError, ValueError) as error:
        raise InputError(f'{path} cannot be read: {error}') from error


class MetricsFile:
    """`metrics.jsonl`: one object a line, in the order of the steps."""

    def __init__(self, folder: Path):
        """Name the file of a run; it is made by the first line."""
        self.path = folder / 'metrics.jsonl'

    def cut(self, last_step: int) -> None:
        """Drop the lines of later steps, and whatever an interrupted write left behind."""
        if not self.path.exists():
            return
        kept = [line for line in read_metrics(self.path) if line['step'] <= last_step]
        partial = self.path.with_name(self.path.name + '.partial')
        partial.write_text(''.join(json.dumps(line) + '\n' for line in kept))
        partial.replace(self.path)

    def write(self, line: dict[str, Any]) -> None:
        """Append a line and have it on disk before anything that builds on it."""
        with self.path.open('a') as file:
            file.write(json.dumps(line) + '\n')
            file.flush()
            os.fsync(file.fileno())


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The lines of a metrics file; a last line that was cut short is left out."""
    lines = []
    if path.exists():
        for text in path.read_text().splitlines():
            try:
                lines.append(json.loads(text))
            except ValueError:
                break
    return lines


def make_manifest(**facts: Any) -> dict[str, Any]:
    """What a number depends on beside the config: versions, devices, the code's commit.

    Args:
      **facts: of the run, added as they are.

    Returns:
      A JSON-able dict.
    """
    versions = {'python': platform.python_version()}
    for name in _PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = 'not installed'
    devices = jax.local_devices()
    return {
        'versions': versions,
        'platform': platform.platform(),
        'devices': {'kind': devices[0].device_kind, 'platform': devices[0].platform},
        'flags': {'XLA_FLAGS': os.environ.get('XLA_FLAGS', ''), 'arguments': sys.argv[1:]},
        'git_commit': machine.commit(),
        **facts,
    }


def check_same_text(folder: Path, dataset: Any) -> None:
    """Refuse a text that is not the one the run in a folder was begun on.

    Raises:
      InputError: with both fingerprints.
    """
    path = folder / 'manifest.json'
    if not (folder / 'config.json').exists() or not path.exists():
        return
    try:
        before = json.loads(path.read_text())['data']['fingerprint']
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f'{path} cannot be read: {error}') from error
    if before != dataset.fingerprint:
        raise InputError(
            f'workdir {folder} holds a run on another text: fingerprint {before[:12]}…, '
            f'now {dataset.fingerprint[:12]}…'
        )


def describe_data(dataset: Any) -> dict[str, Any]:
    """What a run's numbers owe to its text: which one, which version of it, how cut up."""
    return {
        'name': dataset.name,
        'version': dataset.version,
        'fingerprint': dataset.fingerprint,
        'tokenizer': dataset.tokenizer.name,
        'vocab_size': dataset.tokenizer.vocab_size,
        **_describe_classes(dataset),
        'sizes': {  # tokens of a text, pairs of pairs; None where they are drawn without end
            split: len(part) if hasattr(part := getattr(dataset, split), '__len__') else None
            for split in ('train', 'validation', 'test')
        },
    }


def _describe_classes(dataset: Any) -> dict[str, Any]:
    if not hasattr(dataset, 'labels'):
        return {}
    return {'labels': list(dataset.labels), 'pairs': dataset.train.second is not None}
