"""What gates cost beside an RNN without them: parameters, operations, memory, seconds."""

import functools
import math
from typing import Any

from ml_collections import ConfigDict

from nlp_models import costs, models
from nlp_models.analysis import cell_costs, drawing, verdicts
from nlp_models.analysis.cell_costs import Shape
from nlp_models.analysis.study import Cell, Evidence, Picture, Study
from nlp_models.analysis.verdicts import Claim, Criterion

GATED = ('lstm', 'gru')
FAMILIES = ('rnn', *GATED)
PASSES = {'forward': costs.FORWARD, 'both': costs.FORWARD_BACKWARD}

CLAIMS = (
    Claim(
        16,
        '4.4',
        'Parameters grow as nh + h²; an LSTM has 4 times and a GRU 3 times those of an RNN',
        'the parameters that the models make, over those of an RNN with the same n and h; the '
        'exponents of their growth in n and h',
        'RNN: nh + h² + h;  GRU: 3 (nh + h² + h);  LSTM: 4 (nh + h² + h)',
        'nlp_models/recurrent/cells.py',
    ),
    Claim(
        17,
        '4.5',
        'Computation is in the same proportion: an LSTM takes 4 times and a GRU 3 times that of an '
        'RNN',
        'operations and seconds of a forward and backward pass over those of an RNN with the same '
        'n, h and T: matrix products by formula, all operations as the compiler counts them, '
        'seconds by the clock',
        '2 B T G (nh + h²) operations forward, twice as many backward',
        'nlp_models/costs.py',
    ),
    Claim(
        18,
        '4.5',
        'Memory is in the same proportion: an LSTM takes 4 times and a GRU 3 times that of an RNN',
        'bytes over those of an RNN with the same n, h and T: parameters, the state carried, what '
        'the forward pass keeps for the backward pass, what the compiled program plans for',
        'f, i, o, C̃ of an LSTM, z, r, h̃ of a GRU, where an RNN has h alone',
        'nlp_models/recurrent/through_time.py',
    ),
)


def grid(config: Any) -> list[Cell]:
    """What is counted, what is compiled, and what is timed."""
    cells = [Cell({'what': 'parameters'}, 0.2)]
    cells += [Cell({'what': 'operations', 'size': size}, 8) for size in config.unrolled_sizes]
    cells += [Cell(_key('memory', shape), 5) for shape in config.planned]
    return cells + [Cell(_key('clock', shape), 12) for shape in config.timed]


def _key(what: str, shape: Any) -> dict[str, Any]:
    return {'what': what, **dict(zip(('input', 'hidden', 'length'), shape, strict=True))}


def measure(config: Any, key: dict, evidence: Evidence) -> Any:
    """One of them, for all three cells."""
    del evidence
    cells = {name: models.find_cell(config.models[name]) for name in FAMILIES}
    if key['what'] == 'parameters':
        return _measure_parameters(config, cells)
    if key['what'] == 'operations':
        shape = Shape(config.batch_size, config.unrolled_steps, key['size'], key['size'])
        return {name: cell_costs.operations(cell, shape) for name, cell in cells.items()}
    shape = Shape(config.batch_size, key['length'], key['input'], key['hidden'])
    if key['what'] == 'memory':
        return {
            name: {
                'parameters': 4 * cell_costs.count_parameters(cell, *shape[2:]),
                'state': cell_costs.state_bytes(cell, shape.hidden_size),
                'kept': cell_costs.kept_bytes(cell, shape, config.backward),
                'planned': cell_costs.planned_bytes(cell, shape, config.backward),
            }
            for name, cell in cells.items()
        }
    timed = functools.partial(
        cell_costs.clocks,
        cells,
        shape,
        seeds=range(config.seed, config.seed + config.repetitions),
        rounds=config.rounds,
        block_seconds=config.block_seconds,
        backward=config.backward,
    )
    found = {name: timed(passes=passes) for name, passes in PASSES.items()}
    return {**found, 'where': cell_costs.place()}


def _measure_parameters(config: Any, cells: dict) -> Any:
    """Counts of every pair of sizes: family to n to h."""
    sizes = config.counted
    reset_after = models.find_cell(ConfigDict({'family': 'gru', 'reset_after': True}))
    return {
        name: [
            [cell_costs.count_parameters(cell, n, h) for h in sizes.hidden_sizes]
            for n in sizes.input_sizes
        ]
        for name, cell in {**cells, 'gru_reset_after': reset_after}.items()
    }


def judge(evidence: Evidence) -> list[dict[str, Any]]:
    """A verdict for each claim."""
    criteria = (_of_parameters(evidence), _of_operations(evidence), _of_memory(evidence))
    return [
        verdicts.judge(claim, each, evidence.thresholds, study='complexity')
        for claim, each in zip(CLAIMS, criteria, strict=True)
    ]


def farthest(values: list[float], target: float) -> float:
    """The value that lies farthest from a target."""
    return max(values, key=lambda value: abs(value - target))


def _of_parameters(evidence: Evidence) -> list[Criterion]:
    counts, limits = evidence.value(what='parameters'), evidence.thresholds
    found = []
    for name in GATED:
        pairs = zip(_flat(counts[name]), _flat(counts['rnn']), strict=True)
        found.append(
            Criterion(
                f'{name.upper()} over RNN at all n and h',
                'parameters over those of an RNN, at the n and h where that is farthest off',
                (farthest([mine / theirs for mine, theirs in pairs], limits[name]),),
                limits[name],
                'within',
                exact=True,
            )
        )
    sizes = evidence.config['counted']
    for axis, target in (('h', 'state_exponent'), ('n', 'input_exponent')):
        grown = {'h': sizes['hidden_sizes'], 'n': sizes['input_sizes']}[axis][-2:]
        exponents = []
        for name in FAMILIES:
            # The largest two of one size at the smallest of the other.
            row = counts[name][0] if axis == 'h' else [line[0] for line in counts[name]]
            exponents.append(math.log(row[-1] / row[-2]) / math.log(grown[1] / grown[0]))
        found.append(
            Criterion(
                f'growth in {axis}',
                f'exponent of parameters in {axis} from {grown[0]} to {grown[1]}, of the cell '
                'whose exponent is farthest off',
                (farthest(exponents, limits[target]),),
                limits[target],
                'within',
                limits['exponent_tolerance'],
                exact=True,
            )
        )
    return found


def _proportion(
    evidence: Evidence, name: str, condition: str, measure: str, values: Any, exact: bool = True
) -> Criterion:
    target = evidence.thresholds[name]
    return Criterion(
        condition,
        measure,
        tuple(values),
        target,
        'within',
        evidence.thresholds['tolerance'] * target,
        exact,
    )


def _flat(table: list[list[int]]) -> list[int]:
    return [count for row in table for count in row]


def _of_operations(evidence: Evidence) -> list[Criterion]:
    found, cells = [], [value for _, value in evidence.select(what='operations')]
    counts = {'formula': 'matrix products', 'compiled': 'all compiled operations'}
    for kind, text in counts.items():
        for name in GATED:
            ratios = [value[name][kind] / value['rnn'][kind] for value in cells]
            worst = farthest(ratios, evidence.thresholds[name])
            measure = f"FLOPs of {text} over an RNN's, at the h where that is farthest off"
            found.append(_proportion(evidence, name, f'{text} of {_a(name)}', measure, (worst,)))
    for name in GATED:
        for key, value in evidence.select(what='clock'):
            condition = f'{_a(name)} by the clock on {value["where"]} at {_sizes(key)}'
            measure = "seconds of a forward and backward pass over an RNN's, one value a repetition"
            values = _ratios(value['both'], name)
            found.append(_proportion(evidence, name, condition, measure, values, exact=False))
    return found


def _of_memory(evidence: Evidence) -> list[Criterion]:
    found, cells = [], [value for _, value in evidence.select(what='memory')]
    kinds = {
        'parameters': ('the parameters', 'bytes of parameters'),
        'state': ('the state', 'bytes carried from step to step'),
        'kept': ('activations kept', 'bytes a token kept for the backward pass'),
        'planned': ('working memory when compiled', 'bytes planned for, both passes'),
    }
    for kind, (text, measure) in kinds.items():
        for name in GATED:
            known = [value for value in cells if value['rnn'][kind]]
            if not known:  # a compiler that tells nothing
                continue
            ratios = [value[name][kind] / value['rnn'][kind] for value in known]
            worst = farthest(ratios, evidence.thresholds[name])
            measured = f"{measure}, over an RNN's, at the sizes where that is farthest off"
            found.append(_proportion(evidence, name, f'{text} of {_a(name)}', measured, (worst,)))
    return found


def _a(name: str) -> str:
    return 'an LSTM' if name == 'lstm' else 'a GRU'


def _sizes(key: dict) -> str:
    n, h, length = key['input'], key['hidden'], key['length']
    return f'n = h = {h} and T = {length}' if n == h else f'n = {n} and h = {h} and T = {length}'


def _ratios(seconds: dict[str, list[float]], name: str) -> list[float]:
    """Times an RNN's seconds, by repetition."""
    return [mine / rnn for mine, rnn in zip(seconds[name], seconds['rnn'], strict=True)]


def plot(evidence: Evidence) -> list[Picture]:
    """Seconds over an RNN's against h, and bytes over an RNN's by what they are of."""
    return [_plot_clock(evidence), _plot_proportions(evidence)]


def _plot_clock(evidence: Evidence) -> Picture:
    """Ratios against h, of the shapes timed with one T and n = h."""
    cells = [(k, v) for k, v in evidence.select(what='clock') if k['input'] == k['hidden']]
    length = cells[0][0]['length']
    cells = [(key, value) for key, value in cells if key['length'] == length]
    figure, panels = drawing.figure(len(PASSES))
    said = []
    for axes, (name, text) in zip(
        panels, {'both': 'forward, backward', 'forward': 'forward'}.items(), strict=True
    ):
        lines = {
            gated: {key['hidden']: _ratios(value[name], gated) for key, value in cells}
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
                f'{_a(gated)} takes '
                + ' and '.join(
                    f'{sum(row) / len(row):.2g} times at h = {h}'
                    for h, row in sorted(lines[gated].items())[:: max(1, len(cells) - 1)]
                )
                for gated in GATED
            ]
    panels[-1].set_xlabel(f'state size h = input size n (T = {length})')
    caption = (
        f'Seconds over those of an RNN on {cells[0][1]["where"]}, means over repetitions with 95 % '
        f'intervals. Of a forward and backward pass {"; ".join(said)}.'
    )
    return Picture('complexity_clock', (17,), caption, figure)


def _plot_proportions(evidence: Evidence) -> Picture:
    """Ratios by kind, at the largest sizes of each."""
    key, memory = max(evidence.select(what='memory'), key=lambda cell: cell[0]['hidden'])
    size, counted = max(
        ((k['size'], v) for k, v in evidence.select(what='operations')), key=lambda cell: cell[0]
    )
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
        + f'. Operations at n = h = {size}, memory at {_sizes(key)}.'
    )
    return Picture('complexity_proportions', (16, 17, 18), caption, figure)


STUDY = Study(
    'complexity',
    'What gates cost',
    'RNN, LSTM and GRU with the same input and state sizes are counted, compiled and timed. Gates '
    'multiply the matrices, and so parameters and matrix products; they need not multiply what is '
    'carried, what is kept for the backward pass, or the seconds of steps so small that starting '
    'them is what takes the time.',
    CLAIMS,
    grid,
    measure,
    judge,
    plot,
)
