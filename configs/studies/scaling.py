"""Loss against parameters and compute, LSTM and transformer: context for all other studies.

Kaplan et al. 2020 found L ∝ C^−0.05 and L ∝ N^−0.076 for transformers on web text, and transformers
ahead of LSTMs of the same size by what they make of long contexts (their figure 7). Here: bytes of
`pydoc`, models from thousands to hundreds of thousands of parameters (full: millions), each trained
for as many steps with one constant rate.

Against compute the loss is that of training, the mean of a stretch of steps. A run of `quick` reads
0.06 of the training text and one of `standard` 0.3, so no window is read twice and the training
loss is one on text not seen before. A run of `full` reads the text 48 times: its training loss is
of text seen before. Against parameters the loss is that of validation text, of the parameters after
all steps.

On 2 cores: quick 1 minute, standard 4 to 5. full is sized for a GPU.

    python -m experiments.study --config=configs/studies/scaling.py:standard --workdir=runs/scaling
"""

from typing import Any

from configs import lm
from configs.studies import base


def get_config(size: str = 'standard') -> Any:
    """The study's config.

    Raises:
      InputError: for a size there is none of.
    """
    data = lm.base().data.to_dict()
    return base.study(
        'scaling',
        size,
        fields=dict(
            seeds=5,
            data=data,  # as in configs/lm.py
            # Of the transformers; LSTMs have as many parameters. At least 3: two lie on any line.
            widths=(16, 32, 64, 96),
            models=dict(
                transformer=base.model('transformer', num_layers=2, num_heads=2, use_bias=False),
                lstm=base.model('lstm'),
            ),
            batch_size=16,  # windows a step
            sequence_length=64,
            steps=600,
            chunk=60,  # steps whose mean loss is one point of a curve
            learning_rates=(4e-3, 1.2e-2),
            optimizer=base.optimizer(b2=0.95),
            held_out_batches=32,  # of validation windows, the same for all runs: 33 kB of 117
            budgets=6,  # from the first that both families have a point at to the last; 3 or more
        ),
        sizes=dict(
            quick=dict(seeds=2, widths=(16, 24, 32), steps=120, chunk=30, learning_rates=(8e-3,)),
            full=dict(
                widths=(64, 128, 256, 512),
                batch_size=64,
                sequence_length=256,
                steps=6000,
                chunk=200,
                held_out_batches=6,  # 98 kB of 117
                learning_rates=(5e-4, 1e-3, 2e-3),
            ),
        ),
        thresholds=dict(
            exponent=-0.02,  # of compute; less than half of Kaplan’s −0.05 is hardly a law
            # Of parameters: half of Kaplan’s −0.076. That law is of models trained to their end, N
            # without embeddings; here N has all parameters, and every size takes as many steps.
            parameter_exponent=-0.038,
            residual=0.05,  # 5 % of the loss: more, and a straight line is no description
            ahead=0.01,  # nats a byte, about 1 % of the loss at this size
        ),
    )
