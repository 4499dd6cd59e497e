"""Laws that were put in come out, the best of each budget is picked, verdicts can go either way.

What diverged is told in verdicts and captions, and never stops a study.
"""

import json
import math

import numpy as np
import pytest
from ml_collections import ConfigDict

from configs.studies import scaling as config_file
from experiments.studies import scaling as scaling_study
from experiments.studies.scaling import STUDY
from nlp_models import costs
from nlp_models.analysis import scaling, study
from nlp_models.analysis.study import Evidence
from nlp_models.data.store import Dataset
from nlp_models.data.tokenizers import learn_tokenizer
from nlp_models.errors import InputError


def test_a_power_law_is_found_again():
    flops = [1e6, 3e6, 1e8, 5e9]
    law = scaling.power_law(flops, [7.0 * c**-0.07 for c in flops])
    assert law.exponent == pytest.approx(-0.07, rel=1e-9)
    assert law.scale == pytest.approx(7.0, rel=1e-9)
    assert law.residual < 1e-9
    bent = scaling.power_law(flops, [7.0, 5.0, 4.9, 1.0])
    assert bent.residual > 0.2


def test_the_frontier_is_the_best_of_what_a_budget_pays_for():
    small = scaling.Curve('small', np.array([1.0, 10.0]), np.array([[4.0, 3.0], [4.2, 3.2]]))
    large = scaling.Curve('large', np.array([5.0, 50.0]), np.array([[5.0, 2.0], [5.0, 2.2]]))
    lost = scaling.Curve('lost', np.array([1.0, 10.0]), np.full((2, 2), np.nan))
    found = scaling.frontier([small, large, lost], [0.5, 1.0, math.sqrt(10), 20.0, 1000.0])
    assert {budget: name for budget, (name, _) in found.items()} == {
        1.0: 'small',
        math.sqrt(10): 'small',
        20.0: 'small',
        1000.0: 'large',
    }
    np.testing.assert_allclose(found[math.sqrt(10)][1], [3.5, 3.7])
    np.testing.assert_allclose(found[20.0][1], [3.0, 3.2])  # it has ended: the rest is not spent
    np.testing.assert_allclose(found[1000.0][1], [2.0, 2.2])
    budgets = scaling.budgets_between([[small], [large]], 3)
    np.testing.assert_allclose(budgets, [5.0, math.sqrt(50), 10.0])


def test_flops_are_those_of_the_products():
    # An LSTM step: x U and h W, then the head; 2 a multiplication with its addition, 3 passes.
    lstm = ConfigDict(dict(family='lstm', hidden_size=5, embed_size=3, num_layers=2))
    tokens, products = 2 * 7, (3 * 20 + 5 * 20) + (5 * 20 + 5 * 20) + 5 * 11
    found = scaling.training_flops(lstm, batch_size=2, length=7, vocab_size=11)
    assert found == 3 * 2 * tokens * products
    transformer = config_file.get_config('quick').models.transformer
    transformer.hidden_size = 8
    found = scaling.training_flops(transformer, batch_size=2, length=7, vocab_size=11)
    attended = 2 * 2 * (7 * 8 // 2) * 8
    layer = 2 * (tokens * (4 * 64 + 2 * 8 * 32) + attended)
    assert found == 3 * (2 * layer + 2 * tokens * 8 * 11)
    assert found == costs.transformer_flops(2, 7, width=8, num_layers=2, vocab_size=11)


def test_laws_are_fitted_seed_by_seed():
    sizes = [1e3, 1e4, 1e6]
    points = {n: np.array([5 * n**-0.1, 6 * n**-0.2, np.nan if n > 1e5 else 1.0]) for n in sizes}
    first, second, lost = scaling.laws(points)
    assert (first.exponent, second.exponent) == pytest.approx((-0.1, -0.2), rel=1e-9)
    assert (first.scale, second.scale) == pytest.approx((5, 6), rel=1e-9)
    assert all(math.isnan(value) for value in lost)


def test_the_best_has_no_diverged_run_if_any_has_none():
    nan = math.nan
    assert scaling.best({'a': [2.0, 2.2], 'b': [1.9, 2.0], 'c': [1.0, nan]})[0] == 'b'
    name, losses = scaling.best({'a': [nan, nan], 'b': [3.0, nan], 'c': [2.0, math.inf]})
    assert name == 'c'
    assert losses[0] == 2.0
    assert scaling.best({'a': [nan, nan]})[0] == 'a'


def test_a_budget_that_only_diverged_runs_pay_for_has_their_losses():
    lost = scaling.Curve('lost', np.array([1.0, 10.0]), np.array([[4.0, 3.0], [np.nan] * 2]))
    late = scaling.Curve('late', np.array([5.0, 50.0]), np.array([[5.0, 4.0], [5.0, 4.0]]))
    found = scaling.frontier([lost, late], [1.0, 5.0])
    assert [name for name, _ in found.values()] == ['lost', 'late']
    np.testing.assert_array_equal(found[1.0][1], [4.0, np.nan])


def made_up(exponents, factor=1.0, noise=0.0):
    """Evidence in which each family's losses are powers of what was spent, and of its size."""
    config = config_file.get_config('standard')
    rng, rows = np.random.default_rng(0), []
    for width in (16, 32, 64):
        for family, exponent in exponents.items():
            step = 1e6 * width**2
            flops = step * config.chunk * (np.arange(10) + 0.5)
            scale = factor if family == 'transformer' else 1.0
            losses = scale * 50 * flops**exponent * np.exp(rng.normal(0, noise, (5, 10)))
            held_out = scale * 5 * float(width**2) ** exponent * np.exp(rng.normal(0, noise, 5))
            value = {
                'parameters': width**2,
                'step_flops': step,
                'losses': {'0.1': losses.tolist()},
                'held_out': {'0.1': held_out.tolist()},
                'train_tokens': 100_000,
            }
            rows.append({'key': {'family': family, 'width': width}, 'value': value, 'seconds': 1.0})
    return Evidence('scaling', config.to_dict(), rows, {})


def verdicts_of(*arguments, **named):
    return [v['verdict'] for v in STUDY.judge(made_up(*arguments, **named))]


def test_verdicts_can_go_either_way():
    falling = {'lstm': -0.1, 'transformer': -0.1}
    yes, no = 'supported', 'refuted'
    assert verdicts_of(falling, factor=0.8, noise=1e-3) == [yes, yes, yes]
    assert verdicts_of(falling, factor=1.2, noise=1e-3) == [yes, no, yes]
    assert verdicts_of({'lstm': -0.1, 'transformer': -0.13}, factor=2.1, noise=1e-3)[1] == (
        'qualified'
    )
    assert verdicts_of({'lstm': 0.01, 'transformer': 0.01}, noise=0.5)[0] != 'supported'
    one = {'lstm': -0.03, 'transformer': -0.1}  # −0.03 is enough of compute, not of parameters
    assert verdicts_of(one, noise=1e-4)[::2] == [yes, 'qualified']
    rising = {'lstm': 0.05, 'transformer': 0.05}
    assert STUDY.judge(made_up(rising, noise=1e-4))[2]['condition'] == (
        'holds for fit, LSTM, fit, transformer; not for exponent, LSTM, exponent, transformer'
    )


def test_parameters_are_judged_by_the_best_rate_on_held_out_text():
    evidence = made_up({'lstm': -0.1, 'transformer': -0.1}, noise=1e-3)
    for row in evidence.rows:
        good = row['value']['held_out']['0.1']
        # The lowest training loss of all, and the worst on held-out text.
        row['value']['held_out'] = {'0.01': [9.0] * 5, '0.1': good, '1': [*good[:4], math.nan]}
        row['value']['losses']['0.01'] = np.full((5, 10), 1e-3).tolist()
    found = STUDY.judge(evidence)[2]
    assert found['verdict'] == 'supported'
    assert found['estimate'] == pytest.approx(-0.1, abs=1e-2)
    assert found['interval'][0] < -0.1 < found['interval'][1]


def test_what_diverged_is_told(tmp_path):
    falling = {'lstm': -0.1, 'transformer': -0.1}
    evidence = made_up(falling, factor=0.8, noise=1e-3)
    for _, value in evidence.select(family='lstm'):  # every run of a family
        value['losses'] = {'0.1': np.full((5, 10), np.nan).tolist()}
        value['held_out'] = {'0.1': [math.nan] * 5}
    study.write(STUDY, evidence, tmp_path)
    found = json.loads((tmp_path / 'verdicts.json').read_text())
    for one, condition in zip(found, ('exponent, LSTM', ' FLOP', 'exponent, LSTM'), strict=True):
        assert one['verdict'] == 'inconclusive'
        assert 'diverged: 5 of 5 runs of' in one['note']
        assert condition in one['note']
    (picture,) = STUDY.plot(evidence)
    assert 'LSTM diverged, transformer -0.100' in picture.caption
    assert '3 of 6 curves diverged' in picture.caption

    for _, value in evidence.select():  # every run there is
        value['losses'] = {'0.1': np.full((5, 10), np.nan).tolist()}
        value['held_out'] = {'0.1': [math.nan] * 5}
    study.write(STUDY, evidence, tmp_path)
    (picture,) = STUDY.plot(evidence)
    assert '6 of 6 curves diverged' in picture.caption


def test_one_seed_that_diverged_is_told():
    falling = {'lstm': -0.1, 'transformer': -0.1}
    evidence = made_up(falling, factor=0.8, noise=1e-3)
    for key, value in evidence.select(family='lstm'):  # at the one rate there is
        value['held_out']['0.1'][2] = math.nan
        if key['width'] == 16:  # alone pays for the smallest budget
            value['losses']['0.1'][2] = [math.nan] * 10
    found = STUDY.judge(evidence)
    assert [one['verdict'] for one in found] == ['inconclusive'] * 3
    assert all('diverged: 1 of 5 runs of' in one['note'] for one in found)
    (picture,) = STUDY.plot(evidence)
    assert '1 of 6 curves diverged' in picture.caption

    evidence = made_up(falling, factor=0.8, noise=1e-3)
    for _, value in evidence.select():  # at one rate of two: the other is picked
        value['losses']['1'] = [[1e-3] * 10] * 4 + [[math.nan] * 10]
        value['held_out']['1'] = [1e-3] * 4 + [math.nan]
    assert [one['verdict'] for one in STUDY.judge(evidence)] == ['supported'] * 3
    (picture,) = STUDY.plot(evidence)
    assert '6 of 12 curves diverged' in picture.caption


def test_the_law_is_drawn_and_its_numbers_told():
    (picture,) = STUDY.plot(made_up({'lstm': -0.1, 'transformer': -0.2}, noise=1e-3))
    assert picture.caption.count('LSTM -0.100, transformer -0.200') == 2  # compute, parameters
    assert picture.caption.count('(95 % of 5 seeds: ± 0.00') == 2
    assert '256 to 4.1k parameters' in picture.caption
    assert 'reads 614k tokens, which is 6.1 times the training text' in picture.caption
    assert 'None of 6 curves diverged' in picture.caption
    upper, lower = picture.figure.axes
    assert upper.get_ylabel() == 'training loss, nats a byte'
    assert (lower.get_xlabel(), lower.get_xscale()) == ('parameters', 'log')
    assert np.sort(lower.lines[0].get_xdata()).tolist() == [256, 1024, 4096]


def test_every_size_has_its_cells():
    for size in ('quick', 'standard', 'full'):
        config = config_file.get_config(size)
        cells = STUDY.grid(config)
        assert len({str(cell.key) for cell in cells}) == len(cells) == 2 * len(config.widths)
        assert config.steps % config.chunk == 0
    config.widths = (64, 128)
    with pytest.raises(InputError, match='widths'):
        STUDY.grid(config)


def test_held_out_text_is_read_after_training(monkeypatch):
    random = np.random.default_rng(0)
    tokenizer = learn_tokenizer('bytes', [], 0)
    texts = {part: random.integers(97, 101, 300).astype(np.uint8) for part in ('train', 'test')}
    validation = np.repeat(np.arange(200, 202, dtype=np.uint8), 100)  # other bytes than in training
    dataset = Dataset('made up', '1', '', tokenizer, validation=validation, **texts)
    monkeypatch.setattr(scaling_study.datasets, 'load_once', lambda load, data: dataset)
    config = config_file.get_config('quick')
    config.update(batch_size=4, sequence_length=8, held_out_batches=3)
    config.update(steps=40, chunk=20, learning_rates=(3e-2, 1e30))
    found = STUDY.measure(config, {'family': 'lstm', 'width': 8}, made_up({}))
    assert found['train_tokens'] == 300
    good, lost = found['losses'].values()
    assert np.shape(good) == np.shape(lost) == (2, 2)
    # Training has taught that there are four bytes, and so that these two do not come.
    assert np.mean(good) < math.log(256) < np.min(found['held_out']['0.03'])
    assert np.isnan(lost).all()
    assert np.isnan(found['held_out']['1e+30']).all()
    config.held_out_batches = 6  # 24 windows of 8, where 199 predictions leave room for 23
    with pytest.raises(InputError, match='at most 5'):
        STUDY.measure(config, {'family': 'lstm', 'width': 8}, made_up({}))
