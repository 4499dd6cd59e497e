"""Costs of a token: formulas against the products in traced programs, clocks, prices."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from configs.studies import base
from nlp_models import models, trees
from nlp_models.analysis import model_costs, token_clocks
from nlp_models.errors import InputError

VOCAB = 11
FAMILIES = ('rnn', 'lstm', 'gru', 'mingru', 'minlstm', 'linear', 'transformer')
every_family = pytest.mark.parametrize('family', FAMILIES)


def group(family: str, **fields: Any) -> Any:
    return ConfigDict(base.model(family, **{'hidden_size': 8, 'num_layers': 2, **fields}))


def build(one: Any, length: int = 16) -> Any:
    return models.build_language_model(one, vocab_size=VOCAB, max_length=length)


def products(jaxpr: Any, times: int = 1) -> int:
    """FLOPs of all matrix products of a traced program, scans as often as they run."""
    total = 0
    for equation in jaxpr.eqns:
        if equation.primitive.name == 'dot_general':
            (contracted, _), _ = equation.params['dimension_numbers']
            terms = math.prod(equation.invars[0].aval.shape[axis] for axis in contracted)
            total += times * 2 * terms * math.prod(equation.outvars[0].aval.shape)
        runs = equation.params['length'] if equation.primitive.name == 'scan' else 1
        for value in equation.params.values():
            for inner in value if isinstance(value, tuple | list) else [value]:
                inner = getattr(inner, 'jaxpr', inner)
                if hasattr(inner, 'eqns'):
                    total += products(inner, times * runs)
    return total


def traced(model: Any, length: int, room: int = 0) -> int:
    """Products of reading one text; with room, from a state that can hold so many tokens."""

    def read(params, tokens):
        return model.apply(params, model.start(params, 1, room), tokens)

    params = jax.eval_shape(model.init, jax.random.key(0))
    tokens = jax.ShapeDtypeStruct((1, length), jnp.int32)
    return products(jax.make_jaxpr(read)(params, tokens).jaxpr)


@every_family
def test_operations_are_those_of_the_program(family):
    one = group(family)
    model, length = build(one), 6
    found = model_costs.forward_flops(one, length=length, vocab_size=VOCAB)
    # A plain program multiplies what the mask then hides, too: T² − T (T + 1) / 2 pairs a layer.
    hidden = 2 * 4 * 8 * (length**2 - length * (length + 1) // 2) * (family == 'transformer')
    assert found + hidden == traced(model, length)
    training = model_costs.training_flops(one, length=length, vocab_size=VOCAB)
    assert training == pytest.approx(3 * found / length)


@every_family
def test_a_generated_token_costs_what_its_step_does(family):
    one = group(family)
    for context in (1, 5, 9):
        found = model_costs.generation_flops(one, context=context, vocab_size=VOCAB)
        # One token, from a state with room for just the context: it is compared with all there is.
        assert found == traced(build(one), 1, room=context)


def test_embedding_sizes_and_single_layers_count():
    one = group('gru', num_layers=1, embed_size=5)
    assert model_costs.forward_flops(one, length=3, vocab_size=VOCAB) == traced(build(one), 3)
    # 3 gates of 5·8 + 8·8 weights and the head's 8·11: two operations each.
    assert model_costs.generation_flops(one, context=4, vocab_size=VOCAB) == 2 * (3 * 104 + 88)
    ngram = ConfigDict(dict(family='ngram', order=3))
    assert model_costs.training_flops(ngram, length=3, vocab_size=VOCAB) == 0


def test_six_operations_a_parameter():
    for family in FAMILIES:
        one = group(family, hidden_size=64)
        number = model_costs.multiplied_parameters(build(one))
        ratio = model_costs.training_flops(one, length=1, vocab_size=VOCAB) / (6 * number)
        assert 0.96 < ratio < 1.01, family  # but for biases, norms and the pair of one token
    params = jax.eval_shape(build(group('rnn')).init, jax.random.key(0))
    assert model_costs.multiplied_parameters(build(group('rnn'))) == trees.count(params) - 8 * VOCAB


def test_money_is_by_the_hour_and_the_kilowatt_hour():
    # Half an hour at 3 an hour, and 200 W at 0.4 a kilowatt-hour: 1.5 + 0.1 · 0.4.
    prices = model_costs.Prices(machine_hour=3.0, kilowatt_hour=0.4, watts=200.0)
    assert model_costs.money(1800.0, prices) == pytest.approx(1.54)
    assert model_costs.money(1800.0, model_costs.Prices(3.0)) == pytest.approx(1.5)
    with pytest.raises(InputError, match=r'^prices\.watts is -1'):
        model_costs.money(1.0, model_costs.Prices(1.0, 0.1, -1.0))


def test_clocks_know_bytes_and_tokens():
    small, large = group('gru', num_layers=1), group('gru', num_layers=1, hidden_size=16)
    points = [token_clocks.Point(small, 40), token_clocks.Point(large, 40)]
    options: dict[str, Any] = dict(vocab_size=VOCAB, seeds=(0, 1), block_seconds=1e-4)
    for rows in (
        token_clocks.training(points, tokens=80, **options),
        token_clocks.generation(points, **options),
    ):
        assert [len(row.seconds) for row in rows] == [2, 2]
        assert all(0 < second < 1 for row in rows for second in row.seconds)
        assert rows[0].parameters < rows[1].parameters
    assert [row.state_bytes for row in rows] == [4 * 8, 4 * 16]
    assert [row.num_bytes - row.state_bytes for row in rows] == [4 * r.parameters for r in rows]


def test_an_ngram_counts_and_looks_up():
    text = np.random.default_rng(0).integers(VOCAB, size=300)
    options: dict[str, Any] = dict(
        order=3, vocab_size=VOCAB, contexts=(40, 48), seeds=(0, 1), block_seconds=1e-4
    )
    training, generation = token_clocks.counting(text, tokens=200, **options)
    assert len(training.seconds) == 2
    assert [row.state_bytes for row in generation] == [8, 8]  # two tokens, whatever was read
    assert training.parameters == generation[0].parameters > 100
    with pytest.raises(InputError, match=r'^tokens is 300: it must be from 1 to 299'):
        token_clocks.counting(text, tokens=300, **options)
