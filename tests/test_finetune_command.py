"""Fine-tuning as a user does it: the commands over a run of their own, by every method."""

import json
import math
import re
import signal
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import finetune
from nlp_models import trees
from nlp_models.adaptation import saving
from nlp_models.errors import InputError
from nlp_models.training import sources
from nlp_models.training.trained import load_run
from nlp_models.training.workdir import read_metrics
from tests.commands import inside, run, small, start
from tests.finetuning_runs import leave_results_out, newest
from tests.pretrained_folders import write_folder, write_letters
from tests.task_configs import labelled_file

QUICK = {  # Method: for classes or for text; the other is slow.
    'full': '_lm',
    'freeze': '',
    'gradual': '_lm',
    'layerwise': '',
    'adapter': '_lm',
    'lora': '',
    'prefix': '_lm',
    'bitfit': '',
}
VARIANTS = [
    pytest.param(method, end, id=method + end,
                 marks=() if QUICK[method] == end else pytest.mark.slow)
    for method in finetune.METHODS
    for end in ('', '_lm')
]  # fmt: skip


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """With `base`, the run of a small transformer, its text, and texts of two classes."""
    folder = tmp_path_factory.mktemp('finetune')
    labelled_file(folder)
    shape = {'model.num_layers': 1, 'model.num_heads': 2, 'num_devices': 1}
    steps = dict(steps=4, eval_every=2, checkpoint_every=2)
    inside('train', *small(folder, 'transformer', **shape, **steps), f'--workdir={folder / "base"}')
    return folder


def of(folder, variant, base='base', **fields):
    """Flags of a small run of a variant."""
    if variant.endswith('_lm'):
        data = {'path': folder / 'text.txt', 'cache_dir': folder / 'cache'}
    else:
        data = {'labelled': '', 'path': folder / 'labelled.tsv'}
    flags = {
        'init_from': folder / base,
        **{f'data.{name}': value for name, value in data.items()},
        'data.splits': '(0.7, 0.15, 0.15)',
        **dict(steps=4, eval_every=2, log_every=2, checkpoint_every=2, num_devices=1),
        **dict(batch_size=8, sequence_length=16),
        'optimizer.warmup_steps': 0,
        'optimizer.learning_rate': 0.01,
        'model.lora_rank': 2 if variant.startswith('lora') else 0,
        **fields,
    }
    return (
        f'--config=configs/finetune.py:{variant}',
        *(f'--config.{name}={value}' for name, value in flags.items()),
    )


@pytest.fixture(scope='module')
def tuned(folder):
    """Variant to what the command said of its run, each trained once, in folders of their names."""
    said = {}

    def train(variant):
        flags = (*of(folder, variant), f'--workdir={folder / variant}')
        if variant not in said and variant == 'bitfit':
            status, said[variant], err = run('train', *flags)  # as a user does it
            assert status == 0, err
        elif variant not in said:
            said[variant] = inside('train', *flags)  # which is quicker
        return said[variant]

    return train


def finite(value):
    return isinstance(value, int | float) and math.isfinite(value)


@pytest.mark.parametrize(('method', 'end'), VARIANTS)
def test_every_method_trains_and_tells_what_came_of_it(folder, tuned, method, end):
    said = tuned(method + end)
    workdir = folder / (method + end)
    results = json.loads((workdir / 'results.json').read_text())
    assert (results['init_from'], results['step']) in [(str(folder / 'base'), n) for n in (2, 4)]
    assert set(results) == {
        'step', 'task', 'init_from', 'validation', 'test', 'parameters', 'memory', 'seconds',
        'forgetting',
    }  # fmt: skip
    for split in ('validation', 'test'):
        told = results[split]['side_by_side' if end else 'classified']
        if end:
            assert told['perplexity'] == pytest.approx(math.exp(told['loss']))
        else:
            assert 0 <= told['accuracy'] <= 1
            assert 0 <= told['macro_f1'] <= 1
        assert all(map(finite, told.values()))
    run_ = load_run(str(workdir), merge=False)
    base = load_run(str(folder / 'base'))
    begun = trees.flatten(base.params)
    trained = results['parameters']['trained']
    moved = sum(
        leaf.size
        for path, leaf in trees.flatten(run_.params).items()
        if path not in begun or not np.array_equal(leaf, begun[path])
    )
    head = 0 if end else trees.flatten(base.params)['head/kernel'].size  # classes do not need it
    assert trained - head <= moved <= trained
    total = trees.count(run_.params)
    assert results['parameters'] == {'total': total, 'trained': trained, 'share': trained / total}
    if method in ('full', 'gradual', 'layerwise'):
        assert trained == total
    else:
        assert trained < 0.7 * total
        assert f'({total:,} parameters, {trained:,} of them trained; ' in said
    assert results['memory']['gradient'] == 4 * trained
    assert results['memory']['optimizer_state'] >= 8 * trained  # Adam's two moments
    assert results['memory']['process'] > 1e6
    assert results['seconds']['training'] > 0
    assert results['seconds']['compiling'] > 0
    forgotten = results['forgetting']
    assert (forgotten['task'], forgotten['text']) == (
        'language_modelling', str(folder / 'text.txt')
    )  # fmt: skip
    best = min(line['valid_loss'] for line in read_metrics(folder / 'base' / 'metrics.jsonl')
               if 'valid_loss' in line)  # fmt: skip
    assert forgotten['before'] == pytest.approx(best, rel=1e-5)
    assert finite(forgotten['after'])
    assert said.startswith('step 4: validation loss ')


def test_what_the_command_says_in_a_process_of_its_own(tuned):
    assert re.fullmatch(
        r'step 4: validation loss \d\.\d{4}, accuracy \d\.\d{4} '
        r'\([\d,]+ parameters, [\d,]+ of them trained; [\d.]+ s of training, '
        r'[\d.]+ s of compiling\)\n',
        tuned('bitfit'),
    )


def lines_of(out):
    """The numbers of each split that `evaluate` prints."""
    lines = [json.loads(line) for line in out.splitlines()]
    return {line.pop('split'): {k: v for k, v in line.items() if k != 'step'} for line in lines}


def test_an_adapter_is_exported_evaluated_and_trained_further(folder, tuned):
    tuned('lora')
    kept = folder / 'kept'
    out = inside('export', f'--workdir={folder / "lora"}', f'--output={kept}', '--adapter')
    adapter = saving.read(kept)
    size = sum(array.nbytes for array in adapter.arrays.values())
    assert out == f'{kept}: {size:,} bytes on top of the base\n'
    assert {path.split('/')[0] for path in adapter.arrays} == {'lora', 'classifier'}
    assert sum(file.stat().st_size for file in kept.iterdir()) < 10_000
    assert adapter.base == str(folder / 'base')
    results = json.loads((folder / 'lora' / 'results.json').read_text())
    for flags in ([f'--workdir={folder / "lora"}'], of(folder, 'full', base='kept')):
        for split, numbers in lines_of(inside('evaluate', *flags)).items():
            name = numbers.pop('name')
            assert numbers == pytest.approx(results[split][name], rel=1e-5)
    # Trained further it starts where it ended, and LoRA lies in its matrices.
    more = of(folder, 'bitfit', base='kept', **{'optimizer.learning_rate': 1e-9})
    inside('train', *more, f'--workdir={folder / "further"}')
    further = json.loads((folder / 'further' / 'results.json').read_text())
    assert further['init_from'] == str(kept)
    for split in ('validation', 'test'):
        assert further[split]['classified'] == pytest.approx(results[split]['classified'], rel=1e-4)
    assert not any(path.startswith('lora') for path in trees.flatten(
        load_run(str(folder / 'further'), merge=False).params))  # fmt: skip


def logits_of(name, tokens):
    """What a source says of tokens."""
    source = sources.load_source(str(name))
    model, params = source.build(), source.params
    return np.asarray(jax.jit(lambda p: model.apply(p, model.start(p, 2), tokens)[1])(params))


def test_lora_is_merged_where_a_folder_of_ordinary_weights_is_written(folder, monkeypatch):
    """It holds the base's names and shapes, other numbers, and says what the run says."""
    leave_results_out(monkeypatch)
    base = write_folder(folder / 'gpt2', 'gpt2')
    write_letters(base)
    flags = of(folder, 'lora_lm', base='gpt2', **{'optimizer.learning_rate': 0.1})
    inside('train', *flags, f'--workdir={folder / "ranked"}')
    out = inside('export', f'--workdir={folder / "ranked"}', f'--output={folder / "merged"}')
    assert out == f'{folder / "merged"}: model_type gpt2\n'
    run_ = load_run(str(folder / 'ranked'), merge=False)  # as trained
    tokens = jnp.asarray(np.random.default_rng(0).integers(6, 30, size=(2, 9)), jnp.int32)
    say = jax.jit(lambda p: run_.model.apply(p, run_.model.start(p, 2), tokens)[1])
    wanted = np.asarray(say(run_.params))
    np.testing.assert_allclose(logits_of(folder / 'merged', tokens), wanted, rtol=1e-5, atol=1e-5)
    assert np.abs(logits_of(base, tokens) - wanted).max() > 0.01
    before, after = (trees.flatten(sources.load_source(str(f)).params)
                     for f in (base, folder / 'merged'))  # fmt: skip
    assert {p: a.shape for p, a in before.items()} == {p: a.shape for p, a in after.items()}
    changed = {path for path in before if not np.array_equal(before[path], after[path])}
    assert changed == {path for path in before if re.search(finetune.LORA_TARGETS, path)}


def test_what_no_folder_of_ordinary_weights_can_hold_is_told(folder, tuned):
    for variant, path in {
        'adapter_lm': 'body/layer_0/attention_adapter/down/bias',
        'prefix_lm': 'prefix/0/k',
        'bitfit': 'classifier/bias',
    }.items():
        tuned(variant)
        message = rf'^the run has \d+ parameters such as {path}, .*: export it with --adapter$'
        with pytest.raises(InputError, match=message):
            inside('export', f'--workdir={folder / variant}', f'--output={folder / "no"}')
    assert not (folder / 'no').exists()


@pytest.mark.slow
@pytest.mark.parametrize('variant', ['gradual', 'lora_lm'])
def test_killed_by_the_system_it_ends_bit_identical(folder, variant):
    flags = of(folder, variant, steps=120, log_every=1, eval_every=40, checkpoint_every=10)
    ends = []
    for name, kill in (('whole', False), ('killed', True)):
        workdir = folder / f'{variant}-{name}'
        if kill:
            process = start('train', *flags, f'--workdir={workdir}')
            while process.poll() is None:
                if len(read_metrics(workdir / 'metrics.jsonl')) > 30:
                    process.send_signal(signal.SIGKILL)
                time.sleep(0.002)
            process.communicate(timeout=60)
            assert process.returncode == -signal.SIGKILL
            assert 0 < newest(workdir).step < 120
        status, _, err = run('train', *flags, f'--workdir={workdir}')
        assert status == 0, err
        assert newest(workdir).step == 120
        ends.append(trees.digests(newest(workdir).tree))
    assert ends[0] == ends[1]
