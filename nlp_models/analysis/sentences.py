"""What the numbers of a comparison say, in sentences.

Every sentence is computed from the numbers it stands beside. Two values that are written alike are
called equal, so no sentence claims a difference that its own digits do not show.
"""

from collections.abc import Callable, Iterable, Mapping

from nlp_models.analysis import plots
from nlp_models.analysis.drawing import in_bytes, in_seconds, is_number, label
from nlp_models.analysis.plots import Results

SAME = 1.1  # times that values may differ and still be said to stay the same


def sentences(results: Results) -> dict[str, str]:
    """Says what the numbers show.

    Args:
      results: what the comparison wrote to `results.json`.

    Returns:
      `table`: the lowest bits per character and by how much; `baseline`: which neural families beat
      the best n-gram; `unigram`: how far each is from the unigram; `learning`, `throughput`,
      `decoding`: what each plot shows.
    """
    families = results['families']
    bits = {name: family.get('valid_bits_per_char') for name, family in families.items()}
    found = {name: round(value, 3) for name, value in bits.items() if is_number(value)}
    return {
        'table': _about_lowest(found, [name for name in bits if name not in found]),
        'baseline': _about_baseline(results, found),
        'unigram': _about_unigram(results, found),
        'learning': _about_learning(results),
        'throughput': _about_throughput(results),
        'decoding': _about_decoding(results),
    }


def _listed(words: Iterable[str]) -> str:
    """Writes a list: a, b and c."""
    words = list(words)
    return ' and '.join([', '.join(words[:-1])] * (len(words) > 1) + words[-1:])


def _names(names: Iterable[str]) -> str:
    return _listed(label(name) for name in names)


def _times(ratio: float) -> str:
    return f'×{ratio:.2f}' if 0.1 <= ratio < 10 else f'×{float(f"{ratio:.3g}"):,g}'


def _about_lowest(found: Mapping[str, float], missing: list[str]) -> str:
    said = 'No family ended with a finite number of bits per character.'
    if found:
        best = min(found.values())
        leaders = [name for name in found if found[name] == best]
        rest = sorted((value, name) for name, value in found.items() if value > best)
        verb = 'has the lowest' if len(leaders) == 1 else 'share the lowest'
        said = f'{_names(leaders)} {verb} bits per character, {best:.3f}'
        if rest:
            (second, _), *_ = rest
            said += f', {second - best:.3f} below {_names(n for v, n in rest if v == second)}'
        said += '.'
        if missing:
            said += f' Without a finite value: {_names(missing)}.'
    return said


def _about_baseline(results: Results, found: Mapping[str, float]) -> str:
    baseline = plots.best_ngram(results)
    neural = [name for name in results['families'] if name != 'ngram']
    if baseline is None or not neural:
        return f'No {"n-gram" if neural else "neural family"} was measured.'
    level = round(baseline[1], 3)
    gaps = {name: round(found[name] - level, 3) for name in neural if name in found}
    won = [f'{label(name)} (by {-gap:.3f})' for name, gap in gaps.items() if gap < 0]
    lost = [f'{label(name)} ({gap:.3f} above)' for name, gap in gaps.items() if gap > 0]
    equal = [name for name, gap in gaps.items() if gap == 0]
    failed = [name for name in neural if name not in found]
    against = f'the best n-gram ({baseline[0]}, {level:.3f} bits per character)'
    if won:
        every = 'every neural family beats' if len(won) == len(neural) > 1 else ''
        beat = 'beats' if len(won) == 1 else 'beat'
        said = f'{every} {against}: {_listed(won)}' if every else f'{_listed(won)} {beat} {against}'
        said += f'; {_listed(lost)} {"does" if len(lost) == 1 else "do"} not' if lost else ''
    else:
        said = f'no neural family beats {against}' + (f': {_listed(lost)}' if lost else '')
    if equal:
        said += f'; {_names(equal)} {"equals" if len(equal) == 1 else "equal"} it to three decimals'
    if failed:
        said += f'; {_names(failed)} ended without a finite value'
    return f'In {in_seconds(results["budget_seconds"])} of training each, {said}.'


def _about_unigram(results: Results, found: Mapping[str, float]) -> str:
    level = plots.unigram(results)
    if level is None:
        return 'No unigram was measured.'
    gaps = {name: round(value - round(level, 3), 3) for name, value in found.items()}
    if results['families'].get('ngram', {}).get('order') == 1:
        gaps.pop('ngram', None)  # the best n-gram is the unigram itself
    parts = []
    for word, sign in (('below', -1), ('above', 1)):
        there = sorted((-gap * sign, name) for name, gap in gaps.items() if gap * sign > 0)
        if there:
            parts.append(f'{word} it: {_listed(f"{label(n)} by {-gap:.3f}" for gap, n in there)}')
    if equal := [name for name, gap in gaps.items() if gap == 0]:
        parts.append(f'equal to it: {_names(equal)}')
    return (
        f'The unigram needs {level:.3f} bits per character'
        + ''.join(f'; {part}' for part in parts)
        + '.'
    )


def _about_learning(results: Results) -> str:
    lines, baseline = plots.curves(results), plots.best_ngram(results)
    if not lines:
        return 'No learning curve was measured.'
    passed, never, last = [], [], []
    for name, points in lines.items():
        bits = [round(value, 3) for _, value in points]
        if len(bits) > 1:
            last.append(f'{label(name)} {bits[-1] - bits[-2]:+.3f}'.replace('-', '−'))
        below = [i for i, value in enumerate(bits) if baseline and value < round(baseline[1], 3)]
        if not below:
            never.append(name)
            continue
        since, until = points[max(below[0] - 1, 0)][0], points[below[0]][0]
        when = f'between {since:,.3g} and {until:,.3g} s' if below[0] else f'by {until:,.3g} s'
        again = '' if below[-1] == len(bits) - 1 else ', but not at the end'
        passed.append(f'{label(name)} {when}{again}')
    said = []
    if baseline:
        said += [f'First below the best n-gram ({baseline[0]}): {"; ".join(passed)}.'] * bool(
            passed
        )
        said += [f'At no moment below the best n-gram: {_names(never)}.'] * bool(never)
    if last:
        said.append(
            f'Change in bits per character between the last two moments: {", ".join(last)}.'
        )
    return ' '.join(said) or 'Each curve has one moment only.'


def _about_throughput(results: Results) -> str:
    rates = plots.series(results, 'training', 'tokens_per_second')
    if not rates:
        return 'No training throughput was measured.'
    lengths = [length for points in rates.values() for length in points]

    def write(value: float) -> str:
        return f'{float(f"{value:.3g}"):,.10g} tokens/s'

    said = [_leader(rates, at, 'fastest', -1, write) for at in sorted({min(lengths), max(lengths)})]
    sizes = [points.values() for points in plots.series(results, 'training', 'batch_size').values()]
    few, many = min(map(min, sizes), default=0), max(map(max, sizes), default=0)
    batches = f'{few:,.0f} to {many:,.0f}' if few < many else f'{few:,.0f}'
    said += [_changes(rates) + _unmeasured(results, rates)]
    return f'Training throughput, sequences in a batch: {batches}. {" ".join(said)}'


def _about_decoding(results: Results) -> str:
    times = plots.series(results, 'decoding', 'seconds_per_token')
    states = plots.series(results, 'decoding', 'state_bytes')
    if not times and not states:
        return 'No decoding was measured.'
    said = []
    for title, found, word, write in (
        ('Decoding, time per token', times, 'cheapest', in_seconds),
        ('Decoding, state carried', states, 'smallest', in_bytes),
    ):
        if found:
            longest = max(length for points in found.values() for length in points)
            said += [f'{title}. {_changes(found)} {_leader(found, longest, word, 1, write)}']
    return ' '.join(said) + _unmeasured(results, times or states)


def _unmeasured(results: Results, found: Mapping) -> str:
    missing = [name for name in results['families'] if name not in found and name != 'ngram']
    return f' Not measured: {_names(missing)}.' if missing else ''


def _leader(
    found: Mapping[str, Mapping[int, float]],
    length: int,
    word: str,
    sign: int,
    write: Callable[[float], str],
) -> str:
    """Says who is best at one length: lowest if `sign` is 1, highest if it is −1."""
    there = {name: points[length] for name, points in found.items() if length in points}
    order = sorted(there, key=lambda name: sign * there[name])
    best = write(there[order[0]])
    leaders = [name for name in order if write(there[name]) == best]
    at = f'At length {length:,}'
    if len(there) == 1:
        said = f'{at} only {_names(leaders)} was measured: {best}'
    elif len(leaders) == len(there):
        said = f'{at} {_names(leaders)} are equal: {best}'
    else:
        second = order[len(leaders)]
        verb = 'is' if len(leaders) == 1 else 'are'
        said = f'{at} {_names(leaders)} {verb} {word}: {best}'
        said += f', then {label(second)}: {write(there[second])}'
    absent = [name for name in found if name not in there] if len(there) > 1 else []
    return said + (f' (not measured there: {_names(absent)}).' if absent else '.')


def _changes(found: Mapping[str, Mapping[int, float]]) -> str:
    """Says how each family's value at its longest length compares with that at its shortest."""
    spans = {name: (min(points), max(points)) for name, points in found.items()}
    widest = (min(low for low, _ in spans.values()), max(high for _, high in spans.values()))
    if widest[0] == widest[1]:
        return f'Only length {widest[0]:,} was measured, so nothing is said of a change with it.'
    kinds: dict[tuple[str, str], list[str]] = {
        ('is constant', 'are constant'): [],
        ('stays the same within 10 %', 'stay the same within 10 %'): [],
        ('ends within 10 % of its start', 'end within 10 % of their start'): [],
        ('rises', 'rise'): [],
        ('falls', 'fall'): [],
        ('has one length only', 'have one length only'): [],
    }
    for name, points in found.items():
        values, (low, high) = list(points.values()), spans[name]
        ratio, spread = values[-1] / values[0], max(values) / min(values)
        inside = 1 / SAME <= ratio <= SAME
        kind = 0 if spread == 1 else 1 if spread <= SAME else 2 if inside else 3 + (ratio < 1)
        notes = [_times(ratio)] * (kind > 0)
        notes += [f'varying {_times(spread)} between'] * (kind == 2)
        notes += [f'{low:,} to {high:,}'] * (spans[name] != widest)
        if low == high:
            kind, notes = 5, [f'{low:,}']
        list(kinds.values())[kind].append(label(name) + (f' ({", ".join(notes)})' if notes else ''))
    said = [f'{_listed(who)} {verbs[len(who) > 1]}' for verbs, who in kinds.items() if who]
    return f'From length {widest[0]:,} to {widest[1]:,}: {"; ".join(said)}.'
