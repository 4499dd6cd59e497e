"""Claims, the criteria that decide them, and the rule by which a verdict follows from evidence.

A claim is decided by one criterion or several: each says under which condition something was
measured, once a seed, and on which side of a threshold it must lie. An interval that lies wholly on
that side meets it, one that lies wholly on the other fails it, anything else leaves it open:

| criteria | verdict |
|---|---|
| all met | supported |
| all failed | refuted |
| some met, others failed or open | qualified: it holds under the conditions that were met |
| none met, some open | inconclusive |
| any value not finite (a run diverged) | inconclusive, and the note says what diverged |
| a control failed or open | inconclusive, and the note says which |

A control asks whether the instrument works, not whether the claim holds: it decides whether there
is a verdict, and is no condition under which the claim holds.

Intervals are Student's t of 95 % over at least `LEAST_SEEDS` seeds (`intervals.student_t`), each by
itself: nothing is corrected for the number of criteria.
"""

import hashlib
import json
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from nlp_models.analysis.intervals import Interval, seeds_needed, student_t
from nlp_models.errors import require

LEAST_SEEDS = 5
RELATIONS = ('above', 'below', 'within')
VERDICTS = ('supported', 'refuted', 'qualified', 'inconclusive')


class Claim(NamedTuple):
    """A claim of the tutorial, before anything is measured.

    Attributes:
      number: of the claim; 0 for a finding that is no claim of the tutorial's.
      section: of the tutorial, such as '3.1'.
      statement: the claim in our words.
      measured: what is measured to decide it.
      equation: the equation it is about, as text.
      file: where that equation stands in this repository.
    """

    number: int
    section: str
    statement: str
    measured: str
    equation: str
    file: str


class Criterion(NamedTuple):
    """One comparison of what was measured with a threshold.

    Attributes:
      condition: under which it was measured, such as 'tanh, spectral radius 0.9'.
      measure: what the values are, with their unit.
      values: one a seed (of paired differences, one a pair); for an exact count, one.
      threshold: what the mean is compared with.
      relation: 'above' or 'below' the threshold, or 'within' `tolerance` of it.
      tolerance: of 'within'.
      exact: whether the value is a count or a proof, which another seed cannot change.
      at_least: whether some values may be larger than could be measured: the criterion, 'above',
        can then be met, but not failed.
      at_most: whether some values may be smaller than could be measured: the criterion, 'above',
        can then be failed, but not met.
      control: whether it is the instrument that is asked, where the answer is known.
      unless: why the values say nothing about the claim, such as that training failed; the
        criterion is then left open, whatever they are.
    """

    condition: str
    measure: str
    values: tuple[float, ...]
    threshold: float
    relation: str = 'above'
    tolerance: float = 0.0
    exact: bool = False
    at_least: bool = False
    at_most: bool = False
    control: bool = False
    unless: str = ''


def outcome(criterion: Criterion) -> dict[str, Any]:
    """What becomes of one criterion.

    Args:
      criterion: the criterion.

    Returns:
      Its fields with `outcome` ('met', 'failed', 'open' or 'diverged'), `estimate`, `interval`
      (None where there is none), `seeds` and `note`.

    Raises:
      InputError: for no values, or a relation there is none of.
    """
    c = criterion
    require(c.relation in RELATIONS, 'relation', c.relation, f'must be one of {RELATIONS}')
    require(len(c.values) > 0, f'values of {c.condition!r}', c.values, 'must hold at least one')
    whole = not (c.at_least or c.at_most) or c.relation == 'above'
    require(whole, 'relation', c.relation, 'must be above where values are bounds')
    row = {
        'condition': c.condition,
        'measure': c.measure,
        'relation': c.relation,
        'threshold': c.threshold,
        'tolerance': c.tolerance,
        'values': list(c.values),
        'seeds': 0 if c.exact else len(c.values),
        'control': c.control,
    }
    bad = [v for v in c.values if not math.isfinite(v)]
    if bad:
        note = f'diverged: {len(bad)} of {len(c.values)} runs of {c.condition}'
        finite = [v if math.isfinite(v) else None for v in c.values]
        none = {'outcome': 'diverged', 'estimate': None, 'interval': None}
        return {**row, 'values': finite, **none, 'note': note}
    if c.exact:
        alike = len(set(c.values)) == 1
        require(alike, f'values of {c.condition!r}', c.values, 'must be one where they are exact')
        interval = student_t([c.values[0]] * 2)
    else:
        interval = student_t(c.values)
    known = None if math.isinf(interval.low) else [interval.low, interval.high]
    row |= {'estimate': interval.mean, 'interval': known}
    if not c.exact and len(c.values) < LEAST_SEEDS:
        note = f'{len(c.values)} seeds where {LEAST_SEEDS} are needed'
        return {**row, 'outcome': 'open', 'note': note}
    if c.unless:
        return {**row, 'outcome': 'open', 'note': c.unless}
    low, high = _allowed(c)
    met = low <= interval.low and interval.high <= high
    if c.at_least and (c.at_most or not met):
        note = 'some values may be larger than was measured' + ', others smaller' * c.at_most
        return {**row, 'outcome': 'open', 'note': note}
    if c.at_most and met:
        return {**row, 'outcome': 'open', 'note': 'some values may be smaller than was measured'}
    if met:
        return {**row, 'outcome': 'met', 'note': ''}
    if interval.high < low or interval.low > high:
        return {**row, 'outcome': 'failed', 'note': ''}
    return {**row, 'outcome': 'open', 'note': _power(interval, (low, high))}


def judge(
    claim: Claim, criteria: Sequence[Criterion], thresholds: Any, study: str = ''
) -> dict[str, Any]:
    """The verdict on a claim.

    Args:
      claim: the claim.
      criteria: what decides it, the most telling one first: `estimate`, `interval` and `threshold`
        of the verdict are its own. Controls may stand anywhere.
      thresholds: those of the study's config, all of them; their hash goes into the verdict.
      study: the study's name.

    Returns:
      `claim`, `section`, `statement`, `measured`, `study`, `threshold`, `relation`, `estimate`,
      `interval`, `seeds`, `verdict`, `condition` (of a qualified one), `note`, `threshold_hash`,
      and `criteria` with one entry each (`outcome`), controls last.

    Raises:
      InputError: where all criteria are controls, or there are none.
    """
    rows = [outcome(criterion) for criterion in criteria]
    asked = [row for row in rows if not row['control']]
    some = 'must hold one that is no control'
    require(len(asked) > 0, f'criteria of claim {claim.number}', criteria, some)
    rows = asked + [row for row in rows if row['control']]
    by = {
        name: [row for row in asked if row['outcome'] == name]
        for name in ('met', 'failed', 'open', 'diverged')
    }
    unfit = [row for row in rows if row['control'] and row['outcome'] != 'met']
    by['diverged'] += [row for row in unfit if row['outcome'] == 'diverged']
    condition, notes = '', []
    if by['diverged']:
        verdict, notes = 'inconclusive', [row['note'] for row in by['diverged']]
    elif unfit:
        verdict, notes = 'inconclusive', _unfit(unfit)
    elif len(by['met']) == len(asked):
        verdict = 'supported'
    elif len(by['failed']) == len(asked):
        verdict = 'refuted'
    elif by['met']:
        verdict, condition = 'qualified', _condition(by)
    else:
        verdict = 'inconclusive'
        notes = sorted({row['note'] for row in by['open']})
        if by['failed']:
            notes.append(f'not so for {_names(by["failed"])}')
    head = asked[0]
    return {
        'claim': claim.number,
        'section': claim.section,
        'statement': claim.statement,
        'measured': claim.measured,
        'study': study,
        'verdict': verdict,
        'condition': condition,
        'estimate': head['estimate'] if not by['diverged'] else None,
        'interval': head['interval'] if not by['diverged'] else None,
        'threshold': head['threshold'],
        'relation': head['relation'],
        'seeds': head['seeds'],
        'note': '; '.join(notes),
        'threshold_hash': threshold_hash(thresholds),
        'criteria': rows,
    }


def threshold_hash(thresholds: Any) -> str:
    """Twelve hex digits that name a set of thresholds."""
    values = thresholds.to_dict() if hasattr(thresholds, 'to_dict') else thresholds
    text = json.dumps(values, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _allowed(c: Criterion) -> tuple[float, float]:
    """Where the mean must lie; the threshold itself counts as met."""
    if c.relation == 'within':
        return c.threshold - c.tolerance, c.threshold + c.tolerance
    return (c.threshold, math.inf) if c.relation == 'above' else (-math.inf, c.threshold)


def _power(interval: Interval, allowed: tuple[float, float]) -> str:
    """What an interval that decides nothing would have needed."""
    half = (interval.high - interval.low) / 2
    distance = min(abs(interval.mean - end) for end in allowed if math.isfinite(end))
    needed = seeds_needed(interval.deviation, distance)
    more = (
        f'about {needed} seeds would do, four times in five'
        if needed
        else 'no feasible number of seeds would do'
    )
    return f'±{half:.2g} is too wide for a mean {distance:.2g} from the threshold: {more}'


def _unfit(rows: list) -> list[str]:
    """What is said of controls that are not met: that they failed, or what would decide them."""
    if failed := [row for row in rows if row['outcome'] == 'failed']:
        return [f'the instrument fails: {_names(failed)}']
    notes = sorted({row['note'] for row in rows})
    return [f'whether the instrument works is undecided: {_names(rows)}', *notes]


def _condition(by: dict[str, list]) -> str:
    parts = [f'holds for {_names(by["met"])}']
    if by['failed']:
        parts.append(f'not for {_names(by["failed"])}')
    if by['open']:
        parts.append(f'undecided for {_names(by["open"])}')
    return '; '.join(parts)


def _names(rows: list) -> str:
    return ', '.join(dict.fromkeys(row['condition'] for row in rows))
