"""Verdicts on heads, masks and cross-attention can go either way; cells and pictures."""

import json

import jax
import numpy as np

from configs.studies import attention_parts as config_file
from experiments.studies import attention_parts
from experiments.studies.attention_parts import NAMES, STUDY, TASKS
from nlp_models.analysis import study
from nlp_models.analysis.study import Evidence

HEADS = (1, 4, 8)
PAIRS = 10


def made_up(differ=0.3, gain=0.1, leaks=0, found=1.0, attention=0.3):
    """Evidence with heads that differ and help, a mask that leaks, attention that helps."""
    config = config_file.get_config('standard').to_dict() | {'heads': HEADS}
    noise = np.random.default_rng(0).normal(0, 1e-3, 5)
    rows = []

    def add(key, value):
        rows.append({'key': key, 'value': value, 'seconds': 1.0})

    for causal in (True, False):
        for name in ('plain', 'chunked'):
            count = leaks if causal else found * PAIRS
            key = {'what': 'mask', 'attention': name, 'window': 0, 'scanned': False}
            value = {'gradients': count, 'bits': count, 'pairs': PAIRS}
            add(key | {'causal': causal}, value)
    for name in NAMES:
        score = 0.5 + (attention if name in attention_parts.WITHOUT else 0)
        value = {'scores': list(score + noise), 'exact': list(score + noise), 'parameters': 1000}
        add({'what': 'strings', 'writer': name}, value)
    for task in TASKS:
        for heads in HEADS:
            score = 0.4 + (gain if heads > 1 else 0) + noise * heads
            value = {'scores': list(score), 'trained': [], 'untrained': []}
            if heads > 1:
                value |= {'trained': list(0.1 + differ + noise), 'untrained': [0.1] * 5}
            add({'what': 'heads', 'task': task, 'heads': heads}, value)
    return Evidence('attention_parts', config, rows, {})


def verdicts_of(**made):
    return [v['verdict'] for v in STUDY.judge(made_up(**made))]


def test_verdicts_can_go_either_way():
    assert verdicts_of() == ['supported'] * 4
    assert verdicts_of(differ=0.01)[0] == 'refuted'
    assert verdicts_of(gain=0.0)[3] == 'refuted'
    assert verdicts_of(leaks=1)[1] == 'refuted'
    # A mask that holds is worth nothing where the instruments would not have found a leak.
    assert verdicts_of(found=0.5)[1] == 'inconclusive'
    assert verdicts_of(leaks=1, found=0.5)[1] == 'inconclusive'
    assert verdicts_of(attention=0.05)[2] == 'refuted'
    assert verdicts_of(differ=float('nan'))[0] == 'inconclusive'


def test_cells_are_distinct_and_can_be_written():
    for size in ('quick', 'standard', 'full'):
        keys = [json.dumps(cell.key) for cell in STUDY.grid(config_file.get_config(size))]
        assert len(set(keys)) == len(keys)
    config = config_file.get_config('standard')
    assert {1, config.several} <= set(config.heads)


def test_pictures_tell_the_numbers():
    heads, strings = STUDY.plot(made_up())
    assert '0.40 trained, 0.10 untrained' in heads.caption
    assert 'GRU, none 0.5' in strings.caption


def test_a_mask_is_measured_from_end_to_end(tmp_path, monkeypatch):
    config = config_file.get_config('quick')
    config.num_devices = 1
    config.masked.length = 8
    config.masked.model.update(hidden_size=8, num_layers=1)
    cells = [c for c in STUDY.grid(config) if c.key['what'] == 'mask' and not c.key['scanned']]
    cells = [c for c in cells if c.key['attention'] == 'plain']
    judged = lambda evidence: [  # noqa: E731
        attention_parts.verdicts.judge(
            STUDY.claims[1], attention_parts._judge_mask(evidence), evidence.thresholds
        )
    ]
    one = STUDY._replace(
        claims=STUDY.claims[1:2], grid=lambda c: cells, judge=judged, plot=lambda e: []
    )
    evidence = study.run(one, config, tmp_path)
    assert evidence.value(causal=True)['gradients'] == 0
    assert evidence.value(causal=False)['gradients'] == evidence.value(causal=True)['pairs'] == 28
    (verdict,) = json.loads((tmp_path / 'verdicts.json').read_text())
    assert verdict['verdict'] == 'supported'


def test_heads_are_measured():
    config = config_file.get_config('quick')
    config.update(num_devices=1, seeds=(0, 1), looked_at=2)
    config.decoder.update(hidden_size=8, num_layers=1)
    config.training.update(steps=2, chunk=2, batch_size=2, test_examples=4)
    value = STUDY.measure(
        config, {'what': 'heads', 'task': 'recall', 'heads': 2}, Evidence('', {}, [], {})
    )
    assert len(value['scores']) == len(value['trained']) == len(value['untrained']) == 2
    assert np.shape(value['layers']) == (2, 1)
    assert all(0 <= v <= 1 for v in value['trained'] + value['untrained'])
    assert jax.tree.leaves(json.loads(json.dumps(value)))
