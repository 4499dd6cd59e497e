"""A target for each source."""

from typing import Any

import numpy as np

from nlp_models.adaptation import building
from nlp_models.data.pair_batches import longest, pair_batch, pair_evaluation_batches
from nlp_models.data.pairs import PairDataset, Pairs
from nlp_models.errors import InputError
from nlp_models.training.objectives import sequence_to_sequence
from nlp_models.training.tasks.task import Shape, Task, check_length, hit_metrics, no_count, share
from nlp_models.types import Seq2Seq


def build(config: Any, dataset: PairDataset, shape: Shape) -> Task:
    """Pairs of a source and a target, which the decoder learns to write token by token.

    Args:
      config: the whole config.
      dataset: the pairs.
      shape: of the model; its lengths are those of the batches.

    Returns:
      The task.

    Raises:
      InputError: for a config or pairs that do not do.
    """
    model = building.build(config.model, **shape._asdict())
    if not isinstance(model, Seq2Seq):
        raise InputError(
            f'model.architecture is {config.model.architecture!r}: the task '
            'sequence_to_sequence needs encoder_decoder'
        )
    check_length('sequence_length', shape.max_length, model.context)
    check_length('source_length', shape.source_length, model.source_context)
    lengths = dict(source_length=shape.source_length, target_length=shape.max_length)

    def batch(step: int) -> dict[str, np.ndarray]:
        return pair_batch(
            dataset,
            batch_size=config.batch_size,
            seed=config.seed,
            step=step,
            **lengths,
            **share(),
        )

    def metrics(sums: dict[str, float]) -> dict[str, float]:
        return {**hit_metrics(sums), 'exact_match': sums['exact'] / sums['rows']}

    def eval_batches(pairs: Pairs, rows: int) -> Any:
        # Whatever lengths these have, not those trained on, as far as the model reads.
        source, target = longest(pairs)
        return pair_evaluation_batches(
            pairs,
            batch_size=rows,
            source_length=min(source, model.source_context or source),
            target_length=min(target, model.context or target),
        )

    return Task(
        dataset=dataset,
        shape=shape,
        model=model,
        tokens_per_batch=config.batch_size * (shape.source_length + shape.max_length),
        batch=batch,
        objective=lambda axis_name, dropout: sequence_to_sequence(model, dropout=dropout),
        evaluation=lambda axis_name: sequence_to_sequence(model, count=True),
        eval_batches=eval_batches,
        eval_rows=max(1, 8192 // (shape.source_length + shape.max_length)),
        count=no_count,
        metrics=metrics,
    )
