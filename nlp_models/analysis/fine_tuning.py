"""A pretrained model adapted to classes of texts many times: sizes, seeds and rates, compiled once.

What differs from run to run (the texts, the seed of the head and of the order, the learning rate,
the number of steps) is no part of the program, so one compiled step serves all runs of a method.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nlp_models import timing, trees
from nlp_models.adaptation import building, rules
from nlp_models.data.labelled import Labelled, draw_balanced
from nlp_models.data.labelled_batches import labelled_batch
from nlp_models.training import adapting, classifying, forgetting, optimizers, parallel
from nlp_models.training.sources import Source
from nlp_models.training.step import init_state, make_train_step
from nlp_models.training.tasks.classification import classification


class Method(NamedTuple):
    """A method, ready for a model.

    Attributes:
      start: `(seed) -> params` on the host.
      trained: of a path, whether it is trained.
      advance: `((rate, state), batch) -> ((rate, state), sums)`, compiled.
      begin: `(params, steps) -> state`, on the host.
      devices: what it runs on.
      predict: of `classifying.make_predict`.
      forgotten: `(params) -> loss` on what the base was made for, or None.
      parameters: of the model.
      trained_parameters: how many of them are trained.
      memory: `optimizer_state`, `gradient` and `step`, in bytes, as in `adapting.write_results`.
      compile_seconds: of the training step.
    """

    start: Callable[[int], Any]
    trained: Callable[[str], bool]
    advance: Callable[[Any, Any], Any]
    begin: Callable[[Any, int], Any]
    devices: parallel.Devices
    predict: classifying.Predict
    forgotten: Callable[[Any], float] | None
    parameters: int
    trained_parameters: int
    memory: dict[str, int | None]
    compile_seconds: float


class Fitted(NamedTuple):
    """What has become of a run.

    Attributes:
      params: on the device of the evaluation.
      loss: of training, the mean over the last tenth of the steps, nats a text.
      seconds: of all its steps.
      diverged: whether a loss, gradient or parameter was not finite.
      untouched: whether every parameter that is not trained is bit for bit what it was.
    """

    params: Any
    loss: float
    seconds: float
    diverged: bool
    untouched: bool


def draw(train: Labelled, size: int, seed: int) -> Labelled:
    """So many of the texts, by label as evenly as can be; all for 0."""
    return train if size == 0 else train.take(draw_balanced(train.targets, size, seed))


def prepare(
    source: Source,
    settings: Any,
    examples: Labelled,
    *,
    num_classes: int,
    training: Any,
    asked: Any = None,
    scratch: bool = False,
    num_devices: int = 0,
) -> Method:
    """Compile a method for a pretrained model.

    Args:
      source: the model that is adapted.
      settings: of the method: the groups `adaptation` and `model` of `configs/finetune.py`.
      examples: any of the texts, for their kind.
      num_classes: C.
      training: `batch_size`, `sequence_length`, `pooling`, `optimizer`.
      asked: a config whose task's loss tells what was forgotten (`forgetting`), or None.
      scratch: whether to start from fresh parameters and train all.
      num_devices: to share batches out over; 0 for one a core on a CPU, else all.

    Returns:
      The method.

    Raises:
      InputError: for what does not go with the model.
    """
    group = building.add_fields(source.model, settings.model)
    sizes: dict[str, Any] = dict(
        vocab_size=source.shape.vocab_size,
        max_length=source.shape.max_length,
        num_classes=num_classes,
        pooling=training.pooling,
    )
    built = building.build(group, **sizes)

    @jax.jit
    def fresh(seed: Any, base: Any) -> Any:
        key = jax.random.key(seed)
        if scratch:
            return built.init(key)
        return building.init_from(group, built, base, key, **sizes)

    base = jax.tree.map(jnp.asarray, source.params)

    def start(seed: int) -> Any:
        return jax.device_get(fresh(np.uint32(seed), base))

    first = start(0)
    plan = rules.make_plan(settings.adaptation, first)
    parts = optimizers.build_parts(training.optimizer)
    optimizer = rules.apply_plan(*parts, plan)
    schedule = optimizers.build_schedule(training.optimizer)
    peak = training.optimizer.learning_rate
    devices = parallel.choose(num_devices, training.batch_size)
    objective = classification(built)

    def advance(carry: Any, batch: Any) -> Any:
        rate, state = carry
        step = make_train_step(
            objective,
            optimizer,
            lambda s, n: schedule(s, n) * (rate / peak),
            seed=0,
            axis_name=devices.axis_name,
            trained=plan.trained,
        )
        state, sums = step(state, batch)
        return (rate, state), sums

    def begin(params: Any, steps: int) -> Any:
        return jax.device_get(init_state(params, optimizer, steps, None, plan.trained))

    state = begin(first, 1)
    batch = _batch(examples, training, seed=0, step=0)
    placed = devices.replicate((np.float32(peak), state))
    compiled, seconds = devices.compile(advance, placed, devices.shard(batch), donate=True)
    kept = trees.count(trees.split(first, plan.trained)[0])
    return Method(
        start=start,
        trained=plan.trained,
        advance=compiled,
        begin=begin,
        devices=devices,
        predict=classifying.make_predict(built),
        forgotten=None if asked is None else forgetting.make_measure(asked, source, group),
        parameters=trees.count(first),
        trained_parameters=kept,
        memory={
            'optimizer_state': trees.num_bytes(state.opt_state),
            'gradient': kept * np.dtype(np.float32).itemsize,
            'step': adapting.planned_bytes(compiled),
        },
        compile_seconds=seconds,
    )


def fit(
    method: Method, examples: Labelled, training: Any, *, seed: int, steps: int, rate: float
) -> Fitted:
    """Train once.

    Args:
      method: from `prepare`.
      examples: what is trained on.
      training: as there.
      seed: of fresh parameters and of the order of the texts.
      steps: how many.
      rate: the learning rate, at its peak.

    Returns:
      The run.
    """
    devices = method.devices
    params = method.start(seed)
    carry = devices.replicate((np.float32(rate), method.begin(params, steps)))
    pipeline, losses = parallel.Pipeline(), []
    jax.block_until_ready(carry)
    started = time.perf_counter()
    for step in range(steps):
        batch = _batch(examples, training, seed=seed, step=step)
        carry, sums = method.advance(carry, devices.shard(batch))
        pipeline.add(sums)
        losses.append(sums)
    jax.block_until_ready(carry)
    seconds = time.perf_counter() - started
    state = devices.first(carry[1])
    last = losses[-max(1, steps // 10) :]
    nats = [np.ravel(one.loss)[0] / np.ravel(one.weight)[0] for one in jax.device_get(last)]
    after, before = trees.flatten(state.params), trees.flatten(params)
    untouched = all(
        np.array_equal(leaf, before[path])
        for path, leaf in after.items()
        if not method.trained(path)
    )
    return Fitted(
        params=jax.tree.map(jnp.asarray, state.params),
        loss=float(np.mean(nats)),
        seconds=seconds,
        diverged=int(state.bad_step) >= 0,
        untouched=untouched,
    )


def _batch(examples: Labelled, training: Any, *, seed: int, step: int) -> Any:
    size, length = training.batch_size, training.sequence_length
    return labelled_batch(examples, batch_size=size, length=length, seed=seed, step=step)


def step_seconds(
    methods: Sequence[Method], examples: Labelled, training: Any, *, rounds: int
) -> list[list[float]]:
    """What a training step of each method takes, in turn, so that they compare.

    Args:
      methods: from `prepare`.
      examples: what is trained on, at a rate of 0.
      training: as there.
      rounds: steps of each that are timed, after one that is not.

    Returns:
      Of each, the seconds of its steps, each waited for.
    """
    batch = _batch(examples, training, seed=0, step=0)
    clocks = [_step_clock(method, batch, rounds + 1) for method in methods]
    return timing.rounds(clocks, least=rounds, most=rounds)


def _step_clock(method: Method, batch: Any, steps: int) -> Callable[[], float]:
    devices = method.devices
    carry = devices.replicate((np.float32(0), method.begin(method.start(0), steps)))
    placed = devices.shard(batch)

    def step() -> float:
        nonlocal carry
        started = time.perf_counter()
        carry, sums = method.advance(carry, placed)
        jax.block_until_ready((carry, sums))
        return time.perf_counter() - started

    step()
    return step
