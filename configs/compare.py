"""The comparison of all families: `python -m experiments.compare`.

Every neural family gets the transformer's parameter count (±2 %) and an equal share of
`training_seconds`.
"""

from typing import Any

from ml_collections import ConfigDict

from configs import lm
from nlp_models.models import CELLS

# Peak learning rates: the best of these, by bits a character on the validation split after the
# steps that 28 seconds allowed on 2 cores (seed 0; the steps in brackets):
#
#     rate                 1e-3    2e-3    4e-3    8e-3    1.6e-2  3.2e-2
#     rnn (1700)           2.466   2.342   2.287   2.377
#     lstm (1462)                  2.729   2.518   2.373   2.280   2.322
#     gru (1743)                   2.282   2.174   2.176   2.268
#     transformer (1450)           2.377   2.353   2.394   2.448
_LEARNING_RATES = {'rnn': 4e-3, 'lstm': 1.6e-2, 'gru': 4e-3, 'transformer': 4e-3}
_DEFAULT_LEARNING_RATE = 4e-3  # of cells that the sweep has not seen


def get_config() -> Any:
    """The config; `--config.families.lstm.model.num_layers=2` and the like change it."""
    run = lm.base()
    for field in ('steps', 'eval_every', 'log_every', 'checkpoint_every'):
        del run[field]  # set by the time a step takes
    for field in ('learning_rate', 'weight_decay'):
        del run.optimizer[field]  # each family has its own
    run.batch_size, run.sequence_length = 16, 64
    run.optimizer.update(schedule='linear', b2=0.95)
    return ConfigDict(
        dict(
            training_seconds=120.0,  # of all neural families together; each has an equal share
            ngram_orders=(1, 2, 3, 4, 5, 6),
            evaluations=5,  # of the validation split, while a family trains
            lengths=(64, 256, 1024, 4096),  # of the sequences that speed is measured at
            tokens_per_batch=8192,  # where training speed is measured: B·T
            measuring_seconds=0.5,  # for each of those measurements, once it is compiled
            memory_fraction=0.5,  # of the free memory; lengths that need more are left out
            run=run,  # what all families have in common; `configs/lm.py` comments the fields
            families={
                family: dict(model=_model(family), optimizer=_optimizer(family))
                for family in (*CELLS, 'transformer')
                if family not in lm.LINEAR  # with them each family's share of the time is too short
            },
        )
    )


def _model(family: str) -> dict:
    """A family's `model` group; the hidden size of all but the transformer is set by matching."""
    model = lm.get_config(family).model
    if family == 'transformer':
        model.update(hidden_size=96, num_layers=3, use_bias=False, init_std=0.0)
    else:
        model.update(embed_size=64)
        del model['hidden_size']  # set so that the parameters match
    return model.to_dict()


def _optimizer(family: str) -> dict:
    return dict(
        learning_rate=_LEARNING_RATES.get(family, _DEFAULT_LEARNING_RATE),
        weight_decay=0.3 if family == 'transformer' else 0.0,
    )
