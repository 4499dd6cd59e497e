"""Logistic regression on vectors, by scikit-learn: what a linear head on fixed features can do."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from nlp_models.errors import require

MOST_ITERATIONS = 2000  # of L-BFGS: more than any of these problems takes

Predict = Callable[[Any], np.ndarray]
"""`(features) -> probabilities [N, C]`, float64; what features are is `fit`'s matter."""


class Picked(NamedTuple):
    """The strength that held-out examples picked.

    Attributes:
      strength: the one.
      predict: of the classifier that was fitted with it.
      swept: strength to accuracy on the held-out examples.
    """

    strength: float
    predict: Predict
    swept: dict[str, float]


def fit(features: Any, targets: np.ndarray, *, num_classes: int, strength: float) -> Predict:
    """Multinomial logistic regression with a squared penalty.

        min over W, b:   ½ ‖W‖² + strength · Σ_i −log softmax(W x_i + b)[c_i]

    Of two classes scikit-learn has the difference of their vectors alone, and its norm as penalty.

    Args:
      features: `[N, D]`, an array or a sparse matrix of SciPy.
      targets: `[N]` integers from 0 to C − 1.
      num_classes: C.
      strength: what the examples count against the penalty, above 0; scikit-learn's C.

    Returns:
      From features to probabilities. A class that no example has gets 0; where there is but one,
      it gets 1.

    Raises:
      InputError: for a strength that is not above 0, or no example.
    """
    from sklearn.linear_model import LogisticRegression

    require(strength > 0, 'strength', strength, 'must be above 0')
    require(len(targets) >= 1, 'the number of examples', len(targets), 'must be at least 1')
    seen = np.unique(targets)

    def widen(some: np.ndarray) -> np.ndarray:
        all_ = np.zeros((len(some), num_classes))
        all_[:, seen] = some
        return all_

    if len(seen) == 1:
        return lambda features: widen(np.ones((features.shape[0], 1)))
    model = LogisticRegression(C=strength, max_iter=MOST_ITERATIONS)
    model.fit(features, targets)

    def predict(features: Any) -> np.ndarray:
        some = model.predict_proba(features)
        return widen(some)

    return predict


def pick(
    fit: Callable[[float], Predict],
    held_out: Any,
    targets: np.ndarray,
    strengths: Sequence[float],
) -> Picked:
    """Fit with every strength, and keep the one that says most held-out examples right.

    Args:
      fit: `(strength) -> predict`.
      held_out: features of examples that nothing else is decided by.
      targets: their classes `[N]`.
      strengths: in the order of preference where several are as good: the smallest first, as that
        one is nearest to knowing nothing.

    Returns:
      What was picked.

    Raises:
      InputError: where there is nothing to choose from.
    """
    require(len(strengths) >= 1, 'strengths', strengths, 'must hold at least one')
    made = {strength: fit(strength) for strength in strengths}
    right: Mapping[float, float] = {
        strength: float(np.mean(predict(held_out).argmax(axis=1) == targets))
        for strength, predict in made.items()
    }
    best = max(right, key=lambda strength: right[strength])  # the first of equals
    return Picked(best, made[best], {str(strength): share for strength, share in right.items()})
