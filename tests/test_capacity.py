"""How many numbers a state holds, against the formulas."""

import pytest
from ml_collections import ConfigDict

from configs.studies import base
from nlp_models.analysis import capacity


@pytest.mark.parametrize(
    ('family', 'fields', 'expected'),
    [
        ('rnn', dict(hidden_size=7), 7),
        ('gru', dict(hidden_size=7, num_layers=3), 3 * 7),
        ('lstm', dict(hidden_size=7), 2 * 7),
        ('transformer', dict(hidden_size=12, num_layers=2, num_heads=3), 2 * 2 * 10 * 12),
        (
            'transformer',
            dict(hidden_size=12, num_layers=3, num_heads=4, num_kv_heads=1, head_size=2),
            2 * 3 * 10 * 2,
        ),
    ],
)
def test_it_is_that_of_the_formulas(family, fields, expected):
    assert capacity.state_size(ConfigDict(base.model(family, **fields)), 10) == expected


@pytest.mark.parametrize(('family', 'units'), [('rnn', 128), ('gru', 128), ('lstm', 64)])
def test_a_state_is_made_as_large_as_asked(family, units):
    model = ConfigDict(base.model(family, embed_size=4))
    assert capacity.match_state(model, 128, 10) == units
    assert model.hidden_size == units
    assert capacity.state_size(model, 10) == 128
