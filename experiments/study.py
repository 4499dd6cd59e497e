"""Put a group of the tutorial's claims to the test, or all of them.

python -m experiments.study --config=configs/studies/gradient_flow.py:quick --workdir=runs/gradients
"""

import os
import sys
import time
from pathlib import Path
from typing import Any

from absl import flags, logging
from ml_collections import config_flags

from experiments import command, studies

_CONFIG = config_flags.DEFINE_config_file(
    'config', None, 'What is measured, and the thresholds: configs/studies/NAME.py:SIZE.'
)
_WORKDIR = flags.DEFINE_string(
    'workdir', os.path.join('runs', 'studies'), 'Its folder; what is there is not measured again.'
)
_KEEP = flags.DEFINE_bool(
    'keep',
    False,
    'Whether cells stay that other code, another machine or another config has measured: for who '
    'knows that it makes no difference to them. Seconds compare on one machine only. The report '
    'says which cells are of which machine and commit.',
)
flags.mark_flag_as_required('config')


def main() -> None:
    """Run one study, or those of a config that holds several."""
    from nlp_models import allocator
    from nlp_models.training import parallel

    config, folder = _CONFIG.value, Path(_WORKDIR.value)
    parallel.request_cpu_devices(config.num_devices)
    allocator.keep_memory()
    logging.set_verbosity(logging.WARNING)  # the cells say enough
    started = time.perf_counter()
    if 'studies' in config:
        _several(config, folder)
    else:
        _study(config, folder)
    where = f'python -m experiments.report --workdir={folder}'
    print(f'\n{(time.perf_counter() - started) / 60:.1f} minutes. A page of it: {where}')


def _several(config: Any, folder: Path) -> None:
    """All studies of a config, in the order of the tutorial; what is left is told between them."""
    asked = [name for name in studies.STUDIES if name in config.studies]
    expected, started, done = sum(config.minutes[name] for name in asked), time.perf_counter(), 0.0
    for i, name in enumerate(asked):
        spent = (time.perf_counter() - started) / 60
        pace = spent / done if done else 1.0
        left = f'about {(expected - done) * pace:.0f} min left'
        print(f'study {i + 1} of {len(asked)}: {name} ({spent:.0f} min so far, {left})', flush=True)
        _study(config.studies[name], folder / name)
        done += config.minutes[name]


def _study(config: Any, folder: Path) -> None:
    from nlp_models.analysis import study

    def say(text: str) -> None:
        print(text, flush=True)

    one = studies.find(config.study)
    asked = ' '.join(['python -m experiments.study', *map(_quote, sys.argv[1:])])
    code = studies.files(config.study)
    study.run(one, config, folder, say=say, command=asked, code=code, keep=_KEEP.value)
    for line in study.lines(folder):
        say(line)


def _quote(argument: str) -> str:
    return f"'{argument}'" if any(c in argument for c in ' ()*\'"$') else argument


if __name__ == '__main__':
    command.run(main)
