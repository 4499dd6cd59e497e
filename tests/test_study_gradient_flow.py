"""The study of gradients: its cells, its verdicts on made-up evidence, and a tiny run of it."""

import json
import math
from typing import Any

import pytest

from configs.studies import base
from configs.studies import gradient_flow as config_file
from experiments.studies import gradient_flow, gradient_flow_claims, gradient_flow_verdicts
from nlp_models.analysis import study, verdicts
from nlp_models.analysis.study import Evidence

SEEDS = 5


def spread(value: float) -> list[float]:
    """One value a seed, close to each other."""
    return [value * (1 + 0.01 * i) for i in range(SEEDS)]


def fit(rate: float, straight: float = 0.99, power: float = 0.8) -> dict[str, Any]:
    curve = [rate * k for k in range(1, 20)]
    fits = dict(fit=spread(straight), power_fit=spread(power))
    return dict(rate=spread(rate), **fits, curve=curve)


def paths(given: dict[str, Any], family: str) -> dict[str, Any]:
    """Of a gated cell: the whole, and the blocks of an LSTM."""
    whole = fit(given['gated'])
    if family != 'lstm':
        return {'': whole}
    through = whole if given['through_c'] is None else fit(given['through_c'])
    return {'': whole, 'h to h': whole, 'C to C': through, 'C to h': whole, 'h to C': whole}


def made_up(**changes: Any) -> Evidence:
    """Evidence in which every claim holds, but for what is changed."""
    given: dict[str, Any] = dict(
        error=1e-9,  # of the instrument
        low=-0.5,  # slope of RNNs at every radius but the large ones
        high=-0.5,  # at those that are judged as large
        straight=0.99,
        alone=-0.5,  # what ∏ f′ predicts
        chain=0.0,  # by which ∏ diag(f′) W misses what is measured
        gated=-0.2,
        through_c=None,  # C to C of an LSTM, where it is another
        attention=0.0,
        bare=0.0,
        residual=-0.4,
        trained=-0.3,
        scores={},  # test accuracy of trained families that are not at 1, one a seed
        trained_attention=0.0,
        shallow={},  # loss of one layer of stacks that do not learn it
        deep=0.1,  # loss of deep attention, and of deep recurrent stacks
        deep_recurrent=2.0,
        deepest=2.0,  # of attention with the most layers; as `deep` where None
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
            case 'steps' | 'gaussian' if key['family'] in gradient_flow_claims.RNNS:
                value = {
                    f'{std:g}': {
                        f'{r:g}': {
                            '': fit(given['high' if r > 1.3 else 'low'], given['straight']),
                            'largest': fit(given['alone']),
                            'typical': fit(given['alone']),
                            'with_weights': fit(
                                given['high' if r > 1.3 else 'low'] + given['chain']
                            ),
                        }
                        for r in config['radii' if key['what'] == 'steps' else 'gaussian_radii']
                    }
                    for std in config.input_stds
                }
            case 'steps':
                value = {
                    f'{std:g}': {f'{r:g}': paths(given, key['family']) for r in config.radii}
                    for std in config.input_stds
                }
            case 'reach':
                kinds = {'attention_bare': 'bare'}
                kind = 'residual' if 'residual' in key['stack'] else 'attention'
                value = fit(given[kinds.get(key['stack'], kind)])
            case 'trained':
                family, after = key['family'], {'loss': fit(given['attention'])}
                if family == 'transformer':
                    after |= {'reach': fit(given['trained_attention'])}
                elif family in gradient_flow_claims.RNNS:
                    after |= {'steps': fit(given['trained'])}
                else:
                    after |= paths(given, family)
                    after['steps'] = after.pop('')
                scores = given['scores'].get(family, [1.0] * SEEDS)
                value = {'after': after, 'before': after, 'scores': scores}
            case 'clipping':
                curve = {'steps': [1.0, 2.0, 3.0], 'values': [1.0, 0.5, 0.4]}
                value = {
                    'losses': spread(given['clipped' if key['clip'] else 'unclipped']),
                    'diverged': 0,
                    'first_norms': spread(given['raw']),
                    'rate': spread(given['grown']),
                    'norm_curve': curve,
                    'loss_curve': curve,
                }
            case _:
                kind = 'deep' if key['stack'].startswith('attention') else 'deep_recurrent'
                loss = given['shallow'].get(key['stack'], 0.1)
                loss = loss if key['layers'] == 1 else given[kind]
                if kind == 'deep' and key['layers'] == 32 and given['deepest'] is not None:
                    loss = given['deepest']
                value = {'losses': spread(loss)}
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
        (6, {}, {'through_c': -0.01}, 'qualified'),
        (7, {}, {'trained_attention': -0.4}, 'qualified'),
        (5, {}, {'chain': 1e-3}, 'inconclusive'),
        (7, {}, {'bare': -0.4}, 'qualified'),
        (7, {}, dict(bare=-0.4, attention=-0.4, trained_attention=-0.4), 'refuted'),
        # Everything trains at every depth that was asked: who goes deeper is not known.
        (8, {}, dict(deep_recurrent=0.1, deepest=None), 'inconclusive'),
        (8, {}, {'deep_recurrent': 0.1}, 'refuted'),  # recurrence alone trains at the most layers
        (8, {'deepest': None}, {'deep': 2.0}, 'refuted'),
        (8, {}, dict.fromkeys(('deep', 'deep_recurrent'), 2.0), 'refuted'),
    ],
)
def test_verdicts_follow_the_evidence(number, holds, fails, outcome):
    assert verdict(number, **holds)['verdict'] == 'supported'
    assert verdict(number, **fails)['verdict'] == outcome


def test_what_holds_is_named():
    found = verdict(3, high=0.2)
    assert 'tanh at radius 0.5' in found['condition']
    assert 'not for tanh at radius 2 (small inputs)' in found['condition']


def test_the_instrument_that_fails_is_named():
    assert 'the instrument fails: ∏ diag(f′) W of tanh' in verdict(5, chain=1e-3)['note']
    assert not verdict(5)['criteria'][0]['control']  # tables show the first one


@pytest.mark.parametrize(
    ('number', 'family', 'left'), [(3, 'rnn_sigmoid', 1), (6, 'rnn_tanh', 3), (6, 'gru', 2)]
)
def test_what_was_not_learned_tells_nothing_of_trained_networks(number, family, left):
    scores = {family: [1.0, 1.0, 0.9, 0.2, 1.0]}
    found = verdict(number, scores=scores)
    open_ = [row for row in found['criteria'] if row['outcome'] == 'open']
    assert len(open_) == left
    assert all('2 of 5 seeds of' in row['note'] for row in open_)
    assert all('rained' in row['condition'] for row in open_)
    assert found['verdict'] == 'qualified'
    # Whatever was measured of it.
    assert verdict(number, scores=scores, trained=0.3)['verdict'] == 'qualified'
    assert verdict(7, scores={'transformer': [0.1] * SEEDS})['verdict'] == 'qualified'


def test_a_trained_network_that_diverged_is_told():
    found = verdict(3, scores={'rnn_tanh': [math.nan, 0.1, 1, 1, 1]}, trained=math.nan)
    assert (found['verdict'], found['note'][:8]) == ('inconclusive', 'diverged')


def test_nobody_is_deeper_than_what_trains_nowhere():
    found = verdict(8, shallow={'rnn': 2.0}, deep=2.0)
    rows = {row['condition']: row for row in found['criteria']}
    row = rows['attention with all parts against bare RNN']
    assert (row['estimate'], row['outcome']) == (1.0, 'open')
    assert row['note'] == '5 of 5 seeds of the other train at no depth'
    assert found['verdict'] == 'inconclusive'


@pytest.mark.parametrize(
    ('ours', 'theirs', 'outcome'),
    [
        ([5.0] * 5, [0.0] * 5, 'met'),  # 32 layers or more
        ([5.0, 0, 0, 0, 0], [0.0] * 5, 'open'),
        ([4.0] * 5, [4.0] * 5, 'failed'),
        ([5.0] * 5, [4.5] * 5, 'open'),
        ([5.0] * 5, [0.0, 0, 0, 0, 5], 'open'),
        ([2.0] * 5, [5.0] * 5, 'failed'),
        ([4.0] * 9, [0.0] * 8 + [5], 'open'),
        ([-1.0] * 5, [0.0] * 5, 'failed'),
        ([4.0] * 9 + [-1], [0.0] * 10, 'open'),
        ([4.0] * 5, [-1.0] + [0.0] * 4, 'open'),
    ],
)
def test_depths_at_the_ends_of_the_grid_are_bounds(ours, theirs, outcome):
    criterion = gradient_flow_verdicts._gain('a', ours, theirs, 5.0, 1.0)
    assert verdicts.outcome(criterion)['outcome'] == outcome


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
    assert names == {
        'gradient_by_distance',
        'carried_by_distance',
        'loss_by_distance',
        'rate_by_radius',
        'clipping',
        'depth',
    }
    captions = {picture.name: picture.caption for picture in gradient_flow.STUDY.plot(evidence)}
    assert captions['rate_by_radius'].count('has the measured slope to within 0. ') == 1
    assert 'LSTM, C to C -0.2' in captions['carried_by_distance']
    told = gradient_flow.STUDY.plot(made_up(chain=2e-3))[3].caption
    assert 'has the measured slope to within 0.002.' in told
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
    found = gradient_flow.measure(config, {'what': 'gaussian', 'family': 'rnn_tanh'}, empty)['1']
    assert list(found) == ['1']
    assert found['1']['']['rate'] == pytest.approx(found['1']['with_weights']['rate'], rel=1e-9)
    found = gradient_flow.measure(config, {'what': 'steps', 'family': 'lstm'}, empty)['1']
    assert list(found) == ['0.5', '1']
    assert set(found['0.5']) == {'', 'h to h', 'C to C', 'C to h', 'h to C'}
    reach = gradient_flow.measure(config, {'what': 'reach', 'stack': 'attention_bare'}, empty)
    assert len(reach['curve']) == 8


def tiny() -> Any:
    config = config_file.get_config('quick')
    config.update(length=8, sequences=1, seeds=(0, 1), num_devices=1)
    for name in config.models:
        config.models[name].hidden_size = 4
    config.models.transformer.num_heads = 2
    config.trained.training.update(batch_size=4, steps=2, chunk=2, test_examples=8)
    config.clipping.update(batch_size=2, steps=20)
    return config


@pytest.mark.parametrize('family', ['lstm', 'transformer'])
def test_trained_networks_are_measured_before_and_after(family):
    config = tiny()
    empty = Evidence('gradient_flow', json.loads(config.to_json()), [], {})
    found = gradient_flow.measure(config, {'what': 'trained', 'family': family}, empty)
    assert len(found['scores']) == 2
    more = {'reach'} if family == 'transformer' else {'steps', 'C to C', 'h to h'}
    for when in ('before', 'after'):
        assert {'loss', *more} <= set(found[when])
        assert all(len(one['curve']) == 8 for one in found[when].values())
    name = 'reach' if family == 'transformer' else 'C to C'
    assert found['before'][name]['rate'] != found['after'][name]['rate']


def test_a_run_that_diverged_counts_as_guessing():
    config = tiny()
    config.clipping.optimizer.name = 'sgd'
    empty = Evidence('gradient_flow', json.loads(config.to_json()), [], {})
    key = {'what': 'clipping', 'clip': 0.0, 'learning_rate': 1e38}
    found = gradient_flow.measure(config, key, empty)
    assert found['diverged'] == 2
    assert found['losses'] == pytest.approx([math.log(2)] * 2)  # of two kinds of brackets
    assert all(math.isnan(rate) for rate in found['rate'])
