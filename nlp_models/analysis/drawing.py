"""How every plot here looks: one figure style, one colour a family, names at the ends of lines.

Matplotlib is imported only where a figure is made, through its object interface: no display and no
global state are needed, and importing this module is cheap. A family keeps its colour and marker in
every plot; the colours are those of Okabe and Ito ("Color Universal Design", 2008), which readers
with any kind of colour vision can tell apart, and the markers tell the rest.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from nlp_models.analysis.intervals import student_t

if TYPE_CHECKING:
    import matplotlib.axes
    import matplotlib.figure

KNOWN = ('rnn', 'lstm', 'gru', 'transformer')  # these keep their colours, whoever else is there
COLOURS = ('#0072B2', '#D55E00', '#009E73', '#CC79A7', '#E69F00', '#56B4E9', '#8C510A')
MARKERS = ('o', 's', '^', 'D', 'v', 'P', 'X', '<', '>')
INK, FAINT, FRAME = '#222222', '#DDDDDD', '#888888'
LINE = {'markersize': 6, 'linewidth': 1.8}
WIDTH, HEIGHT, FONT = 6.2, 3.7, 11  # inches, inches, points: readable on a phone


class Style(NamedTuple):
    """How one family is drawn."""

    color: str
    marker: str


def label(name: str) -> str:
    """Returns a family's name as it is written in text: short names are acronyms."""
    return 'n-gram' if name == 'ngram' else name.upper() if len(name) <= 4 else name


def is_number(value: Any) -> bool:
    """Returns whether a value was measured and is finite."""
    return isinstance(value, (int, float)) and math.isfinite(value)


def in_units(value: float, units: Iterable[tuple[float, str]]) -> str:
    """Returns a value in the largest of `units` (size, name; largest first) that it fills."""
    units = list(units)
    fills = [pair for pair in units if value >= pair[0] * 0.9995]  # 999.9 µs are written 1 ms
    size, unit = fills[0] if fills else units[-1]
    scaled = float(f'{value / size:.3g}')
    return f'{scaled:,.0f} {unit}' if scaled >= 100 else f'{scaled:.3g} {unit}'


def in_seconds(value: float) -> str:
    """Returns a time in s, ms or µs with three digits."""
    return in_units(value, ((1.0, 's'), (1e-3, 'ms'), (1e-6, 'µs')))


def in_bytes(value: float) -> str:
    """Returns a size in GB, MB, kB (powers of ten) or bytes with three digits."""
    return in_units(value, ((1e9, 'GB'), (1e6, 'MB'), (1e3, 'kB'), (1.0, 'B')))


def in_counts(value: float) -> str:
    """Returns a count as it stands on an axis: 500, 20k, 1M."""
    return in_units(value, ((1e9, 'G'), (1e6, 'M'), (1e3, 'k'), (1.0, ''))).replace(' ', '')


def styles(names: Iterable[str]) -> dict[str, Style]:
    """Returns each neural family's style: the known ones have their own, others the next ones."""
    ranks = list(KNOWN) + sorted(set(names) - set(KNOWN) - {'ngram'})
    return {
        name: Style(COLOURS[i % len(COLOURS)], MARKERS[i % len(MARKERS)])
        for i, name in enumerate(ranks)
    } | {'ngram': Style(INK, '*')}


def figure(rows: int, *, share: bool = True) -> tuple['matplotlib.figure.Figure', list]:
    """Returns a white figure of panels above one another that share their horizontal axis, or not.

    Args:
      rows: panels.
      share: one horizontal axis for all, below the last.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    height = HEIGHT * (1 + (0.75 if share else 1.0) * (rows - 1))
    figure = Figure(figsize=(WIDTH, height), facecolor='white')
    FigureCanvasAgg(figure)
    panels = figure.subplots(rows, 1, sharex=share, squeeze=False)[:, 0]
    figure.subplots_adjust(left=0.14, right=0.8, bottom=0.15, top=0.97, hspace=0.1)
    if not share:
        figure.subplots_adjust(bottom=0.15 / rows, hspace=0.3)
    for axes in panels:
        axes.spines[['top', 'right']].set_visible(False)
        axes.spines[['left', 'bottom']].set_color(FRAME)
        axes.tick_params(labelsize=FONT - 1, color=FRAME, labelcolor=INK)
        axes.xaxis.label.set(size=FONT, color=INK)
        axes.yaxis.label.set(size=FONT, color=INK)
        axes.grid(color=FAINT, linewidth=0.8)
        axes.set_axisbelow(True)
    return figure, list(panels)


def levels(axes: 'matplotlib.axes.Axes') -> None:
    """Writes round numbers beside a logarithmic vertical axis, whose limits stay."""
    low, high = axes.get_ylim()
    ticks = round_numbers(low, high)
    axes.set_yticks(ticks, [f'{tick:,g}' if tick < 1e6 else f'{tick:g}' for tick in ticks])
    axes.yaxis.minorticks_off()
    axes.set_ylim(low, high)


def spaced(lengths: Sequence[int]) -> list[int]:
    """Returns lengths to write below a logarithmic axis: those that leave each other room."""
    room = math.log(lengths[-1] / lengths[0]) / 8
    kept = [lengths[-1]]
    for length in reversed(lengths[:-1]):
        if math.log(kept[-1] / length) >= room:
            kept.append(length)
    return kept[::-1]


def round_numbers(low: float, high: float) -> list[float]:
    """Returns 1, 2, 5 times powers of ten between two values, or powers alone if too many."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for digits in ((1, 2, 5), (1, 3), (1,)):
        ticks = [float(f'{digit}e{power}') for power in powers for digit in digits]
        ticks = [tick for tick in ticks if low <= tick <= high]
        if len(ticks) <= 7:
            break
    return ticks


def label_ends(axes: 'matplotlib.axes.Axes', ends: Sequence[tuple[tuple, str, Style]]) -> None:
    """Writes each line's name right of the axes, near its last point, none over another."""
    if not ends:
        return
    to_axes = axes.transData + axes.transAxes.inverted()
    wanted = sorted((float(to_axes.transform(at)[1]), i) for i, (at, _, _) in enumerate(ends))
    height = axes.bbox.height / axes.figure.dpi
    heights = _apart([y for y, _ in wanted], gap=1.3 * FONT / 72 / height)
    for y, (_, i) in zip(heights, wanted, strict=True):
        at, text, (colour, marker) = ends[i]
        link = {'arrowstyle': '-', 'color': colour, 'linewidth': 0.8, 'linestyle': ':'}
        link |= {'shrinkA': 0, 'shrinkB': 4 if marker else 0}
        place = {'xycoords': 'data', 'textcoords': 'axes fraction', 'annotation_clip': False}
        axes.annotate('', at, (1.04, y), arrowprops=link, **place)
        beside: dict[str, Any] = {'transform': axes.transAxes, 'clip_on': False}
        axes.plot([1.04], [y], marker, color=colour, markersize=6, **beside)
        written = {'va': 'center_baseline', 'size': FONT, 'color': INK, 'parse_math': False}
        axes.text(1.065, y, text, **beside, **written)


def _apart(heights: Sequence[float], gap: float) -> list[float]:
    """Moves ascending heights about as little as it takes for each to be `gap` from the next."""
    heights = list(heights)
    low, high = (0.0, 1.0) if gap * (len(heights) - 1) < 1 else (-math.inf, math.inf)
    for _ in range(500):
        for i in range(len(heights) - 1):
            overlap = max(0.0, gap - (heights[i + 1] - heights[i]))
            heights[i] -= overlap / 2
            heights[i + 1] += overlap / 2
        heights = [min(max(height, low), high) for height in heights]
    return heights


def say_nothing_measured(axes: 'matplotlib.axes.Axes') -> None:
    """Writes that there is nothing to draw."""
    axes.text(0.5, 0.5, 'not measured', transform=axes.transAxes, ha='center', size=FONT, color=INK)


def against(
    axes: 'matplotlib.axes.Axes',
    lines: Mapping[str, Mapping[Any, Sequence[Any]]],
    *,
    names: Mapping[str, str] | None = None,
    dashed: Sequence[str] = (),
    **options: Any,
) -> None:
    """Draws means over seeds with their 95 % intervals shaded, each line's name at its end.

    Args:
      axes: where.
      lines: of each line, place on the horizontal axis to one value a seed; what is not finite is
        left out.
      names: what to write at a line's end, where it is not `label` of the line.
      dashed: lines that are dashed.
      **options: of `axes.set`, such as `xscale`, `xlabel`, `ylabel`, `ylim`.
    """
    drawn, ends = styles(lines), []
    axes.set(**options)
    for name, points in lines.items():
        kept = {x: [v for v in values if is_number(v)] for x, values in sorted(points.items())}
        kept = {x: student_t(values) for x, values in kept.items() if values}
        if not kept:
            continue
        means = [interval.mean for interval in kept.values()]
        dashes: dict[str, Any] = {'linestyle': '--' if name in dashed else '-'}
        axes.plot(list(kept), means, **drawn[name]._asdict(), **LINE, **dashes)
        sure = {x: i for x, i in kept.items() if math.isfinite(i.low)}
        low, high = [i.low for i in sure.values()], [i.high for i in sure.values()]
        axes.fill_between(list(sure), low, high, color=drawn[name].color, alpha=0.18, linewidth=0)
        ends.append(
            ((list(kept)[-1], means[-1]), (names or {}).get(name, label(name)), drawn[name])
        )
    if not ends:
        return say_nothing_measured(axes)
    axes.autoscale_view()
    label_ends(axes, ends)


def threshold(axes: 'matplotlib.axes.Axes', value: float, text: str) -> None:
    """Draws a horizontal line that means something, with what it means above its left end."""
    axes.axhline(value, color=INK, linestyle=':', linewidth=1.2)
    place = axes.get_yaxis_transform()
    axes.text(0.01, value, text, transform=place, va='bottom', size=FONT - 2, color=INK)


def dots(axes: 'matplotlib.axes.Axes', rows: Mapping[str, Sequence[float]], **options: Any) -> None:
    """Draws one row for each name, from above: its seeds faint, their mean and 95 % interval.

    Args:
      axes: where, alone in its figure: the left margin is made wide enough for the names.
      rows: name to one value a seed; what is not finite is left out.
      **options: of `axes.set`, such as `xlabel`, `xlim`.
    """
    axes.set(**options)
    shown = list(rows.items())[::-1]
    for place, (_, values) in enumerate(shown):
        kept = [v for v in values if is_number(v)]
        if not kept:
            continue
        interval = student_t(kept)
        axes.plot(kept, [place] * len(kept), 'o', color=COLOURS[0], alpha=0.3, markersize=5)
        if math.isfinite(interval.low):
            axes.plot([interval.low, interval.high], [place] * 2, color=COLOURS[0], linewidth=1.8)
        axes.plot([interval.mean], [place], 'D', color=COLOURS[1], markersize=7)
    axes.set_yticks(range(len(shown)), labels=[name for name, _ in shown])
    axes.set_ylim(-0.6, len(shown) - 0.4)
    widest = max((len(name) for name in rows), default=0)
    axes.figure.subplots_adjust(left=min(0.55, 0.05 + 0.0145 * widest), right=0.97)
