"""What language models get wrong, what they cost, and what they leave to chance."""

from typing import Any

from experiments.studies import limitations_answers as answers
from experiments.studies import limitations_answers_pictures as answers_pictures
from experiments.studies import limitations_costs as token_costs
from experiments.studies import limitations_costs_pictures as costs_pictures
from experiments.studies import limitations_rounding as numbers
from experiments.studies import limitations_spread as chance
from experiments.studies import limitations_spread_pictures as chance_pictures
from experiments.studies.limitations_claims import CLAIMS
from nlp_models.analysis import verdicts
from nlp_models.analysis.study import Cell, Evidence, Picture, Study
from nlp_models.analysis.verdicts import Criterion

NAME = 'limitations'


def grid(config: Any) -> list[Cell]:
    """Instruments; readers of worlds; costs; crossed designs; ways of computing."""
    cells = [Cell({'what': 'instruments'}, 1)]
    cells += [
        Cell({'what': 'questions', 'family': family, 'lessons': lessons}, 60)
        for lessons in (False, True)
        for family in (config.lessons if lessons else config.readers)
    ]
    cells += [Cell({'what': 'cost', 'family': family}, 35) for family in config.costs.families]
    cells += [
        Cell({'what': 'crossed', 'task': task, 'family': family}, 60)
        for task in chance.TASKS
        for family in config.crossed.families
    ]
    return cells + [Cell({'what': 'rounding', 'family': f}, 40) for f in config.rounding.families]


def measure(config: Any, key: dict, evidence: Evidence) -> Any:
    """One cell: see the function of its name."""
    del evidence
    return {
        'instruments': answers.instruments,
        'questions': answers.ask,
        'cost': token_costs.measure,
        'crossed': chance.cross,
        'rounding': numbers.measure,
    }[key['what']](config, key)


def _unpredictable(evidence: Evidence) -> list[Criterion]:
    return [*chance.criteria(evidence), *numbers.criteria(evidence)]


def judge(evidence: Evidence) -> list[dict[str, Any]]:
    """A verdict for each claim."""
    rules = (
        answers.falsehoods,
        token_costs.criteria,
        _unpredictable,
        answers.recall,
        answers.abstention,
        answers.calibrated,
        answers.lessons,
    )
    return [
        verdicts.judge(claim, rule(evidence), evidence.thresholds, study=NAME)
        for claim, rule in zip(CLAIMS, rules, strict=True)
    ]


def plot(evidence: Evidence) -> list[Picture]:
    """What was answered, what it costs, what is left to chance."""
    parts = (answers_pictures, costs_pictures, chance_pictures)
    return [picture for part in parts for picture in part.plot(evidence)]


STUDY = Study(
    NAME,
    'What language models get wrong, cost, and leave to chance',
    'Models read sentences about invented people, each fact told a known number of times, and are '
    'asked what they were told, what they were not, and about people there are none of, whose '
    'names they know from others: a model that knows what it does not know would be unsure where '
    'nothing was taught, and an n-gram may well be. What it was told most often it must know, or '
    'its errors would be those of a model that learned nothing. A token’s cost is counted, timed '
    'and priced for every family at several sizes and contexts; what carries a state of one size '
    'has no reason to cost more after a longer text. For chance, seeds of parameters are crossed '
    'with orders of the data, answers and texts are drawn again, and the same training and the '
    'same parameters are computed again and in other ways: where bits repeat, nothing is '
    'unpredictable about them, and rounding may change no text at all.',
    CLAIMS,
    grid,
    measure,
    judge,
    plot,
)
