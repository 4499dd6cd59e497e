"""The study of gradients: its cells, its verdicts on made-up evidence, and a tiny run of it."""

import json
from typing import Any

import pytest

from configs.studies import base
from configs.studies import gradient_flow as config_file
from experiments.studies import gradient_flow, gradient_flow_verdicts
from nlp_models.analysis import study
from nlp_models.analysis.study import Evidence

SEEDS = 5


def spread(value: float) -> list[float]:
    """One value a seed, close to each other."""
    return [value * (1 + 0.01 * i) for i in range(SEEDS)]


def fit(rate: float, straight: float = 0.99, power: float = 0.8) -> dict[str, Any]:
    curve = [rate * k for k in range(1, 20)]
    fits = dict(fit=spread(straight), power_fit=spread(power))
    return dict(rate=spread(rate), **fits, curve=curve)


def made_up(**changes: Any) -> Evidence:
    """Evidence in which every claim holds, but for what is changed."""
    given: dict[str, Any] = dict(
        error=1e-9,  # of the instrument
        low=-0.5,  # slope of RNNs at every radius but the large ones
        high=-0.5,  # at those that are judged as large
        straight=0.99,
        alone=-0.5,  # what ∏ f′ predicts
        gated=-0.2,
        attention=0.0,
        bare=0.0,
        residual=-0.4,
        trained=-0.3,
        deep=0.1,  # loss of deep attention, and of deep recurrent stacks
        deep_recurrent=2.0,
        clipped=0.1,
        unclipped=0.5,
        raw=2.0,
        grown=0.2,
    )
    unknown = set(changes) - set(given)
    assert not unknown
    given |= changes
    config = config_file.get_config('standard')
    rows = []
    for cell in gradient_flow.grid(config):
        key = cell.key
        match key['what']:
            case 'instrument':
                value: Any = {'errors': spread(given['error'])}
            case 'steps' if key['family'] in gradient_flow_verdicts.RNNS:
                value = {
                    f'{std:g}': {
                        f'{r:g}': {
                            '': fit(given['high' if r > 1.3 else 'low'], given['straight']),
                            'largest': fit(given['alone']),
                            'typical': fit(given['alone']),
                        }
                        for r in config.radii
                    }
                    for std in config.input_stds
                }
            case 'steps':
                value = {f'{std:g}': {'1': {'': fit(given['gated'])}} for std in config.input_stds}
            case 'reach':
                kinds = {'attention_bare': 'bare'}
                kind = 'residual' if 'residual' in key['stack'] else 'attention'
                value = fit(given[kinds.get(key['stack'], kind)])
            case 'trained':
                rnn = key['family'].startswith('rnn')
                rate = given['trained'] if rnn else given['gated']
                after = {'loss': fit(given['attention']), 'steps': fit(rate)}
                value = {'after': after, 'before': after}
            case 'clipping':
                curve = {'steps': [1.0, 2.0, 3.0], 'values': [1.0, 0.5, 0.4]}
                value = {
                    'losses': spread(given['clipped' if key['clip'] else 'unclipped']),
                    'first_norms': spread(given['raw']),
                    'rate': spread(given['grown']),
                    'norm_curve': curve,
                    'loss_curve': curve,
                }
            case _:
                kind = 'deep' if key['stack'].startswith('attention') else 'deep_recurrent'
                value = {'losses': spread(0.1 if key['layers'] == 1 else given[kind])}
        rows.append({'key': key, 'value': value, 'seconds': 0.0})
    return Evidence('gradient_flow', json.loads(config.to_json()), rows, {})


def verdict(number: int, **changes: Any) -> dict[str, Any]:
    found = {v['claim']: v for v in gradient_flow_verdicts.judge(made_up(**changes))}
    assert list(found) == [0, 3, 4, 5, 6, 7, 8]
    return found[number]


@pytest.mark.parametrize(
    ('number', 'holds', 'fails', 'outcome'),
    [
        (0, {}, {'error': 1e-3}, 'refuted'),
        (3, {}, {'high': 0.2}, 'qualified'),
        (3, {}, {'straight': 0.7}, 'qualified'),
        (3, {}, dict(low=0.1, high=0.1, trained=0.1, straight=0.7), 'refuted'),
        (4, {'high': 0.3}, {}, 'qualified'),
        (4, {'high': 0.3}, {'high': 0.3, 'grown': -0.2}, 'qualified'),
        (4, {'high': 0.3}, dict(high=-1.0, unclipped=0.1, raw=0.5, grown=-0.2), 'refuted'),
        (5, {}, {'alone': -0.7}, 'refuted'),
        (5, {}, {'high': 0.1}, 'qualified'),
        (6, {}, {'gated': -0.01}, 'qualified'),
        (6, {}, {'gated': -0.9}, 'qualified'),
        (7, {}, {'bare': -0.4}, 'qualified'),
        (7, {}, dict(bare=-0.4, attention=-0.4), 'refuted'),
        (8, {}, {'deep_recurrent': 0.1}, 'refuted'),
        (8, {}, {'deep': 2.0}, 'refuted'),
    ],
)
def test_verdicts_follow_the_evidence(number, holds, fails, outcome):
    assert verdict(number, **holds)['verdict'] == 'supported'
    assert verdict(number, **fails)['verdict'] == outcome


def test_what_holds_is_named():
    found = verdict(3, high=0.2)
    assert 'tanh at radius 0.5' in found['condition']
    assert 'not for tanh at radius 2 (small inputs)' in found['condition']


@pytest.mark.parametrize('size', base.SIZES)
def test_cells_are_distinct_and_json(size):
    config = config_file.get_config(size)
    keys = [json.dumps(cell.key, sort_keys=True) for cell in gradient_flow.grid(config)]
    assert len(set(keys)) == len(keys)
    files = {claim.file for claim in gradient_flow.STUDY.claims}
    root = study.Path(study.__file__).parents[2]
    assert all((root / file).is_file() for file in files)


def test_pictures_of_made_up_evidence(tmp_path):
    evidence = made_up()
    study.write(gradient_flow.STUDY, evidence, tmp_path)
    names = {p.stem for p in tmp_path.glob('*.png')}
    assert names == {'gradient_by_distance', 'rate_by_radius', 'clipping', 'depth'}
    assert json.loads((tmp_path / 'verdicts.json').read_text())[0]['verdict'] == 'supported'


def test_deeper_stacks_are_not_tried_where_shallower_failed():
    config = config_file.get_config('quick')
    rows = [
        {
            'key': {'what': 'depth', 'stack': 'rnn', 'layers': 1},
            'value': {'losses': [2.0, 2.0]},
            'seconds': 0,
        }
    ]
    evidence = Evidence('gradient_flow', json.loads(config.to_json()), rows, {})
    key = {'what': 'depth', 'stack': 'rnn', 'layers': 4}
    assert gradient_flow.measure(config, key, evidence)['tried'] is False


def test_fresh_cells_are_measured():
    config = config_file.get_config('quick')
    config.update(length=8, sequences=1, seeds=(0, 1), radii=(0.5, 1.0), num_devices=1)
    for name in config.models:
        config.models[name].hidden_size = 4
    config.models.transformer.num_heads = 2
    empty = Evidence('gradient_flow', json.loads(config.to_json()), [], {})
    errors = gradient_flow.measure(config, {'what': 'instrument', 'weights': 'orthogonal'}, empty)[
        'errors'
    ]
    assert max(errors) < 1e-5
    found = gradient_flow.measure(config, {'what': 'steps', 'family': 'rnn_tanh'}, empty)['1']
    for radius in ('0.5', '1'):
        ours, product = found[radius][''], found[radius]['with_weights']
        assert ours['rate'] == pytest.approx(product['rate'], rel=1e-9)
    reach = gradient_flow.measure(config, {'what': 'reach', 'stack': 'attention_bare'}, empty)
    assert len(reach['curve']) == 8
