"""Rows: attention in chunks against plain, and Newton's iteration against the scan."""

from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax

from nlp_models import costs, timing
from nlp_models.benchmark import attention_works, works
from nlp_models.benchmark.bench import Bench, at_least, at_most
from nlp_models.benchmark.results import Row
from nlp_models.benchmark.works import Setting
from nlp_models.recurrent import newton, sequential
from nlp_models.recurrent.cells import Cell

DELAY = 2  # steps that the trained cells carry their input across


def attention_rows(bench: Bench) -> None:
    """Every form of `config.attention.forms` against plain attention."""
    for name, form in bench.config.attention.forms.items():
        _attention_memory(bench, name, form)
        _attention_time(bench, name, form)


def _attention(bench: Bench, length: int, implementation: str, dtype: str) -> works.Work:
    group = bench.config.attention
    return attention_works.attention(
        group.batch_size,
        length,
        group.num_heads,
        group.head_size,
        passes=costs.FORWARD_BACKWARD,
        implementation=implementation,
        dtype=dtype,
        seed=bench.config.seed,
        num_devices=bench.config.num_devices,
    )


def _attention_shape(group: Any, length: int) -> dict[str, int]:
    return {'B': group.batch_size, 'T': length, 'H': group.num_heads, 'K': group.head_size}


def _attention_memory(bench: Bench, name: str, form: Any) -> None:
    """All that is planned for at the greatest length, against one float32 array of T × T scores.

    Plain attention holds more than that one array: what it plans for is written down too.
    """
    group = bench.config.attention

    def measure() -> Row:
        work = _attention(bench, group.length, form.implementation, form.dtype)
        seconds = timing.median_seconds(work.call, seconds=bench.config.clock.seconds / 2)
        shape = group.batch_size, group.length, group.num_heads, group.head_size
        plain = attention_works.attention_bytes_planned(*shape, 'plain', form.dtype)
        scores = 4 * group.batch_size * group.num_heads * group.length**2
        ratio = scores / work.peak_memory if work.peak_memory else None
        return {
            'seconds': seconds,
            'peer_seconds': None,
            'ratio': ratio,
            'ratio_interval': None,
            'ratio_of': 'bytes: the scores over all that ours plans for, inputs and results too',
            'scores_bytes': scores,
            'plain_attention_plans_for': plain,
            **bench.speed(work, seconds, form.dtype),
            'bars': at_least('ratio', ratio, form.memory_bar),
        }

    key = {
        'work': f'{name} attention, {form.dtype}, memory',
        'shape': _attention_shape(group, group.length),
        'peer': 'one array of scores, float32 [B, H, T, T]',
    }
    settings = [group.to_dict(), bench.config.clock.to_dict(), bench.config.seed]
    bench.results.row('rows', key, settings, measure)


def _attention_time(bench: Bench, name: str, form: Any) -> None:
    """Both passes at the greatest length where plain attention fits, in the same dtype."""
    group = bench.config.attention

    def planned(length: int) -> float:
        shape = group.batch_size, length, group.num_heads, group.head_size
        return attention_works.attention_bytes_planned(*shape, 'plain', form.dtype) or 0.0

    fits = [length for length in group.lengths if planned(length) <= group.bytes_limit]
    if not fits:
        bench.say(f'{name} attention: plain attention fits at none of {group.lengths}')
        return
    bench.pair(
        f'{name} attention, {form.dtype}, forward and backward',
        _attention_shape(group, max(fits)),
        'our plain attention',
        group.to_dict(),
        ours=partial(_attention, bench, max(fits), form.implementation, form.dtype),
        theirs=partial(_attention, bench, max(fits), 'plain', form.dtype),
        bar=form.time_bar,
        dtype=form.dtype,
    )


def newton_rows(bench: Bench) -> None:
    """Every cell of `config.newton.cells`, random and trained weights, full and diagonal."""
    group = bench.config.newton
    for name in group.cells:
        for trained in (False, True):
            for evaluation in ('newton', 'quasi_newton'):
                _newton_row(bench, name, trained, evaluation)


def _newton_row(bench: Bench, name: str, trained: bool, evaluation: str) -> None:
    group, seed = bench.config.newton, bench.config.seed
    model = bench.config.cells[name]
    setting = Setting(1, group.length, group.width, evaluation)
    known: dict[str, Any] = {}  # made when the first of them is asked for: a stored row needs none

    def weights() -> dict:
        if not known:
            cell, params = works.make_cell(model, group.width, seed)
            known.update(cell=cell, params=params, losses=None)
            if trained:
                known['params'], known['losses'] = train(cell, params, group.training_steps, seed)
        return known['params']

    @cache  # what is timed is what the errors are of
    def make(how: str) -> works.Work:
        return works.recurrent(
            model,
            setting._replace(evaluation=how),
            passes=costs.FORWARD_BACKWARD,
            params=weights(),
            seed=seed,
        )

    def errors() -> Row:
        mine, scan = make(evaluation).call(), make('sequential').call()
        found = newton_errors(known['cell'], weights(), setting, mine, scan, seed)
        if known['losses'] is not None:
            found['training_losses'] = known['losses']
        full = evaluation == 'newton'
        flops = works.recurrent_flops(
            known['cell'], setting, costs.FORWARD_BACKWARD, found['iterations']
        )
        bars = at_most('value_error', found['value_error'], full * group.value_bar)
        bars += at_most('gradient_error', found['gradient_error'], full * group.gradient_bar)
        return {**found, 'flops_with_iterations': flops, 'bars': bars}

    bench.pair(
        f'{name} by {evaluation}, {"trained" if trained else "random"} weights',
        {'B': 1, 'T': group.length, 'N': group.width},
        'our scan',
        group.to_dict(),
        ours=partial(make, evaluation),
        theirs=partial(make, 'sequential'),
        more=errors,
    )


def newton_errors(
    cell: Cell, params: dict, setting: Setting, mine: Any, scan: Any, seed: int
) -> Row:
    """How far Newton's results lie from the scan's, and how many iterations it took.

    Args:
      cell: the cell.
      params: its parameters.
      setting: how it was run.
      mine: (y, gradients of parameters and inputs) by Newton's iteration.
      scan: the same by the scan.
      seed: of the inputs.

    Returns:
      `value_error`: the greatest difference of any y; `gradient_error`: the greatest difference in
      any gradient array over that array's greatest magnitude; `iterations`, `converged`.
    """

    def difference(a: jax.Array, b: jax.Array) -> tuple[float, float]:
        a64, b64 = np.asarray(a, np.float64), np.asarray(b, np.float64)
        return float(np.max(np.abs(a64 - b64))), float(np.max(np.abs(b64)))

    pairs = zip(jax.tree.leaves(mine[1:]), jax.tree.leaves(scan[1:]), strict=True)
    gradients = [difference(a, b) for a, b in pairs]
    shape = (setting.batch_size, setting.length, setting.width)
    (x,) = works.random_rows(seed, jnp.float32, shape)
    jacobian = 'full' if setting.evaluation == 'newton' else 'diagonal'
    carry = sequential.start(cell, setting.batch_size, setting.width)
    solution = jax.jit(partial(newton.solve, cell, jacobian=jacobian))(params, carry, x)
    return {
        'value_error': difference(mine[0], scan[0])[0],
        'gradient_error': max(error / max(size, 1e-30) for error, size in gradients),
        'iterations': int(solution.iterations),
        'converged': bool(solution.converged),
    }


def train(cell: Cell, params: dict, steps: int, seed: int) -> tuple[dict, list[float]]:
    """Train a cell to give back its input of two steps ago: weights as training leaves them.

    Args:
      cell: the cell.
      params: its parameters, to start from; D and N are equal.
      steps: of Adam at 1e-2, on 16 fresh sequences of 64 each.
      seed: of the sequences.

    Returns:
      (the parameters after, [mean squared error before, after]).
    """
    width = params['U'].shape[0]
    optimizer = optax.adam(1e-2)
    everything = {'cell': params, 'out': jnp.eye(width)}

    def loss(everything: Any, key: jax.Array) -> jax.Array:
        x = jax.random.normal(key, (16, 64, width))
        carry = sequential.start(cell, 16, width)
        y = sequential.scan(cell, everything['cell'], carry, x)[1] @ everything['out']
        return jnp.mean((y[:, DELAY:] - x[:, :-DELAY]) ** 2)

    def step(state: Any, index: jax.Array) -> Any:
        everything, opt_state = state
        key = jax.random.fold_in(jax.random.key(seed), index)
        value, gradient = jax.value_and_grad(loss)(everything, key)
        updates, opt_state = optimizer.update(gradient, opt_state)
        return (optax.apply_updates(everything, updates), opt_state), value

    state = everything, optimizer.init(everything)
    (everything, _), losses = jax.jit(partial(lax.scan, step))(state, jnp.arange(steps))
    return dict(everything)['cell'], [float(losses[0]), float(losses[-1])]
