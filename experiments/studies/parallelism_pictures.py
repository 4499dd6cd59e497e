"""The pictures of `parallelism`: what waits, what clocks say, training beside decoding."""

import statistics
from typing import Any

from nlp_models.analysis import drawing, parallel_time
from nlp_models.analysis.study import Evidence, Picture

NAMES = {
    'mingru': 'minGRU',
    'gru': 'GRU',
    'lstm': 'LSTM',
    'gru_trained': 'trained GRU',
    'lstm_trained': 'trained LSTM',
    'rnn_large': 'RNN, large W',
    'transformer': 'attention',
    'steps': 'GRU, steps',
}


def plot(evidence: Evidence) -> list[Picture]:
    """Of parallel evaluation, of growth with T, and of the two language models."""
    return [_plot_solved(evidence), _plot_growth(evidence), _plot_language(evidence)]


def _ticks(axes: Any, places: Any) -> None:
    shown = drawing.spaced(sorted(places))
    axes.set_xticks(shown, [f'{place:,}' for place in shown])
    axes.minorticks_off()


def _plot_solved(evidence: Evidence) -> Picture:
    """Operations that wait, and how many times as fast as the scan, forward."""
    figure, (top, bottom) = drawing.figure(2)
    figure.subplots_adjust(right=0.72)
    cells = {key['case']: value for key, value in evidence.select(what='solved')}
    waiting, speed = {}, {}
    for case, value in cells.items():
        rows = {int(length): row for length, row in value['lengths'].items()}
        waiting[case] = {t: [pair[1] for pair in row['depth']] for t, row in rows.items()}
        speed[case] = {
            t: [scan / parallel for scan, parallel in row['seconds']] for t, row in rows.items()
        }
    rows = cells['gru']['lengths'].items()
    waiting['steps'] = {int(t): [pair[0] for pair in row['depth']] for t, row in rows}
    depths = evidence.value(what='depth')['transformer']['forward']
    waiting['transformer'] = {t: [depths[str(t)]] for t in waiting['gru']}
    log: dict[str, Any] = dict(xscale='log', yscale='log')
    label = 'operations that\nwait, forward'
    dashed = ('steps',)
    drawing.against(top, waiting, names=NAMES, dashed=dashed, ylabel=label, **log)
    label = 'times as fast\nas its steps'
    means = [statistics.fmean(values) for line in speed.values() for values in line.values()]
    # Intervals of what is close to zero would reach to the bottom of any logarithmic axis.
    log['ylim'] = (min(means) / 2, 2 * max(1, *means))
    drawing.against(bottom, speed, names=NAMES, ylabel=label, xlabel='T (steps)', **log)
    drawing.threshold(bottom, 1.0, 'as fast')
    drawing.levels(top)
    drawing.levels(bottom)
    _ticks(bottom, waiting['gru'])
    longest = max(waiting['gru'])
    iterations = {
        case: [i for row in value['lengths'].values() for i in row['iterations']]
        for case, value in cells.items()
        if case != 'mingru'
    }
    told = ', '.join(
        f'{NAMES[case]} {statistics.fmean(waiting[case][longest]):,.0f}' for case in cells
    )
    where = cells['gru']['where']
    most = max(cells, key=lambda case: statistics.fmean(speed[case][longest]))
    ratio = statistics.fmean(speed[most][longest])
    caption = (
        f'Evaluated at once, at T = {longest:,}, operations that wait: {told}; a GRU step by step '
        f'{waiting["steps"][longest][0]:,}. Newton’s method took '
        f'{min(map(min, iterations.values()))} to {max(map(max, iterations.values()))} iterations. '
        f'By the clock on {where} the fastest of them was {NAMES[most]}, {ratio:.2g} times as '
        'fast as its steps. Means over seeds with 95 % intervals.'
    )
    return Picture('parallelism_at_once', (19, 20), caption, figure)


def _plot_growth(evidence: Evidence) -> Picture:
    """Milliseconds of one layer, forward and backward."""
    figure, panels = drawing.figure(2)
    lengths, said = evidence.config['lengths'], []
    texts = {'sequence': 'one sequence', 'tokens': 'same tokens'}
    where = ''
    for axes, (kept, text) in zip(panels, texts.items(), strict=True):
        cells = {key['family']: value for key, value in evidence.select(what='growth', kept=kept)}
        lines = {
            name: {
                length: [1e3 * second for second in seconds]
                for length, seconds in zip(lengths, value['seconds'], strict=True)
            }
            for name, value in cells.items()
        }
        label = f'ms, forward and backward\n{text}'
        names = {'transformer': 'transformer'}
        drawing.against(axes, lines, names=names, xscale='log', yscale='log', ylabel=label)
        drawing.levels(axes)
        slopes = {
            name: statistics.fmean(parallel_time.exponents(lengths, value['seconds']))
            for name, value in cells.items()
        }
        told = ', '.join(f'{drawing.label(name)} {slope:.2f}' for name, slope in slopes.items())
        said.append(f'{text}: {told}')
        where = next(iter(cells.values()))['where']
    panels[-1].set_xlabel('T (steps)')
    _ticks(panels[-1], lengths)
    caption = (
        f'Seconds of one layer on {where} against T, for one sequence and for '
        f'{evidence.config["tokens"]:,} tokens in fewer and longer sequences. Exponents of T, '
        f'{"; ".join(said)}. Means over rounds, each with parameters and inputs of its own, with '
        '95 % intervals.'
    )
    return Picture('parallelism_growth', (19,), caption, figure)


def _plot_language(evidence: Evidence) -> Picture:
    """Training speed, decoding time and state against length."""
    figure, panels = drawing.figure(3)
    training, decoding = evidence.value(what='training'), evidence.value(what='decoding')
    speed, cost, state = {}, {}, {}
    for row in training['rows']:
        values = [1e-3 / second for second in row['seconds_per_token']]
        speed.setdefault(row['family'], {})[row['length']] = values
    for row in decoding['rows']:
        values = [1e3 * second for second in row['seconds_per_token']]
        cost.setdefault(row['family'], {})[row['length']] = values
        state.setdefault(row['family'], {})[row['length']] = [row['state_bytes'] / 1e3]
    labels = ('training\n1000 tokens/s', 'decoding\nms/token', 'state of a text\nkB')
    for axes, lines, label in zip(panels, (speed, cost, state), labels, strict=True):
        drawing.against(axes, lines, xscale='log', yscale='log', ylabel=label)
        drawing.levels(axes)
    panels[-1].set_xlabel('length (tokens)')
    lengths = sorted(set(cost['gru']) | set(speed['gru']))
    _ticks(panels[-1], lengths)
    trained, decoded = max(speed['gru']), max(cost['gru'])

    def ratio(lines: dict, length: int) -> float:
        return statistics.fmean(lines['transformer'][length]) / statistics.fmean(
            lines['gru'][length]
        )

    sizes = {row['family']: row['parameters'] for row in training['rows']}
    caption = (
        f'A transformer of {sizes["transformer"]:,} parameters beside a GRU of {sizes["gru"]:,} on '
        f'{training["where"]}: at T = {trained:,} it trains at {ratio(speed, trained):.2g} times '
        f'the speed; after {decoded:,} tokens a decoded token takes {ratio(cost, decoded):.2g} '
        f'times as long, with {ratio(state, decoded):,.0f} times the state.'
    )
    return Picture('parallelism_language', (21,), caption, figure)
