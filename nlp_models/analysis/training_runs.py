"""A folder of training runs as a document: what each was, how its loss went, where it ended."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from nlp_models.analysis import drawing, gathering, methods, study
from nlp_models.analysis.document import (
    Break,
    Code,
    Command,
    Details,
    Figure,
    Heading,
    Number,
    Paragraph,
    Small,
    Table,
    Text,
)
from nlp_models.analysis.drawing import in_counts, is_number
from nlp_models.analysis.numbers import write as written
from nlp_models.analysis.study import Picture
from nlp_models.errors import InputError
from nlp_models.training.workdir import read_config, read_metrics

TITLE = 'Training runs'
NONE = '–'
LOSSES = {'valid_loss': 'validation loss', 'train_loss': 'training loss'}
HEADER = ('run', 'family', 'parameters', 'steps', *LOSSES.values(), 'bits/char')


class Run(NamedTuple):
    """A run's folder, read.

    Attributes:
      name: its path from where was looked.
      config: as in `config.json`.
      manifest: as in `manifest.json`; empty where there is none.
      lines: of `metrics.jsonl`, by step.
    """

    name: str
    config: dict[str, Any]
    manifest: dict[str, Any]
    lines: list[dict[str, Any]]

    def curve(self, field: str) -> list[tuple[float, float]]:
        """The (step, value) of each line that has a finite value."""
        kept = (line for line in self.lines if is_number(line.get(field)))
        return [(float(line['step']), float(line[field])) for line in kept]

    def last(self, field: str) -> float | None:
        """The last finite value; None where there is none."""
        curve = self.curve(field)
        return curve[-1][1] if curve else None

    @property
    def digest(self) -> str:
        """Twelve hex digits that name the config."""
        text = json.dumps(self.config, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]


def gather(workdir: Path) -> list[Run]:
    """The runs in a folder and up to two levels below it.

    Raises:
      InputError: where there are none, and for one that cannot be read.
    """
    runs = []
    for folder in gathering.folders(workdir, 'metrics.jsonl'):
        if not (folder / 'config.json').exists():
            continue
        config = json.loads(read_config(folder).to_json())
        lines = [
            line
            for line in read_metrics(folder / 'metrics.jsonl')
            if isinstance(line, dict) and is_number(line.get('step'))
        ]
        name = folder.name if folder == workdir else folder.relative_to(workdir).as_posix()
        lines.sort(key=lambda line: line['step'])
        runs.append(Run(name, config, _manifest(folder / 'manifest.json'), lines))
    if not runs:
        raise InputError(f'workdir {workdir} holds neither a finished study nor a training run')
    return runs


def compose(workdir: Path, output: Path) -> list[Any]:
    """The report of a folder's runs; its pictures are written to `output`.

    Raises:
      InputError: as `gather`, and where `output` cannot be written.
    """
    runs = gather(workdir)
    try:
        output.mkdir(parents=True, exist_ok=True)
        figures = [Figure(study.save(p, output), p.caption) for p in pictures(runs)]
    except OSError as error:
        raise InputError(f'output {output} cannot be written: {error.strerror}') from error
    count = f'{len(runs)} run{"s" * (len(runs) != 1)}'
    return [
        Heading(1, TITLE),
        Paragraph(
            f'{count}. Losses are in nats for each token that was scored, the last that was '
            'measured; bits are for each character. The twelve digits below a run’s name '
            'are those of its config: where they are the same, so was what was asked for.'
        ),
        Table(HEADER, tuple(map(_row, runs))),
        *figures,
        Heading(2, 'Configs'),
        *(Details((run.name, ' ', Code(run.digest)), (Command(_config(run)),)) for run in runs),
    ]


def pictures(runs: Sequence[Run]) -> list[Picture]:
    """Each loss against steps, where any run has more than one value of it."""
    drawn = drawing.styles(run.name for run in runs)
    found = []
    for field, name in LOSSES.items():
        curves = {run.name: curve for run in runs if len(curve := run.curve(field)) > 1}
        if not curves:
            continue
        figure, (axes,) = drawing.figure(1)
        for run, curve in curves.items():
            steps, values = zip(*curve, strict=True)
            axes.plot(steps, values, color=drawn[run].color, linewidth=drawing.LINE['linewidth'])
        axes.set(xlabel='steps', ylabel=f'{name}, nats')
        axes.xaxis.set_major_formatter(lambda value, _: in_counts(value) if value > 0 else '0')
        axes.autoscale_view()  # names go where the lines end
        drawing.label_ends(axes, [(c[-1], _short(run), drawn[run]) for run, c in curves.items()])
        best = min(curves, key=lambda run: curves[run][-1][1])
        caption = f'{name.capitalize()} against steps of training. '
        caption += f'The lowest at its end is {best}: {written(curves[best][-1][1])} nats.'
        found.append(Picture(field, (), caption, figure))
    return found


def _row(run: Run) -> tuple[Text, ...]:
    steps = run.lines[-1]['step'] if run.lines else None
    model = run.config.get('model') or {}
    numbers = [
        _number(run.manifest.get('parameters')),
        _number(steps),
        *(_number(run.last(field)) for field in LOSSES),
        _number(run.last('valid_bits_per_char')),
    ]
    family = str(model.get('family') or run.config.get('init_from') or NONE)
    task = str(run.config.get('task', NONE)).replace('_', ' ')
    kind = (drawing.label(family), Break(), Small(task))
    return ((run.name, Break(), Small(Code(run.digest))), kind, *numbers)


def _number(value: Any) -> Text:
    if not is_number(value):
        return NONE
    return Number(value, f'{value:,}' if isinstance(value, int) else written(value))


def _config(run: Run) -> str:
    return '\n'.join(methods.settings(run.config))


def _short(name: str) -> str:
    """A name that fits beside the axes."""
    return name if len(name) <= 12 else f'…{name[-11:]}'


def _manifest(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        manifest = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise InputError(f'{path} cannot be read: {error}') from error
    if not isinstance(manifest, dict):
        raise InputError(f'{path} is no manifest: it holds {type(manifest).__name__}')
    return manifest
