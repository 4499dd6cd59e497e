"""What the evidence on chance looks like."""

import math
from typing import Any

import numpy as np

from experiments.studies import limitations_rounding as numbers
from experiments.studies import limitations_spread as chance
from nlp_models.analysis import drawing, spread
from nlp_models.analysis.study import Evidence, Picture

LABELS = {'transformer': 'transformer', 'gru': 'GRU', 'mingru': 'minGRU'}


def plot(evidence: Evidence) -> list[Picture]:
    """Churn; draws; rounding."""
    return [*_churn(evidence), *_draws(evidence), *_rounding(evidence)]


def _mean(values: Any) -> float:
    known = [v for v in values if math.isfinite(v)]
    return float(np.mean(known)) if known else math.nan


def _churn(evidence: Evidence) -> list[Picture]:
    cells = chance.crossed(evidence)
    if not cells:
        return []
    figure, (axes,) = drawing.figure(1)
    whose = {'seeds': 'other seeds', 'orders': 'other orders'}
    shown = {
        f'{LABELS[family]}, {chance.TASKS[task]}: {text}': value[f'churn_{name}']
        for task, family, value in cells
        for name, text in whose.items()
    }
    drawing.dots(axes, shown, xlabel='share of predictions that differ', xlim=(0, None))
    parts = []
    for task, family, value in cells:
        losses = np.array(value['losses'], float)
        text = f'{LABELS[family]} on {chance.TASKS[task]}: loss {np.nanmean(losses):.3f} nats'
        if np.isfinite(losses).all():
            both = {'loss': losses, 'accuracy': np.array(value['accuracies'])}
            for name, table in both.items():
                of = [math.sqrt(v) for v in spread.components(table)]
                text += ', {} ± {:.4f} by seed, ± {:.4f} by order, ± {:.4f} by both'.format(
                    name, *of
                )
        churns = [_mean(value[f'churn_{name}']) for name in whose]
        text += ', differing predictions {:.3f} and {:.3f}'.format(*churns)
        if task == 'facts':
            others = [_mean(value[f'churn_untaught_{name}']) for name in whose]
            text += ' (answers to what was never taught: {:.3f} and {:.3f})'.format(*others)
        parts.append(text)
    caption = (
        'Predictions that differ between two runs of equal loss, with other seeds of parameters '
        'and other orders of the data, all else equal. Standard deviations of test loss and '
        f'accuracy by where they come from: {"; ".join(parts)}.'
    )
    return [Picture('churn', (40,), caption, figure)]


def _draws(evidence: Evidence) -> list[Picture]:
    cells = {f: value for task, f, value in chance.crossed(evidence) if task == 'facts'}
    if not cells:
        return []
    figure, (axes,) = drawing.figure(1)
    wrong = {
        family: {float(t): v for t, v in value['wrong_draws'].items()}
        for family, value in cells.items()
    }
    drawing.against(
        axes,
        wrong,
        xlabel='temperature',
        ylabel='wrong draws where the likeliest is right',
        ylim=(0, None),
    )
    parts = []
    for family, value in cells.items():
        differ = ', '.join(f'{t}: {_mean(v):.2f}' for t, v in value['draws_differ'].items())
        shares = ', '.join(f'{t}: {_mean(v):.3f}' for t, v in value['wrong_draws'].items())
        parts.append(
            f'{LABELS[family]} by temperature {shares}; two draws differ on all questions {differ}'
        )
    for task, family, value in chance.crossed(evidence):
        if task == 'text':
            texts = {name: _mean(values) for name, values in value['texts'].items()}
            parts.append(
                f'texts of {chance.NAMES[family]} drawn again with another key differ in '
                f'{texts["other_key"]:.0%} of cases, first at token {texts["place"]:.1f} on '
                f'average, with the same key in {texts["same_key"]:.0%}'
            )
    caption = (
        'Probability that an answer drawn at a temperature is wrong, over the facts whose '
        f'likeliest answer is right. {"; ".join(parts)}.'
    )
    return [Picture('draws', (40,), caption, figure)]


def _rounding(evidence: Evidence) -> list[Picture]:
    cells = [(key['family'], value) for key, value in evidence.select(what='rounding')]
    if not cells:
        return []
    figure, (axes,) = drawing.figure(1)
    shown, same, parts = {}, [], []
    for name, way in numbers.WAYS.items():
        for family, value in cells:
            if name not in value:
                continue
            found = value[name]
            if max(v for v in found['largest'] if math.isfinite(v)) > 0:
                shown[f'{LABELS[family]} {_short(name)}'] = found['largest']
                parts.append(
                    f'{LABELS[family]} {way} {_mean(found["largest"]):.1e} ('
                    f'{_mean(found["parted"]):.0%} of texts)'
                )
            else:
                same.append(f'{LABELS[family]} {way}')
    drawing.dots(axes, shown, xscale='log', xlabel='largest difference of a logit')
    axes.figure.set_size_inches(drawing.WIDTH, max(drawing.HEIGHT, 0.9 + 0.27 * len(shown)))
    none = f' Not one bit differs: {", ".join(same)}.' if same else ''
    asked = evidence.config['rounding']
    caption = (
        'The same model computed in another way: largest difference of any logit, and how many of '
        f'the greedy texts of {asked["written"]} tokens are not the same. {"; ".join(parts)}.{none}'
    )
    return [Picture('rounding', (40,), caption, figure)]


def _short(name: str) -> str:
    return {
        'again': 'again',
        'retrained': 'trained again',
        'alone': 'in rows alone',
        'anew': 'by steps',
        'other': 'otherwise',
        'bfloat16': 'in bfloat16',
        'devices': 'on 2 devices',
    }[name]
