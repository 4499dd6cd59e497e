"""The study command as a user runs it: killed and run again, several studies, wrong inputs."""

import json
import re
import signal
import time

import pytest

from tests.commands import not_told, run, start

COMPLEXITY = {  # a few seconds; all of it but the clock's cell comes out the same every time
    'num_devices': 1,
    'batch_size': 2,
    'repetitions': 2,
    'rounds': 1,
    'block_seconds': 0.001,
    'planned': '((3,3,4),(4,2,4))',
    'unrolled': '((3,3,2),)',
    'timed': '((3,3,4),)',
}
FINITE_CONTEXT = {
    'num_devices': 1,
    'seeds': '(0,1)',
    'ngram.orders': '(2,3)',
    'ngram.distances': '(1,2,3,4)',
    'ngram.examples': 50,
    'network.distances': '(6,7)',
    'network.beyond': '(7,)',
    'network.training.steps': 2,
    'network.training.windowed_steps': 2,
    'network.training.chunk': 2,
    'network.training.batch_size': 2,
    'network.training.test_examples': 20,
}
TWO = """
from ml_collections import ConfigDict

from configs.studies import complexity, finite_context


def get_config():
    context = finite_context.get_config('quick')
    del context.network.recurrent['rnn'], context.network.recurrent['lstm']
    del context.network.windowed['two_layers']
    return ConfigDict(
        dict(
            num_devices=1,
            # Told in the tutorial's order, whatever the order here.
            studies=dict(complexity=complexity.get_config('quick'), finite_context=context),
            minutes=dict(complexity=1.0, finite_context=3.0),
        )
    )
"""


def flags(fields, prefix=''):
    return [f'--config.{prefix}{name}={value}' for name, value in fields.items()]


def measured(folder):
    """The lines on disk that are whole."""
    path = folder / 'measurements.jsonl'
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    return [json.loads(line) for line in lines if line.endswith('\n')]


def evidence(folder):
    return json.loads((folder / 'evidence.json').read_text())


@pytest.fixture(scope='module')
def both(tmp_path_factory):
    """Two studies that nobody interrupted: their folder and what was said."""
    folder = tmp_path_factory.mktemp('both')
    (folder / 'two.py').write_text(TWO)
    small = flags(COMPLEXITY, 'studies.complexity.') + flags(
        FINITE_CONTEXT, 'studies.finite_context.'
    )
    status, out, err = run(
        'study', f'--config={folder / "two.py"}', *small, f'--workdir={folder / "run"}'
    )
    assert status == 0, err
    return folder / 'run', out


def test_a_killed_study_goes_on_and_repeats_nothing(both, tmp_path):
    command = ['--config=configs/studies/complexity.py:quick', *flags(COMPLEXITY)]
    command.append(f'--workdir={tmp_path}')
    process = start('study', *command)
    while len(measured(tmp_path)) < 2 and process.poll() is None:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    before = measured(tmp_path)
    assert not (tmp_path / 'evidence.json').exists()

    status, out, err = run('study', *command)
    assert status == 0, err
    found, whole = evidence(tmp_path), evidence(both[0] / 'complexity')
    assert 2 <= len(before) < len(found['measurements'])
    assert f'complexity: {len(before)} of {len(found["measurements"])} cells were' in out
    # Not measured again: not only the values are the same, but the seconds that they took.
    for row, old in zip(found['measurements'], before, strict=False):
        assert row == {name: old[name] for name in ('key', 'value', 'seconds')}
    after = measured(tmp_path)
    assert after[: len(before)] == before
    assert [row['key'] for row in after] == [row['key'] for row in found['measurements']]

    # As of the run that was never interrupted, but for clocks.
    def exact(evidence):
        rows = [(row['key'], row['value']) for row in evidence['measurements']]
        return [row for row in rows if row[0]['what'] != 'clock']

    assert [row['key'] for row in found['measurements']] == [
        row['key'] for row in whole['measurements']
    ]
    assert len(exact(found)) == len(found['measurements']) - 1
    assert exact(found) == exact(whole)
    assert found['config'] == whole['config']
    verdicts = json.loads((tmp_path / 'verdicts.json').read_text())
    assert [verdict['claim'] for verdict in verdicts] == [16, 17, 18]
    assert [run['cells'] for run in found['manifest']['runs']] == [len(found['measurements'])]
    assert '--config.timed=' in found['manifest']['command']

    # As if another machine had measured it.
    path = tmp_path / 'measurements.jsonl'
    path.write_text(''.join(json.dumps(row | {'stamp': 'another'}) + '\n' for row in after))
    status, out, err = run('study', *command, '--keep')
    assert status == 0, err
    assert f'complexity: {len(after)} of {len(after)} cells were measured before' in out
    assert evidence(tmp_path) == found


def test_several_studies_run_in_order_and_say_what_is_left(both):
    folder, out = both
    heads = [line for line in out.splitlines() if line.startswith('study ')]
    assert heads[0] == 'study 1 of 2: finite_context (0 min so far, about 4 min left)'
    # The second is expected to take a third of what the first took.
    assert re.fullmatch(r'study 2 of 2: complexity \(\d min so far, about \d min left\)', heads[1])
    assert len(heads) == 2
    places = [out.index(text) for text in (heads[0], 'finite_context [1/5]', heads[1])]
    places += [out.index(text) for text in ('complexity [1/5]', 'minutes. A page of it:')]
    assert places == sorted(places)
    for name, last in (('finite_context', 5), ('complexity', 5)):
        lines = [line for line in out.splitlines() if line.startswith(f'{name} [')]
        assert len(lines) == last
        assert all(re.search(r': \d+\.\d s, about \d+ (s|min) left$', line) for line in lines[:-1])
        assert re.search(r': \d+\.\d s$', lines[-1])
        assert len(evidence(folder / name)['measurements']) == last
        verdicts = json.loads((folder / name / 'verdicts.json').read_text())
        for verdict in verdicts:
            assert verdict['statement'] + ': ' + verdict['verdict'].upper() in out
        assert list((folder / name).glob('*.png'))


def test_wrong_inputs_are_told_in_one_line(tmp_path):
    (tmp_path / 'letter').mkdir()
    (tmp_path / 'letter' / 'a.txt').write_text('mine')
    here, quick = '--workdir=HERE', '--config=configs/studies/complexity.py:quick'
    cases = {
        'size': (
            r"size of configs/studies/complexity\.py is 'huge': it must be one of",
            'study',
            ['--config=configs/studies/complexity.py:huge', here],
        ),
        'field': ('no field repetition: did you mean', 'study', [quick, '--config.repetition=3']),
        'folder': (
            r'holds no study but other files: a\.txt',
            'study',
            [quick, f'--workdir={tmp_path}/letter'],
        ),
    }
    assert not_told(tmp_path, cases) == []
