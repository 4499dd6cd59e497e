"""The main job in small: matched sizes, equal times, a cell of the reader's own."""

import json
from typing import Any

import jax
import jax.numpy as jnp
import pytest
from ml_collections import ConfigDict

from configs import compare as config_file
from nlp_models import costs, models
from nlp_models.analysis import comparison
from nlp_models.errors import InputError
from nlp_models.recurrent.cells import Cell, inputs
from nlp_models.training import checkpoints
from tests.commands import text_file


def mgu(params, carry, x):
    """Minimal gated unit (Zhou et al. 2016): what a reader adds to cells.py."""
    h = carry
    u_f, u_h = jnp.split(inputs(params, x), 2, axis=-1)
    f = jax.nn.sigmoid(u_f + h @ params['W'])
    h_tilde = jnp.tanh(u_h + (f * h) @ params['W_h'])
    h = (1 - f) * h + f * h_tilde
    return h, h


@pytest.fixture
def config(tmp_path, monkeypatch) -> Any:
    monkeypatch.setitem(models.CELLS, 'mgu', lambda model: Cell(mgu, gates=2, own_candidate=True))
    config: Any = config_file.get_config()
    # The families the config file finds by itself, the reader's among them; two suffice here.
    assert set(config.families) >= {'rnn', 'lstm', 'gru', 'mgu', 'transformer'}
    kept = {name: config.families[name].to_dict() for name in ('mgu', 'transformer')}
    kept['transformer']['model'].update(hidden_size=16, num_heads=2, num_layers=1)
    kept['mgu']['model'].update(embed_size=8)
    config.families = ConfigDict(kept)
    config.update(training_seconds=2.0, evaluations=2, lengths=(8, 32), measuring_seconds=0.01)
    config.update(tokens_per_batch=64, ngram_orders=(1, 2, 3))
    config.run.data.update(
        path=str(text_file(tmp_path)), cache_dir=str(tmp_path), splits=(0.8, 0.1, 0.1)
    )
    config.run.update(batch_size=8, sequence_length=16)
    config.run.optimizer.warmup_steps = 5
    return config


def test_a_comparison_from_beginning_to_end_and_on_from_the_middle(config, tmp_path):
    class Killed(BaseException):
        pass

    said = []

    def die(family):
        def progress(step, steps, line):
            if family == 'transformer' and step == 3:
                raise Killed

        return progress

    with pytest.raises(Killed):
        comparison.compare(config, str(tmp_path / 'run'), say=said.append, progress=die)
    stages = json.loads((tmp_path / 'run' / 'stages.json').read_text())
    results = comparison.compare(config, str(tmp_path / 'run'), say=said.append)
    assert json.loads((tmp_path / 'run' / 'results.json').read_text()) == results
    # What had been measured before is what stands in the results.
    families = results['families']
    assert families['mgu']['training'] == stages['mgu/speed']['training']
    assert families['transformer']['steps'] == stages['transformer/plan']['steps']

    assert set(families) == {'ngram', 'mgu', 'transformer'}
    assert families['ngram']['order'] in (1, 2, 3)
    assert families['ngram']['training'] is families['ngram']['decoding'] is None
    bits = [row['valid_bits_per_char'] for row in results['ngram_orders']]
    assert families['ngram']['valid_bits_per_char'] == min(bits)
    target = families['transformer']['parameters']
    for name in ('mgu', 'transformer'):
        family = families[name]
        assert abs(family['parameters'] / target - 1) <= 0.02
        seconds = planned_seconds(name, tmp_path)
        assert family['steps'] == max(1, int(1.0 / seconds))
        assert family['valid_bits_per_char'] < 7  # 8 is knowing nothing
        assert [row['length'] for row in family['training']] == [8, 32]
        for row in family['decoding']:
            product = row['tokens_per_second'] * row['seconds_per_token']
            assert product == pytest.approx(1)
        assert family['curve'][-1]['step'] == family['steps']
        saved = checkpoints.load_newest(tmp_path / 'run' / name / 'checkpoints')
        assert saved is not None
        assert saved.step == family['steps']
    size = 4 * families['mgu']['hidden_size']
    assert [row['state_bytes'] for row in families['mgu']['decoding']] == [size, size]
    sizes = [row['state_bytes'] for row in families['transformer']['decoding']]
    assert sizes == [4 * (2 * 16 * length + 1) for length in (8, 32)]
    again = comparison.compare(config, str(tmp_path / 'run'), say=said.append)
    assert again == results
    assert 'already' in said[-1]


def planned_seconds(name, tmp_path):
    """The seconds a step took when the family's steps were planned."""
    stages = json.loads((tmp_path / 'run' / 'stages.json').read_text())
    return stages[f'{name}/plan']['step_seconds']


@pytest.mark.parametrize(
    ('field', 'value'),
    [
        ('lengths', ()),
        ('lengths', (64, 32)),
        ('ngram_orders', (0, 1)),
        ('evaluations', 0),
        ('training_seconds', 0.0),
        ('memory_fraction', -1.0),
    ],
)
def test_what_is_out_of_range_is_named_before_anything_is_done(config, tmp_path, field, value):
    with config.ignore_type():
        config[field] = value
    with pytest.raises(InputError, match=field):
        comparison.compare(config, str(tmp_path / 'run'))
    assert not (tmp_path / 'run').exists()


def test_a_family_that_diverges_does_not_end_the_comparison(config, tmp_path):
    config.families.mgu.optimizer.learning_rate = 1e30
    config.training_seconds = 0.5
    results = comparison.compare(config, str(tmp_path / 'run'), say=lambda text: None)
    assert results['families']['mgu']['valid_bits_per_char'] is None
    assert results['families']['mgu']['decoding'][0]['seconds_per_token'] > 0
    assert results['families']['transformer']['valid_bits_per_char'] > 0


def test_a_comparison_without_its_reference_is_refused(config, tmp_path):
    del config.families['transformer']
    with pytest.raises(InputError, match='must hold transformer'):
        comparison.compare(config, str(tmp_path / 'run'))


def test_the_closest_size_is_the_closest():
    for target in (1, 10, 99, 100, 101, 12345):
        n = costs.closest_size(lambda size: size * size + size, target)
        errors = {size: abs(size * size + size - target) for size in range(1, 200)}
        assert errors[n] == min(errors.values())


def test_sizes_that_cannot_be_matched_are_refused(config):
    run = comparison.family_config(config, 'mgu')
    assert comparison.match_parameters(run, 40_000, 256) == pytest.approx(40_000, rel=0.02)
    with pytest.raises(InputError, match='cannot have 500 parameters'):
        comparison.match_parameters(run, 500, 256)
