"""What the evidence on false answers looks like."""

import math
from typing import Any

import numpy as np

from experiments.studies import limitations_answers as answers
from nlp_models.analysis import drawing, questions
from nlp_models.analysis.study import Evidence, Picture

LABELS = {'transformer': 'transformer', 'gru': 'GRU', 'lstm': 'LSTM', 'ngram': 'n-gram'}


def plot(evidence: Evidence) -> list[Picture]:
    """Falsehoods; recall against frequency; risk against coverage; reliability."""
    return [_falsehoods(evidence), _recall(evidence), _risk(evidence), _reliability(evidence)]


def _mean(values: Any) -> float:
    known = [v for v in values if math.isfinite(v)]
    return float(np.mean(known)) if known else math.nan


def _rows(evidence: Evidence) -> dict[str, tuple[bool, dict]]:
    """Name to whether there were lessons and what was found, of all readers."""
    return {
        LABELS[family] + ', lessons' * lessons: (lessons, value)
        for lessons in (False, True)
        for family, value in answers.readers(evidence, lessons).items()
    }


def _falsehoods(evidence: Evidence) -> Picture:
    figure, (axes,) = drawing.figure(1)
    rows = _rows(evidence)
    kinds = {'untold': 'never told', 'stranger': 'no such person'}
    shown = {
        f'{name}: {text}': value['surely_false'][kind]
        for name, (_, value) in rows.items()
        for kind, text in kinds.items()
    }
    confident = evidence.config['confident']
    drawing.dots(axes, shown, xlabel=f'answered falsely with p ≥ {confident}', xlim=(-0.02, None))
    limit = evidence.thresholds['surely_false']
    axes.axvline(limit, color=drawing.INK, linestyle=':', linewidth=1.2)
    said = []
    for name, (lessons, value) in rows.items():
        text = f'{name} {_mean(value["kind_recall"]["taught"]):.2f}'
        if lessons:
            declined = [_mean(value['declined'][kind]) for kind in ('taught', *kinds)]
            text += ' (says ‘unknown’ to {:.2f} of them, {:.2f}, {:.2f})'.format(*declined)
        said.append(text)
    guessed = 1 / evidence.config['world']['values']
    caption = (
        'Share of the questions without a taught answer that are answered falsely with a '
        f'probability of at least {confident}, each world a dot: '
        + '; '.join(f'{name} {_mean(values):.3f}' for name, values in shown.items())
        + f'. Who was told nothing can only guess, with a probability of {guessed:.3f}. Of taught '
        f'facts, rare ones among them, are answered right: {"; ".join(said)}. Dotted: the claim’s '
        'threshold.'
    )
    return Picture('falsehoods', (38, 0), caption, figure)


def _recall(evidence: Evidence) -> Picture:
    figure, (axes,) = drawing.figure(1)
    often = answers.often(evidence)
    cells = answers.readers(evidence)
    drawing.against(
        axes,
        {name: {int(f): value['recall'][f] for f in often} for name, value in cells.items()},
        xscale='log',
        xlabel='how often the fact was told',
        ylabel='share answered right',
        ylim=(0, 1.05),
    )
    axes.set_xticks([int(f) for f in often], labels=often)
    axes.minorticks_off()
    guessed = 1 / evidence.config['world']['values']
    drawing.threshold(axes, guessed, 'guessed')
    said = '; '.join(
        f'{LABELS[family]} ' + ', '.join(f'{f}: {_mean(value["recall"][f]):.2f}' for f in often)
        for family, value in cells.items()
    )
    caption = (
        'Share of facts answered right by how often the text told them, in phrasings that may be '
        f'others than the question’s. {said}. By guessing {guessed:.3f}.'
    )
    return Picture('recall', (0,), caption, figure)


def _risk(evidence: Evidence) -> Picture:
    figure, (axes,) = drawing.figure(1)
    cells, share = answers.readers(evidence), evidence.config['coverage']
    drawing.against(
        axes,
        {
            name: {
                c: [risk[i] for risk in value['risk']] for i, c in enumerate(questions.COVERAGES)
            }
            for name, value in cells.items()
        },
        xlabel='share of questions answered, the surest first',
        ylabel='share of false answers',
        ylim=(0, 1),
    )
    said = []
    for family, value in cells.items():
        surest, every = answers.at_coverage(evidence, value)
        said.append(
            f'{LABELS[family]} {_mean(surest):.3f} among the surest {share:.0%}, '
            f'{_mean(every):.3f} among all; area under the ROC curve {_mean(value["auroc"]):.3f} '
            f'for taught against other questions, {_mean(value["auroc_right"]):.3f} for right '
            'against false answers'
        )
    caption = (
        'What keeping silent gains: share of false answers among those given, when only the surest '
        'are given. Half of the questions have an answer that was taught, many of them rarely. '
        f'{"; ".join(said)}.'
    )
    return Picture('risk', (0,), caption, figure)


def _reliability(evidence: Evidence) -> Picture:
    figure, panels = drawing.figure(2)
    cells = answers.readers(evidence)
    for axes, kind, text in zip(
        panels, ('raw', 'scaled'), ('as it is', 'with the best temperature'), strict=True
    ):
        axes.plot([0, 1], [0, 1], color=drawing.INK, linestyle=':', linewidth=1.2)
        drawing.against(
            axes,
            {name: _diagram(value['bins'][kind]) for name, value in cells.items()},
            ylabel=f'right, {text}',
            ylim=(0, 1.02),
            xlim=(0, 1.02),
        )
    panels[-1].set_xlabel('probability of the answer')
    said = []
    for family, value in cells.items():
        ece, scaled, mass = (_mean(value[name]) for name in ('ece', 'ece_scaled', 'ece_mass'))
        taught, after = (_mean(value[name]) for name in ('ece_taught', 'ece_taught_scaled'))
        said.append(
            f'{LABELS[family]} {ece:.3f} over all questions ({mass:.3f} with bins of equal mass), '
            f'{scaled:.3f} with temperature {_mean(value["temperature"]):.2f}; {taught:.3f} and '
            f'{after:.3f} over taught ones; Brier score {_mean(value["brier"]):.3f}, then '
            f'{_mean(value["brier_scaled"]):.3f}'
        )
    caption = (
        'How often answers are right against the probability they are given with, in tenths, over '
        'taught and other questions; on the dotted line a probability is what it says. Expected '
        f'calibration errors: {". ".join(said)}.'
    )
    return Picture('reliability', (0,), caption, figure)


def _diagram(bins: dict[str, list]) -> dict[float, list[float]]:
    """Middle of each bin to its accuracy, one a seed, where there are answers."""
    rows = [row for row in bins['accuracy'] if row]  # who says nothing has none
    accuracy = np.array(rows, float).reshape(len(rows), -1)  # [seeds, bins]
    middles = (np.arange(accuracy.shape[1]) + 0.5) / max(accuracy.shape[1], 1)
    return {float(x): column.tolist() for x, column in zip(middles, accuracy.T, strict=True)}
