"""Which criteria decide the claim about prompts."""

import itertools
from typing import Any

import numpy as np

from nlp_models.analysis import drawing, verdicts
from nlp_models.analysis.intervals import differences
from nlp_models.analysis.study import Evidence
from nlp_models.analysis.verdicts import Claim, Criterion

NAME = 'prompting'
FACTORS = {
    'template': 'words around the question',
    'words': 'label words',
    'order': 'order of the examples',
    'draw': 'which examples',
}
SCORINGS = {
    'none': 'by likelihood',
    'unconditional': 'less that without a question',
    'calibrated': 'calibrated',
}
CLAIMS = (
    Claim(
        29,
        '8',
        'The prompt can drastically alter the output',
        'accuracy of the best way to ask minus that of the worst, on questions that neither was '
        'chosen by, the same model and questions',
        'argmax_y p(y | prompt(x))',
        'nlp_models/analysis/prompt_spread.py',
    ),
    Claim(
        0,
        '8',
        'Contextual calibration narrows what hangs on the prompt',
        'the same gap by likelihood minus that after calibration',
        'q ∝ p / p_cf',
        'nlp_models/adaptation/normalization.py',
    ),
    Claim(
        0,
        '8',
        'Contextual calibration costs hardly any accuracy',
        'accuracy calibrated minus that by likelihood, mean over all ways of asking; two points '
        'may be lost. It was asked of what had been measured before',
        'q ∝ p / p_cf',
        'nlp_models/adaptation/normalization.py',
    ),
    Claim(
        0,
        '8',
        'The best prompt of a search is worth less than the search says',
        'accuracy on the questions of the search minus that on those held out',
        'max_i A_i',
        'nlp_models/adaptation/prompt_search.py',
    ),
    Claim(
        0,
        '8',
        'A search among prompts finds a better one than the first that comes to mind',
        'accuracy on questions held out, of the prompt that the search chose minus of the first',
        'argmax_i A_i',
        'nlp_models/adaptation/prompt_search.py',
    ),
)


def families(evidence: Evidence) -> list[str]:
    """Those that were asked."""
    return [key['family'] for key, _ in evidence.select(what='model')]


def asked(evidence: Evidence, family: str, factor: str, scoring: str) -> dict[str, Any]:
    """What came of one factor."""
    return evidence.value(what='ask', family=family, factor=factor, scoring=scoring)


def _judge_spread(evidence: Evidence) -> list[Criterion]:
    limits, found = evidence.thresholds, []
    for family in families(evidence):
        for factor, text in FACTORS.items():
            for scoring in evidence.config['judged']:
                found.append(
                    Criterion(
                        f'{drawing.label(family)}, {text}, scored {SCORINGS[scoring]}',
                        'accuracy of the best way minus the worst, on other questions',
                        tuple(asked(evidence, family, factor, scoring)['gap']),
                        limits['drastic'],
                    )
                )
        found.append(
            Criterion(
                f'{drawing.label(family)} can do the task',
                'accuracy of the best label words and scoring, picked by the other models',
                _best(_all_words(evidence, family)),
                limits['knows'],
                control=True,
            )
        )
    return found


def _all_words(evidence: Evidence, family: str) -> list[list[float]]:
    """Every model's accuracies with all label words, in all scorings that are judged."""
    scorings = evidence.config['judged']
    found = [asked(evidence, family, 'words', each)['accuracies'] for each in scorings]
    return [list(itertools.chain(*rows)) for rows in zip(*found, strict=True)]


def _best(accuracies: list[list[float]]) -> tuple[float, ...]:
    """Of every model; the way is the one that is best in the mean of the others."""
    found = []
    for i in range(len(accuracies)):
        others = [row for j, row in enumerate(accuracies) if j != i] or accuracies
        means = [sum(values) for values in zip(*others, strict=True)]
        found.append(accuracies[i][means.index(max(means))])
    return tuple(found)


def _judge_calibration(evidence: Evidence) -> list[Criterion]:
    return [
        Criterion(
            f'{drawing.label(family)}, {text}',
            'gap by likelihood minus gap calibrated',
            differences(
                *(asked(evidence, family, factor, s)['gap'] for s in ('none', 'calibrated'))
            ),
            evidence.thresholds['narrows'],
        )
        for family in families(evidence)
        for factor, text in FACTORS.items()
    ]


def _judge_cost(evidence: Evidence) -> list[Criterion]:
    """What a narrower gap is worth: answers at chance have none either."""
    return [
        Criterion(
            f'{drawing.label(family)}, {text}',
            'accuracy calibrated minus that by likelihood, mean over all ways',
            differences(*(_mean(evidence, family, factor, s) for s in ('calibrated', 'none'))),
            -evidence.thresholds['narrows'],
        )
        for family in families(evidence)
        for factor, text in FACTORS.items()
    ]


def _mean(evidence: Evidence, family: str, factor: str, scoring: str) -> list[float]:
    """Every model's accuracy, the mean over the ways to ask."""
    return np.mean(asked(evidence, family, factor, scoring)['accuracies'], axis=1).tolist()


def _judge_search(evidence: Evidence, ours: str, other: str, limit: str) -> list[Criterion]:
    found = []
    for family in families(evidence):
        value = evidence.value(what='search', family=family)
        found.append(
            Criterion(
                drawing.label(family),
                f'accuracy, {ours.replace("_", " ")} minus {other.replace("_", " ")}',
                differences(value[ours], value[other]),
                evidence.thresholds[limit],
            )
        )
    return found


def judge(evidence: Evidence) -> list[dict[str, Any]]:
    """What became of the claims."""
    rules = (
        _judge_spread(evidence),
        _judge_calibration(evidence),
        _judge_cost(evidence),
        _judge_search(evidence, 'searched', 'held_out', 'optimism'),
        _judge_search(evidence, 'held_out', 'first', 'better'),
    )
    return [
        verdicts.judge(claim, criteria, evidence.thresholds, study=NAME)
        for claim, criteria in zip(CLAIMS, rules, strict=True)
    ]
