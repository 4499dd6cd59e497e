"""Our side of the rows about a training step."""

from typing import Any

import jax
import numpy as np

from nlp_models import costs, models
from nlp_models.benchmark.works import Work, planned_bytes
from nlp_models.training import optimizers, parallel
from nlp_models.training.objectives import language_modelling
from nlp_models.training.step import init_state, make_train_step
from nlp_models.types import LanguageModel


def build(run: Any, vocab_size: int) -> LanguageModel:
    """The model of a training config."""
    return models.build(run.model, vocab_size=vocab_size, max_length=run.sequence_length)


def random_tokens(run: Any, vocab_size: int, seed: int) -> np.ndarray:
    """A batch `[B, T + 1]` int32, uniform."""
    shape = (run.batch_size, run.sequence_length + 1)
    return np.random.default_rng(seed).integers(vocab_size, size=shape, dtype=np.int32)


def step_flops(run: Any, vocab_size: int) -> float:
    """FLOPs of a transformer's train step by formula."""
    return costs.transformer_flops(
        run.batch_size,
        run.sequence_length,
        width=run.model.hidden_size,
        num_layers=run.model.num_layers,
        vocab_size=vocab_size,
        feed_forward_size=run.model.feed_forward_size,
        window=run.model.window,
    )


def compile_step(run: Any, vocab_size: int, seed: int) -> tuple[Any, Any, Any, float, int]:
    """Compile the train step of a config as the training loop does.

    Args:
      run: the training config.
      vocab_size: V.
      seed: of the tokens.

    Returns:
      (compiled, placed state, placed batch, seconds of compiling, number of devices).
    """
    model = build(run, vocab_size)
    optimizer = optimizers.build_optimizer(run.optimizer)
    devices = parallel.choose(run.num_devices, run.batch_size)
    state = init_state(model.init(jax.random.key(run.seed)), optimizer, run.steps)
    step = make_train_step(
        language_modelling(model),
        optimizer,
        optimizers.build_schedule(run.optimizer),
        seed=run.seed,
        log_every=run.log_every,
        axis_name=devices.axis_name,
    )
    state = devices.replicate(jax.tree.map(np.asarray, state))
    batch = devices.place_shards({'tokens': random_tokens(run, vocab_size, seed)})
    compiled, seconds = devices.compile(step, state, batch, donate=True)
    return compiled, state, batch, seconds, len(devices.devices)


def train_step(run: Any, vocab_size: int, seed: int = 0) -> Work:
    """Forward pass, backward pass, clipping, optimizer; the steps are really taken.

    Args:
      run: a training config of a transformer, as in `configs/lm.py`.
      vocab_size: V.
      seed: of the tokens, the same at every step.

    Returns:
      The work.
    """
    compiled, state, batch, seconds, number = compile_step(run, vocab_size, seed)
    states = [state]

    def call() -> Any:
        states[0], sums = compiled(states[0], batch)
        return states[0], sums

    memory = planned_bytes(compiled, number)
    return Work(call, step_flops(run, vocab_size), seconds, memory)
