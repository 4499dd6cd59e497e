"""Claim 39: what a token costs, against the size of the model and the length of the context."""

import copy
import statistics
from typing import Any

from nlp_models import models
from nlp_models.analysis import (
    cell_costs,
    datasets,
    drawing,
    model_costs,
    parallel_time,
    token_clocks,
)
from nlp_models.analysis.study import Evidence
from nlp_models.analysis.verdicts import Criterion
from nlp_models.data import store

# Kind of work to how it is said of a family.
WORK = {'training': 'training', 'generation': 'generating with'}
LABELS = {
    **{name: drawing.label(name) for name in ('rnn', 'lstm', 'gru', 'ngram')},
    'mingru': 'minGRU',
    'minlstm': 'minLSTM',
    'linear': 'linear recurrence',
    'transformer': 'transformer',
}
# Who is judged together, by the mean over them.
GROUPS = {
    'RNN, LSTM and GRU': ('rnn', 'lstm', 'gru'),
    'minGRU, minLSTM and a linear recurrence': ('mingru', 'minlstm', 'linear'),
    'a transformer': ('transformer',),
}


def measure(config: Any, key: dict) -> dict[str, Any]:
    """Of each kind of work, a row for every size and context: what `_row` says."""
    asked, family = config.costs, key['family']
    seeds = range(config.seeds[0], config.seeds[0] + asked.rounds)
    clock = dict(vocab_size=asked.vocab_size, seeds=seeds, block_seconds=asked.block_seconds)
    where = cell_costs.place()
    if family == 'ngram':
        text = datasets.load_once(store.load_dataset, config.data)
        counting, writing = token_clocks.counting(
            text.train,
            order=asked.order,
            tokens=asked.counted,
            contexts=asked.contexts,
            **clock,
        )
        return {
            'training': [_row(config, None, 0, counting, 'training')],
            'generation': [
                _row(config, None, length, one, 'generation')
                for length, one in zip(asked.contexts, writing, strict=True)
            ],
            'where': where,
        }
    points = [
        token_clocks.Point(_sized(asked.models[family], width), length)
        for width, length in sizes(asked)
    ]
    timed = {
        'training': token_clocks.training(points, tokens=asked.tokens, **clock),
        'generation': token_clocks.generation(points, **clock),
    }
    return {
        work: [
            _row(config, point.group, point.length, one, work)
            for point, one in zip(points, rows, strict=True)
        ]
        for work, rows in timed.items()
    } | {'where': where}


def sizes(asked: Any) -> list[tuple[int, int]]:
    """(width, context): all widths at the shortest context, all contexts at the first width."""
    widths, contexts = asked['widths'], asked['contexts']
    return [(width, contexts[0]) for width in widths] + [(widths[0], n) for n in contexts[1:]]


def _sized(group: Any, width: int) -> Any:
    group = copy.deepcopy(group)
    group.hidden_size = width
    return group


def _row(
    config: Any, group: Any, length: int, timed: token_clocks.Timed, work: str
) -> dict[str, Any]:
    """Operations, seconds, bytes and money of a token; money is of a thousand."""
    vocab_size, flops, multiplied = config.costs.vocab_size, 0.0, 0
    if group is not None:
        if work == 'training':
            flops = model_costs.training_flops(group, length=length, vocab_size=vocab_size)
        else:
            flops = model_costs.generation_flops(group, context=length, vocab_size=vocab_size)
        built = models.build_language_model(group, vocab_size=vocab_size, max_length=length)
        multiplied = model_costs.multiplied_parameters(built)
    seconds = statistics.median(timed.seconds)
    prices = model_costs.Prices(**config.costs.prices)
    return {
        'width': 0 if group is None else group.hidden_size,
        'context': length,
        'flops': flops,
        'multiplied': multiplied,
        'price': model_costs.money(model_costs.TOKENS * seconds, prices),
        **timed._asdict(),
    }


def families(evidence: Evidence) -> dict[str, dict]:
    """Family to its cell, n-grams left out: they have no width."""
    cells = evidence.select(what='cost')
    return {key['family']: value for key, value in cells if key['family'] != 'ngram'}


def by_width(evidence: Evidence, value: dict, work: str) -> list[dict]:
    """Rows at the shortest context, by width."""
    shortest = evidence.config['costs']['contexts'][0]
    rows = [row for row in value[work] if row['context'] == shortest]
    return sorted(rows, key=lambda row: row['width'])


def by_context(evidence: Evidence, value: dict, work: str) -> list[dict]:
    """Rows at the smallest width, by context."""
    least = min(row['width'] for row in value[work])
    rows = [row for row in value[work] if row['width'] == least]
    return sorted(rows, key=lambda row: row['context'])


def groups(evidence: Evidence) -> dict[str, list[dict]]:
    """Name to the cells of those of a group that were measured."""
    cells = families(evidence)
    found = {name: [cells[f] for f in members if f in cells] for name, members in GROUPS.items()}
    return {name: some for name, some in found.items() if some}


def _slopes(rows: list[dict], place: str, what: str) -> list[float]:
    """Exponents of the width or the context in a cost: of seconds one a round, else one."""
    values = [row[what] if what == 'seconds' else [row[what]] for row in rows]
    return parallel_time.exponents([row[place] for row in rows], values)


def _mean(rows: list[list[float]]) -> tuple[float, ...]:
    """Round by round."""
    return tuple(statistics.mean(mine) for mine in zip(*rows, strict=True))


def criteria(evidence: Evidence) -> list[Criterion]:
    """Claim 39: size, then context."""
    return [*_of_size(evidence), *_of_context(evidence)]


def _of_size(evidence: Evidence) -> list[Criterion]:
    limits, cells, found = evidence.thresholds, families(evidence).values(), []
    for work, text in WORK.items():
        for name, some in groups(evidence).items():
            rows = [_slopes(by_width(evidence, v, work), 'width', 'seconds') for v in some]
            twice = _mean([[2**slope for slope in row] for row in rows])
            condition = f'{text} {name} of twice the width by the clock on {some[0]["where"]}'
            measured = 'seconds of a token over those at the width, one fit a round'
            found.append(Criterion(condition, measured, twice, limits['doubling']))
    for work, text in WORK.items():
        slopes = [_slopes(by_width(evidence, v, work), 'width', 'flops')[0] for v in cells]
        condition = f'operations of {text} any family of twice the width'
        measured = 'operations of a token over those at the width, where they grow least'
        least = (2 ** min(slopes),)
        found.append(Criterion(condition, measured, least, limits['doubling'], exact=True))
    ratios = [
        row['flops'] / (6 * row['multiplied'])
        for value in cells
        for row in by_width(evidence, value, 'training')
    ]
    six = limits['six']
    found.append(
        Criterion(
            'operations of training any family as 6 N',
            'operations of a token over 6 N, of the family and width where that is farthest off',
            (max(ratios, key=lambda ratio: abs(ratio - six)),),
            six,
            'within',
            limits['six_tolerance'],
            exact=True,
        )
    )
    return found


def _of_context(evidence: Evidence) -> list[Criterion]:
    limits, found = evidence.thresholds, []
    for work, text in WORK.items():
        for name, some in groups(evidence).items():
            rows = [_slopes(by_context(evidence, v, work), 'context', 'seconds') for v in some]
            condition = f'{text} {name} of a longer context by the clock on {some[0]["where"]}'
            measured = 'exponent of the context in seconds of a token, one fit a round'
            found.append(Criterion(condition, measured, _mean(rows), limits['grows']))
    for what, text, limit in (
        ('flops', 'operations of generating with', 'grows'),
        ('state_bytes', 'bytes carried by', 'proportional'),
    ):
        for name, some in groups(evidence).items():
            slopes = [
                _slopes(by_context(evidence, v, 'generation'), 'context', what)[0] for v in some
            ]
            condition = f'{text} {name} of a longer context'
            measured = f'exponent of the context in {text.split()[0]}'
            values = (statistics.mean(slopes),)
            found.append(Criterion(condition, measured, values, limits[limit], exact=True))
    return found
