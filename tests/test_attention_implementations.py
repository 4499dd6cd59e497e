"""Every implementation of attention against loops in float64: values, gradients and masks."""

from functools import cache, partial
from typing import Any, NamedTuple
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nlp_models import platforms
from nlp_models.attention import kernels
from nlp_models.attention.chunked import chunked_attention
from nlp_models.attention.dot_product import dot_product_attention
from nlp_models.attention.masks import Mask

B, H, K = 3, 2, 8


def cudnn_by_xla(q, k, v, mask):
    """What cuDNN is asked for, answered by XLA's form of the same function."""
    by_xla = jax.nn.dot_product_attention

    def instead(*args, implementation, **options):
        assert implementation == 'cudnn'
        return by_xla(*args, implementation='xla', **options)

    with mock.patch.object(jax.nn, 'dot_product_attention', instead):
        return kernels.cudnn_attention(q, k, v, mask)


IMPLEMENTATIONS = {
    'plain': dot_product_attention,
    'chunked': partial(chunked_attention, block=16),
    'one_block': partial(chunked_attention, block=64),
    'pallas_tpu': partial(kernels.pallas_tpu_attention, interpret=True),
    'cudnn': cudnn_by_xla,
}


class Case(NamedTuple):
    """T, S and the mask's fields."""

    steps: int
    size: int
    fields: dict


# T and S are no multiples of the blocks, except where it says so.
CASES = {
    'nothing hidden': Case(37, 53, {}),
    'whole blocks': Case(32, 48, {}),
    'causal': Case(53, 53, {'causal': True}),
    'causal, whole blocks': Case(48, 48, {'causal': True}),
    'causal, more queries': Case(53, 21, {'causal': True}),
    'padding': Case(21, 53, {'lengths': [53, 0, 18]}),
    'causal, padding': Case(53, 53, {'causal': True, 'lengths': [1, 53, 30]}),
    'window': Case(53, 53, {'causal': True, 'window': 7}),
    'wide window': Case(70, 70, {'causal': True, 'window': 40}),
    'window of one': Case(37, 37, {'causal': True, 'window': 1}),
    'window both ways': Case(53, 37, {'window': 20}),
    'window, padding': Case(53, 53, {'causal': True, 'window': 9, 'lengths': [53, 20, 0]}),
    'window both ways, padding': Case(53, 53, {'window': 9, 'lengths': [53, 20, 0]}),
    'start': Case(21, 60, {'causal': True, 'start': [0, 39, 17]}),
    'one token': Case(1, 60, {'causal': True, 'start': [0, 59, 17]}),
    'start, window': Case(21, 60, {'causal': True, 'start': [0, 39, 17], 'window': 12}),
    'all': Case(
        37,
        60,
        {'causal': True, 'window': 30, 'start': [0, 20, 17], 'lengths': [60, 33, 50]},
    ),
    'past the end': Case(21, 20, {'causal': True, 'start': [0, 15, 40], 'window': 4}),
    'window past the end': Case(60, 20, {'window': 5}),
}


def make_mask(fields, rows=slice(None)):
    arrays = {
        field: jnp.asarray(value[rows], jnp.int32)
        for field, value in fields.items()
        if field in ('start', 'lengths')
    }
    return Mask(**{**fields, **arrays})


def serves(name, case):
    """Whether the kernel of another device takes the case; the others take all."""
    steps, size, fields = CASES[case]
    q, k = (jax.ShapeDtypeStruct((B, n, H, K), jnp.bfloat16) for n in (steps, size))
    refusals = {
        'pallas_tpu': ('tpu', kernels.pallas_tpu_refusal),
        'cudnn': ('gpu', kernels.cudnn_refusal),
    }
    if name not in refusals:
        return True
    platform, refusal = refusals[name]
    with platforms.assume(platforms.TABLE[platform]):
        return refusal(q, k, make_mask(fields)) is None


served = [(name, case) for name in IMPLEMENTATIONS for case in CASES if serves(name, case)]


def allowed(steps, size, fields):
    """The mask as it is told in words, one query and key at a time."""
    see = np.ones((B, steps, size), bool)
    for b, t, s in np.ndindex(see.shape):
        position = t + fields.get('start', [0] * B)[b]
        window = fields.get('window', 0)
        if fields.get('causal') and s > position:
            see[b, t, s] = False
        if window and abs(position - s) >= window:
            see[b, t, s] = False
        if 'lengths' in fields and s >= fields['lengths'][b]:
            see[b, t, s] = False
    return see


def truth(arrays, see):
    """(y, (dq, dk, dv)) in float64, one head and one query after the other."""
    q, k, v, d_y = arrays
    y, (dq, dk, dv) = np.zeros(q.shape), (np.zeros(a.shape) for a in (q, k, v))
    for b, t, h in np.ndindex(q.shape[:3]):
        keys = np.flatnonzero(see[b, t])
        if len(keys) == 0:
            continue
        scores = k[b, keys, h] @ q[b, t, h] / np.sqrt(q.shape[-1])
        weights = np.exp(scores - scores.max())
        weights /= weights.sum()
        y[b, t, h] = weights @ v[b, keys, h]
        d_weights = v[b, keys, h] @ d_y[b, t, h]
        d_scores = weights * (d_weights - weights @ d_weights) / np.sqrt(q.shape[-1])
        dq[b, t, h] = d_scores @ k[b, keys, h]
        dk[b, keys, h] += np.outer(d_scores, q[b, t, h])
        dv[b, keys, h] += np.outer(weights, d_y[b, t, h])
    return y, (dq, dk, dv)


@cache
def problem(case, dtype=jnp.float32):
    """((q, k, v, d_y), (y, gradients)); the loops read what the dtype has left of the numbers."""
    steps, size, fields = CASES[case]
    draw = np.random.default_rng(steps * size).normal
    shapes = [(B, n, H, K) for n in (steps, size, size, steps)]
    arrays = [jnp.asarray(1.5 * draw(size=shape), dtype) for shape in shapes]
    wide = [np.asarray(a, np.float64) for a in arrays]
    return arrays, truth(wide, allowed(steps, size, fields))


def value_and_gradients(attention):
    """`(q, k, v, d_y, mask) -> (y, (dq, dk, dv))`."""

    def both(q, k, v, d_y, mask):
        y, pull = jax.vjp(lambda *qkv: attention(*qkv, mask), q, k, v)
        return y, pull(d_y)

    return both


def run(attention, arrays, mask):
    """(y, (dq, dk, dv)), compiled."""
    return jax.jit(value_and_gradients(attention))(*arrays, mask)


def check(have, want, bound):
    """Every array within `bound` of the truth, relative to the largest magnitude of them all."""
    scale = max(np.abs(truth).max() for truth in jax.tree.leaves(want))
    for x, truth in zip(jax.tree.leaves(have), jax.tree.leaves(want), strict=True):
        np.testing.assert_allclose(np.asarray(x, np.float64), truth, rtol=0, atol=bound * scale)


def test_the_loops_gradients_are_differences_of_their_values():
    arrays, _ = problem('all')
    wide, see = [np.asarray(a, np.float64) for a in arrays], allowed(*CASES['all'])
    _, gradients = truth(wide, see)
    direction = [np.random.default_rng(i).normal(size=a.shape) for i, a in enumerate(wide[:3])]
    values = []
    for sign in (1, -1):
        moved = [a + sign * 1e-5 * d for a, d in zip(wide, direction, strict=False)]
        values.append((truth([*moved, wide[3]], see)[0] * wide[3]).sum())
    slope = sum((g * d).sum() for g, d in zip(gradients, direction, strict=True))
    np.testing.assert_allclose((values[0] - values[1]) / 2e-5, slope, rtol=1e-7)


@pytest.mark.parametrize(('name', 'case'), served)
def test_values_and_gradients(name, case):
    arrays, want = problem(case)
    have = run(IMPLEMENTATIONS[name], arrays, make_mask(CASES[case].fields))
    check(have, want, 2e-6)
    blind = ~allowed(*CASES[case]).any(-1)
    for array in (have[0], have[1][0]):  # exactly zero, not merely close to it
        assert not np.any(np.asarray(array)[blind])


@pytest.mark.parametrize('case', ['causal', 'padding', 'all'])
@pytest.mark.parametrize('name', ['plain', 'chunked'])
def test_bfloat16(name, case):
    arrays, want = problem(case, jnp.bfloat16)
    have = run(IMPLEMENTATIONS[name], arrays, make_mask(CASES[case].fields))
    assert all(x.dtype == jnp.bfloat16 for x in jax.tree.leaves(have))
    for x, truth in zip(jax.tree.leaves(have), jax.tree.leaves(want), strict=True):
        check(x, truth, 0.02)  # 8 bits, and p and ds are rounded to them


@pytest.mark.parametrize(('name', 'case'), [pair for pair in served if CASES[pair[1]].fields])
def test_what_is_hidden_cannot_change_a_bit(name, case):
    (q, k, v, _), _ = problem(case)
    mask, see = make_mask(CASES[case].fields), allowed(*CASES[case])
    attention = jax.jit(IMPLEMENTATIONS[name])
    y = np.asarray(attention(q, k, v, mask))
    steps = CASES[case].steps
    for t in {0, steps // 3, steps - 1}:  # what this query may not see is filled with huge numbers
        hidden = ~see[:, t, :, None, None]
        other = attention(q, jnp.where(hidden, 1e30, k), jnp.where(hidden, -1e30, v), mask)
        np.testing.assert_array_equal(np.asarray(other)[:, t], y[:, t])
        assert np.any(other != y) == np.any(see & ~see[:, t, None])  # to those who see them


def test_what_is_hidden_cannot_change_a_gradient_either():
    (q, k, v, d_y), _ = problem('causal')
    mask, cut = make_mask(CASES['causal'].fields), 20
    d_y = d_y.at[:, cut:].set(0)  # a loss of the first 20
    later = jnp.arange(CASES['causal'].size)[:, None, None] >= cut
    for attention in (IMPLEMENTATIONS['chunked'], IMPLEMENTATIONS['one_block']):
        _, gradients = run(attention, (q, k, v, d_y), mask)
        huge = (q, jnp.where(later, 1e4, k), jnp.where(later, -1e4, v), d_y)
        for have, want in zip(run(attention, huge, mask)[1], gradients, strict=True):
            np.testing.assert_array_equal(have[:, :cut], want[:, :cut])
            assert not np.any(have[:, cut:])


@pytest.mark.parametrize(
    ('fields', 'queries', 'unseen'),
    [
        ({'causal': True}, (0, 16), (16, 64)),
        ({'causal': True}, (32, 48), (48, 64)),
        ({'causal': True, 'window': 17}, (48, 64), (0, 32)),
        ({'window': 10}, (48, 64), (0, 32)),
        ({'lengths': [20, 32, 17]}, (0, 64), (32, 64)),
        ({'causal': True, 'start': [0, 5, 15]}, (0, 16), (32, 64)),
    ],
    ids=str,
)
def test_blocks_hidden_whole_are_not_computed(fields, queries, unseen):
    """NaN there would spread by 0 · NaN, as it does through the plain form."""
    draw = np.random.default_rng(0).normal
    q, k, v, d_y = (jnp.asarray(draw(size=(B, 64, H, K)), jnp.float32) for _ in range(4))
    outside = (jnp.arange(64) < queries[0]) | (jnp.arange(64) >= queries[1])
    d_y = jnp.where(outside[:, None, None], 0, d_y)
    inside, mask = slice(*queries), make_mask(fields)
    y, (dq, _, _) = run(IMPLEMENTATIONS['chunked'], (q, k, v, d_y), mask)
    k, v = (a.at[:, slice(*unseen)].set(jnp.nan) for a in (k, v))
    other, (other_dq, _, _) = run(IMPLEMENTATIONS['chunked'], (q, k, v, d_y), mask)
    np.testing.assert_array_equal(other[:, inside], y[:, inside])
    np.testing.assert_array_equal(other_dq[:, inside], dq[:, inside])
    assert np.isnan(dot_product_attention(q, k, v, mask)[:, inside]).all()


@pytest.mark.parametrize('case', ['causal', 'all', 'window past the end'])
def test_vmap_and_several_devices(case):
    arrays, want = problem(case)
    fields, both = CASES[case].fields, value_and_gradients(IMPLEMENTATIONS['chunked'])
    rows = [make_mask(fields, slice(b, b + 1)) for b in range(B)]
    mask = jax.tree.map(lambda *a: jnp.stack(a), *rows)
    stacked = [a[:, None] for a in arrays]  # one row to each
    transforms: Any = (jax.vmap, partial(jax.pmap, devices=jax.devices()[:B]))
    for over in transforms:
        check(jax.tree.map(lambda a: a[:, 0], over(both)(*stacked, mask)), want, 2e-6)


@pytest.mark.parametrize(
    'fields',
    [
        {'causal': True, 'lengths': [37, 5, 0, 20]},
        {'causal': True, 'window': 12, 'start': [0, 3, 9, 1], 'lengths': [20, 37, 30, 1]},
    ],
    ids=str,
)
def test_two_devices_take_their_rows_one_after_the_other(fields):
    draw = np.random.default_rng(0).normal
    arrays = [jnp.asarray(draw(size=(4, 37, H, K)), jnp.float32) for _ in range(4)]
    mask = make_mask(fields)
    want = run(dot_product_attention, arrays, mask)
    halves = jax.tree.map(lambda a: a.reshape(2, 2, *a.shape[1:]), (*arrays, mask))
    both = value_and_gradients(IMPLEMENTATIONS['chunked'])
    with mock.patch.object(jax.lax, 'map', wraps=jax.lax.map) as by_rows:
        have = jax.pmap(both, devices=jax.devices()[:2])(*halves)
    assert by_rows.call_count == 2  # forward and backward
    check(jax.tree.map(lambda a: a.reshape(4, *a.shape[2:]), have), want, 2e-6)


@pytest.mark.parametrize('case', ['all', 'padding', 'causal'])
def test_the_whole_batch_at_once_as_elsewhere_than_on_a_cpu(case):
    arrays, want = problem(case)
    with platforms.assume(platforms.TABLE['gpu']):
        check(run(IMPLEMENTATIONS['chunked'], arrays, make_mask(CASES[case].fields)), want, 2e-6)


def test_within_remat():
    arrays, want = problem('causal')
    attention: Any = jax.checkpoint(IMPLEMENTATIONS['chunked'])
    check(run(attention, arrays, Mask(causal=True)), want, 2e-6)
