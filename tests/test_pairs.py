"""Pairs: where they come from, which split they are in, and whose tokens they get."""

import sysconfig
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from ml_collections import ConfigDict

from nlp_models.data import docstring_pairs, pairs, pydoc_text
from nlp_models.data.docstring_pairs import cut_in_half, docstring_halves
from nlp_models.data.pairs import DrawnPairs, held_out_pairs, load_pairs, make_pairs
from nlp_models.data.scan import scan_splits
from nlp_models.data.tokenizers import learn_tokenizer
from nlp_models.data.tsv import read_tsv, split_pairs
from nlp_models.errors import InputError

SPLITS = ('train', 'validation', 'test')


def settings(**changes):
    fields = {
        'pairs': '',
        'path': '',
        'splits': (0.8, 0.1, 0.1),
        'tokenizer': 'chars',
        'vocab_size': 300,
        'min_length': 1,
        'max_length': 8,
    }
    return ConfigDict({**fields, **changes})


def texts_of(pairs):
    return list(zip(pairs.source_texts, pairs.target_texts, strict=True))


def check_tokens(these, exact=True):
    """The ids of every pair are those of its texts."""
    for ragged, texts in ((these.source, these.source_texts), (these.target, these.target_texts)):
        assert len(ragged.offsets) == len(these) + 1
        assert ragged.offsets[0] == 0
        assert ragged.offsets[-1] == len(ragged.ids)
        assert ragged.ids.dtype == these.tokenizer.dtype
        np.testing.assert_array_equal(ragged.lengths, np.diff(ragged.offsets))
        for row in range(0, len(these), max(1, len(these) // 50)):
            ids = ragged.ids[ragged.offsets[row] : ragged.offsets[row + 1]]
            assert ids.tolist() == these.tokenizer.encode(texts[row]).tolist()
            assert these.tokenizer.decode(ids) == texts[row] or not exact


# Files.


@pytest.fixture
def file(tmp_path):
    path = tmp_path / 'pairs.tsv'
    lines = [f'source {i % 90}\ttarget {i} é汉' for i in range(100)]
    path.write_text('\n'.join(lines) + '\n', encoding='utf-8')
    return path


@pytest.mark.parametrize('kind', ['bytes', 'chars', 'words', 'bpe'])
def test_a_file_becomes_pairs(file, kind):
    dataset = load_pairs(settings(path=str(file), tokenizer=kind))
    assert (dataset.name, dataset.version) == ('pairs.tsv', f'{file.stat().st_size} bytes')
    assert dataset.tokenizer.name == kind
    found = []
    for split, size in zip(SPLITS, (80, 10, 10), strict=True):
        part = getattr(dataset, split)
        assert abs(len(part) - size) <= 2
        # A validation text may have a word or letter that the training split lacks.
        check_tokens(part, exact=kind in ('bytes', 'bpe') or split == 'train')
        assert part.tokenizer is dataset.tokenizer
        found += texts_of(part)
    assert sorted(found) == sorted((f'source {i % 90}', f'target {i} é汉') for i in range(100))


def test_one_vocabulary_is_learned_on_both_sides_of_the_training_split(file):
    dataset = load_pairs(settings(path=str(file), tokenizer='words'))
    assert isinstance(dataset.train, pairs.Pairs)
    words = {w for pair in texts_of(dataset.train) for text in pair for w in text.split()}
    assert dataset.tokenizer.vocab_size == len(words) + 1
    assert not {w for t in dataset.test.target_texts for w in t.split()} <= words
    vocab = dataset.tokenizer.vocab_size
    assert pairs.begin_id(dataset.tokenizer) == vocab
    assert pairs.end_id(dataset.tokenizer) == vocab + 1
    assert pairs.pair_vocab_size(dataset.tokenizer) == vocab + 2


def test_a_given_tokenizer_is_used(file):
    tokenizer = learn_tokenizer('bytes', [], 0)
    dataset = load_pairs(settings(path=str(file), tokenizer='not read'), tokenizer)
    assert dataset.tokenizer is tokenizer
    check_tokens(dataset.test)


def test_a_source_is_in_one_split_whatever_the_order():
    many = [(f's{i % 40}', f't{i}') for i in range(400)]
    splits = split_pairs(many, (0.5, 0.25, 0.25))
    sources = [{source for source, _ in splits[split]} for split in SPLITS]
    assert sum(map(len, sources)) == len(set.union(*sources)) == 40
    assert sorted(pair for part in splits.values() for pair in part) == sorted(many)
    assert [len(splits[split]) for split in SPLITS] == [200, 100, 100]
    for part in splits.values():
        assert part == [pair for pair in many if pair in set(part)]  # the file's order
    other = split_pairs(many[::-1], (0.5, 0.25, 0.25))
    assert {k: sorted(v) for k, v in other.items()} == {k: sorted(v) for k, v in splits.items()}


@pytest.mark.parametrize('shares', [(1.0, 0.0, 0.0), (0.3, 0.7, 0.0), (0.05, 0.05, 0.9)])
@pytest.mark.parametrize('distinct', [1, 2, 7, 20])
def test_every_pair_is_in_one_split(shares, distinct):
    many = [(f's{i % distinct}', f't{i}') for i in range(20)]
    splits = split_pairs(many, shares)
    assert sorted(pair for part in splits.values() for pair in part) == sorted(many)
    sources = [{source for source, _ in splits[split]} for split in SPLITS]
    assert sum(map(len, sources)) == distinct
    for share, split in zip(shares, SPLITS, strict=True):
        assert abs(len(splits[split]) - 20 * share) <= 20 / distinct


def test_the_fingerprint_is_of_the_pairs_and_their_splits(file):
    def fingerprint(**changes):
        return load_pairs(settings(path=str(file), **changes)).fingerprint

    first = fingerprint()
    assert len(first) == 64
    assert fingerprint(tokenizer='words') == first
    assert fingerprint(splits=(0.7, 0.2, 0.1)) != first
    text = file.read_text(encoding='utf-8')
    file.write_text(text.replace('\n', '\r\n'), encoding='utf-8')
    assert fingerprint() == first
    file.write_text(text.replace('target 7 ', 'target 8 '), encoding='utf-8')
    assert fingerprint() != first


def test_ends_of_lines_and_a_byte_order_mark_are_no_text(tmp_path):
    path = tmp_path / 'pairs.tsv'
    path.write_bytes(b'\xef\xbb\xbfa b\tc\r\n d \t e\xe2\x80\xa8f ')
    assert read_tsv(path) == [('a b', 'c'), ('d', 'e\u2028f')]


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (b'a\tb\nno tab here\n', "line 2 has no tabs in 'no tab here'"),
        (b'a\tb\tc\n', r"line 1 has 2 tabs in 'a\\tb\\tc'"),
        (b'a\tb\n\nc\td\n', "line 2 has no tabs in ''"),
        (b'a\tb\nc\t \n', r"line 2 has an empty target: 'c\\t '"),
        (b'\tb\n', 'line 1 has an empty source'),
        (b'a\tb\nc\td\xff\n', 'line 2 is not UTF-8 at its byte 3'),
        (b'x' * 100, r"line 1 has no tabs in 'x{57}\.\.\.'"),
        (b'', 'is empty'),
        (b'\n', 'line 1 has no tabs'),
    ],
)
def test_what_is_wrong_with_a_file_is_told(tmp_path, content, message):
    path = tmp_path / 'pairs.tsv'
    path.write_bytes(content)
    with pytest.raises(InputError, match=message) as told:
        load_pairs(settings(path=str(path)))
    assert str(path) in str(told.value)
    assert '\n' not in str(told.value)


def test_mistakes_are_told(tmp_path, file):
    for changes, message in (
        ({'pairs': 'anagrams'}, r"pairs='anagrams' is unknown: .*reverse, sort, scan_simple"),
        ({}, "pairs='' is unknown: .* give a path"),
        ({'pairs': 'sort', 'path': str(file)}, 'give one of them'),
        ({'path': str(tmp_path / 'none')}, r'cannot be read \(No such file'),
        ({'path': str(tmp_path)}, r'cannot be read \(Is a directory'),
        ({'path': str(file), 'splits': (0.5, 0.6)}, 'splits='),
        ({'path': str(file), 'splits': (0.001, 0.999, 0.0)}, 'training split .* is empty'),
        ({'path': str(file), 'tokenizer': 'syllables'}, 'choose one of'),
        ({'pairs': 'sort', 'tokenizer': 'bpe'}, 'tokenizer is .bpe.: it must be chars or bytes'),
        ({'pairs': 'sort', 'min_length': 0}, 'min_length is 0'),
        ({'pairs': 'sort', 'min_length': 9}, 'max_length is 8'),
    ):
        with pytest.raises(InputError, match=message):
            load_pairs(settings(**changes))
    with pytest.raises(InputError, match="the target ' ' has no token"):
        make_pairs([('a', 'b'), ('a', ' ')], learn_tokenizer('words', ['a b'], 0))


# Procedural strings and SCAN.


@pytest.mark.parametrize(('kind', 'vocab'), [('chars', 27), ('bytes', 256)])
@pytest.mark.parametrize('rule', ['reverse', 'sort'])
def test_procedural_pairs_are_drawn_for_training_and_held_out_for_the_rest(rule, kind, vocab):
    dataset = load_pairs(settings(pairs=rule, tokenizer=kind))
    assert isinstance(dataset.train, DrawnPairs)
    assert (dataset.train.rule, dataset.name) == (rule, rule)
    assert dataset.tokenizer.vocab_size == vocab
    for part in (dataset.validation, dataset.test):
        assert len(part) == 1000
        check_tokens(part)
        for source, target in texts_of(part):
            assert target == (source[::-1] if rule == 'reverse' else ''.join(sorted(source)))
        assert {len(source) for source in part.source_texts} == set(range(1, 9))
    assert set(dataset.validation.source_texts).isdisjoint(dataset.test.source_texts)


def test_held_out_pairs_may_be_of_any_length():
    dataset = load_pairs(settings(pairs='reverse'))
    assert isinstance(dataset.train, DrawnPairs)
    part = held_out_pairs(dataset.train, 'test', number=50, min_length=100, max_length=100)
    check_tokens(part)
    assert set(part.source.lengths.tolist()) == {100}
    assert all(target == source[::-1] for source, target in texts_of(part))


def test_the_fingerprint_of_drawn_pairs_is_of_what_they_are_drawn_by():
    variants = [{}, {'pairs': 'sort'}, {'max_length': 9}, {'min_length': 2}]
    prints = {load_pairs(settings(**{'pairs': 'reverse', **v})).fingerprint for v in variants}
    assert len(prints) == 4
    assert load_pairs(settings(pairs='reverse', tokenizer='bytes')).fingerprint in prints


@pytest.mark.parametrize('name', ['simple', 'length', 'add_jump'])
def test_scan_pairs_are_scans(name):
    dataset = load_pairs(settings(pairs=f'scan_{name}', tokenizer='words'))
    assert dataset.tokenizer.vocab_size == 1 + 13 + 6  # unknown, words and actions
    for split, examples in scan_splits(name).items():
        part = getattr(dataset, split)
        assert texts_of(part) == examples
        check_tokens(part)


# Halves of docstrings.


@pytest.fixture(scope='module')
def halves():
    return docstring_halves()


def test_every_half_belongs_to_one_docstring(halves):
    assert tuple(halves) == SPLITS
    assert [len(halves[split]) > low for split, low in zip(SPLITS, (2500, 100, 100), strict=True)]
    counts = Counter(half for part in halves.values() for pair in part for half in pair)
    assert set(counts.values()) == {1}
    for part in halves.values():
        for pair in part:
            length = len(' '.join(pair))
            assert length >= docstring_pairs.SHORTEST
            assert all(half == ' '.join(half.split()) for half in pair)
            assert min(map(len, pair)) > 0.15 * length


def test_a_docstring_is_where_its_file_is_in_pydoc(halves):
    documents = pydoc_text.split_documents(pydoc_text.read_documents())
    squeezed = {split: [' '.join(text.split()) for _, text in documents[split]] for split in SPLITS}
    for split in ('validation', 'test'):
        text = ' '.join(squeezed[split])
        for first, second in halves[split]:
            assert f'{first} {second}' in text
    text = ' '.join(squeezed['train'])
    for first, second in halves['train'][::40]:
        assert f'{first} {second}' in text


def test_a_folder_of_sources(tmp_path):
    long = 'The first sentence is about as long as the other. The other one is as long as it is.'
    table = '|'.join(str(i) for i in range(100))
    same = long.replace('The other one', 'That one')
    for name, text in (('a', long), ('b', long), ('c', 'Too short.'), ('d', table), ('e', same)):
        (tmp_path / f'{name}.py').write_text(f'"""{text}"""\n')
    found = [pair for part in docstring_halves(tmp_path).values() for pair in part]
    assert found == [(long[:49], long[50:])]  # not again, nor the other that begins alike


@pytest.mark.parametrize(
    ('text', 'first'),
    [
        ('One two three. Four five six.', 'One two three.'),
        ('One two three four. Five (six seven!) eight nine ten.', 'One two three four.'),
        ('One. Two three four five six\nseven eight nine ten', 'One. Two three four five six'),
        ('one two three four\n\nfive six seven eight', 'one two three four'),
        ('one two three four five six seven', 'one two three four'),
        ('one\ntwo three four five six seven', 'one two three four'),
        ('version 3.14 of e.g.this has one two', 'version 3.14 of'),
        ('It says "so it is." And it was so it is.', 'It says "so it is."'),
    ],
)
def test_a_text_is_cut_where_something_ends(text, first):
    assert cut_in_half(text) == (first, ' '.join(text.split())[len(first) + 1 :])


def test_docstring_halves_are_a_dataset(halves, monkeypatch):
    monkeypatch.setattr(pairs, 'docstring_halves', lambda: halves)
    dataset = load_pairs(settings(pairs='docstring_halves', tokenizer='bpe', vocab_size=500))
    for split in SPLITS:
        assert texts_of(getattr(dataset, split)) == halves[split]
        check_tokens(getattr(dataset, split))
    assert dataset.version.startswith('python3.')


def test_the_standard_library_is_the_default(monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr(docstring_pairs, 'list_docstrings', lambda root: asked.append(root) or [])
    docstring_halves()
    assert asked == [Path(sysconfig.get_paths()['stdlib'])]
