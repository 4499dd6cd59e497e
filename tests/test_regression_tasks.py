"""In-context regression: the data, the estimators that know the task, and the objective."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from configs.studies import base
from nlp_models import models
from nlp_models.analysis import regressors
from nlp_models.data.synthetic import draws, regression
from nlp_models.errors import InputError
from nlp_models.training.placewise import placewise_regression
from nlp_models.types import SequenceModel

INDEX = np.arange(4000)


@pytest.fixture(scope='module')
def drawn():
    return regression.regression(0, INDEX, dimension=3, points=6, noise=0.25)


def test_targets_are_linear_in_the_points_but_for_the_noise(drawn):
    by_hand = np.array(
        [
            [sum(float(a) * float(b) for a, b in zip(x, w, strict=True)) for x in xs]
            for xs, w in zip(drawn.x[:50].tolist(), drawn.w[:50].tolist(), strict=True)
        ]
    )
    np.testing.assert_allclose(drawn.clean[:50], by_hand, rtol=1e-5, atol=1e-5)
    noise = (drawn.y - drawn.clean).ravel()
    # Standard errors of a mean and of a variance of N(0, σ²), each five times.
    assert abs(noise.mean()) < 5 * 0.5 / math.sqrt(noise.size)
    assert abs(noise.var() - 0.25) < 5 * 0.25 * math.sqrt(2 / noise.size)


def test_points_and_weights_are_standard_normal_and_independent(drawn):
    for array in (drawn.x, drawn.w):
        values = array.reshape(-1, 3)
        assert np.abs(values.mean(axis=0)).max() < 5 / math.sqrt(len(values))
        covariance = np.cov(values.T)
        assert np.abs(covariance - np.eye(3)).max() < 5 * math.sqrt(2 / len(values))
        # Kurtosis of a normal distribution: 3, with a variance of 24 / n.
        assert abs(np.mean(values**4) - 3) < 5 * math.sqrt(96 / values.size)
    both = np.corrcoef(drawn.x[:, 0, 0], drawn.w[:, 0])[0, 1]
    assert abs(both) < 5 / math.sqrt(len(INDEX))


def test_an_example_is_a_function_of_seed_and_index_alone(drawn):
    again = regression.regression(0, INDEX[100:103], dimension=3, points=6, noise=0.25)
    for ours, theirs in zip(again, drawn, strict=True):
        np.testing.assert_array_equal(ours, theirs[100:103])
    other = regression.regression(1, INDEX[:3], dimension=3, points=6, noise=0.25)
    assert not np.isclose(other.x, drawn.x[:3]).any()


def test_splits_share_no_example():
    seen: dict[str, set] = {}
    for split in draws.SPLITS:
        found = [regression.regression(seed, INDEX[:500], split=split, points=2) for seed in (0, 1)]
        seen[split] = {row.tobytes() for each in found for row in each.x}
        assert len(seen[split]) == 1000
    assert not seen['train'] & (seen['validation'] | seen['test'])
    assert not seen['validation'] & seen['test']


def test_settings_off_the_distribution_are_of_the_same_bits():
    def draw(**setting):
        return regression.regression(3, INDEX[:200], split='test', **setting)

    plain = draw()
    scaled = draw(input_scale=3.0, weight_scale=2.0, noise=1.0)
    np.testing.assert_allclose(scaled.x, 3 * plain.x, rtol=1e-6)
    np.testing.assert_allclose(scaled.w, 2 * plain.w, rtol=1e-6)
    error, louder = plain.y - plain.clean, scaled.y - scaled.clean
    np.testing.assert_allclose(louder, 2 * error, atol=1e-5)
    stretched = draw(stretch=16.0)
    by_axis = (stretched.x.astype(float) / plain.x).mean(axis=(0, 1))
    np.testing.assert_allclose(by_axis[1:] / by_axis[:-1], 2, rtol=1e-5)
    assert np.mean(np.square(by_axis)) == pytest.approx(1, rel=1e-5)


def test_both_layouts_hold_the_points_before_each_question(drawn):
    rows, number, size = drawn.x.shape
    whole = regression.as_sequences(drawn)
    taken = regression.as_sequences(drawn, 'alternating')
    assert whole.inputs.shape == (rows, number, 2 * size + 1)
    assert taken.inputs.shape == (rows, 2 * number - 1, size + 1)
    for row in (0, 7):
        for i in range(number):
            before = (*drawn.x[row, i - 1], drawn.y[row, i - 1]) if i else (0,) * (size + 1)
            assert whole.inputs[row, i].tolist() == [*drawn.x[row, i], *before]
            assert taken.inputs[row, 2 * i].tolist() == [*drawn.x[row, i], 0]
            if i < number - 1:
                assert taken.inputs[row, 2 * i + 1].tolist() == [0] * size + [drawn.y[row, i]]
    for layout, examples in (('whole', whole), ('alternating', taken)):
        asked = regression.places(number, layout)
        np.testing.assert_array_equal(examples.targets[:, asked], drawn.y)
        assert examples.weights.sum() == drawn.y.size
        assert (examples.weights[:, asked] == 1).all()


@pytest.mark.parametrize(
    ('setting', 'named'),
    [
        ({'dimension': 0}, 'dimension'),
        ({'points': 0}, 'points'),
        ({'noise': -1.0}, 'noise'),
        ({'input_scale': 0.0}, 'input_scale'),
        ({'stretch': -2.0}, 'stretch'),
        ({'weight_scale': 0.0}, 'weight_scale'),
        ({'split': 'dev'}, 'split'),
    ],
)
def test_what_is_out_of_range_is_named(setting, named):
    with pytest.raises(InputError, match=f'^{named}'):
        regression.regression(0, INDEX[:2], **setting)
    with pytest.raises(InputError, match='layout'):
        regression.as_sequences(regression.regression(0, INDEX[:2]), 'sideways')


def test_ridge_is_that_of_scikit_learn_and_least_squares_that_of_lapack(drawn):
    linear = pytest.importorskip('sklearn.linear_model')
    few = drawn.x[:20], drawn.y[:20]
    ours, shortest = regressors.ridge(*few, 0.25), regressors.least_squares(*few)
    for row in range(20):
        x, y = few[0][row].astype(float), few[1][row].astype(float)
        assert ours[row, 0] == shortest[row, 0] == 0
        for i in range(1, x.shape[0]):
            fit = linear.Ridge(alpha=0.25, fit_intercept=False, solver='cholesky').fit(x[:i], y[:i])
            assert ours[row, i] == pytest.approx(fit.predict(x[i : i + 1])[0], abs=1e-9)
            w = np.linalg.lstsq(x[:i], y[:i], rcond=None)[0]
            assert shortest[row, i] == pytest.approx(x[i] @ w, abs=1e-9)


def test_no_estimator_is_better_than_ridge_at_the_right_penalty():
    # σ² = 1, c² = 4: λ = 1/4.
    points = regression.regression(0, INDEX, dimension=2, points=5, noise=1.0, weight_scale=2.0)

    def error(predicted):
        return regressors.errors(predicted, points.clean)

    best = error(regressors.ridge(points.x, points.y, 0.25))
    for other in (
        regressors.ridge(points.x, points.y, 1.0),
        regressors.ridge(points.x, points.y, 0.05),
        regressors.least_squares(points.x, points.y),
    ):
        assert (best[1:] < error(other)[1:]).all()
    trivial = regression.trivial_error(dimension=2, weight_scale=2.0)
    assert trivial == 8
    assert best[0] == pytest.approx(trivial, rel=0.1)
    # n = 1, D = 1 has a closed form under x ~ N(0, 1): E[x² σ² c² / (σ² + c² x_1²)].
    one = regression.regression(0, INDEX, dimension=1, points=2, noise=1.0)
    found = regressors.errors(regressors.ridge(one.x, one.y, 1.0), one.clean)[1]
    grid = np.linspace(-8, 8, 20001)
    density = np.exp(-(grid**2) / 2) / math.sqrt(2 * math.pi)
    expected = np.trapezoid(density / (1 + grid**2), grid)
    assert found == pytest.approx(expected, rel=0.1)


def test_least_squares_without_noise_are_exact_from_as_many_points_as_axes():
    points = regression.regression(0, INDEX[:200], dimension=3, points=6, noise=0.0)
    # x is rounded to float32 and so is y: a badly conditioned row tells them apart.
    wrong = np.median(np.abs(regressors.least_squares(points.x, points.y) - points.clean), axis=0)
    assert (wrong[3:] < 1e-5).all()
    assert (wrong[:3] > 0.1).all()


def constant_model():
    """ŷ_t = a · the sum of the inputs at t."""

    def apply(params, state, x, **_):
        return state, params['a'] * jnp.sum(x, axis=-1, keepdims=True)

    return SequenceModel(lambda key: {'a': jnp.ones(())}, lambda *_: None, apply)


def test_the_objective_is_the_weighted_mean_of_squares_at_all_places():
    rng = np.random.default_rng(0)
    batch = {
        'inputs': rng.normal(size=(3, 4, 2)).astype(np.float32),
        'targets': rng.normal(size=(3, 4)).astype(np.float32),
        'weights': rng.integers(0, 3, (3, 4)).astype(np.float32),
    }
    total = weight = 0.0
    for b in range(3):
        for t in range(4):
            w = float(batch['weights'][b, t])
            said = 2 * float(batch['inputs'][b, t].sum())
            total += w * (said - float(batch['targets'][b, t])) ** 2
            weight += w
    sums, carry = placewise_regression(constant_model())({'a': jnp.asarray(2.0)}, None, batch)
    assert carry is None
    assert float(sums.loss) == pytest.approx(total, rel=1e-5)
    assert float(sums.weight) == weight


@pytest.mark.parametrize('layout', regression.LAYOUTS)
def test_a_model_is_asked_where_the_questions_are_and_sees_no_answer_before(layout):
    setting = {'dimension': 2, 'points': 4}
    problem = regressors.problem(setting, layout)
    group = ConfigDict(base.model('gru', hidden_size=8))
    probe = problem.sample(0, INDEX[:3], split='test')
    model = models.build_vector_model(
        group, input_size=probe.inputs.shape[-1], output_size=1, max_length=problem.length
    )
    params = model.init(jax.random.key(0))
    predict = jax.jit(regressors.predictor(model, 4, layout))
    before = np.asarray(predict(params, probe.inputs))
    assert before.shape == (3, 4)
    points = regression.regression(0, INDEX[:3], split='test', **setting)
    for i in range(4):
        y = points.y.copy()
        y[:, i] += 1
        changed = regression.as_sequences(points._replace(y=y), layout)
        after = np.asarray(predict(params, changed.inputs))
        np.testing.assert_array_equal(after[:, : i + 1], before[:, : i + 1])
        assert i == 3 or (after[:, i + 1 :] != before[:, i + 1 :]).all()
