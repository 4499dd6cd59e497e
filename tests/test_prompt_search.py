"""A search among prompts: what is tried, the spread, and a score that nothing was chosen by."""

import itertools

import numpy as np
import pytest

from nlp_models.adaptation import prompt_search
from nlp_models.adaptation.examples import split_examples
from nlp_models.adaptation.in_context import Setting, Task, evaluate
from nlp_models.adaptation.prompt_search import Candidate, search_prompts, spread, variants
from nlp_models.adaptation.prompts import Template
from nlp_models.errors import InputError
from tests.induction import TOKENIZER, bias, examples, induction

WORDS = {digit: digit for digit in '0123'}
TEMPLATES = {
    # The induction model goes by the last two characters, of which the letter is one here, ...
    'plain': Template('{n}{q}={label}', words=WORDS, separator='\n'),
    # ... and here it is not: every question ends alike.
    'blind': Template('{n}{q}: ={label}', words=WORDS, separator='\n'),
}
QUERIES, POOL = examples(24, seed=1), examples(30, seed=2)


def test_all_is_tried_and_the_best_is_scored_on_what_it_was_not_chosen_by(monkeypatch):
    asked = []

    def evaluating(model, params, tokenizer, task, setting, **how):
        asked.append([each['n'] for each in task.queries])
        return evaluate(model, params, tokenizer, task, setting, **how)

    monkeypatch.setattr(prompt_search, 'evaluate', evaluating)
    settings = variants(Setting(shots=4), selections=('random', 'balanced'), orders=(0, 1))
    given = induction(), bias(), TOKENIZER
    found = search_prompts(*given, TEMPLATES, QUERIES, POOL, settings, share=0.5, seed=5)
    assert found.candidates == tuple(
        Candidate(*each) for each in itertools.product(TEMPLATES, settings)
    )
    assert len(found.results) == len(found.candidates) == 8

    inside, outside = split_examples(QUERIES, 0.5, ignore=('label',), seed=5)
    assert len(inside) == len(outside) == 12
    assert asked == [[each['n'] for each in inside]] * 8 + [[each['n'] for each in outside]]
    accuracies = [
        evaluate(*given, Task(TEMPLATES[name], inside, POOL), setting).accuracy
        for name, setting in found.candidates
    ]
    assert [result.accuracy for result in found.results] == accuracies
    assert found.spread.most == max(accuracies) == found.searched.accuracy == 1
    assert found.spread.least == min(accuracies) < 0.6
    assert found.spread.median == np.median(accuracies)
    assert found.spread.deviation == pytest.approx(np.std(accuracies, ddof=1))
    best = found.candidates[found.chosen]
    assert best.template == 'plain'
    assert found.searched == found.results[found.chosen]
    again = evaluate(*given, Task(TEMPLATES['plain'], outside, POOL), best.setting)
    assert found.held_out.accuracy == again.accuracy
    assert found.held_out.right.tolist() == again.right.tolist()


def test_of_equals_the_one_that_is_surer_is_chosen():
    # Both are right as often; the label words of one are further from what is said anyway.
    templates = {
        'unsure': Template('{n}{q}={label}', words={'0': 'x', '1': 'y'}, separator='\n'),
        'sure': Template('{n}{q}={label}', words={'0': 'v', '1': 'w'}, separator='\n'),
    }
    queries = [{'n': str(i), 'q': 'a', 'label': '0'} for i in range(6)]
    params = bias(x=1.0, v=2.0)
    found = search_prompts(induction(), params, TOKENIZER, templates, queries, [], [Setting()])
    assert [result.accuracy for result in found.results] == [1, 1]
    assert [result.margin for result in found.results] == pytest.approx([1, 2], rel=1e-5)
    assert found.chosen == 1
    assert found.spread.deviation == 0


def test_variants_are_all_that_make_a_difference():
    setting = Setting(shots=3, normalization='bytes')
    some = variants(setting, selections=('random', 'nearest'), seeds=(1, 2), orders=(0, 4))
    assert some == [
        setting._replace(selection=how, seed=seed, order=order)
        for how, seed, order in [
            ('random', 1, 0),
            ('random', 1, 4),
            ('random', 2, 0),
            ('random', 2, 4),
            ('nearest', 1, 0),
            ('nearest', 1, 4),
        ]
    ]
    one = variants(Setting(shots=1), seeds=(1, 2), orders=(0, 4))
    assert one == [Setting(shots=1, seed=1), Setting(shots=1, seed=2)]
    two = variants(Setting(shots=2), orders=range(5))
    assert two == [Setting(shots=2), Setting(shots=2, order=1)]
    assert variants(Setting(), selections=('random', 'balanced'), seeds=(0, 1, 2)) == [Setting()]


def test_the_spread_of_one():
    assert spread([0.25]) == (0.25, 0.25, 0.25, 0.0)


SETTINGS = [Setting()]


def test_searches_that_cannot_be():
    def refused(message, templates=TEMPLATES, queries=QUERIES, settings=SETTINGS, **how):
        with pytest.raises(InputError, match=message):
            search_prompts(
                induction(), bias(), TOKENIZER, templates, queries, POOL, settings, **how
            )

    refused('^share is 1.0: it must be above 0 and below 1', share=1.0)
    refused('^templates is {}: it must be one or more', templates={})
    refused(r'^settings is \[\]: it must be one or more', settings=())
    other = {**TEMPLATES, 'other': Template('{n} {q}', answer='q')}
    refused(r"^answers of the templates is \['label', 'q'\]: it must be one field", templates=other)
    refused('^1 questions, of which 0 are for the search, leave 1 held out', queries=QUERIES[:1])
