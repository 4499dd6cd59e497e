"""Runs that learn to tell classes apart: of pairs, of JSON, of few texts, in lower case."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nlp_models.adaptation import saving
from nlp_models.adaptation.classifier import Classes
from nlp_models.training import adapting, judging, loop, sources
from nlp_models.training.tasks.build import kind_of
from nlp_models.training.trained import load_run
from nlp_models.training.workdir import read_classes
from tests.finetuning_runs import make_bases
from tests.task_configs import as_json_lines, fine_tune, labelled_file


@pytest.fixture(scope='module')
def bases(tmp_path_factory):
    return make_bases(tmp_path_factory.mktemp('bases'), 'bert', 'gru')


def load(config):
    """The texts of a config, in its source's tokens."""
    source = sources.load_source(config.init_from)
    return kind_of(config).load(config.data, source.tokenizer)


def same_texts(one, other):
    assert one.fingerprint == other.fingerprint
    for split in ('train', 'validation', 'test'):
        a, b = getattr(one, split), getattr(other, split)
        assert (a.texts, a.second_texts) == (b.texts, b.second_texts)
        np.testing.assert_array_equal(a.first.ids, b.first.ids)
        np.testing.assert_array_equal(a.targets, b.targets)


def test_pairs_are_told_apart_from_a_table_or_from_json(bases, tmp_path):
    table = labelled_file(tmp_path, pairs=True)
    config = fine_tune(bases / 'bert', bases, 'bitfit')
    config.sequence_length = 32
    config.data.path = str(table)
    loop.train(config, str(tmp_path / 'table'))
    data = json.loads((tmp_path / 'table' / 'manifest.json').read_text())['data']
    assert (data['labels'], data['pairs']) == (['other', 'same'], True)
    config.data.update(path=str(as_json_lines(table, 'a', 'b', 'is')), text_field='a')
    config.data.update(second_field='b', label_field='is')
    run = load_run(str(tmp_path / 'table'))
    task = judging.load_task(run)
    same_texts(load(config), task.dataset)
    found = list(judging.judge(run, task))
    results = json.loads((tmp_path / 'table' / 'results.json').read_text())
    for each in found:
        told = results[each.pop('split')][each.pop('name')]
        assert each == pytest.approx(told, rel=1e-5)
    # The second text's segment is the second one's: were it not, it would say otherwise.
    batch = {k: jnp.asarray(v) for k, v in task.batch(0).items()}
    of = dict(lengths=batch['lengths'], segments=batch['segments'])
    say = jax.jit(run.model.logits)
    want = say(run.params, batch['tokens'], **of)
    without = say(run.params, batch['tokens'], **{**of, 'segments': 0 * of['segments']})
    assert np.abs(want - without).max() > 1e-4


def test_labels_have_the_order_asked_for_and_few_texts_are_drawn_evenly(bases, tmp_path):
    config = fine_tune(bases / 'gru', bases, 'freeze', steps=2)
    config.data.update(labels=('none', 'animal'), train_size=10, sample_seed=3)
    loop.train(config, str(tmp_path / 'run'))
    data = json.loads((tmp_path / 'run' / 'manifest.json').read_text())['data']
    assert data['labels'] == ['none', 'animal']
    assert data['sizes']['train'] == 10
    task = judging.load_task(load_run(str(tmp_path / 'run')))
    assert np.bincount(task.dataset.train.targets).tolist() == [5, 5]
    whole = fine_tune(bases / 'gru', bases, 'freeze')
    dataset = load(whole)
    known = dict(zip(dataset.train.texts, dataset.train.targets, strict=True))
    for text, target in zip(task.dataset.train.texts, task.dataset.train.targets, strict=True):
        assert known[text] == 1 - target  # by the alphabet it is the other way round
    assert task.dataset.test.texts == dataset.test.texts


def test_texts_in_lower_case(bases, tmp_path):
    config = fine_tune(bases / 'bert', bases, 'freeze', steps=3)
    path = tmp_path / 'upper.tsv'
    lines = labelled_file(tmp_path).read_text().splitlines()
    parts = [line.split('\t') for line in lines]
    path.write_text(''.join(f'{text.upper()}\t{label}\n' for text, label in parts))
    plain = load(config)
    config.data.update(path=str(path), lower=True)
    same_texts(load(config), plain)
    loop.train(config, str(tmp_path / 'lower'))
    assert read_classes(tmp_path / 'lower') == Classes(('animal', 'none'), 16, True, False)
    kept = tmp_path / 'kept'
    adapting.save_adapter(str(tmp_path / 'lower'), str(kept))
    assert saving.read(kept).classes == read_classes(tmp_path / 'lower')
    # Whoever evaluates the adapter need not say it again.
    again = fine_tune(kept, bases)
    again.data.path = str(path)
    run = sources.load(None, again)
    found = next(judging.judge(run, judging.load_task(run)))
    results = json.loads((tmp_path / 'lower' / 'results.json').read_text())
    assert found['loss'] == pytest.approx(results['validation']['classified']['loss'], rel=1e-5)
