"""Loss against compute: the best of several sizes at each budget, and a power law through them."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from nlp_models import costs, models
from nlp_models.errors import require


class Curve(NamedTuple):
    """How the loss of one model fell while it was trained.

    Attributes:
      name: of the model, for telling which one was best.
      flops: spent up to each point `[P]`, ascending.
      losses: there, of every seed `[seeds, P]`, nats a token.
    """

    name: str
    flops: np.ndarray
    losses: np.ndarray


class Law(NamedTuple):
    """L = scale · C^exponent.

    Attributes:
      exponent: below 0 where the loss falls.
      scale: the loss at one FLOP.
      residual: the largest |log L − fit|, which is about a relative error.
    """

    exponent: float
    scale: float
    residual: float


def training_flops(model: Any, *, batch_size: int, length: int, vocab_size: int) -> float:
    """FLOPs of a training step by formula (`costs`), the head's product included.

    Args:
      model: a config's `model` group, of a transformer or a gated cell without residual layers.
      batch_size: B.
      length: T.
      vocab_size: V.

    Returns:
      FLOPs, three times those of the forward pass.
    """
    if model.family == 'transformer':
        return costs.transformer_flops(
            batch_size,
            length,
            width=model.hidden_size,
            num_layers=model.num_layers,
            vocab_size=vocab_size,
            feed_forward_size=model.feed_forward_size,
            window=model.window,
        )
    cell = models.find_cell(model)
    total = costs.FORWARD_BACKWARD * 2.0 * batch_size * length * model.hidden_size * vocab_size
    for layer in range(model.num_layers):
        size = (model.embed_size or model.hidden_size) if layer == 0 else model.hidden_size
        r = costs.Recurrence(
            batch_size, length, size, model.hidden_size, cell.gates, cell.gates, cell.carries
        )
        total += costs.sequential_flops(r, costs.FORWARD_BACKWARD)
    return total


def frontier(
    curves: Sequence[Curve], budgets: Sequence[float]
) -> Mapping[float, tuple[str, np.ndarray]]:
    """The best that each budget could have bought.

    Between two points of a curve its loss is taken to be a line in log C; where a curve has ended,
    its last loss stands: the rest of the budget is not spent. The model with the smallest loss,
    averaged over seeds, is the best.

    Args:
      curves: of all sizes and learning rates of a family.
      budgets: in FLOPs, ascending.

    Returns:
      Of each budget that pays for any point: the best model's name and its losses `[seeds]`.
    """
    found = {}
    for budget in budgets:
        paid = []
        for curve in curves:
            if budget >= curve.flops[0] * (1 - 1e-9):
                at, points = np.log(budget), np.log(curve.flops)
                losses = np.array([np.interp(at, points, row) for row in curve.losses])
                paid.append((float(np.mean(losses)), curve.name, losses))
        finite = [entry for entry in paid if np.isfinite(entry[0])]
        if finite:
            _, name, losses = min(finite, key=lambda entry: entry[:2])
            found[float(budget)] = (name, losses)
    return found


def budgets_between(curves: Sequence[Sequence[Curve]], number: int) -> list[float]:
    """Budgets evenly spaced in their logarithm, from where every family has a point to its last.

    Args:
      curves: those of each family.
      number: at least 2.

    Returns:
      FLOPs, ascending.
    """
    require(number >= 2, 'budgets', number, 'must be at least 2')
    first = max(min(curve.flops[0] for curve in family) for family in curves)
    last = min(max(curve.flops[-1] for curve in family) for family in curves)
    return np.geomspace(first, last, number).tolist()


def power_law(flops: Any, losses: Any) -> Law:
    """Least squares of log L on log C (Kaplan et al. 2020, without a constant that is left).

    Args:
      flops: C, at least two different ones.
      losses: L, positive.

    Returns:
      The law.
    """
    x, y = np.log(np.asarray(flops, np.float64)), np.log(np.asarray(losses, np.float64))
    exponent, intercept = np.polyfit(x, y, 1)
    residual = np.max(np.abs(y - (exponent * x + intercept)))
    return Law(float(exponent), float(np.exp(intercept)), float(residual))
