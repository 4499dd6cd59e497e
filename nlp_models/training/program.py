"""A config turned into what runs: data, model, optimizer and compiled steps."""

import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np

from nlp_models import models, trees
from nlp_models.data import batches, store
from nlp_models.data.store import Dataset
from nlp_models.data.tokenizers import Tokenizer
from nlp_models.errors import require
from nlp_models.training import optimizers, parallel
from nlp_models.training.evaluation import Score, evaluate
from nlp_models.training.objectives import Sums, language_modelling
from nlp_models.training.step import TrainState, init_state, make_eval_step, make_train_step
from nlp_models.types import LanguageModel


class Program(NamedTuple):
    """A training run, compiled, before its first step.

    Attributes:
      config: the whole config.
      dataset: the tokens.
      model: the language model.
      devices: what it runs on.
      init: `() -> TrainState` on the host, before the first step.
      batch: `step -> batch`, what the train step reads, on the host.
      train_step: `(state, batch) -> (state, Sums)`, compiled; the state is placed by `place`, and
        on some devices its memory is reused.
      eval_step: `(params, batch) -> Sums`, compiled.
      schedule: `(step, total_steps) -> rate`.
      parameters: how many the model has.
      compile_seconds: tracing and compiling the train step.
    """

    config: Any
    dataset: Dataset
    model: LanguageModel
    devices: parallel.Devices
    init: Callable[[], TrainState]
    batch: Callable[[int], dict[str, np.ndarray]]
    train_step: Callable[[TrainState, Any], tuple[TrainState, Sums]]
    eval_step: Callable[[Any, Any], Sums]
    schedule: Callable[[Any, Any], jax.Array]
    parameters: int
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
        self,
        params: Any,
        tokens: np.ndarray,
        *,
        stride: int | None = None,
        stop: Callable[[], bool] = lambda: False,
    ) -> Score | None:
        """Score a split in windows of the training length, side by side unless a stride is given.

        Args:
          params: on the devices.
          tokens: the split.
          stride: from window to window.
          stop: asked before every batch; true ends it.

        Returns:
          The score, or None where it was stopped.
        """
        scored = (
            batch._replace(
                tokens=self.devices.shard(batch.tokens), weights=self.devices.shard(batch.weights)
            )
            for batch in batches.evaluation_batches(
                tokens,
                batch_size=eval_batch_size(self.config, self.devices),
                length=self.config.sequence_length,
                stride=stride,
            )
        )
        characters = self.dataset.tokenizer.characters
        return evaluate(self.eval_step, params, scored, characters, stop=stop)


def eval_batch_size(config: Any, devices: parallel.Devices) -> int:
    """Windows scored at once: about 8192 tokens, a multiple of the number of devices."""
    n = len(devices.devices)
    return n * max(1, 8192 // (config.sequence_length * n))


def check(config: Any) -> None:
    """Check the fields that belong to no group.

    Raises:
      InputError: naming the first field that is out of range.
    """
    least = {
        'steps': 1,
        'batch_size': 1,
        'sequence_length': 1,
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


def build_model(config: Any, tokenizer: Tokenizer) -> LanguageModel:
    """The model of a run: made for the tokenizer's vocabulary and the run's sequence length."""
    return models.build(
        config.model,
        vocab_size=tokenizer.vocab_size,
        max_length=config.sequence_length,
    )


def build_program(config: Any, dataset: Dataset | None = None) -> Program:
    """Read the data, build the model and compile its steps.

    Args:
      config: the whole config, of a family that is trained by gradients.
      dataset: where it has been loaded already.

    Returns:
      The program.

    Raises:
      InputError: for whatever is wrong with the config or the data.
    """
    check(config)
    optimizer = optimizers.build_optimizer(config.optimizer)
    schedule = optimizers.build_schedule(config.optimizer)
    devices = parallel.choose(config.num_devices, config.batch_size // config.accumulate)
    dataset = dataset or store.load_dataset(config.data)
    model = build_model(config, dataset.tokenizer)
    require(
        not config.carry_state or model.context is None,
        'carry_state',
        config.carry_state,
        f'needs a family of unbounded context, not {config.model.family}',
    )
    dropout = config.model.dropout_rate > 0

    def init() -> TrainState:
        params = model.init(jax.random.key(config.seed))
        carry = model.start(params, config.batch_size) if config.carry_state else None
        state = init_state(params, optimizer, config.steps, carry)
        return jax.tree.map(np.asarray, state)

    def batch(step: int) -> dict[str, np.ndarray]:
        where = dict(
            batch_size=config.batch_size,
            length=config.sequence_length,
            step=step,
            process_index=jax.process_index(),
            process_count=jax.process_count(),
        )
        if config.carry_state:
            tokens, restart = batches.streams(dataset.train, **where)
            rows = {'tokens': tokens, 'restart': np.full(len(tokens), restart, np.float32)}
        else:
            rows = {'tokens': batches.random_windows(dataset.train, seed=config.seed, **where)}
        return devices.shard(rows)

    shape = (eval_batch_size(config, devices), config.sequence_length)
    eval_batch = devices.shard(
        {
            'tokens': np.zeros((shape[0], shape[1] + 1), np.int32),
            'weights': np.zeros(shape, np.float32),
        }
    )
    batches.check(dataset.train, config.sequence_length, 'train')
    batches.check(dataset.validation, config.sequence_length, 'validation')
    first = batch(0)
    host_state = init()
    program = Program(
        config=config,
        dataset=dataset,
        model=model,
        devices=devices,
        init=init,
        batch=batch,
        train_step=_not_compiled,
        eval_step=_not_compiled,
        schedule=schedule,
        parameters=trees.count(host_state.params),
        compile_seconds=0.0,
    )
    state = program.place(host_state)
    objective = partial(language_modelling, model)
    train_step, seconds = devices.compile(
        make_train_step(
            objective(dropout=dropout),
            optimizer,
            schedule,
            seed=config.seed,
            accumulate=config.accumulate,
            log_every=config.log_every,
            axis_name=devices.axis_name,
        ),
        state,
        first,
        donate=True,
    )
    eval_step, _ = devices.compile(make_eval_step(objective()), state.params, eval_batch)
    return program._replace(train_step=train_step, eval_step=eval_step, compile_seconds=seconds)


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
