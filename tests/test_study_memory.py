"""The study of memory: its grid, its verdicts on made-up evidence both ways, and a tiny run."""

import json
import math
import statistics

import pytest
from ml_collections import ConfigDict

from configs.studies import memory as configuration
from experiments import studies
from experiments.studies import memory
from experiments.studies.memory import CLAIMS, STUDY, grid
from nlp_models.analysis import study, verdicts
from nlp_models.analysis.study import Evidence
from nlp_models.analysis.verdicts import Criterion
from nlp_models.errors import InputError

SEEDS = 5


def config(**tried):
    """That of standard, with a grid of lengths that is the same for both ways of matching."""
    found = configuration.get_config()
    for matching in ('parameters', 'state'):
        found[matching].lengths = ConfigDict(tried)
    return found


FOUR = config(
    **{task: (16, 32, 64, 128) for task in ('copy', 'adding', 'recall', 'parity', 'dyck')}
)


def evidence(solved, influence=0.01, settings=FOUR, diverged=()):
    """Each family solves lengths up to the one given, alike on all tasks; no training."""
    rows = []
    for cell in grid(settings):
        key, value = cell.key, {}
        if key['what'] == 'guess':
            value = {'measured': 0.1, 'expected': 0.1}
        elif key['what'] == 'published':
            value = {
                'figures': [0.1, 0.2],
                'setting': {'length': 600},
                'parameters': 5000,
                'steps': 100,
            }
        else:
            right = key['length'] <= solved[key['family']]
            score = (0.0 if right else 0.2) if key['task'] == 'adding' else float(right)
            if key['family'] in diverged:
                score = math.nan
            value = {'scores': [score] * SEEDS, 'parameters': 7000, 'state': 64}
            probed = key['length'] == settings.probe.length and key['matching'] == 'parameters'
            if key['task'] in settings.probe.tasks and probed:
                far = settings.probe.distance
                curve = [influence ** (d / far) for d in range(settings.probe.length)]
                value['influence'] = {'untrained': [curve] * SEEDS, 'trained': [curve] * SEEDS}
        rows.append({'key': key, 'value': value, 'seconds': 1.0})
    return Evidence('memory', json.loads(settings.to_json()), rows, {})


HOLDS = {'rnn': 16, 'lstm': 64, 'gru': 64, 'transformer': 128}


def verdict_of(found):
    return {verdict['claim']: verdict['verdict'] for verdict in STUDY.judge(found)}


def test_the_claims_are_those_of_the_tutorial_and_the_study_is_found():
    assert [claim.number for claim in CLAIMS] == [9, 10, 11, 12, 13]
    assert studies.find('memory') is STUDY


@pytest.mark.parametrize('size', ['quick', 'standard', 'full'])
def test_cells_are_distinct_and_ascend(size):
    settings = configuration.get_config(size)
    keys = [cell.key for cell in grid(settings)]
    assert len({json.dumps(key, sort_keys=True) for key in keys}) == len(keys)
    tried: dict[str, list[int]] = {}
    for key in keys:
        if key['what'] == 'solve':
            name = ' '.join(key[part] for part in ('matching', 'task', 'family'))
            tried.setdefault(name, []).append(key['length'])
    assert all(lengths == sorted(lengths) for lengths in tried.values())
    for task in settings.probe.tasks:
        assert settings.probe.length in settings.parameters.lengths[task]
    assert settings.probe.distance < settings.probe.length - 1


def test_another_size_is_refused():
    with pytest.raises(InputError, match='size'):
        configuration.get_config('huge')


def test_evidence_for_the_claims_supports_them():
    assert set(verdict_of(evidence(HOLDS)).values()) == {'supported'}


def test_evidence_against_them_refutes_them():
    against = {'rnn': 64, 'lstm': 64, 'gru': 32, 'transformer': 16}
    assert set(verdict_of(evidence(against, influence=0.9)).values()) == {'refuted'}


def test_what_solves_the_longest_may_be_ahead_by_more_than_was_seen():
    found = STUDY.judge(evidence({**HOLDS, 'rnn': 128, 'lstm': 128, 'gru': 64}))
    by_claim = {verdict['claim']: verdict for verdict in found}
    assert by_claim[10]['verdict'] == 'refuted'
    assert by_claim[11]['verdict'] == 'inconclusive'
    assert 'may be larger' in by_claim[11]['note']
    assert by_claim[12]['verdict'] == 'refuted'  # the GRU failed before the RNN did


def test_a_lower_bound_cannot_be_held_below_something():
    bound = Criterion('all', 'ratio', (1.0,) * SEEDS, 2.0, 'below', at_least=True)
    with pytest.raises(InputError, match='relation'):
        verdicts.outcome(bound)


def test_two_doublings_are_four_times():
    assert verdict_of(evidence({**HOLDS, 'lstm': 32}))[11] == 'refuted'
    assert verdict_of(evidence({**HOLDS, 'lstm': 64}))[11] == 'supported'


def test_a_length_called_long_that_is_solved_is_no_failure():
    long = FOUR.thresholds.long_range
    assert verdict_of(evidence({**HOLDS, 'rnn': long}))[10] == 'refuted'
    assert verdict_of(evidence({**HOLDS, 'rnn': long // 2}))[10] == 'supported'


def test_what_nothing_learns_is_no_failure_of_the_rnn():
    short = {'rnn': 16, 'lstm': 16, 'gru': 16, 'transformer': 16}
    for solved, said in (({**HOLDS, 'rnn': 0}, 'even at 16'), (short, 'nothing learns')):
        found = {verdict['claim']: verdict for verdict in STUDY.judge(evidence(solved))}
        assert found[10]['verdict'] == 'inconclusive'
        assert said in found[10]['note']


def test_an_rnn_that_solves_nothing_leaves_ratios_open_that_are_not_met():
    # Four times as long as what is shorter than the shortest length, or more: at 32 it is sure.
    found = verdict_of(evidence({**HOLDS, 'rnn': 0, 'lstm': 16, 'gru': 32}))
    assert (found[11], found[12]) == ('inconclusive', 'supported')


def test_runs_that_diverged_are_told():
    found = {v['claim']: v for v in STUDY.judge(evidence(HOLDS, diverged=('lstm',)))}
    assert found[11]['verdict'] == 'inconclusive'
    assert 'diverged' in found[11]['note']
    assert found[12]['verdict'] == 'supported'


def test_pictures_say_what_was_measured():
    found = {picture.name: picture.caption for picture in STUDY.plot(evidence(HOLDS))}
    assert 'RNN 16, LSTM 64, GRU 64, transformer 128 (of 128)' in found['memory_longest']
    assert 'RNN 0.01 (halves in 3.6 steps)' in found['memory_influence']  # 24 ln 2 / ln 100
    assert 'published 5.3e-05' in found['memory_published']


@pytest.fixture(scope='module')
def tiny(tmp_path_factory):
    settings = configuration.get_config('quick')
    for matching, tried in (('parameters', {'parity': (8, 16)}), ('state', {})):
        settings[matching].lengths = ConfigDict(tried)
        settings[matching].models.transformer.update(hidden_size=4, num_layers=1, num_heads=1)
    settings.training.update(steps=2, chunk=1, batch_size=4, test_examples=16)
    settings.probe.update(tasks=('parity',), length=8, distance=5, examples=4)
    settings.num_devices = 1

    def measure(settings, key, seen):  # compiling all four takes long: two stand for the others
        if key['what'] == 'solve' and key['family'] in ('lstm', 'gru'):
            return seen.value(**{**key, 'family': 'rnn'})
        return STUDY.measure(settings, key, seen)

    folder = tmp_path_factory.mktemp('memory')
    return study.run(STUDY._replace(measure=measure), settings, folder), folder


def test_a_tiny_run_measures_and_writes_everything(tiny):
    found, folder = tiny
    written = {path.name for path in folder.iterdir()}
    assert {'evidence.json', 'verdicts.json', 'memory_longest.png'} <= written
    assert 'memory_influence.png' in written
    for family in ('rnn', 'transformer'):
        value = found.value(what='solve', family=family, length=8)
        assert len(value['scores']) == 2
        curves = value['influence']['trained'] + value['influence']['untrained']
        assert all(curve[0] == 1 and len(curve) == 8 for curve in curves)
    assert all(v['verdict'] == 'inconclusive' for v in STUDY.judge(found))  # of two seeds


def test_where_all_seeds_failed_a_longer_length_is_skipped(tiny):
    found, _ = tiny
    assert statistics.mean(found.value(what='solve', family='rnn', length=8)['scores']) < 0.9
    assert found.value(what='solve', family='rnn', length=16) == {'skipped': True}


def test_a_length_is_tried_as_long_as_a_seed_solved_all_before_it():
    def cells(*scores):
        lengths = zip((8, 16, 32), scores, strict=False)
        return [
            ({'task': 'copy', 'length': length}, {'scores': some} if some else {'skipped': True})
            for length, some in lengths
        ]

    limits = FOUR.thresholds.to_dict()
    assert memory._goes_on(limits, cells([1.0, 0.0]))
    assert memory._goes_on(limits, cells([1.0, 1.0], [0.0, 1.0]))
    assert not memory._goes_on(limits, cells([1.0, 0.0], [0.0, 1.0]))
    assert not memory._goes_on(limits, cells([1.0, 1.0], [0.0, 0.0]))
    assert not memory._goes_on(limits, cells([math.nan, 0.0]))
    assert not memory._goes_on(limits, cells([0.0], None))


def test_parameters_are_matched(tiny):
    found, _ = tiny
    numbers = {k['family']: v['parameters'] for k, v in found.select(what='solve', length=8)}
    assert all(abs(n / numbers['transformer'] - 1) < 0.25 for n in numbers.values())
