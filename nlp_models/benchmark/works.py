"""Our side of the rows: what is timed, made and compiled for all cores.

A batch is shared out over the devices (on a CPU one a core) and the gradients of the parameters are
summed over them, which is part of what is timed. Inputs and cotangents are random.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from nlp_models import costs, models, platforms
from nlp_models.recurrent import sequential
from nlp_models.recurrent.cells import Cell
from nlp_models.recurrent.evaluation import make_evaluation
from nlp_models.recurrent.stack import init_cell
from nlp_models.training import parallel


class Work(NamedTuple):
    """Something to time.

    Attributes:
      call: does it once and returns what has to be waited for.
      flops: of one call, by formula (`costs`).
      compile_seconds: tracing and compiling.
      peak_memory: bytes the compiled program plans for, over all devices: arguments, results and
        what it needs between; None where it does not tell.
    """

    call: Callable[[], Any]
    flops: float
    compile_seconds: float
    peak_memory: float | None


class Setting(NamedTuple):
    """How a cell is run.

    Attributes:
      batch_size: B.
      length: T.
      width: D and N.
      evaluation: as in `recurrent.evaluation`.
      backward: 'custom' or 'autodiff'.
      dtype: of everything.
    """

    batch_size: int
    length: int
    width: int
    evaluation: str = 'sequential'
    backward: str = 'custom'
    dtype: str = 'float32'


def planned_bytes(compiled: Any, number: int = 1) -> float | None:
    """What a compiled program plans for: arguments, results and temporaries, of all devices."""
    analysis = compiled.memory_analysis()
    if analysis is None:
        return None
    parts = (
        analysis.argument_size_in_bytes,
        analysis.output_size_in_bytes,
        analysis.temp_size_in_bytes,
        -analysis.alias_size_in_bytes,
    )
    return float(number * sum(parts))


def make_work(
    share: Callable, replicated: Any, rows: Any, *, flops: float, devices: parallel.Devices
) -> Work:
    """Compile a function of one device's share.

    Args:
      share: `(replicated, rows) -> results`; it reduces over `devices.axis_name` itself.
      replicated: arrays that every device has, such as parameters.
      rows: arrays whose first axis is shared out.
      flops: of all shares together.
      devices: to run on.

    Returns:
      The work.
    """
    arguments = devices.replicate(replicated), devices.place_shards(rows)
    compiled, seconds = devices.compile(share, *arguments)
    memory = planned_bytes(compiled, len(devices.devices))
    return Work(partial(compiled, *arguments), flops, seconds, memory)


def random_rows(seed: int, dtype: Any, *shapes: tuple[int, ...]) -> tuple[jax.Array, ...]:
    """Standard normal arrays."""
    rng = np.random.default_rng(seed)
    return tuple(jnp.asarray(rng.standard_normal(shape, np.float32), dtype) for shape in shapes)


def make_cell(model: Any, width: int, seed: int) -> tuple[Cell, dict]:
    """A cell and its parameters.

    Args:
      model: the config's group of its family.
      width: D and N.
      seed: of the parameters.

    Returns:
      (cell, parameters).
    """
    cell = models.CELLS[model.family](model)
    params = init_cell(
        cell, jax.random.key(seed), width, width, orthogonal=model.get('orthogonal', True)
    )
    return cell, params


def recurrence(cell: Cell, setting: Setting) -> costs.Recurrence:
    """What the cost of a cell over a sequence depends on."""
    return costs.Recurrence(
        setting.batch_size,
        setting.length,
        setting.width,
        setting.width,
        gates=cell.gates,
        recurrent_gates=0 if cell.terms is not None else cell.gates,
        carries=cell.carries,
    )


def recurrent_flops(
    cell: Cell, setting: Setting, passes: int, iterations: int | None = None
) -> float:
    """FLOPs of a cell over a sequence as it is evaluated.

    Newton's depend on the iterations taken; without their number it counts as the sequential form,
    which is what it is there for.
    """
    r = recurrence(cell, setting)
    auto = cell.terms is not None and platforms.choices().parallel_in_time
    if setting.evaluation == 'associative' or (setting.evaluation == 'auto' and auto):
        return costs.associative_flops(r, passes)
    if iterations is not None and setting.evaluation in ('newton', 'quasi_newton'):
        diagonal = setting.evaluation == 'quasi_newton'
        return costs.newton_flops(r, iterations, diagonal=diagonal, passes=passes)
    return costs.sequential_flops(r, passes)


def forward_backward(forward: Callable, axis_name: str | None) -> Callable:
    """Make `(params, (x, cotangent)) -> (y, gradients of params, summed, and of x)`."""

    def share(params: Any, rows: Any) -> Any:
        x, cotangent = rows
        y, backward = jax.vjp(forward, params, x)
        by_params, by_x = backward(cotangent)
        if axis_name is not None:
            by_params = lax.psum(by_params, axis_name)
        return y, by_params, by_x

    return share


def recurrent(
    model: Any,
    setting: Setting,
    *,
    passes: int,
    params: dict | None = None,
    seed: int = 0,
    num_devices: int = 0,
) -> Work:
    """A cell over a sequence, from a start of zeros.

    Args:
      model: the config's group of its family.
      setting: how it is run.
      passes: `costs.FORWARD` or `costs.FORWARD_BACKWARD`: with the gradients of the parameters and
        of the inputs.
      params: the cell's parameters; random ones by default.
      seed: of parameters, inputs and cotangent.
      num_devices: 0 for all that divide the batch.

    Returns:
      The work.
    """
    cell, random = make_cell(model, setting.width, seed)
    scan = make_evaluation(cell, setting.evaluation, setting.backward)
    dtype = models.DTYPES[setting.dtype]
    params = jax.tree.map(lambda a: a.astype(dtype), params or random)

    def forward(params: Any, x: jax.Array) -> jax.Array:
        carry = sequential.start(cell, x.shape[0], setting.width, dtype)
        return scan(cell, params, carry, x)[1]

    shape = (setting.batch_size, setting.length, setting.width)
    return make_passes(
        forward,
        params,
        random_rows(seed, dtype, shape, shape),
        passes=passes,
        flops=recurrent_flops(cell, setting, passes),
        num_devices=num_devices,
    )


def make_passes(
    forward: Callable, params: Any, rows: Any, *, passes: int, flops: float, num_devices: int
) -> Work:
    """Compile a function over rows, its forward pass alone or both passes.

    Args:
      forward: `(params, x) -> y`.
      params: its parameters.
      rows: (x, an array or several; a cotangent of y), the batch first.
      passes: `costs.FORWARD` or `costs.FORWARD_BACKWARD`.
      flops: of these.
      num_devices: 0 for all that divide the batch.

    Returns:
      The work.
    """
    devices = parallel.choose(num_devices, rows[1].shape[0])
    if passes == costs.FORWARD:
        return make_work(forward, params, rows[0], flops=flops, devices=devices)
    share = forward_backward(forward, devices.axis_name)
    return make_work(share, params, rows, flops=flops, devices=devices)
