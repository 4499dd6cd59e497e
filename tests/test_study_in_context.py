"""The study of learning in context: verdicts either way, and a tiny run of its cells."""

import json
from typing import Any

import numpy as np
import pytest

from configs.studies import in_context as config_file
from experiments.studies.in_context import STUDY
from experiments.studies.in_context_verdicts import KINDS
from nlp_models.analysis import study
from nlp_models.analysis.document import plain
from nlp_models.analysis.study import Evidence

SEEDS = 5
NOISE = np.random.default_rng(0).normal(0, 1e-3, SEEDS)
POINTS = 16


def made_up(
    zero=0.5, few=0.3, agreement=0.8, examples=0.1, ratio=1.2, behind=1.5, shift=2.0, recalled=0.95,
    retrieve=0.1, misled=0.0, floor=0.1, learned=0.9,
) -> Evidence:  # fmt: skip
    """Evidence in which each thing is so much."""
    config = config_file.get_config('standard')
    rows: list[dict] = []

    def add(value: dict, **key: Any) -> None:
        rows.append({'key': key, 'value': value, 'seconds': 1.0})

    falling = np.maximum(np.linspace(5.0, -2.0, POINTS), floor)
    settings = list(config.regression.settings)
    known = {'ridge': list(falling), 'least_squares': list(2 * falling), 'trivial': [5.0] * POINTS}
    add({name: known for name in settings}, what='estimators')
    add(
        {kind: {'rules': 30, 'repeat': 0.02, 'retrieve': retrieve} for kind in KINDS},
        what='guessers',
    )
    for family in config.regression.models:
        factor = ratio * (1 if family == 'transformer' else behind)
        found = {
            name: [list(falling * factor * (1 + e) * (1 if name == 'trained' else shift))
                   for e in NOISE]
            for name in settings
        }  # fmt: skip
        add({'errors': found, 'hidden_size': 8}, what='regression', family=family)
    for family in config.recall.models:
        right = {str(pairs): list(recalled + NOISE) for pairs in config.recall.pairs}
        add({'right': right}, what='recall', family=family)
    rising = np.linspace(0, 1, 9)
    for family in config.rules.models:
        kinds = {
            'untold': [list(few * rising + 0.01 * e) for e in NOISE],
            'told': [list(zero + few * rising + e) for e in NOISE],
            'told_other': [list(misled + 0 * rising + 0.01 * e) for e in NOISE],
            'misled': [list(misled + 0 * rising + 0.01 * e) for e in NOISE],
        }
        answers = dict.fromkeys(KINDS, kinds)
        answers['trained'] = kinds | {
            'untold': [list(learned * rising + e) for e in NOISE],
            'told': [list(learned + 0 * rising + e) for e in NOISE],
        }
        add({'exact': answers}, what='rules', family=family)
    for family in config.plain.models:
        value = {
            task: {str(k): list(base + examples * (k > 0) + NOISE * (k + 1))
                   for k in config.plain.shots}
            for task, base in (('agreement', agreement), ('rules', 0.0))
        }  # fmt: skip
        add(value, what='plain', family=family)
    return Evidence('in_context', config.to_dict(), rows, {})


def verdicts_of(**made):
    return [verdict['verdict'] for verdict in STUDY.judge(made_up(**made))]


def test_verdicts_can_go_either_way():
    assert verdicts_of() == ['supported'] * 7
    assert verdicts_of(zero=0.0, agreement=0.5)[0] == 'refuted'
    assert verdicts_of(agreement=0.5)[0] == 'qualified'
    assert verdicts_of(few=0.0, examples=0.0, floor=4.0)[1] == 'refuted'
    assert verdicts_of(examples=0.0)[1] == 'qualified'
    assert verdicts_of(misled=0.5)[:2] == ['inconclusive'] * 2
    assert verdicts_of(learned=0.1)[:2] == ['inconclusive'] * 2
    assert verdicts_of(ratio=1.5)[2] == 'refuted'
    assert verdicts_of(behind=1.0)[3] == 'refuted'
    assert verdicts_of(ratio=1.0, shift=1.0)[4] == 'refuted'
    assert verdicts_of(recalled=0.5)[5] == 'refuted'
    assert verdicts_of(retrieve=0.9)[6] == 'refuted'
    assert verdicts_of(few=float('nan'))[1] == 'inconclusive'


def test_cells_are_distinct_and_can_be_written():
    for size in ('quick', 'standard', 'full'):
        config = config_file.get_config(size)
        keys = [json.dumps(cell.key) for cell in STUDY.grid(config)]
        assert len(set(keys)) == len(keys)
        assert config.recall.trained in config.recall.pairs
        assert {0, config.plain.judged} <= set(config.plain.shots)


def test_pictures_and_tables_tell_the_numbers():
    evidence = made_up()
    functions, *_, recall = STUDY.plot(evidence)
    assert 'transformer 1.20' in functions.caption
    assert 'GRU 0.95, 0.95, 0.95, 0.95' in recall.caption
    shifts, instructions, models = STUDY.tables(evidence)
    row = next(row for row in shifts.rows if plain(row[0]) == 'transformer')
    assert [plain(cell)[:4] for cell in row[1:]] == ['1.20', '2.40', '2.40', '2.40']
    assert plain(instructions.rows[1][2]).startswith('0.5')
    assert plain(models.rows[0][1]).startswith('0.8')


@pytest.fixture(scope='module')
def small(tmp_path_factory) -> Any:
    """The quick config, smaller still, and a short text."""
    folder = tmp_path_factory.mktemp('in_context')
    (folder / 'text.txt').write_text('The file is read. Its files are read by the method. ' * 80)
    config = config_file.get_config('quick')
    config.update(num_devices=1)
    config.regression.training.update(batch_size=4, steps=4, chunk=2, test_examples=20)
    config.regression.models.transformer.update(hidden_size=4, num_heads=1)
    config.recall.training.update(batch_size=4, steps=4, chunk=2, test_examples=10)
    config.recall.models.transformer.update(hidden_size=4, num_heads=1)
    config.rules.update(batch_size=2, steps=4, chunk=2, prompts=6)
    config.rules.models.transformer.update(hidden_size=8, num_layers=1, num_heads=2)
    config.plain.update(rules=1, questions=2, every=2, context=256)
    config.plain.data.update(path=str(folder / 'text.txt'), cache_dir=str(folder / 'cache'))
    config.plain.models.gru.update(hidden_size=8)
    config.plain.training.update(batch_size=4, sequence_length=16, pretrain_steps=4, chunk=2)
    return config


def test_small_cells_are_measured(small):
    rows: list[dict] = []

    def measured(**key: Any) -> dict[str, Any]:
        value = STUDY.measure(small, key, Evidence('', {}, rows, {}))
        assert json.dumps(json.loads(json.dumps(value))) == json.dumps(value)  # NaN is not itself
        return value

    estimators = measured(what='estimators')
    assert next(iter(estimators)) == 'trained'
    trained = estimators['trained']
    assert trained['ridge'][10] < trained['least_squares'][10] < trained['trivial'][10]
    guessers = measured(what='guessers')
    assert guessers['trained']['retrieve'] > guessers['parts']['retrieve']
    functions = measured(what='regression', family='gru')
    assert np.shape(functions['errors']['larger_inputs']) == (2, POINTS)
    pairs = measured(what='recall', family='transformer')
    assert list(pairs['right']) == ['2', '4']
    rules = measured(what='rules', family='transformer')
    for kinds in rules['exact'].values():
        assert all(np.shape(table) == (2, 9) for table in kinds.values())
    models = measured(what='plain', family='gru')
    for task in ('agreement', 'rules'):
        assert list(models[task]) == ['0', '4']
        assert all(len(values) == 2 for values in models[task].values())


def test_the_study_runs_to_its_verdicts(tmp_path):
    """Grid, journal, judging, pictures: with cells that are made up."""
    config, evidence = config_file.get_config('standard'), made_up()
    known = {json.dumps(row['key'], sort_keys=True): row['value'] for row in evidence.rows}
    one = STUDY._replace(
        measure=lambda config, key, evidence: known[json.dumps(key, sort_keys=True)]
    )
    study.run(one, config, tmp_path)
    assert len(json.loads((tmp_path / 'verdicts.json').read_text())) == 7
    for name in ('functions', 'rules_gru', 'rules_transformer', 'recall'):
        assert (tmp_path / f'{name}.png').exists()
