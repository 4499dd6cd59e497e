"""Three plots of a comparison of language models, from the dict that it wrote to `results.json`.

Matplotlib is imported only where a figure is made, through its object interface: no display and no
global state are needed, and importing this module is cheap. A family keeps its colour and marker in
every plot; the colours are those of Okabe and Ito ("Color Universal Design", 2008), which readers
with any kind of colour vision can tell apart, and the markers tell the rest.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import matplotlib.axes
    import matplotlib.figure

Results = Mapping[str, Any]

KNOWN = ('rnn', 'lstm', 'gru', 'transformer')  # these keep their colours, whoever else is there
COLOURS = ('#0072B2', '#D55E00', '#009E73', '#CC79A7', '#E69F00', '#56B4E9', '#8C510A')
MARKERS = ('o', 's', '^', 'D', 'v', 'P', 'X', '<', '>')
INK, FAINT, FRAME = '#222222', '#DDDDDD', '#888888'
LINE = {'markersize': 6, 'linewidth': 1.8}
WIDTH, HEIGHT, FONT = 6.2, 3.7, 11  # inches, inches, points: readable on a phone
DOTS_PER_INCH = 220


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


def series(results: Results, study: str, field: str) -> dict[str, dict[int, float]]:
    """Reads one measurement against length.

    Args:
      results: what the comparison wrote.
      study: `'training'` or `'decoding'`.
      field: the number wanted of each row, such as `'tokens_per_second'`.

    Returns:
      For each family that has any, in the results' order: length in tokens to value, by ascending
      length. What is missing, not finite or not positive counts as not measured.
    """
    found = {}
    for name, family in results['families'].items():
        rows = sorted(family.get(study) or [], key=lambda row: row['length'])
        points = {row['length']: row.get(field) for row in rows}
        points = {at: float(y) for at, y in points.items() if is_number(y) and y > 0}
        if points:
            found[name] = points
    return found


def curves(results: Results) -> dict[str, list[tuple[float, float]]]:
    """Returns each family's (seconds, bits per character) while it trained, in order of time."""
    found = {}
    for name, family in results['families'].items():
        points = [(row['seconds'], row['valid_bits_per_char']) for row in family.get('curve') or []]
        if points := sorted((float(x), float(y)) for x, y in points if is_number(y)):
            found[name] = points
    return found


def best_ngram(results: Results) -> tuple[str, float] | None:
    """Returns the best n-gram's name and bits per character."""
    best = results['families'].get('ngram', {})
    bits, order = best.get('valid_bits_per_char'), best.get('order')
    return (f'{order}-gram' if order else 'n-gram', float(bits)) if is_number(bits) else None


def unigram(results: Results) -> float | None:
    """Returns the bits per character of the n-gram of order 1."""
    bits = [row['valid_bits_per_char'] for row in results['ngram_orders'] if row['order'] == 1]
    return float(bits[0]) if bits and is_number(bits[0]) else None


def styles(names: Iterable[str]) -> dict[str, Style]:
    """Returns each neural family's style: the known ones have their own, others the next ones."""
    ranks = list(KNOWN) + sorted(set(names) - set(KNOWN) - {'ngram'})
    return {
        name: Style(COLOURS[i % len(COLOURS)], MARKERS[i % len(MARKERS)])
        for i, name in enumerate(ranks)
    } | {'ngram': Style(INK, '*')}


def throughput(results: Results) -> 'matplotlib.figure.Figure':
    """Draws tokens per second of training against the sequence length, both logarithmic."""
    figure, (axes,) = _figure(1)
    lines = series(results, 'training', 'tokens_per_second')
    _against_length(axes, results, lines, in_counts)
    axes.set(ylabel='training, tokens per second', xlabel='sequence length, tokens')
    return figure


def decoding(results: Results) -> 'matplotlib.figure.Figure':
    """Draws the time and the state that one more token costs against the length of the text."""
    figure, (above, below) = _figure(2)
    lines = series(results, 'decoding', 'seconds_per_token')
    _against_length(above, results, lines, in_seconds)
    above.set_ylabel('decoding, time per token')
    _against_length(below, results, series(results, 'decoding', 'state_bytes'), in_bytes)
    below.set(ylabel='state carried, bytes', xlabel='length of the text, tokens')
    return figure


def learning(results: Results) -> 'matplotlib.figure.Figure':
    """Draws bits per character against seconds of training, n-grams as horizontal lines."""
    figure, (axes,) = _figure(1)
    lines, drawn, ends = curves(results), styles(results['families']), []
    for name, points in lines.items():
        seconds, bits = zip(*points, strict=True)
        axes.plot(seconds, bits, **drawn[name]._asdict(), **LINE)
        ends.append((points[-1], label(name), drawn[name]))
    last = max((points[-1][0] for points in lines.values()), default=1.0) or 1.0
    levels = [best_ngram(results) or ('', None), ('unigram', unigram(results))]
    for (name, bits), dashes in zip(levels, ('--', ':'), strict=True):
        if bits is not None and name != '1-gram':  # a best n-gram of order 1 is the unigram's line
            axes.axhline(bits, color=INK, linestyle=dashes, linewidth=1.3)
            ends.append(((last * 1.03, bits), name, Style(INK, '')))
    axes.set_xlim(0, last * 1.03)
    _limit_bits(axes, lines, [bits for _, bits in levels if bits is not None])
    axes.set(ylabel='validation, bits per character', xlabel='training, seconds')
    _label_ends(axes, ends)
    if not lines:
        _say_nothing_measured(axes)
    return figure


def write_plots(results: Results, folder: str | Path) -> dict[str, Path]:
    """Writes `throughput.png`, `decoding.png` and `learning.png`.

    Args:
      results: what the comparison wrote.
      folder: where to; made if it is not there.

    Returns:
      Each plot's name (without its ending) and the file.
    """
    Path(folder).mkdir(parents=True, exist_ok=True)
    files = {}
    for plot in (learning, throughput, decoding):
        files[plot.__name__] = Path(folder) / f'{plot.__name__}.png'
        tight: dict[str, Any] = {'bbox_inches': 'tight', 'pad_inches': 0.12}
        plot(results).savefig(files[plot.__name__], dpi=DOTS_PER_INCH, **tight)
    return files


def _figure(rows: int) -> tuple['matplotlib.figure.Figure', list]:
    """Returns a white figure of panels above one another that share their horizontal axis."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, HEIGHT * (1 + 0.75 * (rows - 1))), facecolor='white')
    FigureCanvasAgg(figure)
    panels = figure.subplots(rows, 1, sharex=True, squeeze=False)[:, 0]
    figure.subplots_adjust(left=0.14, right=0.8, bottom=0.15, top=0.97, hspace=0.1)
    for axes in panels:
        axes.spines[['top', 'right']].set_visible(False)
        axes.spines[['left', 'bottom']].set_color(FRAME)
        axes.tick_params(labelsize=FONT - 1, color=FRAME, labelcolor=INK)
        axes.xaxis.label.set(size=FONT, color=INK)
        axes.yaxis.label.set(size=FONT, color=INK)
        axes.grid(color=FAINT, linewidth=0.8)
        axes.set_axisbelow(True)
    return figure, list(panels)


def _against_length(
    axes: 'matplotlib.axes.Axes', results: Results, lines: Mapping, write: Callable[[float], str]
) -> None:
    """Draws one line a family on logarithmic axes, with plain numbers for ticks."""
    if not lines:
        axes.tick_params(labelbottom=False, labelleft=False)
        return _say_nothing_measured(axes)
    drawn = styles(results['families'])
    for name, points in lines.items():
        axes.plot(list(points), list(points.values()), **drawn[name]._asdict(), **LINE)
    lengths = sorted({length for points in lines.values() for length in points})
    values = [value for points in lines.values() for value in points.values()]
    axes.set(xscale='log', yscale='log', xlim=(lengths[0] / 1.25, lengths[-1] * 1.25))
    axes.set_xticks(ticks := _spaced(lengths), labels=[f'{tick:,}' for tick in ticks])
    low, high = min(values) / 1.3, max(values) * 1.3
    if high < low * 8:  # what hardly changes should look so, and two ticks should fit
        middle = math.sqrt(low * high)
        low, high = middle / math.sqrt(8), middle * math.sqrt(8)
    axes.set_ylim(low, high)
    axes.set_yticks(ticks := _round_numbers(low, high), labels=[write(tick) for tick in ticks])
    axes.minorticks_off()
    ends = [(list(points.items())[-1], label(name), drawn[name]) for name, points in lines.items()]
    _label_ends(axes, ends)


def _spaced(lengths: Sequence[int]) -> list[int]:
    """Returns lengths to write below a logarithmic axis: those that leave each other room."""
    room = math.log(lengths[-1] / lengths[0]) / 8
    kept = [lengths[-1]]
    for length in reversed(lengths[:-1]):
        if math.log(kept[-1] / length) >= room:
            kept.append(length)
    return kept[::-1]


def _round_numbers(low: float, high: float) -> list[float]:
    """Returns 1, 2, 5 times powers of ten between two values, or powers alone if too many."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for digits in ((1, 2, 5), (1, 3), (1,)):
        ticks = [float(f'{digit}e{power}') for power in powers for digit in digits]
        ticks = [tick for tick in ticks if low <= tick <= high]
        if len(ticks) <= 7:
            break
    return ticks


def _limit_bits(axes: 'matplotlib.axes.Axes', lines: Mapping, levels: Sequence[float]) -> None:
    """Leaves the first moments of training out of the picture where they would flatten the rest."""
    ends = [points[-1][1] for points in lines.values()] + list(levels)
    every = [bits for points in lines.values() for _, bits in points] + list(levels)
    if ends:
        low, high = min(every), max(every)
        span = max(max(ends) - low, 0.1)
        axes.set_ylim(low - 0.1 * span, min(high, max(ends) + 0.3 * span) + 0.1 * span)


def _label_ends(axes: 'matplotlib.axes.Axes', ends: Sequence[tuple[tuple, str, Style]]) -> None:
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


def _say_nothing_measured(axes: 'matplotlib.axes.Axes') -> None:
    axes.text(0.5, 0.5, 'not measured', transform=axes.transAxes, ha='center', size=FONT, color=INK)
