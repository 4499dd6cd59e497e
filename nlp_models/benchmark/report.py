"""The results as tables in Markdown, and the picture of the win map."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

Results = dict[str, Any]


def write(results: Results, folder: Path, say: Callable[[str], None]) -> None:
    """Write `tables.md`, and `win_map.png` where there is a map and matplotlib is installed.

    Args:
      results: as in `results.json`.
      folder: where to.
      say: told what is left out.
    """
    picture = ''
    if any(row.get('fastest') for row in results['win_map']):
        try:
            from nlp_models.benchmark import picture as drawing

            drawing.write(results['win_map'], folder / 'win_map.png')
            picture = '![The win map](win_map.png)\n\n'
        except ImportError as error:
            say(f'the picture of the win map: left out, {error.name} is not installed')
    sections = [
        machine(results),
        peers(results['rows']),
        details(results['rows']),
        families(results['families']),
        picture + win_map(results['win_map']) if results['win_map'] else '',
    ]
    (folder / 'tables.md').write_text('\n\n'.join(part for part in sections if part) + '\n')


def machine(results: Results) -> str:
    """What it was measured on, in a few lines."""
    m = results['machine']
    versions = ', '.join(f'{name} {version}' for name, version in m['versions'].items())
    rates = results.get('matmul', {}).get('value', {})
    products = ', '.join(f'{name} {rate / 1e9:,.0f} GFLOP/s' for name, rate in rates.items())
    lines = [
        f'{m["processor"]}, {m["cores"]} cores, {m["memory_bytes"] / 2**30:.0f} GiB; '
        f'{m["devices"]} {m["platform"]} device{"s" if m["devices"] > 1 else ""} ({m["device"]}).',
        f'{versions}.',
        f'Matrix product, all cores: {products}.' if products else '',
        f'Commit {results["commit"]}.' if results.get('commit') else '',
    ]
    return '\n'.join(line for line in lines if line)


def peers(rows: Sequence[Results]) -> str:
    """The table of what has a peer: medians, the ratio with its interval, the bar."""
    lines = []
    for row in rows:
        if 'error' in row:
            cells = ['failed', '', row['error'], '', '']
        else:
            cells = [
                seconds(row.get('seconds')),
                seconds(row.get('peer_seconds')),
                ratio(row),
                str(row.get('rounds') or ''),
                '; '.join(bar(entry, row) for entry in row.get('bars', [])),
            ]
        lines.append([row['work'], shape(row['shape']), row['peer'] or '', *cells])
    head = ['work', 'shape', 'against', 'ours', 'theirs', 'ratio (95 %)', 'rounds', 'bar']
    note = (
        'Ratios above 1: ours is the faster (or smaller). Medians of rounds in which both took '
        'turns; the interval is that of the median ratio.'
    )
    return f'{table(head, lines)}\n\n{note}' if lines else ''


def details(rows: Sequence[Results]) -> str:
    """What our side of each row takes beside time."""
    lines = []
    for row in rows:
        if row.get('flops') is None or 'error' in row:
            continue
        named = ('peer_detail', 'value_error', 'gradient_error', 'iterations', 'converged')
        named += ('flops_with_iterations', 'training_losses', 'loss', 'steps')
        more = [f'{name.replace("_", " ")} {brief(row[name])}' for name in named if name in row]
        named = ('scores_bytes', 'plain_attention_plans_for')
        more += [f'{name.replace("_", " ")} {bytes_(row[name])}' for name in named if row.get(name)]
        if row.get('converged') is False:
            more.append("so the scan's answer was taken")
        lines.append(
            [
                f'{row["work"]} (against {row["peer"]})',
                shape(row['shape']),
                seconds(row.get('compile_seconds')),
                bytes_(row.get('peak_memory')),
                *speed(row),
                ', '.join(more),
            ]
        )
    head = ['work', 'shape', 'compiling', 'memory', 'GFLOP/s', 'of matmul', 'more']
    return table(head, lines) if lines else ''


def families(rows: Sequence[Results]) -> str:
    """The table of every family and way of evaluation."""
    lines = []
    for row in rows:
        name = [row['work'], row['evaluation'], shape(row['shape'])]
        if 'error' in row or 'infeasible' in row:
            reason = row.get('error') or f'not run: {row["infeasible"]}'
            lines.append([*name, reason, '', '', '', '', '', ''])
            continue
        lines.append(
            [
                *name,
                seconds(row['compile_seconds']),
                seconds(row['forward_seconds']),
                seconds(row['forward_backward_seconds']),
                seconds(row['decode_seconds']),
                bytes_(row['peak_memory']),
                *speed(row),
            ]
        )
    head = ['family', 'evaluation', 'shape', 'compiling', 'forward', 'forward and backward']
    head += ['decoding a token', 'memory', 'GFLOP/s', 'of matmul']
    return table(head, lines) if lines else ''


def win_map(rows: Sequence[Results]) -> str:
    """The map as a table: width by length, the fastest and by how much."""
    points = {(row['shape']['D'], row['shape']['T']): row for row in rows}
    missing = [
        f'{name} at T={t} D={w}: {why}'
        for (w, t), row in sorted(points.items())
        for name, why in row.get('infeasible', {}).items()
    ]
    text = '\n\n'.join(
        [
            'The fastest at forward and backward pass of one sequence, and how many times the '
            'second fastest takes.',
            grid(points, 'fastest', 'ratio'),
            'Among the three ways to compute the same function, the GRU:',
            grid(points, 'fastest_gru', 'ratio_gru'),
            'Likewise the minGRU, step by step and by the associative scan:',
            grid(points, 'fastest_mingru', 'ratio_mingru'),
        ]
    )
    return text + (f'\n\nInfeasible: {"; ".join(missing)}.' if missing else '')


def grid(points: dict[tuple[int, int], Results], winner: str, by: str) -> str:
    """Width by length: who is the fastest, and its lead."""
    widths, lengths = sorted({w for w, _ in points}), sorted({t for _, t in points})
    lines = []
    for width in widths:
        cells = []
        for length in lengths:
            row = points.get((width, length), {})
            lead = f' {row[by]:.2g}×' if row.get(by) else ''
            cells.append('failed' if 'error' in row else f'{row.get(winner) or ""}{lead}')
        lines.append([str(width), *cells])
    return table(['width \\ length', *(f'{length:,}' for length in lengths)], lines)


def table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    rows = [head, ['---'] * len(head), *lines]
    return '\n'.join('| ' + ' | '.join(cell or '–' for cell in row) + ' |' for row in rows)


def shape(sizes: dict[str, int]) -> str:
    """Axis letters and sizes: B=32 T=256."""
    return ' '.join(f'{axis}={size}' for axis, size in sizes.items())


def brief(value: Any) -> str:
    """Numbers with two digits, anything else as it is."""
    if isinstance(value, list):
        return ' to '.join(brief(entry) for entry in value)
    return f'{value:.2g}' if isinstance(value, float) else str(value)


def seconds(value: float | None) -> str:
    """A time with three digits, in s, ms or µs."""
    if value is None or not math.isfinite(value):
        return ''
    for size, unit in ((1.0, 's'), (1e-3, 'ms'), (1e-6, 'µs')):
        if value >= size * 0.9995 or unit == 'µs':
            return f'{float(f"{value / size:.3g}"):g} {unit}'
    raise AssertionError('the last unit takes everything')


def bytes_(value: float | None) -> str:
    """A size with three digits, in GB, MB or kB."""
    if value is None:
        return ''
    for size, unit in ((1e9, 'GB'), (1e6, 'MB'), (1e3, 'kB')):
        if value >= size * 0.9995 or unit == 'kB':
            return f'{float(f"{value / size:.3g}"):g} {unit}'
    raise AssertionError('the last unit takes everything')


def speed(row: Results) -> list[str]:
    """GFLOP/s and the fraction of a matrix product's."""
    fraction = row.get('fraction_of_matmul')
    return [
        f'{row["flops_per_second"] / 1e9:.3g}' if row.get('flops_per_second') else '',
        f'{100 * fraction:.2g} %' if fraction else '',
    ]


def ratio(row: Results) -> str:
    """The ratio with its interval; the coverage where it is below 95 %."""
    if row.get('ratio') is None:
        return ''
    text = f'{row["ratio"]:.3g}'
    if row.get('ratio_interval'):
        low, high = row['ratio_interval']
        text += f' ({low:.3g} to {high:.3g}'
        if row['coverage'] < 0.95:
            text += f'; {row["rounds"]} rounds cover {100 * row["coverage"]:.0f} %'
        text += ')'
    return text + (' in bytes' if 'ratio_of' in row else '')


def bar(entry: Results, row: Results) -> str:
    """A bar and whether it is met; said too where the ratio's interval has it inside."""
    sign, limit = ('≥', entry['at_least']) if 'at_least' in entry else ('≤', entry['at_most'])
    name = '' if entry['quantity'] == 'ratio' else f'{entry["quantity"].replace("_", " ")} '
    verdict = 'met' if entry['met'] else 'not met'
    low, high = (entry['quantity'] == 'ratio' and row.get('ratio_interval')) or (limit, limit)
    within = ', the interval crosses it' if low < limit < high else ''
    return f'{name}{sign} {limit:.3g}: {verdict}{within}'
