"""What a study is, and how one is run: cell by cell of its grid, so that none is done twice.

    study.run(STUDY, config, workdir) -> Evidence      measures what is missing
    STUDY.judge(evidence) -> verdicts                  a rule, no measuring (`verdicts.judge`)
    STUDY.plot(evidence) -> pictures

A study's folder holds `config.json`, `measurements.jsonl` (a line for each finished cell), and once
all are there `evidence.json`, `verdicts.json` and the pictures.
"""

import copy
import hashlib
import json
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from nlp_models.analysis.document import Table
from nlp_models.analysis.journal import Journal, finite, infinite, open_folder
from nlp_models.analysis.verdicts import Claim
from nlp_models.errors import InputError, RunError, require
from nlp_models.training import machine
from nlp_models.training.workdir import write_json

if TYPE_CHECKING:
    import matplotlib.figure


class Cell(NamedTuple):
    """One thing to measure.

    Attributes:
      key: what it is, JSON-able, such as `{'what': 'jacobian', 'family': 'rnn', 'radius': 0.9}`.
      cost: how long it takes, in any unit that is the same for all cells of the study.
    """

    key: dict[str, Any]
    cost: float = 1.0


class Picture(NamedTuple):
    """A plot of the evidence.

    Attributes:
      name: of its file, without the ending.
      claims: numbers of the claims it is about.
      caption: what it shows, computed from the evidence; also told to who cannot see it.
      figure: a matplotlib figure (`drawing.figure`).
    """

    name: str
    claims: tuple[int, ...]
    caption: str
    figure: 'matplotlib.figure.Figure'


class Evidence:
    """What a study has measured.

    Attributes:
      study: its name.
      config: the study's config, as a dict.
      rows: of each finished cell, `key`, `value` and `seconds`.
      manifest: `commit`, `command`, `machine`, `seconds`, `runs`; see `manifest`.
    """

    def __init__(self, study: str, config: dict, rows: list[dict], manifest: dict):
        """Hold what was measured."""
        self.study, self.config, self.rows, self.manifest = study, config, rows, manifest

    @property
    def thresholds(self) -> dict[str, Any]:
        """Those of the config: numbers that verdicts may depend on."""
        return self.config['thresholds']

    def select(self, **key: Any) -> list[tuple[dict, Any]]:
        """The (key, value) of all cells whose keys hold what is given, in the grid's order."""
        return [
            (row['key'], row['value'])
            for row in self.rows
            if all(name in row['key'] and row['key'][name] == key[name] for name in key)
        ]

    def value(self, **key: Any) -> Any:
        """The value of the one cell whose key holds what is given.

        Raises:
          KeyError: where there is none, or more than one.
        """
        found = self.select(**key)
        if len(found) != 1:
            raise KeyError(f'{self.study}: {len(found)} cells have {key}')
        return found[0][1]

    def to_json(self) -> dict[str, Any]:
        """As it stands in `evidence.json`."""
        return {
            'study': self.study,
            'config': self.config,
            'manifest': self.manifest,
            'measurements': self.rows,
        }

    @classmethod
    def read(cls, path: Path) -> 'Evidence':
        """Read an `evidence.json`.

        Raises:
          InputError: where it is not there or is none.
        """
        try:
            raw = json.loads(path.read_text())
            rows = [
                {name: infinite(row[name]) for name in ('key', 'value', 'seconds')}
                for row in raw['measurements']
            ]
            return cls(raw['study'], raw['config'], rows, raw['manifest'])
        except FileNotFoundError:
            raise InputError(f'there is no {path}: run the study first') from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f'{path} cannot be read: {error!r}') from error


class Study(NamedTuple):
    """A group of claims and how they are put to the test.

    Attributes:
      name: as in `configs/studies/NAME.py`.
      title: a heading.
      text: what is done, and why it could come out against the claims: a few sentences.
      claims: the claims.
      grid: `(config) -> cells`, all that is to be measured, the cheap first where it does not
        matter.
      measure: `(config, key, evidence) -> value`: one cell, JSON-able; `evidence` holds the cells
        that came before, so that a longer task is not tried where a shorter one failed.
      judge: `(evidence) -> verdicts`, one for each claim, by `verdicts.judge`.
      plot: `(evidence) -> pictures`.
      tables: `(evidence) -> tables` that a report shows with the first of the claims.
    """

    name: str
    title: str
    text: str
    claims: tuple[Claim, ...]
    grid: Callable[[Any], Sequence[Cell]]
    measure: Callable[[Any, dict, Evidence], Any]
    judge: Callable[[Evidence], list[dict[str, Any]]]
    plot: Callable[[Evidence], list[Picture]]
    tables: Callable[[Evidence], list[Table]] = lambda evidence: []


def run(
    study: Study,
    config: Any,
    workdir: str | os.PathLike,
    *,
    say: Callable[[str], None] = lambda text: None,
    command: str = '',
    code: Sequence[Path] = (),
    keep: bool = False,
    clock: Callable[[], float] = time.perf_counter,
) -> Evidence:
    """Measure every cell of a study's grid that has not been measured, and write what follows.

    Args:
      study: the study.
      config: of `configs/studies/NAME.py`.
      workdir: its folder. Cells measured before by the same code and config, on a machine like
        this one (`machine.decisive`), are not done again.
      say: told each cell with the time it took and what is left.
      command: that repeats the study, for the report.
      code: files beside the package that the numbers depend on: the study's own.
      keep: whether cells of other code, other machines and another config are not done again
        either. It is for whoever knows that what has changed does not matter to them: cells that
        build on each other, such as a rate and what is trained with it, may then be of different
        code, and seconds that are compared of different machines.
      clock: tells the time in seconds.

    Returns:
      The evidence, as written to `evidence.json`; verdicts and pictures are beside it.

    Raises:
      InputError: for a folder that is in use, cannot be written, or holds another study.
      RunError: where a cell fails.
    """
    require(config.study == study.name, 'study', config.study, f'must be {study.name}')
    cells = list(study.grid(config))
    with open_folder(Path(workdir), config, keep) as folder:
        journal = Journal(folder / 'measurements.jsonl', stamp(code), keep)
        made = {'commit': machine.commit(), 'command': command, 'machine': machine.describe()}
        done = [journal.find(cell.key) for cell in cells]
        if before := sum(row is not None for row in done):
            say(f'{study.name}: {before} of {len(cells)} cells were measured before')
        evidence = Evidence(study.name, json.loads(config.to_json()), [], {})
        rows: list[dict[str, Any]] = []
        spent, cost, left = 0.0, 0.0, sum(c.cost for c, r in zip(cells, done, strict=True) if not r)
        for i, (cell, row) in enumerate(zip(cells, done, strict=True)):
            if row is None:
                started = clock()
                try:
                    value = study.measure(config, copy.deepcopy(cell.key), evidence)
                except InputError:
                    raise
                except RunError as error:
                    raise RunError(f'{study.name}, {_write(cell.key)}: {error}') from error
                seconds = clock() - started
                row = journal.add(cell.key, value, seconds, **made)
                spent, cost, left = spent + seconds, cost + cell.cost, left - cell.cost
                rest = f', about {_minutes(left * spent / cost)} left' if left > 1e-9 else ''
                at = f'[{i + 1}/{len(cells)}]'
                say(f'{study.name} {at} {_write(cell.key)}: {seconds:.1f} s{rest}')
            rows.append(row)
            evidence.rows.append({name: row[name] for name in ('key', 'value', 'seconds')})
        evidence.manifest = manifest(rows)
        write(study, evidence, folder)
    return evidence


def stamp(code: Sequence[Path]) -> str:
    """Names the code and the machine: another stamp's cells are measured anew, unless kept.

    Args:
      code: files beside the package that the numbers depend on.
    """
    text = json.dumps([machine.code(*code), machine.decisive()], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def manifest(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """By what a study's cells were measured.

    They may be of several invocations: by other commits (of a text elsewhere, or where cells were
    kept), other commands (another folder), on other machines.

    Args:
      rows: of the journal, one a cell, with `seconds`, `commit`, `command` and `machine`.

    Returns:
      `runs`: each commit, command and machine with its number of `cells`, which `rows` these are,
      from 0, and their `seconds`; `commit`, `command`, `machine`: of the one that has most cells,
      but where some are of files that no commit holds, of one of those; `seconds`: of all cells.
    """
    runs: dict[str, dict[str, Any]] = {}
    for i, row in enumerate(rows):
        made = {name: row[name] for name in ('commit', 'command')}
        made['machine'] = row.get('machine', {})  # older journals do not tell
        name = json.dumps(made, sort_keys=True)
        run = runs.setdefault(name, {**made, 'cells': 0, 'rows': [], 'seconds': 0.0})
        run['cells'] += 1
        run['rows'].append(i)
        run['seconds'] += row['seconds']
    found = list(runs.values())

    def clean(run: dict[str, Any]) -> bool:
        return bool(run['commit']) and not run['commit'].endswith('+')

    head = min(found, key=lambda run: (clean(run), -run['cells']))
    return {
        'commit': head['commit'],
        'command': head['command'],
        'machine': head['machine'],
        'seconds': sum(row['seconds'] for row in rows),
        'runs': found,
    }


def write(study: Study, evidence: Evidence, folder: Path) -> list[dict[str, Any]]:
    """Write `evidence.json`, `verdicts.json` and the pictures; returns the verdicts."""
    write_json(folder / 'evidence.json', finite(evidence.to_json()))
    # As whoever reads the file will: the order of names in it is not the config's.
    evidence = Evidence.read(folder / 'evidence.json')
    verdicts = study.judge(evidence)
    numbers = [claim.number for claim in study.claims]
    judged = [verdict['claim'] for verdict in verdicts]
    assert judged == numbers, f'{study.name} judges {judged}, its claims are {numbers}'
    write_json(folder / 'verdicts.json', finite(verdicts))
    for picture in study.plot(evidence):
        save(picture, folder)
    return verdicts


def lines(folder: Path) -> list[str]:
    """What a finished study found, a line a claim.

    Raises:
      InputError: where the folder holds no verdicts.
    """
    path = folder / 'verdicts.json'
    try:
        verdicts = [infinite(verdict) for verdict in json.loads(path.read_text())]
    except (OSError, ValueError) as error:
        raise InputError(f'{path} cannot be read: {error}') from error
    found = []
    for verdict in verdicts:
        number = f'({verdict["claim"]}) ' if verdict['claim'] else ''
        said = '; '.join(text for text in (verdict['condition'], verdict['note']) if text)
        found.append(
            f'{number}{verdict["statement"]}: {verdict["verdict"].upper()}'
            + (f' ({said})' if said else '')
        )
    return found


def save(picture: Picture, folder: Path) -> Path:
    """Write a picture as a PNG file of moderate size; returns the file."""
    path = folder / f'{picture.name}.png'
    tight: dict[str, Any] = {'bbox_inches': 'tight', 'pad_inches': 0.1}
    picture.figure.savefig(path, dpi=120, **tight)
    return path


def _write(key: dict) -> str:
    return ' '.join(str(value) for value in key.values())


def _minutes(seconds: float) -> str:
    return f'{seconds:.0f} s' if seconds < 90 else f'{seconds / 60:.0f} min'
