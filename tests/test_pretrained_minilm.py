"""Real weights: all-MiniLM-L6-v2 on 200 sentences, beside Hugging Face's BertModel on torch."""

import functools
import importlib.util
from typing import Any

import jax
import numpy as np
import pytest

from nlp_models import models
from nlp_models.heads import pool
from nlp_models.pretrained.load import load
from nlp_models.pretrained.tokens import require_tokenizer
from tests.minilm import minilm
from tests.pretrained_folders import golden

torch_and_transformers = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ('torch', 'transformers')),
    reason='torch or transformers is not installed',
)


@functools.cache
def our_embeddings() -> np.ndarray:
    """Of the golden file's sentences, all in one batch, `[200, 384]`."""
    imported = load(minilm())
    tokenizer = require_tokenizer(imported.tokenizer, imported.folder)
    sentences = [str(sentence) for sentence in golden('minilm')['sentences']]
    ids = [tokenizer.frame(tokenizer.encode(sentence)) for sentence in sentences]
    lengths = np.array([len(row) for row in ids])
    tokens = np.full((len(ids), lengths.max()), tokenizer.special['pad'], np.int32)
    for row, sentence in zip(tokens, ids, strict=True):
        row[: len(sentence)] = sentence
    assert lengths.min() < 12  # much padding
    assert lengths.max() > 45

    size = imported.architecture.vocab_size
    model: Any = models.build(imported.model, vocab_size=size, max_length=512)
    sentences_say = imported.sentences
    assert sentences_say is not None

    @jax.jit
    def embed(params, tokens, lengths):
        y = model.encode(params, tokens, lengths=lengths)
        return pool(y, lengths, sentences_say.pooling, normalize=sentences_say.normalize)

    return np.asarray(embed(imported.params, tokens, lengths))


def cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Of each row of one with each of the other, in float64."""
    a, b = (x.astype(np.float64) for x in (a, b))
    return (a @ b.T) / np.linalg.norm(a, axis=1)[:, None] / np.linalg.norm(b, axis=1)


def neighbours(vectors: np.ndarray) -> np.ndarray:
    """The other rows in the order of their cosine with each row, the nearest first."""
    near = cosines(vectors, vectors)
    np.fill_diagonal(near, -np.inf)
    return np.argsort(-near, axis=1)[:, :-1]


def check_neighbours(ours: np.ndarray, theirs: np.ndarray) -> None:
    """Demand the same order of neighbours for each row."""
    order, same = neighbours(ours), neighbours(theirs)
    np.testing.assert_array_equal(order[:, :10], same[:, :10])
    # Far down, two cosines may differ by 4e-8, less than float32 can tell: their
    # order is either's. Everywhere else the order is identical.
    near = cosines(theirs, theirs)
    apart = np.abs(np.take_along_axis(near, order, 1) - np.take_along_axis(near, same, 1))
    assert apart.max() < 1e-7


def test_what_the_folder_says():
    imported = load(minilm())
    assert imported.sentences == ('mean', True, 256, False)
    assert imported.model.architecture == 'encoder'
    assert not imported.model.masked_head
    assert (imported.architecture.context, imported.architecture.vocab_size) == (512, 30522)
    assert sum(leaf.size for leaf in jax.tree.leaves(imported.params)) == 22_565_376


def test_embeddings_are_those_of_the_golden_file():
    theirs = golden('minilm')['embeddings']
    ours = our_embeddings()[::8][: len(theirs)]
    assert len(theirs) == 24
    assert np.diag(cosines(ours, theirs)).min() >= 0.99999
    np.testing.assert_allclose(np.linalg.norm(our_embeddings(), axis=1), 1, atol=1e-6)
    check_neighbours(ours, theirs)


@torch_and_transformers
@pytest.mark.filterwarnings('ignore')  # what the libraries say of each other
def test_embeddings_are_those_of_hugging_face():
    import torch  # pyright: ignore[reportMissingImports]
    import transformers  # pyright: ignore[reportMissingImports]

    folder, sentences = minilm(), golden('minilm')['sentences'].tolist()
    assert len(set(sentences)) == 200
    model = transformers.BertModel.from_pretrained(folder, attn_implementation='eager').eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    inputs = tokenizer(sentences, padding='longest', truncation=True, return_tensors='pt')
    with torch.no_grad():
        y = model(**inputs).last_hidden_state
    real = inputs['attention_mask'][..., None]
    theirs = torch.nn.functional.normalize((y * real).sum(1) / real.sum(1)).numpy()
    assert np.diag(cosines(our_embeddings(), theirs)).min() >= 0.99999
    check_neighbours(our_embeddings(), theirs)
