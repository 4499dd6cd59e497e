"""The LSTM by cuDNN, as far as a machine without an NVIDIA GPU can say.

JAX carries a reference of what cuDNN computes, over the same packed weights; in its place the
conversion of weights, lengths, directions and dtypes is held against our own scan. The kernel
itself is not run here.
"""

from functools import partial
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental import rnn
from jax.interpreters import mlir

from nlp_models import platforms
from nlp_models.errors import InputError
from nlp_models.recurrent import cudnn, sequential
from nlp_models.recurrent.evaluation import make_evaluation
from tests.test_cells import (
    N,
    assert_close,
    library_cell,
    longer_arrays,
    random_arrays,
    results_and_gradients,
)

GPU = cast(Any, rnn).gpu_rnn  # jaxlib's lowerings
LSTM = library_cell('lstm')
LENGTHS = jnp.asarray([3, 6, 0, 1], jnp.int32)


def reference(x, h, c, weights, lengths, input_size, size, layers, dropout, bidirectional):
    """What `rnn.lstm` computes, by the reference."""
    assert np.all(lengths >= 1)  # cuDNN refuses an empty row
    parts = rnn.unpack_lstm_weights(weights, input_size, size, layers, bidirectional)
    run: Any = rnn.lstm_ref
    return run(x, h, c, *parts, lengths, input_size, size, layers, dropout, bidirectional)


@pytest.fixture
def no_gpu_needed(monkeypatch):
    monkeypatch.setattr(rnn, 'lstm', reference)


def run(scan: Any, arrays: Any, **kwargs: Any) -> Any:
    return scan(LSTM, arrays['params'], arrays['carry'], arrays['x'], **kwargs)


@pytest.mark.usefixtures('no_gpu_needed')
@pytest.mark.parametrize('ragged', [False, True])
@pytest.mark.parametrize('reverse', [False, True])
def test_it_is_the_scan_in_value_and_gradient(ragged, reverse):
    random = np.random.default_rng(3)
    arrays = jax.tree.map(lambda a: jnp.asarray(a, jnp.float32), longer_arrays('lstm'))
    kwargs = dict(lengths=LENGTHS if ragged else None, reverse=reverse)
    weights = [
        jnp.asarray(random.normal(size=leaf.shape), jnp.float32)
        for leaf in jax.tree.leaves(run(sequential.scan, arrays, **kwargs))
    ]

    # Not compiled: the stand-in looks at the lengths.
    def loss(arrays, scan):
        results = run(scan, arrays, **kwargs)
        leaves = jax.tree.leaves(results)
        return sum((w * leaf).sum() for w, leaf in zip(weights, leaves, strict=True)), results

    (_, results), gradients = jax.value_and_grad(loss, has_aux=True)(arrays, cudnn.scan)
    want = results_and_gradients(lambda a: run(sequential.scan, a, **kwargs), weights, arrays)
    assert_close((results, gradients), want, relative=2e-6)
    if ragged:
        for row, length in enumerate(LENGTHS):
            assert not np.any(results[1][row, length:])


@pytest.mark.usefixtures('no_gpu_needed')
def test_bfloat16_goes_in_and_comes_out():
    arrays = jax.tree.map(lambda a: jnp.asarray(a, jnp.bfloat16), longer_arrays('lstm'))
    results = run(cudnn.scan, arrays)
    assert all(leaf.dtype == jnp.bfloat16 for leaf in jax.tree.leaves(results))
    exact = run(sequential.scan, jax.tree.map(lambda a: a.astype(jnp.float32), arrays))
    # The same numbers go in, float32 is computed in, the results alone are rounded, to 2⁻⁹.
    assert_close(jax.tree.map(lambda a: np.asarray(a, np.float32), results), exact, relative=4e-3)


@pytest.mark.usefixtures('no_gpu_needed')
def test_the_gradients_of_bfloat16_are_near_float32s():
    arrays = jax.tree.map(lambda a: jnp.asarray(a, jnp.bfloat16), longer_arrays('lstm'))

    def gradients(arrays, scan):
        results, pull = jax.vjp(lambda arrays: run(scan, arrays, reverse=True), arrays)
        return pull(jax.tree.map(jnp.ones_like, results))[0]

    mine = gradients(arrays, cudnn.scan)
    assert all(leaf.dtype == jnp.bfloat16 for leaf in jax.tree.leaves(mine))
    exact = gradients(jax.tree.map(lambda a: a.astype(jnp.float32), arrays), sequential.scan)
    assert_close(jax.tree.map(lambda a: np.asarray(a, np.float32), mine), exact, relative=0.01)


def test_weights_have_cudnns_places():
    params = jax.tree.map(lambda a: jnp.asarray(a, jnp.float32), random_arrays('lstm')['params'])
    size = params['U'].shape[0]
    flat = cudnn.weights(params)
    assert flat.size == rnn.get_num_params_in_lstm(size, N, 1, False)
    w_ih, w_hh, b_ih, b_hh = rnn.unpack_lstm_weights(flat, size, N, 1, False)
    places = {'i': 1, 'f': 0, 'g': 3, 'o': 2}  # of ours, in cuDNN's order
    for theirs, ours in enumerate(places.values()):
        rows, columns = slice(theirs * N, (theirs + 1) * N), slice(ours * N, (ours + 1) * N)
        np.testing.assert_array_equal(w_ih[0][rows], params['U'][:, columns].T)
        np.testing.assert_array_equal(w_hh[0][rows], params['W'][:, columns].T)
        np.testing.assert_array_equal(b_ih[0][rows], params['b'][columns])
    assert not np.any(b_hh[0])


def test_flip_turns_what_is_real():
    x = jnp.arange(12.0).reshape(2, 6, 1)
    flipped = cudnn.flip(x, jnp.asarray([4, 0], jnp.int32))
    np.testing.assert_array_equal(flipped[..., 0], [[3, 2, 1, 0, 4, 5], [6, 7, 8, 9, 10, 11]])


def test_other_cells_and_dtypes_are_refused():
    arrays = jax.tree.map(lambda a: jnp.asarray(a, jnp.float32), longer_arrays('gru'))
    with pytest.raises(InputError, match='must be the LSTM'):
        cudnn.scan(library_cell('gru'), arrays['params'], arrays['carry'], arrays['x'])
    with jax.enable_x64(True):
        arrays = jax.tree.map(jnp.asarray, longer_arrays('lstm'))
        with pytest.raises(InputError, match=r"^x\.dtype is 'float64'"):
            run(cudnn.scan, arrays)


# What is asked of cuDNN while the LSTM is traced and lowered, if there were a GPU.


def test_without_a_gpu_auto_is_the_scan():
    arrays = jax.tree.map(lambda a: jnp.asarray(a, jnp.float32), longer_arrays('lstm'))
    assert not cudnn.available()
    with platforms.assume(platforms.TABLE['gpu']):  # one in name alone
        assert not cudnn.available()
        text = str(jax.make_jaxpr(lambda a: run(make_evaluation(LSTM), a))(arrays))
    assert 'rnn_fwd' not in text
    assert 'scan[' in text


class NoDevice:
    """The two questions that JAX's lowering asks cuDNN, with made-up answers."""

    @staticmethod
    def compute_rnn_workspace_reserve_space_sizes(*sizes):
        return 64, 32

    @staticmethod
    def build_rnn_descriptor(*sizes):
        return b'descriptor'


@pytest.fixture
def gpu(monkeypatch):
    """A jaxlib that has CUDA's part, to trace and lower with."""
    name = 'compute_rnn_workspace_reserve_space_sizes'
    monkeypatch.setattr(GPU, name, getattr(NoDevice, name), raising=False)
    for primitive, lowering in (
        (rnn.rnn_fwd_p, GPU._rnn_fwd_lowering),
        (rnn.rnn_bwd_p, GPU._rnn_bwd_lowering),
    ):
        mlir.register_lowering(primitive, partial(lowering, NoDevice, 'cu'), platform='cuda')
    cudnn._can_trace.cache_clear()
    yield
    cudnn._can_trace.cache_clear()


@pytest.mark.usefixtures('gpu')
@pytest.mark.parametrize('evaluation', ['auto', 'cudnn'])
def test_on_a_gpu_it_is_one_operation_each_way(evaluation):
    arrays = jax.tree.map(lambda a: jnp.asarray(a, jnp.float32), longer_arrays('lstm'))

    def total(arrays):
        return run(make_evaluation(LSTM, evaluation), arrays, lengths=LENGTHS)[1].sum()

    with platforms.assume(platforms.TABLE['gpu']):
        text = str(jax.make_jaxpr(jax.grad(total))(arrays))
        one = {**arrays, 'x': arrays['x'][:, :1]}
        step = str(jax.make_jaxpr(lambda a: run(make_evaluation(LSTM, evaluation), a))(one))
        allowed = [
            jax.export.DisabledSafetyCheck.custom_call(f'cudnn_rnn{way}_ffi')
            for way in ('', '_bwd')
        ]
        exported = jax.export.export(
            jax.jit(jax.grad(total)), platforms=['cuda'], disabled_checks=allowed
        )(arrays)
    module = exported.mlir_module()
    assert module.count('@cudnn_rnn_ffi(') == module.count('@cudnn_rnn_bwd_ffi(') == 1
    assert text.count('rnn_fwd[') == text.count('rnn_bwd[') == 1
    assert 'scan[' not in text
    assert 'rnn_fwd' not in step  # decoding is the cell's own step
