"""What came of adapting a model: `results.json` in the run's folder."""

import resource
import sys
from pathlib import Path
from typing import Any

import numpy as np

from nlp_models import trees
from nlp_models.adaptation import building, saving
from nlp_models.errors import InputError, require
from nlp_models.training import forgetting, judging
from nlp_models.training.program import Program
from nlp_models.training.sources import load_source
from nlp_models.training.trained import Trained, load_run
from nlp_models.training.workdir import read_classes, write_json

FILE = 'results.json'


def write_results(program: Program, folder: Path, line: dict[str, Any]) -> dict[str, Any]:
    """Score what was learned, and what was forgotten, and write it down.

    Args:
      program: of the run, which has come to its end.
      folder: of the run.
      line: the last of its metrics.

    Returns:
      What `results.json` holds: `validation` and `test`, each what `judging.judge` says, by name;
      `parameters`: `total`, `trained`, `share`; `memory`, in bytes: `optimizer_state`, `gradient`
      and what the compiled step plans for (`step`, a device; None where it does not tell), and
      `process`, the most this process has had; `seconds`: `training` and `compiling`;
      `forgetting`: `before` and `after`, nats on what the base was trained on, or None.
    """
    config = program.config
    run = load_run(str(folder))
    found: dict[str, Any] = {'step': run.step, 'task': config.task, 'init_from': config.init_from}
    for result in judging.judge(run, program.task._replace(model=run.model)):
        split, name = result.pop('split'), result.pop('name')
        found.setdefault(split, {})[name] = result
    total, trained = program.parameters, program.trained
    found['parameters'] = {'total': total, 'trained': trained, 'share': trained / total}
    found['memory'] = {
        'optimizer_state': program.optimizer_bytes,
        'gradient': trained * np.dtype(np.float32).itemsize,
        'step': planned_bytes(program.train_step),
        'process': peak_bytes(),
    }
    found['seconds'] = {
        'training': line['train_seconds'],
        'compiling': program.compile_seconds,
    }
    found['forgetting'] = _forgetting(config, run) if config.init_from else None
    write_json(folder / FILE, found)
    return found


def planned_bytes(compiled: Any) -> int | None:
    """What a compiled function needs beside its arguments on a device; None where it is unknown."""
    try:
        return int(compiled.memory_analysis().temp_size_in_bytes)
    except (AttributeError, NotImplementedError, RuntimeError):
        return None


def peak_bytes() -> int:
    """The most memory this process has had at one time."""
    kib = sys.platform != 'darwin'  # there it is bytes
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1024 if kib else 1)


def check(config: Any) -> None:
    """See before the training that what comes after it can be had.

    Raises:
      InputError: as `forgetting.load`.
    """
    if config.init_from and config.adaptation.remember:
        source = load_source(config.init_from, config.model)
        forgetting.load(config, forgetting.remembered(config, source), source)


def _forgetting(config: Any, run: Any) -> dict[str, Any] | None:
    source = load_source(config.init_from, config.model)
    asked = forgetting.remembered(config, source)
    if asked is None:
        return None
    dataset = forgetting.load(config, asked, source)
    if dataset is None:
        return None
    before = forgetting.make_measure(asked, source, source.model, dataset)(source.params)
    after = forgetting.make_measure(asked, source, run.config.model, dataset)(run.params)
    text = asked.data.get('path') or asked.data.get('pairs') or asked.data.get('name')
    return {'task': asked.task, 'text': text, 'before': before, 'after': after}


def check_plain(run: Trained) -> None:
    """Refuse a run whose model is none without what was added to it, LoRA merged.

    Raises:
      InputError: naming the first parameter that other programs' models have no place for.
    """
    added = [path for path in trees.flatten(run.params) if building.ADDED.search(path)]
    if added:
        raise InputError(
            f'the run has {len(added)} parameters such as {added[0]}, which no architecture has a '
            'place for: export it with --adapter'
        )


def save_adapter(workdir: str, output: str, *, best: bool = True) -> int:
    """Write what a run has learned on top of `init_from` as an adapter (`adaptation.saving`).

    Args:
      workdir: the run's folder.
      output: the adapter's folder.
      best: the checkpoint of the lowest validation loss rather than the newest.

    Returns:
      Bytes of its arrays.

    Raises:
      InputError: where the run started from nothing, and as `load_run` and `saving.save`.
    """
    run = load_run(workdir, best=best, merge=False)
    name = run.config.init_from
    require(name != '', 'init_from', name, 'must name a base: this run started from nothing')
    return saving.save(
        output,
        run.params,
        load_source(name, run.config.model).params,
        base_name=name,
        model=run.config.model.to_dict(),
        shape=run.shape._asdict(),
        classes=read_classes(Path(workdir)),
    )
