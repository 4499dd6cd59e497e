"""Which attention is used: memory, the choice, refusals, and lowering for other devices."""

from functools import partial
from types import SimpleNamespace
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

from configs import encoder
from configs.lm import get_config
from nlp_models import platforms
from nlp_models.attention import attend as attending
from nlp_models.attention.attend import attend, choose
from nlp_models.attention.chunked import chunked_attention
from nlp_models.attention.dot_product import dot_product_attention
from nlp_models.attention.masks import Mask
from nlp_models.errors import InputError
from nlp_models.models import build

B, H = 3, 2


def random_arrays(steps):
    """(q, k, v)."""
    draw = np.random.default_rng(steps).normal
    return [jnp.asarray(draw(size=(B, steps, H, 8)), jnp.float32) for _ in range(3)]


# Memory.


def temporary_bytes(attention, steps, heads, width):
    def loss(q, k, v):
        return (attention(q, k, v, Mask(causal=True)) ** 2).sum()

    shape = jax.ShapeDtypeStruct((1, steps, heads, width), jnp.float32)
    compiled = jax.jit(jax.grad(loss, (0, 1, 2))).lower(shape, shape, shape).compile()
    analysis: Any = compiled.memory_analysis()
    return analysis.temp_size_in_bytes


def test_chunked_needs_memory_linear_in_time():
    chunked = partial(chunked_attention, block=128)
    few, many = (temporary_bytes(chunked, steps, 2, 32) for steps in (1024, 4096))
    assert many < 4.2 * few
    few, many = (temporary_bytes(dot_product_attention, steps, 2, 32) for steps in (256, 1024))
    assert many > 12 * few


def test_chunked_needs_a_twentieth_of_one_t_by_t_array():
    steps, heads, width = 16384, 4, 64
    assert temporary_bytes(chunked_attention, steps, heads, width) < 4 * heads * steps**2 / 20


# Which one.


def call(steps, size, dtype=jnp.float32, width=64):
    return (jax.ShapeDtypeStruct((B, n, H, width), dtype) for n in (steps, size))


ROWS = jnp.full(B, 100, jnp.int32)


@pytest.mark.parametrize(
    ('platform', 'arrays', 'fields', 'want'),
    [
        ('cpu', {}, {'causal': True}, 'chunked'),
        ('cpu', {'steps': 255}, {'causal': True}, 'plain'),
        ('cpu', {'steps': 1}, {'causal': True, 'start': ROWS}, 'plain'),
        ('cpu', {'size': 64}, {}, 'plain'),
        ('cpu', {'dtype': jnp.bfloat16}, {}, 'chunked'),
        ('gpu', {'dtype': jnp.bfloat16}, {'causal': True, 'lengths': ROWS}, 'cudnn'),
        ('gpu', {'dtype': jnp.float16, 'steps': 8}, {'causal': True, 'window': 9}, 'cudnn'),
        ('gpu', {}, {'causal': True}, 'plain'),
        ('gpu', {'steps': 8192, 'size': 8192}, {'causal': True}, 'chunked'),
        ('gpu', {'dtype': jnp.bfloat16, 'width': 256}, {}, 'plain'),
        ('gpu', {'dtype': jnp.bfloat16, 'width': 20}, {}, 'plain'),
        ('gpu', {'dtype': jnp.bfloat16}, {'causal': True, 'start': ROWS}, 'plain'),
        ('gpu', {'dtype': jnp.bfloat16}, {'window': 9}, 'plain'),
        ('gpu', {'dtype': jnp.bfloat16}, {'causal': True, 'window': 9, 'lengths': ROWS}, 'plain'),
        ('tpu', {}, {'causal': True, 'lengths': ROWS}, 'pallas_tpu'),
        ('tpu', {'steps': 256}, {'causal': True}, 'plain'),
        ('tpu', {}, {'causal': True, 'start': ROWS}, 'plain'),
        ('tpu', {'steps': 1024}, {'causal': True, 'window': 9}, 'plain'),
    ],
    ids=str,
)
def test_the_choice(platform, arrays, fields, want):
    q, k = call(**{'steps': 512, 'size': 512, **arrays})
    with platforms.assume(platforms.TABLE[platform]):
        assert choose(q, k, Mask(**fields)) == want


@pytest.mark.parametrize(
    ('name', 'by'), [('chunked', 'chunked'), ('plain', 'plain'), ('auto', 'plain')]
)
def test_the_one_that_is_named_is_used(name, by, monkeypatch):
    q, k, v = random_arrays(40)
    want = dot_product_attention(q, k, v, Mask(causal=True))
    used = []
    for other, (run, refusal) in list(attending.IMPLEMENTATIONS.items()):

        def spied(*args, run=run, other=other):
            used.append(other)
            return run(*args)

        spy = attending.Implementation(spied, refusal)
        monkeypatch.setitem(attending.IMPLEMENTATIONS, other, spy)
    y = attend(q, k, v, Mask(causal=True), implementation=name)
    np.testing.assert_allclose(y, want, rtol=0, atol=2e-5)
    assert used == [by]


@pytest.mark.parametrize(
    ('fields', 'name', 'message'),
    [
        ({}, 'flash', "attention is 'flash': it must be one of auto, plain, chunked, cudnn"),
        ({}, 'cudnn', "attention is 'cudnn': it needs an NVIDIA GPU, not a cpu"),
        ({}, 'pallas_tpu', "attention is 'pallas_tpu': it needs a TPU, not a cpu"),
        ({'window': -1}, 'auto', 'window is -1: it must be at least 1'),
        ({'lengths': jnp.ones(2, jnp.int32)}, 'auto', 'mask.lengths is '),
        ({'start': jnp.int32(2)}, 'plain', 'mask.start is '),
    ],
    ids=str,
)
def test_what_cannot_be_done_is_said(fields, name, message):
    q, k, v = random_arrays(8)
    with pytest.raises(InputError, match=message.replace('.', r'\.')):
        attend(q, k, v, Mask(**fields), implementation=name)


def built(**fields):
    model = get_config('transformer').model
    model.update(hidden_size=16, num_layers=1, **fields)
    return build(model, vocab_size=11, max_length=8)


def test_the_config_names_it():
    tokens = jnp.arange(8)[None]
    plain = built(attention='plain')
    params = plain.init(jax.random.key(0))
    _, want = plain.apply(params, None, tokens)
    for fields in ({'attention': 'chunked'}, {}, {'window': 8}):
        np.testing.assert_allclose(
            built(**fields).apply(params, None, tokens)[1], want, rtol=0, atol=1e-6
        )
    _, narrow = built(window=2).apply(params, None, tokens)
    np.testing.assert_allclose(narrow[:, :2], want[:, :2], rtol=0, atol=1e-6)
    assert (jnp.abs(narrow - want)[:, 2:].max(-1) > 1e-4).all()
    with pytest.raises(InputError, match="attention is 'cudnn': it needs an NVIDIA GPU"):
        built(attention='cudnn').apply(params, None, tokens)


@pytest.mark.parametrize(
    ('fields', 'message'),
    [
        ({'attention': 'flash'}, "model.attention is 'flash': it must be one of auto, plain, ch"),
        ({'window': -1}, 'model.window is -1: it must be at least 1, or 0 for none'),
    ],
)
def test_a_config_that_cannot_be_built(fields, message):
    with pytest.raises(InputError, match=message):
        built(**fields)


@pytest.mark.parametrize('family', ['transformer', 'mingru'])  # that one in residual blocks
def test_a_model_has_forward_mode_by_its_config(family):
    model = cast(Any, get_config(family)).model
    model.update(hidden_size=8, num_layers=1)
    if family == 'transformer':
        model.num_heads = 2

    def along(**fields):
        model.update(**fields)
        built = build(model, vocab_size=5, max_length=300)
        tokens = jnp.arange(300)[None] % 5  # so long that attention would go in chunks

        def loss(params):
            return jnp.mean(built.apply(params, built.start(params, 1), tokens)[1] ** 2)

        params = built.init(jax.random.key(0))
        return jax.jvp(loss, (params,), (params,))[1], jax.grad(loss), params

    with pytest.raises(TypeError, match='forward-mode'):
        along(backward='custom')
    forward, gradient, params = along(backward='autodiff')
    reverse = sum(jax.tree.leaves(jax.tree.map(jnp.vdot, gradient(params), params)))
    assert float(forward) == pytest.approx(float(reverse), rel=1e-4)
    field = 'attention' if family == 'transformer' else 'evaluation'
    with pytest.raises(InputError, match=r'model.backward is .autodiff.: it must be custom where'):
        along(**{field: 'chunked' if family == 'transformer' else 'newton'})


@pytest.mark.parametrize('variant', ['mlm', 'mlm_gru'])
def test_an_encoder_and_its_head_have_forward_mode_by_their_config(variant):
    config = cast(Any, encoder.get_config(variant)).model
    config.update(hidden_size=8, num_layers=1, backward='autodiff')
    config.update(num_heads=2) if variant == 'mlm' else config.update(embed_size=8)
    model = build(config, vocab_size=5, max_length=20)

    def loss(params):
        y = model.encode(params, jnp.arange(20)[None] % 5)
        return jnp.mean(model.logits(params, y) ** 2)

    params = model.init(jax.random.key(0))
    forward = jax.jvp(loss, (params,), (params,))[1]
    reverse = sum(jax.tree.leaves(jax.tree.map(jnp.vdot, jax.grad(loss)(params), params)))
    assert float(forward) == pytest.approx(float(reverse), rel=1e-4)


def test_forward_mode_and_second_derivatives_need_the_plain_one():
    q, k, v = random_arrays(8)

    def total(q, implementation):
        return (attend(q, k, v, implementation=implementation) ** 2).sum()

    def slope(q, implementation):
        return jax.grad(total)(q, implementation).sum()

    jax.jvp(partial(total, implementation='plain'), (q,), (q,))
    assert jax.grad(slope)(q, 'plain').any()
    with pytest.raises(TypeError, match='forward-mode'):
        jax.jvp(partial(total, implementation='chunked'), (q,), (q,))
    with pytest.raises(ValueError, match='Reverse-mode differentiation does not work'):
        jax.grad(slope)(q, 'chunked')


@pytest.mark.parametrize(
    ('capability', 'refused'), [('9.0', False), ('7.5', True), ('gfx90a', True)]
)
def test_cudnn_needs_an_nvidia_gpu_that_is_new_enough(monkeypatch, capability, refused):
    half = jax.ShapeDtypeStruct((1, 8, 2, 8), jnp.bfloat16)
    monkeypatch.setattr(jax, 'default_backend', lambda: 'gpu')
    monkeypatch.setattr(jax, 'devices', lambda: [SimpleNamespace(compute_capability=capability)])
    with platforms.assume(platforms.TABLE['gpu']):
        assert (choose(half, half, Mask(causal=True)) != 'cudnn') == refused


# Other devices: what is picked for them lowers, with its gradient.

DEVICE_MASKS = [
    {},
    {'causal': True},
    {'causal': True, 'window': 100},
    {'lengths': ROWS},
    {'causal': True, 'lengths': ROWS},
]


def loss(mask: Mask, q: Any, k: Any, v: Any):
    return attend(q, k, v, mask).astype(jnp.float32).sum()


@pytest.mark.parametrize('fields', DEVICE_MASKS, ids=str)
@pytest.mark.parametrize('dtype', [jnp.float32, jnp.bfloat16])
def test_lowers_for_tpu(fields, dtype):
    q, k = call(steps=1000, size=1000, dtype=dtype)
    with platforms.assume(platforms.TABLE['tpu']):
        step = jax.jit(jax.grad(partial(loss, Mask(**fields)), (0, 1, 2)))
        module = export.export(step, platforms=['tpu'])(q, k, k).mlir_module()
    assert module.count('@tpu_custom_call') == 3  # forward, dq, dk and dv


@pytest.mark.parametrize('fields', DEVICE_MASKS, ids=str)
def test_lowers_for_cuda(fields, monkeypatch):
    """As far as it goes without a GPU: JAX asks cuDNN for its version, which is answered here."""
    from jax._src.cudnn import fused_attention_stablehlo

    monkeypatch.setattr(fused_attention_stablehlo, 'check_cudnn_version', lambda: 91002)
    q, k = call(steps=1000, size=1000, dtype=jnp.bfloat16)
    with platforms.assume(platforms.TABLE['gpu']):
        step = jax.jit(jax.grad(partial(loss, Mask(**fields)), (0, 1, 2)))
        module = step.trace(q, k, k).lower(lowering_platforms=('cuda',)).as_text()
    kind = {(): 'NO_MASK', ('causal',): 'CAUSAL', ('lengths',): 'PADDING'}.get(
        tuple(sorted(set(fields) - {'window'})), 'PADDING_CAUSAL'
    )
    window = f'\\22sliding_window_length\\22: {fields.get("window", 0)},'
    for target in ('@__cudnn$fmhaSoftmax(', '@__cudnn$fmhaSoftmaxBackward('):
        (line,) = [line for line in module.splitlines() if target in line]
        assert f'\\22mask_type\\22: \\22{kind}\\22' in line
        assert window in line


def chunked_loss(mask, q, k, v):
    return chunked_attention(q, k, v, mask).sum()


@pytest.mark.parametrize('platform', ['cuda', 'tpu'])
def test_chunked_lowers_elsewhere(platform):
    q, k = call(steps=1000, size=1000)
    with platforms.assume(platforms.TABLE['gpu' if platform == 'cuda' else 'tpu']):
        loss = partial(chunked_loss, Mask(causal=True))
        step = jax.jit(jax.grad(loss, (0, 1, 2)))
        module = export.export(step, platforms=[platform])(q, k, k).mlir_module()
    assert 'stablehlo.while' in module
