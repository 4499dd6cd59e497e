"""The win map as a picture: who is the fastest at each length and width, and by how much."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from nlp_models.analysis.drawing import in_counts, in_seconds

# Okabe & Ito's colours, light enough for black letters, and the names as they are written.
STYLES = {
    'scan': ('#56B4E9', 'scan (GRU)'),
    'newton': ('#E69F00', 'Newton (GRU)'),
    'quasi_newton': ('#F0E442', 'quasi-Newton (GRU)'),
    'min_scan': ('#9FC5E8', 'scan (minGRU)'),
    'associative': ('#35B88F', 'associative (minGRU)'),
    'attention': ('#DDA0C4', 'attention'),
}
INK, EMPTY = '#222222', '#EEEEEE'


def write(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Write the picture of the win map.

    Args:
      rows: the `win_map` of the results.
      path: the PNG.
    """
    draw(rows).savefig(path, dpi=160, bbox_inches='tight', pad_inches=0.12)


def draw(rows: Sequence[dict[str, Any]]) -> Figure:
    """Draw the map: above, the fastest; below, how much slower each of the others is.

    Args:
      rows: the `win_map` of the results.

    Returns:
      The figure: first the axes of the map, then one for each strategy.
    """
    points = {(row['shape']['D'], row['shape']['T']): row for row in rows if row.get('fastest')}
    widths, lengths = sorted({w for w, _ in points}), sorted({t for _, t in points})
    figure = Figure(figsize=(10, 1.6 + 0.62 * len(widths) + 2.9), facecolor='white')
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(
        2, len(STYLES), height_ratios=(0.62 * len(widths) + 0.6, 2.3), hspace=0.28, wspace=0.12
    )
    main = figure.add_subplot(grid[0, :])
    _axes(main, widths, lengths, 11.0)
    for (width, length), row in points.items():
        at = lengths.index(length), widths.index(width)
        colour, _ = STYLES[row['fastest']]
        main.add_patch(Rectangle((at[0] - 0.5, at[1] - 0.5), 1, 1, facecolor=colour, edgecolor='w'))
        by = f'{row["ratio"]:.1f}× faster' if row['ratio'] else 'alone'
        text = f'{by}\n{in_seconds(row["seconds_per_token"])} a token'
        main.text(*at, text, ha='center', va='center', size=8.5, color=INK)
    main.set_title(
        'Fastest at forward and backward pass of one sequence, and its lead over the second',
        size=11,
        color=INK,
        pad=28,
    )
    main.set(xlabel='length, tokens', ylabel='width')
    won = {row['fastest'] for row in points.values()}
    handles = [
        Rectangle((0, 0), 1, 1, facecolor=colour, label=name)
        for strategy, (colour, name) in STYLES.items()
        if strategy in won
    ]
    main.legend(
        handles=handles,
        loc='lower center',
        bbox_to_anchor=(0.5, 1.0),
        ncols=len(handles),
        frameon=False,
        fontsize=9.5,
    )
    for index, (strategy, (_, name)) in enumerate(STYLES.items()):
        panel = figure.add_subplot(grid[1, index])
        _axes(panel, widths, lengths, 6.5)
        if index > 0:
            panel.set_yticks([])
        _slowdown(panel, strategy, points, widths, lengths)
        panel.set_title(name, size=8.5, color=INK)
    figure.text(
        0.5,
        0.045,
        'Below: times slower than the fastest at each point; ✕ is more than the limit of memory '
        'or time',
        ha='center',
        size=9,
        color=INK,
    )
    return figure


def _axes(axes: Axes, widths: Sequence[int], lengths: Sequence[int], size: float) -> None:
    """Categories on both axes."""
    axes.set_xlim(-0.5, len(lengths) - 0.5)
    axes.set_ylim(-0.5, len(widths) - 0.5)
    axes.set_xticks(range(len(lengths)), [f'{n:,}' for n in lengths], size=size)
    axes.set_yticks(range(len(widths)), [str(n) for n in widths], size=size)
    axes.tick_params(length=0, labelcolor=INK)
    axes.spines[:].set_visible(False)
    axes.set_facecolor(EMPTY)


def _slowdown(
    axes: Axes,
    strategy: str,
    points: dict[tuple[int, int], dict[str, Any]],
    widths: Sequence[int],
    lengths: Sequence[int],
) -> None:
    """How many times the fastest's time a strategy takes: darker is slower."""
    for (width, length), row in points.items():
        at = lengths.index(length), widths.index(width)
        seconds = row['seconds'][strategy]
        if seconds is None:
            axes.text(*at, '✕', ha='center', va='center', size=7, color=INK)
            continue
        times = seconds / row['seconds'][row['fastest']]
        shade = min(math.log10(times) / 3, 1.0)  # 1: white; 1000 and more: the darkest
        grey = 1 - 0.6 * shade
        box = Rectangle((at[0] - 0.5, at[1] - 0.5), 1, 1, facecolor=(1, grey, grey), edgecolor='w')
        axes.add_patch(box)
        text = (
            '1'
            if times == 1
            else f'{times:.1f}'
            if times < 9.95
            else in_counts(float(f'{times:.2g}'))
        )
        axes.text(*at, text, ha='center', va='center', size=6.5, color=INK)
