"""Batches of labelled texts: every text once an epoch, within its special tokens, cut to fit."""

import itertools
from collections import Counter

import numpy as np
import pytest
from tokenizers import Tokenizer

from nlp_models.data.labelled import make_labelled
from nlp_models.data.labelled_batches import (
    cut_pair,
    labelled_batch,
    labelled_evaluation_batches,
    longest_labelled,
)
from nlp_models.data.records import Record
from nlp_models.data.tokenizers import learn_tokenizer
from nlp_models.errors import InputError
from tests.minilm import minilm
from tests.test_pretrained_tokenizer import byte_fallback, pretrained_tokenizer, word_piece

BYTES = learn_tokenizer('bytes', [], 0)
LABELS = ('x', 'y', 'z')


def texts(count=23, tokenizer=BYTES, pairs=False):
    records = [
        Record(
            f'{i:02}' + 'ab' * (i % 5),
            f'{i:02}' + 'c' * (i % 7) if pairs else '',
            LABELS[i % 3],
            '',
        )
        for i in range(count)
    ]
    return make_labelled(records, LABELS, tokenizer)


def check(batch, pairs, rows, length):
    shapes = {name: (value.dtype.name, value.shape) for name, value in batch.items()}
    assert shapes == {
        'tokens': ('int32', (rows, length)),
        'lengths': ('int32', (rows,)),
        'targets': ('int32', (rows,)),
        **({'segments': ('int32', (rows, length))} if pairs else {}),
    }
    for row, size in enumerate(batch['lengths']):
        assert not batch['tokens'][row, size:].any()
        assert not pairs or not batch['segments'][row, size:].any()


@pytest.mark.parametrize('batch_size', [1, 4, 23, 50])
def test_every_text_is_read_once_an_epoch(batch_size):
    data = texts()
    read = []
    for step in range(-(-3 * 23 // batch_size)):
        batch = labelled_batch(data, batch_size=batch_size, length=10, seed=1, step=step)
        check(batch, False, batch_size, 10)
        for tokens, size, target in zip(
            batch['tokens'], batch['lengths'], batch['targets'], strict=True
        ):
            text = BYTES.decode(tokens[:size])
            assert target == data.targets[data.texts.index(text)]
            read.append(text)
    epochs = [read[i : i + 23] for i in (0, 23, 46)]
    for epoch in epochs:
        assert sorted(epoch) == sorted(data.texts)
    assert epochs[0] != epochs[1] != epochs[2]


def test_batches_depend_on_their_arguments_alone_and_are_shared_out():
    data = texts(pairs=True)
    whole = labelled_batch(data, batch_size=8, seed=3, step=5)
    again = labelled_batch(data, batch_size=8, seed=3, step=5)
    shares = [
        labelled_batch(data, batch_size=8, seed=3, step=5, process_index=i, process_count=4)
        for i in range(4)
    ]
    for name, values in whole.items():
        np.testing.assert_array_equal(values, again[name])
        np.testing.assert_array_equal(values, np.concatenate([share[name] for share in shares]))
    for seed, step in ((3, 6), (4, 5)):
        assert (
            labelled_batch(data, batch_size=8, seed=seed, step=step)['tokens'] != whole['tokens']
        ).any()


@pytest.mark.parametrize('pairs', [False, True])
def test_an_evaluation_has_every_text_once_in_order(pairs):
    data = texts(pairs=pairs)
    for count in (1, 3):
        parts = [
            list(
                labelled_evaluation_batches(
                    data, batch_size=6, length=24, process_index=index, process_count=count
                )
            )
            for index in range(count)
        ]
        batches = [
            {name: np.concatenate([part[name] for part in parts_of]) for name in parts_of[0]}
            for parts_of in zip(*parts, strict=True)
        ]
        assert len(batches) == 4
        found = []
        for batch in batches:
            weights = batch.pop('weights')
            assert weights.dtype == np.float32
            check(batch, pairs, 6, 24)
            real = weights == 1
            assert (real | (weights == 0)).all()
            found += zip(
                batch['targets'][real].tolist(), batch['lengths'][real].tolist(), strict=True
            )
        sizes = (
            data.first.lengths
            if data.second is None
            else data.first.lengths + 1 + data.second.lengths
        )
        assert found == list(zip(data.targets.tolist(), sizes.tolist(), strict=True))
    assert not list(labelled_evaluation_batches(data.take([]), batch_size=6, length=24))


@pytest.mark.parametrize('pairs', [False, True])
def test_the_length_is_the_longest_unless_given(pairs):
    data = texts(pairs=pairs)
    rows = next(iter(labelled_evaluation_batches(data, batch_size=23)))
    assert longest_labelled(data) == rows['tokens'].shape[1] == rows['lengths'].max()
    assert longest_labelled(data.take([0])) == (5 if pairs else 2)


# Pairs.


def test_the_longer_text_is_cut_first():
    """Against taking tokens away one by one, as `longest_first` truncation does."""
    for first, second, room in itertools.product(range(1, 9), range(1, 9), range(2, 18)):
        a, b = first, second
        while a + b > room:
            if a > b or (a == b and first <= second):
                a -= 1
            else:
                b -= 1
        assert cut_pair(first, second, room) == (a, b)
        assert min(a, b) >= 1


def test_pairs_without_special_tokens_have_a_line_end_between():
    data = make_labelled([Record('abc', 'de', 'x', '')], LABELS, BYTES)
    batch = labelled_batch(data, batch_size=1, length=8, seed=0, step=0)
    assert bytes(batch['tokens'][0].tolist()) == b'abc\nde\0\0'
    assert batch['segments'][0].tolist() == [0, 0, 0, 0, 1, 1, 0, 0]
    assert batch['lengths'].tolist() == [6]
    cut = labelled_batch(data, batch_size=1, length=4, seed=0, step=0)
    assert bytes(cut['tokens'][0].tolist()) == b'ab\nd'


def test_words_have_a_word_between():
    tokenizer = learn_tokenizer('words', ['a b c d'], 0)
    data = make_labelled([Record('a b', 'd', 'x', '')], LABELS, tokenizer)
    batch = labelled_batch(data, batch_size=1, seed=0, step=0)
    assert batch['tokens'][0].tolist() == [1, 2, 0, 4]  # 0: what the vocabulary lacks
    assert batch['segments'][0].tolist() == [0, 0, 0, 1]


def test_one_special_token_before_both_texts():
    library = byte_fallback()
    tokenizer = pretrained_tokenizer(library.to_str())
    before = tokenizer.frame(np.zeros(0, np.int32))
    assert len(before)
    data = make_labelled([Record('ab', 'c', 'x', '')], LABELS, tokenizer)
    batch = labelled_batch(data, batch_size=1, seed=0, step=0)
    parts = [tokenizer.encode(text) for text in ('ab', '\n', 'c')]
    assert batch['tokens'][0].tolist() == [*before, *np.concatenate(parts)]
    size = len(parts[2])
    assert (
        batch['segments'][0].tolist()
        == [0] * (len(before) + len(parts[0]) + len(parts[1])) + [1] * size
    )


@pytest.mark.parametrize('length', [6, 7, 9, 20])
def test_pairs_are_as_the_library_makes_them(length):
    """With WordPiece's post-processor: [CLS] a [SEP] b [SEP], the longer cut first."""
    library = word_piece()
    library.no_padding()
    library.enable_truncation(length, strategy='longest_first')
    tokenizer = pretrained_tokenizer(library.to_str())
    check_as_library(library, tokenizer, ['the cat', 'the cat sat on the mat', 'a'], length)


@pytest.mark.parametrize('length', [8, 32])
def test_minilms_texts_and_pairs_are_as_the_library_makes_them(length):
    text = (minilm() / 'tokenizer.json').read_text()
    library = Tokenizer.from_str(text)
    library.no_padding()
    library.enable_truncation(length, strategy='longest_first')
    given = [
        'Return the XML parser.',
        'Opens a socket and waits until somebody writes to it, or a timeout has passed.',
        'unbelievable',
    ]
    check_as_library(library, pretrained_tokenizer(text), given, length)


def check_as_library(library, tokenizer, given, length):
    records = [Record(a, b, 'x', '') for a in given for b in given]
    data = make_labelled(records, LABELS, tokenizer)
    batch = next(labelled_evaluation_batches(data, batch_size=len(records), length=length))
    cut = 0
    for row, record in enumerate(records):
        encoding = library.encode(record.first, record.second)
        size = batch['lengths'][row]
        assert batch['tokens'][row, :size].tolist() == encoding.ids
        assert batch['segments'][row, :size].tolist() == encoding.type_ids
        cut += bool(encoding.overflowing)
    assert cut or length >= 20
    singles = make_labelled([Record(a, '', 'x', '') for a in given], LABELS, tokenizer)
    batch = next(labelled_evaluation_batches(singles, batch_size=len(given), length=length))
    for row, text in enumerate(given):
        assert batch['tokens'][row, : batch['lengths'][row]].tolist() == library.encode(text).ids


# Mistakes.


def test_mistakes_are_told():
    data, pairs = texts(), texts(pairs=True)
    framed = texts(tokenizer=pretrained_tokenizer(word_piece().to_str()), pairs=True)
    for call, message in (
        (lambda: labelled_batch(data, batch_size=3, seed=0, step=0, process_count=2), 'batch_size'),
        (
            lambda: labelled_batch(data.take([]), batch_size=3, seed=0, step=0),
            'training texts is 0',
        ),
        (
            lambda: labelled_batch(pairs, batch_size=1, length=2, seed=0, step=0),
            'sequence_length is 2: it must be at least 3, for 1 special',
        ),
        (
            lambda: labelled_batch(framed, batch_size=1, length=4, seed=0, step=0),
            'sequence_length is 4: it must be at least 5, for 3 special',
        ),
    ):
        with pytest.raises(InputError, match=message):
            call()


def test_labels_are_shuffled_with_their_texts():
    data = texts(30)
    batch = labelled_batch(data, batch_size=30, seed=0, step=0)
    assert Counter(batch['targets'].tolist()) == {0: 10, 1: 10, 2: 10}
    assert batch['targets'].tolist() != data.targets.tolist()
