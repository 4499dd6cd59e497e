"""The pictures of `complexity`: times an RNN's, and growth with T and with n and h."""

import math
import statistics
from collections.abc import Callable
from typing import Any

from experiments.studies.complexity_sweeps import SIZE, Sweep, sizes_of, sweeps
from nlp_models.analysis import drawing
from nlp_models.analysis.study import Evidence, Picture

GATED = ('lstm', 'gru')
FAMILIES = ('rnn', *GATED)
# Of what grows: its label, and its numbers of a cell and family, one a repetition.
GROWING: dict[str, tuple[str, Callable[[Any, str], list[float]]]] = {
    'clock': ('ms, forward\nand backward', lambda v, n: [1e3 * s for s in v['both'][n]]),
    'operations': ('all operations,\nMFLOP', lambda v, n: [1e-6 * v[n]['compiled']]),
    'memory': ('kept for\nbackward, MB', lambda v, n: [1e-6 * v[n]['kept_in_all']]),
}


def with_article(name: str) -> str:
    """A cell as it is written in a sentence."""
    return f'a{"" if name == "gru" else "n"} {name.upper()}'


def times_rnn(seconds: dict[str, list[float]], name: str) -> list[float]:
    """Times an RNN's seconds, by repetition."""
    return [mine / rnn for mine, rnn in zip(seconds[name], seconds['rnn'], strict=True)]


def plot(evidence: Evidence) -> list[Picture]:
    """Of proportions, and of growth with T and with n and h; what there is."""
    found = [_plot_clock(evidence), _plot_proportions(evidence)]
    # Programs whose steps are written out are no longer than a few steps.
    for axis, name, kinds in (
        ('T', 'length', ('clock', 'memory')),
        (SIZE, 'size', ('clock', 'operations', 'memory')),
    ):
        by = {
            what: sweep for what in kinds for sweep in sweeps(evidence, what) if sweep.axis == axis
        }
        found.append(_growth(by, f'complexity_{name}'))
    return [picture for picture in found if picture is not None]


def _plot_clock(evidence: Evidence) -> Picture | None:
    """Ratios against h, of the shapes timed with one T and n = h."""
    cells = [(k, v) for k, v in evidence.select(what='clock') if k['input'] == k['hidden']]
    if not cells:
        return None
    length = cells[0][0]['length']
    cells = [(key, value) for key, value in cells if key['length'] == length]
    passes = {'both': 'forward, backward', 'forward': 'forward'}
    figure, panels = drawing.figure(len(passes))
    said = []
    for axes, (name, text) in zip(panels, passes.items(), strict=True):
        lines = {
            gated: {key['hidden']: times_rnn(value[name], gated) for key, value in cells}
            for gated in GATED
        }
        means = [sum(row) / len(row) for line in lines.values() for row in line.values()]
        top = 1.15 * max(evidence.thresholds['lstm'], *means)
        label = f'time over RNN\n{text}'
        drawing.against(axes, lines, xscale='log', ylabel=label, ylim=(0, top))
        axes.set_xticks([key['hidden'] for key, _ in cells], [str(k['hidden']) for k, _ in cells])
        axes.minorticks_off()
        for gated in GATED:
            target = evidence.thresholds[gated]
            drawing.threshold(axes, target, f'{target:g}, as parameters: {gated.upper()}')
        if name == 'both':
            said = [
                f'{with_article(gated)} takes '
                + ' and '.join(
                    f'{sum(row) / len(row):.2g} times at h = {h}'
                    for h, row in sorted(lines[gated].items())[:: max(1, len(cells) - 1)]
                )
                for gated in GATED
            ]
    panels[-1].set_xlabel(f'state size h = input size n (T = {length})')
    uneven = [
        f'{statistics.fmean(times_rnn(value["both"], "lstm")):.2g} and '
        f'{statistics.fmean(times_rnn(value["both"], "gru")):.2g} times at {sizes_of(key)}'
        for key, value in evidence.select(what='clock')
        if key['input'] != key['hidden']
    ]
    caption = (
        f'Seconds over those of an RNN on {cells[0][1]["where"]}, means over repetitions with 95 % '
        f'intervals. Of a forward and backward pass {"; ".join(said)}.'
    )
    if uneven:
        caption += f' With n far from h an LSTM and a GRU take {"; ".join(uneven)}.'
    return Picture('complexity_clock', (17,), caption, figure)


def _plot_proportions(evidence: Evidence) -> Picture:
    """Ratios by kind, at the largest sizes of each."""
    memory_key, memory = max(evidence.select(what='memory'), key=_largest)
    counted_key, counted = max(evidence.select(what='operations'), key=_largest)
    kinds = {
        'state carried': [memory[name]['state'] for name in FAMILIES],
        'planned bytes': [memory[name]['planned'] or math.nan for name in FAMILIES],
        'kept for backward': [memory[name]['kept'] for name in FAMILIES],
        'all operations': [counted[name]['compiled'] for name in FAMILIES],
        'products': [counted[name]['formula'] for name in FAMILIES],
        'parameters': [memory[name]['parameters'] for name in FAMILIES],
    }
    figure, (axes,) = drawing.figure(1)
    figure.subplots_adjust(left=0.27, right=0.88)
    known = drawing.styles(FAMILIES)
    said = []
    for row, (text, (rnn, *others)) in enumerate(kinds.items()):
        for name, value in zip(GATED, others, strict=True):
            style, ratio = known[name], value / rnn
            axes.plot([ratio], [row], style.marker, color=style.color, markersize=9)
        lstm, gru = (value / rnn for value in others)
        said.insert(0, f'{text} {lstm:.2f} and {gru:.2f}')
    for name in GATED:
        target = evidence.thresholds[name]
        axes.axvline(target, color=known[name].color, linestyle=':', linewidth=1.4)
        axes.text(target, len(kinds) - 0.4, name.upper(), ha='center', size=drawing.FONT)
    axes.set_yticks(range(len(kinds)), list(kinds))
    axes.set(xlim=(0, 5), ylim=(-0.5, len(kinds) - 0.5), xlabel='times as much as an RNN')
    caption = (
        'An LSTM and a GRU over an RNN: '
        + ', '.join(said)
        + f'. Operations at {sizes_of(counted_key)}, memory at {sizes_of(memory_key)}.'
    )
    return Picture('complexity_proportions', (16, 17, 18), caption, figure)


def _largest(cell: tuple[dict, Any]) -> tuple[int, int]:
    return cell[0]['hidden'], cell[0]['input']


def _growth(by: dict[str, Sweep], name: str) -> Picture | None:
    """A panel of each kind, with a line of slope 1 through an RNN's last point."""
    kinds = {what: kind for what, kind in GROWING.items() if what in by}
    if not kinds:
        return None
    figure, panels = drawing.figure(len(kinds))
    said, axis = [], next(iter(by.values())).axis
    places = sorted({place for what in kinds for place, _ in by[what].points})
    for axes, (what, (label, read)) in zip(panels, kinds.items(), strict=True):
        sweep = by[what]
        lines = {
            family: {place: read(value, family) for place, value in sweep.points}
            for family in FAMILIES
        }
        drawing.against(axes, lines, xscale='log', yscale='log', ylabel=label)
        first, last = sweep.points[0][0], sweep.points[-1][0]
        end = statistics.fmean(lines['rnn'][last])
        style: dict[str, Any] = dict(color=drawing.INK, linestyle=':', linewidth=1.2)
        axes.plot([first, last], [end * first / last, end], **style)
        drawing.levels(axes)
        slopes = [
            statistics.fmean(sweep.exponents([line[place] for place, _ in sweep.points]))
            for line in lines.values()
        ]
        told = ', '.join(f'{f.upper()} {s:.2f}' for f, s in zip(FAMILIES, slopes, strict=True))
        where = f' on {sweep.points[0][1]["where"]}' if what == 'clock' else ''
        said.append(f'{" ".join(label.split())}{where} at {sweep.held}: {told}')
    shown = drawing.spaced(places)
    panels[-1].set_xticks(shown, [drawing.in_counts(float(place)) for place in shown])
    panels[-1].minorticks_off()
    panels[-1].set_xlabel('T (steps)' if axis == 'T' else SIZE)
    caption = (
        f'Growth with {axis}; dotted is in proportion. Exponents of {axis} in '
        + '; '.join(said)
        + '.'
    )
    if axis == SIZE:
        caption += ' Shapes with n far from h are among the points.'
    claims = (17, 18) if 'memory' in kinds else (17,)
    return Picture(name, claims, caption, figure)
