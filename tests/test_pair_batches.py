"""Batches of pairs: what is in them, at which step, in which process, and what is left out."""

import math
from collections import Counter

import numpy as np
import pytest
from absl import logging as absl_logging

from nlp_models.data.contrastive_batches import contrastive_batch, contrastive_evaluation_batches
from nlp_models.data.pair_batches import longest, pair_batch, pair_evaluation_batches
from nlp_models.data.pairs import (
    DrawnPairs,
    PairDataset,
    begin_id,
    end_id,
    held_out_pairs,
    make_pairs,
)
from nlp_models.data.procedural import part_of
from nlp_models.data.tokenizers import learn_tokenizer
from nlp_models.errors import InputError
from tests.test_pretrained_tokenizer import pretrained_tokenizer, word_piece

LETTERS = 'abcdefghij'
CHARS = learn_tokenizer('chars', [LETTERS], 0)
TRAIN = [
    (LETTERS[: 1 + i % 5] + LETTERS[i % 10], LETTERS[i // 5 % 7 :][: 1 + i % 4]) for i in range(23)
]


def dataset(train=TRAIN, tokenizer=CHARS):
    part = make_pairs(train, tokenizer)
    return PairDataset('name', '1', '0' * 64, tokenizer, train=part, validation=part, test=part)


def drawn(rule='reverse', min_length=1, max_length=6):
    train = DrawnPairs(
        rule, min_length, max_length, learn_tokenizer('chars', ['abcdefghijklmnopqrstuvwxyz'], 0)
    )
    held = held_out_pairs(train, 'test', number=50, min_length=1, max_length=6)
    return PairDataset(rule, '1', '0' * 64, train.tokenizer, train, held, held)


def read(batch, tokenizer=CHARS):
    """The pairs in a batch, after checking how they are laid out."""
    names = {name: x.dtype.name for name, x in batch.items() if name != 'whole'}
    assert names == {
        'source': 'int32',
        'source_lengths': 'int32',
        'tokens': 'int32',
        'weights': 'float32',
    }
    rows, width = batch['source'].shape
    assert batch['source_lengths'].shape == (rows,)
    assert batch['tokens'].shape == (rows, batch['weights'].shape[1] + 1)
    pairs = []
    for source, size, tokens, weights in zip(
        batch['source'], batch['source_lengths'], batch['tokens'], batch['weights'], strict=True
    ):
        assert 1 <= size <= width
        assert not source[size:].any()
        count = int(weights.sum())
        assert weights.tolist() == [1.0] * count + [0.0] * (len(weights) - count)
        assert tokens[0] == begin_id(tokenizer)
        assert not tokens[1 + count :].any() or count == 0
        predicted = tokens[1 : 1 + count].tolist()
        ended = predicted[-1:] == [end_id(tokenizer)]
        assert end_id(tokenizer) not in predicted[:-1]
        target = tokenizer.decode(predicted[:-1] if ended else predicted)
        pairs.append((tokenizer.decode(source[:size]), target, ended, count))
    return pairs


def trained(data, steps, batch_size, **kwargs):
    pairs = []
    for step in range(steps):
        for source, target, ended, _ in read(
            pair_batch(data, batch_size=batch_size, step=step, **kwargs), data.tokenizer
        ):
            assert ended
            pairs.append((source, target))
    return pairs


@pytest.mark.parametrize('batch_size', [1, 4, 23, 50])
def test_every_pair_is_read_once_an_epoch(batch_size):
    steps = math.ceil(3 * 23 / batch_size)
    pairs = trained(dataset(), steps, batch_size, seed=1)
    epochs = [pairs[i : i + 23] for i in (0, 23, 46)]
    for epoch in epochs:
        assert sorted(epoch) == sorted(TRAIN)
    assert epochs[0] != epochs[1] != epochs[2]
    assert trained(dataset(), 1, 23, seed=2) != trained(dataset(), 1, 23, seed=1)


def test_repeated_pairs_are_repeated():
    pairs = trained(dataset([('a', 'b')] * 3 + [('c', 'd')]), 1, 4, seed=0)
    assert Counter(pairs) == {('a', 'b'): 3, ('c', 'd'): 1}


def test_batches_depend_on_their_arguments_alone():
    for data in (dataset(), drawn()):
        first = pair_batch(data, batch_size=8, seed=3, step=5)
        others = [pair_batch(data, batch_size=8, seed=s, step=t) for s, t in ((3, 6), (4, 5))]
        np.random.default_rng(0).random(5)
        for name, expected in pair_batch(data, batch_size=8, seed=3, step=5).items():
            np.testing.assert_array_equal(expected, first[name])
        assert all((other['tokens'] != first['tokens']).any() for other in others)


def test_the_lengths_are_the_longest_or_as_given():
    data = dataset()
    sizes = max(len(s) for s, _ in TRAIN), max(len(t) for _, t in TRAIN) + 1
    assert longest(data.train) == sizes == (6, 5)
    assert longest(make_pairs([], CHARS)) == (1, 1)
    batch = pair_batch(data, batch_size=4, seed=0, step=0)
    assert (batch['source'].shape[1], batch['weights'].shape[1]) == sizes
    wide = pair_batch(data, batch_size=4, source_length=9, target_length=8, seed=0, step=0)
    assert (wide['source'].shape[1], wide['weights'].shape[1]) == (9, 8)
    assert read(wide) == read(batch)
    assert longest(drawn().train) == (6, 7)


def test_pairs_that_are_too_long_are_left_out_and_counted(caplog):
    absl_logging.set_verbosity(absl_logging.INFO)
    data = dataset()
    short = [(s, t) for s, t in TRAIN if len(s) <= 5 and len(t) + 1 <= 4]
    assert 0 < len(short) < len(TRAIN)
    with caplog.at_level('INFO', logger='absl'):
        pairs = trained(data, len(short), 1, source_length=5, target_length=4, seed=0)
    assert sorted(pairs) == sorted(short)
    told = [r.getMessage() for r in caplog.records]
    assert told == [f'{23 - len(short)} of 23 training pairs are too long and left out']
    with pytest.raises(InputError, match=r'source_length=1 .*\(6, 5\), END counted'):
        pair_batch(data, batch_size=4, source_length=1, seed=0, step=0)


@pytest.mark.parametrize('rule', ['reverse', 'sort'])
def test_drawn_pairs_obey_their_rule_and_are_not_held_out(rule):
    data = drawn(rule)
    pairs = trained(data, 30, 64, seed=0)
    for source, target in pairs:
        assert target == (source[::-1] if rule == 'reverse' else ''.join(sorted(source)))
        numbers = np.array([[ord(letter) - 96 for letter in source]])
        assert part_of(numbers)[0] > 1
    assert {len(source) for source, _ in pairs} == set(range(1, 7))
    wide = pair_batch(data, batch_size=4, source_length=9, target_length=8, seed=0, step=0)
    narrow = pair_batch(data, batch_size=4, seed=0, step=0)
    assert read(wide, data.tokenizer) == read(narrow, data.tokenizer)
    for lengths in ({'source_length': 5}, {'target_length': 6}):
        with pytest.raises(InputError, match=r'must be at least \d for strings of 6 letters'):
            pair_batch(data, batch_size=4, seed=0, step=0, **lengths)


@pytest.mark.parametrize('process_count', [1, 2, 3, 6])
def test_shares_make_up_the_batch(process_count):
    data = dataset()

    def check(make):
        whole = make(0, 1)
        parts = [make(i, process_count) for i in range(process_count)]
        for i, batch in enumerate(whole):
            for name, expected in batch.items():
                joined = np.concatenate([part[i][name] for part in parts])
                np.testing.assert_array_equal(joined, expected)
        assert {len(part) for part in parts} == {len(whole)}

    def kwargs(index, count):
        return {'batch_size': 6, 'process_index': index, 'process_count': count}

    for step in (0, 3, 40):
        for these in (data, drawn()):
            check(lambda i, n, d=these, s=step: [pair_batch(d, seed=0, step=s, **kwargs(i, n))])
        check(lambda i, n, s=step: [contrastive_batch(data, seed=0, step=s, **kwargs(i, n))])
    check(lambda i, n: list(pair_evaluation_batches(data.test, **kwargs(i, n))))
    check(lambda i, n: list(contrastive_evaluation_batches(data.test, **kwargs(i, n))))


def test_a_batch_that_cannot_be_shared_out_is_told():
    for function in (pair_batch, contrastive_batch):
        with pytest.raises(InputError, match='shared out over 3 processes'):
            function(dataset(), batch_size=4, seed=0, step=0, process_count=3)


# Evaluation.


@pytest.mark.parametrize('batch_size', [1, 4, 23, 30])
def test_every_pair_is_evaluated_once_in_order(batch_size):
    data = dataset()
    batches = list(pair_evaluation_batches(data.test, batch_size=batch_size))
    assert len(batches) == math.ceil(23 / batch_size)
    assert len({tuple(batch[name].shape for name in batch) for batch in batches}) == 1
    pairs = [pair for batch in batches for pair in read(batch)]
    whole = np.concatenate([batch['whole'] for batch in batches])
    assert whole.tolist() == [True] * 23 + [False] * (len(pairs) - 23)
    found = [(source, target) for source, target, ended, _ in pairs[:23] if ended]
    assert found == TRAIN == list(zip(data.test.source_texts, data.test.target_texts, strict=True))
    for batch, filler in ((batches[-1], ~batches[-1]['whole']),):
        assert not batch['weights'][filler].any()
        assert not batch['source'][filler].any()
        assert (batch['source_lengths'][filler] == 1).all()
    assert list(pair_evaluation_batches(make_pairs([], CHARS), batch_size=4)) == []


def test_what_is_too_long_is_cut_off_and_marked():
    data = dataset()
    (batch,) = pair_evaluation_batches(data.test, batch_size=23, source_length=4, target_length=4)
    assert batch['source'].shape == (23, 4)
    assert batch['weights'].shape == (23, 4)
    for (source, target), found, whole in zip(TRAIN, read(batch), batch['whole'], strict=True):
        assert found[0] == source[:4]
        assert found[1] == target[:4]
        assert found[2] == (len(target) < 4)  # where the end is read
        assert found[3] == min(len(target) + 1, 4)
        assert whole == (len(source) <= 4 and len(target) < 4)
    assert 0 < batch['whole'].sum() < 23


# Contrastive batches.


def texts_in(batch, side, tokenizer=CHARS):
    ids, lengths = batch[side], batch[f'{side}_lengths']
    assert (ids.dtype, lengths.dtype) == (np.int32, np.int32)
    for row, length in zip(ids, lengths, strict=True):
        assert length >= 1
        assert not row[length:].any()
    return [tokenizer.decode(row[:n]) for row, n in zip(ids, lengths, strict=True)]


def test_a_contrastive_batch_has_different_pairs_all_of_them_in_time():
    train = [(f'{a}{b}', f'{b}{a}{a}') for a in LETTERS[:4] for b in LETTERS[:6]][:23]
    data, seen = dataset(train), Counter()
    for step in range(40):
        batch = contrastive_batch(data, batch_size=5, seed=0, step=step)
        assert batch['first'].shape == batch['second'].shape == (5, 3)
        pairs = list(zip(texts_in(batch, 'first'), texts_in(batch, 'second'), strict=True))
        assert set(pairs) <= set(train)
        assert len(set(pairs)) == 5
        seen.update(pairs)
    # Ten epochs of four batches: three of the 23 pairs are left out of each.
    assert set(seen) == set(train)
    assert max(seen.values()) == 10
    assert (
        len(
            {
                tuple(texts_in(contrastive_batch(data, batch_size=5, seed=s, step=0), 'first'))
                for s in range(5)
            }
        )
        == 5
    )


def test_contrastive_texts_are_cut_off_at_the_length():
    batch = contrastive_batch(dataset(), batch_size=23, source_length=3, seed=0, step=0)
    pairs = zip(texts_in(batch, 'first'), texts_in(batch, 'second'), strict=True)
    assert sorted(pairs) == sorted((first[:3], second[:3]) for first, second in TRAIN)


def test_contrastive_texts_stand_within_the_special_tokens():
    tokenizer = pretrained_tokenizer(word_piece().to_str())
    texts = [('the cat', 'sat on the mat'), ('the rat', 'ate'), ('the mat;', 'cat cat cat')]
    data = dataset(texts, tokenizer)
    for length in (0, 5):
        batch = contrastive_batch(data, batch_size=3, source_length=length, seed=0, step=0)
        found = set()
        for ids, n in zip(batch['first'].tolist(), batch['first_lengths'], strict=True):
            assert (ids[0], ids[n - 1]) == (2, 3)
            found.add(tuple(ids[1 : n - 1]))
        keep = length - 2 if length else None
        assert found == {tuple(tokenizer.encode(first).tolist()[:keep]) for first, _ in texts}
        assert batch['first'].shape == (3, length or 2 + max(data.test.target.lengths))
    with pytest.raises(InputError, match='source_length is 2: it must be at least 3'):
        contrastive_batch(data, batch_size=3, source_length=2, seed=0, step=0)


def test_contrastive_evaluation_has_every_pair_once_in_order():
    data = dataset()
    batches = list(contrastive_evaluation_batches(data.test, batch_size=6))
    assert len(batches) == 4
    pairs = []
    for batch in batches:
        assert batch['first'].shape == (6, 6)
        real = batch['weights'] == 1
        both = list(zip(texts_in(batch, 'first'), texts_in(batch, 'second'), strict=True))
        pairs += [pair for pair, is_real in zip(both, real, strict=True) if is_real]
    assert pairs == TRAIN
    assert batches[-1]['weights'].tolist() == [1, 1, 1, 1, 1, 0]


def test_equal_texts_have_equal_numbers():
    pairs = [('a', 'b'), ('c', 'b'), ('a', 'd'), ('b', 'a')]
    batch = next(contrastive_evaluation_batches(dataset(pairs).test, batch_size=4))
    assert batch['first_numbers'].tolist() == [0, 1, 0, 2]
    assert batch['second_numbers'].tolist() == [0, 0, 1, 2]
    assert batch['first_numbers'].dtype == np.int32


def test_contrastive_mistakes_are_told():
    with pytest.raises(InputError, match=r'batch_size is 24: it must be at most .* 23'):
        contrastive_batch(dataset(), batch_size=24, seed=0, step=0)
    with pytest.raises(InputError, match=r"pairs='reverse' is no set .* docstring_halves"):
        contrastive_batch(drawn(), batch_size=4, seed=0, step=0)
