"""Train a model, or go on with a run that was stopped.

python -m experiments.train --config=configs/lm.py:gru --workdir=runs/gru
"""

import os
from collections.abc import Callable

from absl import flags
from ml_collections import config_flags

from experiments import command
from nlp_models.errors import InputError

_CONFIG = config_flags.DEFINE_config_file('config', None, 'The run, such as configs/lm.py:gru.')
_WORKDIR = flags.DEFINE_string(
    'workdir', None, "The run's folder; made if it is not there.", required=True
)
_TENSORBOARD = flags.DEFINE_boolean(
    'tensorboard', False, 'Write the metrics for TensorBoard too, in WORKDIR/tensorboard.'
)
flags.mark_flag_as_required('config')


def tensorboard(workdir: str) -> Callable[[dict], None]:
    """What writes a line of the metrics as TensorBoard's events."""
    try:
        from tensorboardX import SummaryWriter
    except ImportError:
        raise InputError('--tensorboard needs tensorboardX: pip install tensorboardX') from None
    writer = None

    def write(line: dict) -> None:
        nonlocal writer  # opened by the first line: until then the folder may not be the run's
        writer = writer or SummaryWriter(os.path.join(workdir, 'tensorboard'))
        for name, value in line.items():
            writer.add_scalar(name, value, line['step'])
        writer.flush()

    return write


def main() -> None:
    """Train."""
    from nlp_models import allocator
    from nlp_models.training import loop, parallel

    parallel.request_cpu_devices(_CONFIG.value.num_devices)
    allocator.keep_memory()
    result = loop.train(
        _CONFIG.value,
        _WORKDIR.value,
        progress=command.ProgressBar('train'),
        on_line=tensorboard(_WORKDIR.value) if _TENSORBOARD.value else lambda line: None,
    )
    scores = [
        f'{name.removeprefix("valid_").replace("_", " ")} {value:.4f}'
        for name, value in sorted(result.items(), key=lambda item: item[0] != 'valid_loss')
        if name.startswith('valid_')
    ]
    trained = result.get('trained_parameters', result['parameters'])
    trained = f', {trained:,} of them trained' if trained != result['parameters'] else ''
    print(
        f'step {result["step"]}: validation {", ".join(scores)} '
        f'({result["parameters"]:,} parameters{trained}; '
        f'{result["train_seconds"]:.1f} s of training, '
        f'{result["compile_seconds"]:.1f} s of compiling)'
    )


if __name__ == '__main__':
    command.run(main)
