"""What a study keeps while it runs: its folder, and a line on disk for each finished cell."""

import contextlib
import fcntl
import hashlib
import json
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from nlp_models.errors import InputError
from nlp_models.training.workdir import differences, read_config, write_json


class Journal:
    """The finished cells of a study, a line each; what a kill cut short is left out."""

    def __init__(self, path: Path, stamp: str, keep: bool = False):
        """Read what is there.

        Args:
          path: the file.
          stamp: names the code and the machine.
          keep: whether lines of another stamp are found, too, where there is none of this one: the
            last of them.
        """
        self._path, self._stamp = path, stamp
        self._rows: dict[str, dict] = {}
        whole, ours = [], set[str]()
        for line in path.read_text().splitlines() if path.exists() else []:
            try:
                row = json.loads(line)
            except ValueError:
                break
            whole.append(line)
            own, name = row.pop('stamp', None) == stamp, _name(row['key'])
            if own or (keep and name not in ours):
                self._rows[name] = {k: infinite(v) for k, v in row.items()}
                ours |= {name} if own else set()
        if path.exists():  # so that the next line does not go on from half of one
            partial = path.with_name(path.name + '.partial')
            partial.write_text(''.join(line + '\n' for line in whole))
            partial.replace(path)

    def find(self, key: dict) -> dict[str, Any] | None:
        """The row of a cell, or None."""
        return self._rows.get(_name(key))

    def add(self, key: dict, value: Any, seconds: float, **made: Any) -> dict[str, Any]:
        """Write a cell's row to disk.

        Args:
          key: of the cell.
          value: what was measured.
          seconds: that it took.
          **made: by which commit and command, on which machine: kept with the row, no part of the
            stamp.

        Returns:
          The row as it will be read again.
        """
        cell = {'key': key, 'value': finite(value), 'seconds': seconds, **made}
        row = json.loads(json.dumps(cell))
        with self._path.open('a') as file:
            file.write(json.dumps({**row, 'stamp': self._stamp}) + '\n')
            file.flush()
            os.fsync(file.fileno())
        row = {name: infinite(entry) for name, entry in row.items()}
        self._rows[_name(key)] = row
        return row


@contextlib.contextmanager
def open_folder(path: Path, config: Any, keep: bool = False) -> Iterator[Path]:
    """A study's folder, made where it is not there and held by this process alone.

    Args:
      path: the folder.
      config: of the study.
      keep: whether it may be the folder of another config of the same study and size, which this
        one then replaces.

    Raises:
      InputError: where it is in use, cannot be written, or holds something else.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        lock = open(path / '.lock', 'a')  # noqa: SIM115 – held until the end
    except OSError as error:
        raise InputError(f'workdir {path} cannot be written: {error.strerror}') from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(f'workdir {path} is in use by another process') from None
        if (path / 'config.json').exists():
            stored = json.loads(read_config(path).to_json())
            changed = differences(stored, json.loads(config.to_json()))
            if changed and not (keep and changed.keys().isdisjoint(('study', 'size'))):
                listed = ', '.join(f'{n} ({a!r}, now {b!r})' for n, (a, b) in changed.items())
                raise InputError(
                    f'workdir {path} holds a study with another config: {listed}; '
                    'use another workdir'
                )
        elif others := sorted(p.name for p in path.iterdir() if not p.name.startswith('.')):
            raise InputError(f'workdir {path} holds no study but other files: {others[0]}')
        write_json(path / 'config.json', json.loads(config.to_json()))
        yield path


def _name(key: dict) -> str:
    return hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()


# JSON has no infinities and no NaN.
_WORDS = {'NaN': math.nan, 'Infinity': math.inf, '-Infinity': -math.inf}


def finite(value: Any) -> Any:
    """Numbers that JSON does not have, as `{'number': word}`."""
    if isinstance(value, dict | ConfigDict):
        return {key: finite(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [finite(entry) for entry in value]
    if isinstance(value, float) and not math.isfinite(value):
        word = 'NaN' if math.isnan(value) else 'Infinity' if value > 0 else '-Infinity'
        return {'number': word}
    return value


def infinite(value: Any) -> Any:
    """The reverse of `finite`."""
    if isinstance(value, dict):
        if set(value) == {'number'} and value['number'] in _WORDS:
            return _WORDS[value['number']]
        return {key: infinite(entry) for key, entry in value.items()}
    return [infinite(entry) for entry in value] if isinstance(value, list) else value
