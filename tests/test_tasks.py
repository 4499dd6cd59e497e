"""Every task from its config to a trained model: what is learned, logged and refused."""

import json
import math
from typing import Any

import numpy as np
import pytest

from configs import pretrained
from nlp_models.errors import InputError
from nlp_models.training import judging, loop, sources
from nlp_models.training.program import build_program
from nlp_models.training.trained import Trained, load_run
from nlp_models.training.workdir import read_metrics
from nlp_models.types import Seq2Seq, TextEncoder
from tests.commands import text_file
from tests.pretrained_folders import write_folder, write_letters
from tests.task_configs import (
    contrastive,
    language_model,
    letter_file,
    masked,
    pair_file,
    pairs,
    reverse,
)

# Name: (what makes its config, of a folder; what the model is; its numbers; its shape).
RUNS: dict[str, tuple[Any, Any, set, dict]] = {
    'masked': (
        # So many rows that more than the frequency of letters is learned between two measurements.
        lambda folder: masked(folder, batch_size=32),
        TextEncoder,
        {'loss', 'token_accuracy'},
        dict(vocab_size=20, max_length=16, source_length=0),  # 18 letters, unknown and the mask
    ),
    'reverse': (
        lambda folder: reverse('transformer'),
        Seq2Seq,
        {'loss', 'token_accuracy', 'exact_match'},
        dict(vocab_size=29, max_length=5, source_length=4),  # letters, unknown, BEGIN and END
    ),
    'pairs': (
        lambda folder: pairs(pair_file(folder), 'luong', sequence_length=20, source_length=14),
        Seq2Seq,
        {'loss', 'token_accuracy', 'exact_match'},
        dict(vocab_size=36, max_length=20, source_length=14),
    ),
    'contrastive': (
        lambda folder: contrastive(pair_file(folder), 'contrastive_gru'),
        TextEncoder,
        {'loss', 'batch_accuracy'},
        dict(vocab_size=34, max_length=12, source_length=0),
    ),
}


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp('tasks')


@pytest.fixture(scope='module', params=RUNS)
def run(request, folder):
    """(name, config, the run's folder, what `train` returned)."""
    make, *_ = RUNS[request.param]
    config = make(folder)
    config.update(steps=40, eval_every=20)
    workdir = folder / request.param
    return request.param, config, workdir, loop.train(config, str(workdir))


def test_a_run_learns_and_names_what_it_measures(run):
    name, config, workdir, result = run
    _, _, numbers, shape = RUNS[name]
    lines = read_metrics(workdir / 'metrics.jsonl')
    assert [line['step'] for line in lines] == [10, 20, 30, 40]
    measured = [line for line in lines if 'valid_loss' in line]
    assert [line['step'] for line in measured] == [20, 40]
    assert measured[1]['valid_loss'] < measured[0]['valid_loss']
    assert lines[-1]['train_loss'] < lines[0]['train_loss']
    for line in measured:
        assert {key for key in line if key.startswith('valid_')} == {f'valid_{n}' for n in numbers}
        shares = [line[f'valid_{n}'] for n in numbers - {'loss'}]
        assert all(0 <= each <= 1 for each in shares)
    manifest = json.loads((workdir / 'manifest.json').read_text())
    assert manifest['shape'] == shape
    assert manifest['parameters'] == result['parameters'] > 0
    for line in lines:
        tokens = (
            config.batch_size
            * {
                'masked': 16,
                'reverse': 4 + 5,
                'pairs': 14 + 20,
                'contrastive': 2 * 12,
            }[name]
        )
        assert line['tokens_per_second'] * line['step_seconds'] == pytest.approx(tokens)


def test_a_run_is_read_back(run):
    name, _, workdir, _ = run
    _, kind, numbers, shape = RUNS[name]
    found = load_run(str(workdir))
    assert isinstance(found.model, kind)
    assert found.shape._asdict() == {**shape, 'num_classes': 0, 'pooling': ''}
    lines = {line['step']: line for line in read_metrics(workdir / 'metrics.jsonl')}
    task = judging.load_task(found)
    assert task.dataset.tokenizer.to_json() == found.tokenizer.to_json()
    again = judging.score_split(found, task, task.dataset.validation)
    logged = {key: lines[found.step][f'valid_{key}'] for key in numbers}
    assert again == pytest.approx(logged, rel=1e-5)


def test_sources_and_targets_longer_than_trained_on_are_scored(tmp_path):
    """As far as the model reads; what is longer counts as wrong."""
    path = tmp_path / 'pairs.tsv'
    path.write_text(''.join(f'{"ab" * n}\t{"b" * n}\n' for n in range(1, 41)))
    config = pairs(path, 'transformer', sequence_length=12, source_length=20, num_devices=1)
    config.model.max_positions = 24
    program = build_program(config)
    batch = next(program.task.eval_batches(program.task.dataset.validation, 4))
    lengths = program.task.dataset.validation.source.lengths
    assert lengths.max() > 24
    assert batch['source'].shape[1] == 24
    assert batch['weights'].shape[1] == min(24, max(lengths) // 2 + 1)
    params = program.place(program.init()).params
    numbers = program.evaluate(params, program.task.dataset.validation)
    assert numbers is not None
    assert math.isfinite(numbers['loss'])


@pytest.mark.parametrize('devices', [1, 2, 4])
def test_hidden_tokens_are_the_same_for_any_number_of_devices(folder, devices):
    """And for the one that `evaluate` has; 8192 is no multiple of 100 · 4."""
    config = masked(folder, 'mlm_gru', sequence_length=100, num_devices=devices)
    program = build_program(config)
    task, begin = program.task, program.init()
    split = task.dataset.validation
    many = program.evaluate(program.place(begin).params, split)
    run = Trained(config, task.dataset.tokenizer, task.model, task.shape, begin.params, 0)
    assert many == pytest.approx(judging.score_split(run, task, split), rel=1e-5)


def test_hidden_tokens_are_the_same_in_batches_of_any_size(folder):
    task = build_program(masked(folder, num_devices=1)).task

    def rows(size):
        for batch in task.eval_batches(task.dataset.validation, size):
            yield from (
                {name: value[row] for name, value in batch.items()}
                for row in range(size)
                if batch['weights'][row].any()
            )

    one, other = list(rows(3)), list(rows(8))
    assert len(one) > 8
    for mine, theirs in zip(one, other, strict=True):
        for name, value in mine.items():
            np.testing.assert_array_equal(value, theirs[name])


def test_windows_of_a_pretrained_encoder_stand_within_its_special_tokens(folder):
    source = write_letters(write_folder(folder / 'bert', 'bert'), framed=True)
    config: Any = pretrained.get_config('mlm')
    config.data.update(path=str(text_file(folder)), cache_dir=str(folder / 'cache'))
    config.update(init_from=str(source), sequence_length=12, batch_size=4, num_devices=1)
    task = build_program(sources.resolve(config)).task
    special, split = task.dataset.tokenizer.special, task.dataset.validation
    assert (task.batch(0)['targets'][:, 0] == special['cls']).all()
    assert (task.batch(0)['targets'][:, -1] == special['sep']).all()
    texts = []
    for batch in task.eval_batches(split, 4):
        for row, weights, n in zip(
            batch['targets'], batch['weights'], batch['lengths'], strict=True
        ):
            assert not weights[n:].any()
            assert not row[n:].any()
            if weights.any():
                assert (row[0], row[n - 1]) == (special['cls'], special['sep'])
                assert not weights[[0, n - 1]].any()
                texts.append(row[1 : n - 1])
    np.testing.assert_array_equal(np.concatenate(texts), split[1:])
    assert len(texts[-1]) < 10
    config.sequence_length = 2
    with pytest.raises(InputError, match='sequence_length is 2: it must be at least 3'):
        build_program(sources.resolve(config))


# What does not go together.


def bad_tasks(folder):
    """(what the line must say, config)."""
    tsv, letters = pair_file(folder), letter_file(folder)
    language = masked(folder, task='language_modelling')
    decoder = masked(folder)
    decoder.model.architecture = 'decoder'
    headless = masked(folder)
    headless.model.masked_head = False
    writer = pairs(letters)
    writer.model.architecture = 'encoder'
    with writer.unlocked():
        writer.model.update(masked_head=False, num_segments=0)
    whole = contrastive(tsv)
    whole.model.architecture = 'decoder'
    narrow = pairs(tsv)
    narrow.model.max_positions = 9
    narrower = contrastive(tsv)
    narrower.model.max_positions = 9
    from_nothing = pretrained.get_config('lm')
    from_nothing.data.path = str(tsv)
    drawn = contrastive(tsv)
    drawn.data.update(pairs='reverse', path='')
    unknown = pairs(letters)
    unknown.data.update(pairs='translate', path='')
    neither = pairs(letters)
    neither.data.path = ''
    empty = pairs(letters)
    empty.data.splits = (1.0, 0.0, 0.0)
    return {
        'unknown task': (
            r"^task is 'translation': it must be one of language_modelling, masked_",
            pairs(letters, task='translation'),
        ),
        **{
            f'{task} of another config': (
                f"^task is '{task}', but the config was made for another and has no {field}: ",
                config,
            )
            for task, field, config in (
                ('language_modelling', 'cache_dir', contrastive(tsv, task='language_modelling')),
                ('sequence_to_sequence', 'pairs', masked(folder, task='sequence_to_sequence')),
                ('contrastive', 'pooling', pairs(letters, task='contrastive')),
                ('contrastive', 'pairs', masked(folder, task='contrastive')),
                (
                    'masked_language_modelling',
                    'mask_rate',
                    language_model(folder, 'gru', task='masked_language_modelling'),
                ),
            )
        },
        'from nothing': ("^init_from is '': it must name a model", from_nothing),
        'too long to read': (
            '^sequence_length is 12: it must be at most what the model reads, 9',
            narrow,
        ),
        'too long to embed': (
            '^sequence_length is 12: it must be at most what the model reads, 9',
            narrower,
        ),
        'encoder as language model': (r"architecture is 'encoder': only decoder", language),
        'decoder to guess': (r"architecture is 'decoder': .*masked.* needs encoder", decoder),
        'no head': (r'^model\.masked_head is False', headless),
        'encoder to write': (r"architecture is 'encoder': .* needs encoder_decoder", writer),
        'decoder to embed': (r"architecture is 'decoder': .*contrastive needs encoder", whole),
        'carried masked': (
            '^carry_state is True: it has no meaning for the task masked',
            masked(folder, carry_state=True),
        ),
        'carried pairs': ('^carry_state is True', pairs(letters, 'luong', carry_state=True)),
        'mask rate': ('^mask_rate is 0.0', masked(folder, mask_rate=0.0)),
        'high mask rate': ('^mask_rate is 1.0', masked(folder, mask_rate=1.0)),
        'pooling': (
            "^pooling is 'max': it must be one of mean, cls, last",
            contrastive(tsv, pooling='max'),
        ),
        'temperature': ('^temperature is 0.0', contrastive(tsv, temperature=0.0)),
        'one pair': ('^batch_size is 1: it must be at least 2', contrastive(tsv, batch_size=1)),
        'microbatches': ('^accumulate is 2: it must be 1', contrastive(tsv, accumulate=2)),
        'more rows than pairs': ('^batch_size is 96', contrastive(tsv, batch_size=96)),
        'drawn': ("pairs='reverse' is no set of texts", drawn),
        'short': ('^source_length is 2', reverse(source_length=2)),
        'negative': ('^sequence_length is -1: it must be at least 0', reverse(sequence_length=-1)),
        'no length': (
            '^sequence_length is 0: it must be at least 1',
            masked(folder, sequence_length=0),
        ),
        'unknown pairs': ("pairs='translate' is unknown", unknown),
        'neither': ("pairs='' is unknown", neither),
        'empty validation': ('^the validation split is empty', empty),
    }


def test_what_does_not_go_together_is_told(folder, tmp_path):
    failures = []
    for name, (pattern, config) in bad_tasks(folder).items():
        try:
            with pytest.raises(InputError, match=pattern) as error:
                loop.train(config, str(tmp_path / name))
            assert '\n' not in str(error.value)
            assert not (tmp_path / name).exists()
        except BaseException as wrong:
            failures.append((name, type(wrong), str(wrong)[:300]))
    assert not failures
