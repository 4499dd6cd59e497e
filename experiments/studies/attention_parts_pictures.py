"""What the evidence on attention's parts looks like."""

import numpy as np

from nlp_models.analysis import drawing
from nlp_models.analysis.study import Evidence, Picture

TASKS = ('recall', 'text')
NAMES = {
    'gru': 'GRU, none',
    'bahdanau': 'GRU, Bahdanau',
    'luong': 'GRU, Luong',
    'pooled': 'transformer, one vector',
    'transformer': 'transformer, cross-attention',
}


def plot(evidence: Evidence) -> list[Picture]:
    """Heads: difference and accuracy; strings: with and without attention."""
    return [_plot_heads(evidence), _plot_strings(evidence)]


def _plot_heads(evidence: Evidence) -> Picture:
    figure, (upper, lower) = drawing.figure(2)
    differ: dict[str, dict] = {}
    right: dict[str, dict] = {}
    for task in TASKS:
        cells = evidence.select(what='heads', task=task)
        right[task] = {key['heads']: value['scores'] for key, value in cells}
        many = [(key, value) for key, value in cells if key['heads'] > 1]
        differ[task] = {key['heads']: value['trained'] for key, value in many}
        differ[f'untrained {task}'] = {key['heads']: value['untrained'] for key, value in many}
    names = {task: task for task in TASKS} | {
        f'untrained {task}': f'{task}, untrained' for task in TASKS
    }
    drawing.against(
        upper,
        differ,
        names=names,
        dashed=[name for name in differ if name.startswith('untrained')],
        xscale='log',
        ylabel='difference of heads',
        ylim=(0, None),
    )
    drawing.against(
        lower, right, names=names, xscale='log', xlabel='heads a layer', ylabel='accuracy'
    )
    heads = list(evidence.config['heads'])
    lower.set_xticks(heads, labels=[str(h) for h in heads])
    lower.minorticks_off()
    parts = []
    for task in TASKS:
        after, before = (
            np.nanmean([np.nanmean(v) for v in differ[name].values()])
            for name in (task, f'untrained {task}')
        )
        scores = ', '.join(f'{h}: {np.nanmean(v):.3f}' for h, v in right[task].items())
        parts.append(
            f'{task}: difference {after:.2f} trained, {before:.2f} untrained; accuracy by heads '
            f'{scores}'
        )
    caption = (
        'Above, how different the heads of a layer are (0: all look at the same, 1: no two at the '
        f'same); below, what they achieve at equal parameters. {"; ".join(parts)}.'
    )
    return Picture('heads', (22,), caption, figure)


def _plot_strings(evidence: Evidence) -> Picture:
    figure, (axes,) = drawing.figure(1)
    rows = {name: evidence.value(what='strings', writer=writer) for writer, name in NAMES.items()}
    drawing.dots(
        axes,
        {n: v['scores'] for n, v in rows.items()},
        xlabel='share of right letters, test',
        xlim=(0, 1.02),
    )
    parts = [
        f'{name} {np.nanmean(v["scores"]):.3f} (whole strings {np.nanmean(v["exact"]):.3f}, '
        f'{drawing.in_counts(float(v["parameters"]))} parameters)'
        for name, v in rows.items()
    ]
    task = evidence.config['strings']
    caption = (
        f'Strings of {task["min_length"]} to {task["max_length"]} letters to be reversed, with '
        f'attention to the source and without, each seed a dot: {"; ".join(parts)}.'
    )
    return Picture('cross_attention', (24,), caption, figure)
