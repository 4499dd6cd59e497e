"""Loss against compute and parameters: the best at each budget or size, a power law through them.

A run that diverged has NaN for its losses. It never makes its learning rate or its size the best
while another is without one; where all have one, NaN comes through, and a verdict says so.
"""

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
    """L = scale · X^exponent, of compute or of parameters; all NaN where a loss is not finite.

    Attributes:
      exponent: below 0 where the loss falls.
      scale: the loss at X = 1.
      residual: the largest |log L − fit|, which is about a relative error; of two points it is 0,
        whatever they are.
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
    averaged over seeds, is the best (`best`).

    Args:
      curves: of all sizes and learning rates of a family.
      budgets: in FLOPs, ascending.

    Returns:
      Of each budget that pays for any point: the best model's name and its losses `[seeds]`.
    """
    found = {}
    for budget in budgets:
        paid = {}
        for curve in curves:
            if budget >= curve.flops[0] * (1 - 1e-9):
                at, points = np.log(budget), np.log(curve.flops)
                paid[curve.name] = np.array([np.interp(at, points, row) for row in curve.losses])
        if paid:
            found[float(budget)] = best(paid)
    return found


def best(losses: Mapping[str, Any]) -> tuple[str, np.ndarray]:
    """The lowest mean over seeds; of what has diverged runs, the one with the fewest of them.

    Args:
      losses: of each candidate (a size, a learning rate), one a seed; not finite where the run
        diverged. Not empty.

    Returns:
      Its name and its losses `[seeds]`. They are finite wherever any candidate's all are.
    """

    def rank(name: str) -> tuple[int, float, str]:
        kept = found[name][np.isfinite(found[name])]
        return len(found[name]) - len(kept), float(np.mean(kept)) if len(kept) else np.inf, name

    found = {name: np.asarray(values, np.float64) for name, values in losses.items()}
    name = min(found, key=rank)
    return name, found[name]


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


def power_law(amounts: Any, losses: Any) -> Law:
    """Least squares of log L on log X (Kaplan et al. 2020, without a constant that is left).

    Args:
      amounts: X, compute or parameters, positive, at least two different ones.
      losses: L, positive; one that is not finite, or not positive, makes a law of NaN.

    Returns:
      The law.
    """
    losses = np.asarray(losses, np.float64)
    if not (np.isfinite(losses) & (losses > 0)).all():
        return Law(np.nan, np.nan, np.nan)
    x, y = np.log(np.asarray(amounts, np.float64)), np.log(losses)
    exponent, intercept = np.polyfit(x, y, 1)
    residual = np.max(np.abs(y - (exponent * x + intercept)))
    return Law(float(exponent), float(np.exp(intercept)), float(residual))


def laws(points: Mapping[float, np.ndarray]) -> list[Law]:
    """A power law through the losses of each seed by itself.

    The points of a seed are not independent (budgets can be paid by the same run, sizes read the
    same batches), so an interval must not come from the residuals of one line. Seeds are
    independent: Student's t over their exponents holds for the mean exponent over seeds, of these
    amounts. It says nothing of how well a power law describes them: `Law.residual` does.

    Args:
      points: budget or parameters to losses `[seeds]`.

    Returns:
      A law a seed.
    """
    by_seed = np.stack(list(points.values()), axis=1)
    return [power_law(list(points), losses) for losses in by_seed]
