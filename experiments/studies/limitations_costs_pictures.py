"""What the evidence on costs looks like."""

import operator
import statistics
from collections.abc import Callable
from typing import Any

from experiments.studies import limitations_costs as token_costs
from nlp_models.analysis import drawing, model_costs
from nlp_models.analysis.study import Evidence, Picture

TITLES = {'training': 'training', 'generation': 'generation'}


def plot(evidence: Evidence) -> list[Picture]:
    """Seconds against parameters and against context; money."""
    if not token_costs.families(evidence):
        return []
    return [_sizes(evidence), _contexts(evidence), _money(evidence)]


def _panels(
    evidence: Evidence,
    pick: Callable,
    place: str,
    xlabel: str,
) -> Any:
    """Milliseconds of a token, of training above, of generation below."""
    figure, panels = drawing.figure(2, share=False)
    for axes, work in zip(panels, TITLES, strict=True):
        lines = {
            family: {row[place]: [1e3 * s for s in row['seconds']] for row in rows}
            for family, value in token_costs.families(evidence).items()
            if (rows := pick(evidence, value, work))
        }
        drawing.against(
            axes,
            lines,
            xscale='log',
            yscale='log',
            xlabel=xlabel,
            ylabel=f'{TITLES[work]}, ms a token',
            names=token_costs.LABELS | {'linear': 'linear'},
        )
        drawing.levels(axes)
    return figure, panels


def _sizes(evidence: Evidence) -> Picture:
    figure, _ = _panels(evidence, token_costs.by_width, 'parameters', 'parameters')
    asked, parts = evidence.config['costs'], []
    for family, value in token_costs.families(evidence).items():
        said = []
        for work in TITLES:
            first, *_, last = token_costs.by_width(evidence, value, work)
            both = (statistics.median(row['seconds']) for row in (last, first))
            said.append(f'{operator.truediv(*both):.1f}')
        parts.append(f'{token_costs.LABELS[family]} {" and ".join(said)}')
    where = next(iter(token_costs.families(evidence).values()))['where']
    caption = (
        f'Time of a token against parameters at a context of {asked["contexts"][0]} tokens, on '
        f'{where}. Times the time in training and in generation at {asked["widths"][-1]} wide over '
        f'{asked["widths"][0]}: {"; ".join(parts)}.'
    )
    return Picture('cost_size', (39,), caption, figure)


def _money(evidence: Evidence) -> Picture:
    figure, (axes,) = drawing.figure(1)
    prices, shown, parts = evidence.config['costs']['prices'], {}, []
    for key, value in evidence.select(what='cost'):
        family, said = key['family'], []
        for work, title in TITLES.items():
            row = _largest(evidence, family, value, work)
            name = f'{token_costs.LABELS[family]}, {title}'
            scale = row['price'] / statistics.median(row['seconds'])
            shown[name] = [scale * second for second in row['seconds']]
            said.append(f'{title} {_told(row)}')
        size = drawing.in_counts(float(row['parameters']))
        unit = 'grams' if family == 'ngram' else 'parameters'
        parts.append(f'{token_costs.LABELS[family]} of {size} {unit}: {", ".join(said)}')
    drawing.dots(axes, shown, xscale='log', xlabel='price of a thousand tokens')
    figure.set_size_inches(drawing.WIDTH, 0.9 + 0.25 * len(shown))
    energy = ''
    if prices['watts'] * prices['kilowatt_hour'] > 0:
        energy = f' and {prices["kilowatt_hour"]:g} a kilowatt-hour at {prices["watts"]:g} W'
    context = evidence.config['costs']['contexts'][0]
    caption = (
        f'Price of a thousand tokens of the largest models at a context of {context}, where an '
        f'hour of the machine costs {prices["machine_hour"]:g}{energy}, each round of the clock a '
        f'dot. A thousand tokens: {"; ".join(parts)}.'
    )
    return Picture('cost_money', (39,), caption, figure)


def _largest(evidence: Evidence, family: str, value: dict, work: str) -> dict:
    if family == 'ngram':
        return value[work][0]
    return token_costs.by_width(evidence, value, work)[-1]


def _told(row: dict) -> str:
    """Operations, time, memory and money of a thousand tokens."""
    number = model_costs.TOKENS
    seconds = drawing.in_seconds(number * statistics.median(row['seconds']))
    flops = f'{number * row["flops"]:.1e} FLOPs, ' if row['flops'] else ''
    return (
        f'{flops}{seconds}, {drawing.in_bytes(float(row["num_bytes"]))}, price {row["price"]:.1e}'
    )


def _contexts(evidence: Evidence) -> Picture:
    figure, panels = _panels(evidence, token_costs.by_context, 'context', 'tokens of context')
    contexts, width = evidence.config['costs']['contexts'], evidence.config['costs']['widths'][0]
    for axes in panels:
        axes.set_xticks(contexts, labels=[str(n) for n in contexts])
        axes.minorticks_off()
    parts = []
    for family, value in token_costs.families(evidence).items():
        said = []
        for work, title in TITLES.items():
            rows = token_costs.by_context(evidence, value, work)
            seconds = [statistics.median(row['seconds']) for row in (rows[0], rows[-1])]
            said.append(f'{title} {seconds[1] / seconds[0]:.2f} times the time')
        last = token_costs.by_context(evidence, value, 'generation')
        said.append(f'state {drawing.in_bytes(float(last[-1]["state_bytes"]))}')
        parts.append(f'{token_costs.LABELS[family]}: {", ".join(said)}')
    caption = (
        f'Time of a token against the length of the context, {width} wide. At {contexts[-1]} '
        f'tokens, over that at {contexts[0]}: {"; ".join(parts)}.'
    )
    return Picture('cost_context', (39,), caption, figure)
