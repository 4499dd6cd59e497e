"""Many small trainings at once: a grid over seeds and learning rates as one computation.

Runs differ in their seed (of parameters and data) and their learning rate and in nothing else, so
the same pure step serves all: it is scanned over time and mapped over runs, and the runs are shared
out over devices, which never have to wait for one another. Within a device runs are batched by
`vmap`, or taken one after the other where products of batched small matrices are no faster than
small products (`platforms`: `runs_in_turn`).
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax

from nlp_models import platforms
from nlp_models.adaptation import rules
from nlp_models.errors import require
from nlp_models.training import parallel
from nlp_models.training.objectives import Objective
from nlp_models.training.optimizers import build_parts, build_schedule
from nlp_models.training.step import init_state, make_train_step

Batches = Callable[[int, int, int], Any]


class Run(NamedTuple):
    """One training of a grid.

    Attributes:
      seed: of its parameters and, unless `data_seed` says otherwise, its data.
      learning_rate: at the peak of the schedule.
      data_seed: of its data.
    """

    seed: int
    learning_rate: float
    data_seed: int | None = None


class Trained(NamedTuple):
    """What has become of the runs, each array with the run as its first axis.

    Attributes:
      params: the parameters, on the host, leaves `[R, …]`.
      losses: mean training loss of every chunk of steps `[R, chunks]`.
      diverged: whether a loss, gradient or parameter was not finite `[R]`.
      steps: that were taken.
    """

    params: Any
    losses: np.ndarray
    diverged: np.ndarray
    steps: int


def grid(seeds: Sequence[int], learning_rates: Sequence[float]) -> list[Run]:
    """All pairs, the seeds of one rate side by side."""
    return [Run(seed, rate) for rate in learning_rates for seed in seeds]


class Best(NamedTuple):
    """The learning rate that was picked, and its runs.

    Attributes:
      learning_rate: the one.
      runs: where its runs are among all, in the order of their seeds.
      diverged: which of them did `[seeds]`.
      swept: learning rate to the score it was picked by, averaged over seeds.
    """

    learning_rate: float
    runs: slice
    diverged: np.ndarray
    swept: dict[str, float]

    def of(self, tree: Any) -> Any:
        """The picked runs of arrays that have all runs as their first axis."""
        return jax.tree.map(lambda a: a[self.runs], tree)

    def known(self, values: Any) -> list[float]:
        """One value a picked run, as a list; NaN where the run diverged."""
        return np.where(self.diverged, np.nan, values).tolist()


def pick(
    trained: Trained,
    scores: np.ndarray,
    learning_rates: Sequence[float],
    *,
    worst: float,
    lowest: bool = False,
) -> Best:
    """Pick the learning rate whose runs have the best mean score.

    Args:
      trained: the runs of `grid`.
      scores: one a run `[R]`, of examples that nothing else is decided by.
      learning_rates: those of the grid.
      worst: what a run counts as that diverged: it must not make its rate the best.
      lowest: whether low scores are the good ones.

    Returns:
      The rate.
    """
    counted = np.where(trained.diverged, worst, scores).reshape(len(learning_rates), -1)
    means, seeds = counted.mean(axis=1), counted.shape[1]
    best = int(np.argmin(means) if lowest else np.argmax(means))
    mine = slice(best * seeds, (best + 1) * seeds)
    swept = {str(r): float(mean) for r, mean in zip(learning_rates, means, strict=True)}
    return Best(learning_rates[best], mine, trained.diverged[mine], swept)


def init_all(init: Callable[[jax.Array], Any], seeds: Sequence[int]) -> Any:
    """The parameters that runs of these seeds start from, on the host, leaves `[R, …]`."""
    every = jax.jit(lambda seeds: lax.map(lambda seed: init(jax.random.key(seed)), seeds))
    return jax.device_get(every(np.array(seeds, np.uint32)))


def train(
    init: Callable[[jax.Array], Any],
    objective: Objective,
    optimizer: Any,
    runs: Sequence[Run],
    batches: Batches,
    *,
    steps: int,
    chunk: int = 50,
    stop: Callable[[np.ndarray], bool] | None = None,
    num_devices: int = 0,
    in_turn: bool | None = None,
    starts: Any = None,
    plan: rules.Plan | None = None,
) -> Trained:
    """Train all runs.

    Args:
      init: `(key) -> params`.
      objective: `(params, None, batch, None) -> (Sums, None)`.
      optimizer: a config's `optimizer` group; its learning rate is each run's own.
      runs: seeds and learning rates.
      batches: `(seed, first, count) -> batches` of `count` steps from `first` on, arrays `[count,
        …]` on the host; called once for every seed and chunk.
      steps: of each run; a multiple of `chunk`.
      chunk: steps between looks at the loss; what is compiled is one chunk.
      stop: `(mean losses of the last chunk [R]) -> bool`, whether all runs may end.
      num_devices: to share the runs out over; 0 for one a core on a CPU, else all.
      in_turn: whether a device takes its runs one after the other; None for the platform's choice.
      starts: the parameters that the runs start from, leaves `[R, …]`, in place of `init`'s.
      plan: which parameters are trained, and how fast; None for all alike.

    Returns:
      The runs, in the order given.

    Raises:
      InputError: for steps that are no multiple of the chunk, or a bad optimizer group.
    """
    require(len(runs) > 0, 'runs', runs, 'must hold at least one')
    require(steps % chunk == 0 and steps > 0, 'steps', steps, f'must be a multiple of {chunk}')
    parts, schedule = build_parts(optimizer), build_schedule(optimizer)
    transformation = optax.chain(*parts) if plan is None else rules.apply_plan(*parts, plan)
    trained = None if plan is None else plan.trained
    peak = optimizer.learning_rate
    devices, padded = _share(runs, num_devices)

    def start(seed: jax.Array, given: Any) -> Any:
        params = init(jax.random.key(seed)) if given is None else given
        return init_state(params, transformation, steps, None, trained)

    def one(carry: Any, data: Any) -> Any:
        rate, state = carry
        step = make_train_step(
            objective,
            transformation,
            lambda s, n: schedule(s, n) * (rate / peak),
            seed=0,
            trained=trained,
        )
        state, sums = lax.scan(step, state, data)
        return (rate, state), jnp.sum(sums.loss) / jnp.sum(sums.weight)

    if in_turn is None:
        in_turn = platforms.choices().runs_in_turn

    def many(carry: Any, data: Any) -> Any:
        if in_turn:
            return lax.map(lambda both: one(*both), (carry, data))
        return jax.vmap(one)(carry, data)

    seeds = np.array([run.seed for run in padded], np.uint32)
    rates = np.array([run.learning_rate for run in padded], np.float32)
    # One after the other: batched factorisations of many layers (orthogonal weights) can wait for
    # one another for ever on a CPU of few cores.
    order = np.minimum(np.arange(len(padded)), len(runs) - 1)
    given = jax.tree.map(lambda a: np.asarray(a)[order], starts)
    begin = jax.jit(lambda *both: lax.map(lambda one: start(*one), both))
    states = jax.device_get(begin(seeds, given))
    carry = devices.place_shards((rates, states))
    advance, losses, done = None, [], 0
    while done < steps:
        data = devices.place_shards(_gather(batches, padded, done, chunk))
        if advance is None:
            advance, _ = devices.compile(many, carry, data, donate=True)
        carry, loss = advance(carry, data)
        losses.append(loss)
        done += chunk
        if stop is not None and stop(devices.gather(loss)[: len(runs)]):
            break
    state = devices.gather(carry[1])
    kept = len(runs)
    return Trained(
        params=jax.tree.map(lambda a: a[:kept], state.params),
        losses=np.stack([devices.gather(loss) for loss in losses], axis=1)[:kept],
        diverged=state.bad_step[:kept] >= 0,
        steps=done,
    )


def evaluate(
    function: Callable[[Any, Any], Any],
    params: Any,
    data: Any,
    *,
    num_devices: int = 0,
    in_turn: bool | None = None,
) -> Any:
    """Apply a function to every run's parameters.

    Args:
      function: `(params, data) -> arrays`.
      params: leaves `[R, …]`, as in `Trained`.
      data: the same for all runs.
      num_devices: as in `train`.
      in_turn: as in `train`.

    Returns:
      Its results on the host, arrays `[R, …]`.
    """
    number = len(jax.tree.leaves(params)[0])
    devices, order = _share(range(number), num_devices)
    if in_turn is None:
        in_turn = platforms.choices().runs_in_turn

    def many(shares: Any, data: Any) -> Any:
        if in_turn:
            return lax.map(lambda share: function(share, data), shares)
        return jax.vmap(lambda share: function(share, data))(shares)

    shares = devices.place_shards(jax.tree.map(lambda a: np.asarray(a)[np.array(order)], params))
    same = devices.replicate(data)
    compiled, _ = devices.compile(many, shares, same)
    return jax.tree.map(lambda a: a[:number], devices.gather(compiled(shares, same)))


def _share(items: Sequence[Any], num_devices: int) -> tuple[parallel.Devices, list[Any]]:
    """Devices for a number of runs, and the runs with the last one repeated to fill them."""
    local = jax.local_devices()
    limit = len(local)
    if local[0].platform == 'cpu':
        limit = min(limit, parallel.num_cores())
    number = min(num_devices or limit, len(items))
    padded = [*items, *[items[-1]] * (-len(items) % number)]
    return parallel.choose(number, len(padded)), padded


def _gather(batches: Batches, runs: Sequence[Run], first: int, count: int) -> Any:
    """The batches of all runs, `[R, count, …]`; each seed's are made once."""
    seeds = [run.seed if run.data_seed is None else run.data_seed for run in runs]
    of_seed = {seed: batches(seed, first, count) for seed in dict.fromkeys(seeds)}
    return jax.tree.map(lambda *a: np.stack(a), *[of_seed[seed] for seed in seeds])
