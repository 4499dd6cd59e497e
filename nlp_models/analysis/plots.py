"""Three plots of a comparison of language models, from the dict that it wrote to `results.json`.

How they look is in `drawing`.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlp_models.analysis import drawing
from nlp_models.analysis.drawing import (
    INK,
    LINE,
    Style,
    in_bytes,
    in_counts,
    in_seconds,
    is_number,
    label,
    styles,
)

if TYPE_CHECKING:
    import matplotlib.axes
    import matplotlib.figure

Results = Mapping[str, Any]

DOTS_PER_INCH = 220


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


def throughput(results: Results) -> 'matplotlib.figure.Figure':
    """Draws tokens per second of training against the sequence length, both logarithmic."""
    figure, (axes,) = drawing.figure(1)
    lines = series(results, 'training', 'tokens_per_second')
    _against_length(axes, results, lines, in_counts)
    axes.set(ylabel='training, tokens per second', xlabel='sequence length, tokens')
    return figure


def decoding(results: Results) -> 'matplotlib.figure.Figure':
    """Draws the time and the state that one more token costs against the length of the text."""
    figure, (above, below) = drawing.figure(2)
    lines = series(results, 'decoding', 'seconds_per_token')
    _against_length(above, results, lines, in_seconds)
    above.set_ylabel('decoding, time per token')
    _against_length(below, results, series(results, 'decoding', 'state_bytes'), in_bytes)
    below.set(ylabel='state carried, bytes', xlabel='length of the text, tokens')
    return figure


def learning(results: Results) -> 'matplotlib.figure.Figure':
    """Draws bits per character against seconds of training, n-grams as horizontal lines."""
    figure, (axes,) = drawing.figure(1)
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
    drawing.label_ends(axes, ends)
    if not lines:
        drawing.say_nothing_measured(axes)
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


def _against_length(
    axes: 'matplotlib.axes.Axes', results: Results, lines: Mapping, write: Callable[[float], str]
) -> None:
    """Draws one line a family on logarithmic axes, with plain numbers for ticks."""
    if not lines:
        axes.tick_params(labelbottom=False, labelleft=False)
        return drawing.say_nothing_measured(axes)
    drawn = styles(results['families'])
    for name, points in lines.items():
        axes.plot(list(points), list(points.values()), **drawn[name]._asdict(), **LINE)
    lengths = sorted({length for points in lines.values() for length in points})
    values = [value for points in lines.values() for value in points.values()]
    axes.set(xscale='log', yscale='log', xlim=(lengths[0] / 1.25, lengths[-1] * 1.25))
    axes.set_xticks(ticks := drawing.spaced(lengths), labels=[f'{tick:,}' for tick in ticks])
    low, high = min(values) / 1.3, max(values) * 1.3
    if high < low * 8:  # what hardly changes should look so, and two ticks should fit
        middle = math.sqrt(low * high)
        low, high = middle / math.sqrt(8), middle * math.sqrt(8)
    axes.set_ylim(low, high)
    axes.set_yticks(
        ticks := drawing.round_numbers(low, high), labels=[write(tick) for tick in ticks]
    )
    axes.minorticks_off()
    ends = [(list(points.items())[-1], label(name), drawn[name]) for name, points in lines.items()]
    drawing.label_ends(axes, ends)


def _limit_bits(axes: 'matplotlib.axes.Axes', lines: Mapping, levels: Sequence[float]) -> None:
    """Leaves the first moments of training out of the picture where they would flatten the rest."""
    ends = [points[-1][1] for points in lines.values()] + list(levels)
    every = [bits for points in lines.values() for _, bits in points] + list(levels)
    if ends:
        low, high = min(every), max(every)
        span = max(max(ends) - low, 0.1)
        axes.set_ylim(low - 0.1 * span, min(high, max(ends) + 0.3 * span) + 0.1 * span)
