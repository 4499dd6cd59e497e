"""How long a task a family can do, and how much longer than another: what a grid of lengths says.

Lengths are tried in ascending order. Nothing is known beyond the longest one, nor between two of
them, so lengths are compared as places on the grid and a ratio may be a bound: it is said which.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from nlp_models.errors import require


class Ratios(NamedTuple):
    """How much longer one is than another.

    Attributes:
      log2: of the ratio of lengths, one a seed; 2 is four times as long; NaN of a diverged run.
      at_least: whether some of them may be larger: ours solved the longest length there is, or the
        others solved none.
      at_most: whether some of them may be smaller: the others solved the longest length there is,
        or ours solved none.
    """

    log2: tuple[float, ...]
    at_least: bool
    at_most: bool


def longest(scores: Mapping[int, Sequence[float]], solved: float, *, below: bool) -> list[float]:
    """The longest length of each seed that it solved together with all the shorter ones.

    Args:
      scores: length to one score a seed; of what was not tried there is none.
      solved: a score as good as this solves a length.
      below: whether lower scores are better.

    Returns:
      A length for each seed, 0 where not even the shortest was solved; NaN where a run diverged
      before one failed.

    Raises:
      InputError: for no lengths, or lengths with different numbers of seeds.
    """
    counts = {len(values) for values in scores.values()}
    require(len(counts) == 1, 'scores', dict(scores), 'must have the same seeds at every length')
    found = [0.0] * counts.pop()
    going = [True] * len(found)
    for length in sorted(scores):
        for seed, score in enumerate(scores[length]):
            if not going[seed]:
                continue
            if math.isnan(score):
                found[seed], going[seed] = math.nan, False
            elif score <= solved if below else score >= solved:
                found[seed] = float(length)
            else:
                going[seed] = False
    return found


def bar(limits: Mapping[str, Any], task: str) -> tuple[float, bool]:
    """The score that solves a task, and whether lower ones are better.

    Args:
      limits: `error`, a mean squared error for adding; `accuracy`, a share right for the others.
      task: of `data.synthetic`.

    Returns:
      (score, below), as `longest` takes them.
    """
    below = task == 'adding'
    return (limits['error'] if below else limits['accuracy']), below


def reached(
    limits: Mapping[str, Any], cells: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]]
) -> list[float]:
    """`longest` of a study's cells, all of one task and family.

    Args:
      limits: as in `bar`.
      cells: (key, value) with the key's `task` and `length` and the value's `scores`, or `skipped`.

    Returns:
      A length for each seed.

    Raises:
      InputError: as `longest`.
    """
    scores = {key['length']: v['scores'] for key, v in cells if not v.get('skipped')}
    solved, below = bar(limits, cells[0][0]['task'])
    return longest(scores, solved, below=below)


def on_grid(found: Sequence[float], lengths: Sequence[int]) -> tuple[float, ...]:
    """log₂ of lengths; 0, not even the shortest, is half the shortest: the next on the grid."""
    floor = min(lengths) / 2
    return tuple(math.nan if math.isnan(x) else math.log2(max(x, floor)) for x in found)


def ratios(ours: Sequence[float], others: Sequence[float], lengths: Sequence[int]) -> Ratios:
    """log₂ of ours over others', seed by seed.

    Who solves nothing is taken to solve half the shortest length, the most that is possible on a
    grid that doubles.

    Args:
      ours: from `longest`.
      others: likewise, of the same seeds.
      lengths: the grid.

    Returns:
      The ratios.

    Raises:
      InputError: where there are not as many of each.
    """
    alike = len(ours) == len(others)
    require(alike, 'others', others, f'must hold as many numbers as the other side, {len(ours)}')
    pairs = zip(on_grid(ours, lengths), on_grid(others, lengths), strict=True)
    most = float(max(lengths))
    return Ratios(
        tuple(mine - other for mine, other in pairs),
        at_least=most in ours or 0.0 in others,
        at_most=most in others or 0.0 in ours,
    )


def typical(found: Sequence[float]) -> float:
    """The median seed's length; NaN where one diverged."""
    return float(np.median(found))


def most(several: Sequence[Sequence[float]]) -> list[float]:
    """The longest of several families' lengths, seed by seed; NaN where one of them diverged."""
    return [
        math.nan if any(math.isnan(x) for x in lengths) else max(lengths)
        for lengths in zip(*several, strict=True)
    ]
