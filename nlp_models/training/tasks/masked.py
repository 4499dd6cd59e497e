"""The hidden tokens of a text, from both sides."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from nlp_models.adaptation import building
from nlp_models.data import batches
from nlp_models.data.masking import mask_tokens
from nlp_models.data.pieces import frame_size
from nlp_models.data.store import Dataset
from nlp_models.errors import InputError, require
from nlp_models.training.objectives import masked_language_modelling
from nlp_models.training.tasks.task import Shape, Task, check_length, hit_metrics, no_count, share
from nlp_models.types import TextEncoder

EVALUATION_SEED = 0  # which tokens of a held-out text are hidden: the same for every run


def build(config: Any, dataset: Dataset, shape: Shape) -> Task:
    """Windows of a text in which 15 % of the tokens are to be guessed (Devlin et al. 2019).

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
    if not isinstance(model, TextEncoder):
        raise InputError(
            f'model.architecture is {config.model.architecture!r}: the task '
            'masked_language_modelling needs encoder'
        )
    require(model.logits is not None, 'model.masked_head', False, 'must be True for this task')
    rate = config.mask_rate
    require(0 < rate < 1, 'mask_rate', rate, 'must be between 0 and 1')
    length, tokenizer = config.sequence_length, dataset.tokenizer
    check_length('sequence_length', length, model.context)
    around = frame_size(tokenizer)
    least = f'must be at least {around + 1}, for the {around} special tokens and one of the text'
    require(length > around, 'sequence_length', length, least)
    for split in ('train', 'validation'):
        batches.check(getattr(dataset, split), length - around, split)
    hide = partial(
        mask_tokens,
        # A tokenizer of our own has no such token: the task adds it behind the others.
        mask_id=tokenizer.special.get('mask', tokenizer.vocab_size),
        vocab_size=tokenizer.vocab_size,
        rate=rate,
        special_ids=tuple(sorted(tokenizer.special.values())),
    )

    def batch(step: int) -> dict[str, np.ndarray]:
        process: Any = share()
        windows = batches.random_windows(
            dataset.train,
            batch_size=config.batch_size,
            length=length - around,
            seed=config.seed,
            step=step,
            **process,
        )
        framed = np.stack([tokenizer.frame(row) for row in windows[:, :-1]])
        return hide(framed, seed=config.seed, step=step, **process)

    def held_out(ids: np.ndarray, number: int) -> dict[str, np.ndarray]:
        # By its number in the text, not by its batch, whose size depends on the devices.
        framed = tokenizer.frame(ids)[None]
        hidden = hide(framed, seed=EVALUATION_SEED, step=number)
        missing = length - framed.shape[1]
        return {
            **{name: np.pad(value[0], (0, missing)) for name, value in hidden.items()},
            'lengths': np.array(framed.shape[1], np.int32),
        }

    def eval_batches(tokens: np.ndarray, rows: int) -> Iterator[dict[str, np.ndarray]]:
        scored = batches.evaluation_batches(tokens, batch_size=rows, length=length - around)
        for index, each in enumerate(scored):
            sizes = each.weights.sum(axis=1).astype(int)  # 0: the batch is filled up
            windows = [
                held_out(row[1 : 1 + max(size, 1)], index * rows + place)
                for place, (row, size) in enumerate(zip(each.tokens, sizes, strict=True))
            ]
            batch = {name: np.stack([window[name] for window in windows]) for name in windows[0]}
            yield {**batch, 'weights': batch['weights'] * (sizes > 0)[:, None].astype(np.float32)}

    return Task(
        dataset=dataset,
        shape=shape,
        model=model,
        tokens_per_batch=config.batch_size * length,
        batch=batch,
        objective=lambda axis_name, dropout: masked_language_modelling(model, dropout=dropout),
        evaluation=lambda axis_name: masked_language_modelling(model, count=True),
        eval_batches=eval_batches,
        eval_rows=max(1, 8192 // length),
        count=no_count,
        metrics=hit_metrics,
    )
