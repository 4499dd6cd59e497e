"""The study of what gates cost: its grid, verdicts on made-up evidence both ways, a tiny run."""

import json

import pytest

from configs.studies import complexity as configuration
from experiments.studies import complexity
from experiments.studies.complexity import STUDY
from nlp_models.analysis import study
from nlp_models.analysis.study import Evidence

PROPORTIONAL = {'rnn': 1.0, 'gru': 3.0, 'lstm': 4.0}


def made_up(parameters=PROPORTIONAL, work=PROPORTIONAL, seconds=PROPORTIONAL, memory=PROPORTIONAL):
    """Evidence in which everything is some number of times what an RNN needs."""
    config, rows = configuration.get_config('quick'), []
    sizes = config.counted
    for cell in STUDY.grid(config):
        match cell.key['what']:
            case 'parameters':
                value = {
                    name: [
                        [times * (n * h + h * h + h) for h in sizes.hidden_sizes]
                        for n in sizes.input_sizes
                    ]
                    for name, times in parameters.items()
                }
            case 'operations':
                value = {
                    name: {'formula': 1e6 * PROPORTIONAL[name], 'compiled': 1e6 * times}
                    for name, times in work.items()
                }
            case 'memory':
                kinds = ('parameters', 'state', 'kept', 'planned')
                value = {name: dict.fromkeys(kinds, 64 * t) for name, t in memory.items()}
            case _:
                both = {
                    name: [times * (1 + 0.01 * i) for i in range(5)]
                    for name, times in seconds.items()
                }
                value = {'forward': both, 'both': both, 'where': '2 CPU cores'}
        rows.append({'key': cell.key, 'value': value, 'seconds': 1.0})
    return Evidence('complexity', json.loads(config.to_json()), rows, {})


def verdicts_of(**changed):
    return [verdict['verdict'] for verdict in STUDY.judge(made_up(**changed))]


def test_verdicts_can_go_either_way():
    assert verdicts_of() == ['supported'] * 3
    alike = {'rnn': 1.0, 'gru': 1.0, 'lstm': 1.0}
    assert verdicts_of(memory=alike)[2] == 'refuted'
    assert verdicts_of(parameters=alike)[0] == 'qualified'  # growth in n and h is as it was
    # What is in proportion to another number of gates is not in this one.
    swapped = {'rnn': 1.0, 'gru': 4.0, 'lstm': 3.0}
    assert verdicts_of(memory=swapped)[2] == 'refuted'
    *_, one, _ = STUDY.judge(made_up(seconds=alike))
    assert one['verdict'] == 'qualified'
    assert (
        'not for an LSTM by the clock on 2 CPU cores at n = h = 16 and T = 32' in (one['condition'])
    )
    noisy = made_up()
    noisy.rows[-1]['value']['both']['gru'] = [1.0, 9.0, 1.0, 9.0, 1.0]
    assert 'undecided for a GRU by the clock' in STUDY.judge(noisy)[1]['condition']


def test_memory_that_no_compiler_tells_is_left_out():
    untold = made_up()
    for _, value in untold.select(what='memory'):
        for row in value.values():
            row['planned'] = None
    conditions = [row['condition'] for row in STUDY.judge(untold)[2]['criteria']]
    assert not any('compiled' in condition for condition in conditions)


def test_captions_are_computed():
    clock, proportions = STUDY.plot(made_up(memory={'rnn': 1.0, 'gru': 1.5, 'lstm': 2.25}))
    assert 'an LSTM takes 4 times at h = 16' in clock.caption
    assert 'state carried 2.25 and 1.50' in proportions.caption


@pytest.mark.parametrize('size', ['quick', 'standard', 'full'])
def test_every_size_has_its_cells(size):
    config = configuration.get_config(size)
    keys = [json.dumps(cell.key) for cell in STUDY.grid(config)]
    assert len(set(keys)) == len(keys)
    assert len(config.timed) >= 2
    assert config.repetitions >= 5


def test_a_tiny_study(tmp_path):
    config = configuration.get_config('quick')
    config.update(planned=((3, 3, 4),), unrolled_sizes=(3,), unrolled_steps=2, timed=((3, 3, 4),))
    config.update(repetitions=2, rounds=1, block_seconds=1e-3, batch_size=2, num_devices=1)
    config.counted = dict(input_sizes=(1, 512, 4096), hidden_sizes=(1, 512, 4096))
    study.run(STUDY, config, tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    assert {'evidence.json', 'verdicts.json', 'complexity_clock.png'} <= names
    verdicts = json.loads((tmp_path / 'verdicts.json').read_text())
    assert [verdict['claim'] for verdict in verdicts] == [16, 17, 18]
    assert verdicts[0]['verdict'] == 'supported'  # counted, whatever the sizes that are timed
    assert complexity.farthest([2.5, 3.2, 3.0], 3.0) == 2.5
