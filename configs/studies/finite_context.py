"""How far back n-grams, recurrent networks and windowed attention know: tutorial section 2.

A key stands at distance d before the place where it is to be said again (`data.synthetic.delayed`),
and d is varied. That an n-gram sees n − 1 tokens is its definition (Shannon 1948); kin of the task
is experiment 2 of Hochreiter & Schmidhuber 1997. A window of w tokens in L layers reaches
L (w − 1) + 1 of them (the receptive field of Beltagy et al. 2020, whose window is two-sided). No
published figure is of this setting.

On 2 cores: quick about 1 minute, standard 2 to 3. full is sized for a GPU.

    python -m experiments.study --config=configs/studies/finite_context.py:standard \
        --workdir=runs/finite_context
"""

from typing import Any

from configs.studies import base


def _recurrent(hidden_size: int) -> dict[str, Any]:
    """One model a cell."""
    return {cell: base.model(cell, hidden_size=hidden_size) for cell in ('rnn', 'lstm', 'gru')}


def _windowed(num_layers: int, window: int) -> dict[str, Any]:
    """A transformer whose tokens see `window` tokens, themselves included."""
    options = dict(num_layers=num_layers, window=window)
    return base.model('transformer', hidden_size=32, num_heads=2, **options)


def get_config(size: str = 'standard') -> Any:
    """The study's config.

    Raises:
      InputError: for a size there is none of.
    """
    return base.study(
        'finite_context',
        size,
        fields=dict(
            seeds=(0, 1, 2, 3, 4),  # of texts, parameters and training examples
            alphabet=8,  # keys: an eighth is right by chance
            ngram=dict(
                fillers=4,  # so few that a text holds each context of five tokens several times
                orders=(2, 3, 4, 5, 6),
                distances=(1, 2, 3, 4, 5, 6, 8, 16, 32),  # on both sides of every order's reach
                examples=4096,  # of each distance, in the text read and in the one tested
            ),
            network=dict(
                fillers=8,  # so many that hundreds of test contents differ from all others
                # All in one training, as in a text. From 6 on there are enough contents to hold
                # some out; 32 is six times what the longest order above reaches.
                distances=(6, 7, 8, 12, 16, 24, 32),
                beyond=(8, 32),  # those that the recurrent networks are judged at
                recurrent=_recurrent(32),
                windowed=dict(  # of a reach of 6 and 7
                    one_layer=_windowed(1, 6), two_layers=_windowed(2, 4)
                ),
                training=dict(
                    batch_size=32,
                    steps=1500,
                    windowed_steps=500,  # what lies beyond a window keeps its loss from falling
                    chunk=100,  # steps between looks at the loss
                    learning_rates=(2e-3, 6e-3),  # alike for all; the best by validation examples
                    stop_below=0.02,  # nats
                    test_examples=14_336,  # 2048 of each distance: chance must show to a hundredth
                    optimizer=base.optimizer(),
                ),
            ),
        ),
        sizes=dict(
            quick=dict(
                ngram=dict(orders=(2, 4), distances=(1, 2, 3, 4, 8, 16), examples=2048),
                network=dict(
                    distances=(6, 7, 8, 16),
                    beyond=(8, 16),
                    training=dict(
                        steps=600, windowed_steps=200, learning_rates=(3e-3,), test_examples=8192
                    ),
                ),
            ),
            full=dict(
                seeds=tuple(range(10)),
                ngram=dict(orders=(2, 3, 4, 5, 6, 7), examples=16_384),
                network=dict(
                    distances=(6, 7, 8, 12, 16, 24, 32, 64, 128),
                    beyond=(8, 32, 128),
                    recurrent=_recurrent(128),
                    training=dict(
                        batch_size=64,
                        steps=20_000,
                        windowed_steps=2000,
                        learning_rates=(5e-4, 1e-3, 2e-3, 6e-3),
                        test_examples=18_432,
                    ),
                ),
            ),
        ),
        thresholds=dict(
            known=0.9,  # share of keys said right: what sees the key has only to say it again
            # Of chance, 1/8, on either side. A sixth of it: no use could be made of so little, and
            # some thousand answers show it.
            tolerance=0.02,
            # What a bounded memory would have beyond its bound is 1/8; half the keys, four times
            # that, cannot be had without the key. It need not be learned to perfection.
            remembered=0.5,
        ),
    )
