"""How deep may a stack be and still learn? Losses after a fixed number of steps, and the depth."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from nlp_models.analysis import solving
from nlp_models.training import objectives, runs

NOWHERE = -1.0
"""What `doublings` says of a stack that trains at no depth: no number of doublings."""


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

    Batches are drawn anew for every step, so that the training loss is no memory of a fixed set. It
    is that of examples not seen before only where a task has far more contents than are drawn: of
    `delayed` at a short distance, A · F^(distance − 2), each comes again and again.

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
    """log₂ of the depth down to which every stack that was asked trains, seed by seed.

    One that trains below one that does not was lucky, and counts for nothing.

    Args:
      losses: layers to final losses, one a seed, of every depth that was asked.
      enough: the loss below which a stack has trained.

    Returns:
      One number a seed: 0 for one layer, 1 for two, …; `NOWHERE` where the shallowest does not
      train. It is that of the deepest asked where all train, who knows how much deeper.
    """
    depths = sorted(losses)
    trains = np.array([losses[depth] for depth in depths]) < enough
    known = np.logical_and.accumulate(trains, axis=0).sum(axis=0)
    return [float(np.log2(depths[n - 1])) if n else NOWHERE for n in known.tolist()]
