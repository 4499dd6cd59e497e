"""Calibration, abstention and ranking against scikit-learn, brute force and worked examples."""

import itertools
import math

import numpy as np
import pytest
from scipy import special, stats
from sklearn import calibration as reference
from sklearn import metrics

from nlp_models.analysis import calibration
from nlp_models.errors import InputError


def draw(seed, number=500, digits=2):
    """Probabilities with ties and values on edges, and whether each answer is right."""
    random = np.random.default_rng(seed)
    p = np.round(random.uniform(size=number), digits)
    return p, random.uniform(size=number) < p**1.5


def test_a_worked_example():
    # Two bins, (0, 1/2] and (1/2, 1]: 0.2 and 0.5 with one right of two; 0.6, 0.9, 0.9 with two.
    p, right = [0.2, 0.5, 0.6, 0.9, 0.9], [False, True, True, False, True]
    found = calibration.reliability(p, right, bins=2)
    np.testing.assert_allclose(found.confidence, [0.35, 0.8])
    np.testing.assert_allclose(found.accuracy, [0.5, 2 / 3])
    assert found.count.tolist() == [2, 3]
    # 2/5 · 0.15 + 3/5 · (0.8 − 2/3) = 0.06 + 0.08
    assert calibration.expected_calibration_error(p, right, bins=2) == pytest.approx(0.14)
    # (0.04 + 0.25 + 0.16 + 0.81 + 0.01) / 5
    assert calibration.brier_score(p, right) == pytest.approx(1.27 / 5)
    # Pairs right > wrong: 0.5, 0.6 and 0.9 against 0.2 and 0.9: 1, 0, 1, 0, 1, 1/2 of 6.
    assert calibration.auroc(p, right) == pytest.approx(3.5 / 6)
    curve = calibration.risk_coverage(p, right)
    np.testing.assert_allclose(curve.threshold, [0.9, 0.6, 0.5, 0.2])
    np.testing.assert_allclose(curve.coverage, [0.4, 0.6, 0.8, 1.0])
    np.testing.assert_allclose(curve.risk, [1 / 2, 1 / 3, 1 / 4, 2 / 5])
    assert calibration.risk_at(curve, 0.5) == pytest.approx(1 / 3)
    assert calibration.risk_at(curve, 0.4) == pytest.approx(1 / 2)
    assert calibration.risk_at(curve, 1.0) == pytest.approx(2 / 5)


@pytest.mark.parametrize(('strategy', 'equal_mass'), [('uniform', False), ('quantile', True)])
@pytest.mark.parametrize('bins', [1, 7, 15])
def test_bins_are_scikit_learns(strategy, equal_mass, bins):
    for seed, digits in itertools.product(range(3), (1, 2, 12)):
        p, right = draw(seed, digits=digits)
        found = calibration.reliability(p, right, bins=bins, equal_mass=equal_mass)
        shares, means = reference.calibration_curve(right, p, n_bins=bins, strategy=strategy)
        kept = found.count > 0
        np.testing.assert_allclose(found.accuracy[kept], shares, rtol=1e-12)
        np.testing.assert_allclose(found.confidence[kept], means, rtol=1e-12)
        assert found.count.sum() == len(p)


@pytest.mark.parametrize('equal_mass', [False, True])
def test_the_calibration_error_is_a_loop_over_bins(equal_mass):
    p, right = draw(3, 200)
    edges = np.quantile(p, np.linspace(0, 1, 11)) if equal_mass else np.linspace(0, 1, 11)
    total, counted = 0.0, 0
    for m, (low, high) in enumerate(itertools.pairwise(edges)):
        inside = [i for i in range(200) if (low < p[i] or m == 0) and p[i] <= high]
        if inside:
            accuracy = sum(bool(right[i]) for i in inside) / len(inside)
            confidence = sum(p[i] for i in inside) / len(inside)
            total += len(inside) / 200 * abs(accuracy - confidence)
            counted += len(inside)
    assert counted == 200
    found = calibration.expected_calibration_error(p, right, bins=10, equal_mass=equal_mass)
    assert found == pytest.approx(total, rel=1e-12)


def test_scores_are_scikit_learns():
    for seed in range(4):
        p, right = draw(seed)
        assert calibration.brier_score(p, right) == pytest.approx(
            metrics.brier_score_loss(right, p), rel=1e-12
        )
        assert calibration.auroc(p, right) == pytest.approx(
            metrics.roc_auc_score(right, p), rel=1e-12
        )
    # Any order will do, not probabilities alone; and equal scores tell nothing.
    assert calibration.auroc([-5.0, 3.0, 40.0], [False, True, True]) == 1
    assert calibration.auroc([2.0, 2.0, 2.0], [False, True, True]) == 0.5


def test_risks_are_those_of_every_threshold():
    p, right = draw(5, 60, digits=1)
    curve = calibration.risk_coverage(p, right)
    assert curve.threshold.tolist() == sorted(set(p.tolist()), reverse=True)
    for threshold, coverage, risk in zip(*curve, strict=True):
        given = p >= threshold
        assert coverage == pytest.approx(given.mean())
        assert risk == pytest.approx((~right[given]).mean())


def test_the_temperature_that_logits_were_multiplied_by_is_found():
    random = np.random.default_rng(0)
    calibrated = 2 * random.normal(size=(20_000, 5))
    answers = np.array([random.choice(5, p=special.softmax(row)) for row in calibrated])
    for temperature in (0.4, 1.0, 3.0):
        found = calibration.fit_temperature(temperature * calibrated, answers)
        assert found == pytest.approx(temperature, rel=0.03)


def test_no_temperature_on_a_grid_is_better():
    random = np.random.default_rng(1)
    logits, answers = 4 * random.normal(size=(50, 7)), random.integers(7, size=50)
    found = calibration.fit_temperature(logits, answers)
    best = calibration.negative_log_likelihood(logits, answers, found)
    direct = -np.mean(
        [math.log(special.softmax(z / found)[a]) for z, a in zip(logits, answers, strict=True)]
    )
    assert best == pytest.approx(direct, rel=1e-12)
    grid = np.geomspace(0.02, 90, 400)
    assert best <= min(calibration.negative_log_likelihood(logits, answers, t) for t in grid)
    # What is always right cannot be too sure.
    sure = calibration.fit_temperature(0.01 * np.eye(3), [0, 1, 2])
    assert sure == pytest.approx(calibration.LEAST_TEMPERATURE, rel=1e-3)


def test_made_up_answers_have_the_figures_known_of_them():
    for name, (measured, expected) in calibration.made_up(0, 100_000).items():
        assert measured == pytest.approx(expected, abs=0.01), name
    assert calibration.made_up(0, 10)['auroc'][1] == pytest.approx(
        1 - stats.norm.cdf(0, loc=1, scale=math.sqrt(2))
    )


@pytest.mark.parametrize(
    ('call', 'name'),
    [
        (lambda: calibration.reliability([], []), 'confidences'),
        (lambda: calibration.reliability([0.5, 1.5], [0, 1]), 'confidences'),
        (lambda: calibration.reliability([0.5, math.nan], [0, 1]), 'confidences'),
        (lambda: calibration.reliability([0.5, 0.4], [0, 2]), 'right'),
        (lambda: calibration.reliability([0.5, 0.4], [1]), 'right'),
        (lambda: calibration.reliability([0.5], [1], bins=0), 'bins'),
        (lambda: calibration.auroc([0.5, 0.4], [True, True]), 'positive'),
        (lambda: calibration.auroc([0.5, math.inf], [True, False]), 'scores'),
        (lambda: calibration.fit_temperature(np.zeros((0, 3)), []), 'logits'),
        (lambda: calibration.fit_temperature(np.zeros((2, 3)), [0]), 'answers'),
        (lambda: calibration.risk_at(calibration.risk_coverage([0.5], [1]), 0.0), 'coverage'),
    ],
)
def test_what_cannot_be_measured_is_refused(call, name):
    with pytest.raises(InputError, match=f'^{name} is '):
        call()
