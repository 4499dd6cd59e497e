"""Costs by formula: against what JAX and XLA count where nothing is hidden in a loop."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from ml_collections import ConfigDict

from configs import benchmark, lm
from nlp_models import costs, models
from nlp_models.attention.masks import Mask
from nlp_models.benchmark import attention_works, feasibility, works
from nlp_models.recurrent import sequential
from nlp_models.recurrent.stack import init_cell


def product_flops(function, *arguments):
    """2 × multiplications of every matrix product of a function, from its jaxpr."""

    def count(jaxpr):
        total = 0
        for equation in jaxpr.eqns:
            if equation.primitive.name == 'dot_general':
                (contracted, _), _ = equation.params['dimension_numbers']
                left = equation.invars[0].aval.shape
                size = math.prod(equation.outvars[0].aval.shape)
                total += 2 * size * math.prod(left[axis] for axis in contracted)
            assert equation.primitive.name not in ('scan', 'while'), 'its body is counted once'
            for inner in jax.tree.leaves(
                equation.params, is_leaf=lambda p: hasattr(p, 'eqns') or hasattr(p, 'jaxpr')
            ):
                inner = getattr(inner, 'jaxpr', inner)
                total += count(inner) if hasattr(inner, 'eqns') else 0
        return total

    return count(jax.make_jaxpr(function)(*arguments).jaxpr)


def unrolled(cell, steps):
    """A cell's values and gradients over T steps, written out."""

    def forward(params, carry, x):
        ys = []
        for t in range(steps):
            carry, y = cell.step(params, carry, x[t])
            ys.append(y)
        return jnp.stack(ys)

    def both(params, carry, x, cotangent):
        y, backward = jax.vjp(forward, params, carry, x)
        return y, backward(cotangent)

    return forward, both


CELLS = benchmark.get_config('quick').cells


@pytest.mark.parametrize('name', list(CELLS))
def test_a_cells_flops_are_those_of_its_unrolled_steps(name):
    cell = models.CELLS[CELLS[name].family](CELLS[name])
    batch, steps, width, hidden = 3, 4, 24, 40
    r = works.recurrence(cell, works.Setting(batch, steps, hidden))._replace(input_size=width)
    params = init_cell(cell, jax.random.key(0), width, hidden)
    carry = sequential.start(cell, batch, hidden)
    x, cotangent = jnp.ones((steps, batch, width)), jnp.ones((steps, batch, hidden))
    forward, both = unrolled(cell, steps)
    assert product_flops(forward, params, carry, x) == costs.sequential_flops(r)
    expected = costs.sequential_flops(r, costs.FORWARD_BACKWARD)
    assert product_flops(both, params, carry, x, cotangent) == expected
    # XLA counts what is done element by element too: some dozens of operations an entry.
    analysis = jax.jit(both).lower(params, carry, x, cotangent).cost_analysis()
    assert analysis is not None
    entries = batch * steps * hidden * cell.gates + steps * sum(
        math.prod(p.shape) for p in jax.tree.leaves(params)
    )
    assert 0 <= analysis['flops'] - expected <= 40 * entries


@pytest.mark.parametrize('length', [1, 2, 3, 4, 5, 7, 8, 13, 64, 100, 1023])
def test_combinations_are_those_of_the_associative_scan(length):
    combined = 0

    def add(a, b):
        nonlocal combined
        combined += a.shape[0]
        return a + b

    lax.associative_scan(add, jnp.arange(length))
    assert costs.combinations(length) == combined
    assert combined < 2 * length


def test_newton_solves_one_linear_recurrence_of_matrices_an_iteration():
    batch, steps, size = 2, 8, 6

    def then(earlier, later):
        (a1, b1), (a2, b2) = earlier, later
        return a2 @ a1, (a2 @ b1[..., None])[..., 0] + b2

    a, b = jnp.ones((steps, batch, size, size)), jnp.ones((steps, batch, size))
    solve = product_flops(lambda a, b: lax.associative_scan(then, (a, b)), a, b)
    r = costs.Recurrence(batch, steps, 5, 3, gates=4, recurrent_gates=4, carries=2)
    assert r.state_size == size
    one, two = (costs.newton_flops(r, n) for n in (1, 2))
    assert two - one == solve + 2 * costs.step_flops(r)
    assert one == costs.input_flops(r) + two - one
    both = costs.newton_flops(r, 2, passes=costs.FORWARD_BACKWARD)
    assert both - two == solve + 2 * costs.sequential_flops(r)


def test_diagonal_recurrences_take_three_operations_a_component():
    r = costs.Recurrence(2, 8, 5, 3, gates=2, recurrent_gates=0)
    forward, both = (costs.associative_flops(r, n) for n in (1, 3))
    elements = 2 * 3 * costs.combinations(8)
    assert forward == costs.input_flops(r) + 3 * elements
    assert both == 3 * costs.input_flops(r) + 6 * elements
    one, two = (costs.newton_flops(r, n, diagonal=True) for n in (1, 2))
    assert two - one == 3 * elements + 2 * costs.step_flops(r)


@pytest.mark.parametrize('length', [1, 2, 7, 16])
@pytest.mark.parametrize('window', [0, 1, 3, 7, 20])
@pytest.mark.parametrize('causal', [False, True])
def test_attended_pairs_are_those_of_the_mask(length, window, causal):
    dense = Mask(causal=causal, window=window).dense(length, length)
    pairs = length**2 if dense is None else int(np.asarray(dense).sum())
    assert costs.attended_pairs(length, causal=causal, window=window) == pairs


def layer(params, x, heads):
    """One layer of a transformer with no more than its products."""
    batch, length, _ = x.shape
    q, k, v = jnp.split((x @ params['qkv']).reshape(batch, length, 3 * heads, -1), 3, axis=2)
    weights = jax.nn.softmax(jnp.einsum('bthk,bshk->bhts', q, k))
    y = jnp.einsum('bhts,bshk->bthk', weights, v).reshape(x.shape)
    x = x + y @ params['out']
    return x + jax.nn.gelu(x @ params['up']) @ params['down']


def test_a_transformers_flops_are_those_of_its_products():
    batch, length, width, heads, vocab, wide = 2, 6, 8, 2, 11, 20
    sizes = {'qkv': (width, 3 * width), 'out': (width, width)}
    sizes |= {'up': (width, wide), 'down': (wide, width)}
    blocks = [{name: jnp.ones(shape) for name, shape in sizes.items()} for _ in range(3)]
    everything = {'blocks': blocks, 'head': jnp.ones((width, vocab))}

    def loss(everything, x):
        for params in everything['blocks']:
            x = layer(params, x, heads)
        return jnp.sum(x @ everything['head'])

    x = jnp.ones((batch, length, width))
    counted = product_flops(jax.value_and_grad(loss, argnums=(0, 1)), everything, x)
    expected = costs.transformer_flops(
        batch, length, width=width, num_layers=3, vocab_size=vocab, feed_forward_size=wide
    )
    full, causal = (
        costs.attention_flops(batch, length, width, causal=c, passes=3) for c in (False, True)
    )
    assert causal < full
    assert counted == expected + 3 * (full - causal)  # the layers above hide nothing


def test_a_train_step_by_default_has_a_feed_forward_of_four_widths():
    kwargs = dict(width=8, num_layers=2, vocab_size=5)
    assert costs.transformer_flops(2, 4, **kwargs) == costs.transformer_flops(
        2, 4, feed_forward_size=32, **kwargs
    )


@pytest.mark.parametrize(
    ('family', 'evaluation'),
    [
        ('gru', 'sequential'),
        ('lstm', 'sequential'),
        ('mingru', 'associative'),
        ('gru', 'newton'),
        ('gru', 'quasi_newton'),
    ],
)
def test_bytes_by_formula_are_near_what_is_planned(family, evaluation):
    model = lm.get_config(family).model
    cell = models.CELLS[family](model)
    setting = works.Setting(2, 512, 24, evaluation)
    work = works.recurrent(model, setting, passes=costs.FORWARD_BACKWARD, num_devices=1)
    assert work.peak_memory is not None
    expected = feasibility.recurrent_bytes(works.recurrence(cell, setting), evaluation)
    assert 1 / 3 < work.peak_memory / expected < 3


@pytest.mark.parametrize('implementation', ['plain', 'chunked'])
def test_attentions_bytes_by_formula_are_near_what_is_planned(implementation):
    shape = (1, 2048, 64, 2)
    work = attention_works.attention_layer(
        *shape, passes=costs.FORWARD_BACKWARD, implementation=implementation
    )
    expected = costs.attention_bytes(*shape, plain=implementation == 'plain')
    assert work.peak_memory is not None
    assert 1 / 3 < work.peak_memory / expected < 3


def test_counting_parameters_and_sizes():
    model = ConfigDict({**lm.get_config('rnn').model.to_dict(), 'hidden_size': 4, 'embed_size': 3})
    built = models.build(model, vocab_size=7, max_length=5)
    assert costs.count_parameters(built) == 7 * 3 + (4 * 3 + 4 * 4 + 4) + (4 * 7 + 7)
    assert costs.closest_size(lambda n: n * n, 90) == 9
    assert costs.closest_size(lambda n: 10 * n, 1) == 1
