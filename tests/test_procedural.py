"""Procedural strings: drawn by the step alone, and never those that are held out."""

import time

import numpy as np
import pytest

from nlp_models.data.procedural import (
    ALPHABET,
    HELD_OUT,
    apply_rule,
    as_text,
    held_out_strings,
    part_of,
    training_strings,
)
from nlp_models.errors import InputError


def draw(batch_size=64, min_length=1, max_length=12, seed=0, step=0):
    return training_strings(
        batch_size=batch_size, min_length=min_length, max_length=max_length, seed=seed, step=step
    )


def lengths_of(strings):
    lengths = (strings > 0).sum(axis=1)
    np.testing.assert_array_equal(strings > 0, np.arange(strings.shape[1]) < lengths[:, None])
    return lengths


def every_string(length):
    grid = np.meshgrid(*[np.arange(1, 27)] * length, indexing='ij')
    return np.stack(grid, axis=-1).reshape(-1, length)


def test_the_rules_do_what_they_say():
    for strings in (draw(), draw(min_length=7, max_length=7), draw(max_length=1)):
        texts = as_text(strings)
        assert {len(text) for text in texts} <= set(range(1, 13))
        assert as_text(apply_rule('reverse', strings)) == [text[::-1] for text in texts]
        assert as_text(apply_rule('sort', strings)) == [''.join(sorted(text)) for text in texts]


def test_strings_depend_on_seed_and_step_alone():
    first = draw(seed=3, step=7)
    others = [draw(seed=3, step=8), draw(seed=4, step=7), draw(seed=2**63 - 1, step=7)]
    np.random.default_rng(0).random(5)
    np.testing.assert_array_equal(draw(seed=3, step=7), first)
    assert all((other != first).any() for other in others)


def test_lengths_and_letters_are_uniform():
    strings = np.concatenate([draw(512, 3, 12, step=step) for step in range(40)])
    lengths = np.bincount(lengths_of(strings), minlength=13)
    assert lengths[:3].sum() == 0
    assert np.abs(lengths[3:] / lengths.sum() - 0.1).max() < 0.01
    letters = np.bincount(strings[strings > 0], minlength=27)[1:]
    assert np.abs(letters / letters.sum() * 26 - 1).max() < 0.05


def test_training_never_draws_a_held_out_string():
    for max_length in (1, 2, 12):
        strings = np.concatenate([draw(512, 1, max_length, step=step) for step in range(20)])
        assert part_of(strings).min() >= len(HELD_OUT)
        trained = set(as_text(strings))
        for split in HELD_OUT:
            held = held_out_strings(split, number=500, min_length=1, max_length=max_length)
            assert trained.isdisjoint(as_text(held))
    # And all the others of one letter.
    assert len(set(as_text(draw(2000, 1, 1)))) == 24


def test_a_tenth_of_the_strings_of_every_length_is_held_out():
    assert np.bincount(part_of(every_string(1)).astype(int))[:2].tolist() == [1, 1]
    assert np.bincount(part_of(every_string(2)).astype(int))[:2].tolist() == [33, 33]
    generator = np.random.default_rng(0)
    for length in (3, 4, 5, 10, 40, 100):
        parts = np.bincount(part_of(generator.integers(1, 27, (40_000, length))).astype(int))
        assert len(parts) == 20
        assert np.abs(parts / 2000 - 1).max() < 0.12


def test_what_is_behind_the_end_does_not_count():
    strings = draw()
    wide = np.pad(strings, ((0, 0), (0, 9)))
    np.testing.assert_array_equal(part_of(wide), part_of(strings))
    parts = {
        split: held_out_strings(split, number=99, min_length=1, max_length=50) for split in HELD_OUT
    }
    for split, number in HELD_OUT.items():
        assert set(part_of(parts[split]).tolist()) == {number}


def test_held_out_strings_differ_and_have_every_length():
    validation, test = (
        held_out_strings(split, number=1000, min_length=1, max_length=40) for split in HELD_OUT
    )
    for strings in (validation, test):
        assert strings.shape == (1000, 40)
        assert len(set(as_text(strings))) == 1000
        counts = np.bincount(lengths_of(strings), minlength=41)
        # Of one letter all there are; the others make up for it.
        assert counts[1] == 1
        assert set(counts[2:].tolist()) <= {25, 26}
    assert set(as_text(validation)).isdisjoint(as_text(test))


@pytest.mark.parametrize('length', [3, 4, 5, 100])
def test_held_out_strings_of_one_length(length):
    def held(number):
        return held_out_strings('test', number=number, min_length=length, max_length=length)

    strings = held(700)
    assert strings.shape == (700, length)
    assert set(lengths_of(strings).tolist()) == {length}
    assert len(set(as_text(strings))) == 700
    np.testing.assert_array_equal(held(700), strings)
    assert np.abs(strings.mean() - 13.5) < 0.5


def test_where_there_are_fewer_all_are_taken():
    strings = held_out_strings('validation', number=1000, min_length=1, max_length=2)
    expected = {
        text
        for length in (1, 2)
        for text, part in zip(
            as_text(every_string(length)), part_of(every_string(length)), strict=True
        )
        if part == HELD_OUT['validation']
    }
    assert sorted(as_text(strings)) == sorted(expected)
    assert len(strings) == 34
    with pytest.raises(InputError, match='number is 0'):
        held_out_strings('test', number=0, min_length=1, max_length=2)


def test_a_batch_takes_less_than_a_millisecond():
    def once(step):
        begin = time.perf_counter()
        apply_rule('reverse', draw(128, 1, 40, step=step))
        return time.perf_counter() - begin

    assert min(once(step) for step in range(50)) < 1e-3


def test_letters_are_the_alphabets():
    assert as_text(np.arange(27)[None]) == [ALPHABET]
