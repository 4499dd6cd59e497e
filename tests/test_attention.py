"""The transformer against loops and NumPy in float64: positions, cache, blocks, stacks."""

import math
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nlp_models import platforms, trees
from nlp_models.attention import cache as kv
from nlp_models.attention.blocks import Block
from nlp_models.attention.config import BlockConfig, Rotary
from nlp_models.attention.decoder import make_decoder
from nlp_models.attention.layers import Layers
from nlp_models.attention.positions import rotary, rotary_frequencies, sinusoidal

B, T, H, K = 3, 5, 2, 4
D, F = H * K, 12


def normal(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).normal(size=shape)


def f32(tree) -> Any:
    return jax.tree.map(lambda a: jnp.asarray(a, jnp.float32), tree)


def softmax(scores):
    scores = np.exp(scores - scores.max())
    return scores / scores.sum()


def attention_loop(q, k, v, allowed):
    """The equation for one head and one query after the other; `allowed[b, h, t]` lists keys."""
    y = np.zeros(q.shape)
    for b, t, h in np.ndindex(q.shape[:3]):
        keys = np.flatnonzero(allowed[b, h, t])
        scores = np.array([q[b, t, h] @ k[b, s, h] for s in keys]) / np.sqrt(q.shape[-1])
        for weight, s in zip(softmax(scores), keys, strict=True):
            y[b, t, h] += weight * v[b, s, h]
    return y


QUERIES = np.array([[0, 1, 2, 3, 4], [2, 3, 4, 5, 6], [1, 2, 3, 4, 5]])  # where they stand


# Positions.


def test_sinusoidal_is_the_papers_up_to_the_order_of_the_axes():
    width, where = 10, np.array([[0, 1, 2, 31], [7, 100, 255, 1]])
    paper = np.zeros((*where.shape, width))
    for b, t, i in np.ndindex(*where.shape, width // 2):
        angle = where[b, t] / 10000 ** (2 * i / width)
        paper[b, t, 2 * i], paper[b, t, 2 * i + 1] = np.sin(angle), np.cos(angle)
    sines_then_cosines = np.concatenate([paper[..., 0::2], paper[..., 1::2]], axis=-1)
    y = sinusoidal(jnp.asarray(where), width)
    assert y.dtype == jnp.float32
    np.testing.assert_allclose(y, sines_then_cosines, rtol=0, atol=5e-5)  # angles are float32


def rotated(x, positions):
    """Each pair as a complex number, times e^{i p θ}."""
    half = x.shape[-1] // 2
    theta = 10000.0 ** (-2 * np.arange(half) / x.shape[-1])
    turn = np.exp(1j * positions[..., None, None] * theta)
    z = (x[..., :half] + 1j * x[..., half:]) * turn
    return np.concatenate([z.real, z.imag], axis=-1)


@pytest.mark.parametrize('shared', [False, True])
def test_rotary_is_a_product_of_complex_numbers(shared):
    x, where = normal(B, T, H, 6), QUERIES[:1] if shared else QUERIES
    y = rotary(f32(x), jnp.asarray(where), rotary_frequencies(6, Rotary()))
    np.testing.assert_allclose(y, rotated(x, where), rtol=0, atol=1e-5)
    norms = np.linalg.norm(y, axis=-1), np.linalg.norm(x, axis=-1)
    np.testing.assert_allclose(*norms, rtol=1e-5)


def test_rotary_products_depend_on_the_distance_alone():
    q, k = f32((normal(1, 1, H, K, seed=1), normal(1, 1, H, K, seed=2)))

    theta = rotary_frequencies(K, Rotary())

    def product(i, j):
        at_i, at_j = (rotary(a, jnp.full((1, 1), p), theta) for a, p in ((q, i), (k, j)))
        return np.asarray((at_i * at_j).sum(-1))

    near, far = product(3, 1), product(9, 1)
    for shift in (1, 10, 50):
        np.testing.assert_allclose(product(3 + shift, 1 + shift), near, rtol=0, atol=1e-5)
    assert np.abs(near - far).max() > 0.01
    assert np.abs(near - product(1, 3)).max() > 0.01  # the distance has a sign


# The cache.


def new_keys_values(steps, seed):
    return f32((normal(B, steps, H, K, seed=seed), normal(B, steps, H, K, seed=seed + 1)))


def held(stored):
    """Keys or values as they came in: tokens before heads."""
    return np.swapaxes(np.asarray(stored), 1, 2)


def test_appending_in_pieces_is_appending_at_once():
    k, v = new_keys_values(6, seed=1)
    empty = kv.start(B, 8, H, K)
    at_once, pieces = kv.append(empty, k, v), empty
    for begin, end in ((0, 1), (1, 4), (4, 6)):
        pieces = kv.append(pieces, k[:, begin:end], v[:, begin:end])
    jax.tree.map(np.testing.assert_array_equal, pieces, at_once)
    np.testing.assert_array_equal(at_once.length, [6] * B)
    np.testing.assert_array_equal(held(at_once.k)[:, :6], k)
    np.testing.assert_array_equal(held(at_once.v)[:, :6], v)


def test_what_is_not_real_is_overwritten():
    first, second = new_keys_values(4, seed=1), new_keys_values(3, seed=5)
    lengths = np.array([4, 0, 2]), np.array([1, 3, 2])
    cache = kv.append(kv.start(B, 8, H, K), *first, lengths=jnp.asarray(lengths[0], jnp.int32))
    np.testing.assert_array_equal(cache.length, lengths[0])
    cache = kv.append(cache, *second, lengths=jnp.asarray(lengths[1], jnp.int32))
    np.testing.assert_array_equal(cache.length, lengths[0] + lengths[1])
    for stored, one, two in zip((cache.k, cache.v), first, second, strict=True):
        for b, (m, n) in enumerate(zip(*lengths, strict=True)):
            want = np.concatenate([one[b, :m], two[b, :n]])
            np.testing.assert_array_equal(held(stored)[b, : m + n], want)


def test_what_does_not_fit_is_dropped():
    (k, v), (more_k, more_v) = new_keys_values(3, seed=1), new_keys_values(4, seed=5)
    cache = kv.append(kv.append(kv.start(B, 5, H, K), k, v), more_k, more_v)
    np.testing.assert_array_equal(held(cache.k), np.concatenate([k, more_k[:, :2]], axis=1))
    np.testing.assert_array_equal(held(cache.v), np.concatenate([v, more_v[:, :2]], axis=1))


def test_a_rolling_cache_holds_the_last_window_of_each_row():
    window, texts = 3, [np.zeros((0, H, K), np.float32) for _ in range(B)]
    cache = kv.start(B, 20, H, K, window=window)
    assert cache.k.shape == (B, H, window, K)
    for seed, lengths in enumerate(([2, 1, 5], [1, 0, 1], [5, 5, 0], [1, 1, 1], [0, 1, 4])):
        k, v = new_keys_values(5, seed=seed)
        cache = kv.append(cache, k, v, lengths=jnp.asarray(lengths, jnp.int32), window=window)
        for b, n in enumerate(lengths):
            texts[b] = np.concatenate([texts[b], np.asarray(k)[b, :n]])
            assert int(cache.length[b]) == len(texts[b])
            for p in range(max(0, len(texts[b]) - window), len(texts[b])):
                np.testing.assert_array_equal(held(cache.k)[b, p % window], texts[b][p])
    assert min(map(len, texts)) > window


def test_a_cache_smaller_than_the_window_does_not_roll():
    cache = kv.start(B, 4, H, K, window=6)
    assert cache.k.shape[2] == 4
    assert not kv.rolls(cache, 6)
    k, v = new_keys_values(6, seed=1)
    np.testing.assert_array_equal(held(kv.append(cache, k, v, window=6).k), k[:, :4])


@pytest.mark.parametrize('window', [0, 3])
def test_one_token_of_one_text_is_written_the_same_on_every_device(window):
    plain = platforms.Choices('cpu')
    for choice in (plain, plain._replace(scatter_one_token=True)):
        cache = kv.start(1, 5, H, K, window=window)
        tokens = f32(normal(1, 7, H, K))
        with platforms.assume(choice):
            for t in range(7):
                one = tokens[:, t : t + 1]
                cache = kv.append(cache, one, -one, window=window)
        slots = [6, 4, 5] if window else [0, 1, 2, 3, 4]  # what does not fit is dropped
        np.testing.assert_array_equal(held(cache.k)[0], tokens[0, np.array(slots)])
        np.testing.assert_array_equal(cache.v, -cache.k)
        assert int(cache.length[0]) == 7


# Positions that are stretched.


def test_rotary_scaling_divides_what_turns_too_slowly():
    """Llama 3.1's numbers: of 64 frequencies the fast stay, the slow are divided by 8."""
    plain = rotary_frequencies(128, Rotary(base=500000.0)).astype(np.float64)
    want = 500000.0 ** (-np.arange(64) / 64)
    np.testing.assert_allclose(plain, want, rtol=1e-6)
    linear = rotary_frequencies(128, Rotary(base=500000.0, scaling='linear', factor=4.0))
    np.testing.assert_allclose(linear, want / 4, rtol=1e-6)
    llama3 = rotary_frequencies(128, Rotary(500000.0, 'llama3', 8.0))
    for theta, have in zip(want, llama3, strict=True):
        wavelength = 2 * np.pi / theta
        if wavelength < 8192 / 4:
            expected = theta
        elif wavelength > 8192 / 1:
            expected = theta / 8
        else:
            smooth = (8192 / wavelength - 1) / (4 - 1)
            expected = (1 - smooth) * theta / 8 + smooth * theta
        np.testing.assert_allclose(have, expected, rtol=1e-6)


# A block, written out in NumPy.


def layer_norm(params, x):
    x = x - x.mean(-1, keepdims=True)
    x = x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-5)
    return x * params['scale'] + params.get('bias', 0)


def linear(params, x):
    return x @ params['kernel'] + params.get('bias', 0)


def gelu_tanh(x):
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def relu(x):
    return np.maximum(x, 0)


def silu(x):
    return x / (1 + np.exp(-x))


def gelu(x):
    return x * np.vectorize(lambda z: 0.5 * (1 + math.erf(z / math.sqrt(2))))(x)


def rms_norm(params, x):
    return x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-5) * params['scale']


def block_by_hand(config, params, x, memory: Any = None, lengths: Any = None):
    size, heads, width = x.shape[1], config.num_heads, config.head
    sees = np.tril(np.ones((size, size), bool))
    if config.window:
        sees &= ~np.tril(sees, -config.window)
    sees = np.broadcast_to(sees if config.causal else np.ones_like(sees), (B, heads, size, size))
    if not config.causal and lengths is not None:
        sees = sees & (np.arange(size) < lengths[:, None, None, None])
    norm = rms_norm if config.norm_type == 'rms' else layer_norm

    def split(y, *counts):
        y = y.reshape(*y.shape[:2], sum(counts), width)
        parts = np.split(y, np.cumsum(counts)[:-1], axis=2)
        return [
            np.repeat(part, heads // count, axis=2)
            for part, count in zip(parts, counts, strict=True)
        ]

    def attention(x):
        p = params['attention']
        q, k, v = split(linear(p['qkv'], x), heads, config.kv_heads, config.kv_heads)
        if config.rotary:
            q, k = (rotated(a, np.arange(size)[None]) for a in (q, k))
        return linear(p['out'], attention_loop(q, k, v, sees).reshape(*x.shape[:2], -1))

    def cross(x):
        p = params['cross_attention']
        (q,) = split(linear(p['q'], x), heads)
        k, v = split(linear(p['kv'], memory), config.kv_heads, config.kv_heads)
        real = np.arange(memory.shape[1]) < np.asarray(lengths)[:, None, None, None]
        real = np.broadcast_to(real, (B, heads, size, memory.shape[1]))
        return linear(p['out'], attention_loop(q, k, v, real).reshape(*x.shape[:2], -1))

    def feed_forward(x):
        p = params['feed_forward']
        activation = {'gelu_tanh': gelu_tanh, 'gelu': gelu, 'relu': relu, 'silu': silu}[
            config.activation
        ]
        hidden = linear(p['up'], x)
        hidden = activation(linear(p['gate'], x)) * hidden if config.gated else activation(hidden)
        return linear(p['down'], hidden)

    parts = [('attention', attention), ('cross_attention', cross), ('feed_forward', feed_forward)]
    for name, part in parts:
        if name == 'cross_attention' and not config.cross:
            continue
        gains = params.get(f'{name}_norm')
        assert (gains is None) == (config.norm == 'none')
        y = part(norm(gains, x) if config.norm == 'pre' else x)
        y = x + y if config.skip_connections else y
        x = norm(gains, y) if config.norm == 'post' else y
    return x


def random_like(tree):
    """Every parameter random, so that none can be left out: around 1 for gains, 0 for others."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    values = [
        normal(*leaf.shape, seed=i) / 3 + ('scale' in jax.tree_util.keystr(path))
        for i, (path, leaf) in enumerate(leaves)
    ]
    return jax.tree.unflatten(jax.tree.structure(tree), values)


@pytest.mark.parametrize(
    'fields',
    [
        {'norm': 'pre'},
        {'norm': 'post'},
        {'norm': 'pre', 'use_bias': False, 'rotary': Rotary()},
        {'norm': 'post', 'activation': 'relu'},
        {'window': 2},
        {'window': 3, 'attention': 'chunked', 'rotary': Rotary()},
        {'norm_type': 'rms', 'use_bias': False, 'activation': 'silu', 'gated': True},
        {'num_kv_heads': 1, 'rotary': Rotary(), 'use_bias': False, 'qkv_bias': True},
        {'num_heads': 4, 'num_kv_heads': 2, 'head_size': 6, 'attention': 'chunked'},
        {'activation': 'gelu', 'norm': 'post', 'causal': False},
        {'cross': True, 'causal': False, 'attention': 'chunked'},
        {'cross': True, 'norm': 'post', 'num_kv_heads': 1},
        {'norm': 'none', 'rotary': Rotary()},
        {'norm': 'pre', 'skip_connections': False},
        {'norm': 'post', 'skip_connections': False, 'norm_type': 'rms', 'use_bias': False},
        {'cross': True, 'causal': False, 'norm': 'none', 'skip_connections': False},
    ],
    ids=str,
)
def test_block_is_its_equations(fields):
    fields = {'num_heads': H, **fields}
    config = BlockConfig(width=D, feed_forward_size=F, num_layers=1, **fields)
    x, where = normal(B, T, D), jnp.arange(T)[None]
    x[0] *= 3e-3  # of a variance like LayerNorm's epsilon
    sources, lengths = normal(B, 4, D, seed=2), np.array([4, 1, 3])
    layers = Layers(config, max_length=T, positions='none')
    shapes = jax.eval_shape(layers.init, jax.random.key(0))
    params = random_like(shapes)['layer_0']
    read = None if config.causal else jnp.asarray(lengths, jnp.int32)

    @jax.jit
    def run(params, x):
        real = jnp.asarray(lengths, jnp.int32)
        memory = None
        if config.cross:
            (memory,) = layers.memories({'layer_0': params}, f32(sources), real)
        return Block(config).apply({'params': params}, x, None, where, read, memory, None)

    y, cache = run(f32(params), f32(x))
    assert cache is None
    want = block_by_hand(config, params, x, sources, lengths)
    np.testing.assert_allclose(y, want, rtol=0, atol=1e-5 * np.abs(want).max())
    used = {'bias' in path for path in trees_paths(params) if 'qkv' in path}
    assert (True in used) == (config.use_bias or config.qkv_bias)


@pytest.mark.parametrize('norm', ['pre', 'post', 'none'])
@pytest.mark.parametrize('skip', [True, False])
def test_a_stack_with_parts_taken_out(norm, skip):
    """A final norm just where norms come first; weights start smaller just where x is added."""
    config = BlockConfig(D, H, F, 2, norm=norm, skip_connections=skip)
    layers = Layers(config, max_length=T, positions='none')
    params = layers.init(jax.random.key(0))
    parts = ['attention_norm', 'feed_forward_norm'] if norm != 'none' else []
    assert ('final_norm' in params) == (norm == 'pre')
    assert set(params['layer_1']) == {'attention', 'feed_forward', *parts}
    down = params['layer_0']['feed_forward']['down']['kernel']
    scale = 0.02 / (2 if skip else 1)  # √(2L) = 2
    np.testing.assert_allclose(np.std(down), scale, rtol=0.2)
    params = random_like(params)
    x = f32(normal(B, T, D))
    _, y = layers.run(f32(params), x)
    want = np.asarray(x, np.float64)
    for name in layers.names:
        want = block_by_hand(config, params[name], want, None, None)
    if norm == 'pre':
        want = layer_norm(params['final_norm'], want)
    np.testing.assert_allclose(y, want, rtol=0, atol=1e-5 * np.abs(want).max())


def trees_paths(tree):
    paths: list[str] = []
    trees.map_with_path(lambda path, leaf: paths.append(path), tree)
    return paths


# The stack.


@cache
def decoder_run(*, key=None, room=0, **options):
    """(y, state, gradients) of a decoder on a fixed input, with the same parameters always."""
    fields = {name: options.pop(name) for name in ('norm', 'dropout_rate') if name in options}
    config = BlockConfig(width=D, num_heads=H, feed_forward_size=F, num_layers=2, **fields)
    model = make_decoder(config, max_length=T, positions='learned', **options)
    unrolled = make_decoder(config, max_length=T, positions='learned')
    params = f32(random_like(jax.eval_shape(unrolled.init, jax.random.key(0))))
    if options.get('scan_layers'):
        params = trees.stack_layers(params)
    x, weights = f32((normal(B, T, D), normal(B, T, D, seed=9)))
    lengths = jnp.asarray([5, 2, 3], jnp.int32) if room else None
    drop = None if key is None else jax.random.key(key)

    def loss(params: Any):
        state, y = model.apply(params, model.start(params, B, room), x, lengths=lengths, key=drop)
        return jnp.sum(y * weights), (y, state)

    (_, (y, state)), gradients = jax.jit(jax.value_and_grad(loss, has_aux=True))(params)
    return y, state, trees.unstack_layers(gradients) if trees.LAYERS in gradients else gradients


@pytest.mark.parametrize('how', [{'remat': True}, {'scan_layers': True}], ids=str)
@pytest.mark.parametrize(
    'call',
    [{'norm': 'pre'}, {'norm': 'post', 'room': T}, {'dropout_rate': 0.4, 'key': 3}],
    ids=str,
)
def test_remat_and_scan_layers_change_nothing(how, call):
    plain, other = decoder_run(**call), decoder_run(**call, **how)
    assert jax.tree.structure(plain) == jax.tree.structure(other)
    for want, have in zip(jax.tree.leaves(plain), jax.tree.leaves(other), strict=True):
        bound = 1e-6 * max(1.0, float(jnp.abs(want).max()))
        np.testing.assert_allclose(have, want, rtol=0, atol=bound)


def planned_bytes(steps: int, **options: Any) -> int:
    """What the gradient of a decoder of four layers needs beside arguments and results."""
    config = BlockConfig(D, H, F, num_layers=4, attention='chunked')
    model = make_decoder(config, max_length=steps, **options)
    params = jax.eval_shape(model.init, jax.random.key(0))

    def loss(params, x):
        return jnp.sum(model.apply(params, None, x)[1])

    x = jax.ShapeDtypeStruct((1, steps, D), jnp.float32)
    planned = jax.jit(jax.grad(loss)).lower(params, x).compile().memory_analysis()
    assert planned is not None
    return planned.temp_size_in_bytes


def test_scanned_layers_keep_no_scores_and_less_than_all():
    steps = 2048
    everything, kept = planned_bytes(steps), planned_bytes(steps, scan_layers=True)
    nothing = planned_bytes(steps, scan_layers=True, remat=True)
    assert nothing < kept < everything
    assert kept < 4 * steps**2  # one head's weights in one layer


@pytest.mark.parametrize('attention', ['plain', 'chunked'])
@pytest.mark.parametrize(('window', 'groups'), [(0, 0), (3, 0), (5, 1)])
def test_in_pieces_with_a_cache_as_at_once(attention, window, groups):
    """Rows of other lengths in the second piece; the third begins where each of them stands."""
    config = BlockConfig(
        D, H, F, num_layers=2, attention=attention, window=window, num_kv_heads=groups
    )
    model = make_decoder(config, max_length=12, positions='learned')
    params = f32(random_like(jax.eval_shape(model.init, jax.random.key(0))))
    x = f32(normal(B, 12, D))
    _, at_once = model.apply(params, None, x)
    apply, state = jax.jit(model.apply), model.start(params, B, 12)
    state, y = apply(params, state, x[:, :4])
    np.testing.assert_allclose(y, at_once[:, :4], rtol=0, atol=2e-5)
    lengths = np.array([1, 4, 0])
    state, y = apply(params, state, x[:, 4:8], lengths=jnp.asarray(lengths, jnp.int32))
    for b, n in enumerate(lengths):
        np.testing.assert_allclose(y[b, :n], at_once[b, 4 : 4 + n], rtol=0, atol=2e-5)
    rest = jnp.stack([x[b, 4 + n : 8 + n] for b, n in enumerate(lengths)])
    _, y = apply(params, state, rest)
    for b, n in enumerate(lengths):
        np.testing.assert_allclose(y[b], at_once[b, 4 + n : 8 + n], rtol=0, atol=2e-5)
    moved = model.apply(params, None, x.at[:, 0].add(1))[1]
    reached = np.any(np.asarray(moved != at_once), axis=(0, 2))
    sees = 12 if window == 0 else 1 + config.num_layers * (window - 1)
    assert list(reached) == [t < sees for t in range(12)]


def test_dropout_needs_a_key_and_follows_it():
    without, one, two = (
        decoder_run(dropout_rate=0.4, key=key)[0] if key else decoder_run(dropout_rate=0.4)[0]
        for key in (None, 3, 4)
    )
    np.testing.assert_array_equal(without, decoder_run(norm='pre')[0])
    assert np.any(np.asarray(one) != without)
    assert np.any(np.asarray(one) != two)


@pytest.mark.parametrize('norm', ['pre', 'post'])
def test_bfloat16_computes_on_float32_parameters(norm):
    def run(dtype):
        config = BlockConfig(
            width=D, num_heads=H, feed_forward_size=F, num_layers=2, norm=norm, dtype=dtype
        )
        model = make_decoder(config, max_length=T, positions='learned')
        shapes = jax.eval_shape(model.init, jax.random.key(0))
        assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(shapes))
        params = f32(random_like(shapes))
        state = model.start(params, B, T)
        assert state[0].k.dtype == dtype
        return jax.jit(model.apply)(params, state, jnp.asarray(normal(B, T, D), dtype))[1]

    narrow, wide = run(jnp.bfloat16), run(jnp.float32)
    assert narrow.dtype == jnp.bfloat16
    difference = np.asarray(narrow, np.float32) - np.asarray(wide)
    scale = np.abs(np.asarray(wide)).max()
    assert np.abs(difference).max() < 0.05 * scale  # bfloat16 has 8 bits
    assert np.any(difference)
