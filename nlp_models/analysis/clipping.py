"""Small trainings that keep every step's gradient norm, to see what clipping does and does not."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from nlp_models.training.objectives import Objective
from nlp_models.training.optimizers import build_optimizer, build_schedule
from nlp_models.training.step import init_state, make_train_step


class Recorded(NamedTuple):
    """What became of each run, the run as the first axis.

    Attributes:
      params: at the end, leaves `[R, …]`.
      losses: training loss of every step, in nats `[R, steps]`.
      norms: global norm of every step's gradient before clipping `[R, steps]`.
      diverged: whether a loss, gradient or parameter was not finite `[R]`.
    """

    params: Any
    losses: np.ndarray
    norms: np.ndarray
    diverged: np.ndarray


def train_recording_norms(
    init: Callable[[jax.Array], Any],
    objective: Objective,
    optimizer: Any,
    batches: Callable[[int], Any],
    *,
    seeds: Sequence[int],
    steps: int,
) -> Recorded:
    """Train a model once a seed, with the step that every training here takes.

    Args:
      init: `(key) -> params`.
      objective: `(params, None, batch, None) -> (Sums, None)`.
      optimizer: a config's `optimizer` group; `clip_norm` of 0 is no clipping.
      batches: `(seed) -> batches` of all steps, arrays `[steps, …]`.
      seeds: of parameters and data.
      steps: of each run.

    Returns:
      The runs.
    """
    transformation, schedule = build_optimizer(optimizer), build_schedule(optimizer)
    step = make_train_step(objective, transformation, schedule, seed=0)

    def run(seed: jax.Array, data: Any) -> Any:
        state = init_state(init(jax.random.key(seed)), transformation, steps)

        def one(state: Any, batch: Any) -> Any:
            state, sums = step(state, batch)
            return state, (sums.loss / sums.weight, state.grad_norm)

        state, (losses, norms) = lax.scan(one, state, data)
        return state.params, losses, norms, state.bad_step >= 0

    data = jax.tree.map(lambda *a: np.stack(a), *[batches(seed) for seed in seeds])
    found = jax.jit(jax.vmap(run))(jnp.asarray(seeds, jnp.uint32), data)
    return Recorded(*jax.device_get(found))
