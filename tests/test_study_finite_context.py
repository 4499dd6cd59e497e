"""Verdicts on fixed contexts can go either way, and a small study runs from end to end."""

import json

import numpy as np
import pytest

from configs.studies import finite_context as config_file
from experiments.studies.finite_context import STUDY
from nlp_models.analysis import study
from nlp_models.analysis.study import Evidence

CHANCE = 1 / 8


def made_up(knows, recurrent=0.97, windowed=lambda d, reach: 1.0 if d <= reach else CHANCE):
    """Evidence in which n-grams have the accuracy `knows(distance, order)`."""
    config = config_file.get_config('standard')
    noise = np.random.default_rng(0)

    def seeds(mean):
        return (mean + noise.normal(0, 0.003, 5)).tolist()

    rows = []
    for order in config.ngram.orders:
        scores = {str(d): seeds(knows(d, order)) for d in config.ngram.distances}
        rows.append(({'what': 'ngram', 'order': order}, {'accuracy': scores}))
    for name, reach in (('one_layer', 6), ('two_layers', 7)):
        rows.append(({'what': 'reach', 'model': name}, {'reach': reach, 'expected': reach}))
    for name in config.network.recurrent:
        scores = {str(d): seeds(recurrent) for d in config.network.distances}
        key = {'what': 'network', 'kind': 'recurrent', 'model': name}
        rows.append((key, {'accuracy': scores}))
    for name, reach in (('one_layer', 6), ('two_layers', 7)):
        scores = {str(d): seeds(windowed(d, reach)) for d in config.network.distances}
        key = {'what': 'network', 'kind': 'windowed', 'model': name}
        rows.append((key, {'accuracy': scores}))
    cells = [{'key': key, 'value': value, 'seconds': 1.0} for key, value in rows]
    return Evidence('finite_context', json.loads(config.to_json()), cells, {})


def verdicts_of(*arguments, **named):
    return [v['verdict'] for v in STUDY.judge(made_up(*arguments, **named))]


def to_order(d, n):
    return 1.0 if d < n else CHANCE


def test_what_the_tutorial_says_is_supported():
    assert verdicts_of(to_order) == ['supported'] * 3


def test_an_ngram_that_leaks_or_is_lazy_counts_against_the_claim():
    assert verdicts_of(lambda d, n: 1.0 if d <= n else CHANCE)[0] == 'qualified'
    assert verdicts_of(lambda d, n: 1.0)[0] == 'refuted'
    # A model that knows nothing at all is at chance beyond its order, too.
    assert verdicts_of(lambda d, n: CHANCE)[0] == 'inconclusive'


def test_states_that_end_refute_the_second_claim():
    assert verdicts_of(to_order, recurrent=CHANCE)[1] == 'refuted'


def test_a_window_that_knows_more_than_it_reaches_is_told():
    assert verdicts_of(to_order, windowed=lambda d, reach: 1.0)[2] == 'qualified'


def test_pictures_tell_their_numbers():
    ngrams, networks = STUDY.plot(made_up(to_order))
    assert 'order 2: 1.0' in ngrams.caption or 'order 2: 0.99' in ngrams.caption
    assert 'At 32 tokens: ' in networks.caption
    assert 'RNN 0.9' in networks.caption


def test_a_small_study_runs_to_its_end(tmp_path):
    config = config_file.get_config('quick')
    config.update(seeds=(0, 1), num_devices=1)
    config.ngram.update(orders=(2, 3), distances=(1, 2, 3, 4), examples=400)
    config.network.update(distances=(6, 7, 8), beyond=(8,))
    config.network.training.update(
        steps=4, windowed_steps=2, chunk=2, batch_size=4, test_examples=60, learning_rates=(3e-3,)
    )
    del config.network.recurrent['lstm'], config.network.recurrent['rnn']
    evidence = study.run(STUDY, config, tmp_path)
    scores = evidence.value(what='ngram', order=3)['accuracy']
    assert min(scores['2']) > 0.9
    # At chance beyond the order: 400 answers of each of two seeds, four standard errors.
    for distance in ('3', '4'):
        assert np.mean(scores[distance]) == pytest.approx(CHANCE, abs=0.05)
    assert evidence.value(what='reach', model='two_layers') == {'reach': 7, 'expected': 7}
    assert {'ngrams.png', 'networks.png', 'verdicts.json'} <= {p.name for p in tmp_path.iterdir()}


@pytest.mark.parametrize('size', ['quick', 'standard', 'full'])
def test_every_size_has_its_cells(size):
    cells = STUDY.grid(config_file.get_config(size))
    assert len({json.dumps(cell.key) for cell in cells}) == len(cells)
