"""What gates and additive updates are each good for: a part taken out, all else alike."""

import copy
import math
from typing import Any

import numpy as np

from nlp_models import costs
from nlp_models.analysis import drawing, skill, solving, verdicts
from nlp_models.analysis.intervals import differences, student_t
from nlp_models.analysis.study import Cell, Evidence, Picture, Study
from nlp_models.analysis.verdicts import Claim, Criterion

REFERENCE = 'lstm'  # whose number of parameters all have
TASKS = {'delayed': 'a delayed symbol', 'adding': 'adding'}  # as in a sentence

# (with the part, without it, the part's name)
GATES = (
    ('lstm', 'lstm_without_forget', 'the forget gate'),
    ('lstm', 'lstm_without_input', 'the input gate'),
    ('lstm', 'lstm_without_output', 'the output gate'),
    ('lstm', 'lstm_coupled', 'an input gate that is not 1 − f'),
    ('lstm', 'rnn_residual', 'all gates of an LSTM'),
    ('gru', 'rnn_residual', 'all gates of a GRU'),
)
SUMS = (
    ('lstm', 'lstm_not_additive', 'the sum in an LSTM'),
    ('rnn_residual', 'rnn', 'the sum in an RNN'),
)

NAMES = {
    'rnn': 'RNN',
    'rnn_residual': 'RNN with a sum',
    'lstm': 'LSTM',
    'lstm_without_forget': 'LSTM, no forget gate',
    'lstm_without_input': 'LSTM, no input gate',
    'lstm_without_output': 'LSTM, no output gate',
    'lstm_coupled': 'LSTM, i = 1 − f',
    'lstm_not_additive': 'LSTM, no sum',
    'gru': 'GRU',
}

CLAIMS = (
    Claim(
        14,
        '4.3',
        'Gates are a reason why LSTM and GRU remember longer than an RNN',
        'skill (0 guesses or is worse, 1 is perfect) of the LSTM less that of one with as many '
        'parameters and a gate taken out, and of LSTM and GRU less that of an RNN with a sum, by '
        'seed',
        'f, i, o = sigmoid(W_{f,i,o} h_{t−1} + U_{f,i,o} x_t + b_{f,i,o})',
        'nlp_models/recurrent/ablations.py',
    ),
    Claim(
        15,
        '4.3',
        'Additive updates of the state are a reason, too',
        'skill of the LSTM less that of one whose state is not a sum, and of an RNN with a sum '
        'less that of an RNN, as many parameters each, by seed',
        'C_t = f ⊙ C_{t−1} + i ⊙ C̃',
        'nlp_models/recurrent/ablations.py',
    ),
)


def grid(config: Any) -> list[Cell]:
    """Every family on every task."""
    return [
        Cell({'task': task, 'family': family}, one.training.steps)
        for task, one in config.tasks.items()
        for family in config.models
    ]


def measure(config: Any, key: dict, evidence: Evidence) -> dict[str, Any]:
    """Train one family on one task, as wide as gives it the LSTM's number of parameters."""
    del evidence
    one = config.tasks[key['task']]
    setting = one.setting.to_dict()
    problem = solving.problem(key['task'], setting)
    model, reference = (copy.deepcopy(config.models[f]) for f in (key['family'], REFERENCE))
    reference.hidden_size = config.hidden_size
    solving.match(model, problem, costs.count_parameters(solving.build(reference, problem)))
    outcome, _ = solving.solve(
        model, problem, one.training, seeds=config.seeds, num_devices=config.num_devices
    )
    return {
        **outcome._asdict(),
        'hidden_size': model.hidden_size,
        'skill': skill.skill(key['task'], setting, outcome.scores),
    }


def _differences(evidence: Evidence, task: str, whole: str, less: str) -> tuple[float, ...]:
    """Skill of one family less that of another, by seed; worse than guessing is no skill."""
    ours, others = (_skills(evidence, task, family) for family in (whole, less))
    return differences(ours, others)


def _skills(evidence: Evidence, task: str, family: str) -> list[float]:
    values = evidence.value(task=task, family=family)['skill']
    return [value if math.isnan(value) else max(value, 0.0) for value in values]


def _neither(evidence: Evidence, task: str, whole: str, less: str) -> str:
    """Why two families cannot be compared on a task: neither has learned it in any seed."""
    both = [*_skills(evidence, task, whole), *_skills(evidence, task, less)]
    least = evidence.thresholds['learned']
    learned = any(value >= least for value in both)
    return '' if learned else f'neither learns {TASKS[task]}: skill {max(both):.2f} at best'


def judge(evidence: Evidence) -> list[dict[str, Any]]:
    """The verdicts."""
    limits = evidence.thresholds
    found = []
    for claim, parts in zip(CLAIMS, (GATES, SUMS), strict=True):
        criteria = [
            Criterion(
                f'{name} on {TASKS[task]}',
                'difference in skill, with the part less without it',
                _differences(evidence, task, whole, less),
                limits['loss'],
                unless=_neither(evidence, task, whole, less),
            )
            for whole, less, name in parts
            for task in evidence.config['tasks']
        ]
        found.append(verdicts.judge(claim, criteria, limits, study='gating'))
    return found


def plot(evidence: Evidence) -> list[Picture]:
    """Skill of every family on both tasks."""
    tasks = list(evidence.config['tasks'])
    families = [f for f in NAMES if f in evidence.config['models']][::-1]  # first at the top
    figure, (axes,) = drawing.figure(1)
    figure.set_size_inches(drawing.WIDTH, 1.25 * drawing.HEIGHT)
    figure.subplots_adjust(left=0.36, right=0.96, bottom=0.24)
    marks = drawing.styles(('rnn', 'lstm'))
    for task, shift, style in zip(tasks, (0.15, -0.15), (marks['rnn'], marks['lstm']), strict=True):
        for place, family in enumerate(families):
            values = [
                v for v in evidence.value(task=task, family=family)['skill'] if drawing.is_number(v)
            ]
            y = place + shift
            axes.plot(values, [y] * len(values), style.marker, color=style.color, ms=4, alpha=0.35)
            if values:
                mean = student_t(values).mean
                title = TASKS[task] if not place else None
                axes.plot([mean], [y], style.marker, color=style.color, ms=8, label=title)
    axes.set_yticks(range(len(families)), [NAMES[family] for family in families])
    axes.set(xlabel='skill: 0 guesses, 1 is perfect (faint: single seeds)')
    axes.axvline(0, color=drawing.INK, linestyle=':', linewidth=1.2)
    place = {'loc': 'upper center', 'bbox_to_anchor': (0.3, -0.17), 'ncols': 2}
    axes.legend(**place, frameon=False, fontsize=drawing.FONT)
    said = []
    for task in tasks:
        means = {f: np.mean(evidence.value(task=task, family=f)['skill']) for f in families[::-1]}
        listed = ', '.join(f'{NAMES[f]} {mean:.2f}' for f, mean in means.items())
        said.append(f'On {TASKS[task]}: {listed}.')
    caption = 'Skill of cells with as many parameters each, by what was taken out. '
    return [Picture('parts', (14, 15), caption + ' '.join(said), figure)]


STUDY = Study(
    'gating',
    'Gates and sums, one at a time',
    'An LSTM loses one part at a time, and an RNN gains a sum, with everything else alike: the '
    'same number of parameters, the same learning rates tried, the same examples. A part whose '
    'loss costs nothing on a task that the whole cell learns is no reason for its memory there, '
    'and counts against the claim. Gates and sum may also need each other: a sum that nothing '
    'gates may be worse than none. Without the sum the old state passes three gates in place of '
    'one, so these start open enough to let through as much. Greff et al. (2017) found the forget '
    'gate and the output activation most critical on speech, handwriting and music; rows as short '
    'as these seldom ask for forgetting.',
    CLAIMS,
    grid,
    measure,
    judge,
    plot,
)
