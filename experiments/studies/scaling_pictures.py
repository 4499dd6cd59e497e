"""The picture of the study of scaling: loss against compute, and against parameters."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nlp_models.analysis import drawing, scaling
from nlp_models.analysis.drawing import in_counts
from nlp_models.analysis.intervals import student_t
from nlp_models.analysis.study import Evidence, Picture

if TYPE_CHECKING:
    import matplotlib.axes
    import matplotlib.figure

Curves = Mapping[str, Sequence[scaling.Curve]]  # of each family
Points = Mapping[str, Mapping[float, np.ndarray]]  # of each family, amount to losses [seeds]


def draw(evidence: Evidence, curves: Curves, frontiers: Points, sizes: Points) -> Picture:
    """Both families' losses against compute above, against parameters below.

    Args:
      evidence: the study's.
      curves: of training, of all sizes and learning rates.
      frontiers: the best training losses at each budget.
      sizes: the validation losses at each number of parameters.

    Returns:
      The picture; its caption has the exponents with their intervals.
    """
    figure, (upper, lower) = drawing.figure(2, share=False)
    whole = {
        family: [c for c in own if np.isfinite(c.losses).all()] for family, own in curves.items()
    }
    for family, own in whole.items():
        colour = drawing.styles(curves)[family].color
        for curve in own:
            upper.plot(curve.flops, curve.losses.mean(axis=0), color=colour, alpha=0.25)
    _losses(upper, frontiers, 'training compute, FLOP', 'training loss, nats a byte')
    _losses(lower, sizes, 'parameters', 'held-out loss, nats a byte')
    # Those of one family: the other's are about the same.
    ticks = drawing.spaced(sorted(round(n) for n in sizes['transformer']))
    lower.set_xticks(ticks, labels=[in_counts(float(tick)) for tick in ticks])
    lower.minorticks_off()
    return Picture('scaling', (0,), _caption(evidence, curves, whole, frontiers, sizes), figure)


def _losses(axes: 'matplotlib.axes.Axes', points: Points, xlabel: str, ylabel: str) -> None:
    """One panel, both axes logarithmic, with the laws dotted."""
    lines = {
        family: {x: losses.tolist() for x, losses in own.items()} for family, own in points.items()
    }
    known = [v for own in points.values() for losses in own.values() for v in losses]
    known = [v for v in known if np.isfinite(v)]
    scales: dict[str, Any] = dict(xscale='log', yscale='log') if known else {}
    if known:  # before the names are put at the ends of the lines, which the limits move
        axes.set(**scales)
        axes.set_ylim(min(known) / 1.05, max(known) * 1.1)
    drawing.against(axes, lines, xlabel=xlabel, ylabel=ylabel, **scales)
    if not known:
        return
    for family, own in points.items():
        laws, colour = scaling.laws(own), drawing.styles(points)[family].color
        fits = [law.scale * np.asarray(list(own)) ** law.exponent for law in laws]
        if np.isfinite(fits).all():
            # The mean of the logarithms: a line of the mean exponent.
            fit = np.exp(np.mean(np.log(fits), axis=0))
            axes.plot(list(own), fit, color=colour, linestyle=':', linewidth=1.2)
    low, high = axes.get_ylim()
    ticks = _ticks(low, high)
    axes.set_yticks(ticks, labels=[f'{tick:g}' for tick in ticks])
    axes.minorticks_off()


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers between two values, at least three unless the values are very close."""
    ticks = []
    for step in (1.0, 0.5, 0.2, 0.1, 0.05, 0.02):
        ticks = [step * i for i in range(math.ceil(low / step), math.floor(high / step) + 1)]
        if len(ticks) >= 3:
            break
    return ticks


def _caption(
    evidence: Evidence, curves: Curves, whole: Curves, frontiers: Points, sizes: Points
) -> str:
    config = evidence.config
    value = evidence.select()[0][1]
    tokens = float(config['steps'] * config['batch_size'] * config['sequence_length'])
    amounts = [n for points in sizes.values() for n in points]
    number = sum(map(len, curves.values()))
    lost = number - sum(map(len, whole.values()))
    told = '; they are not drawn, and a marker that rests on one is the mean of its other seeds.'
    return (
        f'Above: the best training loss for each compute budget (markers), the curves of all sizes '
        f'and rates (faint) and the power laws (dotted), {in_counts(min(amounts))} to '
        f'{in_counts(max(amounts))} parameters; a run reads {in_counts(tokens)} tokens, which is '
        f'{tokens / value["train_tokens"]:.2g} times the training text. '
        f'{_exponents(frontiers)} {_ends(frontiers, "FLOP")} '
        f'Below: loss on held-out text (validation) after all {config["steps"]} steps, each size '
        f'at its best learning rate. {_exponents(sizes)} {_ends(sizes, "parameters")} '
        f'{lost or "None"} of {number} curves diverged in some seed' + (told if lost else '.')
    )


def _exponents(points: Points) -> str:
    """The mean exponents over seeds with what their intervals have on either side."""
    means, sides = [], []
    for family, own in points.items():
        exponents = [law.exponent for law in scaling.laws(own)]
        if not np.isfinite(exponents).all():
            means.append(f'{drawing.label(family)} diverged')
            continue
        interval = student_t(exponents)
        means.append(f'{drawing.label(family)} {interval.mean:.3f}')
        sides.append(f'± {interval.high - interval.mean:.2g}')
    sides = f' (95 % of {len(exponents)} seeds: {" and ".join(sides)})' if sides else ''
    return f'Exponents: {", ".join(means)}{sides}.'


def _ends(points: Points, unit: str) -> str:
    """Both families' losses at their last points."""
    ends = []
    for family, own in points.items():
        at, losses = max(own.items(), key=lambda pair: pair[0])
        amount = in_counts(at) if unit == 'parameters' else f'{at:.1e}'
        loss = f'{np.mean(losses):.3f}' if np.isfinite(losses).all() else 'diverged'
        ends.append(f'{loss} ({drawing.label(family)}, {amount} {unit})')
    return f'At the right end: {", ".join(ends)}.'
