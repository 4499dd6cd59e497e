"""The study of prompts: verdicts either way, and a tiny run of it."""

import json
from typing import Any

import numpy as np

from configs.studies import prompting as config_file
from experiments.studies import prompting as study_file
from experiments.studies.prompting import STUDY
from experiments.studies.prompting_verdicts import FACTORS
from nlp_models.analysis import study
from nlp_models.analysis.document import plain
from nlp_models.analysis.study import Evidence

SEEDS = 5
NOISE = np.random.default_rng(0).normal(0, 1e-3, SEEDS)


def made_up(gap=0.3, narrowed=0.1, cost=0.0, knows=0.9, optimism=0.05, better=0.1) -> Evidence:
    """Evidence in which each thing is so much."""
    config = config_file.get_config('standard')
    rows: list[dict] = []

    def add(value: dict, **key: Any) -> None:
        rows.append({'key': key, 'value': value, 'seconds': 1.0})

    ways = {'template': len(config.templates), 'words': 4, 'order': 24, 'draw': 8}
    for family in config.models:
        add({'loss': list(1.5 + NOISE), 'shown': 60, 'asked': 164}, what='model', family=family)
        for factor in FACTORS:
            for scoring in config.scorings:
                less = narrowed if scoring == 'calibrated' else 0.0
                lost = cost if scoring == 'calibrated' else 0.0
                lists = [[knows + e - lost, *[0.5 - lost] * (ways[factor] - 1)] for e in NOISE]
                value = {'accuracies': lists, 'gap': list(gap - less + NOISE)}
                value['changed'] = list(0.2 + NOISE)
                add(value, what='ask', family=family, factor=factor, scoring=scoring)
        value = {
            'searched': list(0.8 + optimism + NOISE),
            'held_out': list(0.8 - NOISE),
            'first': list(0.8 - better + 2 * NOISE),
            'least': list(0.4 + NOISE),
            'median': list(0.6 + NOISE),
            'chosen': ['is: {text} {label}'] * SEEDS,
        }
        add(value, what='search', family=family)
    return Evidence('prompting', config.to_dict(), rows, {})


def verdicts_of(**made):
    return [verdict['verdict'] for verdict in STUDY.judge(made_up(**made))]


def test_verdicts_can_go_either_way():
    assert verdicts_of() == ['supported'] * 5
    assert verdicts_of(gap=0.01)[0] == 'refuted'
    assert verdicts_of(knows=0.55)[0] == 'inconclusive'  # there is nothing to spoil
    assert verdicts_of(narrowed=0.0)[1] == 'refuted'
    assert verdicts_of(cost=0.1)[1:3] == ['supported', 'refuted']
    assert verdicts_of(optimism=-0.1)[3] == 'refuted'
    assert verdicts_of(better=0.0)[4] == 'refuted'
    assert verdicts_of(gap=float('nan'))[0] == 'inconclusive'


def test_cells_are_distinct_and_can_be_written():
    for size in ('quick', 'standard', 'full'):
        config = config_file.get_config(size)
        keys = [json.dumps(cell.key) for cell in STUDY.grid(config)]
        assert len(set(keys)) == len(keys)
        assert set(config.judged) <= set(config.scorings)


def test_pictures_and_tables_tell_the_numbers():
    first, second = STUDY.plot(made_up())
    assert 'order of the examples: gap 0.30, accuracies from 0.50 to 0.90' in first.caption
    assert 'less that without a question' in second.caption
    ways, search = STUDY.tables(made_up())
    assert [plain(cell) for cell in ways.rows[0]][1].startswith('0.9')
    assert plain(ways.rows[1][1]) == '0.500'
    assert plain(search.rows[0][3]).startswith('0.85')


def test_a_tiny_study_from_end_to_end(tmp_path, monkeypatch):
    config = config_file.get_config('quick')
    text = 'The file is read. Its files are read. If the name was given, the names were given. '
    (tmp_path / 'text.txt').write_text(text * 60)
    config.data.update(path=str(tmp_path / 'text.txt'), cache_dir=str(tmp_path / 'cache'))
    config.update(num_devices=1, every=2, orders=2, draws=2, context=256)
    config.update(templates=('{text} {label}', 'If {text} {label}'), shots=2)
    config.models = {'gru': {**config.models.gru.to_dict(), 'hidden_size': 8}}
    config.training.update(batch_size=4, sequence_length=16, chunk=2)
    config.pretrain_steps.gru = 4
    splits, search = [], study_file.prompt_search.search_prompts

    def search_prompts(*ours, seed, **how):
        splits.append(seed)
        return search(*ours, seed=seed, **how)

    monkeypatch.setattr(study_file.prompt_search, 'search_prompts', search_prompts)
    study_file._trained.clear()
    evidence = study.run(STUDY, config, tmp_path / 'study')
    assert splits == [0, 1]  # each model has other questions held out
    study_file._trained.clear()
    for _, value in evidence.select(what='ask'):
        assert len(value['gap']) == len(value['changed']) == 2
        assert np.shape(value['accuracies'])[0] == 2
    (row,) = (value for _, value in evidence.select(what='search'))
    assert all(0 <= accuracy <= 1 for accuracy in row['held_out'] + row['first'])
    assert len(json.loads((tmp_path / 'study' / 'verdicts.json').read_text())) == 5
    assert (tmp_path / 'study' / 'gaps_none.png').exists()
