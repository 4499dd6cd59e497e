"""The pictures of `gradient_flow`: gradients by distance, radius, training step and depth."""

import math
from typing import Any

import numpy as np

from experiments.studies.gradient_flow_claims import (
    GATED,
    PARTS,
    RESIDUAL,
    RNNS,
    STACKS,
    TRAINED,
)
from experiments.studies.gradient_flow_verdicts import (
    by_rate,
    chain_rule,
    deepest,
    stds,
    step,
)
from nlp_models.analysis import drawing
from nlp_models.analysis.study import Evidence, Picture


def plot(evidence: Evidence) -> list[Picture]:
    """By distance, before and after training, by radius, by training step and by depth."""
    return [
        _plot_distance(evidence),
        _plot_carried(evidence),
        _plot_losses(evidence),
        _plot_radius(evidence),
        _plot_clipping(evidence),
        _plot_depth(evidence),
    ]


CELLS = {  # of lines: family and way through it
    'rnn': ('rnn_tanh', ''),
    'sigmoid RNN': ('rnn_sigmoid', ''),
    'lstm': ('lstm', 'C to C'),
    'LSTM by h': ('lstm', 'h to h'),
    'gru': ('gru', ''),
}
CARRIED = {'rnn': 'tanh RNN', 'lstm': 'LSTM, C to C', 'LSTM by h': 'LSTM, h to h'}


def _plot_distance(evidence: Evidence) -> Picture:
    figure, (top, bottom) = drawing.figure(2)
    std = max(stds(evidence))
    curves = {
        name: step(evidence, family, std, 1.0, path) for name, (family, path) in CELLS.items()
    }
    drawing.against(top, _log10(curves, 1), names=CARRIED, ylabel='‖∂c_T/∂c_t‖, log₁₀')
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
    caption = (
        'Top, fresh cells with unit inputs and orthogonal recurrent weights; slopes in nats a '
        f'step: {_list(_means(curves), CARRIED)}. Bottom, two layers, with skip connections '
        f'and norms or without: {_list(_means(reached), names)}.'
    )
    return Picture('gradient_by_distance', (3, 6, 7), caption, figure)


def _plot_carried(evidence: Evidence) -> Picture:
    """Through h and through C, along texts of the task."""
    lines = {name: (family, path or 'steps') for name, (family, path) in CELLS.items()}
    figure, slopes = _before_and_after(evidence, lines, 1, CARRIED, '‖∂c_T/∂c_t‖')
    caption = f'Along texts of the task, slopes in nats a step {slopes}'
    return Picture('carried_by_distance', (3, 6), caption, figure)


def _plot_losses(evidence: Evidence) -> Picture:
    """What of the loss at the end reaches each input."""
    names = {'rnn': 'tanh RNN', 'transformer': 'attention'}
    families = {'rnn': 'rnn_tanh', 'sigmoid RNN': 'rnn_sigmoid'}
    families |= {name: name for name in (*GATED, 'transformer')}
    lines = {name: (family, 'loss') for name, family in families.items()}
    figure, slopes = _before_and_after(evidence, lines, 0, names, '‖∂L/∂x_t‖')
    caption = (
        'Gradient of the loss at the last place with respect to each input of the task, slopes in '
        f'nats a step {slopes}'
    )
    return Picture('loss_by_distance', (3, 6, 7), caption, figure)


def _before_and_after(
    evidence: Evidence,
    lines: dict[str, tuple[str, str]],
    first: int,
    names: dict[str, str],
    what: str,
) -> tuple[Any, str]:
    """Two panels of lines, each of a family and what was fitted, and a sentence on their slopes."""
    trained = _trained(evidence)
    curves = {
        when: {name: trained[family][when][fit] for name, (family, fit) in lines.items()}
        for when in ('before', 'after')
    }
    figure, panels = drawing.figure(2)
    # Distance d of the task is d tokens before what is to be said, d − 1 before the last read.
    key = evidence.config['trained']['setting']['distance'] - 1
    for axes, (when, rows) in zip(panels, curves.items(), strict=True):
        drawing.against(axes, _log10(rows, first), names=names, ylabel=f'{what}, log₁₀')
        axes.set_title(f'{when} training', fontsize=drawing.FONT, loc='right', pad=-12)
        axes.axvline(key, color=drawing.INK, linestyle=':', linewidth=1.2)
    panels[-1].set_xlabel('distance T − t (steps); dotted: the key’s in training')
    before, after = (_list(_means(rows), names) for rows in curves.values())
    return figure, f'before training: {before}. After: {after}. {_scores(evidence)}'


def _trained(evidence: Evidence) -> dict[str, Any]:
    return {key['family']: value for key, value in evidence.select(what='trained')}


def _scores(evidence: Evidence) -> str:
    found = {
        TRAINED[name]: (np.min(value['scores']), np.max(value['scores']))
        for name, value in _trained(evidence).items()
    }
    parts = [f'{name} {low:.2f} to {high:.2f}' for name, (low, high) in found.items()]
    least = evidence.thresholds['learned']
    return (
        f'Test accuracy over seeds: {", ".join(parts)}; what is not above {least:g} in every seed '
        'is no evidence about trained networks.'
    )


def _log10(curves: dict[str, dict[str, Any]], first: int) -> dict[str, dict[float, list[float]]]:
    """A point at every eighth of the distances, means over seeds."""
    found = {}
    for name, value in curves.items():
        log = np.array(value['curve']) / math.log(10)
        places = np.unique(np.linspace(0, len(log) - 1, 9).astype(int))
        found[name] = {float(i + first): [float(log[i])] for i in places}
    return found


def _plot_radius(evidence: Evidence) -> Picture:
    figure, panels = drawing.figure(3)
    std, names, told = max(stds(evidence)), {}, []
    for axes, (family, activation) in zip(panels, RNNS.items(), strict=False):
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
        ends = [
            float(np.mean(lines[n][r])) for n in ('measured', 'typical') for r in _ends(lines[n])
        ]
        told.append(
            f'{activation} {ends[0]:.2f} to {ends[1]:.2f}, ∏ f′ of a typical unit {ends[2]:.2f} to '
            f'{ends[3]:.2f}'
        )
    gated: dict[str, dict[float, list[float]]] = {}
    for name, (family, path) in CELLS.items():
        if family != 'rnn_sigmoid':
            for radius in evidence.config['radii']:
                rate = step(evidence, family, std, radius, path)['rate']
                gated.setdefault(name, {})[radius] = rate
    drawing.threshold(panels[-1], 0.0, 'norm kept')
    drawing.against(panels[-1], gated, names=CARRIED, ylabel='slope (nats a step)')
    panels[-1].set_xlabel('spectral radius of W, of every gate')
    ends = _ends(gated['rnn'])
    gates = ', '.join(
        f'{CARRIED.get(name, drawing.label(name))} '
        f'{" to ".join(f"{np.mean(line[r]):.2f}" for r in ends)}'
        for name, line in gated.items()
    )
    off = max(max(chain_rule(evidence, family)) for family in RNNS)
    low, high = min(evidence.config['radii']), max(evidence.config['radii'])
    caption = (
        f'Slope of log ‖∂h_T/∂h_t‖ from radius {low:g} to {high:g}, unit inputs: '
        f'{"; ".join(told)}. The product with the weights, ∏ diag(f′) W, has the measured slope to '
        f'within {off:.1g}. Below, beside gated cells: {gates}.'
    )
    return Picture('rate_by_radius', (3, 4, 5, 6), caption, figure)


def _ends(line: dict[float, list[float]]) -> tuple[float, float]:
    return min(line), max(line)


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
    diverged = ', '.join(
        f'{by_rate(evidence, True)[r]["diverged"]} and {run["diverged"]} at {r:g}'
        for r, run in by_rate(evidence, False).items()
    )
    caption = (
        f'A tanh RNN at radius {evidence.config["clipping"]["radius"]:g}, learning rate {rate:g}, '
        f'medians over seeds; mean final loss {final["clipped"]:.2f} with clipping and '
        f'{final["unclipped"]:.2f} without; raw gradient norm in the first tenth '
        f'{10 ** norms["clipped"]:.2g} and {10 ** norms["unclipped"]:.2g}. Runs of '
        f'{len(runs["clipped"]["losses"])} that diverged, with clipping and without, by learning '
        f'rate: {diverged}; each counts as guessing.'
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
    diverged = sum(value.get('diverged', 0) for _, value in evidence.select(what='depth'))
    steps = evidence.config['depth']['training']['steps']
    plain = {**STACKS, **names}
    listed = ', '.join(f'{plain[name]} {depth:.3g}' for name, depth in found.items())
    caption = (
        f'Loss as a share of guessing’s when training ended: with all seeds of a rate below the '
        f'dotted line, or after {steps} steps. What was not tried, since no seed of a shallower '
        f'stack had learned, is drawn as guessing. Deepest that learned, of '
        f'up to {depths[-1]} layers, all shallower ones learning too (0: a seed learned at none): '
        f'{listed}. “both”: skip connections and norms. Runs that diverged and count as guessing: '
        f'{diverged}.'
    )
    return Picture('depth', (8,), caption, figure)


def _means(curves: dict[str, dict[str, Any]]) -> dict[str, float]:
    return {name: float(np.mean(value['rate'])) for name, value in curves.items()}


def _list(values: dict[str, float], names: dict[str, str]) -> str:
    return ', '.join(f'{names.get(k, drawing.label(k))} {v:.3f}' for k, v in values.items())
