"""How deep may a stack be and still learn? Losses after a fixed number of steps, and the depth."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from nlp_models.analysis import solving
from nlp_models.training import objectives, runs


class Losses(NamedTuple):
    """What a stack's training came to.

    Attributes:
      learning_rate: the one whose mean loss was lowest.
      losses: its mean training loss over the last chunk, in nats, one a seed; a run that diverged
        has that of guessing.
      diverged: how many of its runs did.
      steps: taken.
    """

    learning_rate: float
    losses: list[float]
    diverged: int
    steps: int


def train_stack(
    model: Any,
    problem: solving.Problem,
    training: Any,
    *,
    seeds: Sequence[int],
    chance: float,
    enough: float,
    num_devices: int = 0,
) -> Losses:
    """Train a model with every seed and learning rate and keep the best rate's losses.

    Every batch is new, so that the training loss is that of examples not seen before.

    Args:
      model: a config's `model` group.
      problem: over tokens.
      training: `batch_size`, `steps`, `chunk`, `learning_rates`, `optimizer`.
      seeds: of parameters and data.
      chance: the loss of guessing, in nats.
      enough: training ends once all seeds of some rate have a lower loss.
      num_devices: see `runs.train`.

    Returns:
      The losses.
    """
    built = solving.build(model, problem)
    rates = training.learning_rates
    trained = runs.train(
        built.init,
        objectives.labelling(built),
        training.optimizer,
        runs.grid(seeds, rates),
        solving.batches(problem, training.batch_size),
        steps=training.steps,
        chunk=training.chunk,
        stop=solving.some_rate_below(enough, rates),
        num_devices=num_devices,
    )
    losses = np.where(trained.diverged, chance, trained.losses[:, -1])
    best = runs.pick(trained, losses, rates, worst=chance, lowest=True)
    return Losses(
        best.learning_rate, best.of(losses).tolist(), int(best.diverged.sum()), trained.steps
    )


def doublings(losses: Mapping[int, Sequence[float]], enough: float) -> list[float]:
    """log₂ of the deepest stack that trains, seed by seed.

    Args:
      losses: layers to final losses, one a seed, of every depth that was asked.
      enough: the loss below which a stack has trained.

    Returns:
      One number a seed: 0 for one layer, 1 for two, …; −1 where none trains.
    """
    depths = sorted(losses)
    return [
        max((float(np.log2(d)) for d in depths if losses[d][i] < enough), default=-1.0)
        for i in range(len(losses[depths[0]]))
    ]
