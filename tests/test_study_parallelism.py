"""The study of what can be computed at once: its grid, verdicts both ways, a tiny run."""

import itertools
import json

import jax
import numpy as np
import pytest

from configs.studies import parallelism as configuration
from experiments.studies import parallelism
from experiments.studies.parallelism import STUDY
from nlp_models.analysis import study
from nlp_models.analysis.study import Evidence

NOISE = (1.0, 1.01, 0.99, 1.005, 0.995)


def made_up(
    error=1e-6,
    steps=1.0,  # exponent of T in a recurrence's operations and seconds
    at_once=1.0,  # the same in parallel
    gain=0.5,  # of parallel evaluation over the scan at the longest T
    attention_speed=3.0,
    decoding_growth=0.5,
    size='quick',
):
    """Evidence in which everything is a power of T."""
    config, rows = configuration.get_config(size), []
    longest = max(config.solved_lengths)
    for cell in STUDY.grid(config):
        match cell.key['what']:
            case 'depth':
                lengths = {*config.lengths, *config.solved_lengths}
                value = {
                    name: {'forward': counts, 'both': counts}
                    for name, counts in (
                        (n, {str(t): 60 if n == 'transformer' else 10 * t**steps for t in lengths})
                        for n in config.families
                    )
                }
            case 'growth':
                kept = steps if cell.key['kept'] == 'sequence' else steps - 0.5
                value = {'seconds': [[t**kept * n for n in NOISE] for t in config.lengths]}
            case 'solved':
                value = {'lengths': {}, 'scores': None}
                for t in config.solved_lengths:
                    waits = 10.0 * longest / gain * (t / longest) ** at_once
                    pairs = [(10.0 * t**steps * longest ** (1 - steps), waits * n) for n in NOISE]
                    value['lengths'][str(t)] = {
                        'iterations': [5] * 5,
                        'converged': [True] * 5,
                        'errors': [error * n for n in NOISE],
                        'depth': pairs,
                        'seconds': pairs,
                    }
            case what:
                value = {'rows': []}
                for name in parallelism.PAIR:
                    other = name == 'transformer'
                    for t in config.language[f'{what}_lengths']:
                        times = t**decoding_growth if what == 'decoding' else 1 / attention_speed
                        row = {'family': name, 'length': t, 'parameters': 1000}
                        row['seconds_per_token'] = [(times if other else 1.0) * n for n in NOISE]
                        row['seconds_per_token'].reverse() if other else None
                        row['state_bytes'] = 8 * t if other else 64
                        value['rows'].append(row)
        value = value | {'where': '2 CPU cores'} if cell.key['what'] != 'depth' else value
        rows.append({'key': cell.key, 'value': value, 'seconds': 1.0})
    return Evidence('parallelism', json.loads(config.to_json()), rows, {})


def verdicts_of(**changed):
    return [verdict['verdict'] for verdict in STUDY.judge(made_up(**changed))]


@pytest.mark.parametrize('size', ['quick', 'standard'])
def test_claims_that_hold_are_supported(size):
    assert verdicts_of(size=size) == ['supported'] * 4


def test_claims_that_do_not_hold_are_not():
    assert verdicts_of(error=0.1)[0] == 'refuted'
    assert verdicts_of(steps=0.2, at_once=0.2)[1] == 'refuted'
    assert verdicts_of(at_once=0.2, gain=8.0)[1:3] == ['qualified', 'refuted']
    assert verdicts_of(gain=1.5)[2] == 'qualified'  # less than two at once, and yet faster
    slow = STUDY.judge(made_up(attention_speed=0.5, decoding_growth=-0.2))[3]
    assert slow['verdict'] == 'qualified'
    assert 'not for speed of training on 2 CPU cores at T = 64' in slow['condition']
    assert (
        'cost of a decoded token on 2 CPU cores after 64 tokens'
        in (slow['condition'].partition('not for')[2])
    )


def test_other_values_gain_nothing():
    row = {'depth': [(8.0, 2.0), (8.0, 2.0)], 'errors': [1e-3, 1e-6]}
    assert parallelism.gains(row, 'depth', same=1e-4) == [1.0, 4.0]
    assert verdicts_of(gain=8.0, error=0.1)[2] == 'supported'  # what is at once is something else


def test_captions_are_computed():
    at_once, growth, language = STUDY.plot(made_up())
    assert 'a GRU step by step 2,560' in at_once.caption
    assert '5 to 5 iterations' in at_once.caption
    assert 'one sequence: GRU 1.00' in growth.caption
    assert 'it trains at 3 times the speed' in language.caption
    assert '32 times as long, with 128 times the state' in language.caption


@pytest.mark.parametrize('size', ['quick', 'standard', 'full'])
def test_every_size_has_its_cells(size):
    config = configuration.get_config(size)
    keys = [json.dumps(cell.key) for cell in STUDY.grid(config)]
    assert len(set(keys)) == len(keys)
    assert set(config.cases) <= set(parallelism.SOLVED) == set(config.solved)
    assert {'gru', 'transformer'} <= set(config.families) <= set(config.models)
    assert 'gru' in config.cases  # whose steps are drawn
    assert min(len(config.seeds), config.rounds) >= 5


def test_language_models_are_of_one_size():
    config = configuration.get_config('standard')
    config.language.transformer.hidden_size = 16
    before = config.language.to_dict()
    found = parallelism.language_models(config)
    assert config.language.to_dict() == before
    assert found['gru'].hidden_size != config.language.gru.hidden_size
    built = parallelism.models.build_language_model
    counts = [
        parallelism.costs.count_parameters(built(m, vocab_size=256, max_length=64))
        for m in found.values()
    ]
    assert counts[0] == pytest.approx(counts[1], rel=0.02)


def test_verdicts_and_pictures_are_written(tmp_path):
    study.write(STUDY, made_up(), tmp_path)
    assert [v['claim'] for v in json.loads((tmp_path / 'verdicts.json').read_text())] == [
        *(0, 19, 20, 21)
    ]
    assert {path.name for path in tmp_path.iterdir() if path.suffix == '.png'} == {
        *('parallelism_at_once.png', 'parallelism_growth.png', 'parallelism_language.png')
    }


def test_tiny_cells_are_measured():
    config = configuration.get_config('quick')
    config.update(families=('gru', 'transformer'), cases=('mingru',), solved_lengths=(4,))
    config.update(lengths=(4, 8), tokens=8, seeds=(0, 1), rounds=2, block_seconds=1e-4)
    config.language.update(tokens=8, vocab_size=5, training_lengths=(2,), decoding_lengths=(34,))
    for group in (config.models, config.language):
        group.transformer.update(hidden_size=4, num_heads=2, num_layers=1)
        group.gru.hidden_size = 4
    config.solved.mingru.model.hidden_size = 2
    empty = Evidence('parallelism', json.loads(config.to_json()), [], {})
    found = {
        cell.key['what']: STUDY.measure(config, cell.key, empty)
        for cell in STUDY.grid(config)
        if cell.key['what'] != 'growth'  # only clocks, which the library's tests read
    }
    assert json.loads(json.dumps(found)).keys() == {*('depth', 'solved', 'training', 'decoding')}
    waits = found['depth']['gru']['both']
    assert waits['8'] > 1.8 * waits['4']
    compared = found['solved']['lengths']['4']
    assert max(compared['errors']) < 1e-5
    assert compared['iterations'] == [1, 1]
    states = {row['family']: row['state_bytes'] for row in found['decoding']['rows']}
    assert states['transformer'] >= 2 * 34 * 4 * 4  # keys and values, float32
    assert [row['tokens'] for row in found['training']['rows']] == [8, 8]


def test_every_round_has_parameters_and_inputs_of_its_own(monkeypatch):
    """Rounds on the same arrays would repeat one measurement."""
    seen = []

    def keep(draw, seeds, **options):
        seen.append(list(seeds))
        seen.append([[jax.tree.leaves(call.args) for call in draw(seed)] for seed in seeds])
        return [[1.0] * len(seeds) for _ in seen[-1][0]]

    monkeypatch.setattr(parallelism.parallel_time, 'afresh', keep)
    config = configuration.get_config('quick')
    config.update(lengths=(2, 4), tokens=4, rounds=3, seeds=(5,))
    config.language.update(tokens=4, vocab_size=5, training_lengths=(2,), decoding_lengths=(34,))
    for group in (config.models, config.language):
        group.transformer.update(hidden_size=4, num_heads=2, num_layers=1)
        group.gru.hidden_size = 4
    empty = Evidence('parallelism', json.loads(config.to_json()), [], {})
    growth = {'what': 'growth', 'family': 'gru', 'kept': 'sequence'}
    for key in (growth, {'what': 'training'}, {'what': 'decoding'}):
        seen.clear()
        STUDY.measure(config, key, empty)
        seeds, rounds = seen
        assert seeds == [5, 6, 7]
        for call in range(2):  # two lengths, or two models
            draws = [[np.asarray(leaf) for leaf in calls[call]] for calls in rounds]
            assert len({str([a.shape for a in draw]) for draw in draws}) == 1
            for one, other in itertools.combinations(draws, 2):
                random = [(a, b) for a, b in zip(one, other, strict=True) if _varies(a)]
                assert len(random) >= 3
                assert not any(np.array_equal(a, b) for a, b in random), key


def _varies(array):
    return array.size > 4 and len(np.unique(array)) > 1


def test_rounds_are_timed_on_what_was_drawn_for_them():
    called = []

    def draw(seed):
        return [lambda name=name: called.append((seed, name)) for name in 'ab']

    found = parallelism.parallel_time.afresh(draw, (3, 4, 5), block_seconds=1e-9)
    assert np.shape(found) == (2, 3)
    timed = [*called]
    del timed[:4]  # one of each that warms up, and one that tells how often to call
    # A call that is not timed, then one that is; who goes first moves on.
    order = [(3, 'a'), (3, 'b'), (4, 'b'), (4, 'a'), (5, 'a'), (5, 'b')]
    assert timed == [call for call in order for _ in range(2)]
