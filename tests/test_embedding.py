"""Vectors for many texts at once, and finding partners by them."""

from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from configs import encoder
from nlp_models import embedding, models
from nlp_models.data.tokenizers import learn_tokenizer
from nlp_models.embedding import embed_texts, padded_length
from nlp_models.errors import InputError
from nlp_models.heads import pool
from nlp_models.pretrained.sentences import Sentences
from nlp_models.training import retrieval
from tests.test_pretrained_tokenizer import pretrained_tokenizer, word_piece

CHARS = learn_tokenizer('chars', ['abcdefghij '], 0)
CONTEXT = 60


def build(kind: str, vocab_size: int) -> Any:
    if kind == 'transformer':
        group = ConfigDict(encoder.transformer(masked_head=False, positions='learned'))
        group.update(hidden_size=8, num_layers=1, num_heads=2, embed_std=1.0)
    else:
        group = ConfigDict(encoder.recurrent(masked_head=False))
        group.update(hidden_size=4, embed_size=4, embed_std=1.0)
    model = models.build(group, vocab_size=vocab_size, max_length=CONTEXT)
    return model, jax.jit(model.init)(jax.random.key(0))


@cache
def small(kind: str, vocab_size: int = CHARS.vocab_size) -> Any:
    return build(kind, vocab_size)


def texts_of(*lengths: int) -> list[str]:
    random = np.random.default_rng(0)
    return [''.join(random.choice([*'abcdefghij'], size=length)) for length in lengths]


def one_by_one(kind, texts, pooling, normalize, limit=None, tokenizer=CHARS):
    """Each text alone and without padding."""
    model, params = small(kind, tokenizer.vocab_size)
    encode, vectors = jax.jit(model.encode), []
    for text in texts:
        ids = tokenizer.encode(text)
        if limit is not None:
            ids = ids[: limit - len(tokenizer.frame(ids[:0]))]
        ids = jnp.asarray(tokenizer.frame(ids)[None], jnp.int32)
        y = encode(params, ids)
        lengths = jnp.asarray([ids.shape[1]], jnp.int32)
        vectors.append(np.asarray(pool(y, lengths, pooling, normalize=normalize))[0])
    return np.stack(vectors)


@pytest.mark.parametrize(
    ('kind', 'pooling', 'normalize'),
    [('transformer', 'mean', True), ('transformer', 'last', False), ('gru', 'cls', True)],
)
def test_together_is_one_by_one_in_the_order_given(kind, pooling, normalize, monkeypatch):
    monkeypatch.setattr(embedding, 'BATCH_TOKENS', 60)  # so that there are several batches
    model, params = small(kind)
    texts = texts_of(1, 17, 3, 3, 45, 18, 60, 2)
    found = embed_texts(model, params, CHARS, texts, pooling=pooling, normalize=normalize)
    assert found.dtype == np.float32
    assert found.shape == (8, 8)
    want = one_by_one(kind, texts, pooling, normalize)
    np.testing.assert_allclose(found, want, rtol=1e-5, atol=1e-6)
    lengths = np.linalg.norm(found, axis=1)
    assert np.allclose(lengths, 1, rtol=1e-5) == normalize
    distances = np.abs(want[:, None] - want).sum(-1) + 9 * np.eye(8)
    assert distances.min() > 1e-3  # no two are the same, so an order is told from another


def test_a_text_is_the_same_whatever_stands_beside_it():
    model, params = small('transformer')
    short, long = texts_of(4, 50)
    alone = embed_texts(model, params, CHARS, [short])
    beside = embed_texts(model, params, CHARS, [long, short, long, short])
    np.testing.assert_allclose(beside[1], alone[0], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(beside[3], alone[0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(('given', 'limit'), [(None, CONTEXT), (20, 20), (1000, CONTEXT)])
def test_texts_are_cut_off_at_what_can_be_read(given, limit):
    model, params = small('transformer')
    texts = texts_of(100, 15, 61, 20)
    found = embed_texts(model, params, CHARS, texts, max_length=given)
    cut = [text[:limit] for text in texts]
    np.testing.assert_array_equal(found, embed_texts(model, params, CHARS, cut, max_length=given))
    want = one_by_one('transformer', cut, 'mean', True)
    np.testing.assert_allclose(found, want, rtol=1e-5, atol=1e-6)


def test_what_a_folder_says_of_sentences_is_what_can_be_asked_for():
    model, params = small('gru')
    said = Sentences(pooling='last', normalize=False, max_length=5, lower=True)
    found = embed_texts(model, params, CHARS, ['ABC', 'Jihgfedc'], **said._asdict())
    want = one_by_one('gru', ['abc', 'jihgfedc'], 'last', False, 5)
    np.testing.assert_allclose(found, want, rtol=1e-5, atol=1e-6)
    plain = embed_texts(model, params, CHARS, ['ABC'], **said._replace(lower=False)._asdict())
    assert np.abs(plain - want[:1]).max() > 0.01


def test_a_model_without_bound_reads_all_of_a_text():
    model, params = small('gru')
    (text,) = texts_of(130)
    found = embed_texts(model, params, CHARS, [text], pooling='last', normalize=False)
    want = one_by_one('gru', [text], 'last', False)
    np.testing.assert_allclose(found, want, rtol=1e-5, atol=1e-6)


def test_special_tokens_stand_around_a_text_that_is_cut_off_too():
    tokenizer = pretrained_tokenizer(word_piece().to_str())
    assert len(tokenizer.frame(np.zeros(0, np.int32))) == 2
    model, params = small('transformer', tokenizer.vocab_size)
    texts = ['the cat sat on the mat', 'the', '']
    found = embed_texts(model, params, tokenizer, texts, max_length=5)
    want = one_by_one('transformer', texts, 'mean', True, 5, tokenizer)
    np.testing.assert_allclose(found, want, rtol=1e-5, atol=1e-6)


# What is compiled.


def test_padded_lengths():
    table = [16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512]
    for length in range(1, 513):
        want = next(size for size in table if size >= length)
        assert padded_length(length, None) == want
        assert padded_length(min(length, 300), 300) == min(want, 300)


def test_few_shapes_are_compiled(monkeypatch):
    model, params = small('transformer')
    shapes = []

    def record(model, params, tokens, lengths, pooling, normalize):
        assert lengths.min() >= 1
        shapes.append(tokens.shape)
        return jnp.zeros((len(tokens), 8))

    monkeypatch.setattr(embedding, '_embed', record)
    random = np.random.default_rng(0)
    real = 0
    for number in range(1, 60):
        texts = texts_of(*random.integers(1, 60, size=number))
        real += sum(map(len, texts))
        assert embed_texts(model, params, CHARS, texts).shape == (number, 8)
    assert {width for _, width in shapes} <= {16, 24, 32, 48, CONTEXT}
    assert len(set(shapes)) <= 20
    assert max(height * width for height, width in shapes) <= embedding.BATCH_TOKENS
    shapes.clear()
    many = texts_of(*random.integers(1, 60, size=2000))
    embed_texts(model, params, CHARS, many)
    read = sum(height * width for height, width in shapes)
    assert read < 1.5 * sum(map(len, many))  # little padding: texts of a length go together
    assert len(set(shapes)) <= 6


# Mistakes.


def test_no_texts_no_vectors():
    model, params = small('transformer')
    assert len(embed_texts(model, params, CHARS, [])) == 0


def test_what_cannot_be_embedded_is_told():
    model, params = small('transformer')
    with pytest.raises(InputError, match=r'^text 2 is empty'):
        embed_texts(model, params, CHARS, ['a', '', 'b'])
    with pytest.raises(InputError, match=r"^pooling is 'max': it must be one of mean, cls, last"):
        embed_texts(model, params, CHARS, ['a'], pooling='max')
    with pytest.raises(InputError, match=r'^max_length is 0: it must leave room for a token'):
        embed_texts(model, params, CHARS, ['a'], max_length=0)
    tokenizer = pretrained_tokenizer(word_piece().to_str())
    model, params = small('transformer', tokenizer.vocab_size)
    with pytest.raises(InputError, match=r'^max_length is 2: it must leave room for a token'):
        embed_texts(model, params, tokenizer, ['the'], max_length=2)


# Retrieval.


def scores_loop(similarities):
    ranks = []
    for query, row in enumerate(similarities):
        better = [c for c, value in enumerate(row) if c != query and value >= row[query]]
        ranks.append(len(better) + 1)
    number = len(ranks)
    return {
        'recall_1': sum(rank == 1 for rank in ranks) / number,
        'recall_10': sum(rank <= 10 for rank in ranks) / number,
        'mean_reciprocal_rank': sum(1 / rank for rank in ranks) / number,
        'candidates': number,
    }


def test_retrieval_scores_are_their_loop():
    random = np.random.default_rng(0)
    for seed in range(5):
        similarities = random.normal(size=(30, 30)) + (0.5 + seed / 3) * np.eye(30)
        found, want = retrieval.scores(similarities), scores_loop(similarities)
        assert found == pytest.approx(want)
        assert 0 < found['recall_1'] < found['recall_10'] <= 1


def test_of_equals_the_right_one_is_the_last():
    nothing = dict(recall_1=0.0, recall_10=0.0, mean_reciprocal_rank=1 / 20, candidates=20)
    assert retrieval.scores(np.zeros((20, 20))) == pytest.approx(nothing)
    rounded = np.random.default_rng(0).integers(3, size=(12, 12)) / 2
    assert retrieval.scores(rounded) == pytest.approx(scores_loop(rounded))
    assert retrieval.scores(np.eye(3))['recall_1'] == 1.0


def test_candidates_that_are_as_right_are_left_out():
    similarities = np.array([[0.5, 0.5, 0.9], [0.4, 0.6, 0.1], [0.3, 0.2, 0.3]])
    assert retrieval.scores(similarities)['mean_reciprocal_rank'] == pytest.approx(
        (1 / 3 + 1 + 1 / 2) / 3
    )
    alike = np.eye(3, dtype=bool)  # as each is to itself
    alike[0, 1] = alike[2, 0] = True
    assert retrieval.scores(similarities, alike)['mean_reciprocal_rank'] == pytest.approx(
        (1 / 2 + 1 + 1) / 3
    )


def test_tfidf_is_its_equations():
    queries = ['the cat sat', 'a dog ran after the dog', 'zebra']
    candidates = ['cat and dog', 'the the the end', 'Ran away']
    known = ['the cat and the dog', 'away with the end']
    found = retrieval.tfidf_similarities(queries, candidates, known)

    def words(text):
        return [word for word in text.lower().split() if len(word) > 1]

    documents = [*map(words, [*known, *queries, *candidates])]

    def vector(text):
        weights = {}
        for word in words(text):
            holding = sum(word in document for document in documents)
            rarity = np.log((1 + len(documents)) / (1 + holding)) + 1
            weights[word] = (1 + np.log(words(text).count(word))) * rarity
        norm = np.sqrt(sum(weight**2 for weight in weights.values()))
        return {word: weight / norm for word, weight in weights.items()}

    for i, query in enumerate(queries):
        for j, candidate in enumerate(candidates):
            a, b = vector(query), vector(candidate)
            want = sum(a[word] * b[word] for word in a if word in b)
            assert found[i, j] == pytest.approx(want, abs=1e-12)
    assert found.shape == (3, 3)
    assert found[0, 0] > 0
    assert not found[2].any()
