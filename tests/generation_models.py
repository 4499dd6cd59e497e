"""Small models for the tests of generation, and the plainest way to go on with a text."""

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from configs.lm import get_config
from nlp_models import models, ngram
from nlp_models.types import LanguageModel, Seq2Seq

V = 13
CONTEXT = 24
SEED = 7  # with which no family says the same of every text

# Name: (family, what differs from the family's config, small).
FAMILIES: dict[str, tuple[str, dict]] = {
    'ngram': ('ngram', {'order': 3}),
    'rnn': ('rnn', {}),
    'lstm': ('lstm', {'num_layers': 2}),
    'mingru': ('mingru', {}),
    'transformer_rotary': ('transformer', {'positions': 'rotary'}),
    'transformer_learned': ('transformer', {'positions': 'learned', 'tie_embeddings': True}),
    'transformer_windowed': ('transformer', {'positions': 'rotary', 'window': 5}),
    'transformer_scanned': ('transformer', {'positions': 'sinusoidal', 'scan_layers': True}),
}
BOUNDED = [name for name in FAMILIES if name.startswith('transformer')]


class Run(NamedTuple):
    """A model with parameters."""

    model: Any
    params: Any


@cache
def small(name: str, *, context: int = CONTEXT, seed: int = SEED, vocab_size: int = V) -> Run:
    """A model of a family with parameters large enough to have something to say."""
    family, fields = FAMILIES[name]
    group = cast(Any, get_config(family)).model
    if family == 'transformer':
        group.update(num_layers=2, num_heads=2)
    if family != 'ngram':
        group.update(hidden_size=8, head_bias=False)  # which would say the same everywhere
    group.update(fields)
    model = models.build(group, vocab_size=vocab_size, max_length=context)
    if family == 'ngram':
        text = np.random.default_rng(seed).integers(vocab_size, size=300)
        return Run(model, ngram.fit(text, order=3, vocab_size=vocab_size))
    return Run(model, random_params(model, seed))


def random_params(model: LanguageModel | Seq2Seq, seed: int) -> Any:
    """Normal numbers, large enough for texts to differ; gains are around 1."""
    random = np.random.default_rng(seed)

    def draw(path, leaf):
        name = jax.tree_util.keystr(path)
        gain, scale = 'scale' in name, 1.5 if 'embedding' in name else 0.7
        return jnp.asarray(gain + scale * random.normal(size=leaf.shape), jnp.float32)

    return jax.tree_util.tree_map_with_path(draw, jax.eval_shape(model.init, jax.random.key(0)))


@cache
def translator(*, context: int | None = None, seed: int = 0, vocab_size: int = V) -> Run:
    """A sequence-to-sequence model: a tanh recurrence that attends to embedded source tokens."""
    width = 8

    def init(key):
        keys = jax.random.split(key, 3)
        return {
            'embedding': jax.random.normal(keys[0], (vocab_size, width)),
            'W': jax.random.normal(keys[1], (width, width)),
            'head': jax.random.normal(keys[2], (width, vocab_size)),
        }

    def start(params, batch_size, max_length=0, *, source, source_lengths=None, key=None):
        del max_length, key
        real = jnp.ones(source.shape, bool)
        if source_lengths is not None:
            real = jnp.arange(source.shape[1]) < source_lengths[:, None]
        h = jnp.zeros((batch_size, width))
        return {'h': h, 'memory': params['embedding'][source], 'real': real}

    def apply(params, state, tokens, *, lengths=None, key=None):
        del key

        def step(h, inputs):
            x, t = inputs
            weights = jnp.where(state['real'], jnp.einsum('bsd,bd->bs', state['memory'], h), -1e9)
            seen = jnp.einsum('bs,bsd->bd', jax.nn.softmax(weights), state['memory'])
            new = jnp.tanh(x + seen + h @ params['W'])
            if lengths is not None:
                new = jnp.where((t < lengths)[:, None], new, h)
            return new, new

        x = jnp.swapaxes(params['embedding'][tokens], 0, 1)
        h, y = lax.scan(step, state['h'], (x, jnp.arange(tokens.shape[1])))
        return {**state, 'h': h}, jnp.swapaxes(y, 0, 1) @ params['head']

    model = Seq2Seq(init, start, apply, context, source_context=9)
    return Run(model, random_params(model, seed))


def prompts(*lengths: int, seed: int = 0, vocab_size: int = V) -> list[np.ndarray]:
    random = np.random.default_rng(seed)
    return [random.integers(vocab_size, size=length).astype(np.int32) for length in lengths]


def sources(*lengths: int, seed: int = 0) -> dict[str, np.ndarray]:
    """A condition for `translator`: padded with tokens that must not be looked at."""
    random = np.random.default_rng(seed)
    tokens = random.integers(V, size=(len(lengths), max(lengths))).astype(np.int32)
    return {'source': tokens, 'source_lengths': np.asarray(lengths, np.int32)}


def row_of(condition: dict[str, np.ndarray], row: int) -> dict[str, np.ndarray]:
    return {name: rows[row : row + 1] for name, rows in condition.items()}


@cache
def _reader(model: Any) -> Callable[..., Any]:
    return jax.jit(
        lambda params, tokens, condition: model.apply(
            params, model.start(params, 1, 0, **condition), tokens
        )[1]
    )


def next_logits(run: Run, text: Any, condition: Any = None) -> np.ndarray:
    """What follows a text, read from its first token on."""
    width = run.model.context or 16 * -(-len(text) // 16)
    padded = np.zeros((1, width), np.int32)
    padded[0, : len(text)] = text
    logits = _reader(run.model)(run.params, padded, condition or {})
    return np.asarray(logits)[0, len(text) - 1]


def plainly(
    run: Run,
    prompt: np.ndarray,
    num_tokens: int,
    *,
    choose: Callable[[np.ndarray, list[int], int], Any] | None = None,
    condition: Any = None,
) -> list[int]:
    """Go on with a text on the host, all of it read anew for each token.

    `choose` is given the logits, the whole text and the number of the token; the likeliest token is
    taken by default.
    """
    text, begin, context = [*map(int, prompt)], 0, run.model.context
    for index in range(num_tokens):
        if context is not None and len(text) - begin > context:
            if condition is not None:
                break
            begin = len(text) - max(1, context // 2)
        logits = next_logits(run, text[begin:], condition)
        token = np.argmax(logits) if choose is None else choose(logits, text, index)
        text.append(int(token))
    return text[len(prompt) :]
