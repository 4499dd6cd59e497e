"""The longest length solved, and ratios that say when they are only bounds."""

import math

import pytest

from nlp_models.analysis import lengths
from nlp_models.errors import InputError


def test_the_longest_is_the_last_before_the_first_failure():
    scores = {8: [0.9, 1.0, 0.2, 1.0], 16: [0.95, 0.89, 1.0, 1.0], 32: [0.1, 1.0, 1.0, 1.0]}
    assert lengths.longest(scores, 0.9, below=False) == [16, 8, 0, 32]
    errors = {length: [1 - s for s in values] for length, values in scores.items()}
    assert lengths.longest(errors, 0.1 + 1e-9, below=True) == [16, 8, 0, 32]


def test_a_run_that_diverged_has_no_longest_unless_it_had_failed_before():
    scores = {8: [1.0, 0.0], 16: [math.nan, math.nan]}
    found = lengths.longest(scores, 0.9, below=False)
    assert math.isnan(found[0])
    assert found[1] == 0


def test_ratios_are_differences_of_logarithms():
    found = lengths.ratios([16.0, 8.0, 8.0], [4.0, 8.0, 16.0], (4, 8, 16, 32))
    assert found == lengths.Ratios((2.0, 0.0, -1.0), False, False)


def test_nothing_solved_counts_as_half_the_shortest():
    assert lengths.on_grid([0.0, 4.0, 32.0], (4, 8, 16, 32)) == (1.0, 2.0, 5.0)
    # How much shorter than that the others' longest is nobody knows: the ratio is a bound.
    assert lengths.ratios([16.0], [0.0], (4, 8, 16, 32)) == lengths.Ratios((3.0,), True, False)
    assert lengths.ratios([4.0], [0.0], (4, 8, 16, 32)) == lengths.Ratios((1.0,), True, False)
    assert lengths.ratios([0.0], [16.0], (4, 8, 16, 32)) == lengths.Ratios((-3.0,), False, True)


@pytest.mark.parametrize(
    ('ours', 'others', 'bounds'),
    [
        (32.0, 16.0, (True, False)),
        (16.0, 32.0, (False, True)),
        (32.0, 32.0, (True, True)),
        (0.0, 0.0, (True, True)),
        (16.0, 16.0, (False, False)),
    ],
)
def test_at_both_ends_of_the_grid_ratios_are_bounds(ours, others, bounds):
    assert lengths.ratios([8.0, ours], [8.0, others], (4, 8, 16, 32))[1:] == bounds


def test_the_best_of_several_is_taken_seed_by_seed():
    found = lengths.most([[4.0, 16.0, 8.0], [8.0, 8.0, math.nan]])
    assert found[:2] == [8, 16]
    assert math.isnan(found[2])


def test_seeds_must_be_the_same():
    with pytest.raises(InputError):
        lengths.longest({8: [1.0], 16: [1.0, 1.0]}, 0.9, below=False)
    with pytest.raises(InputError):
        lengths.ratios([8.0], [8.0, 8.0], (8, 16))
