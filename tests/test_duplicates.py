"""Duplicates: what counts as the same, and near ones against all pairs compared by brute force."""

import sys
import sysconfig
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse
from scipy.sparse.csgraph import connected_components

from nlp_models.data import duplicates
from nlp_models.data.duplicates import near_duplicates, shingles, signature
from nlp_models.data.pydoc_text import list_docstrings
from nlp_models.errors import InputError


@pytest.mark.parametrize(
    ('text', 'expected'),
    [
        ('Hello,  World!\n', 'hello world'),
        ('Page 12 of 345', 'page 00 of 000'),
        ('Café naïve Ünïcode', 'cafe naive unicode'),
        ('f(x) = `x` + 1 ≤ 2', 'fx x 0 0'),
        ('…—!', ''),
        ('汉字', '汉字'),
    ],
)
def test_what_texts_are_compared_by(text, expected):
    assert duplicates.normalized(text) == expected


def test_the_first_of_equal_documents_is_told():
    documents = ['One, two.', 'three', 'ONE TWO', '!', '?', 'Three!', 'one two 1', 'one two 2']
    assert duplicates.exact_duplicates(documents).tolist() == [0, 1, 0, 3, 4, 1, 6, 6]


def test_lines_that_stood_before_are_taken_out():
    line, other = 'This site uses cookies to work.', 'Something that nobody said before.'
    documents = [
        f'{line}\nNote:\n{other}',
        f'Note:\n{line.upper()}\nA text of its own, of some length.',
        line,
        f'A text of its own, of some length, too.\n\n{other}\nEnd.',
    ]
    assert duplicates.drop_repeated(documents) == [
        documents[0],
        'Note:\nA text of its own, of some length.',
        '',
        'A text of its own, of some length, too.\n\nEnd.',
    ]
    assert duplicates.drop_repeated(documents, shortest=4)[1:3] == [
        'A text of its own, of some length.',
        '',
    ]
    assert duplicates.drop_repeated(documents, shortest=100) == documents


def test_paragraphs_that_stood_before_are_taken_out():
    one, two = 'The first line of it.\nThe second line.', 'Something that nobody said before.'
    documents = [
        f'{one}\n\nNote:\n\n{two}',
        f'Note:\n\n{one.upper()}',
        f'{two}\nThe first line of it.',
    ]
    assert duplicates.drop_repeated(documents, 'paragraphs') == [
        documents[0],
        'Note:',
        documents[2],  # lines of it have stood before, but not the paragraph
    ]
    with pytest.raises(InputError, match="part is 'words': it must be one of lines, paragraphs"):
        duplicates.drop_repeated(documents, 'words')


def test_shingles_are_runs_of_words():
    assert shingles('A b, c d.', 2) == {'a b', 'b c', 'c d'}
    assert shingles('A b', 5) == {'a b'}
    assert shingles(' . ', 5) == frozenset()
    assert duplicates.jaccard(frozenset('abc'), frozenset('bcd')) == 0.5
    assert duplicates.jaccard(frozenset(), frozenset()) == 0


def test_clusters_are_connected_components():
    rng = np.random.default_rng(0)
    for count, edges in ((1, 0), (30, 0), (30, 12), (30, 25), (60, 200)):
        pairs = rng.integers(count, size=(edges, 2))
        found = duplicates.join(count, [(int(a), int(b)) for a, b in pairs])
        graph = scipy.sparse.coo_matrix(
            (np.ones(edges), (pairs[:, 0], pairs[:, 1])), shape=(count, count)
        )
        _, labels = connected_components(graph, directed=False)
        expected = [int(np.flatnonzero(labels == label)[0]) for label in labels]
        assert found.tolist() == expected


# MinHash, against published examples.


def test_signatures_agree_as_often_as_sets_are_alike():
    """The sets of Leskovec et al. 2020, example 3.6: S1 = ad, S2 = c, S3 = bde, S4 = acd."""
    sets = [frozenset(letters) for letters in ('ad', 'c', 'bde', 'acd')]
    published = {(0, 1): 0, (0, 2): 1 / 4, (0, 3): 2 / 3, (1, 2): 0, (1, 3): 1 / 3, (2, 3): 1 / 5}
    permutations = 4096
    made = [signature(sorted(letters), permutations) for letters in sets]
    for (a, b), similarity in published.items():
        assert duplicates.jaccard(sets[a], sets[b]) == pytest.approx(similarity)
        deviation = np.sqrt(similarity * (1 - similarity) / permutations)
        assert made[a].jaccard(made[b]) == pytest.approx(similarity, abs=4 * deviation + 1e-12)


@pytest.mark.parametrize(
    ('similarity', 'published'), [(0.2, 0.006), (0.4, 0.186), (0.5, 0.470), (0.6, 0.802)]
)
def test_candidates_are_as_likely_as_published(similarity, published):
    """The S-curve of Leskovec et al. 2020, figure 3.8, for 20 bands of 5 rows."""
    pairs, size = 400, 84  # words a document
    common = round(2 * size * similarity / (1 + similarity))
    union = 2 * size - common
    assert common / union == pytest.approx(similarity, abs=1e-12)
    documents = []
    for pair in range(pairs):
        words = [f'{"abcdefghij"[pair % 10]}{_letters(pair)}{_letters(i)}' for i in range(union)]
        documents += [' '.join(words[:size]), ' '.join(words[union - size :])]
    found = near_duplicates(
        documents, threshold=0.01, size=1, permutations=100, bands=(20, 5), seed=3
    )
    assert all(b == a + 1 and a % 2 == 0 for a, b, _ in found.pairs)
    deviation = np.sqrt(published * (1 - published) / pairs)
    assert len(found.pairs) / pairs == pytest.approx(published, abs=4 * deviation)


def _letters(number):
    return ''.join('qrstuvwxyz'[int(digit)] for digit in f'{number:03}')


# Real docstrings, against all pairs.


@pytest.fixture(scope='module')
def docstrings():
    files = list_docstrings(Path(sysconfig.get_paths()['stdlib']))
    return [text for _, texts in files for text in texts if len(text.split()) >= 10]


@pytest.fixture(scope='module')
def similarities(docstrings):
    """(i, j, Jaccard) of all pairs that share a shingle, by counting all they share."""
    numbers, rows, columns, sizes = {}, [], [], []
    for row, text in enumerate(docstrings):
        words = duplicates.normalized(text).split()
        runs = {tuple(words[i : i + 5]) for i in range(max(1, len(words) - 4))}
        sizes.append(len(runs))
        for run in runs:
            rows.append(row)
            columns.append(numbers.setdefault(run, len(numbers)))
    holds = scipy.sparse.csr_matrix((np.ones(len(rows), np.int64), (rows, columns)))
    shared = (holds @ holds.T).tocoo()
    upper = shared.row < shared.col
    a, b, both = shared.row[upper], shared.col[upper], shared.data[upper]
    size = np.array(sizes)
    return a, b, both / (size[a] + size[b] - both)


@pytest.mark.parametrize('threshold', [0.5, 0.8])
def test_near_duplicates_are_those_of_brute_force(docstrings, similarities, threshold):
    a, b, similarity = similarities
    near = similarity >= threshold
    expected = {
        (int(i), int(j)): s for i, j, s in zip(a[near], b[near], similarity[near], strict=True)
    }
    assert len(expected) > 200
    found = near_duplicates(docstrings, threshold=threshold)
    pairs = {(i, j): s for i, j, s in found.pairs}
    assert len(pairs) == len(found.pairs)
    assert set(pairs) <= set(expected)  # precision 1: candidates are compared in full
    assert all(pairs[pair] == pytest.approx(expected[pair]) for pair in pairs)
    assert len(pairs) >= 0.98 * len(expected)  # recall
    assert found.candidates < 0.001 * len(docstrings) ** 2 / 2
    assert found.first.tolist() == duplicates.join(len(docstrings), pairs).tolist()


def test_estimates_scatter_as_they_must(docstrings, similarities):
    a, b, similarity = similarities
    some = np.flatnonzero((similarity > 0.2) & (similarity < 1))[::3]
    assert len(some) > 100
    texts = {int(i) for i in np.concatenate([a[some], b[some]])}
    made = {i: signature(shingles(docstrings[i]), 128) for i in texts}
    pairs = zip(a[some].tolist(), b[some].tolist(), strict=True)
    estimates = np.array([made[i].jaccard(made[j]) for i, j in pairs])
    exact = similarity[some]
    scores = (estimates - exact) / np.sqrt(exact * (1 - exact) / 128)
    assert abs(scores.mean()) < 0.5
    assert 0.8 < scores.std() < 1.2


def test_chains_are_one_cluster_and_empty_texts_none():
    words = [f'w{_letters(i)}' for i in range(40)]
    documents = [' '.join(words[i : i + 30]) for i in (0, 5, 10)]
    found = near_duplicates([*documents, '', '', '!'], threshold=0.6, size=1)
    assert {pair[:2] for pair in found.pairs} == {(0, 1), (1, 2)}
    assert duplicates.jaccard(shingles(documents[0], 1), shingles(documents[2], 1)) < 0.6
    assert found.first.tolist() == [0, 0, 0, 3, 4, 5]


def test_mistakes_are_told(monkeypatch):
    for threshold in (0.0, 1.2):
        with pytest.raises(InputError, match=f'threshold is {threshold}'):
            near_duplicates(['a'], threshold=threshold)
    monkeypatch.setitem(sys.modules, 'datasketch', None)
    with pytest.raises(InputError, match=r'need the package datasketch: pip install'):
        near_duplicates(['a'])
