"""The pictures of `gradient_flow`: gradients by distance, radius, training step and depth."""

import math
from typing import Any

import numpy as np

from experiments.studies.gradient_flow_verdicts import (
    PARTS,
    RESIDUAL,
    RNNS,
    STACKS,
    by_rate,
    deepest,
    stds,
    step,
)
from nlp_models.analysis import drawing
from nlp_models.analysis.study import Evidence, Picture


def plot(evidence: Evidence) -> list[Picture]:
    """By distance, by radius, by training step and by depth."""
    return [
        _plot_distance(evidence),
        _plot_radius(evidence),
        _plot_clipping(evidence),
        _plot_depth(evidence),
    ]


def _plot_distance(evidence: Evidence) -> Picture:
    figure, (top, bottom) = drawing.figure(2)
    std = max(stds(evidence))
    curves = {
        'rnn': step(evidence, 'rnn_tanh', std, 1.0),
        'sigmoid RNN': step(evidence, 'rnn_sigmoid', std, 1.0),
        'lstm': step(evidence, 'lstm', std, 1.0),
        'gru': step(evidence, 'gru', std, 1.0),
    }
    drawing.against(top, _log10(curves, 1), names={'rnn': 'tanh RNN'}, ylabel='‖∂c_T/∂c_t‖, log₁₀')
    names = {
        'attention': 'attention',
        'attention_no_skips': 'no skips',
        'attention_no_norms': 'no norms',
        'attention_bare': 'neither',
        'rnn_residual': 'RNN, both',
        'gru_residual': 'GRU, both',
    }
    reached = {key['stack']: value for key, value in evidence.select(what='reach')}
    drawing.against(
        bottom,
        _log10(reached, 0),
        names=names,
        ylabel='‖∂y_T/∂x_t‖, log₁₀',
        xlabel='distance T − t (steps)',
    )
    slopes = {name: float(np.mean(value['rate'])) for name, value in curves.items()}
    spared = {name: float(np.mean(value['rate'])) for name, value in reached.items()}
    caption = (
        'Top, fresh cells with unit inputs and orthogonal recurrent weights; slopes in nats a '
        f'step: {_list(slopes, {"rnn": "tanh RNN"})}. Bottom, two layers, with skip connections '
        f'and norms or without: {_list(spared, names)}.'
    )
    return Picture('gradient_by_distance', (3, 6, 7), caption, figure)


def _log10(curves: dict[str, dict[str, Any]], first: int) -> dict[str, dict[float, list[float]]]:
    """A point at every eighth of the distances, means over seeds."""
    found = {}
    for name, value in curves.items():
        log = np.array(value['curve']) / math.log(10)
        places = np.unique(np.linspace(0, len(log) - 1, 9).astype(int))
        found[name] = {float(i + first): [float(log[i])] for i in places}
    return found


def _plot_radius(evidence: Evidence) -> Picture:
    figure, panels = drawing.figure(2)
    std, names, told = max(stds(evidence)), {}, []
    for axes, (family, activation) in zip(panels, RNNS.items(), strict=True):
        lines: dict[str, dict[float, list[float]]] = {}
        small = min(stds(evidence))
        for radius in evidence.config['radii']:
            cell = step(evidence, family, std, radius)
            quiet = step(evidence, family, small, radius)
            for name, rate in (
                ('measured', cell['rate']),
                ('small', quiet['rate']),
                ('largest', cell['predicted']['largest']['rate']),
                ('typical', cell['predicted']['typical']['rate']),
            ):
                lines.setdefault(name, {})[radius] = rate
        names = {
            'measured': activation,
            'small': 'small inputs',
            'largest': '∏ f′ largest',
            'typical': '∏ f′ typical',
        }
        dashed = ('largest', 'typical')
        drawing.threshold(axes, 0.0, 'norm kept')
        drawing.against(axes, lines, names=names, dashed=dashed, ylabel='slope (nats a step)')
        ends = [float(np.mean(lines[n][r])) for n in ('measured', 'typical') for r in _ends(lines)]
        told.append(
            f'{activation} {ends[0]:.2f} to {ends[1]:.2f}, ∏ f′ of a typical unit {ends[2]:.2f} to '
            f'{ends[3]:.2f}'
        )
    panels[-1].set_xlabel('spectral radius of W')
    low, high = min(evidence.config['radii']), max(evidence.config['radii'])
    caption = (
        f'Slope of log ‖∂h_T/∂h_t‖ from radius {low:g} to {high:g}, unit inputs: '
        f'{"; ".join(told)}. The product with the weights, ∏ diag(f′) W, is what was measured.'
    )
    return Picture('rate_by_radius', (3, 4, 5), caption, figure)


def _ends(lines: dict[str, dict[float, list[float]]]) -> tuple[float, float]:
    places = sorted(lines['measured'])
    return places[0], places[-1]


def _plot_clipping(evidence: Evidence) -> Picture:
    figure, (top, bottom) = drawing.figure(2)
    rate = max(by_rate(evidence, True))
    runs = {'clipped': by_rate(evidence, True)[rate], 'unclipped': by_rate(evidence, False)[rate]}
    clip = evidence.config['clipping']['clip_norm']
    drawing.threshold(bottom, math.log10(clip), 'clip norm')
    for axes, curve, label in (
        (top, 'loss_curve', 'loss (nats)'),
        (bottom, 'norm_curve', 'raw ‖g‖, log₁₀'),
    ):
        lines = {
            name: dict(zip(run[curve]['steps'], ([v] for v in run[curve]['values']), strict=True))
            for name, run in runs.items()
        }
        drawing.against(axes, _sparse(lines), ylabel=label)
    bottom.set_xlabel('training step')
    final = {name: float(np.mean(run['losses'])) for name, run in runs.items()}
    norms = {name: float(np.mean(run['first_norms'])) for name, run in runs.items()}
    caption = (
        f'A tanh RNN at radius {evidence.config["clipping"]["radius"]:g}, learning rate {rate:g}, '
        f'medians over seeds; mean final loss {final["clipped"]:.2f} with clipping and '
        f'{final["unclipped"]:.2f} without; raw gradient norm in the first tenth '
        f'{10 ** norms["clipped"]:.2g} and {10 ** norms["unclipped"]:.2g}.'
    )
    return Picture('clipping', (4,), caption, figure)


def _sparse(lines: dict[str, dict[float, list[float]]], most: int = 20) -> dict[str, Any]:
    """Every few points of a line, so that markers stand apart."""
    return {
        name: {x: line[x] for x in list(line)[:: max(1, len(line) // most)]}
        for name, line in lines.items()
    }


def _plot_depth(evidence: Evidence) -> Picture:
    figure, panels = drawing.figure(2)
    chance = math.log(evidence.config['depth']['setting']['alphabet'])
    lines: dict[str, dict[float, list[float]]] = {}
    for key, value in evidence.select(what='depth'):
        shares = [loss / chance for loss in value['losses']]
        lines.setdefault(key['stack'], {})[float(key['layers'])] = shares
    attention = {name: line for name, line in lines.items() if name in PARTS}
    recurrent = {name: line for name, line in lines.items() if name not in PARTS}
    names = {
        'attention': 'attention',
        'attention_no_skips': 'no skips',
        'attention_no_norms': 'no norms',
        'attention_bare': 'neither',
        **{name: f'{name[:-9].upper()}, both' for name in RESIDUAL},
    }
    for axes, group in zip(panels, (attention, recurrent), strict=True):
        drawing.threshold(axes, evidence.thresholds['trained'], 'learned below')
        drawing.against(
            axes, group, names=names, ylim=(-0.05, 1.15), ylabel='loss / chance', xscale='log'
        )
    depths = sorted(evidence.config['depth']['layers'])
    panels[-1].set(xlabel='layers', xticks=depths, xticklabels=depths)
    panels[-1].minorticks_off()
    found = {
        name: float(2 ** np.mean(values)) if min(values) >= 0 else 0.0
        for name, values in deepest(evidence).items()
    }
    plain = {**STACKS, **names}
    listed = ', '.join(f'{plain[name]} {depth:.3g}' for name, depth in found.items())
    caption = (
        f'Loss after the same number of steps, as a share of guessing’s. Deepest that learned, of '
        f'up to {depths[-1]} layers (0: a seed learned at none): {listed}. “both”: skip '
        'connections and norms.'
    )
    return Picture('depth', (8,), caption, figure)


def _list(values: dict[str, float], names: dict[str, str]) -> str:
    return ', '.join(f'{names.get(k, drawing.label(k))} {v:.3f}' for k, v in values.items())
