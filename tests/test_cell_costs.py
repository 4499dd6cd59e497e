"""What a cell costs, against closed forms."""

import jax
import pytest
from ml_collections import ConfigDict

from configs.studies import base
from nlp_models import costs, models
from nlp_models.analysis import cell_costs
from nlp_models.analysis.cell_costs import Shape

CELLS = {
    name: models.find_cell(ConfigDict(base.model(name)))
    for name in ('rnn', 'lstm', 'gru', 'mingru')
}
GATES = {'rnn': 1, 'gru': 3, 'lstm': 4}


@pytest.mark.parametrize('name', GATES)
def test_counts_are_those_of_the_equations(name):
    n, h, cell, gates = 5, 7, CELLS[name], GATES[name]
    assert cell_costs.count_parameters(cell, n, h) == gates * (n * h + h * h + h)
    assert cell_costs.state_bytes(cell, h) == 4 * h * (2 if name == 'lstm' else 1)
    shape = Shape(batch_size=3, length=2, input_size=n, hidden_size=h)
    found = cell_costs.operations(cell, shape)
    assert found['formula'] == 3 * 2 * 3 * 2 * gates * (n * h + h * h)
    large = cell_costs.operations(cell, Shape(8, 2, 64, 64))
    assert 0.7 < large['compiled'] / large['formula'] < 1.3


def test_what_is_kept_is_inputs_outputs_and_gates():
    """x and h of an RNN; beside them z, r, h̃ of a GRU; f, i, o, C̃ and C of an LSTM."""
    shape = Shape(batch_size=2, length=6, input_size=5, hidden_size=7)
    kept = {name: cell_costs.kept_bytes(CELLS[name], shape) for name in GATES}
    assert kept['rnn'] == 4 * (5 + 7)
    assert kept['gru'] == 4 * (5 + 4 * 7)
    assert kept['lstm'] == 4 * (5 + 6 * 7)
    assert cell_costs.kept_bytes(CELLS['rnn'], shape, 'autodiff') > 0


def test_a_longer_program_is_planned_more_memory():
    short, long = (cell_costs.planned_bytes(CELLS['lstm'], Shape(2, t, 8, 8)) for t in (64, 512))
    assert short is not None
    assert long is not None
    assert long > short


def test_clocks_give_a_number_a_seed():
    cells = {name: CELLS[name] for name in ('rnn', 'gru')}
    found = cell_costs.clocks(
        cells,
        Shape(1, 4, 3, 3),
        passes=costs.FORWARD_BACKWARD,
        seeds=(0, 1),
        rounds=2,
        block_seconds=1e-3,
    )
    assert list(found) == ['rnn', 'gru']
    assert all(len(seconds) == 2 and min(seconds) > 0 for seconds in found.values())


def test_where_clocks_are_read(monkeypatch):
    monkeypatch.setattr(cell_costs.parallel, 'num_cores', lambda: 1)
    assert cell_costs.place() == '1 CPU core'
    monkeypatch.setattr(cell_costs.parallel, 'num_cores', lambda: 6)
    assert cell_costs.place() == '6 CPU cores'

    class Device:
        platform, device_kind = 'gpu', 'A Device'

    monkeypatch.setattr(jax, 'local_devices', lambda: [Device()])
    assert cell_costs.place() == 'A Device'
