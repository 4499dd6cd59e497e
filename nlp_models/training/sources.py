"""Where parameters come from before training: a pretrained folder or name, or a run's folder."""

from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from nlp_models import models
from nlp_models.data.tokenizers import Tokenizer
from nlp_models.errors import InputError, require
from nlp_models.pretrained import load as pretrained_load
from nlp_models.pretrained.sentences import Sentences
from nlp_models.pretrained.tokens import require_tokenizer
from nlp_models.training import checkpoints
from nlp_models.training.tasks.task import Shape
from nlp_models.training.workdir import read_config, read_shape, read_tokenizer
from nlp_models.types import Params


class Source(NamedTuple):
    """Parameters, and what belongs to them.

    Attributes:
      model: the `model` group of a config.
      params: its parameters.
      tokenizer: what they were trained with.
      shape: what the model was built for.
      sentences: how it makes vectors of sentences, where it says so.
    """

    model: Any
    params: Params
    tokenizer: Tokenizer
    shape: Shape
    sentences: Sentences | None

    def build(self) -> Any:
        """The model."""
        return models.build(self.model, **self.shape._asdict())


def is_run(path: str) -> bool:
    """Whether a path is the folder of a training run."""
    return (Path(path) / 'manifest.json').exists()


def load_source(name: str, model: Any = None) -> Source:
    """Read what `init_from` names.

    Args:
      name: a run's folder, whose best checkpoint is taken; a folder with safetensors, or a name of
        the hub (`pretrained.load`).
      model: a `model` group that says how to run it; its architecture is the source's own.

    Returns:
      The source.

    Raises:
      InputError: where there is no such thing, or it cannot be read.
      RunError: where none of a run's checkpoints is intact.
    """
    if is_run(name):
        folder = Path(name)
        config = read_config(folder)
        checkpoint = checkpoints.load_best(folder / 'checkpoints')
        if checkpoint is None:
            raise InputError(f'{name} holds no checkpoint yet')
        tokenizer = read_tokenizer(folder)
        params = jax.tree.map(jnp.asarray, checkpoint.tree['params'])
        shape = read_shape(folder)
        group = _how_to_run(config.model, shape, model)
        return Source(group, params, tokenizer, shape, _sentences(config))
    imported = pretrained_load.load(name, model)
    architecture = imported.architecture
    shape = Shape(architecture.vocab_size, architecture.context)
    tokenizer = require_tokenizer(imported.tokenizer, imported.folder)
    return Source(imported.model, imported.params, tokenizer, shape, imported.sentences)


def resolve(config: Any) -> Any:
    """A config whose `model` group is what `init_from` says; the config itself without one.

    Args:
      config: the whole config.

    Returns:
      A config.

    Raises:
      InputError: where `init_from` cannot be read, or the family has no use for it.
    """
    if not config.init_from:
        named = 'family' in config.model
        require(named, 'init_from', config.init_from, 'must name a model: the config has none')
        return config
    if config.model.get('family') == 'ngram':
        raise InputError(f'init_from is {config.init_from!r}: an n-gram is counted anew')
    resolved = config.copy_and_resolve_references()
    with resolved.unlocked():
        if is_run(config.init_from):
            folder = Path(config.init_from)
            group = read_config(folder).model
            resolved.model = _how_to_run(group, read_shape(folder), config.model)
        else:
            resolved.model = pretrained_load.resolve(config.model, config.init_from)
    return resolved


def _how_to_run(model: Any, shape: Shape, given: Any) -> Any:
    """A run's `model` group, with what does not change its parameters taken from another."""
    group = model.copy_and_resolve_references()
    if group.get('positions') == 'learned' and not group.max_positions:
        group.max_positions = shape.max_length  # there are no more, whatever is read now
    for field in ('dropout_rate', 'dtype', 'attention', 'backward', 'remat'):
        if given is not None and field in given and field in group:
            group[field] = given[field]
    return group


def _sentences(config: Any) -> Sentences | None:
    """How a run that was trained to make vectors makes them."""
    if config.get('task') != 'contrastive':
        return None
    return Sentences(config.pooling, True, config.sequence_length)
