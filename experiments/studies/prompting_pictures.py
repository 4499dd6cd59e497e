"""What the evidence on prompts looks like."""

import numpy as np

from experiments.studies.prompting_verdicts import FACTORS, SCORINGS, asked, families
from nlp_models.analysis import drawing
from nlp_models.analysis.document import Table
from nlp_models.analysis.intervals import student_t
from nlp_models.analysis.study import Evidence, Picture


def plot(evidence: Evidence) -> list[Picture]:
    """The gaps; the accuracies of every way."""
    return [_plot_gaps(evidence, scoring) for scoring in evidence.config['judged']]


def tables(evidence: Evidence) -> list[Table]:
    """Accuracies by way, and what a search finds."""
    return [_ways(evidence), _search(evidence)]


def _plot_gaps(evidence: Evidence, scoring: str) -> Picture:
    rows, told = {}, []
    for family in families(evidence):
        for factor, text in FACTORS.items():
            value = asked(evidence, family, factor, scoring)
            rows[f'{drawing.label(family)}, {text}'] = value['gap']
            lists = np.asarray(value['accuracies'])
            told.append(
                f'{drawing.label(family)}, {text}: gap {np.mean(value["gap"]):.2f}, accuracies '
                f'from {lists.min():.2f} to {lists.max():.2f}, '
                f'{np.mean(value["changed"]):.0%} of the answers differ between two ways'
            )
    figure, (axes,) = drawing.figure(1)
    drawing.dots(axes, rows, xlabel='accuracy, best way minus worst, on other questions')
    axes.axvline(evidence.thresholds['drastic'], color=drawing.INK, linestyle=':', linewidth=1.2)
    asked_ = evidence.value(what='model', family=families(evidence)[0])['asked']
    caption = (
        f'{asked_} questions, scored {SCORINGS[scoring]}; each point is one model, the dotted line '
        f'the threshold. {"; ".join(told)}.'
    )
    return Picture(f'gaps_{scoring}', (29,), caption, figure)


def _ways(evidence: Evidence) -> Table:
    """Templates and label words, in the mean over models."""
    names = {
        'template': [f'“{text}”' for text in evidence.config['templates']],
        'words': ['is, are', 'was, were', 'has, have', 'does, do'],
    }
    chosen = families(evidence)
    header = ('way', *(f'{drawing.label(f)}, {SCORINGS[s]}' for f in chosen for s in SCORINGS))
    rows = []
    for factor, ways in names.items():
        for i, way in enumerate(ways):
            cells = [
                np.mean([row[i] for row in asked(evidence, family, factor, s)['accuracies']])
                for family in chosen
                for s in SCORINGS
            ]
            rows.append((way, *(f'{cell:.3f}' for cell in cells)))
    caption = (
        f'Accuracy by template and by verbs, {evidence.config["shots"]} examples shown, mean over '
        f'{evidence.config["seeds"]} models; guessing gets 0.5.'
    )
    return Table(header, tuple(rows), caption)


def _search(evidence: Evidence) -> Table:
    rows = []
    for family in families(evidence):
        value = evidence.value(what='search', family=family)
        cells = [
            _told(value[name]) for name in ('least', 'median', 'searched', 'held_out', 'first')
        ]
        rows.append((drawing.label(family), *cells))
    header = (
        'family', 'worst prompt', 'median', 'best, in the search', 'best, held out',
        'first prompt, held out',
    )  # fmt: skip
    caption = (
        'A search among all templates and verbs, by likelihood: accuracies on the half of the '
        'questions that are for the search, and on the other.'
    )
    return Table(header, tuple(rows), caption)


def _told(values: list[float]) -> str:
    found = student_t(values)
    half = (found.high - found.low) / 2
    return f'{found.mean:.3f} ± {half:.3f}' if np.isfinite(half) else f'{found.mean:.3f}'
