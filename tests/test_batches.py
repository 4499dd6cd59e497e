"""Batches: which tokens are read, at which step, by which process. The text is 0, 1, 2, …."""

import math

import numpy as np
import pytest

from nlp_models.data.batches import evaluation_batches, permute, random_windows, streams
from nlp_models.errors import InputError


@pytest.mark.parametrize('size', [*range(1, 40), 63, 64, 65, 100, 255, 256, 257, 1000, 5000])
def test_permute_is_a_permutation(size):
    for key in (b'', b'a', b'0/1'):
        order = permute(np.arange(size), size, key)
        assert sorted(order.tolist()) == list(range(size))


def test_permute_depends_on_its_key_and_on_the_point_alone():
    orders = {bytes([k]): permute(np.arange(1000), 1000, bytes([k])) for k in range(20)}
    assert len({order.tobytes() for order in orders.values()}) == 20
    one_by_one = [int(permute(np.array([i]), 1000, b'\x07')[0]) for i in range(1000)]
    assert one_by_one == orders[b'\x07'].tolist()
    # Like random orders these have about one point in place (20 of 20,000) and no direction.
    assert sum(int((order == np.arange(1000)).sum()) for order in orders.values()) < 60
    for order in orders.values():
        assert abs(np.corrcoef(np.arange(1000), order.astype(float))[0, 1]) < 0.15


def test_permute_leaves_no_order_of_three_out():
    found = {tuple(permute(np.arange(3), 3, b'%d' % k).tolist()) for k in range(200)}
    assert len(found) == 6


# Random windows.


def window_starts(tokens, steps, **kwargs):
    """Where the windows of the first steps begin, after checking that they are windows."""
    starts = []
    for step in range(steps):
        batch = random_windows(tokens, step=step, **kwargs)
        assert batch.dtype == np.int32
        assert batch.shape == (kwargs['batch_size'], kwargs['length'] + 1)
        np.testing.assert_array_equal(np.diff(batch), 1)
        assert batch.min() >= 0
        assert batch.max() < len(tokens)
        starts.extend(batch[:, 0].tolist())
    return starts


@pytest.mark.parametrize('length', [1, 2, 5, 8])
@pytest.mark.parametrize('batch_size', [1, 4])
@pytest.mark.parametrize('extra', [0, 1, 3, 7, 8, 9, 100])
def test_random_windows_are_read_once_an_epoch(length, batch_size, extra):
    tokens = np.arange(length + 1 + extra)
    # Side by side, less one, so that there is room for an offset.
    windows = max((len(tokens) - 1) // length - 1, 1)
    steps = math.ceil(3 * windows / batch_size)
    starts = window_starts(tokens, steps, batch_size=batch_size, length=length, seed=3)
    for first in range(0, 3 * windows, windows):
        epoch = sorted(starts[first : first + windows])
        assert len(epoch) == windows
        assert set(np.diff(epoch)) <= {length}  # all of them, side by side, none twice


def test_epochs_differ_in_order_and_offset():
    tokens, windows = np.arange(8 * 33), 31
    starts = window_starts(tokens, 10 * windows, batch_size=1, length=8, seed=0)
    epochs = [starts[i : i + windows] for i in range(0, len(starts), windows)]
    assert len({min(epoch) for epoch in epochs}) > 3
    assert len({tuple(np.argsort(epoch).tolist()) for epoch in epochs}) == 10
    offsets = {
        min(window_starts(tokens, windows, batch_size=1, length=8, seed=seed)) for seed in range(60)
    }
    assert offsets == set(range(8))


def test_random_windows_depend_on_their_arguments_alone():
    tokens = np.arange(500) * 7 % 311

    def batch(step=5, seed=1):
        return random_windows(tokens, batch_size=4, length=6, seed=seed, step=step)

    first = batch()
    others = [batch(step=step) for step in (0, 9, 4)]
    np.random.default_rng(0).random(10)
    np.testing.assert_array_equal(batch(), first)
    assert all(np.any(other != first) for other in (*others, batch(seed=2)))


@pytest.mark.parametrize('dtype', [np.uint8, np.uint16, np.int64])
def test_tokens_of_any_integer_type_become_int32(dtype):
    tokens = (np.arange(300) % 250).astype(dtype)
    batch = random_windows(tokens, batch_size=2, length=5, seed=0, step=0)
    np.testing.assert_array_equal(
        batch,
        random_windows(tokens.astype(np.int32), batch_size=2, length=5, seed=0, step=0),
    )
    assert batch.dtype == np.int32
    assert streams(tokens, batch_size=2, length=5, step=0)[0].dtype == np.int32
    assert next(evaluation_batches(tokens, batch_size=2, length=5)).tokens.dtype == np.int32


@pytest.mark.parametrize('process_count', [1, 2, 3, 6])
def test_shares_make_up_the_batch(process_count):
    tokens = np.arange(200)
    sizes = {'batch_size': 6, 'length': 5}

    def shares(function, **kwargs):
        return [
            function(tokens, **sizes, process_index=i, process_count=process_count, **kwargs)
            for i in range(process_count)
        ]

    for step in (0, 1, 7, 30):
        whole = random_windows(tokens, **sizes, seed=0, step=step)
        np.testing.assert_array_equal(
            np.concatenate(shares(random_windows, seed=0, step=step)), whole
        )
        rows, restart = streams(tokens, **sizes, step=step)
        parts = shares(streams, step=step)
        np.testing.assert_array_equal(np.concatenate([part for part, _ in parts]), rows)
        assert {flag for _, flag in parts} == {restart}
    whole = list(evaluation_batches(tokens, **sizes, stride=3))
    parts = [list(share) for share in shares(evaluation_batches, stride=3)]
    assert {len(part) for part in parts} == {len(whole)}
    for i, batch in enumerate(whole):
        for field in ('tokens', 'weights'):
            joined = np.concatenate([getattr(part[i], field) for part in parts])
            np.testing.assert_array_equal(joined, getattr(batch, field))


# Streams.


@pytest.mark.parametrize(('size', 'batch_size', 'length'), [(100, 3, 5), (41, 4, 5), (6, 1, 5)])
def test_streams_go_on_where_they_were(size, batch_size, length):
    tokens = np.arange(size)
    windows = (size - 1) // batch_size // length  # of each stream
    before, restarts, seen = None, [], []
    for step in range(2 * windows + 1):
        rows, restart = streams(tokens, batch_size=batch_size, length=length, step=step)
        assert rows.shape == (batch_size, length + 1)
        np.testing.assert_array_equal(np.diff(rows), 1)
        if before is not None and not restart:
            np.testing.assert_array_equal(rows[:, 0], before[:, -1])
        before = rows
        restarts.append(bool(restart))
        if step < windows:
            seen.extend(rows[:, 1:].ravel().tolist())
    assert restarts == [step % windows == 0 for step in range(2 * windows + 1)]
    assert len(set(seen)) == len(seen) == windows * batch_size * length  # no token twice


def test_a_stream_starts_again_from_its_beginning():
    tokens = np.arange(41)
    first, _ = streams(tokens, batch_size=4, length=5, step=0)
    again, restart = streams(tokens, batch_size=4, length=5, step=2)
    assert restart
    np.testing.assert_array_equal(again, first)


# Evaluation.

EVALUATIONS = [
    (size, length, stride, batch_size)
    for size in (2, 3, 6, 7, 8, 21, 22, 50)
    for length in (1, 2, 5, 7)
    for stride in (None, 1, 2, 3, 5, 7)
    for batch_size in (1, 2, 4)
    if length < size and (stride is None or stride <= length)
]


def test_evaluation_scores_every_token_but_the_first_exactly_once():
    assert len(EVALUATIONS) > 200
    for size, length, stride, batch_size in EVALUATIONS:
        case = f'{size=} {length=} {stride=} {batch_size=}'
        tokens, scored, batch = np.arange(size), [], None
        step = stride or length
        for batch in evaluation_batches(
            tokens, batch_size=batch_size, length=length, stride=stride
        ):
            assert batch.tokens.shape == (batch_size, length + 1), case
            assert batch.weights.shape == (batch_size, length), case
            assert batch.weights.dtype == np.float32, case
            assert set(batch.weights.ravel().tolist()) <= {0.0, 1.0}, case
            for row, weights in zip(batch.tokens, batch.weights, strict=True):
                for column in np.flatnonzero(weights):
                    # Token, and the context it is predicted from: the column's, all of it right.
                    target = int(row[column + 1])
                    context = row[: column + 1]
                    np.testing.assert_array_equal(context, np.arange(target - column - 1, target))
                    assert target <= length or column >= length - step, case
                    scored.append(target)
        assert sorted(scored) == list(range(1, size)), case
        assert batch is not None
        assert batch.weights[0].any(), case  # no batch is empty


def test_the_last_evaluation_batch_is_filled_up_with_weight_zero():
    *_, last = evaluation_batches(np.arange(1, 24), batch_size=4, length=5)
    np.testing.assert_array_equal(last.weights.sum(axis=1), [2, 0, 0, 0])
    np.testing.assert_array_equal(last.tokens[0, :3], [21, 22, 23])
    assert last.tokens.max() == 23


# Too short a text.


def test_a_text_shorter_than_a_window_is_named():
    tokens = np.arange(5)
    with pytest.raises(InputError, match=r'has 5 tokens.*sequence_length \+ 1, 6'):
        random_windows(tokens, batch_size=1, length=5, seed=0, step=0)
    with pytest.raises(InputError, match=r'has 5 tokens.*sequence_length \+ 1, 6'):
        next(evaluation_batches(tokens, batch_size=1, length=5))
    with pytest.raises(InputError, match=r'has 20 tokens.*4 streams.*need 21'):
        streams(np.arange(20), batch_size=4, length=5, step=0)
    streams(np.arange(21), batch_size=4, length=5, step=0)
