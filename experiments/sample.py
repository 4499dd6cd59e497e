"""Let a trained model go on with a text.

python -m experiments.sample --workdir=runs/gru --prompt="The "
"""

import sys

from absl import flags

from experiments import command

_WORKDIR = flags.DEFINE_string('workdir', None, "A run's folder.", required=True)
_PROMPT = flags.DEFINE_string('prompt', '\n', 'The text to go on from.')
_TOKENS = flags.DEFINE_integer('num_tokens', 500, 'How many tokens to add.')
_TEMPERATURE = flags.DEFINE_float('temperature', 0.8, '0 takes the likeliest token every time.')
_TOP_K = flags.DEFINE_integer('top_k', 0, 'Draw among the k likeliest tokens; 0: all.')
_SEED = flags.DEFINE_integer('seed', 0, 'The same seed draws the same text.')


def main() -> None:
    """Sample."""
    import jax

    from nlp_models.generation.decoding import generate
    from nlp_models.training.trained import load_run

    run = load_run(_WORKDIR.value)
    tokens = generate(
        run.model,
        run.params,
        run.tokenizer.encode(_PROMPT.value),
        num_tokens=_TOKENS.value,
        key=jax.random.key(_SEED.value),
        temperature=_TEMPERATURE.value,
        top_k=_TOP_K.value,
    )
    sys.stdout.write(_PROMPT.value + run.tokenizer.decode(tokens) + '\n')


if __name__ == '__main__':
    command.run(main)
