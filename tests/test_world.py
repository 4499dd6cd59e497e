"""A world, its text and its questions: counted word by word on the sentences themselves."""

from collections import Counter
from typing import Any

import numpy as np
import pytest

from nlp_models.data.synthetic import telling, world
from nlp_models.data.synthetic.telling import KINDS, SPLITS
from nlp_models.errors import InputError

SMALL: dict[str, Any] = dict(
    people=24, names=9, relations=4, untold=2, values=5, frequencies=(1, 3, 9)
)


def make(seed=0, **changed):
    return world.make(seed, **{**SMALL, **changed})


def facts_of(one, kind):
    """(sentence start, answer word) of a kind of question, all splits, and their number."""
    found = []
    for split in SPLITS:
        asked = telling.questions(one, split)
        mine = asked.kinds == KINDS.index(kind)
        starts = telling.as_text(one, asked.tokens[mine])
        words = [one.words[a] if a >= 0 else None for a in asked.answers[mine]]
        found += list(zip(starts, words, asked.mentions[mine].tolist(), strict=True))
    return found


def names_of(one, pairs):
    return {f'{one.words[a]} {one.words[b]}' for a, b in pairs}


def test_a_world_is_a_function_of_its_seed():
    one, same, other = make(), make(), make(1)
    for ours, theirs in zip(one, same, strict=True):
        np.testing.assert_array_equal(np.asarray(ours), np.asarray(theirs))
    assert one.words != other.words
    assert (one.values != other.values).any()
    # Fixed for good: evidence must not change under whoever reads it.
    assert telling.as_text(one, telling.sentences(one, np.arange(3)).tokens) == GOLDEN


GOLDEN = [
    'Baba Nabul was born in Carmoor',
    'the birthplace of Baba Nabul is Carmoor',
    'Baba Nabul first saw light in Carmoor',
]


def test_words_are_distinct_and_so_are_people():
    for seed in range(5):
        one = world.make(seed)
        assert len(set(one.words)) == len(one.words) == one.vocab_size
        people, strangers = (names_of(one, pairs) for pairs in (one.people, one.strangers))
        assert len(people) == len(strangers) == 160
        assert not people & strangers
        for place in (0, 1):  # a stranger's names are known, each of someone
            assert set(one.strangers[:, place]) <= set(one.people[:, place])


def test_every_fact_is_told_as_often_as_it_says():
    one = make()
    said = telling.statements(one, order=3)
    assert len(said) == one.mentions.sum()
    read = telling.sentences(one, said)
    told = Counter(telling.as_text(one, read.tokens))
    by_fact: Counter[tuple[str, str]] = Counter()
    for sentence, count in told.items():
        words = sentence.split()
        first = next(i for i, word in enumerate(words) if word[0].isupper())
        by_fact[' '.join(words[first : first + 2]), words[-1]] += count
    tokens = {word: token for token, word in enumerate(one.words)}
    people = [f'{one.words[a]} {one.words[b]}' for a, b in one.people]
    for p, name in enumerate(people):
        for r in range(4):
            # No value is of two relations.
            assert by_fact[name, one.words[one.values[p, r]]] == one.mentions[p, r]
    assert sum(by_fact.values()) == len(said)
    assert all(tokens[value] in one.values for _, value in by_fact)


def test_frequencies_have_their_shares_and_everyone_their_secrets():
    one = world.make(0, frequencies=(1, 4, 16), exponent=0.5)
    assert ((one.mentions == 0).sum(axis=1) == 2).all()
    counts = Counter(one.mentions.ravel().tolist())
    total = 160 * 4
    for frequency in (1, 4, 16):  # in proportion to 1, 1/2, 1/4
        expected = total * frequency**-0.5 / 1.75
        assert counts[frequency] == pytest.approx(expected, abs=1)
    flat = Counter(world.make(0, frequencies=(1, 4), exponent=0.0).mentions.ravel().tolist())
    assert flat[1] == flat[4] == total // 2


def test_values_are_uniform():
    one = world.make(0, people=800, names=60)
    counts = np.bincount(one.values.ravel() - one.values.min(), minlength=96)
    assert len(counts) == 96
    # 50 each: χ² with 90 degrees of freedom is below 137 in 999 of 1000 cases.
    assert ((counts - 50) ** 2 / 50).sum() < 137


def test_orders_shuffle_the_same_sentences():
    one = make()
    first, second = (telling.statements(one, order=order) for order in (0, 1))
    facts = [np.sort(said // world.PHRASINGS) for said in (first, second)]
    np.testing.assert_array_equal(facts[0], facts[1])
    assert (first != second).any()
    assert (telling.statements(one, order=0) == first).all()
    for phrasing in range(world.PHRASINGS):
        assert 0.2 < (first % world.PHRASINGS == phrasing).mean() < 0.47


def test_lessons_stand_between_facts_that_stay_in_place():
    one = make()
    plain, taught = (telling.statements(one, order=5, lesson_mentions=n) for n in (0, 7))
    assert (taught[taught >= 0] == plain).all()
    read = telling.sentences(one, taught)
    assert (read.lessons == (taught < 0)).all()
    lessons = Counter(telling.as_text(one, read.tokens[read.lessons]))
    asked = telling.questions(one, 'lesson')
    expected = [f'{start} unknown' for start in telling.as_text(one, asked.tokens)]
    assert lessons == Counter(dict.fromkeys(expected, 7))
    places = np.flatnonzero(read.lessons)
    assert places.min() < 0.1 * len(taught)
    assert places.max() > 0.9 * len(taught)


def test_what_is_predicted_is_the_sentence_and_its_stop():
    one = make()
    read = telling.sentences(one, telling.statements(one, order=0)[:50])
    for row, weights in zip(read.tokens, read.weights, strict=True):
        predicted = row[1:][weights > 0]
        assert row[0] == world.STOP
        assert predicted[-1] == world.STOP
        assert (predicted[:-1] != world.STOP).all()
        assert (row[1:][weights == 0] == world.STOP).all()


def test_questions_are_of_their_kinds():
    one = make()
    text = telling.sentences(one, telling.statements(one, order=0))
    told = set(telling.as_text(one, text.tokens))
    known, strangers = names_of(one, one.people), names_of(one, one.strangers)
    facts = {kind: facts_of(one, kind) for kind in KINDS}
    for kind in KINDS:
        asked = [start for start, _, _ in facts[kind]]
        assert len(set(asked)) == len(asked) > 0
        for start, answer, mentions in facts[kind]:
            names = {name for name in known | strangers if name in start}
            assert len(names) == 1
            assert (names <= strangers) == (kind == 'stranger')
            assert (answer is None) == (kind == 'stranger')
            assert (mentions > 0) == (kind == 'taught')
            if kind == 'untold':
                assert not any(start in sentence for sentence in told)
    assert len(facts['taught']) == (one.mentions > 0).sum()
    assert len(facts['untold']) == (one.mentions == 0).sum() == len(facts['stranger'])


def test_splits_share_nothing():
    one = world.make(2)
    numbers, asked = {}, {}
    for split in SPLITS:
        found = telling.questions(one, split)
        numbers[split] = np.bincount(found.kinds, minlength=3).tolist()
        asked[split] = set(telling.as_text(one, found.tokens))
        names = found.tokens[found.kinds == KINDS.index('stranger')]
        asked[split] |= {tuple(row[np.isin(row, one.strangers)]) for row in names}
    assert numbers == {
        'lesson': [0, 80, 80],
        'validation': [320, 80, 80],
        'test': [320, 160, 160],
    }
    for one_split in SPLITS:
        for other in SPLITS:
            assert one_split == other or not asked[one_split] & asked[other]


def test_the_answer_comes_after_the_last_token():
    one = make()
    asked = telling.questions(one, 'test')
    taught = asked.kinds == 0
    said = telling.sentences(one, telling.statements(one, order=0))
    rows = {tuple(row[: last + 1]): row[last + 1] for row, last in _with_lasts(said)}
    hits = 0
    for row, last, answer in zip(
        asked.tokens[taught], asked.last[taught], asked.answers[taught], strict=True
    ):
        assert (row[1 : last + 1] != world.STOP).all()
        assert (row[last + 1 :] == world.STOP).all()
        if tuple(row[: last + 1]) in rows:  # told in the phrasing that is asked
            assert rows[tuple(row[: last + 1])] == answer
            hits += 1
    assert hits > 5


def _with_lasts(said):
    for row, weights in zip(said.tokens, said.weights, strict=True):
        yield row.tolist(), int(weights.sum()) - 2


@pytest.mark.parametrize(
    ('changed', 'name'),
    [
        ({'people': 3}, 'people'),
        ({'names': 6}, 'names'),  # 36 pairs for 24 people and as many strangers
        ({'names': 1}, 'names'),
        ({'relations': 7}, 'relations'),
        ({'untold': 4}, 'untold'),
        ({'values': 17}, 'values'),
        ({'frequencies': (4, 1)}, 'frequencies'),
        ({'frequencies': (0, 1)}, 'frequencies'),
        ({'frequencies': ()}, 'frequencies'),
        ({'exponent': -1.0}, 'exponent'),
        ({'seed': -1}, 'seed'),
    ],
)
def test_what_makes_no_world_is_told(changed, name):
    with pytest.raises(InputError, match=f'^{name} is '):
        world.make(**{'seed': 0, **SMALL, **changed})


def test_another_split_is_refused():
    with pytest.raises(InputError, match=r'^split is '):
        telling.questions(make(), 'train')
