"""Where parameters come from before training: a pretrained folder or name, a run, an adapter."""

from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from nlp_models.adaptation import building, saving
from nlp_models.adaptation.classifier import NAME as HEAD
from nlp_models.adaptation.classifier import Classes
from nlp_models.data.tokenizers import Tokenizer
from nlp_models.errors import InputError, require
from nlp_models.pretrained import load as pretrained_load
from nlp_models.pretrained.sentences import Sentences
from nlp_models.pretrained.tokens import require_tokenizer
from nlp_models.training.tasks.build import kind_of
from nlp_models.training.tasks.task import Shape
from nlp_models.training.trained import Trained, load_run
from nlp_models.training.workdir import read_classes, read_config, read_shape
from nlp_models.types import Params


class Source(NamedTuple):
    """Parameters, and what belongs to them.

    Attributes:
      model: the `model` group of a config.
      params: its parameters.
      tokenizer: what they were trained with.
      shape: what the model was built for.
      sentences: how it makes vectors of sentences, where it says so.
      classes: what it tells apart, where it has a head of classes.
    """

    model: Any
    params: Params
    tokenizer: Tokenizer
    shape: Shape
    sentences: Sentences | None
    classes: Classes | None = None

    def build(self) -> Any:
        """The model, without a head of classes."""
        return building.build(self.model, **self.shape._replace(num_classes=0)._asdict())

    def params_for(self, labels: tuple[str, ...]) -> Params:
        """Its parameters, a head only where it tells these classes apart."""
        if self.classes is None or self.classes.labels == labels:
            return self.params
        return {name: leaves for name, leaves in self.params.items() if name != HEAD}

    def build_classifier(self) -> Any:
        """The model with its head of classes."""
        return building.build(self.model, **self.shape._asdict())


def is_run(path: str) -> bool:
    """Whether a path is the folder of a training run."""
    return (Path(path) / 'manifest.json').exists()


def load_source(name: str, model: Any = None) -> Source:
    """Read what `init_from` names.

    Args:
      name: a run's folder, whose best checkpoint is taken; a folder with safetensors, or a name of
        the hub (`pretrained.load`); or an adapter's folder (`adaptation.saving`), whose base is
        read and changed by it.
      model: a `model` group that says how to run it; its architecture is the source's own.

    Returns:
      The source.

    Raises:
      InputError: where there is no such thing, or it cannot be read.
      RunError: where none of a run's checkpoints is intact.
    """
    if saving.is_adapter(name):
        adapter = saving.read(name)
        base = load_source(adapter.base, model)
        group, params = saving.attach(adapter, base.model, base.params)
        group, params = building.merged(group, params)
        params = jax.tree.map(jnp.asarray, params)
        shape = base.shape._replace(**adapter.shape)
        return base._replace(model=group, params=params, shape=shape, classes=adapter.classes)
    if is_run(name):
        run = load_run(name)
        group = _how_to_run(run.config.model, run.shape, model)
        said, classes = _sentences(run.config), read_classes(Path(name))
        return Source(group, run.params, run.tokenizer, run.shape, said, classes)
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
    resolved = config.copy_and_resolve_references()
    with resolved.unlocked():
        group = _resolve_model(config.init_from, config.model)
        resolved.model = building.add_fields(group, config.model)
    if 'ngram' in (config.model.get('family'), resolved.model.family):
        raise InputError(f'init_from is {config.init_from!r}: an n-gram is counted anew')
    return resolved


def _resolve_model(name: str, given: Any) -> Any:
    """The `model` group of what `init_from` names, run as another says."""
    if saving.is_adapter(name):
        adapter = saving.read(name)
        group = _resolve_model(adapter.base, given)
        return building.add_fields(group, {**adapter.model, 'lora_rank': 0})
    if not is_run(name):
        return pretrained_load.resolve(given, name)
    folder = Path(name)
    group = _how_to_run(read_config(folder).model, read_shape(folder), given)
    group.update({'lora_rank': 0} if 'lora_rank' in group else {})  # it is merged when it is read
    return group


def load(workdir: str | None, config: Any = None, *, best: bool = True) -> Trained:
    """Read a run's model, or what a config's `init_from` names.

    Args:
      workdir: the run's folder; None where a config is given.
      config: with `init_from`.
      best: see `load_run`.

    Returns:
      The model and what belongs to it; from a config its step is 0.

    Raises:
      InputError: where none or both are given, and as `load_run` and `load_source`.
    """
    if (workdir is None) == (config is None):
        raise InputError('give either --workdir, or --config with --config.init_from')
    if config is None:
        return load_run(str(workdir), best=best)
    if not config.init_from:
        raise InputError('init_from is empty: it must name what to read the parameters from')
    source, resolved = load_source(config.init_from, config.model), resolve(config)
    with resolved.unlocked():
        resolved.model = source.model  # nothing is added to it
        if config.task == 'classification':
            _as_classifier(resolved, source)
            built = source.build_classifier()
        else:
            built = source.build()
    return Trained(resolved, source.tokenizer, built, source.shape, source.params, 0)


def _as_classifier(config: Any, source: Source) -> None:
    """Have a config's data read as those were that the source's head was trained on."""
    if source.classes is None:
        raise InputError(
            f'init_from is {config.init_from!r}: it tells no classes apart, train it to first'
        )
    kind_of(config)
    labels, given = source.classes.labels, tuple(config.data.labels)
    require(given in ((), labels), 'data.labels', given, f'must be what it tells apart, {labels}')
    config.data.labels, config.pooling = labels, source.shape.pooling
    config.data.lower = config.data.lower or source.classes.lower


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
