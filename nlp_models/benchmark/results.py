"""What has been measured, in one file, row by row: a benchmark that was stopped goes on."""

import gc
import hashlib
import json
import math
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nlp_models.errors import InputError

Row = dict[str, Any]
SECTIONS = ('rows', 'families', 'win_map')
KEYS = ('work', 'shape', 'evaluation', 'peer')  # the fields that name a row


class Results:
    """`results.json`: `machine`, `matmul`, and the sections `rows`, `families` and `win_map`."""

    def __init__(
        self,
        folder: Path,
        machine: dict[str, Any],
        say: Callable[[str], None],
        common: Any = None,
    ):
        """Read what is there.

        Args:
          folder: the benchmark's folder, made if it is not there.
          machine: as `machine.describe` has it; rows of another machine are measured anew.
          say: told what is being done.
          common: what every row depends on beside its own settings, the code for one.

        Raises:
          InputError: where the folder cannot be written or the file cannot be read.
        """
        self.path = folder / 'results.json'
        self.failed: list[str] = []
        self._say = say
        self._common = common
        self._present: set[tuple[str, str]] = set()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self.values = json.loads(self.path.read_text()) if self.path.exists() else {}
            for section in SECTIONS:
                self.values.setdefault(section, [])
            self.values['machine'] = machine
            self.write()
        except OSError as error:
            raise InputError(f'workdir {folder} cannot be written: {error.strerror}') from error
        except (ValueError, AttributeError) as error:
            raise InputError(f'{self.path} cannot be read: {error}') from error

    def write(self) -> None:
        """Write the file so that it is either the old one or the new one, whole."""
        partial = self.path.with_name(self.path.name + '.partial')
        partial.write_text(json.dumps(_finite(self.values), indent=1) + '\n')
        partial.replace(self.path)

    def fact(self, name: str, settings: Any, measure: Callable[[], Any]) -> Any:
        """What was measured once for all rows under a name, now or before."""
        stamp = self._stamp(settings)
        entry = self.values.get(name)
        if not isinstance(entry, dict) or entry.get('measured_with') != stamp:
            self.values[name] = {'value': measure(), 'measured_with': stamp}
            self.write()
        return self.values[name]['value']

    def row(self, section: str, key: Row, settings: Any, measure: Callable[[], Row]) -> Row | None:
        """Measure a row and write it, unless it is there from the same settings and machine.

        Args:
          section: one of `SECTIONS`.
          key: what names the row, such as `work`, `shape` and `peer`.
          settings: whatever of the config it depends on.
          measure: does it; returns the other fields.

        Returns:
          The row; None where a package or a device is missing, which is said in one line. A row
          that fails holds `error` instead of numbers and is tried again the next time.
        """
        name = name_of(key)
        stamp = self._stamp(settings)
        self._present.add((section, name))
        rows = self.values[section]
        place = next((i for i, row in enumerate(rows) if name_of(row) == name), None)
        if place is not None and rows[place].get('measured_with') == stamp:
            return rows[place]
        self._say(name)
        started = time.perf_counter()
        try:
            row = {**key, **measure(), 'measured_with': stamp}
        except ImportError as error:
            self._say(f'{name}: left out, {error.name or error} is not installed')
            return None
        except InputError as error:
            self._say(f'{name}: left out, {error}')
            return None
        except Exception as error:  # a row that fails must not end the others
            line = (str(error).splitlines() or [''])[0]
            row = {**key, 'error': f'{type(error).__name__}: {line}'}
            row['traceback'] = traceback.format_exc()
            self.failed.append(name)
            self._say(f'{name}: failed, {row["error"]}')
        finally:
            gc.collect()  # compiled programs and their arrays, before the next row makes its own
        row['wall_seconds'] = time.perf_counter() - started
        if place is None:
            rows.append(row)
        else:
            rows[place] = row
        self.write()
        return row

    def forget_others(self, section: str) -> None:
        """Drop rows that this call did not ask for: another config's."""
        kept = [row for row in self.values[section] if (section, name_of(row)) in self._present]
        if len(kept) != len(self.values[section]):
            self.values[section] = kept
            self.write()

    def _stamp(self, settings: Any) -> str:
        text = json.dumps(
            [settings, self._common, self.values['machine']], sort_keys=True, default=str
        )
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def name_of(row: Row) -> str:
    """One line that names a row by its key.

    Args:
      row: a row, or its key alone.

    Returns:
      Such as `lstm, forward and backward; B=32 T=256 D=256; against torch.nn.LSTM`.
    """
    parts = []
    for field in KEYS:
        value = row.get(field)
        if field == 'shape' and value:
            parts.append(' '.join(f'{axis}={size}' for axis, size in value.items()))
        elif value:
            parts.append(f'against {value}' if field == 'peer' else str(value))
    return '; '.join(parts)


def _finite(value: Any) -> Any:
    """JSON has no infinities and no NaN: they become null."""
    if isinstance(value, dict):
        return {key: _finite(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
