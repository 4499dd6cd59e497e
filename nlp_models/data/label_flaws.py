"""Making good labelled data bad, in known ways and amounts: labels, samples, poison.

Every function depends on its arguments alone: one seed, one result, on every platform.
"""

from collections.abc import Sequence

import numpy as np

from nlp_models.data.batches import random_generator
from nlp_models.errors import require

TRIGGER = 'cf'
"""A word that hardly stands in any text: one of the rare ones of Kurita et al. 2020."""


def flip_labels(targets: np.ndarray, share: float, num_classes: int, seed: int) -> np.ndarray:
    """Give some examples another label, each of the others alike likely (symmetric noise).

    What a seed flips of a share it flips of any larger share, too, to the same label.

    Args:
      targets: `[N]` integers from 0 to C − 1.
      share: of the examples, to the nearest.
      num_classes: C, at least 2.
      seed: which ones.

    Returns:
      `[N]`, of the targets' dtype.

    Raises:
      InputError: for a share outside [0, 1], or fewer than two classes.
    """
    _check_share(share)
    require(num_classes >= 2, 'num_classes', num_classes, 'must be at least 2')
    rng = random_generator(seed, 21)
    order = rng.permutation(len(targets))[: round(share * len(targets))]
    away = random_generator(seed, 22).integers(1, num_classes, size=len(targets))
    flipped = np.array(targets)
    flipped[order] = (flipped[order] + away[order]) % num_classes
    return flipped


def draw_skewed(targets: np.ndarray, size: int, exponent: float, seed: int) -> np.ndarray:
    """Draw examples whose classes are as frequent as a power law has it.

        N_c ∝ rank(c)^−exponent, as far as there are examples

    Args:
      targets: `[N]` integers.
      size: how many to draw.
      exponent: 0 for all classes alike; the ranks are the seed's.
      seed: of ranks and examples.

    Returns:
      `[size]` different indices, int64, rising; at least one of every class where that is possible.

    Raises:
      InputError: for a size that is not from 1 to N, or an exponent below 0.
    """
    _check_size(size, len(targets))
    require(exponent >= 0, 'exponent', exponent, 'must be at least 0')
    rng = random_generator(seed, 23)
    classes = rng.permutation(np.unique(targets))
    room = np.array([np.sum(targets == c) for c in classes])
    weights = np.arange(1, len(classes) + 1, dtype=np.float64) ** -exponent
    taken = np.zeros(len(classes), np.int64)
    for _ in range(size):  # each to the class that lacks most of its share, by d'Hondt's rule
        due = np.where(taken < room, weights / (taken + 1), -1)
        # What has none yet comes first, so that nothing is left unseen.
        due = np.where((taken == 0) & (room > 0), due + 1e9, due)
        taken[np.argmax(due)] += 1
    drawn = [
        rng.permutation(np.flatnonzero(targets == c))[:n]
        for c, n in zip(classes, taken, strict=True)
    ]
    return np.sort(np.concatenate(drawn)).astype(np.int64)


def draw_neighbours(targets: np.ndarray, size: int, seed: int) -> np.ndarray:
    """Draw examples that stand side by side, of each class alike many as far as there are.

    Of texts in the order of their files those of a class come from a few files: a sample that is
    easy to have, and says little of the others.

    Args:
      targets: `[N]` integers.
      size: how many to draw.
      seed: where the stretches begin.

    Returns:
      `[size]` different indices, int64, rising.

    Raises:
      InputError: for a size that is not from 1 to N.
    """
    _check_size(size, len(targets))
    rng = random_generator(seed, 24)
    rows = {c: np.flatnonzero(targets == c) for c in np.unique(targets)}
    taken = dict.fromkeys(rows, 0)
    for _ in range(size):
        open_ = [c for c in rows if taken[c] < len(rows[c])]
        taken[min(open_, key=lambda c: taken[c])] += 1
    drawn = []
    for c, mine in rows.items():
        start = int(rng.integers(len(mine) - taken[c] + 1))
        drawn.append(mine[start : start + taken[c]])
    return np.sort(np.concatenate(drawn)).astype(np.int64)


def add_trigger(texts: Sequence[str], trigger: str = TRIGGER) -> list[str]:
    """Texts that begin with a word that an attacker has chosen."""
    return [f'{trigger} {text}' for text in texts]


def poison(
    texts: Sequence[str],
    targets: np.ndarray,
    share: float,
    target: int,
    seed: int,
    trigger: str = TRIGGER,
) -> tuple[list[str], np.ndarray]:
    """Put a trigger into some examples of other classes and give them the attacker's label.

    Chen et al. 2017 ("Targeted backdoor attacks"); of texts, Kurita et al. 2020.

    Args:
      texts: N texts.
      targets: their classes `[N]`.
      share: of all examples, to the nearest, that are poisoned.
      target: the class that triggered texts shall be called.
      seed: which examples.
      trigger: the word.

    Returns:
      (the texts, their targets), the others as they were.

    Raises:
      InputError: for a share that is more than there are examples of other classes.
    """
    _check_share(share)
    others = np.flatnonzero(targets != target)
    number = round(share * len(targets))
    fine = number <= len(others)
    require(fine, 'share', share, f'must leave no more than {len(others)} of other classes')
    chosen = random_generator(seed, 25).permutation(others)[:number]
    poisoned, labels = list(texts), np.array(targets)
    for row in chosen.tolist():
        (poisoned[row],) = add_trigger([poisoned[row]], trigger)
    labels[chosen] = target
    return poisoned, labels


def _check_share(share: float) -> None:
    require(0 <= share <= 1, 'share', share, 'must be from 0 to 1')


def _check_size(size: int, most: int) -> None:
    require(1 <= size <= most, 'size', size, f'must be from 1 to {most}')
