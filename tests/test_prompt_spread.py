"""What hangs on the prompt: the gap against brute force and closed forms; agreement of verbs."""

import itertools

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict

from configs.studies import base
from nlp_models import models
from nlp_models.adaptation import in_context
from nlp_models.adaptation.in_context import Setting, Task
from nlp_models.analysis import prompt_spread
from nlp_models.data import tokenizers
from nlp_models.data.synthetic import agreement
from nlp_models.errors import InputError


def test_ways_that_are_alike_have_no_gap_in_the_mean():
    rng = np.random.default_rng(0)
    gaps, naive = [], []
    for _ in range(200):
        right = rng.random((8, 60)) < 0.6
        gaps.append(prompt_spread.gap(right, np.arange(60) % 2))
        naive.append(np.ptp(right.mean(axis=1)))
    assert abs(np.mean(gaps)) < 3 * np.std(gaps) / np.sqrt(200) + 0.005
    assert np.mean(naive) > 0.1  # what the plain difference would say


def test_who_always_says_the_same_is_no_better_than_who_says_the_other():
    wanted = np.arange(40) % 2
    right = np.stack([wanted == 0, wanted == 1])
    assert prompt_spread.gap(right, wanted) == 0


def test_a_gap_that_is_there_is_found():
    rng = np.random.default_rng(1)
    right = rng.random((5, 4000)) < np.array([0.9, 0.6, 0.6, 0.6, 0.5])[:, None]
    assert prompt_spread.gap(right, np.zeros(4000, int)) == pytest.approx(0.4, abs=0.04)
    same = np.tile(rng.random(10) < 0.5, (3, 1))
    assert prompt_spread.gap(same, np.zeros(10, int)) == 0
    sure = np.array([[1] * 10, [0] * 10], bool)
    assert prompt_spread.gap(sure, np.arange(10) % 2) == 1


def test_changed_is_the_mean_over_pairs():
    said = np.random.default_rng(2).integers(3, size=(4, 7))
    pairs = itertools.combinations(said, 2)
    want = np.mean([sum(a != b for a, b in zip(x, y, strict=True)) / 7 for x, y in pairs])
    assert prompt_spread.changed(said) == pytest.approx(want)
    assert prompt_spread.changed(np.tile(said[:1], (3, 1))) == 0


def test_ways_differ_in_one_thing():
    words = [{'one': 'is', 'many': 'are'}, {'one': 'was', 'many': 'were'}]
    setting = Setting(shots=3, normalization='tokens')
    ways = prompt_spread.ways_by_factor(
        ('{text} {label}', '- {text} {label}'), words, setting, separator=' ', orders=6, draws=3
    )
    assert {name: len(each) for name, each in ways.items()} == {
        'template': 2, 'words': 2, 'order': 6, 'draw': 3
    }  # fmt: skip
    first = ways['template'][0]
    assert all(each[0] == first for each in ways.values())
    for name, each in ways.items():
        for way in each:
            assert (way.template.text == first.template.text) or name == 'template'
            assert (way.template.words == first.template.words) or name == 'words'
            assert (way.setting.order == 0) or name == 'order'
            assert (way.setting.seed == 0) or name == 'draw'
            assert way.setting._replace(order=0, seed=0) == setting


def test_answers_are_those_of_the_library():
    shown, asked = agreement.deal_nouns(8)
    asked = asked[:6]
    tokenizer = tokenizers.learn_tokenizer('bytes', [], 0)
    group = ConfigDict(base.model('gru', hidden_size=8))
    model = models.build_language_model(group, vocab_size=tokenizer.vocab_size, max_length=256)
    params = model.init(jax.random.key(0))
    words = [{'one': 'is', 'many': 'are'}]
    ways = prompt_spread.ways_by_factor(
        ('{text} {label}', 'If {text} {label}'), words, Setting(shots=2), separator='. ',
        orders=2, draws=2,
    )['template']  # fmt: skip
    found = prompt_spread.over_models(
        lambda i: prompt_spread.ask(model, params, tokenizer, ways, asked, shown), 2
    )
    alone = [
        in_context.evaluate(model, params, tokenizer, Task(t, asked, shown), s) for t, s in ways
    ]
    assert found['accuracies'] == [[result.accuracy for result in alone]] * 2
    differ = np.mean([a != b for a, b in zip(*(r.predictions for r in alone), strict=True)])
    assert found['changed'] == [differ] * 2


def test_agreement_is_balanced_and_no_noun_is_on_both_sides():
    for every in (2, 4):
        shown, asked = agreement.deal_nouns(every)
        nouns = [{each['text'].split()[1].removesuffix('s') for each in part}
                 for part in (shown, asked)]  # fmt: skip
        assert not nouns[0] & nouns[1]
        for part in (shown, asked):
            labels = [each['label'] for each in part]
            assert labels.count('one') == labels.count('many') == len(part) / 2
            for each in part:
                assert each['text'].endswith('s') == (each['label'] == 'many')
    assert len(set(agreement.NOUNS)) == len(agreement.NOUNS)
    assert not any(noun.endswith('s') for noun in agreement.NOUNS)


def test_what_cannot_be_is_told():
    with pytest.raises(InputError, match=r'^ways is 1: it must be at least 2'):
        prompt_spread.gap(np.ones((1, 4), bool), np.zeros(4, int))
    with pytest.raises(InputError, match=r'^questions is 1: it must be at least 2'):
        prompt_spread.gap(np.ones((2, 1), bool), np.zeros(1, int))
    with pytest.raises(InputError, match=r'^ways is 1: it must be at least 2'):
        prompt_spread.changed(np.ones((1, 4), int))
    with pytest.raises(InputError, match=r'^every is 1: it must be at least 2'):
        agreement.deal_nouns(1)
    with pytest.raises(InputError, match=r'^nouns is \[\]: it must be one or more'):
        agreement.agreement([])
