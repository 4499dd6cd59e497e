"""What gates cost beside an RNN without them: parameters, operations, memory, seconds."""

import functools
import math
import operator
from collections.abc import Callable
from typing import Any

from ml_collections import ConfigDict

from experiments.studies.complexity_pictures import (
    FAMILIES,
    GATED,
    plot,
    times_rnn,
    with_article,
)
from experiments.studies.complexity_sweeps import sizes_of, sweeps
from nlp_models import costs, models
from nlp_models.analysis import cell_costs, verdicts
from nlp_models.analysis.cell_costs import Shape
from nlp_models.analysis.study import Cell, Evidence, Study
from nlp_models.analysis.verdicts import Claim, Criterion

PASSES = {'forward': costs.FORWARD, 'both': costs.FORWARD_BACKWARD}

CLAIMS = (
    Claim(
        16,
        '4.4',
        'Parameters grow as nh + h²; an LSTM has 4 times and a GRU 3 times those of an RNN',
        'the parameters that the models make, over those of an RNN with the same n and h; the '
        'exponents of their growth in n and h',
        'RNN: nh + h² + h;  GRU: 3 (nh + h² + h), h more with the reset after the product;  '
        'LSTM: 4 (nh + h² + h)',
        'nlp_models/recurrent/cells.py',
    ),
    Claim(
        17,
        '4.5',
        'Computation is in the same proportion: an LSTM takes 4 times and a GRU 3 times that of an '
        'RNN',
        'operations and seconds of a forward and backward pass over those of an RNN with the same '
        'n, h and T: matrix products by formula, all operations as the compiler counts them, '
        'seconds by the clock; the exponents of their growth in T and in nh + h²',
        '2 B T G (nh + h²) operations forward, twice as many backward',
        'nlp_models/costs.py',
    ),
    Claim(
        18,
        '4.5',
        'Memory is in the same proportion: an LSTM takes 4 times and a GRU 3 times that of an RNN',
        'bytes over those of an RNN with the same n, h and T: parameters, the state carried, what '
        'the forward pass keeps for the backward pass, what the compiled program plans for; the '
        'exponents of growth of the last two in T and in nh + h²',
        'f, i, o, C̃ of an LSTM, z, r, h̃ of a GRU, where an RNN has h alone',
        'nlp_models/recurrent/through_time.py',
    ),
)


def grid(config: Any) -> list[Cell]:
    """What is counted, what is compiled, and what is timed."""
    cells = [Cell({'what': 'parameters'}, 2)]
    cells += [Cell(_key('operations', shape), 2 * shape[2]) for shape in config.unrolled]
    cells += [Cell(_key('memory', shape), 5) for shape in config.planned]
    return cells + [Cell(_key('clock', shape), 30) for shape in config.timed]


def _key(what: str, shape: Any) -> dict[str, Any]:
    return {'what': what, **dict(zip(('input', 'hidden', 'length'), shape, strict=True))}


def measure(config: Any, key: dict, evidence: Evidence) -> Any:
    """One of them, for all three cells."""
    del evidence
    cells = {name: models.find_cell(config.models[name]) for name in FAMILIES}
    if key['what'] == 'parameters':
        return _measure_parameters(config, cells)
    shape = Shape(config.batch_size, key['length'], key['input'], key['hidden'])
    if key['what'] == 'operations':
        return {name: cell_costs.operations(cell, shape) for name, cell in cells.items()}
    if key['what'] == 'memory':
        return {
            name: {
                'parameters': 4 * cell_costs.count_parameters(cell, *shape[2:]),
                'state': cell_costs.state_bytes(cell, shape.hidden_size),
                'kept': cell_costs.kept_bytes(cell, shape, config.backward),
                'kept_in_all': cell_costs.kept_in_all(cell, shape, config.backward),
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
    # Of a GRU with the reset after the product, as in libraries, U h has a bias of its own.
    less = [
        [count - h for count, h in zip(row, sizes['hidden_sizes'], strict=True)]
        for row in counts['gru_reset_after']
    ]
    ratios = [a / b for a, b in zip(_flat(less), _flat(counts['rnn']), strict=True)]
    found.append(
        Criterion(
            'GRU with the reset after the product over RNN, but for its second bias',
            'parameters less h over those of an RNN, at the n and h where that is farthest off',
            (farthest(ratios, limits['gru']),),
            limits['gru'],
            'within',
            exact=True,
        )
    )
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
            measure = f"FLOPs of {text} over an RNN's, at the sizes where that is farthest off"
            found.append(
                _proportion(evidence, name, f'{text} of {with_article(name)}', measure, (worst,))
            )
    for name in GATED:
        for key, value in evidence.select(what='clock'):
            condition = f'{with_article(name)} by the clock on {value["where"]} at {sizes_of(key)}'
            measure = "seconds of a forward and backward pass over an RNN's, one value a repetition"
            values = times_rnn(value['both'], name)
            found.append(_proportion(evidence, name, condition, measure, values, exact=False))
    compiled = 'all compiled operations'
    found += _counted_growth(
        evidence, 'operations', compiled, 'FLOPs', operator.itemgetter('compiled')
    )
    for sweep in sweeps(evidence, 'clock'):
        where = sweep.points[0][1]['where']
        for name in FAMILIES:
            text = f'growth in {sweep.axis} of seconds of {with_article(name)} on {where} at '
            text += sweep.held
            measure = f'exponent of {sweep.axis} in seconds of a forward and backward pass, one '
            measure += 'fit a repetition'
            values = sweep.exponents([value['both'][name] for _, value in sweep.points])
            found.append(_grown(evidence, text, measure, values, exact=False))
    return found


def _counted_growth(
    evidence: Evidence, what: str, text: str, unit: str, count: Callable[[dict], float | None]
) -> list[Criterion]:
    """How something counted grows in T and in nh + h², by the cell whose exponent is worst."""
    found = []
    for sweep in sweeps(evidence, what):
        rows = [[count(value[name]) for _, value in sweep.points] for name in FAMILIES]
        told = [[[number] for number in row if number] for row in rows]
        if any(len(row) < len(sweep.points) for row in told):  # a compiler that tells nothing
            continue
        slopes = [sweep.exponents(row)[0] for row in told]
        worst = farthest(slopes, evidence.thresholds['growth_exponent'])
        condition = f'growth in {sweep.axis} of {text} at {sweep.held}'
        measure = f'exponent of {sweep.axis} in {unit}, of the cell whose exponent is farthest off'
        found.append(_grown(evidence, condition, measure, [worst]))
    return found


def _grown(
    evidence: Evidence, condition: str, measure: str, values: list[float], exact: bool = True
) -> Criterion:
    limits = evidence.thresholds
    target, tolerance = limits['growth_exponent'], limits['exponent_tolerance']
    return Criterion(condition, measure, tuple(values), target, 'within', tolerance, exact)


def _of_memory(evidence: Evidence) -> list[Criterion]:
    found, cells = [], [value for _, value in evidence.select(what='memory')]
    kinds = {
        'parameters': ('the parameters', 'bytes of parameters'),
        'state': ('the state', 'bytes carried from step to step'),
        'kept': ('activations kept', 'bytes a token kept for the backward pass'),
        'planned': (
            'working memory when compiled',
            'bytes beside arguments, both passes',
        ),
    }
    for kind, (text, measure) in kinds.items():
        for name in GATED:
            known = [value for value in cells if value['rnn'][kind]]
            if not known:  # a compiler that tells nothing
                continue
            ratios = [value[name][kind] / value['rnn'][kind] for value in known]
            worst = farthest(ratios, evidence.thresholds[name])
            measured = f"{measure}, over an RNN's, at the sizes where that is farthest off"
            found.append(
                _proportion(evidence, name, f'{text} of {with_article(name)}', measured, (worst,))
            )
    for kind, text, unit in (
        ('kept_in_all', 'what is kept for the backward pass', 'bytes, parameters among them'),
        ('planned', 'working memory when compiled', 'bytes beside arguments'),
    ):
        found += _counted_growth(evidence, 'memory', text, unit, operator.itemgetter(kind))
    return found


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
