"""Laws that were put in come out, the best of each budget is picked, verdicts can go either way."""

import math

import numpy as np
import pytest
from ml_collections import ConfigDict

from configs.studies import scaling as config_file
from experiments.studies.scaling import STUDY
from nlp_models import costs
from nlp_models.analysis import scaling
from nlp_models.analysis.study import Evidence


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


def made_up(exponents, factor=1.0, noise=0.0):
    """Evidence in which each family's loss is a power of what was spent."""
    config = config_file.get_config('standard')
    rng, rows = np.random.default_rng(0), []
    for width in (16, 32):
        for family, exponent in exponents.items():
            step = 1e6 * width**2
            flops = step * config.chunk * (np.arange(10) + 0.5)
            scale = factor if family == 'transformer' else 1.0
            losses = scale * 50 * flops**exponent * np.exp(rng.normal(0, noise, (5, 10)))
            value = {'parameters': width**2, 'step_flops': step, 'losses': {'0.1': losses.tolist()}}
            rows.append({'key': {'family': family, 'width': width}, 'value': value, 'seconds': 1.0})
    return Evidence('scaling', config.to_dict(), rows, {})


def verdicts_of(*arguments, **named):
    return [v['verdict'] for v in STUDY.judge(made_up(*arguments, **named))]


def test_verdicts_can_go_either_way():
    falling = {'lstm': -0.1, 'transformer': -0.1}
    assert verdicts_of(falling, factor=0.8, noise=1e-3) == ['supported', 'supported']
    assert verdicts_of(falling, factor=1.2, noise=1e-3) == ['supported', 'refuted']
    assert verdicts_of({'lstm': -0.1, 'transformer': -0.13}, factor=2.1, noise=1e-3)[1] == (
        'qualified'
    )
    assert verdicts_of({'lstm': 0.01, 'transformer': 0.01}, noise=0.5)[0] != 'supported'


def test_the_law_is_drawn_and_its_numbers_told():
    (picture,) = STUDY.plot(made_up({'lstm': -0.1, 'transformer': -0.2}, noise=1e-3))
    assert 'LSTM -0.100, transformer -0.200' in picture.caption


def test_every_size_has_its_cells():
    for size in ('quick', 'standard', 'full'):
        config = config_file.get_config(size)
        cells = STUDY.grid(config)
        assert len({str(cell.key) for cell in cells}) == len(cells) == 2 * len(config.widths)
        assert config.steps % config.chunk == 0
