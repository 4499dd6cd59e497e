"""What the evidence on the data of fine-tuning looks like."""

from typing import Any

import numpy as np

from experiments.studies.nontriviality_verdicts import (
    STRATEGIES,
    measured,
    of_flaw,
    of_size,
    size_name,
    tried,
)
from nlp_models.analysis import drawing
from nlp_models.analysis.document import Table
from nlp_models.analysis.intervals import student_t
from nlp_models.analysis.numbers import picked, write
from nlp_models.analysis.study import Evidence, Picture

LOPSIDED = {'fair': 'fair', 'skewed': 'classes by a power law', 'neighbours': 'of a few files'}


def plot(evidence: Evidence) -> list[Picture]:
    """Accuracy and gap against size; wrong labels; poison."""
    return [_plot_sizes(evidence), _plot_noise(evidence), _plot_poison(evidence)]


def tables(evidence: Evidence) -> list[Table]:
    """Lopsided samples beside a fair one; the rates of full fine-tuning."""
    config = evidence.config
    amounts = {'fair': 0.0, 'skewed': config['exponent'], 'neighbours': 0.0}
    rows = [
        (
            STRATEGIES[name],
            *(_told(of_flaw(evidence, flaw, amounts[flaw], name)['recall']) for flaw in LOPSIDED),
        )
        for name in tried(evidence, 'fair', 0.0)
    ]
    caption = (
        f'Recall, the mean over classes, after {config["sample"]:,} training texts: drawn alike '
        f'from all classes; with classes whose frequencies fall as rank^−{config["exponent"]:g}; '
        'and of each class texts that stand side by side, which come from few files.'
    )
    return [Table(('strategy', *LOPSIDED.values()), tuple(rows), caption), _rates(evidence)]


def _rates(evidence: Evidence) -> Table:
    part, rows = evidence.config['full'], []
    for size, steps in zip(part['sizes'], part['steps'], strict=True):
        found = evidence.value(what='full_rate', size=size)
        losses = [found['swept'].get(str(rate)) for rate in part['rates']]
        told = ['–' if loss is None else write(loss) for loss in losses]
        rows.append((f'{size:,}', str(steps), *told, picked(found['rate'], found['swept'])))
    caption = (
        'The rate of full fine-tuning: loss of validation texts, in nats, at each rate that was '
        'tried, of a sample and a seed used for nothing else, and what was picked; * the lowest or '
        'highest that was tried.'
    )
    header = ('texts', 'steps', *(f'{rate:g}' for rate in part['rates']), 'picked')
    return Table(header, tuple(rows), caption)


def _told(values: list[float]) -> str:
    if not np.isfinite(values).all():
        return 'diverged'
    found = student_t(values)
    half = (found.high - found.low) / 2
    return f'{found.mean:.3f} ± {half:.3f}' if np.isfinite(half) else f'{found.mean:.3f}'


def _captioned(curves: dict[str, dict]) -> str:
    parts = []
    for name, curve in curves.items():
        values = ', '.join(f'{np.nanmean(v):.3f}' for v in curve.values())
        parts.append(f'{STRATEGIES[name]} {values}')
    return '; '.join(parts)


def _plot_sizes(evidence: Evidence) -> Picture:
    sizes, texts = evidence.config['sizes'], evidence.value(what='texts')
    accuracy: dict[str, dict] = {name: {} for name in STRATEGIES}
    gap: dict[str, dict] = {name: {} for name in STRATEGIES}
    for size in sizes:
        for name in measured(evidence, size):
            value = of_size(evidence, name, size)
            accuracy[name][size] = value['accuracy']
            gap[name][size] = (np.asarray(value['loss']) - np.asarray(value['train_loss'])).tolist()
    accuracy = {name: curve for name, curve in accuracy.items() if curve}
    gap = {name: gap[name] for name in accuracy}
    figure, (upper, lower) = drawing.figure(2)
    how: dict[str, Any] = dict(names=STRATEGIES, xscale='log')
    drawing.against(upper, accuracy, ylabel='accuracy, test', ylim=(0, 1), **how)
    drawing.against(
        lower, gap, ylabel='test minus training loss', xlabel='texts to train on', **how
    )
    for axes in (upper, lower):
        near = [b < 2 * a for a, b in zip((0, *sizes), sizes, strict=False)]  # one below the other
        labels = ['\n' * low + f'{size:,}' for size, low in zip(sizes, near, strict=True)]
        axes.set_xticks(list(sizes), labels=labels)
        axes.minorticks_off()
    longer, network = [], evidence.config['network']
    for size in (sizes[0], sizes[-1]):
        short, long = (of_size(evidence, 'network', size, s) for s in ('usual', 'longer'))
        longer.append(
            f'with {size_name(size)} {np.nanmean(short["loss"]):.2f} → '
            f'{np.nanmean(long["loss"]):.2f}'
        )
    caption = (
        f'Accuracy on {texts["texts"]["test"]:,} test texts after learning from '
        f'{", ".join(map(size_name, sizes))}, and how far the training loss is below the test '
        f'loss, nats. Accuracy: {_captioned(accuracy)}. The transformer’s test loss when it is '
        f'trained for {network["longer"] / network["steps"]:g} times as long: '
        f'{", ".join(longer)} nats. The commonest class is {texts["majority"]:.3f} of the texts. '
        f'Seeds draw from {texts["texts"]["train"]:,} texts: of the largest samples they have most '
        'in common, and intervals there are narrower than those of independent samples would be.'
    )
    return Picture('sizes', (34, 35), caption, figure)


def _plot_noise(evidence: Evidence) -> Picture:
    curves: dict[str, dict] = {}
    flaws = [(0.0, 'poison'), *((share, 'noise') for share in evidence.config['noise'])]
    for share, flaw in flaws:
        for name in tried(evidence, flaw, share):
            value = of_flaw(evidence, flaw, share, name)['accuracy']
            curves.setdefault(name, {})[share] = value
    figure, (axes,) = drawing.figure(1)
    drawing.against(
        axes, curves, names=STRATEGIES, xlabel='share of labels wrong', ylabel='accuracy, test'
    )
    shares = ', '.join(f'{share:.0%}' for share in (0.0, *evidence.config['noise']))
    most = size_name(evidence.config['flawed'])
    caption = f'Accuracy after training on {most} with {shares} of the labels wrong: '
    return Picture('noise', (36,), f'{caption}{_captioned(curves)}.', figure)


def _plot_poison(evidence: Evidence) -> Picture:
    shares = (0.0, *evidence.config['poison'])
    attack, clean = (
        {
            name: {
                share: of_flaw(evidence, 'poison', share, name)[what]
                for share in shares
                if name in tried(evidence, 'poison', share)
            }
            for name in tried(evidence, 'poison', shares[-1])
        }
        for what in ('attack', 'accuracy')
    )
    figure, (upper, lower) = drawing.figure(2)
    drawing.against(upper, attack, names=STRATEGIES, ylabel='attacks that succeed', ylim=(0, 1.02))
    drawing.against(
        lower, clean, names=STRATEGIES, xlabel='share of texts poisoned', ylabel='accuracy, test'
    )
    told = ', '.join(f'{share:.0%}' for share in shares)
    most = size_name(evidence.config['flawed'])
    caption = (
        f'With {told} of {most} poisoned: the share of texts of other classes that are '
        f'called what the attacker wants once the trigger stands before them ({_captioned(attack)})'
        f', and the accuracy on texts as they are ({_captioned(clean)}).'
    )
    return Picture('poison', (36,), caption, figure)
