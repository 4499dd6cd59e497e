"""The claims about data quality, and which comparisons decide them."""

from typing import Any

import numpy as np

from nlp_models.analysis import drawing, intervals, spoiled_text, verdicts
from nlp_models.analysis.study import Evidence
from nlp_models.analysis.verdicts import Claim, Criterion

NAME = 'data_quality'
FAMILIES = ('transformer', 'gru')
FILE = 'nlp_models/analysis/text_models.py'
CLAIMS = (
    Claim(
        37,
        '10',
        'With better data a smaller model is the more accurate',
        'bits a character of held-out text, larger model trained on noisy text minus smaller model '
        'trained on clean text, after equally many tokens and at equal operations',
        'L = −1/N Σ_t log₂ p(x_t | x_<t)',
        FILE,
    ),
    Claim(
        0,
        '10',
        'Filtering noisy text gains back part of what the noise cost',
        'bits a character of held-out text, trained on noisy text minus on what the filters leave '
        'of it, for as many steps',
        'L(noisy) − L(filtered)',
        'nlp_models/data/cleaning.py',
    ),
    Claim(
        0,
        '10',
        'A text of which half are copies of a few pieces trains a worse model than what is left '
        'without them',
        'bits a character of held-out text, trained on the text with its copies minus on the text '
        'without, for as many steps',
        'L(duplicated) − L(deduplicated)',
        'nlp_models/data/duplicates.py',
    ),
    Claim(
        0,
        '10',
        'A smaller model of filtered text is more accurate than a larger one of the noisy text',
        'bits a character of held-out text, larger model trained on noisy text minus smaller model '
        'trained on what the filters leave of it, after equally many tokens',
        'L(large, noisy) − L(small, filtered)',
        FILE,
    ),
)


def _bits(evidence: Evidence, family: str, size: str, text: str, share: float = 0.0, **key: Any):
    """Bits a character by seed."""
    key = {'what': 'train', 'equal': 'tokens', **key}
    return evidence.value(family=family, size=size, text=text, share=share, **key)['scores']


def _small_is_ahead(evidence: Evidence, family: str) -> str:
    """Why the comparison at equal compute says nothing of data, where that is so."""
    small = _bits(evidence, family, 'small', 'clean', equal='compute')
    behind = intervals.differences(small, _bits(evidence, family, 'large', 'clean'))
    if np.isfinite(behind).all() and intervals.student_t(behind).low > 0:
        return ''
    return 'with these operations the larger model is not ahead on clean text, either'


def _judge_claim(evidence: Evidence) -> list[Criterion]:
    limits, found = evidence.thresholds, []
    for family in FAMILIES:
        name = drawing.label(family)
        for equal in ('compute', 'tokens'):
            small = _bits(evidence, family, 'small', 'clean', equal=equal)
            for share in reversed(evidence.config['shares']):
                large = _bits(evidence, family, 'large', 'noisy', share)
                found.append(
                    Criterion(
                        f'{name}, {share:.0%} spoiled, equal {equal}',
                        'bits a character, larger of noisy minus smaller of clean text',
                        intervals.differences(large, small),
                        limits['margin'],
                        unless=_small_is_ahead(evidence, family) if equal == 'compute' else '',
                    )
                )
        found.append(
            Criterion(
                f'{name}, larger is better on clean text',
                'bits a character, smaller minus larger, equal tokens',
                intervals.differences(
                    _bits(evidence, family, 'small', 'clean'),
                    _bits(evidence, family, 'large', 'clean'),
                ),
                limits['margin'],
                control=True,
            )
        )
    return [*found, _apart(evidence)]


def _apart(evidence: Evidence) -> Criterion:
    return Criterion(
        'what is held out is in no training text',
        f'runs of {spoiled_text.SHARED} words that both have',
        (float(evidence.value(what='texts')['shared']),),
        evidence.thresholds['shared'],
        'below',
        exact=True,
        control=True,
    )


def _judge_gain(evidence: Evidence, worse: str, better: str, size: str) -> list[Criterion]:
    """Large on the worse text minus `size` on the better; controls that there is what to gain."""
    limits, share, found = evidence.thresholds, evidence.config['share'], []
    for family in FAMILIES:
        name = drawing.label(family)
        bad = _bits(evidence, family, 'large', worse, share)
        found += [
            Criterion(
                name,
                f'bits a character, {worse} minus {better}',
                intervals.differences(bad, _bits(evidence, family, size, better, share)),
                limits['margin'],
            ),
            Criterion(
                f'{name}, {worse} text costs accuracy',
                f'bits a character, {worse} minus clean',
                intervals.differences(bad, _bits(evidence, family, 'large', 'clean')),
                limits['margin'],
                control=True,
            ),
        ]
        if better == 'filtered':
            found.append(
                Criterion(
                    f'{name}, a filter that knows what is spoiled gains',
                    'bits a character, noisy minus sorted',
                    intervals.differences(bad, _bits(evidence, family, 'large', 'sorted', share)),
                    limits['margin'],
                    control=True,
                )
            )
    return [*found, _apart(evidence)]


def judge(evidence: Evidence) -> list[dict[str, Any]]:
    """What became of the claim, and the findings beside it."""
    criteria = (
        _judge_claim(evidence),
        _judge_gain(evidence, 'noisy', 'filtered', 'large'),
        _judge_gain(evidence, 'duplicated', 'deduplicated', 'large'),
        _judge_gain(evidence, 'noisy', 'filtered', 'small'),
    )
    return [
        verdicts.judge(claim, found, evidence.thresholds, study=NAME)
        for claim, found in zip(CLAIMS, criteria, strict=True)
    ]
