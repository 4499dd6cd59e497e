"""The study of what fine-tuning asks of the data: verdicts either way, and a small run of it."""

import json
from typing import Any

import numpy as np
import pytest

from configs.studies import nontriviality as config_file
from experiments.studies import nontriviality as study_file
from experiments.studies.nontriviality import STUDY
from experiments.studies.nontriviality_verdicts import STRATEGIES
from nlp_models.analysis import strategies, study
from nlp_models.analysis.document import plain
from nlp_models.analysis.strategies import Sample
from nlp_models.analysis.study import Evidence
from nlp_models.data import tokenizers
from tests import task_configs
from tests.pretrained_folders import write_folder, write_letters

SEEDS = 5
NOISE = np.random.default_rng(0).normal(0, 1e-3, SEEDS)


def made_up(
    few=('frozen', 0.1), many=('full', 0.1), gap=1.0, rises=0.5, harm=0.1, attack=0.9, control=0.1
) -> Evidence:
    """Evidence with these winners, by so much; and so much of everything else."""
    config = config_file.get_config('standard')
    rows: list[dict] = []

    def add(key: dict[str, Any], **values: float) -> None:
        value = {
            name: list(mean + NOISE * (i + 1)) for i, (name, mean) in enumerate(values.items())
        }
        rows.append({'key': key, 'value': value, 'seconds': 1.0})

    texts = {'train': 1856, 'validation': 443, 'test': 767}
    value = {'labels': list('abcdefghij'), 'texts': texts, 'majority': 0.2}
    rows.append({'key': {'what': 'texts'}, 'value': value, 'seconds': 1.0})
    for size in config.sizes:
        for name in STRATEGIES:
            if name == 'full' and size not in config.full.sizes:
                continue
            gain = {config.sizes[0]: few, config.sizes[-1]: many}.get(size, ('', 0.0))
            accuracy = 0.5 + gain[1] * (name == gain[0])
            more = gap * (size == config.sizes[0])
            key = {'what': 'size', 'strategy': name, 'size': size}
            for steps in ('usual', 'longer') if name == 'network' else ('usual',):
                add(
                    {**key, 'steps': steps},
                    accuracy=accuracy,
                    validation_accuracy=accuracy,
                    loss=1.0 + more + rises * (steps == 'longer'),
                    train_loss=0.5 - 0.1 * (steps == 'longer'),
                )
    for key in (cell.key for cell in STUDY.grid(config) if cell.key['what'] == 'flaw'):
        bad = key['flaw'] not in ('fair', 'poison')
        add(
            key,
            accuracy=0.6 - harm * bad,
            recall=0.5 - harm * bad,
            attack=attack if key['amount'] else control,
            called=0.1,
        )
    swept = dict(zip(map(str, config.full.rates), (1.1, 1.0, 1.2), strict=True))
    for size in config.full.sizes:
        key, value = {'what': 'full_rate', 'size': size}, {'rate': 1.5e-4, 'swept': swept}
        rows.append({'key': key, 'value': value, 'seconds': 1.0})
    return Evidence('nontriviality', config.to_dict(), rows, {})


def verdicts_of(**made):
    return [verdict['verdict'] for verdict in STUDY.judge(made_up(**made))]


def test_verdicts_can_go_either_way():
    assert verdicts_of() == ['supported'] * 3
    assert verdicts_of(few=('full', 0.1))[0] == 'refuted'
    assert verdicts_of(few=('frozen', 0.005))[0] == 'qualified'
    assert verdicts_of(gap=0.0, rises=-0.5)[1] == 'refuted'
    assert verdicts_of(gap=0.0)[1] == 'qualified'
    assert verdicts_of(harm=0.0, attack=0.1)[2] == 'refuted'
    assert verdicts_of(harm=0.0)[2] == 'qualified'
    assert verdicts_of(control=0.5)[2] == 'inconclusive'  # the trigger alone does it
    assert verdicts_of(harm=float('nan'))[2] == 'inconclusive'


def test_cells_are_distinct_and_can_be_written():
    for size in ('quick', 'standard', 'full'):
        config = config_file.get_config(size)
        keys = [json.dumps(cell.key) for cell in STUDY.grid(config)]
        assert len(set(keys)) == len(keys)
        assert len(config.full.sizes) == len(config.full.steps)
        assert set(config.full.sizes) <= set(config.sizes)
        assert min(config.full.sizes) == min(config.sizes) <= min(config.flawed, config.sample)
        assert set(config.judged.noise) <= set(config.noise)
        assert set(config.judged.poison) <= set(config.poison)


def test_pictures_and_table_tell_the_numbers():
    sizes, noise, poison = STUDY.plot(made_up())
    assert 'frozen features 0.6' in sizes.caption
    assert 'full fine-tuning 0.500, 0.500, 0.600' in sizes.caption
    assert 'bag of words 0.600, 0.500, 0.500, 0.500, 0.500' in noise.caption
    assert all('1,024 texts' in picture.caption for picture in (noise, poison))
    assert '0.9' in poison.caption
    table, rates = STUDY.tables(made_up())
    assert [plain(cell) for cell in rates.rows[1]] == ['1,024', '120', '1.1', '1', '1.2', '0.00015']
    assert [plain(cell)[:5] for cell in table.rows[0]] == ['bag o', '0.500', '0.400', '0.400']


def words(number: int) -> Sample:
    """Texts of a word and a number, of three classes."""
    random = np.random.default_rng(number)
    targets = np.arange(number) % 3
    texts = [f'{task_configs.WORDS[c]} {random.integers(10**6)}' for c in targets]
    return Sample(texts, targets)


def test_a_network_learns_each_sample_by_itself():
    sample = words(60)
    wrong = Sample(sample.texts, (sample.targets + 1) % 3)
    tokenizer = tokenizers.learn_tokenizer('chars', sample.texts, 0)
    config = config_file.get_config('standard').network
    config.model.update(hidden_size=16, num_heads=2)
    config.training.update(batch_size=16, sequence_length=8, chunk=10)
    network = strategies.Network(config.model, tokenizer, config.training)
    tell, diverged = strategies.fit_network(
        [sample, wrong], network, num_classes=3, steps=60, rate=1e-2
    )
    assert not diverged.any()
    for i, targets in enumerate((sample.targets, wrong.targets)):
        said = tell(i, sample.texts)
        np.testing.assert_allclose(said.sum(axis=1), 1, rtol=1e-5)
        assert np.mean(said.argmax(axis=1) == targets) > 0.9
    alone, _ = strategies.fit_network(
        [wrong], network, num_classes=3, steps=60, rate=1e-2, first_seed=1
    )  # by its seed, whatever stands beside it
    np.testing.assert_allclose(alone(0, sample.texts), tell(1, sample.texts), atol=1e-5)


def test_vectors_are_asked_for_once():
    asked = []

    def embed(texts):
        asked.extend(texts)
        return np.array([[len(text), text.count('a')] for text in texts], np.float32)

    vectors = strategies.kept_vectors(embed)
    np.testing.assert_array_equal(vectors(['a', 'bb', 'a']), [[1, 1], [2, 0], [1, 1]])
    np.testing.assert_array_equal(vectors(['bb', 'ca']), [[2, 0], [2, 1]])
    assert asked == ['a', 'bb', 'ca']


def test_the_strength_is_that_of_the_best_on_held_out_texts():
    sample = words(30)
    held_out = words(60)
    strength, swept = strategies.pick_strength(
        lambda strength: strategies.fit_bag([sample], num_classes=3, strength=strength),
        held_out,
        (1e-6, 10.0),
    )
    assert swept[str(strength)] == max(swept.values()) == 1.0


@pytest.fixture(scope='module')
def small(tmp_path_factory) -> Any:
    """The quick config on a tiny encoder, and texts of a word and a number."""
    folder = tmp_path_factory.mktemp('nontriviality')
    write_letters(write_folder(folder / 'bert', 'bert'), framed=True)
    sample = words(150)
    lines = [f'{t}\t{"abc"[c]}\n' for t, c in zip(sample.texts, sample.targets, strict=True)]
    (folder / 'labelled.tsv').write_text(''.join(lines))
    config = config_file.get_config('quick')
    config.update(num_devices=1, minilm=str(folder / 'bert'), sizes=(8, 60), length=12)
    config.update(flawed=60, sample=30, shown=10, most=dict(train=0, validation=0, test=0))
    path = str(folder / 'labelled.tsv')
    config.data.update(
        labelled='', path=path, splits=(0.6, 0.2, 0.2), tokenizer='chars', vocab_size=0
    )
    config.full.update(sizes=(8, 60), steps=(2, 3), rates=(1e-3, 1e-30))
    config.full.training.update(batch_size=4, sequence_length=12)
    config.network.update(steps=4, longer=8, rates=(1e-30, 3e-3))
    config.network.model.update(hidden_size=8, num_heads=2)
    config.network.training.update(batch_size=4, sequence_length=12, chunk=2)
    return config


def test_small_cells_are_measured(small, monkeypatch):
    study_file._prepared.clear()
    fit, seeds = strategies.fine_tuning.fit, []

    def seen(*given, seed, **how):
        seeds.append(seed)
        return fit(*given, seed=seed, **how)

    monkeypatch.setattr(strategies.fine_tuning, 'fit', seen)
    rows: list[dict] = []

    def measured(**key: Any) -> dict[str, Any]:
        value = STUDY.measure(small, key, Evidence('', {}, rows, {}))
        rows.append({'key': key, 'value': value})
        assert json.loads(json.dumps(value)) == value
        return value

    texts = measured(what='texts')
    assert texts['labels'] == ['a', 'b', 'c']
    assert sum(texts['texts'].values()) == 150
    for key in (
        {'what': 'rate'},
        {'what': 'full_rate', 'size': 8},
        {'what': 'full_rate', 'size': 60},
    ):
        found = measured(**key)
        assert found['swept'][str(found['rate'])] == min(found['swept'].values())
        assert len(set(found['swept'].values())) == 2
    assert seeds == [study_file.PILOT] * 4  # two rates at two sizes
    for name, size, steps in (
        ('bag', 60, 'usual'),
        ('frozen', 8, 'usual'),
        ('network', 8, 'longer'),
        ('full', 8, 'usual'),
    ):
        value = measured(what='size', strategy=name, size=size, steps=steps)
        assert all(len(value[n]) == small.seeds for n in ('accuracy', 'loss', 'train_loss'))
        assert np.isfinite(value['loss']).all()
        assert value.get('steps') == {'network': 8, 'full': 2}.get(name)
        if name == 'bag':
            assert value['accuracy'] == [1.0] * small.seeds  # the word is in the text
    assert seeds[4:] == list(range(small.seeds))
    noise = measured(what='flaw', flaw='noise', amount=0.4, strategy='frozen')
    assert len(noise['recall']) == small.seeds
    for flaw in ('fair', 'skewed', 'neighbours'):
        value = measured(what='flaw', flaw=flaw, amount=1.5, strategy='bag')
        assert value['accuracy'] == value['recall'] == [1.0] * small.seeds
    clean, poisoned = (
        measured(what='flaw', flaw='poison', amount=share, strategy='bag') for share in (0.0, 0.2)
    )
    assert clean['attack'] == [0.0] * small.seeds  # the word is still in the text
    assert clean['called'] == poisoned['called'] == [0.0] * small.seeds  # no trigger, no attack
    whole = measured(what='size', strategy='frozen', size=60, steps='usual')
    unharmed = measured(what='flaw', flaw='noise', amount=0.0, strategy='frozen')
    assert unharmed['accuracy'] == whole['accuracy']  # no label wrong: the same texts
    assert len(set(whole['loss'])) == small.seeds  # every seed has its own
    assert np.mean(poisoned['attack']) > 0.3
    value = measured(what='flaw', flaw='poison', amount=0.2, strategy='full')
    assert len(value['attack']) == small.seeds
    assert value['steps'] == 3  # poison is put into 60 texts
    study_file._prepared.clear()


def test_the_study_runs_to_its_verdicts(tmp_path):
    """Grid, journal, judging, pictures: with cells that are made up."""
    config, evidence = config_file.get_config('standard'), made_up()
    rows = [*evidence.rows, {'key': {'what': 'rate'}, 'value': {}}]
    known = {json.dumps(row['key'], sort_keys=True): row['value'] for row in rows}
    one = STUDY._replace(
        measure=lambda config, key, evidence: known[json.dumps(key, sort_keys=True)]
    )
    study.run(one, config, tmp_path)
    assert len(json.loads((tmp_path / 'verdicts.json').read_text())) == 3
    for name in ('sizes', 'noise', 'poison'):
        assert (tmp_path / f'{name}.png').exists()
