"""What the evidence on learning in context looks like."""

from typing import Any

import numpy as np

from experiments.studies.in_context_verdicts import KINDS, errors, families
from nlp_models.analysis import drawing
from nlp_models.analysis.document import Table
from nlp_models.analysis.intervals import student_t
from nlp_models.analysis.study import Evidence, Picture

ESTIMATORS = {'ridge': 'ridge', 'least_squares': 'least squares', 'trivial': 'always 0'}


def plot(evidence: Evidence) -> list[Picture]:
    """Errors by points; answers by examples; right answers by pairs."""
    return [
        _plot_functions(evidence),
        *(_plot_rules(evidence, family) for family in families(evidence, 'rules')),
        _plot_recall(evidence),
    ]


def tables(evidence: Evidence) -> list[Table]:
    """Off the distribution; by an instruction; plain models."""
    return [_shifts(evidence), _instructions(evidence), _plain(evidence)]


def _told(values: Any, digits: int = 3) -> str:
    values = np.asarray(values, float)
    if not np.isfinite(values).all():
        return 'diverged'
    found = student_t(values.tolist())
    half = (found.high - found.low) / 2
    mean = f'{found.mean:.{digits}f}'
    return f'{mean} ± {half:.{digits}f}' if np.isfinite(half) and half else mean


def _plot_functions(evidence: Evidence) -> Picture:
    part, known = evidence.config['regression'], evidence.value(what='estimators')['trained']
    points, judged = part['settings']['trained']['points'], part['judged']
    curves: dict[str, dict] = {
        family: {k: errors(evidence, family, 'trained', k) for k in range(points)}
        for family in families(evidence, 'regression')
    }
    for name in ESTIMATORS:
        curves[name] = {k: [known[name][k]] for k in range(points)}
    # Least squares with as many points as axes are off by far more than all others.
    top = 3 * max(known['trivial'])
    curves['least_squares'] = {k: v for k, v in curves['least_squares'].items() if v[0] < top}
    figure, (axes,) = drawing.figure(1)
    drawing.against(
        axes,
        curves,
        names=ESTIMATORS,
        dashed=tuple(ESTIMATORS),
        yscale='log',
        xlabel='points read before',
        ylabel='squared error',
    )
    ridge = known['ridge'][judged]
    told = [
        f'{drawing.label(family)} {_told(np.divide(curves[family][judged], ridge), 2)}'
        for family in families(evidence, 'regression')
    ]
    caption = (
        f'New linear functions of {part["settings"]["trained"]["dimension"]} numbers, noise of '
        f'variance {part["settings"]["trained"]["noise"]:g}: squared error without the noise by '
        f'points read, of which later ones count more in training. At {judged} points, over ridge '
        f'regression ({ridge:.3f}): {", ".join(told)}; '
        f'least squares {known["least_squares"][judged] / ridge:.2f}.'
    )
    return Picture('functions', (28,), caption, figure)


def _plot_rules(evidence: Evidence, family: str) -> Picture:
    exact = evidence.value(what='rules', family=family)['exact']
    guessers = evidence.value(what='guessers')
    shown = {
        f'{rules} {kind}': {k: [row[k] for row in rows] for k in range(len(rows[0]))}
        for rules, kinds in exact.items()
        for kind, rows in kinds.items()
        if kind in ('told', 'untold')
    }
    names = {
        f'{rules} {kind}': f'{rules}, {"told" if kind == "told" else "not told"}'
        for rules in KINDS
        for kind in ('told', 'untold')
    }
    figure, (axes,) = drawing.figure(1)
    drawing.against(
        axes,
        shown,
        names=names,
        dashed=[name for name in shown if name.endswith('untold')],
        xlabel='examples read before',
        ylabel='exact answers',
        ylim=(-0.02, 1.02),
    )
    parts = []
    for rules, text in KINDS.items():
        told, untold = (shown[f'{rules} {kind}'] for kind in ('told', 'untold'))
        most = max(untold)
        parts.append(
            f'{text} ({guessers[rules]["rules"]}): told {np.nanmean(told[0]):.2f} without an '
            f'example; not told {np.nanmean(untold[0]):.2f}, after {most} examples '
            f'{np.nanmean(untold[most]):.2f}, where the trained rule that fits best gets '
            f'{guessers[rules]["retrieve"]:.2f} and repeating the question '
            f'{guessers[rules]["repeat"]:.2f}'
        )
    caption = (
        f'{drawing.label(family)}, exact answers by examples read, with an instruction and '
        f'without. {"; ".join(parts)}.'
    )
    return Picture(f'rules_{family}', (27, 28), caption, figure)


def _plot_recall(evidence: Evidence) -> Picture:
    curves = {
        family: {
            int(pairs): values
            for pairs, values in evidence.value(what='recall', family=family)['right'].items()
        }
        for family in families(evidence, 'recall')
    }
    figure, (axes,) = drawing.figure(1)
    drawing.against(
        axes, curves, xscale='log', xlabel='pairs in the context', ylabel='right answers',
        ylim=(-0.02, 1.02),
    )  # fmt: skip
    pairs = evidence.config['recall']['pairs']
    axes.set_xticks(list(pairs), labels=[str(number) for number in pairs])
    axes.minorticks_off()
    told = [
        f'{drawing.label(family)} {", ".join(f"{np.nanmean(v):.2f}" for v in curve.values())}'
        for family, curve in curves.items()
    ]
    caption = (
        f'Associative recall after training with {evidence.config["recall"]["trained"]} pairs, '
        f'with {", ".join(map(str, pairs))} pairs: {"; ".join(told)}.'
    )
    return Picture('recall', (28,), caption, figure)


def _shifts(evidence: Evidence) -> Table:
    part, known = evidence.config['regression'], evidence.value(what='estimators')
    judged = part['judged']
    settings = sorted(part['settings'], key=lambda name: name != 'trained')
    rows = []
    for family in families(evidence, 'regression'):
        cells = [
            _told(np.divide(errors(evidence, family, s, judged), known[s]['ridge'][judged]), 2)
            for s in settings
        ]
        rows.append((drawing.label(family), *cells))
    for name in ('least_squares', 'trivial'):
        cells = [f'{known[s][name][judged] / known[s]["ridge"][judged]:.2f}' for s in settings]
        rows.append((ESTIMATORS[name], *cells))
    caption = (
        f'Squared error after {judged} points over that of ridge regression that knows the '
        'distribution: as in training, and with inputs twice as large, stretched along some axes, '
        'and weights twice as large.'
    )
    header = ('', *(name.replace('_', ' ') for name in settings))
    return Table(header, tuple(rows), caption)


def _instructions(evidence: Evidence) -> Table:
    rows = []
    for family in families(evidence, 'rules'):
        exact = evidence.value(what='rules', family=family)['exact']
        for rules, text in KINDS.items():
            kinds = exact[rules]
            zero = [_told([row[0] for row in kinds[k]]) for k in ('untold', 'told', 'told_other')]
            most = [_told([row[-1] for row in kinds[k]]) for k in ('untold', 'misled')]
            rows.append((f'{drawing.label(family)}, {text}', *zero, *most))
    header = (
        'exact answers', 'nothing', 'the instruction', 'another’s', 'examples',
        'another’s examples',
    )  # fmt: skip
    caption = (
        'What is before the question: nothing, the words of the rule, those of another rule; '
        f'{evidence.config["rules"]["examples"] - 1} examples, as many of another rule. '
        'All families have about as many parameters, and one learning rate.'
    )
    return Table(header, tuple(rows), caption)


def _plain(evidence: Evidence) -> Table:
    shots = evidence.config['plain']['shots']
    rows = []
    for family in families(evidence, 'plain'):
        value = evidence.value(what='plain', family=family)
        for task, text in (('agreement', 'agreement of verbs'), ('rules', 'held-out compositions')):
            cells = [_told(value[task][str(k)]) for k in shots]
            rows.append((f'{drawing.label(family)}, {text}', *cells))
    caption = (
        'Plain language models, which have read documentation alone, by the number of examples: '
        'accuracy on the agreement of verbs (guessing gets 0.5) and exact answers to rules of '
        'strings.'
    )
    return Table(('right answers', *(str(k) for k in shots)), tuple(rows), caption)
