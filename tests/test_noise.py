"""Noise: as much of it as was asked for, of the kind that was asked for, and always the same."""

from collections import Counter

import numpy as np
import pytest

from nlp_models.data import noise
from nlp_models.errors import InputError

TEXT = 'The cat sat on the mat.\n\nIt saw a dog,  and it ran away from there.\n' * 20


def distance(first, second):
    """Edits that turn one text into another: letters in, out, and neighbours swapped."""
    before, row = None, list(range(len(second) + 1))
    for i, a in enumerate(first, 1):
        two, before, row = before, row, [i]
        for j, b in enumerate(second, 1):
            least = min(before[j] + 1, row[-1] + 1, before[j - 1] + (2 if a != b else 0))
            if i > 1 and j > 1 and a == second[j - 2] and b == first[i - 2]:
                assert two is not None
                least = min(least, two[j - 2] + 1)
            row.append(least)
    return row[-1]


@pytest.mark.parametrize('rate', [0.0, 0.05, 0.3])
def test_characters_are_changed_at_the_rate(rate):
    text = TEXT[:600]
    made = noise.misspell(text, rate, seed=3)
    edits = distance(text, made)
    # Some changes undo each other, or swap two equal letters, and a swap takes two characters.
    assert 0.65 * rate * len(text) <= edits <= 1.2 * rate * len(text)
    assert abs(len(made) - len(text)) <= 0.15 * rate * len(text) + 3
    assert (made == text) == (rate == 0)


def test_a_change_at_every_character_leaves_no_end_behind():
    for seed in range(20):
        made = noise.misspell('abcdef', 1.0, seed)
        assert set('abcdef') & set(made) or len(made) <= 3
        assert len(made) <= 12
    assert noise.misspell('', 1.0, 0) == ''


def test_words_are_shuffled_and_blanks_stay():
    made = noise.shuffle_words(TEXT, seed=1)
    assert made != TEXT
    assert Counter(made.split()) == Counter(TEXT.split())

    def blanks(text):
        return [
            part for part in ''.join(' ' if c.isspace() else 'x' for c in text).split('x') if part
        ]

    assert [len(b) for b in blanks(made)] == [len(b) for b in blanks(TEXT)]
    assert made.count('\n\n') == TEXT.count('\n\n')
    assert noise.shuffle_words(' \n', 0) == ' \n'


def test_boilerplate_stands_around_the_text():
    found = Counter()
    for seed in range(50):
        lines = noise.add_boilerplate('one\ntwo', seed).split('\n')
        assert lines[2:4] == ['one', 'two']
        around = lines[:2] + lines[4:]
        assert len(set(around)) == 4
        assert set(around) <= set(noise.BOILERPLATE)
        found.update(around)
    assert set(found) == set(noise.BOILERPLATE)


def test_random_strings_are_random():
    made = noise.random_string(20_000, seed=0)
    assert len(made) == 20_000
    assert {len(word) for word in made.split(' ')[1:-1]} == set(range(2, 13))
    symbols = Counter(made.replace(' ', ''))
    assert len(symbols) == 94
    counts = np.array(list(symbols.values()))
    expected = counts.sum() / 94
    assert ((counts - expected) ** 2 / expected).sum() < 94 + 5 * np.sqrt(2 * 94)  # chi-squared


@pytest.mark.parametrize('share', [0.0, 0.5, 1.0])
def test_a_share_of_the_documents_is_spoiled_in_every_way(share):
    documents = [f'{TEXT} {i}' for i in range(41)]
    made, ways = noise.spoil(documents, share, seed=2)
    assert sum(way != '' for way in ways) == round(41 * share)
    for text, document, way in zip(made, documents, ways, strict=True):
        assert (text == document) == (way == '')
    counts = Counter(way for way in ways if way)
    if share:
        assert set(counts) == set(noise.NOISES)
        assert max(counts.values()) - min(counts.values()) <= 1
        misspelled = [t for t, way in zip(made, ways, strict=True) if way == 'misspelled']
        assert len({t[:200] for t in misspelled}) == len(misspelled)  # no two alike
    only, ways = noise.spoil(documents, share, seed=2, kinds=('shuffled',))
    assert {way for way in ways if way} == ({'shuffled'} if share else set())
    assert all(
        Counter(a.split()) == Counter(b.split()) for a, b in zip(only, documents, strict=True)
    )


def test_more_noise_spoils_more_of_the_same():
    documents = [f'{TEXT} {i}' for i in range(30)]
    shares = (0.2, 0.5, 0.9)
    spoiled = [{i for i, way in enumerate(noise.spoil(documents, s, 4)[1]) if way} for s in shares]
    assert spoiled[0] < spoiled[1] < spoiled[2]


def test_copies_take_the_place_of_others():
    documents = [f'document {i}' for i in range(200)]
    made = noise.duplicate(documents, 0.5, seed=1, originals=4)
    counts = Counter(made)
    assert len(made) == 200
    assert set(counts) <= set(documents)
    assert len(counts) == 100  # the others are what half of the places hold
    copied = sorted(counts.values())[-4:]
    assert sum(copied) == 104  # 100 copies of four documents that are there themselves
    assert sorted(counts.values())[:-4] == [1] * 96
    assert min(copied) > 10
    assert made != sorted(made)
    spread = Counter(noise.duplicate(documents, 0.5, seed=1))
    assert len(spread) == 100
    assert max(spread.values()) < 10
    assert noise.duplicate(documents, 0.0, seed=1) != documents  # in another order
    assert sorted(noise.duplicate(documents, 0.0, seed=1)) == sorted(documents)


def test_one_seed_is_one_result():
    documents = [f'{TEXT} {i}' for i in range(10)]
    makers = [
        lambda seed: noise.misspell(TEXT, 0.1, seed),
        lambda seed: noise.shuffle_words(TEXT, seed),
        lambda seed: noise.random_string(100, seed),
        lambda seed: noise.spoil(documents, 0.5, seed)[0],
        lambda seed: noise.duplicate(documents, 0.5, seed),
    ]
    for make in makers:
        assert make(5) == make(5)
        assert make(5) != make(6)


def test_mistakes_are_told():
    for call, message in (
        (lambda: noise.misspell('a', 1.5, 0), 'rate is 1.5: it must be from 0 to 1'),
        (lambda: noise.spoil(['a'], -0.1, 0), 'share is -0.1'),
        (lambda: noise.spoil(['a'], 1.0, 0, ('rot13',)), "kind of noise is 'rot13': .*misspelled"),
        (lambda: noise.duplicate(['a', 'b'], 0.9, 0), 'share of copies is 0.9: it must leave one'),
        (lambda: noise.duplicate(['a'] * 4, 0.5, 0, originals=3), 'originals is 3: .* from 1 to 2'),
    ):
        with pytest.raises(InputError, match=message):
            call()
