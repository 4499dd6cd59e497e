"""Which criteria decide the claims about the data of fine-tuning."""

from typing import Any

import numpy as np

from nlp_models.analysis import verdicts
from nlp_models.analysis.intervals import differences
from nlp_models.analysis.study import Evidence
from nlp_models.analysis.verdicts import Claim, Criterion

NAME = 'nontriviality'
STRATEGIES = {
    'bag': 'bag of words',
    'frozen': 'frozen features',
    'full': 'full fine-tuning',
    'network': 'a transformer from nothing',
}
FLAWS = 'nlp_models/data/label_flaws.py'
CLAIMS = (
    Claim(
        34,
        '9.2',
        'Which strategy is right depends on how much data there is',
        'test accuracy of the strategy that is best by validation texts with so many texts, minus '
        'that of the one that is best with the other number',
        'argmax_s A_s(N)',
        'nlp_models/analysis/strategies.py',
    ),
    Claim(
        35,
        '9.2',
        'Models overfit where data is small',
        'test minus training loss with the fewest texts, minus the same with the most; test loss '
        'of a network that is trained for several times as long, minus that of one that is not',
        'L_test − L_train',
        'nlp_models/analysis/strategies.py',
    ),
    Claim(
        36,
        '9.2',
        'Unrepresentative or poisoned data harms',
        'test accuracy with all labels right, or a fair sample, minus that with wrong labels, or a '
        'lopsided one; triggered texts called what the attacker wants, poisoned minus not',
        'D_train ≠ D_test',
        FLAWS,
    ),
)


def size_name(size: int) -> str:
    """How a size is written."""
    return f'{size:,} texts'


def of_size(evidence: Evidence, strategy: str, size: int, steps: str = 'usual') -> dict[str, Any]:
    """A strategy's scores with so many texts."""
    return evidence.value(what='size', strategy=strategy, size=size, steps=steps)


def of_flaw(evidence: Evidence, flaw: str, amount: float, strategy: str) -> dict[str, Any]:
    """A strategy's scores with something wrong."""
    return evidence.value(what='flaw', flaw=flaw, amount=amount, strategy=strategy)


def measured(evidence: Evidence, size: int) -> list[str]:
    """The strategies that were tried with so many texts."""
    return _strategies(evidence, what='size', size=size, steps='usual')


def tried(evidence: Evidence, flaw: str, amount: float) -> list[str]:
    """The strategies that a flaw was tried on."""
    return _strategies(evidence, what='flaw', flaw=flaw, amount=amount)


def _strategies(evidence: Evidence, **key: Any) -> list[str]:
    there = {found['strategy'] for found, _ in evidence.select(**key)}
    return [name for name in STRATEGIES if name in there]


def best(evidence: Evidence, size: int, among: list[str]) -> str:
    """The best by validation texts; a run that diverged counts as knowing nothing."""
    means = {
        name: np.nan_to_num(of_size(evidence, name, size)['validation_accuracy']).mean()
        for name in among
    }
    return max(means, key=lambda name: means[name])


def _ends(evidence: Evidence) -> tuple[int, int]:
    sizes = evidence.config['sizes']
    return sizes[0], sizes[-1]


def _judge_size(evidence: Evidence) -> list[Criterion]:
    few, many = _ends(evidence)
    both = [name for name in measured(evidence, few) if name in measured(evidence, many)]
    winners = {size: best(evidence, size, both) for size in (few, many)}
    found = []
    for size, other in ((few, many), (many, few)):
        ours, theirs = (of_size(evidence, winners[s], size)['accuracy'] for s in (size, other))
        found.append(
            Criterion(
                f'{size_name(size)}: {STRATEGIES[winners[size]]}, which is best here, against '
                f'{STRATEGIES[winners[other]]}, which is best with {size_name(other)}',
                'accuracy, ours minus theirs',
                differences(ours, theirs),
                evidence.thresholds['ahead'],
            )
        )
    majority = evidence.value(what='texts')['majority']
    values = of_size(evidence, winners[many], many)['accuracy']
    found.append(
        Criterion(
            f'{size_name(many)} teach something',
            'accuracy of the best minus the share of the commonest class',
            tuple(value - majority for value in values),
            evidence.thresholds['learned'],
            control=True,
        )
    )
    return found


def _gap(value: dict[str, Any]) -> tuple[float, ...]:
    return differences(value['loss'], value['train_loss'])


def _judge_overfitting(evidence: Evidence) -> list[Criterion]:
    few, many = _ends(evidence)
    limits, found = evidence.thresholds, []
    for name in measured(evidence, few):
        if name not in measured(evidence, many):
            continue
        gaps = (_gap(of_size(evidence, name, size)) for size in (few, many))
        found.append(
            Criterion(
                f'{STRATEGIES[name]}: gap',
                f'test minus training loss with {size_name(few)}, minus that with '
                f'{size_name(many)}, nats',
                differences(*gaps),
                limits['gap'],
            )
        )
    short, long = (of_size(evidence, 'network', few, steps) for steps in ('usual', 'longer'))
    where = f'{STRATEGIES["network"]}, {size_name(few)}, trained for longer'
    found.append(
        Criterion(
            where,
            'test loss, minus that after the usual steps, nats',
            differences(long['loss'], short['loss']),
            limits['rises'],
        )
    )
    found.append(
        Criterion(
            f'{where}: the training loss is lower',
            'training loss after the usual steps, minus that after more, nats',
            differences(short['train_loss'], long['train_loss']),
            0.0,
            control=True,
        )
    )
    return found


def _judge_flaws(evidence: Evidence) -> list[Criterion]:
    limits, config, found = evidence.thresholds, evidence.config, []
    for share in config['judged']['noise']:
        for name in tried(evidence, 'noise', share):
            clean = of_flaw(evidence, 'poison', 0.0, name)  # nothing wrong: no poison at all
            noisy = of_flaw(evidence, 'noise', share, name)
            found.append(
                Criterion(
                    f'{STRATEGIES[name]}, {share:.0%} of the labels wrong',
                    'accuracy without minus with',
                    differences(clean['accuracy'], noisy['accuracy']),
                    limits['harm'],
                )
            )
    for flaw, amount, text in (
        ('skewed', config['exponent'], 'classes by a power law'),
        ('neighbours', 0.0, 'texts of a few files'),
    ):
        for name in tried(evidence, flaw, amount):
            fair = of_flaw(evidence, 'fair', 0.0, name)
            lopsided = of_flaw(evidence, flaw, amount, name)
            found.append(
                Criterion(
                    f'{STRATEGIES[name]}, {text}',
                    'recall, all classes alike, of a fair sample minus that of a lopsided one',
                    differences(fair['recall'], lopsided['recall']),
                    limits['harm'],
                )
            )
    for share in config['judged']['poison']:
        for name in tried(evidence, 'poison', share):
            clean, attacked = (of_flaw(evidence, 'poison', s, name) for s in (0.0, share))
            found.append(
                Criterion(
                    f'{STRATEGIES[name]}, {share:.0%} of the texts poisoned',
                    'triggered texts of other classes called the one wanted, share, with minus '
                    'without poison',
                    differences(attacked['attack'], clean['attack']),
                    limits['attack'],
                )
            )
    alone = [_by_itself(evidence, name) for name in tried(evidence, 'poison', 0.0)]
    found.append(
        Criterion(
            'the trigger does nothing by itself',
            'texts of other classes called the one wanted without poison, share, with the trigger '
            'minus without it, mean over strategies',
            tuple(np.mean(alone, axis=0).tolist()),
            limits['harmless'],
            'below',
            control=True,
        )
    )
    return found


def _by_itself(evidence: Evidence, strategy: str) -> tuple[float, ...]:
    clean = of_flaw(evidence, 'poison', 0.0, strategy)
    return differences(clean['attack'], clean['called'])


def judge(evidence: Evidence) -> list[dict[str, Any]]:
    """What became of the claims."""
    rules = (_judge_size, _judge_overfitting, _judge_flaws)
    return [
        verdicts.judge(claim, rule(evidence), evidence.thresholds, study=NAME)
        for claim, rule in zip(CLAIMS, rules, strict=True)
    ]
