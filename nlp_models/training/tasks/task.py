"""The protocol of a task."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import numpy as np

from nlp_models.errors import require
from nlp_models.training.objectives import Objective


class Shape(NamedTuple):
    """What a model is built for, beside its config: stands in the run's manifest.

    Attributes:
      vocab_size: V, with the tokens that the task adds to the tokenizer's.
      max_length: tokens it is given.
      source_length: of an encoder-decoder, tokens of the longest source; else 0.
      num_classes: that a head on it tells apart; 0 for no such head.
      pooling: of the vectors which that head reads.
    """

    vocab_size: int
    max_length: int
    source_length: int = 0
    num_classes: int = 0
    pooling: str = ''

    def to_json(self) -> dict[str, Any]:
        """As it stands in a manifest: what there is no head for is left out."""
        head = () if self.num_classes else ('num_classes', 'pooling')
        return {name: value for name, value in self._asdict().items() if name not in head}


class Task(NamedTuple):
    """What a run is trained on.

    Attributes:
      dataset: with `name`, `version`, `fingerprint`, `tokenizer` and the three splits.
      shape: what the model was built for.
      model: the model.
      tokens_per_batch: what a training batch counts as, for the speed.
      batch: `step -> arrays`, this process's rows, `[B, …]`, on the host.
      objective: `(axis_name, dropout) -> Objective`, what is minimised.
      evaluation: `axis_name -> Objective`, what is summed up on held-out data.
      eval_batches: `(split, rows) -> iterator of batches` of that many rows, all of one shape.
      eval_rows: how many rows to evaluate at once, about.
      count: `batch -> numbers` to be summed on the host beside the evaluation's.
      metrics: `sums -> numbers`, of a whole split; `loss` is one of them.
    """

    dataset: Any
    shape: Shape
    model: Any
    tokens_per_batch: int
    batch: Callable[[int], dict[str, np.ndarray]]
    objective: Callable[[str | None, bool], Objective]
    evaluation: Callable[[str | None], Objective]
    eval_batches: Callable[[Any, int], Iterator[dict[str, np.ndarray]]]
    eval_rows: int
    count: Callable[[dict[str, np.ndarray]], dict[str, float]]
    metrics: Callable[[dict[str, float]], dict[str, float]]


def share() -> dict[str, int]:
    """Which part of each batch is this process's."""
    return dict(process_index=jax.process_index(), process_count=jax.process_count())


def check_length(field: str, length: int, context: int | None) -> None:
    """Refuse batches that are longer than the model can read.

    Raises:
      InputError: naming the field that says how long they are.
    """
    fits = context is None or length <= context
    require(fits, field, length, f'must be at most what the model reads, {context}')


def hit_metrics(sums: dict[str, float]) -> dict[str, float]:
    """Loss and the share of tokens guessed right, from `objectives.Hits`."""
    return {
        'loss': sums['loss'] / sums['weight'],
        'token_accuracy': sums['correct'] / sums['weight'],
    }


def no_count(batch: dict[str, np.ndarray]) -> dict[str, float]:
    """Nothing is counted on the host."""
    del batch
    return {}
