"""Training any task: resumed, on several devices, in microbatches."""

from functools import partial

import jax
import numpy as np
import pytest

from nlp_models import trees
from nlp_models.training import checkpoints, loop
from nlp_models.training.program import build_program
from nlp_models.training.workdir import read_metrics
from tests.task_configs import contrastive, masked, pair_file, pairs, reverse


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp('tasks')


DETERMINISTIC = ('step', 'train_loss', 'valid_loss', 'valid_exact_match', 'grad_norm')


def comparable(workdir):
    lines = read_metrics(workdir / 'metrics.jsonl')
    return [{k: line[k] for k in DETERMINISTIC if k in line} for line in lines]


def test_stopped_and_started_again_it_ends_the_same(tmp_path):
    config = reverse('luong', steps=30)
    config.model.update(dropout_rate=0.1, num_layers=2)
    program = build_program(config)
    train = partial(loop.train, config, program=program)
    train(str(tmp_path / 'whole'))

    class Killed(BaseException):
        pass

    def die(step, *_):
        if step == 27:
            raise Killed

    with pytest.raises(Killed):
        train(str(tmp_path / 'parts'), progress=die)
    assert comparable(tmp_path / 'parts')[-1]['step'] == 20
    train(str(tmp_path / 'parts'))
    assert comparable(tmp_path / 'parts') == comparable(tmp_path / 'whole')
    ends = []
    for part in ('parts', 'whole'):
        newest = checkpoints.load_newest(tmp_path / part / 'checkpoints')
        assert newest is not None
        assert newest.step == 30
        ends.append(trees.digests(newest.tree))
    assert ends[0] == ends[1]


@pytest.mark.parametrize(
    'make',
    [
        partial(masked, variant='mlm_gru'),
        lambda folder, **how: pairs(pair_file(folder), 'bahdanau', **how),
        lambda folder, **how: contrastive(pair_file(folder), **how),
    ],
)
def test_devices_agree(folder, make):
    """With SGD, which does not blow up what is zero but for its rounding."""

    def trained(number):
        config = make(folder, num_devices=number, batch_size=8)
        config.optimizer.update(name='sgd', learning_rate=0.5, b1=0.0)
        program = build_program(config)
        state = first = program.place(program.init())
        for step in range(4):
            state, _ = program.train_step(state, program.batch(step))
        numbers = program.evaluate(state.params, program.task.dataset.validation)
        assert numbers is not None
        before, after = (program.fetch(each).params for each in (first, state))
        return before, after, numbers

    (begin, one, numbers), (_, two, others) = trained(1), trained(2)

    def difference(a, b):
        leaves = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
        return max(np.abs(x - y).max() for x, y in leaves)

    assert difference(begin, one) > 1e-2
    assert difference(one, two) < 2e-6
    assert others == pytest.approx(numbers, rel=1e-4)


def test_microbatches_are_the_whole_batch(folder):
    """What they hold is unlike: sums are added up, and divided once."""

    def trained(accumulate):
        config = masked(folder, 'mlm_gru', accumulate=accumulate, num_devices=1)
        config.optimizer.update(name='sgd', learning_rate=0.5, b1=0.0)
        program = build_program(config)
        state, _ = program.train_step(program.place(program.init()), program.batch(0))
        return program.fetch(state).params

    for a, b in zip(*(jax.tree.leaves(trained(n)) for n in (1, 4)), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-6)
