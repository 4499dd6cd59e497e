"""Which criteria decide the claims about learning in context."""

from typing import Any

import numpy as np

from nlp_models.analysis import drawing, verdicts
from nlp_models.analysis.intervals import differences
from nlp_models.analysis.study import Evidence
from nlp_models.analysis.verdicts import Claim, Criterion

NAME = 'in_context'
KINDS = {
    'trained': 'rules that were trained on',
    'compositions': 'held-out compositions',
    'parts': 'rules with a held-out part',
}
HELD = ('compositions', 'parts')
FILE = 'nlp_models/adaptation/in_context.py'
REGRESSION = 'nlp_models/analysis/regressors.py'
CLAIMS = (
    Claim(
        27,
        '7',
        'A model does tasks it was not trained on, without an example',
        'exact answers to rules of strings that no training had, told by an instruction, minus '
        'those without it; accuracy of plain language models on the agreement of verbs, minus 1/2',
        'argmax_y p(y | instruction, x)',
        FILE,
    ),
    Claim(
        28,
        '7',
        'A few examples in the context help',
        'exact answers to held-out rules after eight examples minus after none; error on new '
        'linear functions after 2 d points over that after none; right answers of plain language '
        'models after four examples minus after none',
        'argmax_y p(y | x_1, y_1, … x_k, y_k, x)',
        FILE,
    ),
    Claim(
        0,
        '7',
        'On new linear functions a transformer has at most 1.3 times the error of ridge regression',
        'mean squared error after 2 d points over that of ridge regression with the right penalty',
        'ŵ = (Xᵀ X + σ² I)⁻¹ Xᵀ y',
        REGRESSION,
    ),
    Claim(
        0,
        '7',
        'Recurrent networks learn linear functions less well from as many points',
        'mean squared error after 2 d points over that of the transformer, as many parameters',
        'E ‖ŷ − w · x‖²',
        REGRESSION,
    ),
    Claim(
        0,
        '7',
        'Off the distribution it was trained on the transformer is no ridge regression any more',
        'mean squared error after 2 d points over that of ridge regression that knows the '
        'distribution',
        'p_test(x, w) ≠ p_train(x, w)',
        REGRESSION,
    ),
    Claim(
        0,
        '7',
        'Pairs that stand in the context are recalled, as many as in training',
        'share of right answers with as many pairs as in training',
        'y = v_i where k_i = q',
        'nlp_models/data/synthetic/recalling.py',
    ),
    Claim(
        0,
        '7',
        'Examples of held-out rules teach more than looking up the trained rule that fits best',
        'exact answers after eight examples minus those of the trained rule that fits them best',
        'argmax_r Σ_i [r(x_i) = y_i]',
        'nlp_models/analysis/text_learning.py',
    ),
)


def families(evidence: Evidence, what: str) -> list[str]:
    """Those that a part was measured with."""
    return [key['family'] for key, _ in evidence.select(what=what)]


def exact(evidence: Evidence, family: str, rules: str, kind: str, number: int) -> list[float]:
    """Exact answers after so many examples, a value a seed; −1 for the most."""
    rows = evidence.value(what='rules', family=family)['exact'][rules][kind]
    return [row[number] for row in rows]


def errors(evidence: Evidence, family: str, setting: str, number: int) -> list[float]:
    """Errors on linear functions after so many points, a value a seed."""
    rows = evidence.value(what='regression', family=family)['errors'][setting]
    return [row[number] for row in rows]


def _over(ours: list[float], others: Any) -> tuple[float, ...]:
    return tuple(np.divide(ours, others).tolist())


def _learned(evidence: Evidence, kind: str, number: int) -> Criterion:
    """The control that rules that were trained on are answered at all: by the best family."""
    names = families(evidence, 'rules')
    right = {name: exact(evidence, name, 'trained', kind, number) for name in names}
    best = max(right, key=lambda name: np.nan_to_num(np.mean(right[name]), nan=-1.0))
    how = 'an instruction' if kind == 'told' else 'examples'
    return Criterion(
        f'{drawing.label(best)}, {KINDS["trained"]}',
        f'exact answers by {how}, of the best family',
        tuple(right[best]),
        evidence.thresholds['learned'],
        control=True,
    )


def _judge_zero_shot(evidence: Evidence) -> list[Criterion]:
    limits, found = evidence.thresholds, []
    for family in families(evidence, 'rules'):
        # Not of rules with a held-out part: no instruction can tell by a word that was never read.
        told, untold = (exact(evidence, family, 'compositions', k, 0) for k in ('told', 'untold'))
        found.append(
            Criterion(
                f'{drawing.label(family)}, {KINDS["compositions"]}',
                'exact answers with an instruction minus without',
                differences(told, untold),
                limits['zero_shot'],
            )
        )
    for family in families(evidence, 'plain'):
        value = evidence.value(what='plain', family=family)['agreement']['0']
        found.append(
            Criterion(
                f'a plain {drawing.label(family)}, agreement of verbs',
                'accuracy minus 1/2',
                tuple(accuracy - 0.5 for accuracy in value),
                limits['agreement'],
            )
        )
    for family in families(evidence, 'rules'):
        other = exact(evidence, family, 'compositions', 'told_other', 0)
        found.append(
            Criterion(
                f'{drawing.label(family)}, told another rule',
                'exact answers',
                tuple(other),
                limits['misled'],
                'below',
                control=True,
            )
        )
    return [*found, _learned(evidence, 'told', 0)]


def _judge_few_shot(evidence: Evidence) -> list[Criterion]:
    limits, config, found = evidence.thresholds, evidence.config, []
    for family in families(evidence, 'rules'):
        for rules in HELD:
            most, none = (exact(evidence, family, rules, 'untold', k) for k in (-1, 0))
            found.append(
                Criterion(
                    f'{drawing.label(family)}, {KINDS[rules]}',
                    f'exact answers after {config["rules"]["examples"] - 1} examples minus none',
                    differences(most, none),
                    limits['few_shot'],
                )
            )
    judged, shots = config['regression']['judged'], str(config['plain']['judged'])
    for family in families(evidence, 'regression'):
        after, before = (errors(evidence, family, 'trained', k) for k in (judged, 0))
        found.append(
            Criterion(
                f'{drawing.label(family)}, linear functions',
                f'error after {judged} points over that after none',
                _over(after, before),
                limits['error_ratio'],
                'below',
            )
        )
    for family in families(evidence, 'plain'):
        for task, text in (('agreement', 'agreement of verbs'), ('rules', KINDS['compositions'])):
            value = evidence.value(what='plain', family=family)[task]
            found.append(
                Criterion(
                    f'a plain {drawing.label(family)}, {text}',
                    f'right answers after {shots} examples minus none',
                    differences(value[shots], value['0']),
                    limits['examples'],
                )
            )
    for family in families(evidence, 'rules'):
        misled = exact(evidence, family, 'compositions', 'misled', -1)
        found.append(
            Criterion(
                f'{drawing.label(family)}, examples of another rule',
                'exact answers',
                tuple(misled),
                limits['misled'],
                'below',
                control=True,
            )
        )
    return [*found, _learned(evidence, 'untold', -1)]


def _over_ridge(evidence: Evidence, family: str, setting: str) -> tuple[float, ...]:
    judged = evidence.config['regression']['judged']
    ridge = evidence.value(what='estimators')[setting]['ridge'][judged]
    return _over(errors(evidence, family, setting, judged), ridge)


def _judge_near_ridge(evidence: Evidence) -> list[Criterion]:
    judged = evidence.config['regression']['judged']
    return [
        Criterion(
            f'a transformer, {judged} points',
            'error over that of ridge regression',
            _over_ridge(evidence, 'transformer', 'trained'),
            evidence.thresholds['near_ridge'],
            'below',
        )
    ]


def _judge_behind(evidence: Evidence) -> list[Criterion]:
    judged = evidence.config['regression']['judged']
    reference = errors(evidence, 'transformer', 'trained', judged)
    return [
        Criterion(
            drawing.label(family),
            'error over that of the transformer',
            _over(errors(evidence, family, 'trained', judged), reference),
            evidence.thresholds['behind'],
        )
        for family in families(evidence, 'regression')
        if family != 'transformer'
    ]


def _judge_shift(evidence: Evidence) -> list[Criterion]:
    return [
        Criterion(
            name.replace('_', ' '),
            'error of the transformer over that of ridge regression',
            _over_ridge(evidence, 'transformer', name),
            evidence.thresholds['near_ridge'],
        )
        for name in evidence.config['regression']['settings']
        if name != 'trained'
    ]


def _judge_recall(evidence: Evidence) -> list[Criterion]:
    trained = str(evidence.config['recall']['trained'])
    return [
        Criterion(
            f'{drawing.label(family)}, {trained} pairs',
            'share of right answers',
            tuple(evidence.value(what='recall', family=family)['right'][trained]),
            evidence.thresholds['recalled'],
        )
        for family in families(evidence, 'recall')
    ]


def _judge_retrieval(evidence: Evidence) -> list[Criterion]:
    guessers = evidence.value(what='guessers')
    return [
        Criterion(
            f'{drawing.label(family)}, {KINDS[rules]}',
            'exact answers minus those of the trained rule that fits best',
            tuple(
                value - guessers[rules]['retrieve']
                for value in exact(evidence, family, rules, 'untold', -1)
            ),
            evidence.thresholds['retrieval'],
        )
        for family in families(evidence, 'rules')
        for rules in HELD
    ]


def judge(evidence: Evidence) -> list[dict[str, Any]]:
    """What became of the claims."""
    rules = (
        _judge_zero_shot,
        _judge_few_shot,
        _judge_near_ridge,
        _judge_behind,
        _judge_shift,
        _judge_recall,
        _judge_retrieval,
    )
    return [
        verdicts.judge(claim, rule(evidence), evidence.thresholds, study=NAME)
        for claim, rule in zip(CLAIMS, rules, strict=True)
    ]
