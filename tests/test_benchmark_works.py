"""What the benchmark times: that ours computes what it should, and the peers the same."""

import importlib.util

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import benchmark as config_file
from nlp_models import costs
from nlp_models.benchmark import (
    generation_rows,
    language_rows,
    parallel_rows,
    peers_flax,
    peers_huggingface,
    peers_torch,
    training_works,
    works,
)
from nlp_models.recurrent import sequential
from nlp_models.training.objectives import language_modelling
from tests.benchmark_setup import fake_bench, tiny


@pytest.mark.parametrize('number', [1, 2])
@pytest.mark.parametrize('name', ['lstm', 'gru', 'mingru'])
def test_a_recurrent_work_is_both_passes_of_the_cell(name, number):
    model = config_file.get_config('quick').cells[name]
    evaluation = 'associative' if name == 'mingru' else 'sequential'
    setting = works.Setting(4, 5, 3, evaluation)
    work = works.recurrent(model, setting, passes=costs.FORWARD_BACKWARD, num_devices=number)
    y, by_params, by_x = work.call()
    cell, params = works.make_cell(model, 3, 0)
    x, cotangent = works.random_rows(0, jnp.float32, (4, 5, 3), (4, 5, 3))
    assert float(jnp.std(x)) > 0.5
    assert float(jnp.std(cotangent)) > 0.5

    def value(params, x):
        y = sequential.scan(cell, params, sequential.start(cell, 4, 3), x, backward='autodiff')[1]
        return jnp.sum(y * cotangent), y

    (_, expected_y), expected = jax.value_and_grad(value, argnums=(0, 1), has_aux=True)(params, x)
    if number > 1:  # [devices, …]: the gradient of the parameters is that of all rows on each
        assert y.shape[0] == number
        by_params = jax.tree.map(lambda a: a[1], by_params)
    y, by_x = (np.reshape(a, (4, 5, 3)) for a in (y, by_x))
    np.testing.assert_allclose(y, expected_y, atol=1e-6)
    np.testing.assert_allclose(by_x, expected[1], atol=2e-6)
    for field, gradient in expected[0].items():
        np.testing.assert_allclose(by_params[field], gradient, atol=1e-5, err_msg=field)
    assert work.peak_memory is not None
    assert work.peak_memory > 4 * (4 * 5 * 3) * 4
    assert work.flops > 0


def test_train_step_rows_take_steps():
    run_config = config_file.get_config('quick').train_step.runs['2x32']
    work = training_works.train_step(run_config, 65)
    losses = []
    for _ in range(5):
        _, sums = work.call()
        loss, weight = (float(np.sum(np.asarray(a))) for a in sums)
        losses.append(loss / weight)
    assert losses[0] == pytest.approx(np.log(65), abs=0.3)  # knows nothing yet
    assert losses[-1] < losses[0]  # the same tokens again and again


def test_newton_rows_compare_and_count(tmp_path):
    config = tiny('newton')
    config.newton.update(length=32, width=4, training_steps=30)
    made = fake_bench(tmp_path, config)
    parallel_rows.newton_rows(made)
    rows = made.results.values['rows']
    assert [row['work'] for row in rows] == [
        f'gru by {how}, {weights} weights'
        for weights in ('random', 'trained')
        for how in ('newton', 'quasi_newton')
    ]
    for row in rows:
        assert row['value_error'] < 1e-5
        assert row['gradient_error'] < 1e-4
        assert 1 <= row['iterations'] <= 32
        assert len(row['bars']) == (0 if 'quasi' in row['work'] else 2)
    before, after = rows[2]['training_losses']
    assert after < before


def test_newtons_error_is_that_of_the_worst_entry():
    model = config_file.get_config('quick').cells['gru']
    cell, params = works.make_cell(model, 3, 0)
    setting = works.Setting(1, 4, 3, 'newton')
    scan = (jnp.ones((1, 4, 3)), {'a': jnp.array([10.0, 0.0]), 'b': jnp.array([0.1])})
    mine = (scan[0].at[0, 1, 2].add(0.25), {'a': jnp.array([10.0, 1.0]), 'b': jnp.array([0.12])})
    found = parallel_rows.newton_errors(cell, params, setting, mine, scan, 0)
    assert found['value_error'] == pytest.approx(0.25)
    assert found['gradient_error'] == pytest.approx(0.2)  # of b: 0.02 of 0.1


# The peers, where they are installed.

torch_there = pytest.mark.skipif(
    importlib.util.find_spec('torch') is None, reason='torch is not installed'
)
transformers_there = pytest.mark.skipif(
    importlib.util.find_spec('transformers') is None, reason='transformers is not installed'
)


def count(parameters):
    return sum(p.numel() for p in parameters)


@torch_there
def test_the_torch_transformer_is_ours():
    import torch  # pyright: ignore[reportMissingImports]

    run_config = config_file.get_config('quick').train_step.runs['2x32']
    model = training_works.build(run_config, 65)
    params = model.init(jax.random.key(0))
    peer = peers_torch.make_transformer(run_config, 65)
    assert count(peer.parameters()) == costs.count_parameters(model)
    body = params['body']
    with torch.no_grad():

        def put(parameter, array):
            parameter.copy_(torch.from_numpy(np.array(array)))

        put(peer.embedding.weight, params['embed']['embedding'])
        put(peer.positions.weight, body['positions'])
        put(peer.norm.weight, body['final_norm']['scale'])
        for i, layer in enumerate(peer.layers):
            mine = body[f'layer_{i}']
            put(layer.norms[0].weight, mine['attention_norm']['scale'])
            put(layer.norms[1].weight, mine['feed_forward_norm']['scale'])
            for name, linear in (('qkv', layer.qkv), ('out', layer.out)):
                put(linear.weight, mine['attention'][name]['kernel'].T)
            for name, linear in (('up', layer.up), ('down', layer.down)):
                put(linear.weight, mine['feed_forward'][name]['kernel'].T)
    tokens = training_works.random_tokens(run_config, 65, 3)
    theirs = peer(*peers_torch.tokens_and_targets(tokens, 'cpu')).item()
    sums, _ = language_modelling(model)(params, None, {'tokens': jnp.asarray(tokens)})
    assert float(sums.loss / sums.weight) == pytest.approx(theirs, abs=2e-6)


@torch_there
@transformers_there
def test_gpt2_has_the_parameters_of_ours_with_biases():
    run_config = language_rows.with_biases(config_file.get_config('quick').train_step.runs['2x32'])
    model = training_works.build(run_config, 65)
    peer = peers_huggingface.make_gpt2(run_config, 65, run_config.sequence_length, 0)
    assert count(peer.parameters()) == costs.count_parameters(model)


@torch_there
@transformers_there
def test_both_sides_write_and_embed_the_same(tmp_path):
    config = tiny('generate', 'embed')
    made = fake_bench(tmp_path, config)
    generation_rows.generate_rows(made)
    (row,) = made.results.values['rows']
    assert row['same_tokens'] > 0.9
    assert row['ratio'] > 0
    assert row['state_bytes'] == 2 * (2 * 12 * 32 * 4 + 4)  # of 11 tokens read, or 12 made room for


@torch_there
def test_peers_take_steps_and_give_gradients():
    import torch  # pyright: ignore[reportMissingImports]

    run_config = config_file.get_config('quick').train_step.runs['2x32']
    tokens = training_works.random_tokens(run_config, 65, 0)
    torch.manual_seed(0)
    model = peers_torch.make_transformer(run_config, 65)
    batch = peers_torch.tokens_and_targets(tokens, 'cpu')
    step = peers_torch.make_step(model, lambda: model(*batch), run_config, 'cpu', fused=False)
    before = model(*batch).item()
    assert before == pytest.approx(np.log(65), abs=0.3)
    for _ in range(5):
        step()
    assert model(*batch).item() < before
    for cell in peers_torch.LAYERS:
        assert peers_torch.recurrent(cell, 2, 4, 3, dtype='float32').call() is None


@pytest.mark.parametrize('cell', ['lstm', 'gru_reset_after', 'rnn'])
def test_flax_has_cells_of_our_kind(cell):
    model = config_file.get_config('quick').cells[cell]
    _, params = works.make_cell(model, 3, 0)
    peer = peers_flax.recurrent(cell, 2, 4, 3, dtype='float32', num_devices=1)
    y, by_params, by_x = peer.call()
    assert (y.shape, by_x.shape) == ((2, 4, 3), (2, 4, 3))
    size = sum(a.size for a in jax.tree.leaves(by_params))
    assert size == sum(a.size for a in jax.tree.leaves(params))
    assert peer.detail
    assert all(float(jnp.abs(a).max()) > 0 for a in jax.tree.leaves((by_params, by_x)))
