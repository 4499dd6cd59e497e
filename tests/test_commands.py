"""The commands as a user meets them: what they print, and one clear line for what is wrong."""

import json
import math
import shutil

import pytest

from tests.commands import not_told, run, small, text_file


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp('trained')
    for family in ('gru', 'ngram'):
        status, out, err = run('train', *small(folder, family), f'--workdir={folder / family}')
        assert status == 0, err
        assert 'bits per char' in out
    return folder


@pytest.mark.parametrize('family', ['gru', 'ngram'])
def test_evaluate_gives_the_numbers_of_training_under_their_names(trained, family):
    status, out, err = run('evaluate', f'--workdir={trained / family}')
    assert status == 0, err
    scores = {(s['split'], s['name']): s for s in map(json.loads, out.splitlines())}
    names = ('side_by_side', 'overlapping', 'carried_state')
    assert set(scores) == {(split, name) for split in ('validation', 'test') for name in names}
    logged = [json.loads(x) for x in (trained / family / 'metrics.jsonl').read_text().splitlines()]
    best = min(line['valid_loss'] for line in logged if 'valid_loss' in line)
    headline = scores['validation', 'side_by_side']
    assert headline['loss'] == pytest.approx(best, rel=1e-5)
    assert headline['perplexity'] == pytest.approx(math.exp(best), rel=1e-5)
    # More context cannot hurt a text this regular by much.
    assert scores['validation', 'carried_state']['loss'] < headline['loss'] + 0.05


@pytest.mark.parametrize('family', ['gru', 'ngram'])
def test_sample_goes_on_with_the_prompt_and_repeats_itself(trained, family):
    flags = (f'--workdir={trained / family}', '--prompt=the cat ', '--num_tokens=40')
    texts = [run('sample', *flags, f'--seed={seed}')[1] for seed in (0, 0, 1)]
    assert texts[0].startswith('the cat ')
    assert len(texts[0]) == len('the cat ') + 40 + 1
    assert texts[0] == texts[1] != texts[2]


def bad_inputs(folder):
    """(what the line must say, command, flags)."""
    text = text_file(folder)
    (folder / 'empty.txt').write_text('')
    (folder / 'short.txt').write_text('short ')
    (folder / 'latin.txt').write_bytes(text.read_bytes()[:500] + b'caf\xe9 ' + text.read_bytes())
    (folder / 'file').write_text('a file')
    run_, plain = small(folder), [*small(folder), '--workdir=HERE']
    heads = [
        *small(folder, 'transformer'),
        '--config.model.num_heads=3',
        f'--workdir={folder / "r"}',
    ]
    return {
        'unknown field': ('stepz', 'train', [*plain, '--config.stepz=3']),
        'unknown group field': ('num_heads', 'train', [*plain, '--config.model.num_heads=3']),
        'unknown variant': ('mamba', 'train', ['--config=configs/lm.py:mamba', '--workdir=x']),
        'no such config': ('nothing.py', 'train', ['--config=configs/nothing.py', '--workdir=x']),
        'unknown flag': ('wordkir', 'train', [*run_, '--wordkir=x']),
        'missing flag': ('workdir', 'train', run_),
        'wrong type': ('steps', 'train', [*plain, '--config.steps=many']),
        'out of range': ('steps', 'train', [*plain, '--config.steps=0']),
        'rate': ('learning_rate', 'train', [*plain, '--config.optimizer.learning_rate=-1.0']),
        'heads': ('model.num_heads is 3', 'train', heads),
        'another family': ('lm.py:rnn', 'train', [*plain, '--config.model.family=rnn']),
        'devices': ('num_devices is 3', 'train', [*plain, '--config.num_devices=3']),
        'no path': ('nowhere.txt', 'train', [*plain, f'--config.data.path={folder}/nowhere.txt']),
        'empty': ('empty.txt', 'train', [*plain, f'--config.data.path={folder}/empty.txt']),
        'short': ('17', 'train', [*plain, f'--config.data.path={folder}/short.txt']),
        'latin': ('latin.txt.*503', 'train', [*plain, f'--config.data.path={folder}/latin.txt']),
        'unwritable': ('file/run', 'train', [*run_, f'--workdir={folder}/file/run']),
        'not a run': ('holds no run', 'evaluate', [f'--workdir={folder / "cache"}']),
        'no workdir': ('holds no run', 'sample', [f'--workdir={folder / "nothing"}']),
    }


def test_bad_input_is_one_line_and_status_2(tmp_path_factory):
    folder = tmp_path_factory.mktemp('bad')
    assert not not_told(folder, bad_inputs(folder))
    assert not list(folder.glob('run-*'))
    assert (folder / 'file').read_text() == 'a file'


def test_another_configs_workdir_is_left_as_it_was(trained):
    before = {p: p.read_bytes() for p in (trained / 'gru').rglob('*') if p.is_file()}
    flags = small(trained, 'gru', **{'model.hidden_size': 32})
    status, _, err = run('train', *flags, f'--workdir={trained / "gru"}')
    assert status == 2
    assert 'model.hidden_size (16, now 32)' in err
    assert 'Traceback' not in err
    assert before == {p: p.read_bytes() for p in (trained / 'gru').rglob('*') if p.is_file()}


def test_no_intact_checkpoint_is_status_1(trained, tmp_path):
    shutil.copytree(trained / 'gru', tmp_path / 'run')
    for file in (tmp_path / 'run' / 'checkpoints').rglob('files.json'):
        file.write_text('{}')
    status, _, err = run('train', *small(trained), f'--workdir={tmp_path / "run"}')
    assert status == 1
    assert 'none of the' in err.splitlines()[-1]
    assert 'Traceback' not in err
