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
flags.mark_flag_as_required('config')


def main() -> None:
    """Run one study, or those of a config that holds several."""
    from nlp_models import allocator
    from nlp_models.training import parallel

    config, folder = _CONFIG.value, Path(_WORKDIR.value)
    parallel.request_cpu_devices(config.num_devices)
    allocator.keep_memory()
    logging.set_verbosity(logging.WARNING)  # the cells say enough
    several = dict(config.get('studies', {}))
    started = time.perf_counter()
    for i, (name, one) in enumerate(several.items()):
        spent = time.perf_counter() - started
        print(f'study {i + 1} of {len(several)}: {name} ({spent / 60:.1f} min so far)', flush=True)
        _study(one, folder / name)
    if not several:
        _study(config, folder)
    where = f'python -m experiments.report --workdir={folder}'
    print(f'\n{(time.perf_counter() - started) / 60:.1f} minutes. A page of it: {where}')


def _study(config: Any, folder: Path) -> None:
    from nlp_models.analysis import study

    def say(text: str) -> None:
        print(text, flush=True)

    one = studies.find(config.study)
    asked = ' '.join(['python -m experiments.study', *map(_quote, sys.argv[1:])])
    study.run(one, config, folder, say=say, command=asked, code=studies.files(config.study))
    for line in study.lines(folder):
        say(line)


def _quote(argument: str) -> str:
    return f"'{argument}'" if any(c in argument for c in ' ()*\'"$') else argument


if __name__ == '__main__':
    command.run(main)
