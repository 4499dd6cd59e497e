"""Masking: which tokens are hidden, behind what, and what guessing by frequency loses."""

import numpy as np
import pytest

from nlp_models.data.masking import mask_tokens, unigram_loss
from nlp_models.errors import InputError

V, MASK = 50, 50
TOKENS: np.ndarray = np.random.default_rng(0).integers(0, V, (64, 200))


def mask(tokens: np.ndarray = TOKENS, seed=0, step=0, **kwargs):
    return mask_tokens(tokens, **{'mask_id': MASK, 'vocab_size': V, **kwargs}, seed=seed, step=step)


def test_what_is_returned():
    batch = mask(TOKENS.astype(np.uint8))
    assert {name: (x.shape, x.dtype.name) for name, x in batch.items()} == {
        'tokens': ((64, 200), 'int32'),
        'targets': ((64, 200), 'int32'),
        'weights': ((64, 200), 'float32'),
    }
    np.testing.assert_array_equal(batch['targets'], TOKENS)
    assert set(batch['weights'].ravel().tolist()) == {0.0, 1.0}
    kept = batch['weights'] == 0
    np.testing.assert_array_equal(batch['tokens'][kept], TOKENS[kept])
    assert batch['tokens'].max() == MASK


@pytest.mark.parametrize('rate', [0.05, 0.15, 0.5, 1.0])
def test_the_rate_is_that_of_each_row(rate):
    np.testing.assert_array_equal(mask(rate=rate)['weights'].sum(axis=1), round(rate * 200))


def test_every_place_is_chosen_alike():
    chosen = sum(mask(step=step)['weights'].sum(axis=0) for step in range(60))
    expected = 0.15 * 64 * 60
    assert np.abs(chosen - expected).max() < 5 * np.sqrt(expected)


def test_the_chosen_become_the_mask_a_random_token_or_stay():
    counts = np.zeros(3)
    random = np.zeros(V)
    for step in range(30):
        batch = mask(step=step)
        read, target = (batch[name][batch['weights'] == 1] for name in ('tokens', 'targets'))
        masked, same = read == MASK, read == target
        counts += [masked.sum(), (~masked & ~same).sum(), same.sum()]
        random += np.bincount(read[~masked & ~same], minlength=V)
    # One in V of the random tokens is the right one by chance.
    expected = np.array([0.8, 0.1 * (1 - 1 / V), 0.1 + 0.1 / V])
    np.testing.assert_allclose(counts / counts.sum(), expected, atol=0.006)
    assert random.min() > 0.6 * random.mean()


def test_special_tokens_are_neither_chosen_nor_put_in():
    tokens = TOKENS.copy()
    tokens[:, 0], tokens[:, 150:] = 1, 0
    batch = mask(tokens, mask_id=4, special_ids=(0, 1, 4, 60), rate=0.4)
    special = np.isin(tokens, (0, 1, 4))
    assert batch['weights'][special].sum() == 0
    np.testing.assert_array_equal(batch['tokens'][special], tokens[special])
    rows = np.rint(0.4 * (~special).sum(axis=1))
    np.testing.assert_array_equal(batch['weights'].sum(axis=1), rows)
    changed = batch['tokens'][(batch['tokens'] != tokens) & (batch['tokens'] != 4)]
    assert changed.size > 100
    assert not np.isin(changed, (0, 1, 4)).any()
    assert changed.max() < V


def test_a_row_with_anything_to_hide_hides_something():
    tokens = np.zeros((3, 6), np.int64)
    tokens[1, 4] = 7
    tokens[2, :2] = (8, 9)
    for step in range(20):
        weights = mask(tokens, special_ids=(0,), step=step)['weights']
        assert weights.sum(axis=1).tolist() == [0, 1, 1]
        assert weights[1, 4] == 1


def test_it_depends_on_seed_and_step_alone():
    first = mask(seed=1, step=2)
    np.random.default_rng(0).random(5)
    for name, expected in first.items():
        np.testing.assert_array_equal(mask(seed=1, step=2)[name], expected)
    for other in (mask(seed=1, step=3), mask(seed=2, step=2)):
        assert (other['weights'] != first['weights']).any()


def test_shares_make_up_the_batch():
    whole = mask()
    for count in (2, 4):
        parts = [
            mask(part, process_index=i, process_count=count)
            for i, part in enumerate(np.split(TOKENS, count))
        ]
        for name, expected in whole.items():
            np.testing.assert_array_equal(np.concatenate([p[name] for p in parts]), expected)


@pytest.mark.parametrize('rate', [0.0, -0.1, 1.1])
def test_a_rate_that_is_none_is_told(rate):
    with pytest.raises(InputError, match='mask_rate is'):
        mask(rate=rate)


def test_unigram_loss_is_the_cross_entropy_of_frequencies():
    training = np.array([0, 0, 0, 1, 1, 2], np.uint8)
    probabilities = np.array([4, 3, 2, 1]) / 10  # one added to each count
    tokens = np.array([[0, 1], [3, 0]], np.int32)
    expected = -np.log(probabilities[tokens]).mean()
    assert unigram_loss(training, tokens, 4) == pytest.approx(expected, rel=1e-12)


def test_unigram_loss_of_a_long_text_is_its_entropy():
    training = np.repeat(np.arange(3), (1 << 22, 1 << 21, 1 << 21)).astype(np.uint16)
    loss = unigram_loss(training, training, 3)
    assert loss == pytest.approx(1.5 * np.log(2), rel=1e-6)
