"""Finding the right partner among all: from a matrix of similarities to numbers."""

from typing import Any

import numpy as np


def scores(similarities: np.ndarray, alike: np.ndarray | None = None) -> dict[str, float]:
    """How often the right one is found, where query i belongs to candidate i.

    Of equally similar candidates the right one counts as the last, so a constant similarity
    finds nothing.

    Args:
      similarities: `[N, N]`, queries by candidates.
      alike: `[N, N]`, candidates that would be as right as the right one, and are left out.

    Returns:
      `recall_1` and `recall_10`, the share of queries whose partner is the first, or among the
      first ten; `mean_reciprocal_rank`, the mean of 1/rank; `candidates`, N.
    """
    right = np.diagonal(similarities)[:, None]
    ahead = similarities >= right
    if alike is not None:
        ahead &= ~alike
    np.fill_diagonal(ahead, True)  # ranks are from 1
    ranks = np.sum(ahead, axis=1)
    return {
        'recall_1': float(np.mean(ranks <= 1)),
        'recall_10': float(np.mean(ranks <= 10)),
        'mean_reciprocal_rank': float(np.mean(1 / ranks)),
        'candidates': len(ranks),
    }


def tfidf_similarities(queries: list[str], candidates: list[str], known: list[str]) -> np.ndarray:
    """Cosines of TF-IDF vectors, by scikit-learn (words of two letters and more, lower case).

    Args:
      queries: texts.
      candidates: texts.
      known: texts that frequencies are learned from, beside these.

    Returns:
      `[queries, candidates]` float64.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer  # takes a second to import

    vectorizer: Any = TfidfVectorizer(sublinear_tf=True)
    vectorizer.fit([*known, *queries, *candidates])
    first, second = vectorizer.transform(queries), vectorizer.transform(candidates)
    return (first @ second.T).toarray()
