"""Which of many texts belongs to this one: vectors for sentences."""

from typing import Any

import numpy as np

from nlp_models.adaptation import building
from nlp_models.data.contrastive_batches import contrastive_batch, contrastive_evaluation_batches
from nlp_models.data.pairs import PairDataset, Pairs
from nlp_models.errors import InputError, require
from nlp_models.heads import POOLINGS
from nlp_models.training.objectives import contrastive
from nlp_models.training.tasks.task import Shape, Task, check_length, no_count, share
from nlp_models.types import TextEncoder


def build(config: Any, dataset: PairDataset, shape: Shape) -> Task:
    """Pairs whose two vectors are to be nearer to each other than to any other in the batch.

    Args:
      config: the whole config.
      dataset: the pairs.
      shape: of the model; its length is where texts are cut off.

    Returns:
      The task.

    Raises:
      InputError: for a config or pairs that do not do.
    """
    model = building.build(config.model, **shape._asdict())
    if not isinstance(model, TextEncoder):
        raise InputError(
            f'model.architecture is {config.model.architecture!r}: the task contrastive '
            'needs encoder'
        )
    check_length('sequence_length', shape.max_length, model.context)
    known = ', '.join(POOLINGS)
    require(config.pooling in POOLINGS, 'pooling', config.pooling, f'must be one of {known}')
    require(config.temperature > 0, 'temperature', config.temperature, 'must be above 0')
    require(config.batch_size >= 2, 'batch_size', config.batch_size, 'must be at least 2 here')
    require(config.accumulate == 1, 'accumulate', config.accumulate, 'must be 1: a part of the '
            'batch has fewer to tell apart')  # fmt: skip
    settings = dict(pooling=config.pooling, temperature=config.temperature)

    def batch(step: int) -> dict[str, np.ndarray]:
        return contrastive_batch(
            dataset,
            batch_size=config.batch_size,
            source_length=shape.max_length,
            seed=config.seed,
            step=step,
            **share(),
        )

    def eval_batches(pairs: Pairs, rows: int) -> Any:
        return contrastive_evaluation_batches(
            pairs, batch_size=rows, source_length=shape.max_length
        )

    def metrics(sums: dict[str, float]) -> dict[str, float]:
        return {
            'loss': sums['loss'] / sums['weight'],
            'batch_accuracy': sums['correct'] / sums['weight'],
        }

    return Task(
        dataset=dataset,
        shape=shape,
        model=model,
        tokens_per_batch=2 * config.batch_size * shape.max_length,
        batch=batch,
        objective=lambda axis_name, dropout: contrastive(
            model, axis_name=axis_name, dropout=dropout, **settings
        ),
        evaluation=lambda axis_name: contrastive(
            model, axis_name=axis_name, count=True, **settings
        ),
        eval_batches=eval_batches,
        eval_rows=config.batch_size,
        count=no_count,
        metrics=metrics,
    )
