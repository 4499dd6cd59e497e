"""What gates and additive updates are each good for: tutorial section 4.3.

An LSTM loses one part at a time (`nlp_models/recurrent/ablations.py`) and an RNN gains the sum, on
tasks that an LSTM learns and an RNN does not, or not in every seed: the adding problem (Hochreiter
& Schmidhuber 1997; as in Arjovsky et al. 2016) and one symbol behind random fillers. All have the
LSTM's number of parameters.

Literature: Greff et al. 2017 ("LSTM: A Search Space Odyssey", IEEE TNNLS 28) took out the LSTM's
parts one by one on speech, handwriting and music, and found the forget gate and the output
activation to be the most critical; coupling input and forget gate cost nothing significant. Gers et
al. 2000 added the forget gate so that a state could be reset within a stream; the tasks here are
single short rows. Jozefowicz et al. 2015 found the output gate the least important.

On 2 cores: quick about 1 minute, standard about 2. full is sized for a GPU.

    python -m experiments.study --config=configs/studies/gating.py:standard --workdir=runs/gating
"""

import math
from typing import Any

from configs.studies import base

FAMILIES = (
    'rnn',
    'rnn_residual',
    'lstm',
    'lstm_without_forget',
    'lstm_without_input',
    'lstm_without_output',
    'lstm_coupled',
    'lstm_not_additive',
    'gru',
)


def _model(family: str) -> dict[str, Any]:
    """A family's group; without the sum the old state passes three gates, which start as open."""
    group = base.model(family, embed_size=16)
    if family == 'lstm_not_additive':
        group['forget_bias'] = _three_as_open_as_one(group['forget_bias'])
    return group


def _three_as_open_as_one(bias: float) -> float:
    """B with sigmoid(b)³ = sigmoid(bias)."""
    share = (1 / (1 + math.exp(-bias))) ** (1 / 3)
    return round(math.log(share / (1 - share)), 3)


def _training(**fields: Any) -> dict[str, Any]:
    """How every family is trained on a task."""
    return dict(
        batch_size=32,
        chunk=100,  # steps between looks at the loss
        test_examples=1024,
        optimizer=base.optimizer(),
        **fields,
    )


def get_config(size: str = 'standard') -> Any:
    """The study's config.

    Raises:
      InputError: for a size there is none of.
    """
    return base.study(
        'gating',
        size,
        fields=dict(
            seeds=(0, 1, 2, 3, 4),  # of parameters and training examples
            hidden_size=24,  # of the LSTM; the others get the width for as many parameters
            models={family: _model(family) for family in FAMILIES},
            # The lengths are those at which, in trials of these two families alone, the LSTM learnt
            # the task within the steps and the RNN did not, of adding, or not always, of the
            # delayed symbol.
            tasks=dict(
                delayed=dict(
                    setting=dict(distance=16, alphabet=8, fillers=4),
                    training=_training(
                        steps=1000,
                        learning_rates=(2e-3, 6e-3),  # alike for all; picked by validation
                        stop_below=0.02,  # nats
                    ),
                ),
                adding=dict(
                    setting=dict(length=48),
                    training=_training(
                        steps=600,
                        learning_rates=(3e-3, 1e-2),
                        stop_below=0.002,  # of squared error, where a guesser has 1/6
                    ),
                ),
            ),
        ),
        sizes=dict(
            quick=dict(
                seeds=(0, 1),
                hidden_size=16,
                tasks=dict(
                    delayed=dict(
                        setting=dict(distance=12), training=dict(steps=300, learning_rates=(6e-3,))
                    ),
                    adding=dict(
                        setting=dict(length=24), training=dict(steps=200, learning_rates=(1e-2,))
                    ),
                ),
            ),
            full=dict(
                seeds=tuple(range(10)),
                hidden_size=128,
                tasks=dict(
                    delayed=dict(
                        setting=dict(distance=100),
                        training=dict(steps=20_000, learning_rates=(5e-4, 1e-3, 2e-3, 6e-3)),
                    ),
                    adding=dict(
                        setting=dict(length=400),
                        training=dict(steps=20_000, learning_rates=(5e-4, 1e-3, 3e-3, 1e-2)),
                    ),
                ),
            ),
        ),
        thresholds=dict(
            # Of skill: half of what there is to learn. Where neither of two cells has as much in
            # any seed, the difference says nothing of the part.
            learned=0.5,
            # Of skill, where guessing is 0 and perfection 1. A part is called a reason where taking
            # it out costs a tenth of all there is to learn; less could be had by tuning.
            loss=0.1,
        ),
    )
