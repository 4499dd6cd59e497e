"""Small models for the tests of adaptation: as they were before it, and adapted."""

from functools import cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from configs import encoder, lm, seq2seq
from nlp_models import trees
from nlp_models.adaptation import building
from tests.generation_models import random_params

V, CONTEXT, SOURCE = 13, 20, 9
SEED = 5

TRANSFORMER = dict(num_layers=2, num_heads=2, hidden_size=8, head_bias=True)
RECURRENT = dict(hidden_size=8, head_bias=True)

# Name: (what makes its config, variant, what differs, small).
FAMILIES: dict[str, tuple[Any, str, dict[str, Any]]] = {
    'rotary': (lm, 'transformer', TRANSFORMER),
    'learned': (
        lm,
        'transformer',
        {
            **TRANSFORMER,
            'positions': 'learned',
            'max_positions': CONTEXT,
            'tie_embeddings': True,
        },
    ),
    'sinusoidal': (lm, 'transformer', {**TRANSFORMER, 'positions': 'sinusoidal', 'norm': 'post'}),
    'scanned': (lm, 'transformer', {**TRANSFORMER, 'scan_layers': True}),
    'windowed': (lm, 'transformer', {**TRANSFORMER, 'window': 5}),
    'rnn': (lm, 'rnn', RECURRENT),
    'lstm': (lm, 'lstm', {**RECURRENT, 'num_layers': 2}),
    'gru': (lm, 'gru', RECURRENT),
    'mingru': (lm, 'mingru', RECURRENT),
    'minlstm': (lm, 'minlstm', RECURRENT),
    'linear': (lm, 'linear', RECURRENT),
    'encoder': (encoder, 'mlm', {**TRANSFORMER, 'num_segments': 2}),
    'encoder_gru': (encoder, 'mlm_gru', {'hidden_size': 8, 'embed_size': 8}),
    'seq2seq': (seq2seq, 'reverse_transformer', {**TRANSFORMER, 'num_layers': 1}),
    'luong': (seq2seq, 'reverse_luong', {'hidden_size': 8, 'embed_size': 8}),
    'ngram': (lm, 'ngram', {'order': 3}),
}
DECODERS = ('rotary', 'learned', 'sinusoidal', 'scanned')
CELLS = ('rnn', 'lstm', 'gru', 'mingru', 'minlstm', 'linear')


def group_of(name: str, **added: Any) -> Any:
    """The `model` group of a family, with what is added to it."""
    file, variant, fields = FAMILIES[name]
    group = file.get_config(variant).model
    with group.unlocked():
        group.update({**fields, **added})
    return group


class Built(NamedTuple):
    """A model, and what it was built from."""

    group: Any
    model: Any
    params: Any


def sizes_of(name: str, **sizes: Any) -> dict[str, Any]:
    """The arguments of `building.build`."""
    source = SOURCE if name in ('seq2seq', 'luong') else 0
    return {**dict(vocab_size=V, max_length=CONTEXT, source_length=source), **sizes}


@cache
def base(name: str, *, seed: int = SEED, **sizes: Any) -> Built:
    """A model that was trained, as it were: with something to say of every text."""
    group = group_of(name)
    model = building.build(group, **sizes_of(name, **sizes))
    return Built(group, model, random_params(model, seed))


def adapted(name: str, *, seed: int = 0, sizes: Any = None, **added: Any) -> tuple[Built, Built]:
    """(the base, the model that starts from it)."""
    of, before = sizes_of(name, **(sizes or {})), base(name)
    group = group_of(name, **added)
    model = building.build(group, **of)

    def start(params: Any, key: Any) -> Any:
        return building.init_from(group, model, params, key, **of)

    params = jax.jit(start)(before.params, jax.random.key(seed))  # one program, not hundreds
    return before, Built(group, model, params)


def grown(params: Any, pattern: Any, seed: int = 0) -> Any:
    """Parameters with normal numbers in the leaves whose paths a pattern finds: as if trained."""
    random = np.random.default_rng(seed)

    def draw(path: str, leaf: Any) -> Any:
        numbers = jnp.asarray(0.5 * random.normal(size=leaf.shape), jnp.float32)
        return numbers if pattern.search(path) else leaf

    return trees.map_with_path(draw, params)


def tokens_of(rows: int = 2, length: int = 7, seed: int = 0) -> jax.Array:
    drawn = np.random.default_rng(seed).integers(V, size=(rows, length))
    return jnp.asarray(drawn, jnp.int32)


def outputs(built: Built, tokens: jax.Array) -> np.ndarray:
    """What a model says of texts read at once: vectors of an encoder, logits of others."""
    model = built.model

    @jax.jit
    def say(params: Any, tokens: Any) -> Any:
        if hasattr(model, 'encode'):
            return model.encode(params, tokens)
        condition = {'source': tokens[:, :5]} if hasattr(model, 'source_context') else {}
        return model.apply(params, model.start(params, len(tokens), 0, **condition), tokens)[1]

    return np.asarray(say(built.params, tokens))
