"""What knowing nothing comes to: the loss of who knows the form of a task but not the content."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from nlp_models.data import synthetic
from nlp_models.errors import require

KNOWN = 'adding, copy, delayed, dyck, parity, recall'


class Guess(NamedTuple):
    """A guesser's loss.

    Attributes:
      expected: in closed form: mean squared error, or nats per counted token.
      measured: over the examples.
      error: standard error of what was measured; 0 where it cannot vary.
    """

    expected: float
    measured: float
    error: float


def guess(task: str, setting: Mapping[str, Any], examples: synthetic.Examples) -> Guess:
    """The loss of a guesser on examples of a task.

    Of adding it always says 1, the mean of a sum of two U[0, 1): 1/6. Of the others it knows where
    an answer is due and what kind of token it is, each of which it holds equally likely; elsewhere
    (of copy, the blanks) it is right: S ln A / (delay + 2 S) of copy, ln of the number of answers
    of the others.

    Args:
      task: 'copy', 'adding', 'recall', 'parity', 'dyck' or 'delayed'.
      setting: its other arguments.
      examples: to measure on.

    Returns:
      The loss.

    Raises:
      InputError: for another task.
    """
    if task == 'adding':
        squares = np.square(1 - examples.targets.astype(np.float64))
        error = float(squares.std(ddof=1) / math.sqrt(len(squares)))
        return Guess(synthetic.ADDING_BASELINE, float(squares.mean()), error)
    first, number = _answers(task, setting)
    scored = examples.scored > 0
    inside = (examples.targets >= first) & (examples.targets < first + number)
    # −log of the probability given to the target: of one that it holds impossible, infinite.
    nats = np.where(scored, np.where(inside, math.log(number), math.inf), 0.0)
    measured = float(np.sum(nats * examples.weights) / examples.weights.sum(dtype=np.float64))
    expected = math.log(number)
    if task == 'copy':
        expected = synthetic.copy_baseline(**setting)
    return Guess(expected, measured, 0.0)


def _answers(task: str, setting: Mapping[str, Any]) -> tuple[int, int]:
    """The smallest token that can be an answer, and how many there are."""
    if task == 'dyck':
        return 1 + setting['kinds'], setting['kinds']
    if task == 'parity':
        return 0, 2
    if task == 'delayed':
        return 1, setting['alphabet']
    vocab_size = synthetic.vocab_size(task, setting) if task in ('copy', 'recall') else 0
    require(vocab_size > 0, 'task', task, 'must be one of ' + KNOWN)
    return (1, vocab_size - 2) if task == 'copy' else (vocab_size // 2, (vocab_size + 1) // 2)
