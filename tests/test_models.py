"""Every family behind the same three functions: what must hold for each of them."""

from functools import cache
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs.lm import get_config
from nlp_models import models, ngram, trees
from nlp_models.errors import InputError
from nlp_models.recurrent.cells import Cell, inputs
from nlp_models.types import LanguageModel

B, T, V = 3, 8, 11
HALF = T // 2
ROOM = 20  # what a transformer is built for

# Name: (family, what differs from the family's config, small).
FAMILIES: dict[str, tuple[str, dict]] = {
    'ngram': ('ngram', {'order': 3}),
    'rnn_tanh': ('rnn', {'activation': 'tanh'}),
    'rnn_sigmoid': ('rnn', {'activation': 'sigmoid', 'tie_embeddings': True}),
    'lstm': ('lstm', {'num_layers': 2}),
    'gru': ('gru', {'embed_size': 5, 'head_bias': False}),
    'gru_reset_after': ('gru', {'reset_after': True, 'num_layers': 2}),
    'gru_residual': ('gru', {'residual': True, 'num_layers': 2}),
    'gru_newton': ('gru', {'evaluation': 'newton'}),
    'lstm_quasi_newton': ('lstm', {'evaluation': 'quasi_newton'}),
    'mingru': ('mingru', {'evaluation': 'associative'}),
    'mingru_auto': ('mingru', {'residual': False}),
    'minlstm': ('minlstm', {'evaluation': 'associative', 'num_layers': 1}),
    'linear': ('linear', {'evaluation': 'associative', 'residual': False, 'embed_size': 5}),
    'linear_residual': ('linear', {}),
    'transformer_none': ('transformer', {'positions': 'none', 'tie_embeddings': True}),
    'transformer_scanned': ('transformer', {'scan_layers': True, 'positions': 'learned'}),
    'transformer_bare': ('transformer', {'norm': 'none', 'skip_connections': False}),
    'transformer_remat': ('transformer', {'remat': True, 'activation': 'relu', 'use_bias': False}),
    **{
        f'transformer_{positions}_{norm}': ('transformer', {'positions': positions, 'norm': norm})
        for positions in ('learned', 'sinusoidal', 'rotary')
        for norm in ('pre', 'post')
    },
}
NEURAL = [name for name in FAMILIES if name != 'ngram']
RECURRENT = [name for name in NEURAL if not name.startswith('transformer')]
TRANSFORMERS = [name for name in NEURAL if name.startswith('transformer')]

every_family = pytest.mark.parametrize('name', FAMILIES)
every_neural = pytest.mark.parametrize('name', NEURAL)


def config(variant: str, /, **changes: Any) -> Any:
    """The `model` group of a family, made small."""
    model = cast(Any, get_config(variant)).model
    if variant == 'transformer':
        model.update(num_layers=2, num_heads=2)
    if variant != 'ngram':
        model.update(hidden_size=8)
    model.update(changes)
    return model


def build(name: str, **changes: Any) -> LanguageModel:
    family, fields = FAMILIES[name]
    return models.build(config(family, **{**fields, **changes}), vocab_size=V, max_length=ROOM)


class Compiled:
    """A model with parameters, its `apply` compiled once a shape."""

    def __init__(self, model: LanguageModel, params: Any):
        self.model, self.params = model, params
        self._apply = jax.jit(model.apply)

    def start(self, rows: int, max_length: int = 0) -> Any:
        return self.model.start(self.params, rows, max_length)

    def apply(self, state: Any, tokens: Any, lengths: Any = None) -> tuple[Any, np.ndarray]:
        if lengths is not None:
            lengths = jnp.asarray(lengths, jnp.int32)
        tokens = jnp.asarray(tokens, jnp.int32)
        state, logits = self._apply(self.params, state, tokens, lengths=lengths)
        return state, np.asarray(logits)

    def token_by_token(self, tokens: np.ndarray, room: int) -> np.ndarray:
        state, logits = self.start(len(tokens), room), []
        for t in range(tokens.shape[1]):
            state, one = self.apply(state, tokens[:, t : t + 1])
            logits.append(one)
        return np.concatenate(logits, axis=1)


@cache
def compiled(name: str) -> Compiled:
    if name == 'ngram':
        text = np.random.default_rng(0).integers(V, size=400)
        return Compiled(build(name), ngram.fit(text, order=3, vocab_size=V))
    model = build(name)
    return Compiled(model, random_params(model))


def random_params(model: LanguageModel) -> Any:
    """Large enough for every part of a model to have something to say; gains are around 1."""
    random, shapes = np.random.default_rng(0), jax.eval_shape(model.init, jax.random.key(0))

    def draw(path, leaf):
        gain = 'scale' in jax.tree_util.keystr(path)
        return jnp.asarray(gain + 0.5 * random.normal(size=leaf.shape), jnp.float32)

    return jax.tree_util.tree_map_with_path(draw, shapes)


def random_tokens(rows: int, length: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(V, size=(rows, length)).astype(np.int32)


def assert_close(actual, desired, tolerance=1e-5):
    np.testing.assert_allclose(actual, desired, rtol=tolerance, atol=tolerance)


# At once, token by token, in halves, ragged.


@every_family
def test_at_once_is_token_by_token_is_two_halves(name):
    run, tokens = compiled(name), random_tokens(B, T)
    _, at_once = run.apply(run.start(B, ROOM), tokens)
    assert at_once.shape == (B, T, V)
    assert at_once.dtype == np.float32
    assert at_once.std() > 0.1  # it does say something
    assert_close(run.token_by_token(tokens, ROOM), at_once)
    state, first = run.apply(run.start(B, ROOM), tokens[:, :HALF], [HALF] * B)
    _, second = run.apply(state, tokens[:, HALF:], [HALF] * B)
    assert_close(np.concatenate([first, second], axis=1), at_once)


@every_family
def test_ragged_rows_read_on_as_if_alone(name):
    run, random = compiled(name), np.random.default_rng(1)
    pieces = [[4, 3, 1], [1, 4, 0], [2, 0, 4], [4, 4, 4]]  # how much of each row is real
    texts: list[np.ndarray] = [np.zeros(0, np.int32)] * B
    read: list[np.ndarray] = [np.zeros((0, V))] * B
    state = run.start(B, ROOM)
    for lengths in pieces:
        tokens = random.integers(V, size=(B, HALF))
        state, logits = run.apply(state, tokens, lengths)
        for row, length in enumerate(lengths):
            texts[row] = np.concatenate([texts[row], tokens[row, :length]])
            read[row] = np.concatenate([read[row], logits[row, :length]])
    # Token by token, every row goes on by itself; what comes after the shorter ones is not looked
    # at.
    longest = max(map(len, texts))
    whole = np.stack([np.pad(text, (0, longest - len(text))) for text in texts])
    want = run.token_by_token(whole, ROOM)
    for row in range(B):
        assert_close(read[row], want[row, : len(read[row])])


@every_family
def test_the_future_changes_no_bit_of_the_past(name):
    run, tokens = compiled(name), random_tokens(B, T)
    _, before = run.apply(run.start(B), tokens)
    for t in range(T):
        changed = tokens.copy()
        changed[:, t] = (changed[:, t] + 1 + np.arange(B)) % V
        _, after = run.apply(run.start(B), changed)
        np.testing.assert_array_equal(after[:, :t], before[:, :t])
        assert np.all(np.any(after[:, t:] != before[:, t:], axis=(1, 2)))


@every_family
def test_rows_are_independent(name):
    run, tokens = compiled(name), random_tokens(B, T)
    _, before = run.apply(run.start(B), tokens)
    changed = tokens.copy()
    changed[1] = (changed[1] + 1) % V
    _, after = run.apply(run.start(B), changed)
    np.testing.assert_array_equal(after[[0, 2]], before[[0, 2]])
    assert np.any(after[1] != before[1])


@every_family
def test_no_room_gives_the_same_outputs(name):
    run, tokens = compiled(name), random_tokens(B, T)
    state, without = run.apply(run.start(B), tokens)
    _, with_room = run.apply(run.start(B, T), tokens)
    assert_close(without, with_room)
    assert jax.tree.structure(state) == jax.tree.structure(run.start(B))


@pytest.mark.parametrize('name', ['ngram', *RECURRENT])
def test_a_recurrent_state_has_one_size(name):
    run = compiled(name)
    assert run.model.context is None
    short, long = (trees.num_bytes(run.start(B, room)) for room in (1, 1000))
    assert short == long == trees.num_bytes(run.start(B)) > 0
    state, _ = run.apply(run.start(B), random_tokens(B, T))
    assert trees.num_bytes(state) == short


@pytest.mark.parametrize('name', TRANSFORMERS)
def test_a_transformers_state_grows_with_the_text(name):
    run = compiled(name)
    assert run.model.context == ROOM
    assert run.start(B) is None
    layers, width, float32 = 2, 8, 4
    for room in (4, 20):
        token = layers * 2 * width * float32  # a key and a value in each layer
        assert trees.num_bytes(run.start(B, room)) == B * (room * token + layers * 4)


# Embedding and head.


@pytest.mark.parametrize('name', ['rnn_sigmoid', 'transformer_none'])
def test_tied_embeddings_are_one_matrix(name):
    run = compiled(name)
    matrix = run.params['embed']['embedding']
    assert 'kernel' not in run.params.get('head', {})
    tokens = jnp.asarray([[1, 2]])

    def apply(model, params):
        return model.apply(params, model.start(params, 1), tokens)[1]

    @jax.jit
    def gradient(params):
        def loss(params):
            return jnp.sum(jax.nn.log_softmax(apply(run.model, params))[..., 3])

        return jax.grad(loss)(params)

    tied = np.asarray(gradient(run.params)['embed']['embedding'])
    assert tied.shape == matrix.shape == (V, 8)
    assert np.all(np.any(tied != 0, axis=1))  # as the head it has a part in every logit
    # The same as two matrices that happen to be equal.
    apart = build(name, tie_embeddings=False)
    head = {**run.params.get('head', {}), 'kernel': matrix.T}
    two = {**run.params, 'head': head}
    assert_close(jax.jit(apply, static_argnums=0)(apart, two), apply(run.model, run.params))


@pytest.mark.parametrize('family', ['lstm', 'transformer'])
@pytest.mark.parametrize('head_bias', [False, True])
@pytest.mark.parametrize('tie', [False, True])
def test_head_bias_is_there_when_asked_for(family, head_bias, tie):
    fields = config(family, head_bias=head_bias, tie_embeddings=tie)
    model = models.build(fields, vocab_size=V, max_length=ROOM)
    shapes = jax.eval_shape(model.init, jax.random.key(0))
    assert ('bias' in shapes.get('head', {})) == head_bias
    assert ('kernel' in shapes.get('head', {})) == (not tie)


def test_head_bias_is_added_to_the_logits():
    run, tokens = compiled('rnn_sigmoid'), random_tokens(B, T)
    bias = jnp.arange(float(V))
    shifted = Compiled(
        run.model, {**run.params, 'head': {'bias': run.params['head']['bias'] + bias}}
    )
    _, before = run.apply(run.start(B), tokens)
    _, after = shifted.apply(run.start(B), tokens)
    assert_close(after - before, np.broadcast_to(bias, (B, T, V)))


# What a config may say.


@pytest.mark.parametrize(
    ('family', 'field', 'value'),
    [
        ('transformer', 'num_heads', 3),
        ('transformer', 'num_heads', 0),
        ('transformer', 'norm', 'sandwich'),
        ('transformer', 'positions', 'alibi'),
        ('transformer', 'activation', 'tanh'),
        ('transformer', 'feed_forward_size', -1),
        ('transformer', 'init_std', -0.1),
        ('transformer', 'hidden_size', 0),
        ('transformer', 'num_layers', 0),
        ('transformer', 'dtype', 'float16'),
        ('transformer', 'dropout_rate', 1.0),
        ('rnn', 'activation', 'relu'),
        ('rnn', 'hidden_size', 0),
        ('lstm', 'hidden_size', -4),
        ('lstm', 'num_layers', 0),
        ('lstm', 'dropout_rate', 1.0),
        ('lstm', 'dropout_rate', -0.1),
        ('gru', 'dtype', 'float64'),
        ('gru', 'embed_size', -1),
        ('gru', 'embed_std', 0.0),
        ('gru', 'evaluation', 'parallel'),
        ('gru', 'evaluation', 'associative'),
        ('gru', 'evaluation', 'cudnn'),
        ('lstm', 'evaluation', 'cudnn'),
        ('mingru', 'backward', 'forward'),
        ('gru', 'family', 'mamba'),
        ('ngram', 'order', 0),
    ],
)
def test_a_bad_value_is_named(family, field, value):
    fields = config(family, **{field: value})
    with pytest.raises(InputError) as error:
        models.build(fields, vocab_size=V, max_length=ROOM)
    assert str(error.value).startswith(f'model.{field} is {value!r}: ')


@pytest.mark.parametrize(
    ('family', 'fields', 'field'),
    [
        ('transformer', {'hidden_size': 6, 'positions': 'rotary'}, 'positions'),
        (
            'transformer',
            {'hidden_size': 7, 'num_heads': 1, 'positions': 'sinusoidal'},
            'positions',
        ),
        ('gru', {'embed_size': 5, 'tie_embeddings': True}, 'embed_size'),
        ('mingru', {'embed_size': 5}, 'embed_size'),
        ('gru', {'evaluation': 'newton', 'backward': 'autodiff'}, 'backward'),
    ],
)
def test_values_that_do_not_go_together_are_named(family, fields, field):
    with pytest.raises(InputError, match=f'^model.{field} is '):
        models.build(config(family, **fields), vocab_size=V, max_length=ROOM)


# The start of training.


@every_neural
def test_the_first_loss_is_that_of_guessing(name):
    # Where embeddings are tied the head is the embedding, which has to start small then.
    model = build(name, embed_std=0.02) if name == 'rnn_sigmoid' else build(name)
    run = Compiled(compiled(name).model, jax.jit(model.init)(jax.random.key(0)))
    tokens = random_tokens(B, T + 1)
    _, logits = run.apply(run.start(B), tokens[:, :-1])
    log_p = np.asarray(jax.nn.log_softmax(logits))
    loss = -np.take_along_axis(log_p, tokens[:, 1:, None], axis=-1).mean()
    assert abs(loss - np.log(V)) < 0.05


@pytest.mark.parametrize(
    'name', ['rnn_tanh', 'lstm', 'gru', 'gru_newton', 'mingru', 'linear', 'transformer_rotary_pre']
)
def test_bfloat16_computes_on_float32_parameters(name):
    run, model, tokens = compiled(name), build(name, dtype='bfloat16'), random_tokens(B, T)
    shapes = jax.eval_shape(model.init, jax.random.key(0))
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(shapes))
    _, logits = Compiled(model, run.params).apply(run.start(B), tokens)
    _, want = run.apply(run.start(B), tokens)
    assert logits.dtype == np.float32
    assert np.all(np.isfinite(logits))
    assert np.abs(logits - want).max() < 0.05 * np.abs(want).max()
    assert np.any(logits != want)


# A new cell is one function and one line.


def mgu(params, carry, x):
    """The minimal gated unit (Zhou et al. 2016, equations 6 to 8); gate order f, h̃."""
    h, size = carry, carry.shape[-1]
    u, w = inputs(params, x), params['W']
    f = jax.nn.sigmoid(u[:, :size] + h @ w[:, :size])
    h_tilde = jnp.tanh(u[:, size:] + (f * h) @ w[:, size:])
    h = (1 - f) * h + f * h_tilde
    return h, h


def test_a_cell_of_ones_own_is_one_line(monkeypatch):
    monkeypatch.setitem(models.CELLS, 'mgu', lambda m: Cell(mgu, gates=2))
    model = models.build(config('lstm', family='mgu', num_layers=2), vocab_size=V, max_length=ROOM)
    params = jax.jit(model.init)(jax.random.key(0))
    assert params['body']['layer_0']['W'].shape == (8, 16)
    run, tokens = Compiled(model, params), random_tokens(B, T)
    _, at_once = run.apply(run.start(B), tokens)
    assert_close(run.token_by_token(tokens, 0), at_once)

    @jax.jit
    def loss(params):
        _, logits = model.apply(params, model.start(params, B), jnp.asarray(tokens))
        return jnp.mean(jax.nn.log_softmax(logits)[..., 0])

    gradients = jax.jit(jax.grad(loss))(params)
    assert all(np.any(leaf) for leaf in jax.tree.leaves(gradients))
    # Down the slope: a small step along the gradient changes the loss by its squared norm.
    rate = 1e-2
    moved = jax.tree.map(lambda p, g: p + rate * g, params, gradients)
    squared = sum(float(jnp.sum(g**2)) for g in jax.tree.leaves(gradients))
    np.testing.assert_allclose(loss(moved) - loss(params), rate * squared, rtol=0.02)
