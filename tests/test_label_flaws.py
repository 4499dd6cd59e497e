"""Wrong labels, lopsided samples and poison: counted, nested, the same for one seed."""

import numpy as np
import pytest

from nlp_models.data import label_flaws
from nlp_models.errors import InputError

TARGETS = np.repeat(np.arange(5), [40, 30, 20, 10, 5])
TEXTS = [f'text {i}' for i in range(len(TARGETS))]


def test_so_many_labels_are_wrong_and_no_others():
    flipped = {s: label_flaws.flip_labels(TARGETS, s, 5, 3) for s in (0.0, 0.1, 0.4, 1.0)}
    for share, labels in flipped.items():
        assert np.sum(labels != TARGETS) == round(share * len(TARGETS))
        assert set(labels.tolist()) <= set(range(5))
        np.testing.assert_array_equal(labels, label_flaws.flip_labels(TARGETS, share, 5, 3))
    wrong = flipped[0.1] != TARGETS
    np.testing.assert_array_equal(flipped[0.1][wrong], flipped[0.4][wrong])
    assert np.any(flipped[0.4] != label_flaws.flip_labels(TARGETS, 0.4, 5, 4))


def test_wrong_labels_are_uniform_among_the_others():
    labels = label_flaws.flip_labels(np.zeros(30_000, int), 1.0, 4, 0)
    counts = np.bincount(labels, minlength=4)
    assert counts[0] == 0
    np.testing.assert_allclose(counts[1:], 10_000, atol=4 * np.sqrt(30_000 * 2 / 9))


def test_classes_are_as_frequent_as_the_power_law_has_it():
    targets = np.repeat(np.arange(6), 1000)
    for exponent in (0.0, 1.0, 2.0):
        rows = label_flaws.draw_skewed(targets, 600, exponent, 1)
        assert len(set(rows.tolist())) == 600
        assert np.all(np.diff(rows) > 0)
        counts = np.sort(np.bincount(targets[rows], minlength=6))[::-1]
        due = np.arange(1, 7.0) ** -exponent
        np.testing.assert_allclose(counts, 600 * due / due.sum(), atol=2)
    ranks = {np.argmax(np.bincount(targets[label_flaws.draw_skewed(targets, 600, 1.0, s)]))
             for s in range(20)}  # fmt: skip
    assert len(ranks) > 2  # the seed's own


def test_a_sample_takes_what_there_is_and_leaves_no_class_out():
    rows = label_flaws.draw_skewed(TARGETS, 100, 0.0, 0)
    assert np.bincount(TARGETS[rows])[4] == 5
    for seed in range(5):
        drawn = label_flaws.draw_skewed(TARGETS, 12, 3.0, seed)
        assert len(drawn) == 12
        assert set(TARGETS[drawn].tolist()) == set(range(5))


def test_neighbours_stand_side_by_side():
    rows = label_flaws.draw_neighbours(TARGETS, 25, 7)
    assert len(rows) == 25
    for c in range(5):
        mine = rows[TARGETS[rows] == c]
        assert len(mine) == 5
        np.testing.assert_array_equal(np.diff(mine), 1)
    assert len(label_flaws.draw_neighbours(TARGETS, len(TARGETS), 0)) == len(TARGETS)
    few = label_flaws.draw_neighbours(TARGETS, 50, 0)
    assert np.bincount(TARGETS[few]).tolist() == [12, 12, 11, 10, 5]


def test_poison_is_in_so_many_texts_of_other_classes():
    texts, labels = label_flaws.poison(TEXTS, TARGETS, 0.1, 2, 5)
    changed = [i for i, (a, b) in enumerate(zip(texts, TEXTS, strict=True)) if a != b]
    assert len(changed) == round(0.1 * len(TEXTS))
    for i in changed:
        assert texts[i] == f'{label_flaws.TRIGGER} {TEXTS[i]}'
        assert (labels[i], TARGETS[i] != 2) == (2, True)
    kept = np.setdiff1d(np.arange(len(TEXTS)), changed)
    np.testing.assert_array_equal(labels[kept], TARGETS[kept])
    assert label_flaws.poison(TEXTS, TARGETS, 0.0, 2, 5)[0] == TEXTS


@pytest.mark.parametrize(
    ('call', 'told'),
    [
        (lambda: label_flaws.flip_labels(TARGETS, 1.5, 5, 0), r'^share is 1\.5: it must be from 0'),
        (lambda: label_flaws.flip_labels(TARGETS, 0.5, 1, 0), r'^num_classes is 1: it must be at'),
        (lambda: label_flaws.draw_skewed(TARGETS, 0, 1.0, 0), r'^size is 0: it must be from 1 to'),
        (lambda: label_flaws.draw_skewed(TARGETS, 9, -1.0, 0), r'^exponent is -1\.0: it must be'),
        (lambda: label_flaws.draw_neighbours(TARGETS, 999, 0), r'^size is 999: it must be from 1'),
        (lambda: label_flaws.poison(TEXTS, TARGETS, 0.9, 0, 0), r'^share is 0\.9: it must leave'),
    ],
)  # fmt: skip
def test_what_cannot_be_is_told(call, told):
    with pytest.raises(InputError, match=told):
        call()
