"""A head of classes on every kind of model, and how right what it says is."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score, log_loss

from nlp_models.adaptation import building
from nlp_models.adaptation.classifier import make_classifier
from nlp_models.data.labelled import make_labelled
from nlp_models.data.records import Record
from nlp_models.data.tokenizers import learn_tokenizer
from nlp_models.errors import InputError
from nlp_models.training import classifying
from nlp_models.training.tasks.classification import classification
from tests.adapted_models import adapted, base, group_of, sizes_of, tokens_of

C = 3
LENGTHS = jnp.array([7, 4, 1], jnp.int32)
TOKENS = tokens_of(rows=3, length=7)


def made(name, pooling='mean', **added):
    return adapted(name, sizes=dict(num_classes=C, pooling=pooling), **added)


def say(built, tokens=TOKENS, lengths=LENGTHS, segments=None):
    logits = jax.jit(built.model.logits)
    return np.asarray(logits(built.params, tokens, lengths=lengths, segments=segments))


def vectors_of(built, tokens, lengths):
    """What the head of the base reads, text by text, so that there is no padding."""
    found = []
    for row, length in zip(np.asarray(tokens), np.asarray(lengths), strict=True):
        text = jnp.asarray(row[None, :length])
        if hasattr(built.model, 'encode'):
            found.append(built.model.encode(built.params, text)[0])
        else:
            state = built.model.start(built.params, 1)
            found.append(built.model.vectors(built.params, state, text)[1][0])
    return [np.asarray(each, np.float64) for each in found]


@pytest.mark.parametrize('name', ['encoder', 'encoder_gru', 'rotary', 'gru', 'mingru'])
def test_the_logits_are_of_the_pooled_vectors(name):
    before = base(name)
    vectors = vectors_of(before, TOKENS, LENGTHS)
    poolings = {'mean': lambda y: y.mean(axis=0), 'cls': lambda y: y[0], 'last': lambda y: y[-1]}
    several = []
    for pooling in poolings if name in ('encoder', 'gru') else ('last',):
        _, after = made(name, pooling)
        head = after.params['classifier']
        assert head['kernel'].shape == (vectors[0].shape[1], C)
        head = {'kernel': 20.0 * head['kernel'], 'bias': jnp.array([0.5, -1.0, 0.0])}
        found = say(after._replace(params={**after.params, 'classifier': head}))
        pooled = np.stack([poolings[pooling](y) for y in vectors])
        want = pooled @ np.asarray(head['kernel'], np.float64) + np.asarray(head['bias'])
        np.testing.assert_allclose(found, want, rtol=1e-4, atol=1e-4)
        assert found.dtype == np.float32
        several.append(found)
    assert all(np.abs(a - b).max() > 0.01 for a in several for b in several if a is not b)


@pytest.mark.parametrize('pooling', ['mean', 'cls', 'last'])
@pytest.mark.parametrize('name', ['encoder', 'rotary', 'lstm'])
def test_padding_changes_nothing(name, pooling):
    _, after = made(name, pooling)
    wide = jnp.concatenate([TOKENS, jnp.full((3, 4), 9, jnp.int32)], axis=1)
    other = wide.at[1, 4:].set(11)
    for tokens in (wide, other):
        np.testing.assert_allclose(say(after, tokens), say(after), rtol=1e-5, atol=1e-5)


def test_segments_are_told_apart():
    """By an encoder that has them; a causal model reads one text after the other."""
    segments = jnp.array([[0, 0, 0, 1, 1, 1, 1]] * 3, jnp.int32)
    _, after = made('encoder')
    zeros = jnp.zeros_like(segments)
    np.testing.assert_allclose(say(after, segments=zeros), say(after), rtol=1e-6, atol=1e-6)
    assert np.abs(say(after, segments=segments) - say(after)).max(axis=1)[0] > 1e-3
    for name in ('encoder_gru', 'gru'):
        _, after = made(name)
        np.testing.assert_array_equal(say(after, segments=segments), say(after))


def test_it_starts_near_the_uniform_distribution():
    _, after = made('encoder')
    probabilities = np.asarray(jax.nn.softmax(say(after)))
    assert np.abs(probabilities - 1 / C).max() < 0.2
    assert not after.params['classifier']['bias'].any()
    assert float(after.params['classifier']['kernel'].std()) == pytest.approx(0.02, rel=0.5)


def test_dropout_is_on_with_a_key_and_off_without():
    of = sizes_of('encoder', num_classes=C, pooling='mean')
    model = building.build(group_of('encoder', dropout_rate=0.5), **of)
    params = made('encoder')[1].params
    logits = jax.jit(model.logits)
    with_key = [
        logits(params, TOKENS, lengths=LENGTHS, key=jax.random.key(seed)) for seed in (0, 1)
    ]
    assert np.abs(with_key[0] - with_key[1]).max() > 1e-3
    np.testing.assert_allclose(logits(params, TOKENS, lengths=LENGTHS), say(made('encoder')[1]))


def test_the_objective_is_the_cross_entropy_of_the_right_class():
    _, after = made('gru', 'last')
    targets = np.array([2, 0, 1], np.int32)
    weights = np.array([1.0, 1.0, 0.0], np.float32)
    logits = say(after).astype(np.float64)
    nats = np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(3), targets]
    batch = {'tokens': TOKENS, 'lengths': LENGTHS, 'targets': jnp.asarray(targets)}
    sums, carry = classification(after.model)(after.params, None, batch)
    assert carry is None
    np.testing.assert_allclose((sums.loss, sums.weight), (nats.sum(), 3), rtol=1e-5)
    counted = classification(after.model, count=True)
    sums, _ = counted(after.params, None, {**batch, 'weights': jnp.asarray(weights)})
    hits = (logits.argmax(axis=1) == targets)[:2].sum()
    np.testing.assert_allclose(sums, (nats[:2].sum(), 2, hits), rtol=1e-5)


@pytest.mark.parametrize(
    ('name', 'sizes', 'message'),
    [
        ('seq2seq', {}, r'^the model has no vectors to tell classes by'),
        ('ngram', {}, r'^the model has no vectors to tell classes by'),
        ('gru', dict(pooling='max'), r"^pooling is 'max': it must be one of mean, cls, last"),
        ('gru', dict(num_classes=1), r'^number of classes is 1: it must be at least 2'),
    ],
)
def test_what_cannot_be_is_told(name, sizes, message):
    model: Any = base(name).model if name != 'ngram' else building.build(
        group_of(name), **sizes_of(name))  # fmt: skip
    with pytest.raises(InputError, match=message):
        make_classifier(model, **{'num_classes': C, 'pooling': 'mean', **sizes})


# What is said of texts, and how right it is.


def test_predictions_are_those_of_the_model_in_the_order_of_the_texts():
    texts = ['ab', 'b', 'abcabcabc', 'ca', 'bbb', 'c', 'abca']
    tokenizer = learn_tokenizer('chars', iter(texts), 0)
    records = [Record(text, '', 'x', '') for text in texts]
    labelled = make_labelled(records, ('x', 'y', 'z'), tokenizer)
    _, after = made('gru')
    predict = classifying.make_predict(after.model)
    for rows, length in ((0, 6), (1, 6), (3, 6), (0, 20)):
        found = predict(after.params, labelled, length=length, rows=rows)
        assert found.shape == (7, C)
        for text, row in zip(texts, found, strict=True):
            ids = jnp.asarray(tokenizer.encode(text)[None, :length], jnp.int32)
            alone = say(after, ids, jnp.array([ids.shape[1]], jnp.int32))[0].astype(np.float64)
            np.testing.assert_allclose(row, np.exp(alone) / np.exp(alone).sum(), atol=1e-5)


@pytest.mark.parametrize('classes', [2, 3, 6])
def test_scores_are_scikit_learns(classes):
    random = np.random.default_rng(classes)
    for number in (1, 5, 40, 200):
        for kinds in range(1, classes + 1):  # the others are absent
            right, said = random.integers(kinds, size=(2, number)).astype(np.int32)
            said = np.where(random.random(number) < 0.4, right, said)
            found = classifying.scores(right, said, classes)
            assert found['accuracy'] == pytest.approx(accuracy_score(right, said))
            want = f1_score(right, said, average='macro', zero_division=0)  # pyright: ignore[reportArgumentType]
            assert found['macro_f1'] == pytest.approx(want)
            assert found['majority'] == pytest.approx(np.bincount(right).max() / number)
            assert found['examples'] == number


def test_a_class_that_is_said_and_never_right_counts():
    found = classifying.scores(np.array([0, 0, 1]), np.array([0, 2, 1]), 4)
    assert found['macro_f1'] == pytest.approx((2 / 3 + 1 + 0) / 3)
    assert found['majority'] == pytest.approx(2 / 3)


def test_the_log_loss_is_scikit_learns():
    random = np.random.default_rng(0)
    said = random.dirichlet(np.ones(4), size=50).astype(np.float32)
    right = random.integers(4, size=50)
    found = classifying.log_loss(said, right)
    assert found == pytest.approx(log_loss(right, said, labels=range(4)), rel=1e-5)
    assert np.isfinite(classifying.log_loss(np.array([[0.0, 1.0]], np.float32), np.array([0])))
