"""The study of what gates cost: its grid, verdicts on made-up evidence both ways, a tiny run."""

import json

import pytest

from configs.studies import complexity as configuration
from experiments.studies import complexity
from experiments.studies.complexity import STUDY
from nlp_models.analysis import study
from nlp_models.analysis.study import Evidence

PROPORTIONAL = {'rnn': 1.0, 'gru': 3.0, 'lstm': 4.0}


def made_up(
    parameters=PROPORTIONAL,
    work=PROPORTIONAL,
    seconds=PROPORTIONAL,
    memory=PROPORTIONAL,
    growth=1.0,  # exponent of operations, seconds and bytes in T
    size_growth=1.0,  # and in nh + h²
    size='quick',
):
    """Evidence in which everything is some number of times what an RNN needs."""
    config, rows = configuration.get_config(size), []
    counted = config.counted
    for cell in STUDY.grid(config):
        if cell.key['what'] != 'parameters':
            n, h, length = (cell.key[name] for name in ('input', 'hidden', 'length'))
            grown = length**growth * (n * h + h * h) ** size_growth
        match cell.key['what']:
            case 'parameters':
                value = {
                    name: [
                        [
                            times * (n * h + h * h + h) + h * (name == 'gru_reset_after')
                            for h in counted.hidden_sizes
                        ]
                        for n in counted.input_sizes
                    ]
                    for name, times in {'gru_reset_after': 3.0, **parameters}.items()
                }
            case 'operations':
                value = {
                    name: {'formula': grown * PROPORTIONAL[name], 'compiled': grown * times}
                    for name, times in work.items()
                }
            case 'memory':
                kinds = ('parameters', 'state', 'kept', 'kept_in_all', 'planned')
                value = {name: dict.fromkeys(kinds, grown * t) for name, t in memory.items()}
            case _:
                both = {
                    name: [times * grown * (1 + 0.01 * i) for i in range(5)]
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
    flat = {'growth': 0.0, 'size_growth': 0.5}
    assert verdicts_of(memory=alike, **flat)[2] == 'refuted'
    assert verdicts_of(memory=alike)[2] == 'qualified'  # growth in T, n and h is as it was
    assert verdicts_of(parameters=alike)[0] == 'qualified'  # growth in n and h is as it was
    # What is in proportion to another number of gates is not in this one.
    swapped = {'rnn': 1.0, 'gru': 4.0, 'lstm': 3.0}
    assert verdicts_of(memory=swapped, **flat)[2] == 'refuted'
    other_bias = {**PROPORTIONAL, 'gru_reset_after': 4.0}
    assert verdicts_of(parameters=other_bias)[0] == 'qualified'
    *_, one, _ = STUDY.judge(made_up(seconds=alike))
    assert one['verdict'] == 'qualified'
    assert (
        'not for an LSTM by the clock on 2 CPU cores at n = h = 16 and T = 32' in (one['condition'])
    )
    noisy = made_up()
    both = noisy.rows[-1]['value']['both']
    both['gru'] = [a * b for a, b in zip(both['rnn'], (1.0, 9.0, 1.0, 9.0, 1.0), strict=True)]
    assert 'undecided for a GRU by the clock' in STUDY.judge(noisy)[1]['condition']


@pytest.mark.parametrize('size', ['quick', 'standard', 'full'])
def test_growth_is_judged_in_length_and_in_size(size):
    assert [v['verdict'] for v in STUDY.judge(made_up(size=size))] == ['supported'] * 3
    # Of T alone, and of n and h alone: each shows by itself, and in nothing else.
    for change, axis in (({'growth': 0.8}, 'T'), ({'size_growth': 0.8}, 'nh + h²')):
        _, operations, memory = STUDY.judge(made_up(size=size, **change))
        for verdict, number in ((operations, 4), (memory, 2)):
            failed = [row for row in verdict['criteria'] if row['outcome'] != 'met']
            assert len(failed) == number
            for row in failed:
                assert row['condition'].startswith(f'growth in {axis} of')
                assert row['estimate'] == pytest.approx(0.8)


def test_sweeps_differ_in_one_thing():
    by_length, by_size = complexity.sweeps(made_up(size='standard'), 'clock')
    assert (by_length.axis, by_length.held) == ('T', 'n = h = 64')
    assert [place for place, _ in by_length.points] == [32, 128, 512]
    assert (by_size.axis, by_size.held) == ('nh + h²', 'T = 32')
    sizes = [(16, 16), (256, 16), (64, 64), (16, 256), (256, 256), (1024, 1024)]
    assert [place for place, _ in by_size.points] == [n * h + h * h for n, h in sizes]


def test_memory_that_no_compiler_tells_is_left_out():
    untold = made_up()
    for _, value in untold.select(what='memory'):
        for row in value.values():
            row['planned'] = None
    conditions = [row['condition'] for row in STUDY.judge(untold)[2]['criteria']]
    assert not any('compiled' in condition for condition in conditions)


def test_captions_are_computed():
    clock, proportions, length, size = STUDY.plot(
        made_up(memory={'rnn': 1.0, 'gru': 1.5, 'lstm': 2.25}, growth=0.8)
    )
    assert 'an LSTM and a GRU take 4 and 3 times at n = 16 and h = 256 and T = 32' in clock.caption
    assert 'forward and backward on 2 CPU cores at n = h = 16: RNN 0.80' in length.caption
    assert 'all operations, MFLOP at T = 4: RNN 1.00, LSTM 1.00, GRU 1.00' in size.caption
    assert 'an LSTM takes 4 times at h = 16' in clock.caption
    assert 'state carried 2.25 and 1.50' in proportions.caption


@pytest.mark.parametrize('size', ['quick', 'standard', 'full'])
def test_every_size_has_its_cells(size):
    config = configuration.get_config(size)
    keys = [json.dumps(cell.key) for cell in STUDY.grid(config)]
    assert len(set(keys)) == len(keys)
    assert len(config.timed) >= 2
    assert config.repetitions >= 5
    for shapes in (config.timed, config.planned, config.unrolled):
        assert any(n != h for n, h, _ in shapes)
        assert len({length for *_, length in shapes}) >= 2


def test_a_tiny_study(tmp_path):
    config = configuration.get_config('quick')
    config.update(planned=((3, 3, 4),), unrolled=((3, 3, 2), (2, 4, 2)), timed=((3, 3, 4),))
    config.update(repetitions=2, rounds=1, block_seconds=1e-3, batch_size=2, num_devices=1)
    config.counted = dict(input_sizes=(1, 512, 4096), hidden_sizes=(1, 512, 4096))
    study.run(STUDY, config, tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    assert {'evidence.json', 'verdicts.json', 'complexity_clock.png'} <= names
    assert 'complexity_size.png' in names  # of the one kind that has two sizes
    assert 'complexity_length.png' not in names
    verdicts = json.loads((tmp_path / 'verdicts.json').read_text())
    assert [verdict['claim'] for verdict in verdicts] == [16, 17, 18]
    assert verdicts[0]['verdict'] == 'supported'  # counted, whatever the sizes that are timed
    assert complexity.farthest([2.5, 3.2, 3.0], 3.0) == 2.5
