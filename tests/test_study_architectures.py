"""Verdicts on encoders and decoders can go either way; cells, pictures, one cell of each kind."""

import json

import numpy as np
import pytest

from configs.studies import architectures as config_file
from experiments.studies import architectures
from experiments.studies.architectures import BOTH, EMBEDDERS, STUDY
from nlp_models.analysis import study
from nlp_models.analysis.study import Evidence

NOISE = np.random.default_rng(0).normal(0, 1e-3, 5)


def made_up(encoder=0.05, decoder=0.0, cost=0.8, kinds=17):
    """Evidence with an encoder ahead in vectors, a decoder ahead in strings, and its costs."""
    config = config_file.get_config('standard').to_dict()
    rows = []
    shared = {'parameters': 1000, 'steps': 10, 'flops': 1e9}
    for i, (kind, pooling) in enumerate(EMBEDDERS):
        score = (0.1 + (encoder if kind == 'encoder' else 0) + np.roll(NOISE, i)).tolist()
        value = shared | {'reciprocal_rank': score, 'recall': score, 'candidates': 10}
        key = {'what': 'embedding', 'kind': kind, 'pooling': pooling}
        rows.append({'key': key, 'value': value, 'seconds': 1.0})
    for rule in config['rules']:
        for i, writer in enumerate(('decoder', *BOTH)):
            alone = writer == 'decoder'
            exact = (0.5 + (decoder if alone else 0) + np.roll(NOISE, i)).tolist()
            count = 1000.0 * (cost if alone else 1)
            value = shared | {'exact': exact, 'writing': count, 'reading': count}
            value |= {'state_bytes': count, 'kinds': kinds if alone else 40}
            key = {'what': 'strings', 'rule': rule, 'writer': writer}
            rows.append({'key': key, 'value': value, 'seconds': 1.0})
    return Evidence('architectures', config, rows, {})


def verdicts_of(**made):
    return [v['verdict'] for v in STUDY.judge(made_up(**made))]


def test_verdicts_can_go_either_way():
    assert verdicts_of() == ['supported', 'supported']
    assert verdicts_of(encoder=0.0)[0] == 'refuted'
    assert verdicts_of(encoder=float('nan'))[0] == 'inconclusive'
    assert verdicts_of(decoder=-0.2)[1] == 'qualified'
    assert verdicts_of(cost=1.5)[1] == 'qualified'
    assert verdicts_of(decoder=-0.2, cost=1.5, kinds=39)[1] == 'refuted'


def test_cells_are_distinct_and_can_be_written():
    for size in ('quick', 'standard', 'full'):
        keys = [json.dumps(cell.key) for cell in STUDY.grid(config_file.get_config(size))]
        assert len(set(keys)) == len(keys)


def test_pictures_tell_the_numbers():
    embeddings, generation = STUDY.plot(made_up())
    assert 'encoder, mean 0.15' in embeddings.caption
    assert 'Guessing comes to 0.293' in embeddings.caption  # (1 + 1/2 + … + 1/10) / 10
    assert '800 FLOPs a written token' in generation.caption
    assert '17 kinds' in generation.caption


def test_strings_are_measured_at_equal_operations(tmp_path):
    config = config_file.get_config('quick')
    config.update(num_devices=1, seeds=(0,))
    config.writing.update(steps=40, chunk=1, batch_size=2, test_examples=4)
    config.strings.update(min_length=2, max_length=3)
    for group in config.writers.values():
        group.hidden_size = 8
    config.writers.halves.feed_forward_size = 24
    rules = STUDY.grid(config)
    cells = [cell for cell in rules if cell.key.get('writer') in ('decoder', 'halves')]
    one = STUDY._replace(claims=(), grid=lambda c: cells, judge=lambda e: [], plot=lambda e: [])
    evidence = study.run(one, config, tmp_path)
    decoder, halves = (evidence.value(writer=name) for name in ('decoder', 'halves'))
    assert decoder['steps'] == 40
    # As near as whole steps come: half a step of about 80.
    assert halves['flops'] == pytest.approx(decoder['flops'], rel=0.01)
    assert halves['steps'] > decoder['steps']
    assert decoder['kinds'] < halves['kinds']
    assert (tmp_path / 'evidence.json').is_file()


def test_vectors_are_measured_on_real_pairs(monkeypatch):
    config = config_file.get_config('quick')
    config.update(num_devices=1, seeds=(0,))
    config.embedding.update(steps=2, chunk=1, batch_size=4, sequence_length=8)
    for group in config.embedders.values():
        group.update(hidden_size=8, num_layers=1)
    config.pairs.update(tokenizer='bytes')  # nothing to be learned
    key = {'what': 'embedding', 'kind': 'decoder', 'pooling': 'last'}
    value = architectures.measure(config, key, Evidence('', {}, [], {}))
    assert value['candidates'] > 100
    assert 0 < value['reciprocal_rank'][0] < 1
    assert value['steps'] == 2
    assert json.dumps(value)
