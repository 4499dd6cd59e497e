"""One training step and one evaluation step, for one device or many."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import lax

from nlp_models import operations, trees
from nlp_models.training.objectives import Objective, Sums


class TrainState(NamedTuple):
    """Everything a run has to remember; all of it is in the checkpoint.

    Attributes:
      step: steps done, int32.
      total_steps: steps in all, int32; the schedule ends there.
      params: the parameters, float32.
      opt_state: the optimizer's state.
      carry: the model's state handed from batch to batch (rows `[B, …]`), or None.
      sums: the training loss since the last log.
      grad_norm: global norm of the last step's gradient, before clipping.
      bad_step: the first step whose loss, gradient or new parameters were not finite, int32; −1
        while there is none.
    """

    step: jax.Array
    total_steps: jax.Array
    params: Any
    opt_state: Any
    carry: Any
    sums: Sums
    grad_norm: jax.Array
    bad_step: jax.Array


Chosen = Callable[[str], bool]


def init_state(
    params: Any,
    optimizer: optax.GradientTransformation,
    total_steps: int,
    carry: Any = None,
    trained: Chosen | None = None,
) -> TrainState:
    """The state before the first step; `trained` as in `make_train_step`."""
    zero = jnp.zeros((), jnp.float32)
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        total_steps=jnp.asarray(total_steps, jnp.int32),
        params=params,
        opt_state=optimizer.init(_split(params, trained)[0]),
        carry=carry,
        sums=Sums(zero, zero),
        grad_norm=zero,
        bad_step=-jnp.ones((), jnp.int32),
    )


def make_train_step(
    objective: Objective,
    optimizer: optax.GradientTransformation,
    schedule: Callable[[Any, Any], jax.Array],
    *,
    seed: int,
    accumulate: int = 1,
    log_every: int = 1,
    axis_name: str | None = None,
    trained: Chosen | None = None,
) -> Callable[[TrainState, Any], tuple[TrainState, Sums]]:
    """Make `(state, batch) -> (state, sums of this step)`.

    The gradient is that of Σ loss / Σ weight over microbatches and devices. The random key depends
    on (seed, step, device, microbatch), so with dropout the number of devices changes the numbers;
    without it they agree up to rounding.

    What is not trained is a constant to the gradient: nothing is computed for it, the optimizer
    knows nothing of it, it has no part in the gradient's norm, and it comes out as it went in.

    Args:
      objective: `(params, carry, batch, key) -> (Sums, carry)`.
      optimizer: gives the update before the learning rate; one that takes further arguments is
        given `step` and `total_steps`.
      schedule: `(step, total_steps) -> rate`.
      seed: of the run.
      accumulate: microbatches the device's rows are cut into, one after the other.
      log_every: the running loss starts afresh after every step that is a multiple of this.
      axis_name: the device axis, where there are several.
      trained: `(path) -> bool`, which parameters are trained; None for all.

    Returns:
      The step function, to be compiled.
    """
    optimizer = optax.with_extra_args_support(optimizer)

    def loss(params, frozen, carry, batch, key):
        sums, carry = objective(_join(params, frozen), carry, batch, key)
        return sums.loss, (sums, carry)

    gradient = jax.grad(loss, has_aux=True)

    def accumulated(params, frozen, carry, batch, key):
        rows = jax.tree.map(
            lambda a: a.reshape(accumulate, -1, *a.shape[1:]), {'batch': batch, 'carry': carry}
        )

        def microbatch(total, share):
            index, share = share
            grads, (sums, carry) = gradient(
                params, frozen, share['carry'], share['batch'], jax.random.fold_in(key, index)
            )
            return jax.tree.map(jnp.add, total, (grads, sums)), carry

        zeros = jax.tree.map(jnp.zeros_like, params)
        zero = jnp.zeros((), jnp.float32)
        (grads, sums), carry = lax.scan(
            microbatch, (zeros, Sums(zero, zero)), (jnp.arange(accumulate), rows)
        )
        return grads, (sums, jax.tree.map(lambda a: a.reshape(-1, *a.shape[2:]), carry))

    def step(state: TrainState, batch: Any) -> tuple[TrainState, Sums]:
        # Not the seed's own key, whose children parameters are made from.
        key = jax.random.fold_in(jax.random.fold_in(jax.random.key(seed), 2**32 - 1), state.step)
        if axis_name is not None:
            key = jax.random.fold_in(key, lax.axis_index(axis_name))
        function = gradient if accumulate == 1 else accumulated
        params, frozen = _split(state.params, trained)
        grads, (sums, carry) = function(params, frozen, state.carry, batch, key)
        if axis_name is not None:
            grads, sums = operations.sum_over((grads, sums), axis_name)
        grads = jax.tree.map(lambda g: g / sums.weight, grads)
        grad_norm = optax.tree.norm(grads)
        now = dict(step=state.step, total_steps=state.total_steps)
        updates, opt_state = optimizer.update(grads, state.opt_state, params, **now)
        rate = schedule(state.step, state.total_steps)
        params = jax.tree.map(lambda p, u: p - rate * u, params, updates)
        done = state.step + 1
        finite = jnp.isfinite(sums.loss) & jnp.isfinite(grad_norm)
        bad = ~(finite & jnp.isfinite(optax.tree.norm(params)))
        fresh = state.step % log_every == 0
        new_state = TrainState(
            step=done,
            total_steps=state.total_steps,
            params=_join(params, frozen),
            opt_state=opt_state,
            carry=carry,
            sums=jax.tree.map(lambda old, new: jnp.where(fresh, 0, old) + new, state.sums, sums),
            grad_norm=grad_norm,
            bad_step=jnp.where((state.bad_step < 0) & bad, done, state.bad_step),
        )
        return new_state, sums

    return step


def _split(params: Any, trained: Chosen | None) -> tuple[Any, Any]:
    """What is trained, and what is not: None where all is."""
    return (params, None) if trained is None else trees.split(params, trained)


def _join(params: Any, frozen: Any) -> Any:
    return params if frozen is None else trees.merge(params, frozen)


def make_eval_step(objective: Objective) -> Callable[[Any, Any], Sums]:
    """Make `(params, batch) -> Sums` of one device's share, from the model's start, no dropout.

    The shares are added up on the host, in float64.
    """

    def step(params, batch):
        return objective(params, None, batch, None)[0]

    return step
