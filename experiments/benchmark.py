"""Measure how fast this machine runs every family, beside what else users would pick.

python -m experiments.benchmark --config=configs/benchmark.py:quick --workdir=runs/benchmark
"""

import os
from pathlib import Path

from nlp_models.benchmark import bare

bare.stand_in()  # before anything that names what a bare machine lacks

from absl import flags, logging  # noqa: E402
from ml_collections import config_flags  # noqa: E402

from experiments import command  # noqa: E402

_HERE = Path(__file__).resolve().parent.parent
_CONFIG = config_flags.DEFINE_config_file(
    'config', str(_HERE / 'configs' / 'benchmark.py'), 'What is measured.'
)
_WORKDIR = flags.DEFINE_string(
    'workdir', os.path.join('runs', 'benchmark'), 'Its folder; what is there is not measured again.'
)


def main() -> None:
    """Measure."""
    from nlp_models.benchmark import run
    from nlp_models.training import parallel

    parallel.request_cpu_devices(_CONFIG.value.num_devices)
    logging.set_verbosity(logging.WARNING)  # the rows say enough
    run.benchmark(_CONFIG.value, _WORKDIR.value, say=lambda text: print(text, flush=True))
    print(f'\n{(Path(_WORKDIR.value) / "tables.md").read_text()}')


if __name__ == '__main__':
    command.run(main)
