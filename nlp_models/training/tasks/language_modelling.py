"""The next token of a text."""

from typing import Any

import numpy as np

from nlp_models.adaptation import building
from nlp_models.data import batches
from nlp_models.data.store import Dataset
from nlp_models.errors import InputError, require
from nlp_models.training.evaluation import count_characters, score
from nlp_models.training.objectives import language_modelling
from nlp_models.training.tasks.task import Shape, Task, check_length, share
from nlp_models.types import LanguageModel


def build(config: Any, dataset: Dataset, shape: Shape) -> Task:
    """Windows of a text, or streams of it whose state is carried on.

    Args:
      config: the whole config.
      dataset: the tokens.
      shape: of the model.

    Returns:
      The task.

    Raises:
      InputError: for a config or a text that does not do.
    """
    model = building.build(config.model, **shape._asdict())
    if not isinstance(model, LanguageModel):
        raise InputError(
            f'model.architecture is {config.model.architecture!r}: only decoder predicts the next '
            'token'
        )
    require(
        not config.carry_state or model.context is None,
        'carry_state',
        config.carry_state,
        f'needs a family of unbounded context, not {config.model.family}',
    )
    length = config.sequence_length
    check_length('sequence_length', length, model.context)
    for split in ('train', 'validation'):
        batches.check(getattr(dataset, split), length, split)

    def batch(step: int) -> dict[str, np.ndarray]:
        where = dict(batch_size=config.batch_size, length=length, step=step, **share())
        if config.carry_state:
            tokens, restart = batches.streams(dataset.train, **where)
            return {'tokens': tokens, 'restart': np.full(len(tokens), restart, np.float32)}
        return {'tokens': batches.random_windows(dataset.train, seed=config.seed, **where)}

    def metrics(sums: dict[str, float]) -> dict[str, float]:
        result = score(sums['loss'], sums['weight'], sums['characters'])
        return {
            'loss': result.loss,
            'bits_per_char': result.bits_per_char,
            'perplexity': result.perplexity,
        }

    return Task(
        dataset=dataset,
        shape=shape,
        model=model,
        tokens_per_batch=config.batch_size * length,
        batch=batch,
        objective=lambda axis_name, dropout: language_modelling(model, dropout=dropout),
        evaluation=lambda axis_name: language_modelling(model),
        eval_batches=lambda tokens, rows: (
            each._asdict()
            for each in batches.evaluation_batches(tokens, batch_size=rows, length=length)
        ),
        eval_rows=max(1, 8192 // length),
        count=count_characters(dataset.tokenizer.characters),
        metrics=metrics,
    )
