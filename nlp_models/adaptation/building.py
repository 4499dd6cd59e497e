"""From a config's `model` group to an adapted model, and from a base's parameters to its own.

Fields that adapt a model, all of them 0 where a group does not name them: `adapter_size` and
`adapter_placement` (`attention.bottleneck`), `lora_rank`, `lora_alpha` and `lora_targets` (`lora`),
`prefix_length` (`prefix`).
"""

import re
from typing import Any

import jax
import numpy as np

from nlp_models import models, trees
from nlp_models.adaptation import classifier, lora, prefix
from nlp_models.attention import bottleneck
from nlp_models.errors import InputError, require
from nlp_models.types import Key, LanguageModel, Params, Seq2Seq, TextEncoder

FIELDS = (
    'adapter_size',
    'adapter_placement',
    'lora_rank',
    'lora_alpha',
    'lora_targets',
    'prefix_length',
)
"""Of a `model` group: what is added to a model that has been trained."""

ADDED = re.compile(
    rf'^({lora.NAME}|{prefix.NAME}|{classifier.NAME})/|(^|[/_]){bottleneck.NAME}/(up|down)/'
)
"""Finds the paths of parameters that a base does not have."""


def build(
    model: Any,
    *,
    vocab_size: int,
    max_length: int,
    source_length: int = 0,
    num_classes: int = 0,
    pooling: str = '',
) -> Any:
    """`models.build`, with what the group adds, and a head of classes where there are any.

    Args:
      model: a config's `model` group.
      vocab_size: V.
      max_length: as in `models.build`.
      source_length: as in `models.build`.
      num_classes: C; 0 for no such head.
      pooling: of the vectors, where there is one.

    Returns:
      What `models.build` returns, or a `classifier.Classifier`.

    Raises:
      InputError: as `models.build`, and for what cannot be added to the model.
    """
    rank, length = model.get('lora_rank', 0), model.get('prefix_length', 0)
    require(rank >= 0, 'model.lora_rank', rank, 'must be at least 1, or 0 for no LoRA')
    require(length >= 0, 'model.prefix_length', length, 'must be at least 1, or 0 for no prefix')
    built: Any = models.build(
        model,
        vocab_size=vocab_size,
        max_length=max_length + length,  # the prefix takes up some of it
        source_length=source_length,
    )
    if length:
        learns = isinstance(built, LanguageModel) and built.vectors is not None
        should = 'must be 0: only transformers and recurrent networks that read one text have one'
        require(learns, 'model.prefix_length', length, should)
        window = model.get('window', 0)
        require(window == 0, 'model.prefix_length', length, f'must be 0 with a window ({window})')
        built = prefix.extend(built, length=length, vocab_size=vocab_size)
    if num_classes:
        built = classifier.make_classifier(built, num_classes=num_classes, pooling=pooling)
    return _with_lora(built, model) if rank else built


def init_from(model: Any, built: Any, base: Params, key: Key, **sizes: Any) -> Params:
    """The parameters that training starts from: a base's, and fresh ones for what is added.

    Args:
      model: the `model` group.
      built: what `build` made of it.
      base: the parameters of the model that is adapted.
      key: random key.
      **sizes: as given to `build`.

    Returns:
      Parameters of `built`.

    Raises:
      InputError: where the base's are not those of the model, naming the first that is not.
    """
    fresh = trees.flatten(built.init(key))
    known = trees.flatten(base)
    params: dict[str, Any] = {}
    for path, leaf in fresh.items():
        given = known.pop(path, None)
        alike = given is not None and given.shape == leaf.shape
        if not alike and not ADDED.search(path):
            found = 'missing' if given is None else f'{list(given.shape)}'
            raise InputError(f'init_from: {path} is {found}, where {list(leaf.shape)} is needed')
        params[path] = given if alike else leaf
        if alike and path.startswith(f'{lora.NAME}/'):
            raise InputError('init_from: its LoRA is to be merged first')
    for path in known:
        if not path.startswith(f'{classifier.NAME}/'):
            raise InputError(f'init_from: {path} has no place in the model')
    tree = trees.unflatten(params)
    if model.get('prefix_length', 0) and prefix.NAME not in base:
        plain = model.copy_and_resolve_references()
        with plain.unlocked():
            plain.update(prefix_length=0, lora_rank=0)
        without = build(plain, **{**sizes, 'num_classes': 0})
        tree[prefix.NAME] = prefix.begin(
            without, tree, jax.random.fold_in(key, 1), model.prefix_length, sizes['vocab_size']
        )
    return tree


def add_fields(model: Any, given: Any) -> Any:
    """A `model` group with what another adds to it (`FIELDS`).

    Args:
      model: the base's group.
      given: a group or dict; what it has none of is left as it is.

    Returns:
      A new group.

    Raises:
      InputError: where the base has adapters or a prefix of another size already.
    """
    group = model.copy_and_resolve_references()
    added = {field: given[field] for field in FIELDS if field in given}
    for size, fields in (
        ('adapter_size', ('adapter_size', 'adapter_placement')),
        ('prefix_length', ('prefix_length',)),
    ):
        if group.get(size, 0):
            wanted = {field: added.pop(field) for field in fields if field in added}
            for field, value in wanted.items() if wanted.get(size, 0) else ():
                should = f'must be {group[field]!r}, which init_from has already'
                should += ', or 0' if field == size else ''
                require(value == group[field], f'model.{field}', value, should)
    with group.unlocked():
        group.update(added)
    return group


def merged(model: Any, params: Params) -> tuple[Any, Params]:
    """A `model` group and its parameters with LoRA merged into the matrices it changes.

    Args:
      model: the group.
      params: its parameters.

    Returns:
      (the group without LoRA, parameters); both as they were where there is none.
    """
    if not model.get('lora_rank', 0):
        return model, params
    plain = model.copy_and_resolve_references()
    plain.lora_rank = 0
    host = jax.tree.map(np.asarray, params)
    return plain, lora.merge(host, alpha=model.lora_alpha)


def _with_lora(built: Any, model: Any) -> Any:
    """A model whose parameters hold `lora`, merged into the others wherever they are used."""
    alpha, targets = model.lora_alpha, model.lora_targets
    require(alpha > 0, 'model.lora_alpha', alpha, 'must be above 0')

    def init(key: Key) -> Params:
        params = built.init(key)
        own = {name: params[name] for name in params if name not in (classifier.NAME, prefix.NAME)}
        made = lora.init(own, jax.random.fold_in(key, 3), rank=model.lora_rank, targets=targets)
        return {**params, lora.NAME: made}

    def merging(function: Any) -> Any:
        if function is None:
            return None
        return lambda params, *rest, **named: function(
            lora.merge(params, alpha=alpha), *rest, **named
        )

    names = {
        LanguageModel: ('start', 'apply', 'vectors'),
        TextEncoder: ('encode', 'logits'),
        Seq2Seq: ('start', 'apply'),
        classifier.Classifier: ('logits',),
    }
    functions = {name: merging(getattr(built, name)) for name in names[type(built)]}
    return built._replace(init=init, **functions)
