"""Every family in every way it can be evaluated: compile time, both passes, decoding, memory."""

from functools import partial
from typing import Any

import jax

from nlp_models import costs, models, timing
from nlp_models.analysis.throughput import decoding_cost
from nlp_models.benchmark import attention_works, feasibility, works
from nlp_models.benchmark.bench import Bench
from nlp_models.benchmark.results import Row
from nlp_models.benchmark.works import Setting
from nlp_models.recurrent import cudnn
from nlp_models.recurrent.cells import Cell

HEAD_SIZE = 64  # of attention, or the whole width where that is less


def heads(width: int) -> int:
    """H for a width: heads of 64."""
    return max(1, width // HEAD_SIZE)


def rows(bench: Bench) -> None:
    """One row for each cell (and the transformer's layer), evaluation and shape."""
    group = bench.config.families
    common = {'seed': bench.config.seed, 'num_devices': bench.config.num_devices}
    for batch_size, length, width in group.shapes:
        shape = (batch_size, length, width)
        for name in group.cells:
            model = bench.config.cells[name]
            cell = models.CELLS[model.family](model)
            for evaluation, backward in ways(cell):
                for dtype in group.dtypes:
                    setting = Setting(*shape, evaluation, backward, dtype)
                    make = partial(works.recurrent, model, setting, **common)
                    why = feasibility.recurrent(
                        works.recurrence(cell, setting), evaluation, bench.rates[dtype], group
                    )
                    _row(bench, name, setting, why, make, model)
        for implementation in group.attention:
            for dtype in group.dtypes:
                setting = Setting(*shape, implementation, '', dtype)
                make = partial(
                    attention_works.transformer_layer,
                    *shape,
                    heads(width),
                    implementation=implementation,
                    dtype=dtype,
                    **common,
                )
                why = feasibility.attention(
                    batch_size, length, width, heads(width), implementation == 'plain', group
                )
                model = bench.config.transformer
                _row(bench, 'transformer layer', setting, why, make, model)


def ways(cell: Cell) -> list[tuple[str, str]]:
    """(evaluation, backward) of everything that a cell allows here."""
    found = [('sequential', 'custom')]
    if cell.adjoint is not None:  # the others have JAX's own either way
        found.append(('sequential', 'autodiff'))
    if cell.terms is not None:
        return [*found, ('associative', 'custom')]
    if cudnn.is_lstm(cell) and cudnn.available():
        found.append(('cudnn', 'custom'))
    return [*found, ('newton', 'custom'), ('quasi_newton', 'custom')]


def _row(bench: Bench, name: str, setting: Setting, why: str, make: Any, model: Any) -> None:
    group = bench.config.families
    evaluation = setting.evaluation + (', autodiff' if setting.backward == 'autodiff' else '')
    key = {
        'work': f'{name}, {setting.dtype}',
        'shape': dict(zip('BTD', setting[:3], strict=True)),
        'evaluation': evaluation,
    }

    def measure() -> Row:
        if why:
            return {'infeasible': why}
        forward, both = make(passes=costs.FORWARD), make(passes=costs.FORWARD_BACKWARD)
        seconds = {}
        for passes, work in (('forward', forward), ('forward_backward', both)):
            seconds[passes] = timing.median_seconds(work.call, seconds=group.seconds)
        speed = bench.speed(both, seconds['forward_backward'], setting.dtype)
        return {
            **speed,
            'compile_seconds': forward.compile_seconds + both.compile_seconds,
            'forward_seconds': seconds['forward'],
            'forward_backward_seconds': seconds['forward_backward'],
            'decode_seconds': decode(bench, model, setting),
        }

    settings = [group.to_dict(), model.to_dict()]
    bench.results.row('families', key, settings, measure)


def decode(bench: Bench, model: Any, setting: Setting) -> float | None:
    """Seconds a token for one text at its length: the language model of one such layer.

    None for a way of evaluation that says nothing about decoding, which is one step at a time.
    """
    first = setting.evaluation in ('sequential', 'plain', 'auto') and setting.backward != 'autodiff'
    if not first or setting.length < 64:
        return None
    model = model.copy_and_resolve_references()
    model.update(hidden_size=setting.width, num_layers=1, dtype=setting.dtype)
    if model.family == 'transformer':
        model.num_heads = heads(setting.width)
    vocab_size = bench.config.vocab_size
    built = models.build(model, vocab_size=vocab_size, max_length=setting.length)
    (row,) = decoding_cost(
        built,
        built.init(jax.random.key(bench.config.seed)),
        lengths=(setting.length,),
        vocab_size=vocab_size,
        seconds=bench.config.families.seconds / 2,
        seed=bench.config.seed,
    )
    return row['seconds_per_token']
