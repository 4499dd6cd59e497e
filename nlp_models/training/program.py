"""A config turned into what runs: data, model, optimizer and compiled steps."""

import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
import optax

from nlp_models import trees
from nlp_models.adaptation import building, rules
from nlp_models.errors import InputError, require
from nlp_models.training import optimizers, parallel, sources
from nlp_models.training.evaluation import evaluate
from nlp_models.training.objectives import Sums
from nlp_models.training.step import TrainState, init_state, make_eval_step, make_train_step
from nlp_models.training.tasks.build import build_task, kind_of
from nlp_models.training.tasks.task import Task


class Program(NamedTuple):
    """A training run, compiled, before its first step.

    Attributes:
      config: the whole config.
      task: data, model, objective.
      devices: what it runs on.
      init: `() -> TrainState` on the host, before the first step.
      batch: `step -> batch`, what the train step reads, on the host.
      train_step: `(state, batch) -> (state, Sums)`, compiled; the state is placed by `place`, and
        on some devices its memory is reused.
      eval_step: `(params, batch) -> sums`, compiled.
      schedule: `(step, total_steps) -> rate`.
      parameters: how many the model has.
      trained: how many of them are trained.
      optimizer_bytes: of the optimizer's state.
      compile_seconds: tracing and compiling the train step.
    """

    config: Any
    task: Task
    devices: parallel.Devices
    init: Callable[[], TrainState]
    batch: Callable[[int], dict[str, np.ndarray]]
    train_step: Callable[[TrainState, Any], tuple[TrainState, Sums]]
    eval_step: Callable[[Any, Any], Any]
    schedule: Callable[[Any, Any], jax.Array]
    parameters: int
    trained: int
    optimizer_bytes: int
    compile_seconds: float

    def place(self, state: TrainState) -> TrainState:
        """Put a state from the host onto the devices: carried rows shared out, the rest copied."""
        placed = self.devices.replicate(state._replace(carry=None))
        return placed._replace(carry=self.devices.place_shards(state.carry))

    def fetch(self, state: TrainState) -> TrainState:
        """Bring a state to the host, its layout that of a single device."""
        host = self.devices.first(state._replace(carry=None))
        return host._replace(carry=self.devices.gather(state.carry))

    def evaluate(
        self, params: Any, split: Any, *, stop: Callable[[], bool] = lambda: False
    ) -> dict[str, float] | None:
        """What the task says of a split; `loss` is one of its numbers.

        Args:
          params: on the devices.
          split: of the task's dataset.
          stop: asked before every batch; true ends it.

        Returns:
          Name to number, or None where it was stopped.
        """
        sums = evaluate(
            self.eval_step,
            params,
            self.task.eval_batches(split, eval_batch_size(self.task, self.devices)),
            self.task.count,
            shard=self.devices.shard,
            stop=stop,
        )
        return None if sums is None else self.task.metrics(sums)


def eval_batch_size(task: Task, devices: parallel.Devices) -> int:
    """Rows scored at once: about what the task says, a multiple of the number of devices."""
    n = len(devices.devices)
    return n * max(1, task.eval_rows // n)


def check(config: Any) -> None:
    """Check the task and the fields that belong to no group.

    Raises:
      InputError: naming the first field that is out of range.
    """
    kind_of(config)
    least = {
        'steps': 1,
        'batch_size': 1,
        'sequence_length': 0 if config.task == 'sequence_to_sequence' else 1,
        'accumulate': 1,
        'eval_every': 1,
        'log_every': 1,
        'checkpoint_every': 1,
        'keep_checkpoints': 1,
        'num_devices': 0,
        'seed': 0,
    }
    for name, minimum in least.items():
        require(config[name] >= minimum, name, config[name], f'must be at least {minimum}')
    require(config.seed < 2**63, 'seed', config.seed, 'must be below 2**63')
    size, parts = config.batch_size, config.accumulate
    require(size % parts == 0, 'accumulate', parts, f'must divide batch_size, {size}')


def build_program(config: Any, dataset: Any = None) -> Program:
    """Read the data, build the model and compile its steps.

    Args:
      config: the whole config, of a family that is trained by gradients, as `sources.resolve` has
        made it.
      dataset: where it has been loaded already.

    Returns:
      The program.

    Raises:
      InputError: for whatever is wrong with the config or the data.
    """
    check(config)
    parts = optimizers.build_parts(config.optimizer)
    schedule = optimizers.build_schedule(config.optimizer)
    devices = parallel.choose(config.num_devices, config.batch_size // config.accumulate)
    source = sources.load_source(config.init_from, config.model) if config.init_from else None
    task = build_task(
        config,
        dataset=dataset,
        tokenizer=source.tokenizer if source else None,
        vocab_size=source.shape.vocab_size if source else 0,
    )
    _check_labels(config, task.dataset)
    model = task.model
    dropout = config.model.dropout_rate > 0

    def start() -> Any:
        key = jax.random.key(config.seed)
        if source is None:
            return model.init(key)
        base = source.params_for(getattr(task.dataset, 'labels', ()))
        return building.init_from(config.model, model, base, key, **task.shape._asdict())

    optimizer, trained, shapes = optax.chain(*parts), None, jax.eval_shape(start)
    if 'adaptation' in config:
        plan = rules.make_plan(config.adaptation, shapes)
        optimizer, trained = rules.apply_plan(*parts, plan), plan.trained
        shapes = trees.split(shapes, trained)[0]

    def init() -> TrainState:
        params = start()
        carry = model.start(params, config.batch_size) if config.carry_state else None
        state = init_state(params, optimizer, config.steps, carry, trained)
        return jax.tree.map(np.asarray, state)

    def batch(step: int) -> dict[str, np.ndarray]:
        return devices.shard(task.batch(step))

    first, host_state = batch(0), init()
    program = Program(
        config=config,
        task=task,
        devices=devices,
        init=init,
        batch=batch,
        train_step=_not_compiled,
        eval_step=_not_compiled,
        schedule=schedule,
        parameters=trees.count(host_state.params),
        trained=trees.count(shapes),
        optimizer_bytes=trees.num_bytes(host_state.opt_state),
        compile_seconds=0.0,
    )
    state = program.place(host_state)
    train_step, seconds = devices.compile(
        make_train_step(
            task.objective(devices.axis_name, dropout),
            optimizer,
            schedule,
            seed=config.seed,
            accumulate=config.accumulate,
            log_every=config.log_every,
            axis_name=devices.axis_name,
            trained=trained,
        ),
        state,
        first,
        donate=True,
    )
    held_out = task.eval_batches(task.dataset.validation, eval_batch_size(task, devices))
    eval_batch = next(held_out, None)
    if eval_batch is None:
        raise InputError('the validation split is empty: give more data, or a larger share of it')
    eval_step, _ = devices.compile(
        make_eval_step(task.evaluation(devices.axis_name)), state.params, devices.shard(eval_batch)
    )
    return program._replace(train_step=train_step, eval_step=eval_step, compile_seconds=seconds)


def _check_labels(config: Any, dataset: Any) -> None:
    """Refuse labels asked for that there is nothing to learn of."""
    asked = () if config.data.get('train_size', 0) else config.data.get('labels', ())
    for label in asked:
        if dataset.labels.index(label) not in dataset.train.targets:
            there = ', '.join(dataset.labels[i] for i in sorted({*dataset.train.targets.tolist()}))
            raise InputError(f'data.labels has {label!r}, which no training text has ({there})')


def _not_compiled(*_: Any) -> Any:
    raise AssertionError('the program is not compiled yet')


def time_step(program: Program, *, seconds: float = 2.0) -> float:
    """How long one training step takes, in seconds: batch, transfer and computation.

    The steps are really taken, on a state that is thrown away.

    Args:
      program: compiled.
      seconds: to spend on it, about.

    Returns:
      The median over runs of a few steps each.
    """
    state = program.place(program.init())
    pipeline = parallel.Pipeline()
    step = 0

    def run(count):
        nonlocal state, step
        for _ in range(count):
            state, sums = program.train_step(state, program.batch(step))
            pipeline.add(sums)
            step += 1
        jax.block_until_ready(state)

    run(2)
    started = time.perf_counter()
    run(2)
    count = max(1, int(seconds / 8 / ((time.perf_counter() - started) / 2)))
    times = []
    while not times or sum(times) < seconds * 0.8:
        started = time.perf_counter()
        run(count)
        times.append(time.perf_counter() - started)
    return statistics.median(times) / count
