"""Every method of fine-tuning on models of several families, from the base to its results."""

import json
import math
import re
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import finetune
from nlp_models import trees
from nlp_models.adaptation import building, prefix
from nlp_models.data.labelled_batches import labelled_evaluation_batches
from nlp_models.errors import InputError
from nlp_models.training import adapting, loop, sources
from nlp_models.training.program import build_program
from nlp_models.training.trained import load_run
from nlp_models.training.workdir import read_metrics
from tests.finetuning_runs import (
    log_softmax,
    make_bases,
    newest,
    text_loss,
    validation_of,
)
from tests.task_configs import fine_tune, language_model

FAMILIES = ('bert', 'gru', 'transformer', 'lstm')  # the first two told classes, the others text
CLASSES, LM = FAMILIES[:2], FAMILIES[2:]
# Those of `configs/finetune.py`, and what a field makes of one: (variant, group, field, value).
FIELDS = {
    'pfeiffer': ('adapter', 'model', 'adapter_placement', 'pfeiffer'),
    'lowest': ('full', 'adaptation', 'freeze_layers', 1),
}
METHODS = (*finetune.METHODS, *FIELDS)
QUICK = {  # `full` and `layerwise` freeze nothing; `test_finetune_command` runs them quickly
    'freeze': 'transformer',
    'gradual': 'gru',
    'adapter': 'gru',
    'lora': 'bert',
    'prefix': 'gru',
    'bitfit': 'gru',
    'pfeiffer': 'bert',
    'lowest': 'gru',
}
PRODUCT = [
    pytest.param(method, family, id=f'{method}-{family}',
                 marks=() if QUICK.get(method) == family else pytest.mark.slow)
    for method in METHODS
    for family in FAMILIES
    if (method, family) != ('prefix', 'bert')
]  # fmt: skip


def config_of(method, family, bases):
    if not (bases / family).exists():
        make_bases(bases, family)
    variant, group, field, value = FIELDS.get(method, (method, '', '', None))
    end = '' if family in CLASSES else '_lm'
    config = fine_tune(bases / family, bases, variant + end)
    if group:
        config[group][field] = value
    return config


@pytest.fixture(scope='module')
def bases(tmp_path_factory):
    return make_bases(tmp_path_factory.mktemp('finetuning'), *FAMILIES[:3])


@pytest.fixture(scope='module')
def tuned(bases, request):
    """(method, family) to a run that has come to its end, each trained once."""
    known: dict[tuple[str, str], Any] = {}

    def train(method, family):
        if (method, family) not in known:
            config = config_of(method, family, bases)
            program = build_program(sources.resolve(config))
            workdir = bases / f'{method}-{family}'
            line = loop.train(config, str(workdir), program=program)
            known[method, family] = SimpleNamespace(
                config=config,
                program=program,
                workdir=workdir,
                line=line,
                source=sources.load_source(str(bases / family), config.model),
                results=json.loads((workdir / 'results.json').read_text()),
                begin=program.init().params,
                end=newest(workdir).tree,
            )
        return known[method, family]

    return train


def is_trained(method, family, path):
    """Said again, without the rules."""
    if family in CLASSES and path.startswith('classifier/'):
        return True
    name = path.split('/')[-1]
    lowest = path.startswith('embed/') or re.search('/layer_0/|positions|embed_norm', path)
    return {
        'full': True,
        'gradual': True,
        'layerwise': True,
        'freeze': family not in CLASSES and not lowest,
        'adapter': bool(re.search('adapter/|norm/', path)),
        'pfeiffer': bool(re.search('adapter/|norm/', path)),
        'lowest': not lowest,
        'lora': path.startswith('lora/'),
        'prefix': path.startswith('prefix/'),
        'bitfit': name in ('bias', 'b', 'b_r'),
    }[method]


# Before the first step.


def pooled(vectors, lengths):
    return np.stack([y[:n].mean(axis=0) for y, n in zip(vectors, lengths, strict=True)])


@pytest.mark.parametrize(('method', 'family'), PRODUCT)
def test_before_the_first_step_it_says_what_the_base_says(tuned, method, family):
    run = tuned(method, family)
    model, params, source = run.program.task.model, run.begin, run.source
    base, front = source.build(), np.zeros((8, 0), np.int32)
    if method == 'prefix' and family == 'transformer':
        key = jax.random.fold_in(jax.random.key(run.config.seed), 1)
        front = np.tile(prefix.draw(key, 3, source.shape.vocab_size), (8, 1))
    batch = run.program.task.batch(0)
    tokens = jnp.asarray(np.concatenate([front, batch['tokens']], axis=1))
    size = front.shape[1]
    if family not in CLASSES:
        text = jnp.asarray(batch['tokens'])
        found = jax.jit(lambda p: model.apply(p, model.start(p, 8), text)[1])(params)
        say = jax.jit(lambda p: base.apply(p, base.start(p, 8), tokens)[1])
        want = say(source.params)[:, size:]
    else:
        lengths = jnp.asarray(batch['lengths'])
        found = jax.jit(model.logits)(params, batch['tokens'], lengths=lengths)
        if family == 'bert':
            read = jax.jit(lambda p: base.encode(p, tokens, lengths=lengths))
        else:
            read = jax.jit(lambda p: base.vectors(p, base.start(p, 8), tokens)[1])
        vectors = np.asarray(read(source.params), np.float64)[:, size:]
        head = jax.tree.map(lambda a: np.asarray(a, np.float64), params['classifier'])
        want = pooled(vectors, lengths) @ head['kernel'] + head['bias']
    np.testing.assert_allclose(found, want, rtol=1e-5, atol=1e-6)
    known = trees.flatten(source.params)
    for path, leaf in trees.flatten(params).items():
        if path in known:
            np.testing.assert_array_equal(leaf, known[path])


# Afterwards.


@pytest.mark.parametrize(('method', 'family'), PRODUCT)
def test_what_is_frozen_is_bit_identical_and_unknown_to_the_optimizer(tuned, method, family):
    run = tuned(method, family)
    begin, end = trees.flatten(run.begin), trees.flatten(run.end['params'])
    assert set(begin) == set(end)
    trained = {path for path in begin if is_trained(method, family, path)}
    for path in begin:
        if path not in trained:
            np.testing.assert_array_equal(begin[path], end[path])
        elif family in LM or not path.startswith('head/'):
            # A head of tokens has no gradient where classes are told.
            assert not np.array_equal(begin[path], end[path]), path
    if method in ('adapter', 'pfeiffer') and family in ('bert', 'transformer'):
        places = {path.split('_adapter/')[0].split('/')[-1] for path in begin if 'adapter/' in path}
        assert places == {'feed_forward'} | ({'attention'} if method == 'adapter' else set())
    count = sum(begin[path].size for path in trained)
    held = [np.asarray(leaf) for leaf in jax.tree.leaves(run.end['opt_state'])]
    assert sum(leaf.size for leaf in held if leaf.ndim) == 2 * count  # Adam's two moments
    sizes = sorted(leaf.size for leaf in held if leaf.ndim)
    assert sizes == sorted(2 * [begin[path].size for path in trained])
    total = sum(leaf.size for leaf in begin.values())
    assert (run.program.parameters, run.program.trained) == (total, count)
    told = run.results['parameters']
    assert told == {'total': total, 'trained': count, 'share': pytest.approx(count / total)}
    assert run.results['memory']['optimizer_state'] == sum(leaf.nbytes for leaf in held)
    assert run.results['memory']['gradient'] == 4 * count
    assert json.loads((run.workdir / 'manifest.json').read_text())['trained_parameters'] == count


@pytest.mark.parametrize(('method', 'family'), PRODUCT)
def test_the_results_are_what_they_say(tuned, bases, method, family):
    run = tuned(method, family)
    results, dataset = run.results, run.program.task.dataset
    plain = load_run(str(run.workdir), merge=False)  # as it was trained, nothing merged
    assert results['step'] == plain.step
    assert (results['task'], results['init_from']) == (run.config.task, str(bases / family))
    assert set(results['validation']) == set(results['test'])
    for split in ('validation', 'test'):
        some = getattr(dataset, split)
        if family in LM:
            loss, number = text_loss(plain.model, plain.params, some)
            told = results[split]['side_by_side']
            assert told['loss'] == pytest.approx(loss, rel=1e-5)
            assert told['perplexity'] == pytest.approx(math.exp(loss), rel=1e-5)
            assert told['tokens'] == number == len(some) - 1
            continue
        (batch,) = labelled_evaluation_batches(some, batch_size=len(some), length=16)
        logits = jax.jit(plain.model.logits)
        said = log_softmax(logits(plain.params, batch['tokens'], lengths=batch['lengths']))
        told = results[split]['classified']
        right = some.targets
        assert told['loss'] == pytest.approx(-said[np.arange(len(some)), right].mean(), rel=1e-5)
        assert told['accuracy'] == pytest.approx((said.argmax(axis=1) == right).mean())
        assert told['examples'] == len(some)
    lines = {line['step']: line for line in read_metrics(run.workdir / 'metrics.jsonl')}
    headline = results['validation']['side_by_side' if family in LM else 'classified']['loss']
    assert headline == pytest.approx(lines[plain.step]['valid_loss'], rel=1e-5)
    seconds = results['seconds']
    assert seconds['training'] == run.line['train_seconds'] > 0
    assert seconds['compiling'] == run.program.compile_seconds > 0
    assert results['memory']['process'] > 50e6
    assert results['memory']['step'] is None or results['memory']['step'] > 0


@pytest.mark.parametrize(('method', 'family'), PRODUCT)
def test_what_was_forgotten_is_the_loss_on_the_bases_text_before_and_after(
    tuned, bases, method, family
):
    run = tuned(method, family)
    told = run.results['forgetting']
    if family == 'bert':  # a folder does not say what it was trained on
        assert told is None
        return
    before = read_metrics(bases / family / 'metrics.jsonl')
    assert told['before'] == pytest.approx(min(x['valid_loss'] for x in before), rel=1e-5)
    assert (told['task'], told['text']) == ('language_modelling', str(bases / 'text.txt'))
    plain = load_run(str(run.workdir), merge=False)
    shape = plain.shape._replace(num_classes=0)
    model = building.build(plain.config.model, **shape._asdict())
    source = load_run(str(bases / family))
    text = validation_of(source)
    assert told['after'] == pytest.approx(text_loss(model, plain.params, text)[0], rel=1e-5)
    if method == 'freeze' and family in CLASSES:
        assert told['after'] == pytest.approx(told['before'], rel=1e-6)
    else:
        assert told['after'] != told['before']


@pytest.mark.parametrize(('method', 'family'), PRODUCT)
def test_kept_alone_and_merged_it_says_the_same(tuned, bases, tmp_path, method, family):
    run = tuned(method, family)
    plain, merged = load_run(str(run.workdir), merge=False), load_run(str(run.workdir))
    adapting.save_adapter(str(run.workdir), str(tmp_path / 'kept'))
    source = sources.load_source(str(tmp_path / 'kept'))
    batch = run.program.task.batch(1)
    built = source.build_classifier() if family in CLASSES else source.build()

    def say(model, params):
        if family in CLASSES:
            lengths = batch['lengths']
            return jax.jit(model.logits)(params, batch['tokens'], lengths=lengths)
        tokens = jnp.asarray(batch['tokens'])
        return jax.jit(lambda p: model.apply(p, model.start(p, 8), tokens)[1])(params)

    want = say(plain.model, plain.params)
    np.testing.assert_allclose(say(built, source.params), want, rtol=1e-5, atol=1e-5)
    if method == 'lora':
        assert 'lora' not in merged.params
        np.testing.assert_allclose(say(merged.model, merged.params), want, rtol=1e-5, atol=1e-5)
        assert jax.tree.structure(
            {k: v for k, v in merged.params.items() if k != 'classifier'}
        ) == jax.tree.structure(run.source.params)
    else:
        assert trees.digests(merged.params) == trees.digests(plain.params)


@pytest.mark.parametrize(('method', 'family'), PRODUCT)
def test_killed_and_started_again_it_ends_bit_identical(
    tuned, tmp_path, method, family, monkeypatch
):
    run = tuned(method, family)
    monkeypatch.setattr(adapting, 'write_results', lambda *_: None)

    class Killed(BaseException):
        pass

    def die(step, *_):
        if step == 5:
            raise Killed

    with pytest.raises(Killed):
        loop.train(run.config, str(tmp_path / 'run'), program=run.program, progress=die)
    assert newest(tmp_path / 'run').step == 3
    loop.train(run.config, str(tmp_path / 'run'), program=run.program)
    assert newest(tmp_path / 'run').step == 6
    assert trees.digests(newest(tmp_path / 'run').tree) == trees.digests(run.end)


CLIPPED = [
    pytest.param(
        method, family,
        marks=() if (method, family) in [('bitfit', 'transformer'), ('lowest', 'gru')]
        else pytest.mark.slow,
    )
    for method in ('freeze', 'adapter', 'lora', 'prefix', 'bitfit', 'pfeiffer', 'lowest')
    for family in FAMILIES
    if (method, family) != ('prefix', 'bert')
]  # fmt: skip


@pytest.mark.parametrize(('method', 'family'), CLIPPED)
def test_what_is_frozen_has_no_part_in_the_norm_that_is_clipped(bases, method, family):
    config = config_of(method, family, bases)
    config.optimizer.update(name='sgd', b1=0.0, weight_decay=0.0, clip_norm=1e-3)
    config.optimizer.update(schedule='constant', warmup_steps=0, learning_rate=1.0)
    program = build_program(sources.resolve(config))
    begin, batch = program.init().params, program.batch(0)
    objective, arrays = program.task.objective(None, False), jax.tree.map(jnp.asarray, batch)

    def loss(params):
        sums, _ = objective(params, None, arrays, None)
        return sums.loss / sums.weight

    slopes = trees.flatten(jax.jit(jax.grad(loss))(begin))
    slopes = {path: np.asarray(leaf, np.float64) for path, leaf in slopes.items()}
    trained = {path for path in slopes if is_trained(method, family, path)}
    norm = math.sqrt(sum(np.sum(slopes[path] ** 2) for path in trained))
    assert math.sqrt(sum(np.sum(slope**2) for slope in slopes.values())) > 1.0002 * norm > 1e-3
    state, _ = program.train_step(program.place(program.init()), batch)
    after = program.fetch(state)
    assert float(after.grad_norm) == pytest.approx(norm, rel=5e-5)  # what is above tells apart
    flat, moved = trees.flatten(begin), trees.flatten(after.params)
    for path, slope in slopes.items():
        wanted = 1e-3 * slope / norm if path in trained else 0 * slope
        np.testing.assert_allclose(flat[path] - moved[path], wanted, rtol=0, atol=5e-7)
        assert path in trained or np.array_equal(flat[path], moved[path])


ON_TWO = [
    pytest.param(
        method, family,
        marks=() if (method, family) in [('lora', 'transformer'), ('gradual', 'gru')]
        else pytest.mark.slow,
    )
    for method in METHODS
    for family in ('transformer', 'gru')
]  # fmt: skip


@pytest.mark.parametrize(('method', 'family'), ON_TWO)
def test_on_two_devices_it_is_the_same_up_to_rounding(bases, method, family):
    ends = []
    for devices in (1, 2):
        config = config_of(method, family, bases)
        config.num_devices = devices
        config.optimizer.update(name='sgd', b1=0.9, learning_rate=0.05)
        program = build_program(sources.resolve(config))
        assert len(program.devices.devices) == devices
        state, losses = program.place(program.init()), []
        for step in range(4):
            state, sums = program.train_step(state, program.batch(step))
            sums = program.devices.first(sums)
            losses.append(float(sums.loss) / float(sums.weight))
        ends.append((losses, trees.flatten(program.fetch(state).params)))
    np.testing.assert_allclose(ends[0][0], ends[1][0], rtol=2e-6)
    assert ends[0][0][0] != ends[0][0][-1]
    for path, leaf in ends[0][1].items():
        np.testing.assert_allclose(leaf, ends[1][1][path], rtol=0, atol=3e-6, err_msg=path)


# What does not go together.


def test_what_does_not_go_together_is_told(bases, tmp_path):
    prefixed = fine_tune(bases / 'bert', bases, 'prefix')
    nothing = fine_tune(bases / 'gru', bases)
    nothing.adaptation.rules = (('nonsense', 1.0), ('.*', 0.0))
    uncovered = fine_tune(bases / 'gru', bases)
    uncovered.adaptation.rules = (('^classifier/', 1.0),)
    windowed = language_model(bases, steps=1, num_devices=1)
    windowed.model.window = 4
    loop.train(windowed, str(tmp_path / 'windowed'))
    scanned = fine_tune(bases / 'bert', bases, 'layerwise')
    scanned.model.scan_layers = True
    labels = fine_tune(bases / 'gru', bases)
    labels.data.labels = ('animal', 'plant')
    ranked = fine_tune(bases / 'gru', bases, 'lora')
    ranked.model.lora_rank = 99
    cases = [
        (prefixed, r'^model\.prefix_length is 3: it must be 0: only transformers and recurrent'),
        (nothing, r"^adaptation\.rules: 'nonsense' is found in no parameter"),
        (uncovered, r'^adaptation\.rules say nothing of body/layer_0/U and \d+ others: end them'),
        (
            fine_tune(tmp_path / 'windowed', bases, 'prefix_lm'),
            r'^model\.prefix_length is 3: it must be 0 with a window \(4\)',
        ),
        (scanned, r'^adaptation\.layer_decay, .* need layers by name: model\.scan_layers must'),
        (labels, r"labelled.tsv', line \d+ has the label 'none', which is not among .* animal, pl"),
        (fine_tune('', bases), r"^init_from is '': it must name a model: the config has none"),
        (
            ranked,
            r'^model\.lora_rank is 99: it must be in \[1, 16\] for body/layer_0/U',
        ),
        (
            fine_tune(bases / 'gru', bases, task='language_modelling'),
            r"^task is 'language_modelling', but the config was made for another and has no cache",
        ),
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


def test_layers_that_lie_stacked_are_adapted_too(bases):
    config = fine_tune(bases / 'bert', bases, 'lora')
    config.model.scan_layers = True
    config.optimizer.weight_decay = 0.0  # which A has as soon as B has a gradient
    program = build_program(sources.resolve(config))
    begin = program.init().params
    state, sums = program.train_step(program.place(program.init()), program.batch(0))
    assert np.isfinite(float(sums.loss))
    moved = trees.flatten(program.fetch(state).params)
    assert 'lora/body/layers/attention/qkv/kernel/a' in moved
    for path, leaf in trees.flatten(begin).items():
        still = not (path.startswith('classifier/') or re.search('^lora/.*/b$', path))
        assert np.array_equal(leaf, moved[path]) == still, path
