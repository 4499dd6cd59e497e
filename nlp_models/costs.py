"""What models cost, by counting."""

from collections.abc import Callable

import jax

from nlp_models import trees
from nlp_models.types import LanguageModel


def count_parameters(model: LanguageModel) -> int:
    """How many parameters a model has; none is made."""
    return trees.count(jax.eval_shape(model.init, jax.random.key(0)))


def closest_size(count: Callable[[int], int], target: int) -> int:
    """The size n ≥ 1 for which `count(n)` comes closest to a target.

    Args:
      count: rises with n.
      target: at least 1.

    Returns:
      n.
    """
    low, high = 1, 2
    while count(high) < target:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if count(middle) < target else (low, middle)
    return min((low, high), key=lambda n: abs(count(n) - target))
