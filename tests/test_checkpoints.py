"""Checkpoints: whole or not there, checked bit by bit, the newest and the best."""

import random
from pathlib import Path

import jax
import numpy as np
import pytest

from nlp_models.errors import RunError
from nlp_models.training import checkpoints


def tree(value):
    rng = np.random.default_rng(value)
    return {
        'params': {'layer_0': {'W': rng.normal(size=(7, 5)).astype(np.float32)}},
        'step': np.asarray(value, np.int32),
        'carry': {'0': rng.normal(size=(4, 3)).astype(np.float32)},
    }


def same(a, b):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        assert x.dtype == y.dtype
        np.testing.assert_array_equal(x, y)


def save(folder, losses, keep=2):
    writer = checkpoints.Writer(folder, keep)
    for step, loss in losses.items():
        writer.save(step, tree(step), {'valid_loss': loss, 'logged': True})
    writer.wait()
    return writer


def test_what_is_read_is_what_was_saved(tmp_path):
    save(tmp_path / 'c', {5: 1.0})
    read = checkpoints.load_newest(tmp_path / 'c')
    assert read is not None
    assert (read.step, read.info) == (5, {'valid_loss': 1.0, 'logged': True})
    same(read.tree, tree(5))
    assert checkpoints.load_newest(tmp_path / 'nothing') is None


def test_a_folder_may_be_named_from_here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save(Path('runs/c'), {3: 1.0})
    read = checkpoints.load_newest(Path('runs/c'))
    assert read is not None
    same(read.tree, tree(3))


def test_the_newest_are_kept_and_the_best(tmp_path):
    save(tmp_path, {1: 3.0, 2: 1.0, 3: 2.0, 4: None, 5: 4.0, 6: None})
    assert checkpoints.steps(tmp_path) == [2, 5, 6]
    newest, best = checkpoints.load_newest(tmp_path), checkpoints.load_best(tmp_path)
    assert newest is not None
    assert best is not None
    assert (newest.step, best.step) == (6, 2)


def test_an_interrupted_save_leaves_nothing_that_counts(tmp_path):
    save(tmp_path, {1: 1.0})
    partial = tmp_path / f'00000002{checkpoints.PARTIAL}'
    partial.mkdir()
    (partial / 'files.json').write_text('{}')
    read = checkpoints.load_newest(tmp_path)
    assert read is not None
    assert read.step == 1
    checkpoints.Writer(tmp_path, 2)
    assert not partial.exists()


def test_a_flipped_bit_in_any_file_is_noticed(tmp_path):
    save(tmp_path, {1: 1.0})
    path = tmp_path / '00000001'
    files = [f for f in sorted(path.rglob('*')) if f.is_file()]
    assert {'files.json', 'state.json', '_METADATA'} <= {f.name for f in files}
    rng = random.Random(0)
    for file in files:
        original = file.read_bytes()
        for _ in range(3):
            damaged = bytearray(original)
            damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
            file.write_bytes(damaged)
            with pytest.raises(ValueError, match=r'damaged|array|read|decode'):
                checkpoints.load(path)
        file.write_bytes(original)
    assert checkpoints.load(path).step == 1


@pytest.mark.parametrize('damage', ['truncate', 'remove', 'add'])
def test_a_damaged_checkpoint_is_skipped_for_the_one_before(tmp_path, damage, caplog):
    save(tmp_path, {1: 1.0, 2: 0.5})
    file = next(f for f in (tmp_path / '00000002' / 'arrays').rglob('*') if f.is_file())
    if damage == 'truncate':
        file.write_bytes(file.read_bytes()[:-1])
    elif damage == 'remove':
        file.unlink()
    else:
        (file.parent / 'more').write_text('')
    for load in (checkpoints.load_newest, checkpoints.load_best):
        read = load(tmp_path)
        assert read is not None
        assert read.step == 1
        same(read.tree, tree(1))
    (tmp_path / '00000001' / 'state.json').unlink()
    with pytest.raises(RunError, match='none of the 2 checkpoints'):
        checkpoints.load_newest(tmp_path)


def test_later_steps_can_be_deleted_and_saved_again(tmp_path):
    writer = save(tmp_path, {1: 1.0, 2: 0.5, 3: 0.4}, keep=3)
    writer.delete_after(1)
    assert checkpoints.steps(tmp_path) == [1]
    writer.save(2, tree(7), {'valid_loss': None})
    writer.wait()
    same(checkpoints.load(tmp_path / '00000002').tree, tree(7))


def test_a_failed_save_is_not_silent(tmp_path):
    (tmp_path / 'c').write_text('a file where the folder should be')
    writer = checkpoints.Writer(tmp_path / 'c', 2)
    writer.save(1, tree(1), {'valid_loss': 1.0})
    with pytest.raises(OSError, match='c'):
        writer.wait()
