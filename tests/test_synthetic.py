"""Synthetic tasks: each checked against a solver that reads one example at a time."""

import hashlib
import itertools
import math
from collections import Counter
from typing import Any

import numpy as np
import pytest

from nlp_models.data import synthetic
from nlp_models.data.synthetic import draws
from nlp_models.errors import InputError

WORD = 2**64

# Of every task one setting, large enough for all splits.
CASES = {
    'copy': {'delay': 7, 'symbols': 5, 'alphabet': 6},
    'adding': {'length': 11},
    'recall': {'length': 24, 'pairs': 3, 'vocab_size': 40},
    'parity': {'max_length': 12},
    'dyck': {'length': 20, 'kinds': 3, 'depth': 4},
    'delayed': {'distance': 6, 'alphabet': 5, 'fillers': 7},
}
every_task = pytest.mark.parametrize('task', CASES)


def draw(task, index: int | np.ndarray = 1000, seed=0, split='train', **setting: Any):
    index = np.arange(index) if isinstance(index, int) else index
    return synthetic.TASKS[task](seed, index, split=split, **{**CASES[task], **setting})


def rows(array):
    return [tuple(row) for row in array.tolist()]


def python_mix(x):
    x = x * 0x9E3779B97F4A7C15 % WORD
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 % WORD
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB % WORD
    return x ^ (x >> 31)


def python_part(content):
    """What procedural.part_of does, in Python's integers."""
    total = sum((python_mix(place + 1) | 1) * x for place, x in enumerate(content))
    return (python_mix((total + 105) % WORD) >> 32) % 20


def content(task, examples):
    """What decides on the split, of each example."""
    inputs = examples.inputs
    if task == 'copy':
        return rows(inputs[:, : CASES[task]['symbols']])
    if task == 'recall':
        pairs = 2 * CASES[task]['pairs']
        return rows(np.concatenate([inputs[:, 0:pairs:2], inputs[:, 1:pairs:2]], axis=1))
    if task == 'dyck':
        return rows(examples.targets)
    if task == 'adding':
        bits = np.ascontiguousarray(inputs[..., 0]).view(np.uint32).tolist()
        marked = [np.flatnonzero(row).tolist() for row in inputs[..., 1]]
        return [(*row, *places) for row, places in zip(bits, marked, strict=True)]
    return rows(inputs)


# One example at a time: the target that each place with a weight must have.


def solve_copy(inputs, symbols=5):
    marker = inputs.index(7)
    assert inputs[symbols:marker] == [0] * (marker - symbols)
    assert inputs[marker + 1 :] == [0] * symbols
    letters = inputs[:symbols]
    assert set(letters) <= set(range(1, 7))
    return dict(enumerate([0] * (marker + 1) + letters))


def solve_recall(inputs, pairs=3):
    memory = dict(zip(inputs[0 : 2 * pairs : 2], inputs[1 : 2 * pairs : 2], strict=True))
    assert len(memory) == len(set(memory.values())) == pairs
    assert set(memory) <= set(range(1, 20))
    assert set(memory.values()) <= set(range(20, 40))
    asked = {t: inputs[t] for t in range(2 * pairs, len(inputs)) if inputs[t]}
    assert sorted(asked.values()) == sorted(memory)
    assert all(t % 2 == 0 for t in asked)
    return {t: memory[key] for t, key in asked.items()}


def solve_parity(inputs):
    length = inputs.index(0) if 0 in inputs else len(inputs)
    assert set(inputs[length:]) <= {0}
    odd = 0
    for bit in inputs[:length]:
        odd ^= bit - 1
    return {length - 1: odd}


def solve_dyck(inputs, kinds=3, depth=4):
    assert inputs[0] == 0
    stack, kind_of = [], {}
    for t, bracket in enumerate(inputs):
        if 0 < bracket <= kinds:
            stack.append(bracket)
        elif bracket:
            assert stack.pop() == bracket - kinds
        assert len(stack) <= depth
        kind_of[t] = stack[-1] + kinds if stack else None
    # What follows tells where it closes: the next input, and at the end the only one left open.
    assert len(stack) == 1
    closes = [bracket > kinds for bracket in inputs[1:]] + [True]
    return {t: kind_of[t] for t, closing in enumerate(closes) if closing}


def solve_delayed(inputs, alphabet=5):
    (key,) = (token for token in inputs if 0 < token <= alphabet)
    assert inputs[0] == key
    assert inputs[-1] == 0
    assert set(inputs[1:-1]) <= set(range(6, 13))
    return {len(inputs) - 1: key}


@pytest.mark.parametrize('split', draws.SPLITS)
@pytest.mark.parametrize('task', [task for task in CASES if task != 'adding'])
def test_targets_are_those_of_a_solver_of_one_example(task, split):
    solve = globals()[f'solve_{task}']
    examples = draw(task, 400, split=split)
    for inputs, targets, weights in zip(*(rows(field) for field in examples[:3]), strict=True):
        found = solve(list(inputs))
        assert {t for t, weight in enumerate(weights) if weight} == set(found)
        assert {t: targets[t] for t in found} == found


@pytest.mark.parametrize('length', [2, 3, 11, 40])
def test_adding_is_the_sum_of_one_marked_number_of_each_half(length):
    examples = draw('adding', 500, length=length)
    for row, target in zip(examples.inputs, examples.targets, strict=True):
        first, second = np.flatnonzero(row[:, 1])
        assert first < length // 2 <= second
        assert row[first, 1] == row[second, 1] == 1
        assert target == row[first, 0] + row[second, 0]
    assert examples.inputs[..., 0].min() >= 0
    assert examples.inputs[..., 0].max() < 1


def test_parity_of_every_step():
    examples = draw('parity', every_step=True)
    for inputs, targets, weights in zip(*(rows(field) for field in examples[:3]), strict=True):
        odd = 0
        for bit, target, weight in zip(inputs, targets, weights, strict=True):
            odd ^= bit == 2
            assert (target, weight) == ((odd, 1) if bit else (0, 0))
    last = draw('parity')
    np.testing.assert_array_equal(last.inputs, examples.inputs)
    np.testing.assert_array_equal(last.targets, examples.targets)


@every_task
def test_shapes_types_and_what_is_scored(task):
    examples = draw(task, 30)
    if task == 'adding':
        assert examples.inputs.shape == (30, 11, 2)
        assert examples.inputs.dtype == examples.targets.dtype == np.float32
        assert examples.targets.shape == examples.weights.shape == (30,)
        assert (examples.weights == 1).all()
    else:
        assert examples.inputs.dtype == examples.targets.dtype == np.int32
        assert examples.inputs.shape == examples.targets.shape == examples.weights.shape
        # Nothing is to be said where nothing counts, but parity so far and what opens.
        if task not in ('parity', 'dyck'):
            assert not examples.targets[examples.weights == 0].any()
    assert examples.weights.dtype == examples.scored.dtype == np.float32
    if task == 'copy':
        assert (examples.weights == 1).all()
        assert rows(examples.scored) == [(0.0,) * 12 + (1.0,) * 5] * 30
    else:
        np.testing.assert_array_equal(examples.scored, examples.weights)
    fields = [field for field in draw(task, 0)]
    assert [field.shape for field in fields] == [(0, *field.shape[1:]) for field in examples]


@pytest.mark.parametrize(
    ('task', 'setting'),
    [(task, setting) for task, all_ in synthetic.SETTINGS.items() for setting in all_],
)
def test_canonical_settings(task, setting):
    examples = synthetic.TASKS[task](1, np.arange(8), split='test', **setting)
    width = examples.inputs.shape[1]
    if task == 'adding':
        assert width == setting['length']
        with pytest.raises(InputError, match='task is'):
            synthetic.vocab_size(task, setting)
        return
    size = synthetic.vocab_size(task, setting)
    assert max(examples.inputs.max(), examples.targets.max()) < size
    assert min(examples.inputs.min(), examples.targets.min()) >= 0
    if task == 'copy':
        assert (width, size) == (setting['delay'] + 20, 10)
    elif task == 'parity':
        assert (width, size) == (setting['max_length'], 3)
        assert (examples.inputs > 0).sum(axis=1).min() >= setting.get('min_length', 1)
    elif task == 'delayed':
        assert (width, size) == (setting['distance'], 33)
    else:
        assert width == setting['length']
        assert size == (8192 if task == 'recall' else 2 * setting['kinds'] + 1)
    if task == 'recall':
        assert (examples.scored.sum(axis=1) == setting['pairs']).all()


def test_vocabularies_are_used_up_to_the_last_token():
    for task, setting in CASES.items():
        if task != 'adding':
            examples = draw(task, 5000)
            assert examples.inputs.max() == synthetic.vocab_size(task, setting) - 1


# Randomness.


def test_the_hash_is_splitmix64():
    published = [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]  # of seed 0
    assert draws.mix(np.arange(1, 4, dtype=np.uint64)).tolist() == published


@pytest.mark.parametrize(('split', 'parts'), [('train', range(2, 20)), ('test', [1])])
def test_an_example_is_the_first_attempt_that_is_in_its_split(split, parts):
    # Place by place, in Python's integers.
    for index, letters in enumerate(draw('copy', 70, 9, split).inputs[:, :5].tolist()):
        key = python_mix((python_mix(9) + index) % WORD)
        for attempt in itertools.count():
            stream = python_mix((key + attempt) % WORD)
            mixed = [python_mix((stream + place) % WORD) for place in range(5)]
            tried = [1 + ((word >> 32) * 6 >> 32) for word in mixed]
            if python_part(tried) in parts:
                break
        assert letters == tried


@pytest.mark.parametrize(
    ('task', 'digest'),
    [
        ('copy', '22b0cd3c9fa3fded'),
        ('adding', '6988bb8a759a3594'),
        ('recall', '6eb79ac69cf27696'),
        ('parity', '2752eaf6abd86548'),
        ('dyck', '35c680d6c41dbf93'),
        ('delayed', 'b4825c300f41f61b'),
    ],
)
def test_examples_are_those_of_every_platform_and_version(task, digest):
    hasher = hashlib.sha256()
    for split in draws.SPLITS:
        for field in draw(task, 20, seed=7, split=split):
            hasher.update(np.ascontiguousarray(field, field.dtype.newbyteorder('<')).tobytes())
    assert hasher.hexdigest()[:16] == digest


@every_task
@pytest.mark.parametrize(('split', 'number'), [('train', 2500), ('test', 150)])
def test_an_example_depends_on_seed_and_index_alone(task, split, number):
    whole = draw(task, number, seed=3, split=split)
    order = np.random.default_rng(0).permutation(number)
    for index in (order, order[:7], order[:1], np.array([5, 5, 0])):
        for field, expected in zip(draw(task, index, 3, split), whole, strict=True):
            np.testing.assert_array_equal(field, expected[index])
    far = np.arange(2**62, 2**62 + 50)
    others = [draw(task, 50, 4, split), draw(task, 50, 2**63, split), draw(task, far, 3, split)]
    for other in others:
        assert (whole.inputs[:50] != other.inputs).any()
    if task in ('copy', 'adding', 'recall', 'dyck'):
        assert len(set(content(task, draw(task, 200, split='train')))) > 190


# Splits.


@every_task
def test_every_split_has_its_share_of_the_hash(task):
    part_of = {
        split: [python_part(row) for row in content(task, draw(task, 300, split=split))]
        for split in draws.SPLITS
    }
    assert set(part_of['validation']) == {0}
    assert set(part_of['test']) == {1}
    assert set(part_of['train']) == set(range(2, 20))


@pytest.mark.parametrize(
    ('task', 'setting', 'number'),
    [
        ('copy', {'delay': 1, 'symbols': 3, 'alphabet': 7}, 7**3),
        ('recall', {'length': 10, 'pairs': 2, 'vocab_size': 12}, 5 * 4 * 6 * 5),
        ('parity', {'max_length': 8, 'min_length': 7}, 2**7 + 2**8),
        ('dyck', {'length': 8, 'kinds': 2, 'depth': 3}, 13 * 2**4),
        ('delayed', {'distance': 5, 'alphabet': 6, 'fillers': 4}, 6 * 4**3),
    ],
)
def test_splits_share_no_example_and_leave_none_out(task, setting, number):
    found = {}
    for split, drawn in {'train': 8000, 'validation': 600, 'test': 600}.items():
        batches = [
            synthetic.TASKS[task](s, np.arange(drawn), split=split, **setting) for s in (0, 1)
        ]
        both = np.concatenate([batch.inputs for batch in batches])
        if task == 'recall':
            both = both[:, :4]  # what follows is where the keys come again
        found[split] = set(rows(both))
    assert sum(len(part) for part in found.values()) == len(set().union(*found.values())) == number
    for split in ('validation', 'test'):
        assert 0.015 < len(found[split]) / number < 0.09


def test_copies_are_of_the_same_split_at_every_delay():
    short, long = (draw('copy', 200, split='test', delay=delay) for delay in (1, 90))
    np.testing.assert_array_equal(short.inputs[:, :5], long.inputs[:, :5])


@pytest.mark.parametrize('split', ['validation', 'test'])
@pytest.mark.parametrize(
    ('task', 'setting'),
    [
        ('copy', {'symbols': 1, 'delay': 9, 'alphabet': 8}),
        ('recall', {'pairs': 1, 'length': 4, 'vocab_size': 4}),
        ('parity', {'max_length': 1}),
        ('dyck', {'length': 4, 'kinds': 1, 'depth': 2}),
        ('delayed', {'alphabet': 3, 'distance': 1}),
        ('delayed', {'fillers': 2, 'alphabet': 2, 'distance': 3}),
    ],
)
def test_a_split_that_has_no_example_is_refused(task, setting, split):
    name, value = next(iter(setting.items()))
    with pytest.raises(InputError, match=f"split is '{split}': .* of {task} with .*{name}={value}"):
        synthetic.TASKS[task](0, np.arange(100), split=split, **setting)
    assert len(synthetic.TASKS[task](0, np.arange(100), **setting).inputs) == 100


# Distributions.


def even(counts, tolerance):
    """Whether counts are all within some share of their mean."""
    counts = np.asarray(counts)
    return np.abs(counts / counts.mean() - 1).max() < tolerance


def test_distinct_numbers_are_in_every_order():
    random = draws.words(np.arange(48_000, dtype=np.uint64) << np.uint64(20), 3)
    seen = Counter(rows(draws.distinct(random, 4)))
    assert set(seen) == set(itertools.permutations(range(4), 3))
    assert even(list(seen.values()), 0.08)
    assert set(map(frozenset, draws.distinct(random[:500], 3).tolist())) == {frozenset(range(3))}


def test_letters_bits_and_numbers_are_uniform():
    letters = draw('copy', 20_000, alphabet=8, symbols=10).inputs[:, :10]
    for place in letters.T:
        assert even(np.bincount(place, minlength=9)[1:], 0.07)
    numbers = draw('adding', 5000, length=20).inputs[..., 0]
    assert even(np.histogram(numbers, 50, (0, 1))[0], 0.1)
    bits = draw('parity', 20_000, max_length=130, min_length=130).inputs
    for place in bits.T:
        assert even(np.bincount(place, minlength=3)[1:], 0.03)
    assert abs(draw('parity', 20_000, max_length=40, min_length=10).targets.mean() - 0.3) < 0.02
    keys = draw('delayed', 20_000)
    assert even(np.bincount(keys.inputs[:, 0], minlength=6)[1:], 0.08)
    assert even(np.bincount(keys.inputs[:, 1:-1].ravel(), minlength=13)[6:], 0.05)


def test_lengths_are_uniform():
    lengths = (draw('parity', 40_000, max_length=40, min_length=11).inputs > 0).sum(axis=1)
    counts = np.bincount(lengths, minlength=41)
    assert counts[:11].sum() == 0
    assert even(counts[11:], 0.1)


def test_markers_are_uniform_in_their_halves():
    marked = draw('adding', 20_000, length=21).inputs[..., 1].sum(axis=0)
    assert marked[:10].sum() == marked[10:].sum() == 20_000
    assert even(marked[:10], 0.1)
    assert even(marked[10:], 0.1)


@pytest.mark.parametrize('power', [0.01, 0.5, 1.0])
def test_gaps_follow_their_power_law_without_coming_twice(power):
    inputs = draw('recall', 30_000, length=20, pairs=2, power=power).inputs
    gaps = [(inputs[:, 4:] == inputs[:, 2 * pair, None]).argmax(axis=1) / 2 for pair in range(2)]
    first = np.arange(1, 9) ** (power - 1.0)
    first /= first.sum()
    # The second is drawn among the seven that the first has left.
    second = sum(
        first[i] * np.where(np.arange(8) == i, 0, first) / (1 - first[i]) for i in range(8)
    )
    for gap, expected in zip(gaps, (first, second), strict=True):
        frequency = np.bincount(gap.astype(int), minlength=8) / len(gap)
        assert np.abs(frequency - expected).max() < 0.01
    assert (gaps[0] != gaps[1]).all()


def test_keys_and_values_are_uniform_and_independent():
    inputs = draw('recall', 20_000, vocab_size=20).inputs
    for place in range(6):
        counts = np.bincount(inputs[:, place], minlength=20)
        assert even(counts[1:10] if place % 2 == 0 else counts[10:], 0.12)
    assert even(list(Counter(rows(inputs[:, :2])).values()), 0.35)
    assert len(Counter(rows(inputs[:, :2]))) == 9 * 10


def test_what_is_drawn_for_an_example_is_independent():
    def correlations(*columns):
        matrix = np.corrcoef(np.concatenate(columns, axis=1), rowvar=False)
        return np.abs(matrix[~np.eye(len(matrix), dtype=bool)])

    number, chance = 20_000, 0.04  # more than five standard deviations
    assert correlations(draw('copy', number).inputs[:, :5]).max() < chance
    assert correlations(draw('delayed', number).inputs[:, :-1]).max() < chance
    added = draw('adding', number, length=20).inputs
    marked = [added[:, half, 1].argmax(axis=1)[:, None] for half in (slice(10), slice(10, 20))]
    assert correlations(added[..., 0], *marked).max() < chance
    bits = draw('parity', number, min_length=130, max_length=130).inputs
    assert correlations(bits).max() < chance
    strings = draw('parity', number, min_length=70, max_length=99).inputs
    assert correlations(strings[:, :70], (strings > 0).sum(axis=1)[:, None]).max() < chance
    recalled = draw('recall', number, vocab_size=4000, power=1.0).inputs
    filled = draw('recall', number, vocab_size=4000, power=1.0, random_filler=True).inputs
    filler = filled[:, 7::2]  # the queries are at even places
    for pair in range(3):  # a gap at a time, for an example's gaps differ
        gap = (recalled[:, 6:] == recalled[:, 2 * pair, None]).argmax(axis=1)[:, None]
        assert correlations(recalled[:, :6], filler, gap).max() < chance


def test_a_random_filler_changes_nothing_else():
    plain, filled = draw('recall', 2000), draw('recall', 2000, random_filler=True)
    for one, other in zip(plain[1:], filled[1:], strict=True):
        np.testing.assert_array_equal(one, other)
    empty = plain.inputs == 0
    np.testing.assert_array_equal(plain.inputs[~empty], filled.inputs[~empty])
    assert even(np.bincount(filled.inputs[empty], minlength=40), 0.15)


def test_every_string_of_brackets_is_equally_likely():
    def every(length, open_):
        if not length:
            yield from [()] if not open_ else []
            return
        if len(open_) < 3:
            for kind in (1, 2):
                yield from ((kind, *rest) for rest in every(length - 1, (*open_, kind)))
        if open_:
            yield from ((open_[-1] + 2, *rest) for rest in every(length - 1, open_[:-1]))

    strings = set(every(8, ()))
    assert len(strings) == 13 * 2**4  # of the 14 of Catalan one is four deep
    seen = Counter(rows(draw('dyck', 40_000, length=8, kinds=2, depth=3).targets))
    assert set(seen) == {string for string in strings if python_part(string) > 1}
    assert even(list(seen.values()), 0.3)


def test_brackets_of_one_kind_and_no_depth_to_speak_of():
    flat = draw('dyck', 4, length=12, kinds=1, depth=1)
    assert set(rows(flat.targets)) == {(1, 2) * 6}
    deep = draw('dyck', 3000, length=12, kinds=2, depth=6)
    np.testing.assert_array_equal(
        draw('dyck', 3000, length=12, kinds=2, depth=99).targets, deep.targets
    )
    assert (np.cumsum(np.where(deep.targets <= 2, 1, -1), axis=1).max(axis=1)).max() == 6
    # So long that the number of its strings is beyond any float.
    long = draw('dyck', 3, length=3000, kinds=3, depth=4)
    for inputs, targets, weights in zip(*(rows(field) for field in long[:3]), strict=True):
        found = solve_dyck(list(inputs))
        assert {t: targets[t] for t, weight in enumerate(weights) if weight} == found


# What a model must see, and what it has without.


@pytest.mark.parametrize('distance', [1, 2, 3, 5])
def test_a_key_is_its_distance_back_and_not_nearer(distance):
    examples = synthetic.delayed(0, np.arange(20_000), distance=distance, alphabet=6, fillers=3)
    assert examples.inputs.shape == (20_000, distance)
    assert (examples.scored.sum(axis=0) == [0] * (distance - 1) + [20_000]).all()
    sequences = np.concatenate([examples.inputs, examples.targets[:, -1:]], axis=1)
    np.testing.assert_array_equal(sequences[:, -1 - distance], sequences[:, -1])

    def followers(order):
        """What an n-gram of an order has seen behind each of its contexts."""
        seen = {}
        for sequence in set(rows(sequences)):
            context = sequence[len(sequence) - order : -1]
            assert len(context) == order - 1
            seen.setdefault(context, set()).add(sequence[-1])
        return seen

    assert {len(keys) for keys in followers(distance + 1).values()} == {1}
    # One token less, and nearly every key is as likely (some are of other splits).
    assert min(len(keys) for keys in followers(distance).values()) >= 3


def test_the_loss_without_memory_of_copy():
    delay, symbols, alphabet = 30, 10, 8
    assert synthetic.copy_baseline(1000) == pytest.approx(0.0204, abs=5e-5)
    assert synthetic.copy_baseline(30, 5, 4) == pytest.approx(5 * math.log(4) / 40)
    examples = draw('copy', 5000, delay=delay, symbols=symbols, alphabet=alphabet)
    targets = examples.targets

    # The best there is from the place alone: its own frequencies, smoothed by nothing.
    def entropy(column):
        shares = np.bincount(column) / len(column)
        return -sum(share * math.log(share) for share in shares if share)

    best = np.mean([entropy(column) for column in targets.T])
    baseline = synthetic.copy_baseline(delay, symbols, alphabet)
    assert best == pytest.approx(baseline, rel=2e-3)
    # And who says blank, then any letter, has it exactly.
    said = np.zeros((targets.shape[1], alphabet + 2))
    said[:-symbols, 0] = 1
    said[-symbols:, 1 : alphabet + 1] = 1 / alphabet
    chosen = said[np.arange(targets.shape[1]), targets]
    loss = -(np.log(chosen) * examples.weights).sum() / examples.weights.sum()
    assert loss == pytest.approx(baseline)
    accuracy = ((targets == 1) * examples.scored).sum() / examples.scored.sum()
    assert accuracy == pytest.approx(1 / alphabet, abs=5e-3)


def test_the_loss_of_a_constant_of_adding():
    targets = draw('adding', 40_000, length=10).targets.astype(np.float64)
    assert synthetic.ADDING_BASELINE == 1 / 6
    assert np.mean((targets - 1) ** 2) == pytest.approx(1 / 6, abs=2e-3)
    assert targets.mean() == pytest.approx(1, abs=5e-3)


# What is refused.


@pytest.mark.parametrize(
    ('task', 'setting', 'name'),
    [
        ('copy', {'delay': 0}, 'delay'),
        ('copy', {'symbols': 0}, 'symbols'),
        ('copy', {'alphabet': 1}, 'alphabet'),
        ('adding', {'length': 1}, 'length'),
        ('recall', {'pairs': 0}, 'pairs'),
        ('recall', {'length': 25}, 'length'),
        ('recall', {'length': 10}, 'length'),
        ('recall', {'vocab_size': 7}, 'vocab_size'),
        ('recall', {'power': 0.0}, 'power'),
        ('recall', {'power': math.nan}, 'power'),
        ('parity', {'min_length': 0}, 'min_length'),
        ('parity', {'min_length': 13}, 'max_length'),
        ('dyck', {'length': 0}, 'length'),
        ('dyck', {'length': 7}, 'length'),
        ('dyck', {'kinds': 0}, 'kinds'),
        ('dyck', {'depth': 0}, 'depth'),
        ('delayed', {'distance': 0}, 'distance'),
        ('delayed', {'alphabet': 1}, 'alphabet'),
        ('delayed', {'fillers': 0}, 'fillers'),
        *((task, {'split': 'dev'}, 'split') for task in CASES),
        *((task, {'seed': -1}, 'seed') for task in CASES),
        *((task, {'index': np.array([3, -2])}, 'index') for task in CASES),
        ('copy', {'index': np.zeros((2, 2), int)}, 'index'),
        ('copy', {'index': np.zeros(2)}, 'index'),
    ],
)
def test_bad_settings_are_named(task, setting, name):
    with pytest.raises(InputError, match=f'^{name} is ') as error:
        draw(task, **setting)
    assert '\n' not in str(error.value)
    # The nearest that can be done is done.
    nearest: dict[str, dict[str, Any]] = {
        'recall': {'length': 12, 'vocab_size': 8},
        'parity': {'min_length': 12},
    }
    draw(task, 3, **nearest.get(task, {}))
