import itertools
import pydoc_data.topics
from collections import Counter, defaultdict

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nlp_models import ngram
from nlp_models.errors import InputError


class BruteForce:
    """The equations over Python dicts and tuples, nothing shared with the module under test."""

    def __init__(self, text, order, vocab_size):
        self.order, self.vocab_size = order, vocab_size
        text = tuple(int(w) for w in text)
        self.num_grams, self.discounts = 0, {}
        self.followers = {}  # order -> context -> word -> count
        for k in range(1, order + 1):
            left = defaultdict(list)
            for i in range(len(text) - k + 1):
                left[text[i : i + k]].append(text[i - 1] if i > 0 else 'nothing')
            self.followers[k] = defaultdict(dict)
            for gram, words in left.items():
                count = len(words) if k == order else len(set(words))
                self.followers[k][gram[:-1]][gram[-1]] = count
            counts = Counter(c for row in self.followers[k].values() for c in row.values())
            self.discounts[k] = self.estimate_discounts(counts)
            self.num_grams += len(left)

    @staticmethod
    def estimate_discounts(n):
        y = n[1] / (n[1] + 2 * n[2]) if n[1] > 0 and n[2] > 0 else 0.5
        if all(n[r] > 0 for r in (1, 2, 3, 4)):
            d = {r: r - (r + 1) * y * n[r + 1] / n[r] for r in (1, 2, 3)}
            if all(0 < d[r] <= r for r in d):
                return d
        return {1: y, 2: y, 3: y}

    def probability(self, word, context, k=None):
        if k is None:
            k, context = self.order, tuple(int(w) for w in context)
        if k == 0:
            return 1 / self.vocab_size
        lower = self.probability(word, context[1:], k - 1)
        followers = self.followers[k].get(context)
        if not followers:
            return lower
        d = self.discounts[k]
        total = sum(followers.values())
        gamma = sum(d[min(c, 3)] for c in followers.values()) / total
        c = followers.get(word, 0)
        return (c - d[min(c, 3)] if c else 0.0) / total + gamma * lower


def chain(length, vocab_size, seed=0):
    """A text with structure: each word prefers a few successors; words are unevenly frequent."""
    rng = np.random.default_rng(seed)
    rows = rng.dirichlet(np.full(vocab_size, 0.3), size=vocab_size)
    words = [0]
    while len(words) < length:
        words.append(rng.choice(vocab_size, p=rows[words[-1]]))
    return np.array(words)


def make(text, order, vocab_size):
    tokens = np.asarray(text, np.int64)
    return ngram.build(order, vocab_size), ngram.fit(tokens, order=order, vocab_size=vocab_size)


def after(model, params, contexts):
    """Probabilities after each context of n−1 tokens: all but the last as state. [N, V] float64"""
    # The state's oldest token is out of reach once another is read: 0 there must not matter.
    # At order 1 the 0 is what is read, and the state holds nothing.
    read = np.pad(np.asarray(contexts, np.int32), ((0, 0), (1, 0)))
    _, logits = jax.jit(model.apply)(params, jnp.asarray(read[:, :-1]), jnp.asarray(read[:, -1:]))
    return np.exp(np.asarray(logits[:, 0], np.float64))


def check_against_equations(text, order, vocab_size, contexts):
    model, params = make(text, order, vocab_size)
    reference = BruteForce(text, order, vocab_size)
    got = after(model, params, contexts)
    expected = [[reference.probability(w, c) for w in range(vocab_size)] for c in contexts]
    np.testing.assert_allclose(got, expected, atol=1e-6)
    np.testing.assert_allclose(got.sum(1), 1, atol=1e-6)
    assert (got > 0).all()
    assert ngram.num_parameters(params) == reference.num_grams
    return reference


def all_contexts(words, order):
    contexts = list(itertools.product(words, repeat=order - 1))
    return np.array(contexts).reshape(len(contexts), order - 1)


@pytest.mark.parametrize('order', range(1, 7))
def test_every_context_agrees_with_the_equations(order):
    # Four words, one of them in no text, and −1: all contexts there are, seen and unseen.
    check_against_equations(chain(80, 3), order, 4, all_contexts(range(-1, 4), order))


@pytest.mark.parametrize('order', [2, 5])
def test_a_longer_text_agrees_with_the_equations(order):
    text, rng = chain(3000, 30, seed=1), np.random.default_rng(2)
    seen = np.stack([text[i : i + order - 1] for i in rng.integers(0, 2990, 40)])
    unseen = rng.integers(-1, 40, (40, order - 1))
    half_seen = np.where(np.arange(order - 1) < order // 2, unseen, seen)
    contexts = np.concatenate([seen, unseen, half_seen])
    reference = check_against_equations(text, order, 40, contexts)
    # The paper's three discounts are at work, not only what stands in for them.
    assert any(len(set(d.values())) == 3 for d in reference.discounts.values())


@pytest.mark.parametrize('order', [1, 3])
@pytest.mark.parametrize(
    ('text', 'vocab_size'),
    [
        ([2] * 50, 4),  # one token, again and again
        ([*range(20)], 20),  # each token once
        ([], 3),
        ([1], 3),
        ([1, 0], 3),  # shorter than the order
        ([0, 1, 1], 3),  # as long as the order
        ([0] * 7, 1),  # one word in the vocabulary
        ([3, 900, 3, 900, 3], 1000),  # most of the vocabulary never used
    ],
)
def test_degenerate_texts_agree_with_the_equations(text, vocab_size, order):
    words = [-1, *sorted(set(text))[:3], vocab_size - 1]
    check_against_equations(text, order, vocab_size, all_contexts(words, order))


@pytest.mark.parametrize(
    ('grams_seen', 'expected'),  # how many grams were seen 1, 2, 3, 4 times
    [
        ([8, 4, 2, 1], [0.5, 1.25, 2.0]),  # Y = 1/2
        ([8, 4, 2, 0], 0.5),  # n4 = 0: Y for all
        ([8, 4, 8, 1], 0.5),  # D2 = 2 − 3 (1/2) 8/4 < 0
        ([6, 1, 0, 0], 0.75),
        ([0, 4, 2, 1], 0.5),  # no Y either
        ([5, 0, 2, 1], 0.5),
    ],
)
def test_discounts(grams_seen, expected):
    counts = np.repeat([1, 2, 3, 4], grams_seen)
    np.testing.assert_allclose(ngram.modified_discounts(counts), expected)


@pytest.mark.parametrize(('order', 'vocab_size'), [(1, 300), (6, 256), (4, 5000)])
def test_probabilities_sum_to_one(order, vocab_size):
    text, rng = chain(4000, 50, seed=3), np.random.default_rng(4)
    model, params = make(text, order, vocab_size)
    tokens = np.stack([text[:40], rng.integers(-1, 50, 40), rng.integers(-1, vocab_size, 40)])
    state = model.start(params, 3)
    np.testing.assert_array_equal(state, np.full((3, order - 1), -1))
    _, logits = jax.jit(model.apply)(params, state, jnp.asarray(tokens, jnp.int32))
    assert logits.dtype == jnp.float32
    assert np.isfinite(logits).all()
    np.testing.assert_allclose(np.exp(np.asarray(logits, np.float64)).sum(-1), 1, atol=1e-6)
    np.testing.assert_allclose(jax.nn.log_softmax(logits), logits, atol=2e-6)


@pytest.mark.parametrize('order', [1, 5])
def test_at_once_token_by_token_and_in_halves(order):
    text, vocab_size, length = chain(500, 6, seed=5), 7, 12
    model, params = make(text, order, vocab_size)
    apply = jax.jit(model.apply)
    tokens = jnp.asarray(chain(3 * length, 6, seed=6).reshape(3, length), jnp.int32)
    start = model.start(params, 3, length)
    end, whole = apply(params, start, tokens)
    for cuts in (range(1, length), [length // 2]):
        state, pieces = start, []
        for piece in jnp.split(tokens, jnp.array(cuts), axis=1):
            state, logits = apply(params, state, piece)
            pieces.append(logits)
        np.testing.assert_allclose(jnp.concatenate(pieces, 1), whole, atol=1e-6)
        np.testing.assert_array_equal(state, end)


@pytest.mark.parametrize('order', [1, 4])
def test_ragged_rows_remember_their_real_tokens(order):
    model, params = make(chain(500, 6, seed=5), order, 6)
    apply = jax.jit(model.apply)
    tokens = chain(30, 6, seed=7).reshape(5, 6)
    before = chain(5 * order, 6, seed=8).reshape(5, order)[:, 1:]
    lengths = [0, 1, 3, 5, 6]
    read, new = jnp.asarray(before, jnp.int32), jnp.asarray(tokens, jnp.int32)
    state, logits = apply(params, read, new, lengths=jnp.array(lengths, jnp.int32))
    _, full = apply(params, read, new)
    for row, n in enumerate(lengths):
        np.testing.assert_array_equal(state[row], [*before[row], *tokens[row, :n]][n:])
        np.testing.assert_allclose(logits[row, :n], full[row, :n], atol=1e-6)


def test_causal_to_the_bit():
    model, params = make(chain(500, 6, seed=5), 4, 6)
    tokens = jnp.asarray(chain(20, 6, seed=9)[None], jnp.int32)
    apply = jax.jit(model.apply)
    _, logits = apply(params, model.start(params, 1), tokens)
    for t in (0, 7, 18):
        later = jnp.where(jnp.arange(20)[None] > t, 5 - tokens, tokens)
        _, other = apply(params, model.start(params, 1), later)
        np.testing.assert_array_equal(other[:, : t + 1], logits[:, : t + 1])
        assert not np.array_equal(other[:, t + 1 :], logits[:, t + 1 :])


def test_a_large_vocabulary_does_not_overflow():
    order, vocab_size, rng = 5, 50_000, np.random.default_rng(10)
    text = vocab_size - 1 - np.minimum(rng.zipf(1.3, 70_000), vocab_size) % vocab_size
    text[35_000:36_000] = text[:1000]  # so that long grams repeat
    model, params = make(text, order, vocab_size)
    reference = BruteForce(text, order, vocab_size)
    assert ngram.num_parameters(params) == reference.num_grams
    # The pairs (gram, next word) pass int32, and V^5 passes int64.
    assert params['order_4']['token'].size * vocab_size > 2**31
    places = np.concatenate([rng.integers(0, 1000, 6), rng.integers(0, 60_000, 6)])
    contexts = np.stack([text[i : i + order - 1] for i in places])
    contexts[::3, 0] = 7  # some not seen
    got = after(model, params, contexts)
    np.testing.assert_allclose(got.sum(1), 1, atol=1e-6)
    for row, (place, context) in enumerate(zip(places, contexts, strict=True)):
        words = [int(text[place + order - 1]), *(int(w) for w in text[:10]), 0, vocab_size - 1]
        expected = [reference.probability(w, context) for w in words]
        np.testing.assert_allclose(got[row, words], expected, rtol=2e-5, atol=1e-9)


def test_a_million_tokens_of_noise():
    text = np.random.default_rng(11).integers(0, 256, 1_000_000, dtype=np.uint8)
    params = ngram.fit(text, order=5, vocab_size=256)
    packed, distinct = np.zeros(len(text), np.int64), 0
    for k in range(1, 6):
        packed = packed[: len(text) - k + 1] * 256 + text[k - 1 :]
        distinct += len(np.unique(packed))
    assert ngram.num_parameters(params) == distinct


def test_parameters_are_plain_arrays_whatever_holds_the_text(tmp_path):
    text = chain(1000, 20)
    text.astype(np.uint16).tofile(tmp_path / 'tokens')
    mapped = np.memmap(tmp_path / 'tokens', np.uint16, mode='r')
    params = ngram.fit(text, order=2, vocab_size=20)
    same = ngram.fit(mapped, order=2, vocab_size=20)
    jax.tree.map(np.testing.assert_array_equal, params, same)
    nothing = ngram.build(2, 20).init(jax.random.key(0))
    assert jax.tree.structure(nothing) == jax.tree.structure(params)
    for leaf in jax.tree.leaves([params, nothing]):
        assert isinstance(leaf, np.ndarray)
        assert leaf.size > 0  # an empty array cannot be stored everywhere
        assert leaf.dtype in (np.int32, np.float32)
    # And not compiled, over NumPy arrays.
    model, tokens = ngram.build(2, 20), jnp.zeros((2, 3), jnp.int32)
    _, logits = model.apply(nothing, model.start(nothing, 2), tokens)
    np.testing.assert_allclose(logits, -np.log(20), rtol=1e-6)


def test_tokens_out_of_range_are_tokens_never_seen():
    model, params = make(chain(300, 6), 3, 6)
    apply, start = jax.jit(model.apply), model.start(params, 1)
    tokens = jnp.array([[0, 1, 6, 2, -7, 2**31 - 1, -(2**31), 3]], jnp.int32)
    state, logits = apply(params, start, tokens)
    masked = jnp.where((tokens >= 0) & (tokens < 6), tokens, -1)
    np.testing.assert_array_equal(apply(params, start, masked)[1], logits)
    state, logits = apply(params, state, tokens[:, :0])
    assert logits.shape == (1, 0, 6)
    np.testing.assert_array_equal(state, tokens[:, -2:])


def test_longer_contexts_predict_text_better():
    text = ''.join(pydoc_data.topics.topics.values()).encode()[:200_000]
    tokens = np.frombuffer(text, np.uint8)
    train, test = tokens[:-10_000], jnp.asarray(tokens[-10_000:], jnp.int32)
    bits = []
    for order in (1, 3, 5):
        model, params = ngram.build(order, 256), ngram.fit(train, order=order, vocab_size=256)
        _, logits = jax.jit(model.apply)(params, model.start(params, 1), test[None, :-1])
        picked = jnp.take_along_axis(logits, test[None, 1:, None], 2)
        bits.append(float(-picked.mean() / np.log(2)))
    assert 6 > bits[0] > 4 > bits[1] > bits[2]


def test_wrong_input_is_named():
    tokens = np.zeros(5, np.int64)
    for order, vocab_size, named in [(0, 5, 'order=0'), (2, 0, 'vocab_size=0')]:
        with pytest.raises(InputError, match=named):
            ngram.fit(tokens, order=order, vocab_size=vocab_size)
        with pytest.raises(InputError, match=named):
            ngram.build(order, vocab_size)
    for bad in (-1, 5):
        with pytest.raises(InputError, match=r'\[0, 5\)'):
            ngram.fit(tokens + bad, order=2, vocab_size=5)
    with pytest.raises(InputError, match='2147483646'):  # a view: takes no memory
        ngram.fit(np.broadcast_to(np.uint8(0), 2**31), order=2, vocab_size=5)
    _, params = make(tokens, 2, 5)
    for other in (ngram.build(3, 5), ngram.build(2, 6)):
        with pytest.raises(InputError, match='fit and build must agree'):
            other.apply(params, other.start(params, 1), jnp.zeros((1, 1), jnp.int32))
