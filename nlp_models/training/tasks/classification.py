"""Which class a text, or a pair of texts, is of."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from nlp_models.adaptation import building
from nlp_models.adaptation.classifier import Classifier
from nlp_models.data.labelled import Labelled, LabelledDataset
from nlp_models.data.labelled_batches import labelled_batch, labelled_evaluation_batches
from nlp_models.errors import InputError, require
from nlp_models.training.objectives import Objective, Sums, cross_entropy
from nlp_models.training.tasks.task import Shape, Task, check_length, no_count, share


class Right(NamedTuple):
    """What an evaluation counts besides the loss.

    Attributes:
      loss: as in `Sums`.
      weight: as in `Sums`, in texts.
      correct: Σ weight where the likeliest class is the right one.
    """

    loss: Float[Array, '']
    weight: Float[Array, '']
    correct: Float[Array, '']


def classification(model: Classifier, *, dropout: bool = False, count: bool = False) -> Objective:
    """The cross-entropy of the class, −log softmax(o)[c], in nats a text.

    Args:
      model: the model.
      dropout: whether the key is handed to the model.
      count: give `Right` in place of `Sums`.

    Returns:
      An objective over batches of `tokens` `[B, S]`, `lengths` and `targets` `[B]`, of pairs with
      `segments` `[B, S]`, and with `weights` `[B]` where not all rows count.
    """

    def objective(params, carry, batch, key=None):
        del carry
        targets = batch['targets']
        logits = model.logits(
            params,
            batch['tokens'],
            lengths=batch['lengths'],
            segments=batch.get('segments'),
            key=key if dropout else None,
        )
        nats = cross_entropy(logits[:, None], targets[:, None])[:, 0]
        weights = batch.get('weights', jnp.ones_like(nats))
        loss, weight = jnp.sum(nats * weights), jnp.sum(weights)
        if count:
            right = (jnp.argmax(logits, axis=-1) == targets).astype(weights.dtype)
            return Right(loss, weight, jnp.sum(right * weights)), None
        return Sums(loss, weight), None

    return objective


def build(config: Any, dataset: LabelledDataset, shape: Shape) -> Task:
    """Texts, or pairs of texts, and the classes they are of.

    Args:
      config: the whole config.
      dataset: the texts.
      shape: of the model; its length is where texts are cut off.

    Returns:
      The task.

    Raises:
      InputError: for a config or texts that do not do.
    """
    model = building.build(config.model, **shape._asdict())
    if not isinstance(model, Classifier):
        raise InputError(f'the task classification needs classes, and has {shape.num_classes}')
    check_length('sequence_length', shape.max_length, model.context)
    size, train = config.batch_size, len(dataset.train)
    require(train >= 1, 'texts to train on', train, 'must be at least 1')

    def batch(step: int) -> dict[str, np.ndarray]:
        return labelled_batch(
            dataset.train,
            batch_size=size,
            length=config.sequence_length,
            seed=config.seed,
            step=step,
            **share(),
        )

    def eval_batches(some: Labelled, rows: int) -> Iterator[dict[str, np.ndarray]]:
        return labelled_evaluation_batches(some, batch_size=rows, length=config.sequence_length)

    def metrics(sums: dict[str, float]) -> dict[str, float]:
        return {
            'loss': sums['loss'] / sums['weight'],
            'accuracy': sums['correct'] / sums['weight'],
        }

    return Task(
        dataset=dataset,
        shape=shape,
        model=model,
        tokens_per_batch=size * config.sequence_length,
        batch=batch,
        objective=lambda axis_name, dropout: classification(model, dropout=dropout),
        evaluation=lambda axis_name: classification(model, count=True),
        eval_batches=eval_batches,
        eval_rows=max(1, 4096 // config.sequence_length),
        count=no_count,
        metrics=metrics,
    )
