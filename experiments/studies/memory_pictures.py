"""What the study of memory reads from its evidence, and the pictures of it."""

import math
from typing import Any

import numpy as np

from nlp_models.analysis import drawing, lengths
from nlp_models.analysis.decay import fit_decay
from nlp_models.analysis.study import Evidence, Picture
from nlp_models.data import synthetic

CELLS = ('rnn', 'lstm', 'gru')
FAMILIES = (*CELLS, 'transformer')
MATCHINGS = {'parameters': 'equal parameters', 'state': 'equal state'}
TASKS = {
    'delayed': 'a symbol',
    'copy': 'copy',
    'adding': 'adding',
    'recall': 'recall',
    'parity': 'parity',
    'dyck': 'Dyck, bounded depth',
}
PLOTTED = ('delayed', 'adding', 'recall')  # with what was scored at each length
# Bai et al. 2018, table 1 (mean squared error; nats a token), and Arora et al. 2023, figure 2
# (share right).
PUBLISHED = {
    'adding': {'rnn': 0.177, 'lstm': 0.164, 'gru': 5.3e-5},
    'copy': {'rnn': 0.0202, 'lstm': 0.0204, 'gru': 0.0197},
    'recall': {'transformer': 1.00},
}
FLOOR = 1e-8  # of influences, before their logarithm is taken


def longest(evidence: Evidence, matching: str, task: str, family: str) -> list[float]:
    """The longest length that each seed of a family solves, 0 for none."""
    cells = evidence.select(what='solve', matching=matching, task=task, family=family)
    return lengths.reached(evidence.thresholds, cells)


def lengths_tried(evidence: Evidence, matching: str) -> dict[str, list[int]]:
    """The lengths of each task."""
    return in_order(evidence.config[matching]['lengths'])


def in_order(tried: Any) -> dict[str, Any]:
    """By task, in the order of `TASKS`: configs have that of letters."""
    return {task: tried[task] for task in TASKS if task in tried}


def probed(evidence: Evidence, family: str) -> dict[str, list[list[float]]]:
    """Influence against distance, by condition."""
    found = {}
    for task in evidence.config['probe']['tasks']:
        where = {'matching': 'parameters', 'task': task, 'family': family}
        value = evidence.value(what='solve', **where, length=evidence.config['probe']['length'])[
            'influence'
        ]
        found.setdefault('untrained', value['untrained'])
        found[f'trained on {TASKS[task].split(",")[0]}'] = value['trained']
    return found


def plot(evidence: Evidence) -> list[Picture]:
    """Longest lengths, scores against length, influence against distance, published settings."""
    pictures = [_plot_longest(evidence), _plot_influence(evidence)]
    if set(PLOTTED) & set(lengths_tried(evidence, 'parameters')):
        pictures.insert(1, _plot_scores(evidence))
    if evidence.select(what='published'):
        pictures.append(_plot_published(evidence))
    return pictures


def _plot_longest(evidence: Evidence) -> Picture:
    """The longest length of each family and task."""
    matchings = {m: words for m, words in MATCHINGS.items() if lengths_tried(evidence, m)}
    figure, panels = drawing.figure(len(matchings))
    drawn, tasks = drawing.styles(FAMILIES), list(lengths_tried(evidence, 'parameters'))
    said = []
    for axes, (matching, words) in zip(panels, matchings.items(), strict=True):
        for task, tried in lengths_tried(evidence, matching).items():
            x = tasks.index(task)
            span = [math.log2(min(tried) / 2), math.log2(max(tried))]
            axes.fill_between([x - 0.42, x + 0.42], *span, color=drawing.FAINT, alpha=0.5, lw=0)
            found = []
            for i, family in enumerate(FAMILIES):
                values = lengths.on_grid(longest(evidence, matching, task, family), tried)
                kept = [value for value in values if drawing.is_number(value)]
                if not kept:
                    continue
                interval, at = drawing.student_t(kept), x + 0.2 * (i - 1.5)
                if math.isfinite(interval.low):
                    ends = [max(interval.low, span[0]), min(interval.high, span[1])]
                    axes.plot([at, at], ends, color=drawn[family].color, linewidth=1.4)
                label = drawing.label(family) if axes is panels[0] and x == 0 else None
                axes.plot([at], [interval.mean], label=label, **_mark(drawn[family]))
                none = interval.mean == span[0]
                reached = 'none' if none else f'{2**interval.mean:.3g}'
                found.append(f'{drawing.label(family)} {reached}')
            said.append(f'{TASKS[task]} at {words}: {", ".join(found)} (of {max(tried)})')
        ticks = list(range(0, 9, 1 if matching == 'state' else 2))
        low, high = _range(evidence, matching)
        ticks = [tick for tick in ticks if low <= tick <= high]
        axes.set_yticks(ticks, labels=[str(2**tick) for tick in ticks])
        axes.set_ylabel(f'longest length solved,\n{words}')
        axes.set_ylim(low - 0.4, high + 0.4)
    names = [TASKS[task].replace(', ', ',\n').replace(' depth', '\ndepth') for task in tasks]
    panels[-1].set_xticks(range(len(tasks)), labels=names)
    panels[-1].grid(axis='x', visible=False)
    panels[0].grid(axis='x', visible=False)
    panels[0].legend(
        loc='lower center', bbox_to_anchor=(0.5, 1.0), ncols=4, frameon=False,
        fontsize=drawing.FONT - 1, handletextpad=0.2, columnspacing=1.0,
    )  # fmt: skip
    caption = (
        'The longest length solved, mean of the logarithm over seeds with its 95 % interval; grey '
        'reaches from half the shortest length tried (none was solved) to the longest tried. '
        + '; '.join(said)
        + '.'
    )
    return Picture('memory_longest', (10, 11, 12, 13), caption, figure)


def _range(evidence: Evidence, matching: str) -> tuple[float, float]:
    """log₂ of half the shortest length and of the longest."""
    tried = [length for some in lengths_tried(evidence, matching).values() for length in some]
    return math.log2(min(tried) / 2), math.log2(max(tried))


def _mark(style: Any) -> dict[str, Any]:
    return {'color': style.color, 'marker': style.marker, 'markersize': 7, 'linestyle': 'none'}


def _plot_scores(evidence: Evidence) -> Picture:
    """What was scored at each length that was tried, as a share of what can be reached."""
    tasks = [task for task in PLOTTED if task in lengths_tried(evidence, 'parameters')]
    figure, panels = drawing.figure(len(tasks))
    guesser = synthetic.ADDING_BASELINE
    said = []
    for axes, task in zip(panels, tasks, strict=True):
        lines, (threshold, below) = {}, lengths.bar(evidence.thresholds, task)
        for family in FAMILIES:
            cells = evidence.select(what='solve', matching='parameters', task=task, family=family)
            lines[family] = {
                key['length']: [1 - s / guesser if below else s for s in value['scores']]
                for key, value in cells
                if not value.get('skipped')
            }
        tried = lengths_tried(evidence, 'parameters')[task]
        what = '1 − error / (1/6)' if below else 'share right'
        drawing.against(
            axes, lines, xscale='log', ylim=(-0.05, 1.08), ylabel=f'{TASKS[task]}: {what}'
        )
        drawing.threshold(axes, 1 - threshold / guesser if below else threshold, 'solved')
        _, value = evidence.select(
            what='solve', matching='parameters', task=task, family='transformer', length=tried[0]
        )[0]
        said.append(f'{TASKS[task]} {value["parameters"]:,}')
    ticks = sorted({t for task in tasks for t in lengths_tried(evidence, 'parameters')[task]})
    panels[-1].set_xticks(ticks, labels=[str(tick) for tick in ticks])
    panels[-1].minorticks_off()
    panels[-1].set_xlabel('length, tokens (of copy: delay)')
    guesses = [
        f'{task} {value["measured"]:.4f} where theory says {value["expected"]:.4f}'
        for key, value in evidence.select(what='guess')
        for task in [key['task']]
    ]
    caption = (
        f'Scores on unseen examples at equal parameters ({", ".join(said)}) after at most '
        f'{evidence.config["training"]["steps"]} steps; a family that failed with every seed is '
        f'not tried at longer ones. Who guesses has a loss of {" and of ".join(guesses)}.'
    )
    return Picture('memory_scores', (10, 11, 12, 13), caption, figure)


def _plot_influence(evidence: Evidence) -> Picture:
    """Influence against distance, a panel for each condition."""
    probe, limit = evidence.config['probe'], evidence.thresholds['influence']
    measured = {family: probed(evidence, family) for family in FAMILIES}
    conditions = list(measured['rnn'])
    figure, panels = drawing.figure(len(conditions))
    said = []
    for axes, condition in zip(panels, conditions, strict=True):
        curves = {family: np.asarray(measured[family][condition]) for family in FAMILIES}
        lines = {
            family: {d: rows[:, d].tolist() for d in range(rows.shape[1] - 1)}
            for family, rows in curves.items()
        }
        for family, points in lines.items():
            means = [np.mean(values) for values in points.values()]
            style = drawing.styles(FAMILIES)[family]
            shown = np.maximum(means, 1e-6)
            axes.plot(list(points), shown, color=style.color, linewidth=1.8)
            every = max(1, len(shown) // 8)
            axes.plot(list(points)[::every], shown[::every], **_mark(style))
        axes.set(yscale='log', ylabel=f'influence,\n{condition}')
        low, high = axes.get_ylim()
        low, high = min(low, limit / 2), max(high, 2.0)
        ticks = [tick for tick in drawing.round_numbers(low, high) if _is_power_of_ten(tick)]
        axes.set_ylim(low, high)
        axes.set_yticks(ticks, labels=[f'{tick:g}' for tick in ticks])
        axes.minorticks_off()
        drawing.threshold(axes, limit, 'faded')
        ends = [
            ((max(lines[f]), max(float(np.mean(lines[f][max(lines[f])])), 1e-6)),
             drawing.label(f), drawing.styles(FAMILIES)[f]) for f in FAMILIES
        ]  # fmt: skip
        drawing.label_ends(axes, ends)
        parts = [
            f'{drawing.label(family)} {np.mean(rows[:, probe["distance"]]):.2g} '
            f'({_half_life(rows)})'
            for family, rows in curves.items()
        ]
        said.append(f'{condition}: {", ".join(parts)}')
    panels[-1].set_xlabel('distance of the changed input, steps')
    caption = (
        f'How far the final vector moves when one input is another, as a share of what changing '
        f'the last input does; means over {evidence.config["seeds"]} seeds. At distance '
        f'{probe["distance"]}, with the half-life of an exponential fitted to each seed: '
        f'{"; ".join(said)}.'
    )
    return Picture('memory_influence', (9,), caption, figure)


def _is_power_of_ten(value: float) -> bool:
    return math.isclose(math.log10(value) % 1, 0, abs_tol=1e-9)


def _half_life(rows: np.ndarray) -> str:
    """Steps in which influence halves, from the mean of the seeds' rates."""
    distances = np.arange(1.0, rows.shape[1] - 1)
    rate = float(np.mean(fit_decay(distances, np.log(np.maximum(rows[:, 1:-1], FLOOR))).rate))
    halving = math.log(2) / -rate if rate < 0 else math.inf
    return f'halves in {halving:.2g} steps' if halving < 1000 else 'does not halve'


def _plot_published(evidence: Evidence) -> Picture:
    """Ours beside what was published, log scale."""
    figure, (axes,) = drawing.figure(1)
    drawn, names, said = drawing.styles(FAMILIES), [], []
    for key, value in evidence.select(what='published'):
        task, family = key['task'], key['family']
        theirs, kept = PUBLISHED[task][family], [v for v in value['figures'] if v == v]
        ours = float(np.mean(kept)) if kept else math.nan
        setting = ', '.join(f'{name} {number}' for name, number in value['setting'].items())
        unit = {'adding': 'squared error', 'copy': 'nats a token', 'recall': 'share right'}[task]
        one = evidence.config['published'][task]
        said.append(
            f'{drawing.label(family)} on {task} ({setting}; ours {one["hidden_size"]} wide, '
            f'{value["parameters"]:,} parameters, {value["steps"]} steps of {one["batch_size"]}, '
            f'{len(value["figures"])} seeds): {unit} {ours:.3g}, published {theirs:.3g}'
        )
        # Of what is right, the log scale shows the share that is wrong.
        shown = [1 - v if task == 'recall' else v for v in (*kept, theirs)]
        # 1.00 is a share rounded to two digits: up to 0.005 may be wrong.
        shown = [max(v, 0.005 if task == 'recall' else 1e-5) for v in shown]
        at, mark = len(names), _mark(drawn[family])
        axes.plot([at - 0.12] * len(kept), shown[:-1], **mark)
        axes.plot([at + 0.12], shown[-1:], **{**mark, 'markerfacecolor': 'white'})
        names.append(f'{task},\n{drawing.label(family)}')
    axes.set(yscale='log', ylabel='error (recall: share wrong)', xlim=(-0.6, len(names) - 0.4))
    axes.set_xticks(range(len(names)), labels=names)
    caption = (
        'Settings of papers: ours filled, one mark a seed, and the published figure hollow. '
        + '; '.join(said)
        + '. The widths, steps and rates are ours, not the papers’; a share wrong '
        'below 0.005 is drawn there.'
    )
    return Picture('memory_published', (10, 11, 12, 13), caption, figure)
