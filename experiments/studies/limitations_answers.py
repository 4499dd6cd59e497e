"""Claim 38 and what belongs to it: false answers, abstention, calibration, lessons."""

from typing import Any

import numpy as np

from nlp_models.analysis import calibration, intervals, questions
from nlp_models.analysis.study import Evidence
from nlp_models.analysis.verdicts import Criterion
from nlp_models.data.synthetic import telling, world

NAMES = {'transformer': 'a transformer', 'gru': 'a GRU', 'lstm': 'an LSTM', 'ngram': 'an n-gram'}
KINDS = {'untold': 'facts never told', 'stranger': 'people there are none of'}


def instruments(config: Any, key: dict) -> dict[str, Any]:
    """Calibration and ranking of made-up answers: measured and expected, one a seed."""
    del key
    found = [calibration.made_up(seed, config.made_up) for seed in config.seeds]
    return {
        name: {
            'measured': [one[name][0] for one in found],
            'expected': found[0][name][1],
        }
        for name in found[0]
    }


def ask(config: Any, key: dict) -> dict[str, Any]:
    """Let a family read its worlds, and ask it."""
    worlds = {seed: world.make(seed, **config.world) for seed in config.seeds}
    text = questions.Text(worlds, config.lesson_mentions, key['lessons'])
    learned = questions.learn(
        config.readers[key['family']], text, config.reading, num_devices=config.num_devices
    )
    # What a run says that diverged is no number, and by_seed leaves none of it.
    said = {split: np.nan_to_num(learned.logits(split)) for split in ('validation', 'test')}
    examined = []
    for i, one in enumerate(worlds.values()):
        held, asked = (telling.questions(one, split) for split in said)
        examined.append(
            questions.examine(
                said['test'][i],
                asked,
                said['validation'][i],
                held,
                confident=config.confident,
                bins=config.bins,
            )
        )
    return {
        **questions.by_seed(examined, learned.diverged.tolist()),
        'learning_rate': learned.learning_rate,
        'swept': learned.swept,
        'steps': learned.steps,
        'parameters': learned.parameters,
    }


def readers(evidence: Evidence, lessons: bool = False) -> dict[str, Any]:
    """Family to what it came to, with lessons or without."""
    cells = evidence.select(what='questions', lessons=lessons)
    return {key['family']: value for key, value in cells}


def often(evidence: Evidence) -> list[str]:
    """The frequencies at which facts are told, as they stand in evidence, ascending."""
    return [str(f) for f in evidence.config['world']['frequencies']]


def _learned(evidence: Evidence) -> list[Criterion]:
    """Whether each reader knows what it was told most often."""
    most = often(evidence)[-1]
    return [
        Criterion(
            f'{NAMES[family]}{" with lessons" * lessons}, facts told most often',
            f'share of facts told {most} times that are answered right',
            tuple(value['recall'][most]),
            evidence.thresholds['learned'],
            control=True,
        )
        for lessons in (False, True)
        for family, value in readers(evidence, lessons).items()
    ]


def _instruments(evidence: Evidence, names: dict[str, str]) -> list[Criterion]:
    """Whether made-up answers have the figures that are known of them."""
    found = evidence.value(what='instruments')
    return [
        Criterion(
            f'the instrument on {text}',
            'measured',
            tuple(found[name]['measured']),
            found[name]['expected'],
            'within',
            evidence.thresholds['instrument'],
            control=True,
        )
        for name, text in names.items()
    ]


def falsehoods(evidence: Evidence) -> list[Criterion]:
    """Claim 38."""
    confident = evidence.config['confident']
    found = [
        Criterion(
            f'{NAMES[family]}{" with lessons" * lessons}, {text}',
            f'share of questions answered falsely with a probability of at least {confident}',
            tuple(value['surely_false'][kind]),
            evidence.thresholds['surely_false'],
        )
        for lessons in (False, True)
        for family, value in readers(evidence, lessons).items()
        for kind, text in KINDS.items()
    ]
    return found + _learned(evidence)


def recall(evidence: Evidence) -> list[Criterion]:
    """Recall against frequency."""
    least, *_, most = often(evidence)
    return [
        Criterion(
            NAMES[family],
            f'share answered right, of facts told {most} times minus of facts told {least} times'
            if least != '1'
            else f'share answered right, of facts told {most} times minus of facts told once',
            intervals.differences(value['recall'][most], value['recall'][least]),
            evidence.thresholds['recall_gain'],
        )
        for family, value in readers(evidence).items()
    ]


def at_coverage(evidence: Evidence, value: dict) -> tuple[list[float], list[float]]:
    """Shares of false answers among the surest ones, and among all, one a seed."""
    at = min(
        range(len(questions.COVERAGES)),
        key=lambda i: abs(questions.COVERAGES[i] - evidence.config['coverage']),
    )
    risks = [
        risk if auroc == auroc else [auroc] * len(risk)  # NaN: the run diverged
        for risk, auroc in zip(value['risk'], value['auroc'], strict=True)
    ]
    return [risk[at] for risk in risks], [risk[-1] for risk in risks]


def abstention(evidence: Evidence) -> list[Criterion]:
    """Probabilities tell in part what was taught."""
    limits, share, found = evidence.thresholds, evidence.config['coverage'], []
    cells = readers(evidence)
    for family, value in cells.items():
        text = 'area under the ROC curve, taught against other questions'
        condition = f'telling taught questions from others, {NAMES[family]}'
        found.append(Criterion(condition, text, tuple(value['auroc']), limits['auroc']))
    for family, value in cells.items():
        surest, every = at_coverage(evidence, value)
        ratios = tuple(a / b for a, b in zip(surest, every, strict=True))
        text = f'share of false answers among the surest {share:.0%} over that among all'
        condition = f'fewer falsehoods, {NAMES[family]}'
        found.append(Criterion(condition, text, ratios, limits['risk_ratio'], 'below'))
    for family, value in cells.items():
        text = f'share of false answers among the surest {share:.0%}'
        values = tuple(at_coverage(evidence, value)[0])
        condition = f'some are left, {NAMES[family]}'
        found.append(Criterion(condition, text, values, limits['risk_left']))
    return found + _instruments(evidence, {'auroc': 'two normal distributions'})


def calibrated(evidence: Evidence) -> list[Criterion]:
    """Calibration errors before and after temperature scaling."""
    found = [
        Criterion(
            f'{NAMES[family]}, {text}',
            f'calibration error over {whose} questions{then}',
            tuple(value[name]),
            evidence.thresholds['calibration'],
        )
        for name, text, whose, then in (
            ('ece', 'all questions', 'all', ''),
            ('ece_scaled', 'all questions after scaling', 'all', ' with the best temperature'),
            ('ece_taught', 'taught questions', 'taught', ''),
        )
        for family, value in readers(evidence).items()
    ]
    return found + _instruments(
        evidence,
        {
            'calibrated': 'calibrated answers',
            'too_sure': 'answers that are too sure',
            'brier': 'the Brier score of calibrated answers',
        },
    )


def lessons(evidence: Evidence) -> list[Criterion]:
    """What lessons in saying 'unknown' change."""
    limits, plain, found = evidence.thresholds, readers(evidence), []
    for family, value in readers(evidence, lessons=True).items():
        for kind, text in KINDS.items():
            spared = intervals.differences(
                plain[family]['surely_false'][kind], value['surely_false'][kind]
            )
            measure = 'share of confident falsehoods, without lessons minus with'
            condition = f'fewer from {NAMES[family]}, {text}'
            found.append(Criterion(condition, measure, spared, limits['lessons_gain']))
    for family, value in readers(evidence, lessons=True).items():
        kept = intervals.differences(
            value['kind_recall']['taught'], plain[family]['kind_recall']['taught']
        )
        measure = 'share of taught facts answered right, with lessons minus without'
        condition = f'recall of {NAMES[family]}'
        found.append(Criterion(condition, measure, kept, -limits['lessons_loss']))
    return found
