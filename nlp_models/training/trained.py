"""A run's folder read back: the model with its trained parameters."""

from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from nlp_models.data.tokenizers import Tokenizer, tokenizer_from_json
from nlp_models.errors import InputError
from nlp_models.training import checkpoints
from nlp_models.training.program import build_model
from nlp_models.training.workdir import read_config
from nlp_models.types import LanguageModel, Params


class Trained(NamedTuple):
    """What a run left.

    Attributes:
      config: the run's config.
      tokenizer: its tokenizer.
      model: the language model.
      params: its parameters.
      step: of the checkpoint they are from.
    """

    config: Any
    tokenizer: Tokenizer
    model: LanguageModel
    params: Params
    step: int


def load_run(workdir: str, *, best: bool = True) -> Trained:
    """Read a run's model; the folder is not changed, and may still be trained in.

    Args:
      workdir: the run's folder.
      best: the checkpoint of the lowest validation loss rather than the newest.

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
    tokenizer = tokenizer_from_json((folder / 'tokenizer.json').read_text())
    model = build_model(config, tokenizer)
    params = jax.tree.map(jnp.asarray, checkpoint.tree['params'])
    return Trained(config, tokenizer, model, params, checkpoint.step)
