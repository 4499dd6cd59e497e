"""Train every family for an equal time and show what recurrence and attention cost and learn.

python -m experiments.compare
"""

import os
from pathlib import Path

from absl import flags, logging
from ml_collections import config_flags

from experiments import command

_HERE = Path(__file__).resolve().parent.parent
_CONFIG = config_flags.DEFINE_config_file(
    'config', str(_HERE / 'configs' / 'compare.py'), 'The comparison.'
)
_WORKDIR = flags.DEFINE_string(
    'workdir', os.path.join('runs', 'compare'), 'Its folder; a finished one is shown again.'
)


def main() -> None:
    """Compare."""
    from nlp_models import allocator
    from nlp_models.analysis import comparison, page
    from nlp_models.training import parallel

    parallel.request_cpu_devices(_CONFIG.value.run.num_devices)
    allocator.keep_memory()
    logging.set_verbosity(logging.WARNING)  # the stages say enough
    results = comparison.compare(
        _CONFIG.value,
        _WORKDIR.value,
        say=lambda text: print(text, flush=True),
        progress=command.ProgressBar,
    )
    page.write_page(results, Path(_WORKDIR.value))
    print()
    print(page.format_table(results))
    for sentence in page.sentences(results).values():
        print()
        print(sentence)
    print(f'\nTable and plots: {Path(_WORKDIR.value) / "index.html"}')


if __name__ == '__main__':
    command.run(main)
