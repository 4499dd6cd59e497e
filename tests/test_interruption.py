"""Runs killed at random moments by the operating system, as separate processes."""

import json
import random
import signal
import time

import pytest

from nlp_models.training import checkpoints
from nlp_models.training.workdir import read_metrics
from tests.commands import run, small, start

DETERMINISTIC = ('step', 'train_loss', 'valid_loss', 'valid_bits_per_char', 'grad_norm')


def outcome(workdir):
    """What has to be the same: the parameters' digests and the metrics that are not times."""
    saved = checkpoints.load_newest(workdir / 'checkpoints')
    assert saved is not None
    arrays = json.loads((saved.path / 'state.json').read_text())['arrays']
    lines = read_metrics(workdir / 'metrics.jsonl')
    return saved.step, arrays, [{k: x[k] for k in DETERMINISTIC if k in x} for x in lines]


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
    """The run that nobody interrupted: its flags, outcome, and seconds to start and to end."""
    folder = tmp_path_factory.mktemp('whole')
    flags = small(folder, steps=600, checkpoint_every=20, eval_every=50, log_every=10)
    started = time.perf_counter()
    process = start('train', *flags, f'--workdir={folder / "run"}')
    while not (folder / 'run' / 'metrics.jsonl').exists() and process.poll() is None:
        time.sleep(0.01)
    first_log = time.perf_counter() - started
    _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return flags, outcome(folder / 'run'), (first_log, time.perf_counter() - started)


def kill(flags, workdir, *, seconds=0.0, step=0):
    """Start a run and kill it; returns what was seen of it.

    Args:
      flags: of the run.
      workdir: of the run.
      seconds: how long to wait from the start, or from when the step was seen.
      step: wait until this step has been logged; 0: do not.
    """
    process = start('train', *flags, f'--workdir={workdir}')
    while step and process.poll() is None:
        lines = read_metrics(workdir / 'metrics.jsonl')
        if lines and lines[-1]['step'] >= step:
            break
        time.sleep(0.002)
    time.sleep(seconds)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    lines = read_metrics(workdir / 'metrics.jsonl')
    return {
        'logged': lines[-1]['step'] if lines else 0,
        'checkpoints': checkpoints.steps(workdir / 'checkpoints'),
        'saving': len(list((workdir / 'checkpoints').glob(f'*{checkpoints.PARTIAL}'))),
        'finished': process.returncode == 0,
    }


def kill_and_finish(whole, workdir, **moment):
    """Kill a run, start it again, and compare; returns what was seen of it."""
    flags, expected, _ = whole
    seen = kill(flags, workdir, **moment)
    status, _, err = run('train', *flags, f'--workdir={workdir}')
    assert status == 0, err
    assert outcome(workdir) == expected
    return seen


def test_a_killed_run_ends_bit_identical(whole, tmp_path):
    """Twice: while it is starting, and while it is running."""
    first_log, _ = whole[2]
    kill(whole[0], tmp_path / 'run', seconds=0.8 * first_log)
    seen = kill_and_finish(whole, tmp_path / 'run', step=300)
    assert 300 <= seen['logged'] < 600


@pytest.mark.slow
def test_twenty_killed_runs_end_bit_identical(whole, tmp_path):
    rng = random.Random(0)
    first_log, _ = whole[2]
    for index in range(20):
        if index % 5 == 0:  # importing, reading data, compiling
            moment = {'seconds': rng.uniform(0.3, 1.0) * first_log}
        else:  # in a step, an evaluation or a save, whatever is under way then
            moment = {'step': rng.randrange(10, 590), 'seconds': rng.uniform(0, 0.05)}
        print(moment, kill_and_finish(whole, tmp_path / str(index), **moment), flush=True)


def test_sigterm_before_anything_is_begun_is_one_line_too(tmp_path):
    process = start('train', *small(tmp_path), f'--workdir={tmp_path / "run"}')
    time.sleep(2.0)  # reading the config, importing
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 143, err
    assert len([line for line in err.splitlines() if 'SIGTERM' in line]) == 1
    assert 'Traceback' not in err


def test_sigterm_saves_says_so_and_exits_143(whole, tmp_path):
    flags, expected, _ = whole
    process = start('train', *flags, f'--workdir={tmp_path / "run"}')
    while not (tmp_path / 'run' / 'metrics.jsonl').exists() and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 143, err
    said = [line for line in err.splitlines() if 'SIGTERM' in line]
    assert len(said) == 1
    step = int(said[0].split('saved step ')[1].split()[0])
    assert checkpoints.steps(tmp_path / 'run' / 'checkpoints')[-1] == step
    assert 'Traceback' not in err
    status, _, err = run('train', *flags, f'--workdir={tmp_path / "run"}')
    assert status == 0, err
    assert outcome(tmp_path / 'run') == expected
