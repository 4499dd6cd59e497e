"""One scale for all tasks: 0 is what a guesser comes to, 1 is perfect.

    accuracy a:               (a − g) / (1 − g),  g a guesser's accuracy
    mean squared error e:     1 − e / g,          g that of the best constant: R²

So differences between models can be compared from task to task.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from nlp_models.data import synthetic
from nlp_models.errors import require


def skill(task: str, setting: Mapping[str, Any], scores: Sequence[float]) -> list[float]:
    """What `solving.solve` scored, on the common scale.

    Args:
      task: adding (mean squared errors), delayed or copy (accuracies).
      setting: its other arguments.
      scores: one a run; NaN stays NaN.

    Returns:
      Their skills, at most 1; below 0 is worse than guessing.

    Raises:
      InputError: for another task.
    """
    known = ('adding', 'delayed', 'copy')
    require(task in known, 'task', task, f'must be one of {", ".join(known)}')
    if task == 'adding':
        return [1 - score / synthetic.ADDING_BASELINE for score in scores]
    chance = 1 / setting.get('alphabet', 8)  # copy's default; delayed has none
    return [(score - chance) / (1 - chance) for score in scores]
