"""How far a probability can be trusted: calibration, abstention, ranking.

A model answers questions, each answer with a probability. Calibrated is who is right in a share p
of the answers of probability p. Who may keep silent below some probability answers less and errs
less, if its probabilities tell right from wrong: that is asked by risk against coverage and by the
area under the ROC curve, which no rescaling of probabilities changes, and calibration is.

All in NumPy, float64: probabilities `[n]`, and whether each answer is right `[n]`.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from scipy import optimize, special, stats

from nlp_models.errors import require

LEAST_TEMPERATURE, MOST_TEMPERATURE = 0.01, 100.0


class Bins(NamedTuple):
    """Answers put together by their probabilities: a reliability diagram.

    Attributes:
      edges: `[M + 1]`, ascending; of equal mass some may be equal, with nothing between them.
      confidence: mean probability in each bin `[M]`; NaN where it is empty.
      accuracy: share of right answers in each bin `[M]`; likewise.
      count: of answers in each bin `[M]`.
    """

    edges: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray
    count: np.ndarray


class Abstention(NamedTuple):
    """Who answers only from some probability on, for every such threshold, the highest first.

    Attributes:
      threshold: probabilities `[k]`, descending, no two alike.
      coverage: share of the questions that are answered `[k]`, rising to 1.
      risk: share of those answers that are wrong `[k]`.
    """

    threshold: np.ndarray
    coverage: np.ndarray
    risk: np.ndarray


def reliability(confidences: Any, right: Any, *, bins: int = 15, equal_mass: bool = False) -> Bins:
    """Put answers into bins, a probability on an edge into the lower one: I_m = ((m−1)/M, m/M].

    Args:
      confidences: probabilities of the answers `[n]`, in [0, 1], n ≥ 1.
      right: whether each is right `[n]`, 0 and 1 or bools.
      bins: M.
      equal_mass: bins between quantiles of the probabilities, each with about as many answers
        (Nguyen & O'Connor 2015), in place of equal width.

    Returns:
      The bins.

    Raises:
      InputError: for no answers, a probability out of range, or no bins.
    """
    p, y = _checked(confidences, right)
    require(bins >= 1, 'bins', bins, 'must be at least 1')
    edges = np.linspace(0.0, 1.0, bins + 1)
    if equal_mass:
        edges = np.quantile(p, edges)
    at = np.searchsorted(edges[1:-1], p, side='left')
    count = np.bincount(at, minlength=bins)
    sums = (np.bincount(at, weights=of, minlength=bins) for of in (p, y))
    confidence, accuracy = (
        np.divide(total, count, out=np.full(bins, np.nan), where=count > 0) for total in sums
    )
    return Bins(edges, confidence, accuracy, count)


def expected_calibration_error(
    confidences: Any, right: Any, *, bins: int = 15, equal_mass: bool = False
) -> float:
    """ECE = Σ_m |B_m| / n · |acc(B_m) − conf(B_m)| (Guo et al. 2017, equation 3).

    Of finitely many answers it is above 0 for who is perfectly calibrated, too: by about
    √(M / n) times a third.

    Args:
      confidences: as in `reliability`.
      right: likewise.
      bins: likewise.
      equal_mass: likewise.

    Returns:
      A difference of probabilities, from 0 to 1.
    """
    found = reliability(confidences, right, bins=bins, equal_mass=equal_mass)
    kept = found.count > 0
    gaps = np.abs(found.accuracy[kept] - found.confidence[kept])
    return float(np.sum(gaps * found.count[kept]) / found.count.sum())


def brier_score(confidences: Any, right: Any) -> float:
    """Mean of (p − y)², y being 1 for a right answer and 0 for a wrong one (Brier 1950).

    0 is perfect, 1/4 what a p of one half always comes to. Unlike the calibration error it also
    counts how well right answers are told from wrong ones.

    Args:
      confidences: as in `reliability`.
      right: likewise.

    Returns:
      From 0 to 1.
    """
    p, y = _checked(confidences, right)
    return float(np.mean((p - y) ** 2))


def negative_log_likelihood(logits: Any, answers: Any, temperature: float = 1.0) -> float:
    """Mean of −log softmax(z / T)[answer], in nats.

    Args:
      logits: z, `[n, V]`.
      answers: `[n]`, in [0, V).
      temperature: T, above 0.

    Returns:
      Nats an answer.
    """
    z = np.asarray(logits, np.float64) / temperature
    return float(-np.mean(special.log_softmax(z, axis=1)[np.arange(len(z)), np.asarray(answers)]))


def fit_temperature(logits: Any, answers: Any) -> float:
    """The T of softmax(z / T) with the least negative log-likelihood.

    Temperature scaling (Guo et al. 2017, section 4.2): one number for all questions, so which
    answer is the likeliest stays, and how sure it is changes. There is one minimum, since the
    negative log-likelihood is convex in 1 / T.

    Args:
      logits: z, `[n, V]`, of questions that nothing else is measured on, n ≥ 1.
      answers: `[n]`, in [0, V).

    Returns:
      T, above 1 where the model was too sure; not below `LEAST_TEMPERATURE`, near which it ends
      where all likeliest answers are right, nor above `MOST_TEMPERATURE`.

    Raises:
      InputError: for none, or not as many of both.
    """
    z, y = np.asarray(logits, np.float64), np.asarray(answers)
    require(z.ndim == 2 and len(z) > 0, 'logits', z.shape, 'must be [n, V], n at least 1')
    require(y.shape == z.shape[:1], 'answers', y.shape, f'must be as many as logits, {len(z)}')
    found: Any = optimize.minimize_scalar(
        lambda log: negative_log_likelihood(z, y, math.exp(log)),
        bounds=(math.log(LEAST_TEMPERATURE), math.log(MOST_TEMPERATURE)),
        method='bounded',
        options={'xatol': 1e-6},
    )
    return math.exp(float(found.x))


def risk_coverage(confidences: Any, right: Any) -> Abstention:
    """Errors among what is answered, for every threshold (Geifman & El-Yaniv 2017, section 2).

    Answers of equal probability are given or withheld together.

    Args:
      confidences: as in `reliability`.
      right: likewise.

    Returns:
      The curve.
    """
    p, y = _checked(confidences, right)
    order = np.argsort(-p, kind='stable')
    ordered, wrong = p[order], np.cumsum(1.0 - y[order])
    last = np.append(np.flatnonzero(np.diff(ordered)), len(p) - 1)  # of each group of equals
    return Abstention(ordered[last], (last + 1) / len(p), wrong[last] / (last + 1))


def risk_at(curve: Abstention, coverage: float) -> float:
    """The risk where at least a share of the questions is answered, and no more than needed."""
    require(0 < coverage <= 1, 'coverage', coverage, 'must be above 0 and at most 1')
    at = np.searchsorted(curve.coverage, coverage - 1e-12)
    return float(curve.risk[min(at, len(curve.risk) - 1)])


def auroc(scores: Any, positive: Any) -> float:
    """The share of pairs of a positive and a negative in which the positive has the higher score.

    Equal scores count half. It is the area under the ROC curve, U / (n₁ n₀) with the U of Mann &
    Whitney 1947 (Hanley & McNeil 1982): 1/2 by chance, 1 where a threshold tells both apart.

    Args:
      scores: `[n]`, finite.
      positive: bools `[n]`.

    Returns:
      From 0 to 1.

    Raises:
      InputError: where all are positive, or none is.
    """
    s, y = np.asarray(scores, np.float64), np.asarray(positive).astype(bool)
    require(s.shape == y.shape and s.ndim == 1, 'positive', y.shape, f'must have shape {s.shape}')
    require(bool(np.isfinite(s).all()), 'scores', scores, 'must be finite')
    n1, n0 = int(y.sum()), int((~y).sum())
    require(n1 > 0 and n0 > 0, 'positive', n1, f'must be some but not all of {len(y)}')
    ranks = stats.rankdata(s)
    return float((ranks[y].sum() - n1 * (n1 + 1) / 2) / (n1 * n0))


def made_up(seed: int, number: int) -> dict[str, tuple[float, float]]:
    """The instruments on answers whose figures are known.

    Probabilities uniform between 0 and 1; right with just that probability, or with its square; and
    scores of two normal distributions one deviation apart.

    Args:
      seed: of the draws.
      number: n of answers.

    Returns:
      What was measured and what is expected of many answers: `calibrated` (ECE, 0), `too_sure`
      (ECE, ∫ p − p² dp = 1/6), `brier` (∫ p (1 − p) dp = 1/6) and `auroc` (Φ(1/√2)).
    """
    random = np.random.default_rng(seed)
    p = random.uniform(size=number)
    fair, rare = random.uniform(size=number) < p, random.uniform(size=number) < p**2
    positive = np.arange(number) % 2 == 0
    scores = random.normal(size=number) + positive
    return {
        'calibrated': (expected_calibration_error(p, fair), 0.0),
        'too_sure': (expected_calibration_error(p, rare), 1 / 6),
        'brier': (brier_score(p, fair), 1 / 6),
        'auroc': (auroc(scores, positive), float(stats.norm.cdf(math.sqrt(0.5)))),
    }


def _checked(confidences: Any, right: Any) -> tuple[np.ndarray, np.ndarray]:
    p, y = np.asarray(confidences, np.float64), np.asarray(right, np.float64)
    require(p.ndim == 1 and len(p) > 0, 'confidences', p.shape, 'must be [n], n at least 1')
    within = bool(((p >= 0) & (p <= 1 + 1e-6)).all())  # NaN is neither
    require(within, 'confidences', confidences, 'must be from 0 to 1')
    require(y.shape == p.shape, 'right', y.shape, f'must be as many as confidences, {len(p)}')
    require(bool(np.isin(y, (0, 1)).all()), 'right', right, 'must be 0 or 1')
    return np.minimum(p, 1.0), y
