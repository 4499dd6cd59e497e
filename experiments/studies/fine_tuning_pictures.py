"""What the evidence on fine-tuning looks like: curves against the size of the data, and a table."""

import statistics
from typing import Any

import numpy as np

from nlp_models import timing
from nlp_models.analysis import drawing
from nlp_models.analysis.document import Table
from nlp_models.analysis.intervals import student_t
from nlp_models.analysis.numbers import last_digit, picked, write
from nlp_models.analysis.study import Evidence, Picture

SCRATCH = 'scratch'
METHODS = {
    'full': 'full',
    'freeze': 'freezing',
    'gradual': 'gradual unfreezing',
    'layerwise': 'rates by layer',
    'adapter': 'adapters',
    'lora': 'LoRA',
    'prefix': 'prefix',
    'bitfit': 'BitFit',
    'scratch': 'from nothing',
}
BAG = 'bag of words'


def named(methods: Any) -> list[str]:
    """Those of `METHODS` that there are, in that order."""
    return [name for name in METHODS if name in methods]


def size_name(size: int) -> str:
    """How a size is written; 0 is all there is."""
    return f'{size:,}' if size else 'all'


def plot(evidence: Evidence) -> list[Picture]:
    """Scores against size; what is forgotten against what is learned."""
    return [_plot_docstrings(evidence), _plot_code(evidence), _plot_forgetting(evidence)]


def tables(evidence: Evidence) -> list[Table]:
    """Every method at every size: accuracy with its interval, parameters trained; its rates."""
    part = evidence.config['docstrings']
    sizes = part['sizes']
    base = evidence.value(what='base')
    header = ('method', 'trained', *(f'{size_name(n)} texts' for n in sizes), 'macro F1', 'forgets')
    rows = [_row(evidence, method, sizes, base) for method in named(part['methods'])]
    bag = [evidence.value(what='bag', size=n) for n in sizes]
    told = [_interval(value['accuracy']) for value in bag]
    rows.append((BAG, '–', *told, _interval(bag[-1]['macro_f1']), '–'))
    texts, test = base['texts'][0], base['texts'][2]
    caption = (
        f'MiniLM on “which package is this docstring from”, {len(base["labels"])} packages, '
        f'{texts:,} texts to train on, accuracy on {test:,} test texts with 95 % intervals over '
        f'{evidence.config["seeds"]} seeds; macro F1 with all texts; forgets: the loss on pairs of '
        f'halves of docstrings, in nats, after minus before ({write(base["remembered"])}), with '
        f'all texts. The commonest package is {base["majority"]:.3f} of the test texts. With all '
        'texts to train on seeds differ in the head and the order alone.'
    )
    return [Table(header, tuple(rows), caption), _costs(evidence), _rates(evidence)]


def _costs(evidence: Evidence) -> Table:
    part, rows = evidence.config['docstrings'], []
    timed = evidence.value(what='costs')
    full = timed['seconds']['full']
    for method in named(timed['seconds']):
        seconds = timed['seconds'][method]
        over = np.divide(seconds, full).tolist()
        low, high, _ = timing.median_interval(over)
        told = f'{statistics.median(over):.2f} ({low:.2f} to {high:.2f})'
        ratio = '1' if method == 'full' else told
        value = evidence.value(what='docstrings', method=method, size=part['sizes'][-1])
        memory = [value['memory'][name] for name in ('step', 'gradient', 'optimizer_state')]
        sizes = ['–' if size is None else drawing.in_bytes(float(size)) for size in memory]
        rows.append((METHODS[method], write(statistics.median(seconds)), ratio, *sizes))
    caption = (
        f'What a step of MiniLM costs, {part["training"]["batch_size"]} texts of at most '
        f'{part["training"]["sequence_length"]} tokens, on {timed["place"]}: seconds, the median '
        f'of {len(full)} steps; that over those of full, taken in turn (95 %); working memory of '
        'the compiled step, without parameters, optimizer and batch; the gradients of what is '
        'trained; and what the optimizer keeps.'
    )
    header = ('method', 'seconds', 'over full', 'memory', 'gradients', 'optimizer')
    return Table(header, tuple(rows), caption)


def _rates(evidence: Evidence) -> Table:
    part, sizes = evidence.config['docstrings'], evidence.config['code']['sizes']
    rows = []
    for method in named(evidence.config['code']['methods']):
        found = [evidence.value(what='code', method=method, size=n) for n in sizes]
        picks = [picked(value['learning_rate'], value['swept']) for value in found]
        docs = '–'
        if method in part['methods']:
            value = evidence.value(what='rate', method=method)
            docs = picked(value['rate'], value['swept'])
        rows.append((METHODS[method], docs, *picks))
    caption = (
        'Learning rates, at their peak, that validation texts picked of a sweep; * the lowest or '
        'highest that was tried.'
    )
    header = ('method', 'docstrings', *(f'code, {size_name(n)} characters' for n in sizes))
    return Table(header, tuple(rows), caption)


def _row(evidence: Evidence, method: str, sizes: Any, base: dict) -> tuple[str, ...]:
    values = [evidence.value(what='docstrings', method=method, size=n) for n in sizes]
    last = values[-1]
    trained = f'{last["trained"]:,} ({last["trained"] / last["parameters"]:.2%})'
    forgotten = '–'
    if last['remembered']:
        forgotten = _interval([after - base['remembered'] for after in last['remembered']])
    scores = [_interval(value['accuracy']) for value in values]
    return (METHODS[method], trained, *scores, _interval(last['macro_f1']), forgotten)


def _interval(values: list[float]) -> str:
    """A mean with its interval, as many digits as that has."""
    if not np.isfinite(values).all():
        return 'diverged'
    found = student_t(values)
    if not np.isfinite(found.low):
        return write(found.mean)
    if found.low == found.high:
        return write(found.mean)
    last = last_digit([found.mean, found.low, found.high], (found.high - found.low) / 2)
    low, mean, high = (write(each, last) for each in (found.low, found.mean, found.high))
    return f'{mean} [{low}, {high}]'


def _against_size(axes: Any, curves: dict[str, dict], ticks: dict[float, str], **how: Any) -> None:
    drawing.against(axes, curves, names=METHODS | {BAG: BAG}, xscale='log', **how)
    axes.set_xticks(list(ticks), labels=list(ticks.values()))
    axes.minorticks_off()


def _told(curves: dict[str, dict], digits: int = 3) -> str:
    parts = []
    for name, curve in curves.items():
        values = ', '.join(f'{np.nanmean(v):.{digits}f}' for v in curve.values())
        parts.append(f'{METHODS.get(name, name)} {values}')
    return '; '.join(parts)


def _plot_docstrings(evidence: Evidence) -> Picture:
    figure, (axes,) = drawing.figure(1)
    part, everything = evidence.config['docstrings'], evidence.value(what='base')['texts'][0]
    at = {n: n or everything for n in part['sizes']}
    curves: dict[str, dict] = {
        method: {
            x: evidence.value(what='docstrings', method=method, size=n)['accuracy']
            for n, x in at.items()
        }
        for method in named(part['methods'])
    }
    curves[BAG] = {x: evidence.value(what='bag', size=n)['accuracy'] for n, x in at.items()}
    ticks = {float(x): size_name(n) for n, x in at.items()}
    _against_size(axes, curves, ticks, xlabel='texts to train on', ylabel='accuracy, test')
    caption = (
        'MiniLM on docstrings: accuracy by method and number of texts '
        f'({", ".join(ticks.values())}). {_told(curves)}.'
    )
    return Picture('docstrings', (30, 31, 32, 33), caption, figure)


def _plot_code(evidence: Evidence) -> Picture:
    figure, (upper, lower) = drawing.figure(2)
    part = evidence.config['code']
    prose = np.asarray(evidence.value(what='prose')['old'])
    new: dict[str, dict] = {}
    old: dict[str, dict] = {}
    for method in named(part['methods']):
        cells = {n: evidence.value(what='code', method=method, size=n) for n in part['sizes']}
        new[method] = {n: (np.asarray(v['new']) / np.log(2)).tolist() for n, v in cells.items()}
        if method != SCRATCH:
            old[method] = {n: (np.asarray(v['old']) - prose).tolist() for n, v in cells.items()}
    ticks = {float(n): drawing.in_counts(float(n)) for n in part['sizes']}
    _against_size(upper, new, ticks, ylabel='bits a character of code')
    _against_size(lower, old, ticks, xlabel='characters of code', ylabel='forgotten, nats')
    before = np.mean(evidence.value(what='prose')['new']) / np.log(2)
    caption = (
        f'A language model from prose to code. Above, bits a character of code it has not seen '
        f'(before: {before:.2f}); below, how much worse it predicts prose than before. At '
        f'{", ".join(ticks.values())} characters: {_told(new, 2)}. Forgotten: {_told(old, 2)}.'
    )
    return Picture('code', (30, 31, 32, 33), caption, figure)


def _plot_forgetting(evidence: Evidence) -> Picture:
    figure, (axes,) = drawing.figure(1)
    before = evidence.value(what='base')['remembered']
    size = evidence.config['docstrings']['sizes'][-1]
    rows = {}
    for method in named(evidence.config['docstrings']['methods']):
        value = evidence.value(what='docstrings', method=method, size=size)
        if value['remembered']:
            rows[METHODS[method]] = [after - before for after in value['remembered']]
    drawing.dots(axes, rows, xlabel='loss on pairs of halves, after minus before, nats')
    parts = [f'{name} {np.nanmean(values):+.3f}' for name, values in rows.items()]
    caption = (
        'How much worse MiniLM tells which halves of docstrings belong together after it has '
        f'learned with {size_name(size)} texts, everything that was added left in place: '
        f'{", ".join(parts)} nats; before, {before:.3f}.'
    )
    return Picture('forgetting', (33,), caption, figure)
