"""The benchmark: its memory of what was measured, its rows, the command, where packages lack."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from configs import benchmark as config_file
from nlp_models.benchmark import bench, report, run, win_map, works
from nlp_models.benchmark.peers import Peer
from nlp_models.errors import InputError, RunError
from tests import commands
from tests.benchmark_setup import fake_bench, sleeper, start_results, tiny

ROOT = Path(__file__).parent.parent


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


def test_whose_turn_has_which_allocator(tmp_path, monkeypatch):
    turns = []
    monkeypatch.setattr(bench.allocator, 'keep_memory', turns.append)
    made = fake_bench(tmp_path, tiny('recurrent', 'train_step'))
    made.config.clock.warm_up = 1

    def whose():
        turns.clear()
        made.paired(lambda: turns.append('ours'), lambda: turns.append('theirs'), peer=True)
        return set(zip(turns[::2], turns[1::2], strict=True))

    made.as_found = False
    assert whose() == {(True, 'ours'), (False, 'theirs')}
    made.config.keep_memory = ('ours', 'peers')
    assert whose() == {(True, 'ours'), (True, 'theirs')}
    made.as_found = True
    assert {name for pair in whose() for name in pair} == {'ours', 'theirs'}  # never touched


def test_the_allocator_is_left_as_found_by_the_parts_named(tmp_path, monkeypatch):
    order = []
    monkeypatch.setattr(bench.allocator, 'keep_memory', lambda keep: order.append('set'))
    for part in ('recurrent', 'attention'):
        monkeypatch.setitem(run.PARTS, part, lambda made, part=part: order.append(part))
    run.benchmark(tiny('attention', 'recurrent'), str(tmp_path))
    assert order == ['recurrent', 'set', 'attention']


# What a row says.


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


# The whole of it.


def test_families_and_map_of_real_works(tmp_path):
    config = tiny('families', 'win_map')
    config.families.update(shapes=((2, 8, 4),), cells=('gru', 'mingru'), seconds=0.0)
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
        'one array of scores, float32 [B, H, T, T]',
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
        (['--config.families.cells=("gruu",)'], "families.cells is 'gruu': it must be one of"),
        (['--config.as_found=("train_step",)'], 'must name the first of the parts'),
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


TABLES = (
    'cells',
    'transformer',
    'runs',
    'run',
    'peer_run',
    'forms',
    'generate',
    'generate_models',
)


def test_every_field_of_the_config_is_read():
    files = [*(ROOT / 'nlp_models/benchmark').glob('*.py'), ROOT / 'nlp_models/training/machine.py']
    source = ''.join(path.read_text() for path in files)

    def fields(group, names):
        for name in group:
            value = group[name]
            if name in TABLES:
                continue  # read by name: the library's own configs, and entries of tables
            names.append(name)
            if hasattr(value, 'keys') and name != 'peers':
                fields(value, names)
        return names

    names = fields(config_file.get_config('cpu'), [])
    assert len(names) > 50
    names += ['cell', 'evaluation', 'backward', 'dtype', 'implementation', 'memory_bar', 'time_bar']
    names += ['generate', 'model', 'new', 'agreement', 'vocab_size', 'num_heads']  # of the tables
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
