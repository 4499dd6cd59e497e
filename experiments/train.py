"""Train a model, or go on with a run that was stopped.

python -m experiments.train --config=configs/lm.py:gru --workdir=runs/gru
"""

from absl import flags
from ml_collections import config_flags

from experiments import command

_CONFIG = config_flags.DEFINE_config_file('config', None, 'The run, such as configs/lm.py:gru.')
_WORKDIR = flags.DEFINE_string('workdir', None, "The run's folder; made if it is not there.")
flags.mark_flags_as_required(['config', 'workdir'])


def main() -> None:
    """Train."""
    from nlp_models.training import loop, parallel

    parallel.request_cpu_devices(_CONFIG.value.num_devices)
    result = loop.train(_CONFIG.value, _WORKDIR.value, progress=command.ProgressBar('train'))
    print(
        f'step {result["step"]}: validation loss {result["valid_loss"]:.4f} nats a token, '
        f'{result["valid_bits_per_char"]:.4f} bits a character '
        f'({result["parameters"]:,} parameters)'
    )


if __name__ == '__main__':
    command.run(main)
