"""A verdict follows from the evidence by the rule, in every case there is."""

import json
import math

import pytest
from ml_collections import ConfigDict

from nlp_models.analysis import verdicts
from nlp_models.analysis.verdicts import Claim, Criterion
from nlp_models.errors import InputError

CLAIM = Claim(3, '3.1', 'Things fade', 'the rate', 'x', 'nlp_models/types.py')
HIGH = (0.8, 0.82, 0.79, 0.81, 0.8)
LOW = (0.2, 0.22, 0.19, 0.21, 0.2)
WIDE = (0.1, 0.9, 0.3, 0.7, 0.6)


def above(values, condition='tanh', threshold=0.5):
    return Criterion(condition, 'accuracy', values, threshold)


def judge(*criteria):
    return verdicts.judge(CLAIM, criteria, {'a': 1}, study='made_up')


def test_all_met_is_supported():
    verdict = judge(above(HIGH), above(HIGH, 'sigmoid'))
    assert verdict['verdict'] == 'supported'
    assert (verdict['condition'], verdict['note']) == ('', '')
    assert verdict['estimate'] == pytest.approx(0.804)
    assert verdict['interval'][0] > 0.5
    assert verdict['seeds'] == 5
    assert (verdict['claim'], verdict['section'], verdict['statement']) == CLAIM[:3]
    assert verdict['threshold'] == 0.5
    assert json.loads(json.dumps(verdict)) == verdict


def test_all_failed_is_refuted():
    assert judge(above(LOW), above(LOW, 'sigmoid'))['verdict'] == 'refuted'


def test_some_met_is_qualified_and_says_where():
    verdict = judge(above(HIGH), above(LOW, 'sigmoid'), above(WIDE, 'relu'))
    assert verdict['verdict'] == 'qualified'
    assert verdict['condition'] == 'holds for tanh; not for sigmoid; undecided for relu'


def test_none_met_and_some_open_is_inconclusive_and_says_what_it_would_take():
    verdict = judge(above(WIDE), above(LOW, 'sigmoid'))
    assert verdict['verdict'] == 'inconclusive'
    assert 'too wide' in verdict['note']
    assert 'seeds would do' in verdict['note']
    assert 'not so for sigmoid' in verdict['note']


@pytest.mark.parametrize('count', [1, 2, 4])
def test_fewer_than_five_seeds_decide_nothing(count):
    verdict = judge(above(HIGH[:count]))
    assert verdict['verdict'] == 'inconclusive'
    assert f'{count} seeds where 5 are needed' in verdict['note']
    assert (verdict['interval'] is None) == (count == 1)


def test_seeds_that_all_agree_are_a_point_that_decides():
    assert judge(above((0.7,) * 5))['verdict'] == 'supported'
    assert judge(above((0.3,) * 5))['verdict'] == 'refuted'
    assert judge(above((0.5,) * 5))['verdict'] == 'supported'  # the threshold itself is met
    below = Criterion('tanh', 'loss', (0.5,) * 5, 0.5, 'below')
    assert judge(below)['verdict'] == 'supported'


def test_runs_that_diverged_are_told_instead_of_a_verdict():
    verdict = judge(above(HIGH), above((0.8, math.nan, 0.8, math.inf, 0.8), 'sigmoid'))
    assert verdict['verdict'] == 'inconclusive'
    assert verdict['note'] == 'diverged: 2 of 5 runs of sigmoid'
    assert (verdict['estimate'], verdict['interval']) == (None, None)
    assert verdict['criteria'][1]['values'] == [0.8, None, 0.8, None, 0.8]
    json.dumps(verdict, allow_nan=False)


def test_within_wants_the_whole_interval_inside():
    def near(values, tolerance):
        return Criterion('tanh', 'accuracy', values, 0.8, 'within', tolerance)

    assert judge(near(HIGH, 0.05))['verdict'] == 'supported'
    assert judge(near(LOW, 0.05))['verdict'] == 'refuted'
    assert judge(near(HIGH, 0.005))['verdict'] == 'inconclusive'  # not shown to be so near
    assert judge(near(WIDE, 0.05))['verdict'] == 'inconclusive'


def test_what_is_exact_needs_no_seeds():
    four = Criterion('parameters', 'ratio', (4.0,), 4.0, 'within', exact=True)
    verdict = judge(four)
    assert verdict['verdict'] == 'supported'
    assert (verdict['seeds'], verdict['interval']) == (0, [4.0, 4.0])
    assert judge(four._replace(values=(3.9,)))['verdict'] == 'refuted'
    with pytest.raises(InputError, match='must be one where they are exact'):
        judge(four._replace(values=(4.0, 3.9)))


def test_bad_criteria_are_refused():
    with pytest.raises(InputError, match='criteria of claim 3'):
        judge()
    with pytest.raises(InputError, match='relation'):
        judge(above(HIGH)._replace(relation='near'))
    with pytest.raises(InputError, match="values of 'tanh'"):
        judge(above(()))


def test_the_hash_names_the_thresholds():
    one = verdicts.threshold_hash({'a': 1, 'b': 0.5})
    assert one == verdicts.threshold_hash(ConfigDict({'b': 0.5, 'a': 1}))
    assert one != verdicts.threshold_hash({'a': 1, 'b': 0.6})
    assert len(one) == 12
    assert judge(above(HIGH))['threshold_hash'] == verdicts.threshold_hash({'a': 1})


def test_controls_decide_whether_there_is_a_verdict_and_are_no_support_for_it():
    works, fails = (above(values, 'control')._replace(control=True) for values in (HIGH, LOW))
    assert judge(works, above(HIGH))['verdict'] == 'supported'
    assert judge(works, above(LOW))['verdict'] == 'refuted'
    verdict = judge(fails, above(HIGH))
    assert verdict['verdict'] == 'inconclusive'
    assert verdict['note'] == 'the instrument fails: control'
    # The claim's own criterion comes first, whose estimate the verdict has.
    assert verdict['estimate'] == pytest.approx(0.804)
    assert [row['control'] for row in verdict['criteria']] == [False, True]
    with pytest.raises(InputError, match='no control'):
        judge(works)


def test_a_control_that_diverged_or_is_open_leaves_no_verdict():
    said = {
        (math.nan, *HIGH[1:]): 'diverged: 1 of 5 runs of control',
        WIDE: 'whether the instrument works is undecided: control; ±0.4 is too wide',
        HIGH[:2]: 'whether the instrument works is undecided: control; 2 seeds where 5 are needed',
    }
    for values, note in said.items():
        verdict = judge(above(HIGH), above(values, 'control')._replace(control=True))
        assert verdict['verdict'] == 'inconclusive'
        assert verdict['note'].startswith(note)


def test_bounds_are_met_or_failed_on_their_own_side_only():
    def of(values, **bounds):
        return verdicts.outcome(above(values)._replace(**bounds))['outcome']

    assert [of(values, at_least=True) for values in (HIGH, LOW)] == ['met', 'open']
    assert [of(values, at_most=True) for values in (HIGH, LOW)] == ['open', 'failed']
    assert [of(values, at_least=True, at_most=True) for values in (HIGH, LOW)] == ['open'] * 2


def test_what_says_nothing_of_the_claim_stays_open():
    untrained = above(HIGH, 'tanh')._replace(unless='it did not learn')
    assert judge(untrained)['verdict'] == 'inconclusive'
    assert judge(untrained)['note'] == 'it did not learn'
    assert judge(untrained, above(HIGH, 'relu'))['condition'] == (
        'holds for relu; undecided for tanh'
    )
