"""Adapters: what was learned kept alone, and put onto its base again."""

import json
import shutil
from types import SimpleNamespace
from typing import Any

import jax
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from nlp_models import trees
from nlp_models.adaptation import building, saving
from nlp_models.adaptation.classifier import Classes
from nlp_models.errors import InputError
from nlp_models.training import adapting, judging, loop, sources, writing
from nlp_models.training.program import build_program
from nlp_models.training.trained import load_run
from tests.finetuning_runs import leave_results_out, make_bases
from tests.task_configs import fine_tune

# Name: (base, variant): what is kept of each is of another kind.
RUNS = {
    'adapter': ('bert', 'adapter'),
    'lora': ('bert', 'lora'),
    'bitfit': ('bert', 'bitfit'),
    'prefix': ('gru', 'prefix'),
    'text': ('gru', 'lora_lm'),
}


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp('adapters')


@pytest.fixture(scope='module')
def bases(folder):
    return make_bases(folder, 'bert', 'gru')


@pytest.fixture(scope='module')
def saved(bases):
    """Name to (the run's folder, its adapter's folder, bytes of the arrays)."""
    made = {}
    with pytest.MonkeyPatch.context() as patch:
        leave_results_out(patch)
        for name, (base, variant) in RUNS.items():
            workdir, target = bases / 'runs' / name, bases / 'kept' / name
            loop.train(fine_tune(bases / base, bases, variant), str(workdir))
            size = adapting.save_adapter(str(workdir), str(target))
            made[name] = SimpleNamespace(workdir=workdir, folder=target, size=size)
    return made


def texts(vocab_size=15, rows=3, length=9):
    tokens = np.random.default_rng(0).integers(6, vocab_size, size=(rows, length))
    return tokens.astype(np.int32), np.array([9, 4, 1], np.int32)


def logits(model, params):
    tokens, lengths = (jax.numpy.asarray(each) for each in texts())

    @jax.jit
    def say(params):
        if hasattr(model, 'logits'):
            return model.logits(params, tokens, lengths=lengths)
        return model.apply(params, model.start(params, len(tokens)), tokens)[1]

    return np.asarray(say(params))


@pytest.mark.parametrize('name', RUNS)
def test_what_is_kept_is_what_was_learned_and_no_more(saved, bases, name):
    run = load_run(str(saved[name].workdir), merge=False)
    base = sources.load_source(str(bases / RUNS[name][0]))
    adapter = saving.read(saved[name].folder)
    known, learned = trees.flatten(base.params), trees.flatten(run.params)
    pattern = {
        'adapter': lambda path: 'adapter/' in path or 'norm/' in path,
        'lora': lambda path: path.startswith('lora/'),
        'bitfit': lambda path: path.endswith('bias'),
        'prefix': lambda path: path.startswith('prefix/'),
        'text': lambda path: path.startswith('lora/'),
    }[name]
    want = {path for path in learned if pattern(path) or path.startswith('classifier/')}
    # The head that guesses hidden tokens has no part in telling classes apart: nothing is learned.
    want -= {path for path in known if path.startswith('head/')}
    assert set(adapter.arrays) == want
    for path, array in adapter.arrays.items():
        np.testing.assert_array_equal(array, learned[path])
        assert array.dtype == np.float32
    assert saved[name].size == sum(4 * learned[path].size for path in want)
    on_disk = (saved[name].folder / saving.ARRAYS).stat().st_size
    assert saved[name].size <= on_disk < saved[name].size + 8000
    assert on_disk < 30_000
    assert adapter.base == str(bases / RUNS[name][0])
    assert set(adapter.made_for) == set(known)
    told = Classes(('animal', 'none'), 16) if name != 'text' else None
    assert adapter.classes == told


@pytest.mark.parametrize('name', RUNS)
def test_put_onto_its_base_it_is_the_run_bit_for_bit(saved, bases, name):
    run = load_run(str(saved[name].workdir), merge=False)
    base = sources.load_source(str(bases / RUNS[name][0]), run.config.model)
    adapter = saving.read(saved[name].folder)
    group, params = saving.attach(adapter, base.model, base.params)
    assert trees.digests(params) == trees.digests(run.params)
    built = building.build(group, **base.shape._replace(**adapter.shape)._asdict())
    np.testing.assert_array_equal(logits(built, params), logits(run.model, run.params))
    # Merged, as it is used, it says the same.
    merged = load_run(str(saved[name].workdir))
    whole = logits(merged.model, merged.params)
    np.testing.assert_allclose(whole, logits(run.model, run.params), rtol=1e-5, atol=1e-5)
    source = sources.load_source(str(saved[name].folder))
    model = source.build_classifier() if source.classes else source.build()
    np.testing.assert_allclose(logits(model, source.params), whole, rtol=1e-6, atol=1e-6)


def test_several_share_one_base(saved, bases):
    base = sources.load_source(str(bases / 'bert'))
    names = ('adapter', 'lora', 'bitfit')
    held = saving.Adapters(
        base.model, base.params, {name: saving.read(saved[name].folder) for name in names}
    )
    whole = trees.flatten(base.params)
    for name in (*names, 'lora', 'adapter'):  # in any order, and again
        adapter, group, params = held(name)
        shared = {path for path in whole if path not in adapter.arrays}
        assert len(shared) > len(whole) / 4
        assert all(trees.flatten(params)[path] is whole[path] for path in shared)
        run = load_run(str(saved[name].workdir), merge=False)
        built = building.build(group, **base.shape._replace(**adapter.shape)._asdict())
        want = logits(run.model, run.params)
        np.testing.assert_allclose(logits(built, params), want, rtol=1e-5, atol=1e-5)
        group, merged = building.merged(group, params)
        built = building.build(group, **base.shape._replace(**adapter.shape)._asdict())
        np.testing.assert_allclose(logits(built, merged), want, rtol=1e-5, atol=1e-5)
    with pytest.raises(InputError, match=r"^there is no adapter 'x': there are adapter, lora, bit"):
        held('x')


# As `init_from`.


def judged(run):
    """The numbers of each split."""
    results = judging.judge(run, judging.load_task(run))
    return {r.pop('split'): {k: v for k, v in r.items() if k != 'name'} for r in results}


def test_it_is_evaluated_as_its_run_is(saved, bases):
    want = judged(load_run(str(saved['lora'].workdir)))
    assert list(want) == ['validation', 'test']
    # Whatever a config would add to train: what is there is evaluated.
    for variant in ('lora', 'adapter'):
        found = judged(sources.load(None, fine_tune(saved['lora'].folder, bases, variant)))
        for split in want:
            assert found[split] == pytest.approx(want[split], rel=1e-5)


def test_its_labels_are_those_it_was_trained_with(saved, bases, tmp_path):
    config = fine_tune(saved['bitfit'].folder, bases)
    config.data.labels = ('none', 'animal')
    with pytest.raises(InputError, match=r"^data\.labels is \('none', 'animal'\): it must be what"):
        sources.load(None, config)
    config.data.labels = ()
    path = tmp_path / 'others.tsv'
    path.write_text(''.join(f'{word}\t{word[0]}\n' for word in ('cat', 'dog', 'sun') * 20))
    config.data.path = str(path)
    run = sources.load(None, config)
    with pytest.raises(InputError, match=r'line 1 has the label .c., which is not among .*animal'):
        judging.load_task(run)
    bare = fine_tune(bases / 'bert', bases)
    with pytest.raises(InputError, match=r'^init_from is .*bert.: it tells no classes apart'):
        sources.load(None, bare)


@pytest.mark.parametrize('name', ['lora', 'prefix', 'text'])
def test_it_is_trained_further(saved, bases, name):
    """It starts where it ended; its own fields are its own, and others may be added."""
    variant = 'full_lm' if name == 'text' else 'full'
    config = fine_tune(saved[name].folder, bases, variant)
    resolved = sources.resolve(config)
    program = build_program(resolved)
    begin = program.init().params
    source = sources.load_source(str(saved[name].folder), config.model)
    assert trees.digests(begin) == trees.digests(source.params)
    assert resolved.model.prefix_length == (3 if name == 'prefix' else 0)
    assert resolved.model.lora_rank == 0
    state, sums = program.train_step(program.place(program.init()), program.batch(0))
    assert np.isfinite(float(sums.loss))
    moved = trees.flatten(program.fetch(state).params)
    assert any(not np.array_equal(moved[path], a) for path, a in trees.flatten(begin).items())


def test_trained_further_on_other_classes_the_head_is_a_new_one(saved, bases, tmp_path):
    path = tmp_path / 'others.tsv'
    path.write_text(''.join(f'{word} the {word}\t{word}\n' for word in ('cat', 'dog') * 20))
    config = fine_tune(saved['bitfit'].folder, bases)
    config.data.update(path=str(path), splits=(1.0, 0.0, 0.0))
    begin = start_of(config)
    source = sources.load_source(str(saved['bitfit'].folder))
    assert begin['classifier']['kernel'].shape == source.params['classifier']['kernel'].shape
    assert np.abs(begin['classifier']['kernel'] - source.params['classifier']['kernel']).min() > 0
    assert not begin['classifier']['bias'].any()
    rest = {k: v for k, v in begin.items() if k != 'classifier'}
    assert trees.digests(rest) == trees.digests(
        {k: v for k, v in source.params.items() if k != 'classifier'}
    )


def start_of(config) -> Any:
    """The parameters before the first step, nothing compiled."""
    resolved = sources.resolve(config)
    source = sources.load_source(config.init_from, config.model)
    task = judging.build_task(
        resolved, tokenizer=source.tokenizer, vocab_size=source.shape.vocab_size
    )
    base = source.params_for(task.dataset.labels)
    return building.init_from(
        resolved.model, task.model, base, jax.random.key(0), **task.shape._asdict()
    )


def test_it_writes(saved, bases):
    config = fine_tune(saved['text'].folder, bases, 'full_lm')
    run = sources.load(None, config)
    start = writing.make_start(run, prompt='the cat ', source=None)
    how: Any = dict(num_tokens=12, key=jax.random.key(0), sampling=writing.Sampling(0.0))
    text = ''.join(writing.write(run, start, **how))
    of_run = load_run(str(saved['text'].workdir))
    assert text == ''.join(writing.write(of_run, start, **how))
    assert len(text) == 12
    classifier = load_run(str(saved['prefix'].workdir))
    with pytest.raises(InputError, match=r'^the model is a classifier: it reads, and does not'):
        writing.make_start(classifier, prompt='a', source=None)


def test_an_adapter_on_an_adapter(saved, bases, monkeypatch):
    """Its base is what the first one makes of the first base."""
    leave_results_out(monkeypatch)
    config = fine_tune(saved['lora'].folder, bases, 'bitfit')
    loop.train(config, str(bases / 'runs' / 'second'))
    adapting.save_adapter(str(bases / 'runs' / 'second'), str(bases / 'kept' / 'second'))
    adapter = saving.read(bases / 'kept' / 'second')
    assert adapter.base == str(saved['lora'].folder)
    assert all(path.endswith('bias') or 'classifier' in path for path in adapter.arrays)
    run = load_run(str(bases / 'runs' / 'second'))
    source = sources.load_source(str(bases / 'kept' / 'second'))
    found = logits(source.build_classifier(), source.params)
    np.testing.assert_allclose(found, logits(run.model, run.params), rtol=1e-5, atol=1e-5)


# Mistakes.


def changed_base(base, change):
    flat = {path: np.array(leaf) for path, leaf in trees.flatten(base.params).items()}
    change(flat)
    return trees.unflatten(flat)


def test_an_adapter_of_another_model_names_what_differs(saved, bases):
    adapter = saving.read(saved['lora'].folder)
    base = sources.load_source(str(bases / 'bert'))
    path = 'body/layer_1/attention/qkv/kernel'

    def transposed(flat):
        flat[path] = flat[path].T

    def touched(flat):
        flat[path][0, 0] = np.nextafter(flat[path][0, 0], np.float32(9))
        flat['embed/embedding'][1, 1] += 1

    cases = {
        rf'{path} is missing$': lambda flat: flat.pop(path),
        rf'{path} is \[96, 32\], not \[32, 96\]$': transposed,
        r'it has no body/extra$': lambda flat: flat.update({'body/extra': np.zeros(3)}),
        rf'of \d+ parameters 2 have other numbers, the first is {path}$': touched,
    }
    start = f'^adapter {saved["lora"].folder} was made for another model than this one: '
    for pattern, change in cases.items():
        with pytest.raises(InputError, match=start + pattern):
            saving.attach(adapter, base.model, changed_base(base, change))
    whole = sources.load_source(str(bases / 'gru'))
    with pytest.raises(InputError, match=start + r'body/\S+ is missing$'):
        saving.Adapters(whole.model, whole.params, {'a': adapter})


def test_a_base_that_has_changed_since_is_told(saved, bases, tmp_path):
    """Trained further, or another folder in its place."""
    moved = tmp_path / 'bert'
    shutil.copytree(bases / 'bert', moved)
    kept = tmp_path / 'kept'
    shutil.copytree(saved['lora'].folder, kept)
    facts = json.loads((kept / saving.FACTS).read_text())
    (kept / saving.FACTS).write_text(json.dumps({**facts, 'base': str(moved)}))
    assert sources.load_source(str(kept)).classes
    tensors = load_file(moved / 'model.safetensors')
    name = next(name for name in tensors if name.endswith('layer.1.output.dense.weight'))
    tensors[name] = tensors[name] + np.float32(1e-3)
    save_file(tensors, moved / 'model.safetensors', metadata={'format': 'pt'})
    with pytest.raises(InputError, match=r'1 have other numbers, the first is body/layer_1/feed_'):
        sources.load_source(str(kept))
    shutil.rmtree(moved)
    with pytest.raises(InputError, match='there is no folder'):
        sources.load_source(str(kept))


def test_what_cannot_be_read_or_written_is_told(saved, bases, tmp_path):
    for number, (file, content) in enumerate(
        [
            (saving.FACTS, b'{'),
            (saving.FACTS, b'[]'),
            (saving.FACTS, b'{"base": "x"}'),
            (saving.ARRAYS, b'not tensors'),
            (saving.ARRAYS, None),
        ]
    ):
        broken = tmp_path / str(number)
        shutil.copytree(saved['lora'].folder, broken)
        (broken / file).unlink() if content is None else (broken / file).write_bytes(content)
        with pytest.raises(InputError, match=rf'^adapter {broken} cannot be read: ') as error:
            saving.read(broken)
        assert '\n' not in str(error.value)
    assert not saving.is_adapter(str(bases / 'bert'))
    assert saving.is_adapter(str(saved['lora'].folder))
    with pytest.raises(InputError, match=r'cannot be read: FileNotFoundError'):
        saving.read(tmp_path / 'nowhere')
    (tmp_path / 'file').write_text('')
    with pytest.raises(InputError, match=r"file' cannot be written: "):
        adapting.save_adapter(str(saved['lora'].workdir), str(tmp_path / 'file'))
    with pytest.raises(InputError, match=r"^init_from is '': it must name a base: this run start"):
        adapting.save_adapter(str(bases / 'gru'), str(tmp_path / 'whole'))
    base = sources.load_source(str(bases / 'gru'))
    with pytest.raises(InputError, match=r"^nothing differs from 'gru': there is no adapter"):
        saving.save(
            tmp_path / 'same', base.params, base.params,
            base_name='gru', model=base.model.to_dict(), shape=base.shape._asdict(),
        )  # fmt: skip
    assert not (tmp_path / 'same').exists()
