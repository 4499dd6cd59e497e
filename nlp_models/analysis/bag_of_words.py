"""Classes of texts by their words alone: TF-IDF and logistic regression, by scikit-learn.

The yardstick of text classification (Wang & Manning 2012): no order, no pretraining, a second's
work. Words are scikit-learn's: two letters or digits and more, in lower case.
"""

from collections.abc import Sequence

import numpy as np

from nlp_models.analysis import logistic
from nlp_models.analysis.logistic import Picked, Predict


def fit(texts: Sequence[str], targets: np.ndarray, *, num_classes: int, strength: float) -> Predict:
    """Logistic regression on the words of texts.

        x_w = n_w · (1 + ln((1 + N) / (1 + N_w))),   then x / ‖x‖

    with n_w how often a text has the word w and N_w how many of the N training texts do.

    Args:
      texts: N texts to learn from; at least one has a word.
      targets: `[N]` integers from 0 to C − 1.
      num_classes: C.
      strength: what the examples count against the penalty, see `logistic.fit`.

    Returns:
      `(texts) -> probabilities [M, C]`, float64. Words that no training text has are passed over.

    Raises:
      InputError: as `logistic.fit`.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer()
    features = vectorizer.fit_transform(texts)
    inner = logistic.fit(features, targets, num_classes=num_classes, strength=strength)
    return lambda texts: inner(vectorizer.transform(texts))


def fit_and_predict(
    train_texts: Sequence[str],
    targets: np.ndarray,
    test_texts: Sequence[str],
    *,
    num_classes: int,
    strength: float,
) -> np.ndarray:
    """The probabilities of the classes of texts, learned from the words of others.

    Args:
      train_texts: N texts.
      targets: their classes `[N]`, from 0 to C − 1.
      test_texts: M texts.
      num_classes: C.
      strength: as in `fit`.

    Returns:
      `[M, C]` float64.

    Raises:
      InputError: as `fit`.
    """
    return fit(train_texts, targets, num_classes=num_classes, strength=strength)(test_texts)


def pick_strength(
    train_texts: Sequence[str],
    targets: np.ndarray,
    held_out_texts: Sequence[str],
    held_out_targets: np.ndarray,
    *,
    num_classes: int,
    strengths: Sequence[float],
) -> Picked:
    """Fit with every strength, and keep the one that says most held-out texts right.

    Args:
      train_texts: N texts.
      targets: their classes `[N]`, from 0 to C − 1.
      held_out_texts: texts that nothing else is decided by.
      held_out_targets: their classes.
      num_classes: C.
      strengths: the first of equally good ones is taken: the smallest should stand first.

    Returns:
      `strength`, `predict` (texts to probabilities, fitted with it) and `swept`.

    Raises:
      InputError: as `fit`, and where there is nothing to choose from.
    """

    def fitted(strength: float) -> Predict:
        return fit(train_texts, targets, num_classes=num_classes, strength=strength)

    return logistic.pick(fitted, held_out_texts, held_out_targets, strengths)
