"""Let a model write: a trained one, or a pretrained one as it comes.

python -m experiments.sample --workdir=runs/gru --prompt="The "
python -m experiments.sample --workdir=runs/reverse --source=abcdef
python -m experiments.sample --config=configs/pretrained.py --config.init_from=FOLDER
"""

import sys

from absl import flags
from ml_collections import config_flags

from experiments import command

_WORKDIR = flags.DEFINE_string('workdir', None, "A run's folder.")
_CONFIG = config_flags.DEFINE_config_file('config', None, 'A config with init_from, not a run.')
_PROMPT = flags.DEFINE_string('prompt', '\n', 'The text to go on from.')
_SOURCE = flags.DEFINE_string('source', None, 'Of a sequence-to-sequence model, what it reads.')
_TOKENS = flags.DEFINE_integer('num_tokens', 500, 'How many tokens to add, at most.')
_TEMPERATURE = flags.DEFINE_float('temperature', 0.8, '0 takes the likeliest token every time.')
_TOP_K = flags.DEFINE_integer('top_k', 0, 'Draw among the k likeliest tokens; 0: all.')
_TOP_P = flags.DEFINE_float('top_p', 1.0, 'Draw among the likeliest that together have this.')
_MIN_P = flags.DEFINE_float('min_p', 0.0, "Draw among those with this share of the likeliest's.")
_PENALTY = flags.DEFINE_float('repetition_penalty', 1.0, 'Above 1: what was there is less likely.')
_STOP = flags.DEFINE_multi_string('stop', [], 'A text that ends it; may be given several times.')
_BEAMS = flags.DEFINE_integer('num_beams', 1, 'Above 1: beam search, in place of drawing.')
_LENGTH_PENALTY = flags.DEFINE_float('length_penalty', 1.0, 'α of beams: log p / length^α.')
_SEED = flags.DEFINE_integer('seed', 0, 'The same seed draws the same text.')


def main() -> None:
    """Sample."""
    import jax

    from nlp_models.errors import InputError
    from nlp_models.generation.sampling import Sampling
    from nlp_models.training import sources, writing

    run = sources.load(_WORKDIR.value, _CONFIG.value)
    sampling = Sampling(
        temperature=_TEMPERATURE.value,
        top_k=_TOP_K.value,
        top_p=_TOP_P.value,
        min_p=_MIN_P.value,
        repetition_penalty=_PENALTY.value,
    )
    start = writing.make_start(run, prompt=_PROMPT.value, source=_SOURCE.value)
    state = writing.describe_state(run, start, _TOKENS.value)
    if _BEAMS.value != 1:
        for flag in (_TEMPERATURE, _TOP_K, _TOP_P, _MIN_P, _PENALTY, _SEED):
            if flag.present:
                raise InputError(f'--{flag.name} is for drawing: a beam search draws nothing')
        text = writing.write_by_beams(
            run,
            start,
            num_tokens=_TOKENS.value,
            num_beams=_BEAMS.value,
            length_penalty=_LENGTH_PENALTY.value,
            stop=_STOP.value,
        )
        print(state, file=sys.stderr)
        print(start.shown + text)
        return
    pieces = writing.write(
        run,
        start,
        num_tokens=_TOKENS.value,
        key=jax.random.key(_SEED.value),
        sampling=sampling,
        stop=_STOP.value,
    )
    print(state, file=sys.stderr)
    sys.stdout.write(start.shown)
    for piece in pieces:
        sys.stdout.write(piece)
        sys.stdout.flush()
    sys.stdout.write('\n')


if __name__ == '__main__':
    command.run(main)
