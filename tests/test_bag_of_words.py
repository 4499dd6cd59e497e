"""Bag of words: against the formula of TF-IDF by hand, and the optimum's own equations."""

import math

import numpy as np
import pytest

from nlp_models.analysis import bag_of_words, logistic
from nlp_models.errors import InputError

TEXTS = ('red apple apple', 'red rose', 'blue sea', 'blue sky sea', 'green tree', 'green apple')
TARGETS = np.array([0, 0, 2, 2, 3, 3])
OTHERS = ('an apple', 'the blue sky', 'Green trees', 'nothing of it')


def tfidf(texts, known):
    """By the formula, word by word."""
    words = sorted({word for text in known for word in text.split()})
    rows = []
    for text in texts:
        counts = [text.lower().split().count(word) for word in words]
        having = [sum(word in one.split() for one in known) for word in words]
        row = [
            n * (1 + math.log((1 + len(known)) / (1 + had)))
            for n, had in zip(counts, having, strict=True)
        ]
        norm = math.sqrt(sum(x * x for x in row)) or 1
        rows.append([x / norm for x in row])
    return np.array(rows)


def test_words_weigh_as_the_formula_says():
    by_words = bag_of_words.fit_and_predict(TEXTS, TARGETS, OTHERS, num_classes=5, strength=10.0)
    inner = logistic.fit(tfidf(TEXTS, TEXTS), TARGETS, num_classes=5, strength=10.0)
    np.testing.assert_allclose(by_words, inner(tfidf(OTHERS, TEXTS)), atol=1e-3)
    assert by_words.shape == (4, 5)
    np.testing.assert_array_equal(by_words[:, [1, 4]], 0)  # no example of them
    np.testing.assert_allclose(by_words.sum(axis=1), 1)
    assert by_words[:3].argmax(axis=1).tolist() == [0, 2, 3]


def test_the_penalised_likelihood_is_at_its_minimum():
    generator = np.random.default_rng(0)
    features, targets = generator.normal(size=(30, 4)), np.arange(30) % 3
    strength = 0.7
    predict = logistic.fit(features, targets, num_classes=3, strength=strength)
    # log p is linear in x: W and b from the probabilities at the origin and the unit vectors, each
    # class less the mean of the classes, as the penalty wants it.
    logs = np.log(predict(np.concatenate([np.zeros((1, 4)), np.eye(4)])))
    logs -= logs.mean(axis=1, keepdims=True)
    weights = logs[1:] - logs[0]
    errors = predict(features) - np.eye(3)[targets]
    np.testing.assert_allclose(weights + strength * features.T @ errors, 0, atol=2e-3)
    np.testing.assert_allclose(errors.sum(axis=0), 0, atol=2e-3)  # the bias has no penalty


def test_more_strength_fits_the_examples_more_closely():
    sure = [
        bag_of_words.fit_and_predict(TEXTS, TARGETS, TEXTS, num_classes=4, strength=strength)[
            np.arange(6), TARGETS
        ].mean()
        for strength in (0.01, 1.0, 100.0)
    ]
    assert sure[0] < 0.4 < 0.9 < sure[2]
    assert sure[0] < sure[1] < sure[2]


def test_one_class_alone_is_always_said():
    said = bag_of_words.fit_and_predict(
        TEXTS[:2], np.array([1, 1]), OTHERS, num_classes=3, strength=1.0
    )
    np.testing.assert_array_equal(said, [[0, 1, 0]] * 4)


def test_the_strength_is_picked_by_the_held_out_texts():
    picked = bag_of_words.pick_strength(
        TEXTS, TARGETS, OTHERS, np.array([0, 2, 3, 0]), num_classes=4, strengths=(1e-6, 1.0, 50.0)
    )
    shares = {
        strength: np.mean(
            bag_of_words.fit_and_predict(
                TEXTS, TARGETS, OTHERS, num_classes=4, strength=strength
            ).argmax(axis=1)
            == [0, 2, 3, 0]
        )
        for strength in (1e-6, 1.0, 50.0)
    }
    assert picked.swept == {str(strength): share for strength, share in shares.items()}
    assert shares[picked.strength] == max(shares.values())
    best = bag_of_words.fit_and_predict(
        TEXTS, TARGETS, OTHERS, num_classes=4, strength=picked.strength
    )
    np.testing.assert_array_equal(picked.predict(OTHERS), best)


def test_of_equals_the_first_is_taken():
    def same(strength):
        return lambda features: np.full((len(features), 2), 0.5)

    assert logistic.pick(same, np.zeros((3, 1)), np.zeros(3), (5.0, 1.0, 9.0)).strength == 5.0


def test_what_cannot_be_fitted_is_told():
    with pytest.raises(InputError, match=r'strength.*above 0'):
        logistic.fit(np.zeros((2, 1)), np.array([0, 1]), num_classes=2, strength=0.0)
    with pytest.raises(InputError, match='number of examples'):
        logistic.fit(np.zeros((0, 1)), np.zeros(0, int), num_classes=2, strength=1.0)
    with pytest.raises(InputError, match='strengths'):
        logistic.pick(lambda s: lambda x: x, np.zeros((0, 1)), np.zeros(0), ())
