"""A run's folder read back: the model with its trained parameters."""

from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from nlp_models.adaptation import building
from nlp_models.data.tokenizers import Tokenizer
from nlp_models.errors import InputError
from nlp_models.training import checkpoints
from nlp_models.training.tasks.task import Shape
from nlp_models.training.workdir import read_config, read_shape, read_tokenizer
from nlp_models.types import Params


class Trained(NamedTuple):
    """What a run left.

    Attributes:
      config: the run's config; its `model` group is the model's.
      tokenizer: its tokenizer.
      model: a `LanguageModel`, `TextEncoder`, `Seq2Seq` or `Classifier`.
      shape: what it was built for.
      params: its parameters.
      step: of the checkpoint they are from.
    """

    config: Any
    tokenizer: Tokenizer
    model: Any
    shape: Shape
    params: Params
    step: int


def load_run(workdir: str, *, best: bool = True, merge: bool = True) -> Trained:
    """Read a run's model; the folder is not changed, and may still be trained in.

    Args:
      workdir: the run's folder.
      best: the checkpoint of the lowest validation loss rather than the newest.
      merge: whether what LoRA has learned is merged into the matrices it changes.

    Returns:
      The model and what belongs to it.

    Raises:
      InputError: where the folder holds no run, or none that has saved yet.
      RunError: where none of its checkpoints is intact.
    """
    folder = Path(workdir)
    config = read_config(folder)
    load = checkpoints.load_best if best else checkpoints.load_newest
    checkpoint = load(folder / 'checkpoints')
    if checkpoint is None:
        raise InputError(f'workdir {workdir} holds no checkpoint yet')
    tokenizer = read_tokenizer(folder)
    shape = read_shape(folder)
    params = checkpoint.tree['params']
    if merge:
        config.model, params = building.merged(config.model, params)
    model = building.build(config.model, **shape._asdict())
    params = jax.tree.map(jnp.asarray, params)
    return Trained(config, tokenizer, model, shape, params, checkpoint.step)
