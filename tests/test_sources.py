"""Training that starts from what was trained before: a run's folder, or a pretrained one."""

import json
from functools import partial
from typing import Any

import jax
import numpy as np
import pytest

from configs import pretrained
from nlp_models import trees
from nlp_models.data.tokenizers import tokenizer_from_json
from nlp_models.errors import InputError
from nlp_models.pretrained import load as pretrained_load
from nlp_models.pretrained.sentences import Sentences
from nlp_models.training import checkpoints, judging, loop, sources, trained
from nlp_models.training.program import build_program
from nlp_models.training.workdir import read_config, read_metrics
from tests.pretrained_folders import SPECIAL, write_folder, write_letters
from tests.task_configs import contrastive, language_model, masked, pair_file, pairs, text_file


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp('sources')


def trained_run(config, workdir):
    config.update(steps=4, eval_every=2, checkpoint_every=2, log_every=2, num_devices=1)
    loop.train(config, str(workdir))
    return workdir


@pytest.fixture(scope='module')
def language_run(folder):
    """A language model with learned positions, which bound what it reads."""
    config = language_model(folder)
    config.model.positions = 'learned'
    return trained_run(config, folder / 'language')


@pytest.fixture(scope='module')
def masked_run(folder):
    return trained_run(masked(folder, 'mlm_gru'), folder / 'masked')


@pytest.fixture(scope='module')
def llama(folder):
    return write_letters(write_folder(folder / 'llama', 'llama', eos_token_id=5))


@pytest.fixture(scope='module')
def bert(folder):
    return write_letters(write_folder(folder / 'bert', 'bert'), framed=True)


def best(workdir):
    checkpoint = checkpoints.load_best(workdir / 'checkpoints')
    assert checkpoint is not None
    return checkpoint.tree['params']


def group_of(workdir) -> Any:
    """The `model` group of a run's config."""
    return read_config(workdir).model


def start_of(config):
    """The config of a run as it is kept, and its parameters before the first step."""
    resolved = sources.resolve(config)
    program = build_program(resolved)
    return resolved, program, program.init().params


# A run's folder.


def test_a_run_is_a_source(language_run, folder):
    source = sources.load_source(str(language_run))
    assert trees.digests(source.params) == trees.digests(best(language_run))
    assert source.shape == (19, 16, 0, 0, '')
    assert source.tokenizer.to_json() == (language_run / 'tokenizer.json').read_text()
    assert source.sentences is None
    assert source.build().context == 16
    # There are as many learned positions as the run had tokens, whatever is read now.
    assert source.model.to_dict() == {**group_of(language_run).to_dict(), 'max_positions': 16}


def test_the_best_parameters_are_taken_and_not_the_newest(folder, tmp_path):
    config = language_model(folder, 'gru')
    config.optimizer.update(name='sgd', learning_rate=30.0, warmup_steps=4)  # too much, in the end
    workdir = trained_run(config, tmp_path / 'run')
    losses = [line['valid_loss'] for line in read_metrics(workdir / 'metrics.jsonl')]
    assert losses[0] < losses[1]
    assert trained.load_run(str(workdir)).step == 2
    assert trained.load_run(str(workdir), best=False).step == 4
    saved = checkpoints.load(workdir / 'checkpoints' / '00000002')
    source = sources.load_source(str(workdir))
    assert trees.digests(source.params) == trees.digests(saved.tree['params'])


def test_a_run_trained_for_vectors_says_how_it_makes_them(folder):
    config = contrastive(pair_file(folder), 'contrastive_gru', pooling='last', sequence_length=9)
    workdir = trained_run(config, folder / 'vectors')
    assert sources.load_source(str(workdir)).sentences == Sentences('last', True, 9)


def test_training_goes_on_from_a_runs_best_parameters(language_run, folder, tmp_path):
    config = language_model(folder, init_from=str(language_run), seed=5, num_devices=1)
    config.model.update(hidden_size=99, num_layers=7, dropout_rate=0.25, remat=True)
    resolved, _, begin = start_of(config)
    assert trees.digests(begin) == trees.digests(best(language_run))
    own = {**group_of(language_run).to_dict(), 'max_positions': 16}
    assert resolved.model.to_dict() == {**own, 'dropout_rate': 0.25, 'remat': True}
    assert resolved.seed == 5
    config.update(steps=4, eval_every=2, checkpoint_every=2)
    config.optimizer.learning_rate = 0.1
    loop.train(config, str(tmp_path / 'run'))
    assert group_of(tmp_path / 'run') == resolved.model
    run = trained.load_run(str(tmp_path / 'run'), best=False)
    moved = jax.tree.leaves(jax.tree.map(lambda a, b: np.abs(a - b).max(), run.params, begin))
    assert min(moved) > 0
    assert max(moved) > 0.01
    assert run.config.init_from == str(language_run)


def test_stopped_and_started_again_it_ends_the_same(masked_run, folder, tmp_path):
    config = masked(folder, 'mlm_gru', init_from=str(masked_run), num_devices=1)
    config.update(steps=12, eval_every=6, checkpoint_every=6)
    program = build_program(sources.resolve(config))
    train = partial(loop.train, config, program=program)
    train(str(tmp_path / 'whole'))

    class Killed(BaseException):
        pass

    def die(step, *_):
        if step == 9:
            raise Killed

    with pytest.raises(Killed):
        train(str(tmp_path / 'parts'), progress=die)
    train(str(tmp_path / 'parts'))
    ends = []
    for part in ('whole', 'parts'):
        newest = checkpoints.load_newest(tmp_path / part / 'checkpoints')
        assert newest is not None
        assert newest.step == 12
        ends.append(trees.digests(newest.tree))
    assert ends[0] == ends[1]


def test_another_task_goes_on_with_the_runs_tokens(masked_run, folder):
    """An encoder that guessed hidden tokens learns vectors for sentences."""
    config = contrastive(pair_file(folder), init_from=str(masked_run), num_devices=1)
    config.optimizer.weight_decay = 0.0
    _, program, begin = start_of(config)
    assert program.task.shape == (20, 12, 0, 0, '')  # with the mask, that nothing here needs
    assert program.task.dataset.tokenizer.to_json() == (masked_run / 'tokenizer.json').read_text()
    assert trees.digests(begin) == trees.digests(best(masked_run))
    state, sums = program.train_step(program.place(program.init()), program.batch(0))
    assert np.isfinite(sums.loss)
    after = program.fetch(state).params
    moved = jax.tree.map(lambda a, b: bool((a != b).any()), after, begin)
    assert all(jax.tree.leaves(moved['body']))
    assert not any(jax.tree.leaves(moved['head']))


def test_shorter_texts_than_it_was_trained_on(language_run, folder):
    config = language_model(folder, init_from=str(language_run), num_devices=1)
    config.sequence_length = 8
    _, program, begin = start_of(config)
    assert trees.digests(begin) == trees.digests(best(language_run))
    _, sums = program.train_step(program.place(program.init()), program.batch(0))
    assert np.isfinite(sums.loss)


def test_longer_texts_than_there_are_positions_for(language_run, folder):
    config = language_model(folder, init_from=str(language_run))
    config.sequence_length = 32
    with pytest.raises(InputError, match=r'sequence_length is 32: it must be at most .*16'):
        start_of(config)


# A pretrained folder.


def fine_tuned(variant: str, source, folder, **fields: Any) -> Any:
    """A config of `configs/pretrained.py`, small."""
    config: Any = pretrained.get_config(variant)
    if variant == 'contrastive':
        config.data.update(pairs='', path=str(pair_file(folder)), splits=(0.6, 0.2, 0.2))
    else:
        config.data.update(path=str(text_file(folder)), cache_dir=str(folder / 'cache'))
        config.data.splits = (0.8, 0.1, 0.1)
    config.update(steps=4, eval_every=2, checkpoint_every=2, log_every=2, sequence_length=16)
    config.update(init_from=str(source), num_devices=1, **fields)
    config.optimizer.update(learning_rate=0.01, warmup_steps=1)
    return config


@pytest.mark.parametrize(
    ('variant', 'name', 'numbers'),
    [
        ('lm', 'llama', {'loss', 'bits_per_char', 'perplexity'}),
        ('mlm', 'bert', {'loss', 'token_accuracy'}),
        ('contrastive', 'bert', {'loss', 'batch_accuracy'}),
    ],
)
def test_a_pretrained_folder_is_trained_on(request, folder, tmp_path, variant, name, numbers):
    source = request.getfixturevalue(name)
    config = fine_tuned(variant, source, folder)
    config.model.update(dropout_rate=0.125, scan_layers=variant == 'lm')
    resolved, program, begin = start_of(config)
    group = {k: config.model[k] for k in config.model}
    assert {k: resolved.model[k] for k in group} == group  # how it is run is the config's
    assert (resolved.model.hidden_size, resolved.model.num_layers) == (32, 2)
    assert (trees.LAYERS in begin['body']) == (variant == 'lm')
    imported = pretrained_load.load(source, config.model)
    assert trees.digests(begin) == trees.digests(imported.params)
    tokenizer = program.task.dataset.tokenizer
    assert tokenizer.special['mask'] == SPECIAL.index('[MASK]')
    assert program.task.model.context == 96
    result = loop.train(config, str(tmp_path / 'run'), program=program)
    assert {k for k in result if k.startswith('valid_')} == {f'valid_{n}' for n in numbers}
    manifest = json.loads((tmp_path / 'run' / 'manifest.json').read_text())
    assert manifest['shape'] == dict(vocab_size=61, max_length=16, source_length=0)
    run = trained.load_run(str(tmp_path / 'run'), best=False)
    moved = jax.tree.map(lambda a, b: bool((np.asarray(a) != b).any()), run.params, begin)
    assert all(jax.tree.leaves(moved['body']))
    assert run.tokenizer.encode('the cat').tolist() == tokenizer.encode('the cat').tolist()
    task = judging.load_task(run)
    again = judging.score_split(run, task, task.dataset.validation)
    assert again['loss'] == pytest.approx(result['valid_loss'], rel=1e-5)


def test_a_folder_as_it_comes_is_judged(llama, folder):
    config = fine_tuned('lm', llama, folder)
    run = sources.load(None, config)
    assert run.step == 0
    task = judging.load_task(run)
    results = list(judging.judge(run, task))
    assert [result['name'] for result in results] == ['side_by_side', 'overlapping'] * 2
    assert results[0]['tokens'] == len(task.dataset.validation) - 1
    tokenizer = tokenizer_from_json(run.tokenizer.to_json())
    assert len(tokenizer.encode(text_file(folder).read_text())) == sum(
        len(part) for part in task.dataset[-3:]
    )


# Mistakes.


def test_an_ngram_is_no_source(folder, tmp_path):
    counted = trained_run(language_model(folder, 'ngram'), tmp_path / 'ngram')
    for config in (
        language_model(folder, 'gru', init_from=str(counted)),
        language_model(folder, 'ngram', init_from=str(counted)),
    ):
        with pytest.raises(InputError, match=r'init_from is .* an n-gram is counted anew'):
            sources.resolve(config)


def test_what_is_to_be_loaded_is_one_of_two(folder, language_run):
    config = language_model(folder)
    for workdir, given in ((None, None), (str(language_run), config)):
        with pytest.raises(InputError, match=r'^give either --workdir, or --config'):
            sources.load(workdir, given)
    with pytest.raises(InputError, match=r'^init_from is empty'):
        sources.load(None, config)
    with pytest.raises(InputError, match=r'holds no run'):
        sources.load(str(folder))


def test_what_cannot_be_started_from_is_told(folder, llama, bert, language_run, tmp_path):
    (tmp_path / 'manifest.json').write_text('{}')
    ngram: Any = language_model(folder, 'gru')
    ngram.model = {'family': 'ngram', 'order': 2}
    ngram.init_from = str(language_run)
    longer = fine_tuned('lm', llama, folder)
    longer.sequence_length = 97
    cases = [
        (language_model(folder, init_from=str(folder / 'nothing')), 'there is no folder'),
        (language_model(folder, init_from=str(tmp_path)), 'holds no run'),
        (ngram, r'^init_from is .*: an n-gram is counted anew'),
        (
            masked(folder, init_from=str(language_run)),
            r'^task is .*: it needs 20 tokens, and the pretrained model has 19',
        ),
        (pairs(pair_file(folder), init_from=str(language_run)), 'needs 21 tokens'),
        (fine_tuned('contrastive', llama, folder), r"architecture is 'decoder'"),
        (fine_tuned('lm', bert, folder), r"architecture is 'encoder'"),
        (longer, r'^sequence_length is 97: it must be at most what the model reads, 96'),
    ]
    failures = []
    for config, pattern in cases:
        try:
            with pytest.raises(InputError, match=pattern):
                loop.train(config, str(tmp_path / 'run'))
        except BaseException as wrong:
            failures.append((pattern, type(wrong), str(wrong)[:300]))
    assert not failures
    assert not (tmp_path / 'run').exists()
