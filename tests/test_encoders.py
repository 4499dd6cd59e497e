"""Text encoders, transformer and bidirectional: padding, both ways, the masked head, pooling."""

import math
from functools import cache
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from configs import encoder, lm
from nlp_models import models
from nlp_models.attention.config import ACTIVATIONS
from nlp_models.errors import InputError
from nlp_models.heads import POOLINGS, pool
from nlp_models.types import TextEncoder
from tests.generation_models import random_params
from tests.test_cells import STEPS

B, S, V, D = 3, 7, 11, 8
N = 4  # the state's width in `test_cells`
LENGTHS = np.array([5, 7, 2], np.int32)
ROOM = 12  # what a transformer is built for

# Name: (family, what differs from the family's config, small).
ENCODERS: dict[str, tuple[str, dict]] = {
    'bert': (
        'transformer',
        dict(
            norm='post',
            positions='learned',
            embed_norm=True,
            num_segments=2,
            activation='gelu',
            norm_epsilon=1e-3,
        ),
    ),
    'sinusoidal': (
        'transformer',
        dict(positions='sinusoidal', activation='relu', tie_embeddings=False),
    ),
    'modern': (
        'transformer',
        dict(
            norm_type='rms',
            gated=True,
            activation='silu',
            num_kv_heads=1,
            use_bias=False,
            qkv_bias=True,
            head_bias=False,
        ),
    ),
    'windowed': ('transformer', dict(window=2, positions='none')),
    'scanned': ('transformer', dict(scan_layers=True, positions='learned')),
    'chunked': ('transformer', dict(attention='chunked')),
    'gru': ('gru', dict(num_layers=2)),
    'lstm': ('lstm', dict(tie_embeddings=False)),
    'mingru': ('mingru', dict(num_layers=2)),
    'mingru_associative': ('mingru', dict(evaluation='associative')),
}
TRANSFORMERS = [name for name, (family, _) in ENCODERS.items() if family == 'transformer']
RECURRENT = [name for name in ENCODERS if name not in TRANSFORMERS]

every_encoder = pytest.mark.parametrize('name', ENCODERS)


def group(name: str, **changes: Any) -> Any:
    """The `model` group of an encoder, made small."""
    family, fields = ENCODERS[name]
    if family == 'transformer':
        config = ConfigDict(encoder.transformer())
        config.update(hidden_size=D, num_layers=2, num_heads=2)
    else:
        config = ConfigDict({**lm.recurrent(family), **encoder.recurrent(), 'family': family})
        for field in {'orthogonal', 'reset_after'} - set(lm.recurrent(family)):
            del config[field]
        config.update(hidden_size=N, embed_size=6)
    config.update({**fields, **changes})
    return config


def build(name: str, **changes: Any) -> TextEncoder:
    return models.build(group(name, **changes), vocab_size=V, max_length=ROOM)


class Compiled:
    """An encoder with parameters that have something to say, compiled once a shape."""

    def __init__(self, model: TextEncoder):
        self.model, self.params = model, random_params(cast(Any, model), seed=0)
        self._encode = jax.jit(model.encode)

    def encode(self, tokens: Any, lengths: Any = None, **kwargs: Any) -> np.ndarray:
        tokens = jnp.asarray(tokens, jnp.int32)
        lengths = None if lengths is None else jnp.asarray(lengths, jnp.int32)
        return np.asarray(self._encode(self.params, tokens, lengths=lengths, **kwargs))


@cache
def compiled(name: str) -> Compiled:
    return Compiled(build(name))


def random_tokens(rows: int = B, length: int = S, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(V, size=(rows, length)).astype(np.int32)


def assert_close(actual, desired, tolerance=2e-5):
    np.testing.assert_allclose(actual, desired, rtol=tolerance, atol=tolerance)


# What may be seen and what not.


@every_encoder
def test_what_lies_past_the_end_changes_no_bit(name):
    run, tokens = compiled(name), random_tokens()
    y = run.encode(tokens, LENGTHS)
    assert y.dtype == np.float32
    assert y.shape == (B, S, D)
    other = np.where(np.arange(S) < LENGTHS[:, None], tokens, random_tokens(seed=1))
    assert (other != tokens).any()
    after = run.encode(other, LENGTHS)
    for row, length in enumerate(LENGTHS):
        np.testing.assert_array_equal(after[row, :length], y[row, :length])
    # As if there were nothing there.
    alone = run.encode(tokens[:1, : LENGTHS[0]])
    assert_close(y[0, : LENGTHS[0]], alone[0])


@every_encoder
def test_it_reads_both_ways(name):
    run, tokens = compiled(name), random_tokens()
    before = run.encode(tokens, LENGTHS)
    reach = 2 if name == 'windowed' else S  # two layers, each of which sees one token further
    rows = np.arange(B)
    for place in range(S):
        changed = tokens.copy()
        changed[:, place] = (changed[:, place] + 1) % V
        after = run.encode(changed, LENGTHS)
        moved = np.any(after != before, axis=-1)
        for row in rows[place < LENGTHS]:
            here = np.arange(int(LENGTHS[row]))
            np.testing.assert_array_equal(moved[row, here], np.abs(here - place) <= reach)


@every_encoder
def test_rows_are_independent(name):
    run, tokens = compiled(name), random_tokens()
    before = run.encode(tokens, LENGTHS)
    changed = tokens.copy()
    changed[1] = (changed[1] + 1) % V
    after = run.encode(changed, LENGTHS)
    np.testing.assert_array_equal(after[[0, 2]], before[[0, 2]])
    assert np.any(after[1] != before[1])


@every_encoder
def test_the_context_is_that_of_its_positions(name):
    transformer = name in TRANSFORMERS
    assert compiled(name).model.context == (ROOM if transformer else None)
    if transformer:
        assert build(name, max_positions=9).context == 9


# The equations.


def read(name, params, x):
    """A cell's outputs over x `[S, D]` from zeros, one step after the other."""
    h, outputs = np.zeros(N), []
    carry = (h, h) if name == 'lstm' else h
    for x_t in x:
        carry, y = STEPS[name](params, carry, x_t)
        outputs.append(y)
    return np.stack(outputs)


@pytest.mark.parametrize('name', ['gru', 'lstm', 'mingru'])
def test_a_bidirectional_encoder_is_the_equations(name):
    run, tokens = compiled(name), random_tokens()
    assert group(name).hidden_size == N
    params = jax.tree.map(lambda a: np.asarray(a, np.float64), run.params)
    y = run.encode(tokens, LENGTHS)
    for row, length in enumerate(LENGTHS):
        x = params['embed']['embedding'][tokens[row, :length]]
        for layer in range(len(params['body'])):
            ways = params['body'][f'layer_{layer}']
            forward = read(name, ways['forward'], x)
            backward = read(name, ways['backward'], x[::-1])[::-1]
            x = np.concatenate([forward, backward], axis=-1)
        assert_close(y[row, :length], x)


def layer_norm(x, scale, bias, epsilon):
    """In float64, one row after the other."""
    rows = x.reshape(-1, x.shape[-1])
    normal = [(row - row.mean()) / math.sqrt(row.var() + epsilon) for row in rows]
    return np.reshape(normal, x.shape) * scale + bias


def test_embeddings_are_of_tokens_segments_and_positions():
    """With blocks that add nothing what is left is the embedding and the norms."""
    run, tokens = compiled('bert'), random_tokens()
    params = jax.tree.map(lambda a: np.asarray(a, np.float64), run.params)
    body = params['body']
    silent = jax.tree.map(np.copy, run.params)
    for layer in ('layer_0', 'layer_1'):
        for part, last in (('attention', 'out'), ('feed_forward', 'down')):
            for leaf in jax.tree.leaves(silent['body'][layer][part][last]):
                leaf[:] = 0
    segments = np.random.default_rng(2).integers(2, size=(B, S)).astype(np.int32)

    def want(which):
        x = params['embed']['embedding'][tokens] + params['embed']['segments'][which]
        x = x + body['positions'][:S]
        norms = [body['embed_norm']] + [
            body[layer][part]
            for layer in ('layer_0', 'layer_1')
            for part in ('attention_norm', 'feed_forward_norm')
        ]
        for norm in norms:
            x = layer_norm(x, norm['scale'], norm['bias'], 1e-3)
        return x

    encode = jax.jit(run.model.encode)
    for given, which in ((segments, segments), (None, 0 * segments)):
        y = encode(silent, tokens, lengths=LENGTHS, segments=given)
        for row, length in enumerate(LENGTHS):
            assert_close(np.asarray(y)[row, :length], want(which)[row, :length])


def test_segments_reach_every_output():
    run, tokens = compiled('bert'), random_tokens()
    zeros = np.zeros((B, S), np.int32)
    np.testing.assert_array_equal(run.encode(tokens), run.encode(tokens, segments=zeros))
    one = zeros.copy()
    one[:, -1] = 1
    moved = run.encode(tokens, segments=one) != run.encode(tokens, segments=zeros)
    assert moved.any(axis=-1).all()


def gelu(x):
    return np.array([0.5 * a * (1 + math.erf(a / math.sqrt(2))) for a in x.flat]).reshape(x.shape)


SIGMAS = {
    'gelu': gelu,
    'gelu_tanh': lambda x: 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))),
    'relu': lambda x: np.maximum(x, 0),
    'silu': lambda x: x / (1 + np.exp(-x)),
}


@every_encoder
def test_the_masked_head_is_its_equation(name):
    run, config = compiled(name), group(name)
    params = jax.tree.map(lambda a: np.asarray(a, np.float64), run.params)
    head = params['head']
    assert set(SIGMAS) == set(ACTIVATIONS)
    assert set(head) == {'transform', 'norm'} | (
        ({'bias'} if config.head_bias else set()) | (set() if config.tie_embeddings else {'kernel'})
    )
    y = np.random.default_rng(3).normal(size=(B, S, D)).astype(np.float32)
    x = y.astype(np.float64) @ head['transform']['kernel'] + head['transform']['bias']
    x = SIGMAS[config.activation if name in TRANSFORMERS else 'gelu'](x)
    epsilon = config.norm_epsilon if name in TRANSFORMERS else 1e-5
    x = layer_norm(x, head['norm']['scale'], head['norm']['bias'], epsilon)
    matrix = params['embed']['embedding'].T if config.tie_embeddings else head['kernel']
    want = x @ matrix + head.get('bias', 0)
    to_logits = run.model.logits
    assert to_logits is not None
    found = jax.jit(to_logits)(run.params, y)
    assert found.dtype == jnp.float32
    assert found.shape == (B, S, V)
    assert_close(found, want, 1e-4)


@pytest.mark.parametrize('name', ['bert', 'gru'])
def test_without_a_masked_head_there_is_none(name):
    model = build(name, masked_head=False)
    assert model.logits is None
    assert set(jax.eval_shape(model.init, jax.random.key(0))) == {'embed', 'body'}
    run, tokens = compiled(name), random_tokens()
    body = {part: run.params[part] for part in ('embed', 'body')}
    np.testing.assert_array_equal(jax.jit(model.encode)(body, tokens), run.encode(tokens))


@pytest.mark.parametrize('name', ['bert', 'gru'])
def test_the_first_loss_is_that_of_guessing(name):
    model = build(name, embed_std=0.02)
    to_logits = model.logits
    assert to_logits is not None

    @jax.jit
    def log_p(tokens):
        params = model.init(jax.random.key(0))
        return jax.nn.log_softmax(to_logits(params, model.encode(params, tokens)))

    tokens = random_tokens()
    loss = -np.take_along_axis(np.asarray(log_p(tokens)), tokens[..., None], axis=-1).mean()
    assert abs(loss - np.log(V)) < 0.1


@pytest.mark.parametrize('name', ['bert', 'gru'])
def test_bfloat16_computes_on_float32_parameters(name):
    run, tokens = compiled(name), random_tokens()
    model = build(name, dtype='bfloat16')
    shapes = jax.eval_shape(model.init, jax.random.key(0))
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(shapes))
    y = jax.jit(model.encode)(run.params, tokens)
    assert y.dtype == jnp.bfloat16
    want = run.encode(tokens)
    assert np.abs(np.asarray(y, np.float32) - want).max() < 0.05 * np.abs(want).max()
    to_logits = model.logits
    assert to_logits is not None
    assert to_logits(run.params, y).dtype == jnp.float32


@pytest.mark.parametrize('name', ['bert', 'scanned', 'gru'])
def test_a_key_turns_dropout_on(name):
    run, tokens, key = compiled(name), random_tokens(), jax.random.key(0)
    plain = run.encode(tokens)
    np.testing.assert_array_equal(run.encode(tokens, key=key), plain)  # the rate is 0
    encode = jax.jit(build(name, dropout_rate=0.5).encode)
    np.testing.assert_array_equal(encode(run.params, tokens), plain)
    one, same, other = (encode(run.params, tokens, key=jax.random.key(i)) for i in (0, 0, 1))
    np.testing.assert_array_equal(one, same)
    assert np.any(one != plain)
    assert np.any(one != other)


# Pooling.


@pytest.mark.parametrize('normalize', [False, True])
@pytest.mark.parametrize('how', ['mean', 'cls', 'last'])
def test_pooling_is_its_loop(how, normalize):
    y = np.random.default_rng(4).normal(size=(B, S, D))
    want = []
    for row, length in zip(y, LENGTHS, strict=True):
        real = [row[s] for s in range(length)]
        vector = {'mean': sum(real) / length, 'cls': real[0], 'last': real[-1]}[how]
        want.append(vector / math.sqrt(vector @ vector) if normalize else vector)
    found = pool(jnp.asarray(y, jnp.float32), jnp.asarray(LENGTHS), how, normalize=normalize)
    assert set(POOLINGS) == {'mean', 'cls', 'last'}
    assert_close(found, want, 1e-6)


def test_pooling_is_in_float32_and_has_no_nan_for_a_zero_vector():
    lengths = jnp.asarray([256], jnp.int32)
    thirds = jnp.full((1, 256, 2), 1 / 3, jnp.bfloat16)
    found = pool(thirds, lengths, 'mean')
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, np.asarray(thirds[0, :1], np.float32), rtol=1e-6)
    np.testing.assert_array_equal(pool(0 * thirds, lengths, 'mean', normalize=True), [[0, 0]])


# What a config may say.


@pytest.mark.parametrize(
    ('name', 'field', 'value'),
    [
        ('bert', 'positions', 'alibi'),
        ('bert', 'activation', 'tanh'),
        ('bert', 'norm_type', 'batch'),
        ('bert', 'norm_epsilon', 0.0),
        ('bert', 'num_kv_heads', 3),
        ('bert', 'window', -1),
        ('bert', 'rotary_scaling', 'yarn'),
        ('bert', 'rotary_factor', 0.0),
        ('bert', 'rotary_high_frequency', 0.5),
        ('bert', 'max_positions', -1),
        ('bert', 'architecture', 'both'),
        ('mingru', 'residual', True),
        ('gru', 'embed_size', -1),
        ('gru', 'dtype', 'float16'),
    ],
)
def test_a_bad_value_is_named(name, field, value):
    with pytest.raises(InputError) as error:
        build(name, **{field: value})
    assert str(error.value).startswith(f'model.{field} is {value!r}: ')


def test_only_a_decoder_is_a_language_model():
    with pytest.raises(InputError, match=r"^model\.architecture is 'encoder': only decoder"):
        models.build_language_model(group('bert'), vocab_size=V, max_length=ROOM)
