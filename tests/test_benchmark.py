"""The benchmark: its rows, its memory of what was measured, its map, and where packages lack."""

import importlib.util
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import benchmark as config_file
from nlp_models import costs
from nlp_models.benchmark import bench, feasibility, report, run, win_map, works
from nlp_models.benchmark.peers import Peer
from nlp_models.benchmark.results import Results
from nlp_models.errors import InputError, RunError
from nlp_models.recurrent import sequential
from tests import commands

ROOT = Path(__file__).parent.parent


def tiny(*parts: str) -> Any:
    """A config of a few seconds."""
    config: Any = config_file.get_config('quick')
    config.parts = parts
    config.clock.update(seconds=0.0, least=2, pause=0.0, block_seconds=0.0)
    config.matmul.update(size=64, seconds=0.0)
    config.recurrent.shapes = ((2, 8, 4),)
    config.recurrent.pairs = (('gru', 'gru_autodiff', (0.5,)), ('gru', 'gru_reset_after', ()))
    return config


def start_results(folder, machine=None):
    lines: list[str] = []
    return Results(Path(folder), machine or {'name': 'a'}, lines.append), lines


# What was measured is kept.


def test_a_row_is_measured_once_and_again_when_something_changed(tmp_path):
    key = {'work': 'w', 'shape': {'T': 1}, 'peer': 'p'}
    measured = []

    def measure():
        measured.append(1)
        return {'seconds': float(len(measured))}

    def ask(settings, machine=None):
        results, _ = start_results(tmp_path, machine)
        row = results.row('rows', key, settings, measure)
        return row and row['seconds']

    assert [ask([1]), ask([1])] == [1.0, 1.0]
    assert [ask([2]), ask([2])] == [2.0, 2.0]
    assert [ask([2], {'name': 'b'}), ask([2], {'name': 'b'})] == [3.0, 3.0]
    stored = json.loads((tmp_path / 'results.json').read_text())
    assert [row['seconds'] for row in stored['rows']] == [3.0]
    assert stored['rows'][0]['shape'] == {'T': 1}


def test_rows_survive_whatever_ends_the_process(tmp_path):
    config = tiny('recurrent')
    with pytest.raises(KeyboardInterrupt):
        run.benchmark(config, str(tmp_path), say=InterruptedAt(2))
    before = json.loads((tmp_path / 'results.json').read_text())['rows']
    assert [row['peer'] for row in before] == ['our gru_autodiff']
    lines: list[str] = []
    run.benchmark(config, str(tmp_path), say=lines.append)
    after = json.loads((tmp_path / 'results.json').read_text())['rows']
    assert [row['peer'] for row in after] == ['our gru_autodiff', 'our gru_reset_after']
    assert after[0] == before[0]
    assert not [line for line in lines if 'our gru_autodiff' in line]


class InterruptedAt:
    """Ctrl-C at the n-th row."""

    def __init__(self, number):
        self.number = number

    def __call__(self, text):
        self.number -= 'gru' in text
        if self.number == 0:
            raise KeyboardInterrupt


def test_a_row_that_fails_is_said_and_does_not_end_the_others(tmp_path):
    results, lines = start_results(tmp_path)
    keys = [{'work': name, 'shape': {}, 'peer': None} for name in 'abcd']

    def fail(error):
        def measure():
            raise error

        return measure

    missing = ModuleNotFoundError("No module named 'torch'", name='torch')
    assert results.row('rows', keys[0], 0, fail(missing)) is None
    assert results.row('rows', keys[1], 0, fail(InputError('it needs a GPU'))) is None
    failed = results.row('rows', keys[2], 0, fail(ZeroDivisionError('by zero')))
    assert failed is not None
    assert failed['error'] == 'ZeroDivisionError: by zero'
    assert results.row('rows', keys[3], 0, lambda: {'seconds': np.nan}) is not None
    assert 'a: left out, torch is not installed' in lines
    assert 'b: left out, it needs a GPU' in lines
    assert results.failed == ['c']
    stored = json.loads((tmp_path / 'results.json').read_text())['rows']
    assert [row['work'] for row in stored] == ['c', 'd']
    assert stored[1]['seconds'] is None  # JSON has no NaN
    assert 'failed' in report.peers(stored)
    again = results.row('rows', keys[2], 0, lambda: {'seconds': 1.0})
    assert again is not None
    assert 'error' not in again


def test_failed_rows_end_the_benchmark_with_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(works, 'recurrent', lambda *a, **k: 1 / 0)
    with pytest.raises(RunError, match='2 rows failed'):
        run.benchmark(tiny('recurrent'), str(tmp_path))
    assert 'ZeroDivisionError' in (tmp_path / 'tables.md').read_text()


def test_rows_of_another_config_are_dropped(tmp_path):
    config = tiny('recurrent')
    run.benchmark(config, str(tmp_path))
    config.recurrent.pairs = config.recurrent.pairs[:1]
    assert len(run.benchmark(config, str(tmp_path))['rows']) == 1


# What a row says.


def fake_bench(tmp_path, config=None) -> Any:
    results, lines = start_results(tmp_path)
    made = bench.Bench(config or tiny('recurrent'), results, lines.append)
    made.rates = {'float32': 1e9}
    return made


def sleeper(seconds):
    return lambda: time.sleep(seconds)


def test_a_pair_has_ratio_interval_speed_and_bars(tmp_path):
    config = tiny('recurrent')
    config.clock.update(least=7)
    made = fake_bench(tmp_path, config)
    made.pair(
        'work',
        {'B': 2, 'T': 3},
        'peer',
        {},
        ours=lambda: works.Work(sleeper(0.01), 2e6, 1.5, 4e3),
        theirs=lambda: Peer(sleeper(0.03), 'its best way'),
        bar=2.0,
        more=lambda: {'error_found': 1e-3, 'bars': bench.at_most('error_found', 1e-3, 1e-4)},
    )
    (row,) = made.results.values['rows']
    low, high = row['ratio_interval']
    assert 2.0 < low <= row['ratio'] <= high < 4.0
    assert row['ratio'] == pytest.approx(row['peer_seconds'] / row['seconds'], rel=0.3)
    assert row['rounds'] == 7
    assert row['coverage'] > 0.95
    assert row['flops_per_second'] == pytest.approx(2e6 / row['seconds'])
    assert row['fraction_of_matmul'] == pytest.approx(row['flops_per_second'] / 1e9)
    assert (row['compile_seconds'], row['peak_memory']) == (1.5, 4e3)
    assert [(b['quantity'], b['met']) for b in row['bars']] == [
        ('ratio', True),
        ('error_found', False),
    ]
    table = report.peers([row])
    assert '≥ 2: met' in table
    assert 'error found ≤ 0.0001: not met' in table
    assert 'its best way' in report.details([row])


def test_bars_are_met_at_the_bar_and_never_by_what_is_not_a_number():
    assert bench.at_least('r', 1.3, 1.3)[0]['met']
    assert not bench.at_least('r', 1.29, 1.3)[0]['met']
    assert not bench.at_least('r', float('nan'), 1.3)[0]['met']
    assert not bench.at_most('r', None, 1.3)[0]['met']
    assert bench.at_most('r', 1.3, 1.3)[0]['met']
    assert bench.at_least('r', 0.1, 0.0) == []


@pytest.mark.parametrize('number', [1, 2])
@pytest.mark.parametrize('name', ['lstm', 'gru', 'mingru'])
def test_a_recurrent_work_is_both_passes_of_the_cell(name, number):
    model = config_file.get_config('quick').cells[name]
    evaluation = 'associative' if name == 'mingru' else 'sequential'
    setting = works.Setting(4, 5, 3, evaluation)
    work = works.recurrent(model, setting, passes=costs.FORWARD_BACKWARD, num_devices=number)
    y, by_params, by_x = work.call()
    cell, params = works.make_cell(model, 3, 0)
    x, cotangent = works.random_rows(0, jnp.float32, (4, 5, 3), (4, 5, 3))
    assert float(jnp.std(x)) > 0.5
    assert float(jnp.std(cotangent)) > 0.5

    def value(params, x):
        y = sequential.scan(cell, params, sequential.start(cell, 4, 3), x, backward='autodiff')[1]
        return jnp.sum(y * cotangent), y

    (_, expected_y), expected = jax.value_and_grad(value, argnums=(0, 1), has_aux=True)(params, x)
    if number > 1:  # [devices, …]: the gradient of the parameters is that of all rows on each
        assert y.shape[0] == number
        by_params = jax.tree.map(lambda a: a[1], by_params)
    y, by_x = (np.reshape(a, (4, 5, 3)) for a in (y, by_x))
    np.testing.assert_allclose(y, expected_y, atol=1e-6)
    np.testing.assert_allclose(by_x, expected[1], atol=2e-6)
    for field, gradient in expected[0].items():
        np.testing.assert_allclose(by_params[field], gradient, atol=1e-5, err_msg=field)
    assert work.peak_memory is not None
    assert work.peak_memory > 4 * (4 * 5 * 3) * 4
    assert work.flops > 0


def test_train_step_rows_take_steps_and_decoding_decodes():
    from nlp_models.benchmark import training_works

    run_config = config_file.get_config('quick').train_step.runs['2x32']
    work = training_works.train_step(run_config, 65)
    losses = []
    for _ in range(5):
        _, sums = work.call()
        loss, weight = (float(np.sum(np.asarray(a))) for a in sums)
        losses.append(loss / weight)
    assert losses[0] == pytest.approx(np.log(65), abs=0.3)  # knows nothing yet
    assert losses[-1] < losses[0]  # the same tokens again and again
    decoded = training_works.decode(run_config, 65, prompt=4, new=8).call()
    model = training_works.build(run_config, 65)
    params = model.init(jax.random.key(0))
    text = training_works.random_tokens(run_config, 65, 0)[:1, :4]
    for token in np.asarray(decoded):  # each is the likeliest after all that stands before it
        _, logits = model.apply(params, model.start(params, 1), jnp.asarray(text))
        assert token == int(jnp.argmax(logits[0, -1]))
        text = np.append(text, [[token]], axis=1)


def test_newton_rows_compare_and_count(tmp_path):
    from nlp_models.benchmark import parallel_rows

    config = tiny('newton')
    config.newton.update(length=32, width=4, training_steps=30)
    made = fake_bench(tmp_path, config)
    parallel_rows.newton_rows(made)
    rows = made.results.values['rows']
    assert [row['work'] for row in rows] == [
        f'gru by {how}, {weights} weights'
        for weights in ('random', 'trained')
        for how in ('newton', 'quasi_newton')
    ]
    for row in rows:
        assert row['value_error'] < 1e-5
        assert row['gradient_error'] < 1e-4
        assert 1 <= row['iterations'] <= 32
        assert len(row['bars']) == (0 if 'quasi' in row['work'] else 2)
    before, after = rows[2]['training_losses']
    assert after < before


def test_newtons_error_is_that_of_the_worst_entry():
    from nlp_models.benchmark import parallel_rows

    model = config_file.get_config('quick').cells['gru']
    cell, params = works.make_cell(model, 3, 0)
    setting = works.Setting(1, 4, 3, 'newton')
    scan = (jnp.ones((1, 4, 3)), {'a': jnp.array([10.0, 0.0]), 'b': jnp.array([0.1])})
    mine = (scan[0].at[0, 1, 2].add(0.25), {'a': jnp.array([10.0, 1.0]), 'b': jnp.array([0.12])})
    found = parallel_rows.newton_errors(cell, params, setting, mine, scan, 0)
    assert found['value_error'] == pytest.approx(0.25)
    assert found['gradient_error'] == pytest.approx(0.2)  # of b: 0.02 of 0.1


# The map.


def map_bench(tmp_path, **fields):
    config = tiny('win_map')
    config.win_map.update(rounds=3, seconds=0.0, **fields)
    return fake_bench(tmp_path, config)


def test_the_map_names_the_fastest_and_its_lead(tmp_path, monkeypatch):
    times = dict(scan=0.008, newton=0.03, quasi_newton=0.02, associative=0.002, attention=0.004)

    def make(made, strategy, length, width):
        return works.Work(sleeper(times[strategy]), 1.0, 0.0, 1.0)

    monkeypatch.setattr(win_map, 'make', make)
    made = map_bench(tmp_path, lengths=(16,), widths=(8,))
    win_map.rows(made)
    (row,) = made.results.values['win_map']
    assert row['fastest'] == 'associative'
    assert row['ratio'] == pytest.approx(2.0, rel=0.4)
    assert row['fastest_gru'] == 'scan'
    assert row['ratio_gru'] == pytest.approx(2.5, rel=0.4)
    assert row['seconds_per_token'] == pytest.approx(0.002 / 16, rel=0.4)
    assert row['infeasible'] == {}


def test_the_map_leaves_out_what_would_not_fit_or_end(tmp_path, monkeypatch):
    asked = []

    def make(made, strategy, length, width):
        asked.append((strategy, length))
        seconds = 0.05 if strategy == 'newton' else 0.001
        planned = 2e9 if strategy == 'attention' and length > 64 else 1.0
        return works.Work(sleeper(seconds), 1.0, 0.0, planned)

    monkeypatch.setattr(win_map, 'make', make)
    made = map_bench(tmp_path, lengths=(64, 256), widths=(8,), seconds_limit=0.1, bytes_limit=1e9)
    win_map.rows(made)
    short, long = made.results.values['win_map']
    assert short['infeasible'] == {}
    assert re.fullmatch(r'needs 0\.2\d* s', long['infeasible']['newton'])  # 4 × 0.05, not run
    assert ('newton', 256) not in asked
    assert long['infeasible']['attention'] == 'needs 2 GB'  # compiled, not run
    assert ('attention', 256) in asked
    assert long['seconds']['newton'] is None
    assert long['seconds']['scan'] is not None
    assert 'newton at T=256 D=8' in report.win_map([short, long])


def test_what_cannot_fit_is_known_by_formula(tmp_path):
    made = map_bench(tmp_path, lengths=(64,), widths=(8,))
    limits = made.config.win_map
    assert limits.bytes_limit == 8e9
    large = costs.Recurrence(1, 16384, 512, 512, gates=3, recurrent_gates=3)
    assert feasibility.recurrent(large, 'newton', 1e11, limits).endswith('GB')
    assert feasibility.recurrent(large, 'quasi_newton', 1e11, limits) == ''
    assert feasibility.recurrent(large, 'sequential', 1e6, limits).endswith(' s')
    assert feasibility.attention(1, 65536, 64, 1, True, limits).endswith('GB')
    assert feasibility.attention(1, 65536, 64, 1, False, limits) == ''


def test_the_picture_colours_each_point_by_its_winner():
    from nlp_models.benchmark import picture

    rows = []
    for width, length, winner in ((8, 64, 'scan'), (8, 256, 'attention'), (32, 64, 'newton')):
        seconds: dict[str, float | None] = dict.fromkeys(picture.STYLES, 2.0)
        seconds[winner], seconds['quasi_newton'] = 1.0, None
        rows.append(
            {
                'shape': {'T': length, 'D': width},
                'seconds': seconds,
                'fastest': winner,
                'ratio': 2.0,
                'seconds_per_token': 1.0 / length,
            }
        )
    figure = picture.draw(rows)
    main, *panels = figure.axes
    assert len(panels) == len(picture.STYLES)
    drawn = {}
    for box in main.patches:
        at = (box.get_x() + 0.5, box.get_y() + 0.5)  # pyright: ignore[reportAttributeAccessIssue]
        drawn[at] = box.get_facecolor()
    from matplotlib.colors import to_rgba

    assert drawn == {
        (0, 0): to_rgba(picture.STYLES['scan'][0]),
        (1, 0): to_rgba(picture.STYLES['attention'][0]),
        (0, 1): to_rgba(picture.STYLES['newton'][0]),
    }
    quasi = panels[list(picture.STYLES).index('quasi_newton')]
    assert [text.get_text() for text in quasi.texts] == ['✕'] * 3


# The whole of it.


def test_families_and_map_of_real_works(tmp_path):
    config = tiny('families', 'win_map')
    config.cells = {name: config.cells[name] for name in ('gru', 'mingru')}
    config.families.update(shapes=((2, 8, 4),), seconds=0.0)
    config.win_map.update(lengths=(8,), widths=(4,), seconds=0.0)
    results = run.benchmark(config, str(tmp_path))
    ways = [(row['work'], row['evaluation']) for row in results['families']]
    assert ('gru, float32', 'newton') in ways
    assert ('mingru, float32', 'associative') in ways
    assert ('transformer layer, float32', 'chunked') in ways
    for row in results['families']:
        assert row['forward_seconds'] > 0
        assert row['forward_backward_seconds'] > 0
        assert row['compile_seconds'] > 0
        assert row['flops'] > 0
    (point,) = results['win_map']
    assert set(point['seconds']) == set(win_map.STRATEGIES)
    assert all(value > 0 for value in point['seconds'].values())
    assert (tmp_path / 'win_map.png').stat().st_size > 10_000
    assert 'GFLOP/s' in (tmp_path / 'tables.md').read_text()


BARE = """
import runpy, sys
MISSING = {'jaxtyping', 'tqdm', 'torch', 'transformers', 'matplotlib', 'tensorflow_datasets',
           'orbax', 'tokenizers', 'array_record', 'beartype', 'importlib_resources', 'tensorboardX'}
class Bare:
    def __init__(self, finder):
        self.finder = finder
    def find_spec(self, name, *rest):
        return None if name.split('.')[0] in MISSING else self.finder.find_spec(name, *rest)
sys.meta_path = [Bare(finder) for finder in sys.meta_path if hasattr(finder, 'find_spec')]
runpy.run_module('experiments.benchmark', run_name='__main__')
"""


def test_a_machine_with_jax_flax_optax_absl_and_ml_collections_alone(tmp_path):
    flags = {
        'parts': ('recurrent', 'train_step', 'attention', 'newton', 'loop', 'families', 'win_map'),
        'families.shapes': (),
        'newton.cells': (),
        'recurrent.shapes': ((2, 8, 4),),
        'recurrent.pairs': (('gru', 'torch', ()), ('lstm', 'flax', ())),
        'win_map.lengths': (8,),
        'attention.length': 64,
        'attention.lengths': (32,),
    }
    flags['recurrent.pairs'] = (('gru_reset_after', 'torch', ()), ('lstm', 'flax', ()))
    done = subprocess.run(
        [
            sys.executable,
            '-c',
            BARE,
            '--config=configs/benchmark.py:quick',
            f'--workdir={tmp_path / "run"}',
            *(f'--config.{name}={value}' for name, value in flags.items()),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={**os.environ, 'PYTHONPATH': str(ROOT)},
        timeout=280,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    for missing in ('torch', 'transformers'):
        assert f'{missing} is not installed: its rows are left out' in done.stdout
    assert re.search(r'torch.nn.GRU: left out, torch is not installed', done.stdout)
    assert re.search(r'back to back: left out, \w+ is not installed', done.stdout)
    assert 'picture of the win map: left out, matplotlib is not installed' in done.stdout
    stored = json.loads((tmp_path / 'run' / 'results.json').read_text())
    assert [row['peer'] for row in stored['rows']] == [
        'flax.linen.RNN',
        "plain attention's T × T scores",
        'our plain attention',
    ]
    assert len(stored['win_map']) == 1
    assert 'Traceback' not in done.stderr


@pytest.mark.parametrize(
    ('flags', 'line'),
    [
        (['--config=configs/benchmark.py:fast'], "has no variant 'fast'"),
        (['--config.parts=("recurrent", "nothing")'], "parts is 'nothing': it must be one of"),
        (['--config.recurrent.pairs=(("gru", "cobol", ()),)'], 'it must be one of'),
        (['--config.parts=("to_loss",)', '--config.to_loss.text=absent'], 'must be a text file'),
    ],
)
def test_what_cannot_be_measured_is_one_line(tmp_path, flags, line):
    if not flags[0].startswith('--config='):
        flags = ['--config=configs/benchmark.py:quick', *flags]
    code, _, err = commands.run('benchmark', *flags, f'--workdir={tmp_path / "run"}')
    assert code == 2
    assert line in err
    assert err.count('\n') == 1


def test_every_field_of_the_config_is_read():
    source = ''.join(path.read_text() for path in (ROOT / 'nlp_models/benchmark').glob('*.py'))

    def fields(group, names):
        for name in group:
            value = group[name]
            if name in ('cells', 'transformer', 'runs', 'run', 'peer_run', 'forms'):
                continue  # read by name: the library's own configs, and entries of tables
            names.append(name)
            if hasattr(value, 'keys') and name != 'peers':
                fields(value, names)
        return names

    names = fields(config_file.get_config('cpu'), [])
    assert len(names) > 50
    names += ['cell', 'evaluation', 'backward', 'dtype', 'implementation', 'memory_bar', 'time_bar']
    unread = [n for n in names if not re.search(rf"\.{n}\b|\['{n}'\]|'{n}'", source)]
    assert unread == []


@pytest.mark.parametrize('variant', ['cpu', 'table', 'quick', 'gpu'])
def test_every_variant_is_sound(variant):
    config = config_file.get_config(variant)
    run.check(config)
    assert json.loads(config.to_json())
    shapes = config.recurrent.shapes
    for ours, against, bars in config.recurrent.pairs:
        assert ours in config.recurrent.forms
        assert against in (*config.recurrent.forms, 'torch', 'flax', 'flax_shared_out')
        assert len(bars) in (0, len(shapes))
    for name in ('compiling', 'loop'):
        assert config[name].run in config.train_step.runs
    for bars in config.train_step.peers.values():
        assert set(bars) <= set(config.train_step.runs)


# The peers, where they are installed.

torch_there = pytest.mark.skipif(
    importlib.util.find_spec('torch') is None, reason='torch is not installed'
)
transformers_there = pytest.mark.skipif(
    importlib.util.find_spec('transformers') is None, reason='transformers is not installed'
)


def count(parameters):
    return sum(p.numel() for p in parameters)


@torch_there
def test_the_torch_transformer_is_ours():
    import torch

    from nlp_models.benchmark import peers_torch, training_works

    run_config = config_file.get_config('quick').train_step.runs['2x32']
    model = training_works.build(run_config, 65)
    params = model.init(jax.random.key(0))
    peer = peers_torch.make_transformer(run_config, 65)
    assert count(peer.parameters()) == costs.count_parameters(model)
    body = params['body']
    with torch.no_grad():

        def put(parameter, array):
            parameter.copy_(torch.from_numpy(np.asarray(array)))

        put(peer.embedding.weight, params['embed']['embedding'])
        put(peer.positions.weight, body['positions'])
        put(peer.norm.weight, body['final_norm']['scale'])
        for i, layer in enumerate(peer.layers):
            mine = body[f'layer_{i}']
            put(layer.norms[0].weight, mine['attention_norm']['scale'])
            put(layer.norms[1].weight, mine['feed_forward_norm']['scale'])
            for name, linear in (('qkv', layer.qkv), ('out', layer.out)):
                put(linear.weight, mine['attention'][name]['kernel'].T)
            for name, linear in (('up', layer.up), ('down', layer.down)):
                put(linear.weight, mine['feed_forward'][name]['kernel'].T)
    tokens = training_works.random_tokens(run_config, 65, 3)
    theirs = peer(*peers_torch.tokens_and_targets(tokens, 'cpu')).item()
    from nlp_models.training.objectives import language_modelling

    sums, _ = language_modelling(model)(params, None, {'tokens': jnp.asarray(tokens)})
    assert float(sums.loss / sums.weight) == pytest.approx(theirs, abs=2e-6)


@torch_there
@transformers_there
def test_gpt2_has_the_parameters_of_ours_with_biases():
    from nlp_models.benchmark import language_rows, peers_huggingface, training_works

    run_config = language_rows.with_biases(config_file.get_config('quick').train_step.runs['2x32'])
    model = training_works.build(run_config, 65)
    peer = peers_huggingface.make_gpt2(run_config, 65, run_config.sequence_length, 0)
    assert count(peer.parameters()) == costs.count_parameters(model)


@torch_there
def test_peers_take_steps_and_give_gradients():
    import torch

    from nlp_models.benchmark import peers_torch, training_works

    run_config = config_file.get_config('quick').train_step.runs['2x32']
    tokens = training_works.random_tokens(run_config, 65, 0)
    torch.manual_seed(0)
    model = peers_torch.make_transformer(run_config, 65)
    batch = peers_torch.tokens_and_targets(tokens, 'cpu')
    step = peers_torch.make_step(model, lambda: model(*batch), run_config, 'cpu', fused=False)
    before = model(*batch).item()
    assert before == pytest.approx(np.log(65), abs=0.3)
    for _ in range(5):
        step()
    assert model(*batch).item() < before
    for cell in peers_torch.LAYERS:
        assert peers_torch.recurrent(cell, 2, 4, 3, dtype='float32').call() is None


@pytest.mark.parametrize('cell', ['lstm', 'gru_reset_after', 'rnn'])
def test_flax_has_cells_of_our_kind(cell):
    from nlp_models.benchmark import peers_flax

    model = config_file.get_config('quick').cells[cell]
    _, params = works.make_cell(model, 3, 0)
    peer = peers_flax.recurrent(cell, 2, 4, 3, dtype='float32', num_devices=1)
    y, by_params, by_x = peer.call()
    assert (y.shape, by_x.shape) == ((2, 4, 3), (2, 4, 3))
    size = sum(a.size for a in jax.tree.leaves(by_params))
    assert size == sum(a.size for a in jax.tree.leaves(params))
    assert peer.detail
    assert all(float(jnp.abs(a).max()) > 0 for a in jax.tree.leaves((by_params, by_x)))
