"""The loop: what it writes, what it refuses, how it goes on."""

import json
import math
import signal
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from configs import lm
from nlp_models.data import store
from nlp_models.errors import InputError, RunError
from nlp_models.training import checkpoints, loop, optimizers
from nlp_models.training.program import Program, build_program
from nlp_models.training.trained import load_run
from nlp_models.training.workdir import MAY_CHANGE, read_config, read_metrics
from tests.commands import text_file

DETERMINISTIC = ('step', 'train_loss', 'valid_loss', 'valid_bits_per_char', 'grad_norm')


@pytest.fixture(scope='module')
def text(tmp_path_factory):
    return text_file(tmp_path_factory.mktemp('text'))


def config(text, family='gru', **fields) -> Any:
    config = lm.get_config(family)
    config.data.update(path=str(text), cache_dir=str(text.parent), splits=(0.8, 0.1, 0.1))
    config.update(
        steps=30, batch_size=4, sequence_length=16, eval_every=10, log_every=5, checkpoint_every=10
    )
    config.optimizer.update(warmup_steps=5, learning_rate=0.01)
    if family != 'ngram':
        config.model.update(hidden_size=16)
    if family == 'transformer':
        config.model.update(num_layers=1, num_heads=2)
    config.update(fields)
    return config


UNCOMPILED = ('steps', 'eval_every', 'checkpoint_every', 'keep_checkpoints')
_programs: dict[str, Program] = {}


def train(config, workdir, **options):
    """Call the loop, each program compiled once for all tests."""
    key = json.dumps({k: v for k, v in config.to_dict().items() if k not in UNCOMPILED})
    if key not in _programs:
        _programs[key] = build_program(ConfigDict(json.loads(config.to_json())))
    return loop.train(config, str(workdir), program=_programs[key], **options)


def comparable(workdir):
    return [
        {k: line[k] for k in DETERMINISTIC if k in line}
        for line in read_metrics(workdir / 'metrics.jsonl')
    ]


def arrays(workdir):
    saved = checkpoints.load_newest(workdir / 'checkpoints')
    assert saved is not None
    return json.loads((saved.path / 'state.json').read_text())['arrays']


def test_a_run_learns_and_writes_down_what_it_did(text, tmp_path):
    result = train(config(text), tmp_path)
    lines = read_metrics(tmp_path / 'metrics.jsonl')
    assert [line['step'] for line in lines] == [5, 10, 15, 20, 25, 30]
    assert [line['step'] for line in lines if 'valid_loss' in line] == [10, 20, 30]
    assert lines[-1]['valid_loss'] < lines[1]['valid_loss'] < math.log(256)
    assert result['valid_loss'] == lines[-1]['valid_loss']
    for line in lines:
        assert line['tokens_per_second'] == pytest.approx(4 * 16 / line['step_seconds'])
    # ASCII and bytes: a token is a character.
    assert lines[-1]['valid_bits_per_char'] == pytest.approx(lines[-1]['valid_loss'] / math.log(2))
    manifest = json.loads((tmp_path / 'manifest.json').read_text())
    assert manifest['parameters'] == result['parameters']
    sizes = manifest['data']['sizes']
    assert sizes['train'] + sizes['test'] > 0
    assert manifest['shape'] == {'vocab_size': 256, 'max_length': 16, 'source_length': 0}
    assert len(manifest['data']['fingerprint']) == 64
    assert manifest['versions']['jax'] == jax.__version__
    assert read_config(tmp_path).to_dict() == config(text).to_dict()


def test_the_reported_losses_are_those_of_the_saved_parameters(text, tmp_path):
    result = train(config(text, 'transformer'), tmp_path)
    run = load_run(str(tmp_path), best=False)
    apply = jax.jit(run.model.apply)
    tokens, nats, count = store.load_dataset(run.config.data).validation, 0.0, 0
    for begin in range(0, len(tokens) - 1, 16):  # window by window, in float64
        window = np.asarray(tokens[begin : begin + 17], np.int32)
        state = run.model.start(run.params, 1)
        _, logits = apply(run.params, state, jax.numpy.asarray(window[None, :-1]))
        logits = np.asarray(logits[0], np.float64)
        logp = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
        nats -= logp[np.arange(len(window) - 1), window[1:]].sum()
        count += len(window) - 1
    assert count == len(tokens) - 1
    assert result['valid_loss'] == pytest.approx(nats / count, rel=1e-5)


@pytest.mark.parametrize('family', ['gru', 'transformer'])
def test_stopped_and_started_again_it_ends_the_same(text, tmp_path, family, monkeypatch):
    whole = config(text, family)
    whole.carry_state = family == 'gru'
    whole.model.update(dropout_rate=0.1, num_layers=2)
    train(whole, tmp_path / 'whole')

    class Killed(BaseException):
        pass

    def die(step, *_):
        if step == 17:
            raise Killed

    with pytest.raises(Killed):
        train(whole, tmp_path / 'parts', progress=die)
    assert comparable(tmp_path / 'parts')[-1]['step'] == 15  # ahead of the checkpoint of step 10
    train(whole, tmp_path / 'parts')
    assert comparable(tmp_path / 'parts') == comparable(tmp_path / 'whole')
    assert arrays(tmp_path / 'parts') == arrays(tmp_path / 'whole')


def test_a_finished_run_is_not_run_again(text, tmp_path):
    first = train(config(text), tmp_path)
    lines = (tmp_path / 'metrics.jsonl').read_text()

    def refuse(*_):
        raise AssertionError('a step was taken')

    again = train(config(text), tmp_path, progress=refuse)
    assert again['valid_loss'] == first['valid_loss']
    assert (tmp_path / 'metrics.jsonl').read_text() == lines


@pytest.mark.parametrize('devices', [1, 4])
def test_a_checkpoint_of_two_devices_goes_on_with_one_and_with_four(text, tmp_path, devices):
    begun = config(text, num_devices=2, steps=10, carry_state=True)
    train(begun, tmp_path)
    before = checkpoints.load_newest(tmp_path / 'checkpoints')
    begun.update(num_devices=devices, steps=20)
    train(begun, tmp_path)
    after = checkpoints.load_newest(tmp_path / 'checkpoints')
    assert before is not None
    assert after is not None
    assert (before.step, after.step) == (10, 20)
    assert after.tree['carry']['0'].shape == (4, 16)
    # What two devices go on to, up to the rounding of sums.
    begun.update(num_devices=2)
    twin = tmp_path / 'twin'
    train(config(text, num_devices=2, steps=10, carry_state=True), twin)
    train(begun, twin)
    reference = checkpoints.load_newest(twin / 'checkpoints')
    assert reference is not None
    for a, b in zip(
        jax.tree.leaves(after.tree['params']),
        jax.tree.leaves(reference.tree['params']),
        strict=True,
    ):
        np.testing.assert_allclose(a, b, atol=1e-4)


def test_what_may_change_and_what_not(text, tmp_path):
    train(config(text, steps=10), tmp_path)
    train(config(text, steps=12, eval_every=3, checkpoint_every=7), tmp_path)
    assert 'steps' in MAY_CHANGE
    other = config(text, steps=12)
    other.optimizer.learning_rate = 0.5
    other.seed = 3
    before = (tmp_path / 'metrics.jsonl').read_bytes()
    with pytest.raises(InputError, match=r'optimizer.learning_rate \(0.01, now 0.5\), seed'):
        train(other, tmp_path)
    assert (tmp_path / 'metrics.jsonl').read_bytes() == before
    assert read_config(tmp_path).to_dict()['optimizer']['learning_rate'] == 0.01


@pytest.mark.parametrize('checkpoint_every', [1, 2])
def test_what_is_not_finite_is_never_saved(text, tmp_path, monkeypatch, checkpoint_every):
    def breaks_at_the_seventh_step(config):
        return lambda step, total: jnp.where(step == 6, jnp.nan, jnp.float32(0.01))

    monkeypatch.setattr(optimizers, 'build_schedule', breaks_at_the_seventh_step)
    wild = config(text, checkpoint_every=checkpoint_every, keep_checkpoints=9)
    good = r'not finite since step 7; the last good checkpoint is that of step 6 in '
    with pytest.raises(RunError, match=good):
        loop.train(wild, str(tmp_path))
    saved = checkpoints.steps(tmp_path / 'checkpoints')
    assert max(saved) == 6
    assert all('valid_loss' not in line for line in read_metrics(tmp_path / 'metrics.jsonl'))
    for step in saved:
        tree = checkpoints.load(tmp_path / 'checkpoints' / f'{step:08d}').tree
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(tree['params']))


def test_stopped_while_evaluating_it_evaluates_on_going_on(text, tmp_path, monkeypatch):
    train(config(text), tmp_path / 'whole')
    evaluate, calls = Program.evaluate, []

    def stopped(self, params, split, *, stop=lambda: False):
        calls.append(1)
        if len(calls) == 2:  # the signal arrives while step 20 is evaluated
            signal.raise_signal(signal.SIGTERM)
        return evaluate(self, params, split, stop=stop)

    with monkeypatch.context() as patched:
        patched.setattr(Program, 'evaluate', stopped)
        with pytest.raises(loop.Stopped) as ended:
            train(config(text), tmp_path / 'parts')
    assert ended.value.code == 143
    saved = checkpoints.load_newest(tmp_path / 'parts' / 'checkpoints')
    assert saved is not None
    assert (saved.step, saved.info['logged']) == (20, False)
    assert comparable(tmp_path / 'parts')[-1]['step'] == 15
    train(config(text), tmp_path / 'parts')
    assert comparable(tmp_path / 'parts') == comparable(tmp_path / 'whole')
    assert arrays(tmp_path / 'parts') == arrays(tmp_path / 'whole')


@pytest.mark.parametrize('stopped_at', [8, 15])  # in between, and where a line was logged
def test_steps_can_be_lowered_to_what_is_done_and_not_below(text, tmp_path, stopped_at):
    def stop(step, *_):
        if step == stopped_at:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(loop.Stopped):
        train(config(text), tmp_path, progress=stop)
    with pytest.raises(InputError, match=f'steps is 7: the run has done {stopped_at} already'):
        train(config(text, steps=7), tmp_path)
    assert read_config(tmp_path).to_dict()['steps'] == 30
    result = train(config(text, steps=stopped_at), tmp_path)
    assert (result['step'], math.isfinite(result['valid_loss'])) == (stopped_at, True)
    steps = [line['step'] for line in read_metrics(tmp_path / 'metrics.jsonl')]
    assert steps == sorted({s for s in range(5, stopped_at + 1, 5)} | {stopped_at})


@pytest.mark.parametrize('family', ['gru', 'ngram'])
def test_a_run_does_not_go_on_with_another_text(text, tmp_path, family):
    mine = tmp_path / 'mine.txt'
    mine.write_text(text.read_text())
    loop.train(config(mine, family), str(tmp_path / 'run'))
    mine.write_text(text.read_text().upper())
    manifest = (tmp_path / 'run' / 'manifest.json').read_text()
    with pytest.raises(InputError, match='another text: fingerprint'):
        loop.train(config(mine, family), str(tmp_path / 'run'))
    assert (tmp_path / 'run' / 'manifest.json').read_text() == manifest
    mine.unlink()
    assert load_run(str(tmp_path / 'run')).tokenizer.decode([104, 105]) == 'hi'


def test_damaged_checkpoints_are_skipped_and_written_again(text, tmp_path):
    train(config(text), tmp_path / 'whole')
    train(config(text), tmp_path / 'hurt')
    newest = max((tmp_path / 'hurt' / 'checkpoints').iterdir())
    file = next(f for f in newest.rglob('d/*') if f.is_file())
    file.write_bytes(file.read_bytes()[:-5])
    train(config(text), tmp_path / 'hurt')
    assert arrays(tmp_path / 'hurt') == arrays(tmp_path / 'whole')
    assert comparable(tmp_path / 'hurt') == comparable(tmp_path / 'whole')


def test_the_ngram_is_a_run_like_any_other(text, tmp_path):
    result = loop.train(config(text, 'ngram'), str(tmp_path))
    assert result['valid_loss'] < 2
    again = loop.train(config(text, 'ngram'), str(tmp_path))
    assert again['valid_loss'] == result['valid_loss']
    assert len(read_metrics(tmp_path / 'metrics.jsonl')) == 1
    assert load_run(str(tmp_path)).step == 1


def test_a_folder_is_held_by_one_process(text, tmp_path):
    from nlp_models.training.workdir import Workdir

    held = Workdir(tmp_path, config(text))
    with pytest.raises(InputError, match='in use'):
        Workdir(tmp_path, config(text))
    held.close()
    Workdir(tmp_path, config(text)).close()


def test_lines_of_later_steps_and_torn_lines_are_cut(tmp_path):
    from nlp_models.training.workdir import MetricsFile

    metrics = MetricsFile(tmp_path)
    for step in (5, 10, 15):
        metrics.write({'step': step, 'train_loss': float(step)})
    with metrics.path.open('a') as file:
        file.write('{"step": 20, "tr')
    metrics.cut(10)
    assert [line['step'] for line in read_metrics(metrics.path)] == [5, 10]
    metrics.write({'step': 11})
    assert [line['step'] for line in read_metrics(metrics.path)] == [5, 10, 11]
