"""Prefix tuning: a state that is learned, and that stands for tokens in front of every text."""

import re
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nlp_models import trees
from nlp_models.adaptation import building, prefix
from nlp_models.errors import InputError
from nlp_models.generation.decoding import generate
from nlp_models.generation.sampling import Sampling
from nlp_models.training.objectives import language_modelling
from tests.adapted_models import (
    CELLS,
    CONTEXT,
    DECODERS,
    SOURCE,
    V,
    adapted,
    base,
    group_of,
    grown,
    outputs,
    sizes_of,
    tokens_of,
)

P, KEY = 3, 4
LEARNED = re.compile('^prefix/')


@cache
def made(name, *, seed=KEY):
    return adapted(name, seed=seed, prefix_length=P)


def drawn(rows=2, seed=KEY):
    """The tokens that a fresh prefix stands for, of each row."""
    tokens = prefix.draw(jax.random.fold_in(jax.random.key(seed), 1), P, V)
    return jnp.tile(tokens, (rows, 1))


def behind(built, front, tokens):
    """What a model says of a text that has other tokens in front of it."""
    return outputs(built, jnp.concatenate([front, tokens], axis=1))[:, front.shape[1] :]


@pytest.mark.parametrize('name', CELLS)
def test_at_first_a_recurrent_network_is_what_it_was(name):
    before, after = made(name)
    np.testing.assert_array_equal(outputs(after, tokens_of()), outputs(before, tokens_of()))


@pytest.mark.parametrize('name', DECODERS)
def test_at_first_it_is_as_if_the_drawn_tokens_had_been_read(name):
    before, after = made(name)
    tokens = tokens_of()
    want = behind(before, drawn(), tokens)
    np.testing.assert_allclose(outputs(after, tokens), want, rtol=1e-5, atol=1e-5)
    assert np.abs(want - outputs(before, tokens)).max() > 0.01


def test_what_is_learned_and_its_size():
    for name, arrays in {
        'rnn': {'0': (1, 8)},
        'lstm': {f'{layer}/{part}': (1, 8) for layer in '01' for part in '01'},
        'rotary': {f'{layer}/{part}': (1, 2, P, 4) for layer in '01' for part in 'kv'},
    }.items():
        before, after = made(name)
        new = {path: a for path, a in trees.flatten(after.params).items() if LEARNED.search(path)}
        assert {path: a.shape for path, a in new.items()} == {
            f'prefix/{path}': shape for path, shape in arrays.items()
        }
        assert set(after.params) - {'prefix'} == set(before.params)
        assert all(building.ADDED.search(path) for path in new)


@pytest.mark.parametrize('name', ['rotary', 'sinusoidal', 'scanned', 'lstm', 'mingru'])
def test_at_once_token_by_token_and_in_pieces_it_is_the_same(name):
    _, after = made(name)
    model, params = after.model, grown(after.params, LEARNED)
    tokens, apply = tokens_of(length=6), jax.jit(model.apply)
    whole = outputs(after._replace(params=params), tokens)
    for pieces in ((1,) * 6, (4, 2), (6,)):
        state, first = model.start(params, 2, 6), 0
        for size in pieces:
            state, logits = apply(params, state, tokens[:, first : first + size])
            want = whole[:, first : first + size]
            np.testing.assert_allclose(logits, want, rtol=1e-4, atol=1e-4)
            first += size


@pytest.mark.parametrize('name', ['rotary', 'lstm'])
def test_rows_of_several_lengths_are_each_as_if_alone(name):
    _, after = made(name)
    model, params, tokens = after.model, grown(after.params, LEARNED), tokens_of(length=6)
    lengths, apply = jnp.array([6, 2], jnp.int32), jax.jit(model.apply)
    state, logits = apply(params, model.start(params, 2, 7), tokens, lengths=lengths)
    _, after_it = apply(params, state, jnp.array([[5], [7]], jnp.int32))
    for row, length in enumerate([6, 2]):
        text = jnp.concatenate([tokens[row, :length], jnp.array([[5], [7]][row], jnp.int32)])
        alone = outputs(after._replace(params=params), text[None])[0]
        np.testing.assert_allclose(logits[row, :length], alone[:length], rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(after_it[row, 0], alone[length], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('name', ['rotary', 'learned', 'lstm'])
def test_what_is_generated_is_what_the_base_generates_behind_these_tokens(name):
    before, after = made(name)
    prompts = [np.asarray(tokens_of(1, length, seed=length)[0]) for length in (2, 5)]
    front = np.asarray(drawn(1)[0])
    how: Any = dict(num_tokens=8, sampling=Sampling(temperature=0.0))
    want = generate(before.model, before.params, [np.r_[front, each] for each in prompts], **how)
    params = after.params
    if name in CELLS:
        state, _ = before.model.apply(before.params, before.model.start(before.params, 1), drawn(1))
        params = {**params, prefix.NAME: trees.unflatten(trees.flatten(state))}
    found = generate(after.model, params, prompts, **how)
    for one, other in zip(found, want, strict=True):
        np.testing.assert_array_equal(one, other)
    plain = generate(before.model, before.params, prompts, **how)
    assert any(not np.array_equal(a, b) for a, b in zip(plain, want, strict=True))


def test_it_takes_up_some_of_the_context():
    """Where there are so many positions and no more; else there are more for it."""
    bounded = group_of('rotary', max_positions=CONTEXT, prefix_length=P)
    assert building.build(bounded, **sizes_of('rotary')).context == CONTEXT - P
    assert made('rotary')[1].model.context == CONTEXT
    assert made('lstm')[1].model.context is None
    full = group_of('rotary', max_positions=CONTEXT, prefix_length=CONTEXT)
    with pytest.raises(InputError, match=rf'^model\.prefix_length is {CONTEXT}: it must be at lea'):
        building.build(full, **sizes_of('rotary'))
    # As long as it may be, the last token sees all.
    long = group_of('learned', prefix_length=P)
    model = building.build(long, **sizes_of('learned'))
    before, of = base('learned'), sizes_of('learned')
    params = building.init_from(long, model, before.params, jax.random.key(KEY), **of)
    tokens = tokens_of(1, CONTEXT - P)
    state = model.start(params, 1, CONTEXT - P)
    found = jax.jit(model.apply)(params, state, tokens)[1]
    np.testing.assert_allclose(found, behind(before, drawn(1), tokens), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('name', ['rotary', 'lstm', 'gru'])
def test_it_alone_learns_and_all_of_it(name):
    before, after = made(name)
    objective = language_modelling(after.model)
    tokens = tokens_of(length=8)

    def loss(learned, rest):
        sums, _ = objective({**rest, **learned}, None, {'tokens': tokens})
        return sums.loss / sums.weight

    rest = {name: value for name, value in after.params.items() if name != prefix.NAME}
    learned, slope = {prefix.NAME: after.params[prefix.NAME]}, jax.jit(jax.value_and_grad(loss))
    losses = []
    for _ in range(30):
        value, gradient = slope(learned, rest)
        assert all(np.abs(leaf).max() > 0 for leaf in jax.tree.leaves(gradient))
        learned = jax.tree.map(lambda p, g: p - 0.1 * g, learned, gradient)
        losses.append(float(value))
    assert losses[-1] < losses[0] - 0.02
    assert all(
        np.array_equal(a, b) for a, b in zip(
            jax.tree.leaves(rest), jax.tree.leaves(before.params), strict=True)
    )  # fmt: skip


def test_its_gradient_is_that_of_finite_differences():
    """An RNN's h_0, of which a float64 loop is short."""
    _, after = made('rnn')
    tokens = tokens_of(1, 4)
    weights = {p: np.asarray(v, np.float64) for p, v in trees.flatten(after.params).items()}

    def by_loop(h):
        cell = {name: weights[f'body/layer_0/{name}'] for name in ('U', 'W', 'b')}
        nats = 0.0
        for t in range(3):
            x = weights['embed/embedding'][int(tokens[0, t])]
            h = np.tanh(h @ cell['W'] + x @ cell['U'] + cell['b'])
            o = h @ weights['head/kernel'] + weights['head/bias']
            nats += np.log(np.exp(o).sum()) - o[int(tokens[0, t + 1])]
        return nats

    objective = language_modelling(after.model)
    slope = jax.jit(jax.grad(lambda p: objective(p, None, {'tokens': tokens})[0].loss))
    found = np.asarray(slope(after.params)['prefix']['0'])[0]
    start, step = weights['prefix/0'][0], 1e-6
    for i in range(len(start)):
        side = np.eye(len(start))[i] * step
        want = (by_loop(start + side) - by_loop(start - side)) / (2 * step)
        np.testing.assert_allclose(found[i], want, rtol=1e-3, atol=1e-4)


def test_in_half_precision_it_is_kept_whole():
    for name in ('rotary', 'lstm'):
        _, after = adapted(name, prefix_length=P, dtype='bfloat16')
        learned = jax.tree.leaves(after.params[prefix.NAME])
        assert {leaf.dtype for leaf in learned} == {jnp.dtype('float32')}
        assert np.isfinite(outputs(after, tokens_of())).all()


def test_a_prefix_of_the_base_is_kept():
    _, after = made('gru')
    params = {**after.params, 'prefix': {'0': after.params['prefix']['0'] + 1}}
    group = building.add_fields(after.group, dict(prefix_length=0))
    assert group.prefix_length == P
    of = sizes_of('gru')
    found = building.init_from(group, after.model, params, jax.random.key(9), **of)
    np.testing.assert_array_equal(found['prefix']['0'], params['prefix']['0'])
    with pytest.raises(InputError, match=r'^model\.prefix_length is 5: it must be 3, which init_f'):
        building.add_fields(after.group, dict(prefix_length=5))


@pytest.mark.parametrize(
    ('name', 'fields', 'message'),
    [
        (
            'rotary',
            dict(prefix_length=-1),
            r'^model\.prefix_length is -1: it must be at least 1,',
        ),
        ('windowed', dict(prefix_length=P), r'length is 3: it must be 0 with a window \(5\)$'),
        *(
            (name, dict(prefix_length=P), r'length is 3: it must be 0: only transformers and recu')
            for name in ('encoder', 'encoder_gru', 'seq2seq', 'luong', 'ngram')
        ),
    ],
)
def test_what_cannot_be_is_told(name, fields, message):
    with pytest.raises(InputError, match=message):
        building.build(group_of(name, **fields), **sizes_of(name, source_length=SOURCE))


def test_one_of_another_model_is_told():
    _, after = made('gru')
    params = {**after.params, 'prefix': {'0': jnp.zeros((1, 9))}}
    with pytest.raises(
        InputError, match=r'^prefix/0 is \[1, 9\], not \[1, 8\]: it was learned for'
    ):
        after.model.start(params, 2)
