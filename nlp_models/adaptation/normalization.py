"""From log-likelihoods of choices to scores that can be compared, and from counts to intervals.

Every function here is of arrays alone: rows are questions, columns their choices. −∞ stands where
a question has fewer choices than others, and stays what it is.
"""

import math

import numpy as np
from jaxtyping import Float, Integer
from scipy import special, stats

from nlp_models.errors import require

CONFIDENCE = 0.95


def per_length(
    log_likelihoods: Float[np.ndarray, 'N C'], lengths: Integer[np.ndarray, 'N C']
) -> Float[np.ndarray, 'N C']:
    """Divide by the lengths of the choices: log p(c | x) / |c|.

    In tokens (Brown et al. 2020, section 2.4), bytes or characters, as the lengths have it.

    Args:
      log_likelihoods: of the choices, in nats.
      lengths: of the choices; 0 counts as 1.

    Returns:
      Nats per unit of length.
    """
    return log_likelihoods / np.maximum(lengths, 1)


def unconditional(
    log_likelihoods: Float[np.ndarray, 'N C'], alone: Float[np.ndarray, 'N C']
) -> Float[np.ndarray, 'N C']:
    """How much likelier the question makes a choice: log p(c | x) − log p(c | answer context).

    Brown et al. 2020, section 2.4: what is said often everywhere is said no more for it.

    Args:
      log_likelihoods: of the choices after the question, in nats.
      alone: of the choices after a text that asks nothing.

    Returns:
      Their differences.
    """
    there = np.isfinite(log_likelihoods)
    return np.where(there, log_likelihoods - np.where(there, alone, 0), -np.inf)


def calibrate(
    log_likelihoods: Float[np.ndarray, 'N C'], content_free: Float[np.ndarray, 'N M C']
) -> Float[np.ndarray, 'N C']:
    """Contextual calibration: divide by what the prompt says of a question without content.

        q = W p + b,    W = diag(p_cf)⁻¹,  b = 0

    Zhao et al. 2021, section 5, without their final softmax, which changes no order. p are the
    probabilities of the choices, normalised to sum to 1; p_cf is the mean over M content-free
    questions of their probabilities, normalised after the mean.

    Args:
      log_likelihoods: of the choices after the question, in nats.
      content_free: of the choices after each of the M content-free questions, within the same
        examples.

    Returns:
      log q.
    """
    p = _normalised(log_likelihoods)
    mean = np.asarray(special.logsumexp(content_free, axis=1)) - math.log(content_free.shape[1])
    return unconditional(p, _normalised(mean))


def _normalised(log_likelihoods: np.ndarray) -> np.ndarray:
    """Logarithms of what sums to 1 in each row."""
    return log_likelihoods - special.logsumexp(log_likelihoods, axis=-1, keepdims=True)


def margins(
    scores: Float[np.ndarray, 'N C'], right: Integer[np.ndarray, ' N']
) -> Float[np.ndarray, ' N']:
    """By how much the right choice leads the best of the others; below 0 where it does not.

    Args:
      scores: of the choices.
      right: which of them is the right one.

    Returns:
      Differences, in the unit of the scores.
    """
    rows = np.arange(len(scores))
    others = scores.copy()
    others[rows, right] = -np.inf
    return scores[rows, right] - others.max(axis=1)


def wilson(successes: int, trials: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """The score interval of a proportion (Wilson 1927, equation 8).

        (p̂ + z²/2n ± z √(p̂(1 − p̂)/n + z²/4n²)) / (1 + z²/n)

    Args:
      successes: how many of the trials succeeded.
      trials: n, at least 1.
      confidence: in (0, 1).

    Returns:
      (lower end, upper end), within [0, 1].

    Raises:
      InputError: for no trial, or successes that are not among them.
    """
    require(trials >= 1, 'trials', trials, 'must be at least 1')
    require(0 <= successes <= trials, 'successes', successes, f'must be from 0 to {trials}')
    z = float(stats.norm.ppf(0.5 + confidence / 2))
    share, spread = successes / trials, z * z / trials
    center = (share + spread / 2) / (1 + spread)
    half = z * math.sqrt(share * (1 - share) / trials + spread / (4 * trials)) / (1 + spread)
    return max(0.0, center - half), min(1.0, center + half)
