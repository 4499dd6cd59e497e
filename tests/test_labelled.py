"""Labelled texts: where they come from, which split they are in, what their labels are."""

import hashlib
import json
import re
import sysconfig
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds
from ml_collections import ConfigDict

from nlp_models.data import docstring_packages as packages
from nlp_models.data import labelled, named_sets
from nlp_models.data.labelled import draw_balanced, load_labelled, make_labelled
from nlp_models.data.pydoc_text import list_docstrings
from nlp_models.data.records import Record, read_records
from nlp_models.data.tokenizers import learn_tokenizer
from nlp_models.errors import InputError

SPLITS = ('train', 'validation', 'test')


def settings(**changes):
    fields = {
        'labelled': '',
        'path': '',
        'name': '',
        'splits': (0.6, 0.2, 0.2),
        'text_field': 'text',
        'second_field': '',
        'label_field': 'label',
        'tfds_dir': '',
        'labels': (),
        'lower': False,
        'train_size': 0,
        'sample_seed': 0,
        'tokenizer': 'chars',
        'vocab_size': 300,
    }
    return ConfigDict({**fields, **changes})


def read(dataset, split):
    """What a split holds, as texts and labels, after checking that the tokens are theirs."""
    part = getattr(dataset, split)
    assert part.targets.dtype == np.int32
    columns = [part.texts]
    for ragged, texts in ((part.first, part.texts), (part.second, part.second_texts)):
        assert (ragged is None) == (texts is None)
        if ragged is not None:
            assert len(ragged.offsets) == len(part) + 1 == len(part.targets) + 1
            for row, text in enumerate(texts):
                ids = ragged.ids[ragged.offsets[row] : ragged.offsets[row + 1]]
                assert ids.tolist() == dataset.tokenizer.encode(text).tolist()
    if part.second_texts is not None:
        columns.append(part.second_texts)
    return list(zip(*columns, [dataset.labels[i] for i in part.targets], strict=True))


def write_json(path, records):
    path.write_text(''.join(json.dumps(record) + '\n' for record in records))
    return str(path)


def write_tabs(path, rows):
    path.write_text(''.join('\t'.join(row) + '\n' for row in rows), encoding='utf-8')
    return str(path)


ROWS = [(f'text {i % 70} é汉', 'abc'[i % 70 % 3]) for i in range(90)]


# Files.


def test_a_text_is_in_one_split_whatever_the_order(tmp_path):
    path = write_tabs(tmp_path / 'x.tsv', ROWS)
    dataset = load_labelled(settings(path=path))
    assert dataset.labels == ('a', 'b', 'c')
    assert (dataset.name, dataset.version) == ('x.tsv', f'{Path(path).stat().st_size} bytes')
    parts = {split: read(dataset, split) for split in SPLITS}
    assert sorted(row for part in parts.values() for row in part) == sorted(ROWS)
    texts = [{text for text, _ in part} for part in parts.values()]
    assert sum(map(len, texts)) == len(set.union(*texts)) == 70
    assert [len(part) for part in parts.values()] == pytest.approx([54, 18, 18], abs=2)
    other = load_labelled(settings(path=write_tabs(tmp_path / 'y.tsv', ROWS[::-1])))
    for split in SPLITS:
        assert sorted(read(other, split)) == sorted(parts[split])


def test_json_and_tabs_hold_the_same(tmp_path):
    rows = [(f'one {i}', f'two\t{i}', i % 12) for i in range(60)]
    as_json = write_json(
        tmp_path / 'x.jsonl', [{'a': a, 'b': b.replace('\t', ' '), 'n': n} for a, b, n in rows]
    )
    as_tabs = write_tabs(
        tmp_path / 'x.tsv', [(a, b.replace('\t', ' '), str(n)) for a, b, n in rows]
    )
    fields = {'text_field': 'a', 'second_field': 'b', 'label_field': 'n'}
    first = load_labelled(settings(path=as_json, **fields))
    second = load_labelled(settings(path=as_tabs))
    assert first.labels == second.labels == tuple(map(str, range(12)))  # by number, not '10' < '2'
    assert first.fingerprint == second.fingerprint
    assert [read(first, s) for s in SPLITS] == [read(second, s) for s in SPLITS]
    alone = load_labelled(settings(path=as_json, **{**fields, 'second_field': ''}))
    assert alone.train.second is None
    assert alone.fingerprint != first.fingerprint


def test_labels_are_sorted_as_numbers_only_if_all_are(tmp_path):
    rows = [(f't{i}', ('10', '-2', '7')[i % 3]) for i in range(30)]
    path = write_tabs(tmp_path / 'x.tsv', rows)
    assert load_labelled(settings(path=path)).labels == ('-2', '7', '10')
    path = write_tabs(tmp_path / 'x.tsv', [*rows, *((f'u{i}', '--3') for i in range(30))])
    assert load_labelled(settings(path=path)).labels == ('--3', '-2', '10', '7')


def test_labels_may_be_given_in_an_order(tmp_path):
    path = write_tabs(tmp_path / 'x.tsv', ROWS)
    given = load_labelled(settings(path=path, labels=('c', 'a', 'b', 'd')))
    plain = load_labelled(settings(path=path))
    assert given.labels == ('c', 'a', 'b', 'd')
    assert read(given, 'test') == read(plain, 'test')
    assert given.fingerprint != plain.fingerprint


def test_texts_may_be_turned_to_lower_case(tmp_path):
    rows = [(f'TEXT {i} Äß', 'Ab'[i % 2]) for i in range(30)] * 2
    rows = [(text.title() if i >= 30 else text, label) for i, (text, label) in enumerate(rows)]
    dataset = load_labelled(settings(path=write_tabs(tmp_path / 'x.tsv', rows), lower=True))
    assert dataset.labels == ('A', 'b')
    texts = [set(getattr(dataset, split).texts) for split in SPLITS]
    # What differs in case alone is one text, and stays together.
    assert sum(map(len, texts)) == len(set.union(*texts)) == 30
    assert all(text == text.lower() for text in set.union(*texts))


def test_a_vocabulary_is_learned_from_both_texts_of_the_training_split_or_given(tmp_path):
    rows = [(f'a{i}', f'b{i}', 'xy'[i % 2]) for i in range(40)]
    path = write_tabs(tmp_path / 'x.tsv', rows)
    dataset = load_labelled(settings(path=path, tokenizer='words'))
    words = {word for row in read(dataset, 'train') for word in row[:2]}
    assert dataset.tokenizer.vocab_size == len(words) + 1
    tokenizer = learn_tokenizer('bytes', [], 0)
    given = load_labelled(settings(path=path, tokenizer='not read'), tokenizer)
    assert given.tokenizer is tokenizer
    read(given, 'test')


def test_what_is_taken_is_as_if_made_of_the_taken_records():
    records = [Record(f'first {i}' + 'x' * i, f'second {i}', 'ab'[i % 2], '') for i in range(9)]
    tokenizer = learn_tokenizer('bytes', [], 0)
    whole = make_labelled(records, ('a', 'b'), tokenizer)
    for indices in ([], [3], [8, 0, 0, 5], np.arange(9)):
        taken = whole.take(indices)
        made = make_labelled([records[i] for i in indices], ('a', 'b'), tokenizer)
        assert taken.texts == made.texts
        assert (taken.second_texts or []) == (made.second_texts or [])
        np.testing.assert_array_equal(taken.targets, made.targets)
        np.testing.assert_array_equal(taken.first.ids, made.first.ids)
        np.testing.assert_array_equal(taken.first.offsets, made.first.offsets)
        assert taken.second is not None
        if len(taken):
            assert made.second is not None
            np.testing.assert_array_equal(taken.second.ids, made.second.ids)
            np.testing.assert_array_equal(taken.second.offsets, made.second.offsets)
    assert (
        make_labelled([r._replace(second='') for r in records], 'ab', tokenizer).take([1]).second
        is None
    )


# A smaller training split.


def test_a_draw_has_of_each_label_as_many_as_it_can():
    targets = np.repeat([0, 1, 2, 3], [50, 3, 20, 7])
    np.random.default_rng(0).shuffle(targets)
    for size in (0, 1, 3, 4, 12, 13, 29, 60, 80):
        drawn = draw_balanced(targets, size, seed=5)
        assert len(set(drawn.tolist())) == len(drawn) == size
        assert (np.diff(drawn) > 0).all()
        counts = np.bincount(targets[drawn], minlength=4)
        # Water filled into vessels of these sizes: who is not full is within one of the highest.
        for count, most in zip(counts, np.bincount(targets), strict=True):
            assert count == most or count >= counts.max() - 1


def test_draws_are_nested_and_their_seeds_differ():
    targets = np.arange(200) % 7
    small, large = (set(draw_balanced(targets, size, 3).tolist()) for size in (16, 90))
    assert small < large
    assert small == set(draw_balanced(targets, 16, 3).tolist())
    others = {tuple(draw_balanced(targets, 16, seed)) for seed in range(20)}
    assert len(others) == 20
    # 16 of 7 labels: which two labels have three is the seed's choice, too.
    assert len({tuple(np.bincount(targets[list(draw)])) for draw in others}) > 5
    chosen = Counter(i for seed in range(700) for i in draw_balanced(targets, 20, seed).tolist())
    assert len(chosen) == 200  # each is drawn 70 times of 700, sd 8
    assert all(30 < count < 110 for count in chosen.values())


def test_train_size_makes_the_training_split_smaller_and_nothing_else(tmp_path):
    path = write_tabs(tmp_path / 'x.tsv', ROWS)
    whole = load_labelled(settings(path=path))
    small = load_labelled(settings(path=path, train_size=9))
    assert Counter(label for _, label in read(small, 'train')) == {'a': 3, 'b': 3, 'c': 3}
    assert set(read(small, 'train')) <= set(read(whole, 'train'))
    for split in ('validation', 'test'):
        assert read(small, split) == read(whole, split)
    other = load_labelled(settings(path=path, train_size=9, sample_seed=1))
    assert read(other, 'train') != read(small, 'train')
    assert len({d.fingerprint for d in (whole, small, other)}) == 3
    count = len(whole.train)
    exact = load_labelled(settings(path=path, train_size=count))
    assert exact.fingerprint == whole.fingerprint
    with pytest.raises(InputError, match=f'train_size is {count + 1}: .* texts, {count}$'):
        load_labelled(settings(path=path, train_size=count + 1))


# What is wrong.


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (b'{"text": "a", "label": "x"}\n{"text": "b", "label"}\n', 'line 2 is not JSON .*"b"'),
        (b'{"text": "a", "label": "x"}\n\n', 'line 2 is not JSON'),
        (b'["a"]\n', 'line 1 is no JSON object'),
        (b'{"text": "a", "lable": "x"}\n', "line 1 has no field 'label': it has 'text', 'lable'"),
        (b'{}\n', "line 1 has no field 'text': it has none"),
        (b'{"text": 7, "label": "x"}\n', "line 1 has '7' in its field 'text': give a string$"),
        (b'{"text": "a", "label": 0.5}\n', "'0.5' in its field 'label': give a string or an int"),
        (b'{"text": "a", "label": true}\n', "'True' in its field 'label'"),
        (b'{"text": " ", "label": "x"}\n', 'line 1 has an empty text'),
        (b'{"text": "a", "label": ""}\n', 'line 1 has an empty label'),
        (b'{"text": "\\ud800", "label": "x"}\n', "line 1 has half a surrogate pair in .*'text'"),
        (b'{"text": "a\xff", "label": "x"}\n', 'line 1 is not UTF-8 at its byte 11'),
        (b'', 'is empty'),
    ],
)
def test_what_is_wrong_with_a_json_file_is_told(tmp_path, content, message):
    check_told(tmp_path / 'x.jsonl', content, message)


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (b'a\tx\nno tab here\n', "line 2 has no tabs in 'no tab here': give a text, a tab and"),
        (b'a\tb\tc\td\n', 'line 1 has 3 tabs'),
        (b'a\tx\nb\tc\tx\n', 'line 2 has 2 tabs where line 1 has 1'),
        (b'a\tb\tx\nb\tx\n', 'line 2 has 1 tab where line 1 has 2'),
        (b'a\tx\n\tx\n', 'line 2 has an empty text'),
        (b'a\tb\tx\na\t \tx\n', 'line 2 has an empty second text'),
        (b'a\tx\nb\t \n', 'line 2 has an empty label'),
        (b'a\tx\nb\xff\tx\n', 'line 2 is not UTF-8 at its byte 1'),
        (b'', 'is empty'),
    ],
)
def test_what_is_wrong_with_a_tab_separated_file_is_told(tmp_path, content, message):
    check_told(tmp_path / 'x.tsv', content, message)


def check_told(path, content, message):
    path.write_bytes(content)
    with pytest.raises(InputError, match=message) as told:
        load_labelled(settings(path=str(path)))
    assert str(path) in str(told.value)
    assert '\n' not in str(told.value)


def test_ends_of_lines_and_a_byte_order_mark_are_no_text(tmp_path):
    path = tmp_path / 'x.tsv'
    path.write_bytes(b'\xef\xbb\xbfa b\tc\r\n d \t e\xe2\x80\xa8f ')
    found = [record[:3] for record in read_records(path, 'text', '', 'label')]
    assert found == [('a b', '', 'c'), ('d', '', 'e\u2028f')]


def test_mistakes_are_told(tmp_path):
    path = write_tabs(tmp_path / 'x.tsv', ROWS)
    one = write_tabs(tmp_path / 'one.tsv', [(f't{i}', 'same') for i in range(9)])
    # The 31st text is the only one with its label; find where a hash puts it.
    rare = [(f't{i}', 'ab'[i % 2]) for i in range(30)]
    digests = sorted(range(30), key=lambda i: hashlib.sha256(f't{i}'.encode()).digest())
    rare[digests[-1]] = (f't{digests[-1]}', 'rare')
    held = write_tabs(tmp_path / 'rare.tsv', rare)
    for changes, message in (
        ({}, 'labelled, path and name are empty: give one of labelled .*docstring_packages'),
        ({'labelled': 'docstring_packages', 'path': path}, "path='.*': give one"),
        ({'labelled': 'reviews'}, "labelled='reviews' is unknown: choose one of docstring_pack"),
        ({'path': str(tmp_path / 'none')}, r'cannot be read \(No such file'),
        ({'path': str(tmp_path)}, r'cannot be read \(Is a directory'),
        ({'path': path, 'splits': (0.5, 0.6)}, 'splits='),
        ({'path': path, 'splits': (0.001, 0.999, 0.0)}, 'training split .* is empty'),
        ({'path': path, 'tokenizer': 'syllables'}, 'choose one of'),
        ({'path': path, 'train_size': -1}, 'train_size is -1'),
        ({'path': path, 'sample_seed': -1}, 'sample_seed is -1'),
        ({'path': path, 'labels': ('a', 'b')}, "line .* label 'c', which is not among .*: a, b$"),
        ({'path': path, 'labels': ('a', 'b', 'c', 'a')}, 'has a label twice'),
        ({'path': one}, "'one.tsv' has the label 'same' alone"),
        (
            {'path': held},
            rf"rare.tsv', line {digests[-1] + 1} is for test and has the label 'rare', which no "
            r'training text has \(a, b\)',
        ),
    ):
        with pytest.raises(InputError, match=message) as told:
            load_labelled(settings(**changes))
        assert '\n' not in str(told.value)
    with pytest.raises(InputError, match="the text ' ' has no token"):
        make_labelled([Record(' ', '', 'a', '')], ('a',), learn_tokenizer('words', ['a'], 0))
    with pytest.raises(InputError, match="somewhere has the label 'b'"):
        make_labelled([Record('x', '', 'b', 'somewhere')], ('a',), learn_tokenizer('bytes', [], 0))


def test_the_line_of_an_undefined_label_is_named(tmp_path):
    path = write_tabs(tmp_path / 'x.tsv', [*ROWS[:17], ('another', 'zebra'), *ROWS[17:]])
    with pytest.raises(InputError, match=r"x.tsv', line 18 has the label 'zebra'"):
        load_labelled(settings(path=path, labels=('a', 'b', 'c')))


# TFDS sets.


class SmallReviews(tfds.core.GeneratorBasedBuilder):
    """A set with classes, of which the test split does not tell all."""

    name = 'small_reviews'
    VERSION = tfds.core.Version('1.2.0')

    def _info(self):
        return tfds.core.DatasetInfo(
            builder=self,
            features=tfds.features.FeaturesDict(
                {
                    'text': tfds.features.Text(),
                    'title': tfds.features.Text(),
                    'label': tfds.features.ClassLabel(names=['neg', 'pos']),
                    'stars': tfds.features.Scalar(dtype=np.int64),
                    'score': tfds.features.Scalar(dtype=np.float32),
                }
            ),
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager):
        del dl_manager
        return {'train': self._generate_examples(20), 'test': self._generate_examples(7)}

    def _generate_examples(self, count):
        for i in range(count):
            label = -1 if count == 7 and i > 3 else i % 2
            text = {'text': f'text {i} é', 'title': f' title {i}', 'label': label}
            yield i, {**text, 'stars': i % 2 + 10, 'score': 0.5}


@pytest.fixture(scope='module')
def reviews(tmp_path_factory):
    folder = tmp_path_factory.mktemp('tfds')
    with named_sets.quiet_tfds():
        SmallReviews(data_dir=folder).download_and_prepare(file_format='array_record')
    return settings(name='small_reviews', tfds_dir=str(folder))


def test_a_named_set_is_read_with_its_classes_names(reviews):
    dataset = load_labelled(reviews)
    assert (dataset.name, dataset.version) == ('small_reviews', '1.2.0')
    assert dataset.labels == ('neg', 'pos')
    rows = [(f'text {i} é', ('neg', 'pos')[i % 2]) for i in range(20)]
    assert read(dataset, 'train') + read(dataset, 'validation') == rows
    assert len(dataset.validation) == 4  # a fifth, cut from the end
    assert read(dataset, 'test') == rows[:4]  # without those that have no class


def test_a_named_set_of_pairs_and_of_whole_numbers(reviews):
    dataset = load_labelled(
        ConfigDict({**reviews, 'second_field': 'title', 'label_field': 'stars'})
    )
    assert dataset.labels == ('10', '11')
    assert read(dataset, 'test') == [
        (f'text {i} é', f'title {i}', str(10 + i % 2)) for i in range(7)
    ]


@pytest.mark.parametrize('field', ['lable', 'score'])
def test_a_feature_that_is_no_label_is_told(reviews, field):
    with pytest.raises(InputError, match=f"'{field}' is no text, class or integer of 'small_rev"):
        load_labelled(ConfigDict({**reviews, 'label_field': field}))


# Packages of docstrings.


@pytest.fixture(scope='module')
def dealt():
    return packages.docstring_packages()


def test_packages_are_large_enough_and_in_every_split(dealt):
    assert tuple(dealt) == SPLITS
    counts = {split: Counter(label for _, label in dealt[split]) for split in SPLITS}
    assert len(counts['train']) >= 9
    assert set(counts['train']) == set(counts['validation']) == set(counts['test'])
    sizes = [sum(counts[split].values()) for split in SPLITS]
    for split, size in zip(SPLITS, sizes, strict=True):
        assert size / sum(sizes) == pytest.approx(packages.SHARES[split], abs=0.03)
        assert max(counts[split].values()) < 0.25 * size


def test_no_text_is_of_two_packages_or_splits_and_none_names_a_package(dealt):
    texts = [text for split in SPLITS for text, _ in dealt[split]]
    assert len(set(texts)) == len(texts)
    names = {label for split in SPLITS for _, label in dealt[split]}
    masked = 0
    for text in texts:
        assert len(text) >= packages.SHORTEST - 20  # names are longer than the placeholder at times
        words = {word.lower() for word in re.findall(r'[^\W_]+', text)}
        assert not words & names, text
        masked += packages.PLACEHOLDER in text
    assert 0.05 < masked / len(texts) < 0.2


def test_no_file_is_in_two_splits(dealt):
    """Told from the sources: every file's docstrings that are left lie in one split."""
    names = {label for _, label in dealt['train']}
    split_of = {text: (split, label) for split in SPLITS for text, label in dealt[split]}
    files, found = {}, 0
    for name, texts in list_docstrings(Path(sysconfig.get_paths()['stdlib'])):
        if name.split('/')[1] not in names:
            continue
        masked = packages.mask_names((' '.join(text.split()) for text in texts), names)
        mine = Counter(split_of[text] for text in set(masked) if text in split_of)
        # A text that two files of a package have is the first one's, and in that one's split.
        if mine:
            split, label = mine.most_common(1)[0][0]
            assert label == name.split('/')[1]
            files.setdefault((label, split), []).append(name)
            found += mine[split, label]
    assert found >= 0.98 * len(split_of)
    assert all(files.get((label, split)) for label in names for split in SPLITS)


@pytest.mark.parametrize(
    ('text', 'masked'),
    [
        ('Use xml.dom, XML and Xml_sax.', 'Use PACKAGE.dom, PACKAGE and PACKAGE_sax.'),
        ('XMLReader, xmlrpc, xml2 and axml stay', 'XMLReader, xmlrpc, xml2 and axml stay'),
        ('json (in "xml.json")', 'PACKAGE (in "PACKAGE.PACKAGE")'),
        ('éxml and xmlé stay', 'éxml and xmlé stay'),
    ],
)
def test_names_are_masked_as_words(text, masked):
    assert packages.mask_names([text], ['xml', 'json']) == [masked]


@pytest.mark.parametrize(
    ('sizes', 'expected'),
    [
        ([10] * 20, [12, 3, 5]),
        ([600, 100, 90, 80, 70, 60], [1, 2, 3]),
        ([1000, 1, 1], [1, 1, 1]),
        ([5, 5], [1, 0, 1]),
        ([7], [1, 0, 0]),
    ],
)
def test_files_go_where_they_are_lacking(sizes, expected):
    dealt = packages.deal_files({f'f{i:02}': size for i, size in enumerate(sizes)})
    counts = Counter(dealt.values())
    assert [counts[split] for split in SPLITS] == expected


def test_packages_of_a_folder(tmp_path):
    letters = 'abcdefghijklmnopqrstuvwxyz'

    def word(number):
        return letters[number // 26] * 3 + letters[number % 26] * 3

    def write(package, files, docstrings, start):
        (tmp_path / package).mkdir()
        for file in range(files):
            texts = [
                f'A text of the package {package} with a word {word(start + i)} of its own'
                for i in range(file, docstrings, files)
            ]
            texts += ['This very same text is in all the packages', f'Twice in {package}, ' * 3]
            code = ''.join(f'def f{i}():\n    """{text}"""\n' for i, text in enumerate(texts))
            (tmp_path / package / f'm{file}.py').write_text(code)

    write('one', files=5, docstrings=100, start=0)
    write('two', files=6, docstrings=120, start=100)
    write('few', files=4, docstrings=200, start=220)  # too few files
    write('tiny', files=9, docstrings=80, start=420)  # too few docstrings
    (tmp_path / 'module.py').write_text(f'"""{"A module is no package at all. " * 3}"""\n')
    splits = packages.docstring_packages(tmp_path)
    texts = {text: label for split in SPLITS for text, label in splits[split]}
    assert Counter(texts.values()) == {'one': 100, 'two': 120}
    assert f'A text of the package PACKAGE with a word {word(3)} of its own' in texts
    (tmp_path / 'two' / 'm0.py').unlink()
    (tmp_path / 'two' / 'm1.py').unlink()
    with pytest.raises(InputError, match="docstring_packages' needs two"):
        packages.docstring_packages(tmp_path)


def test_docstring_packages_are_a_dataset(dealt, monkeypatch):
    monkeypatch.setitem(labelled.LABELLED, 'docstring_packages', lambda: dealt)
    data = settings(labelled='docstring_packages', tokenizer='bpe', vocab_size=500)
    dataset = load_labelled(data)
    assert dataset.version.startswith('python3.')
    assert list(dataset.labels) == sorted({label for _, label in dealt['train']})
    for split in SPLITS:
        assert read(dataset, split) == dealt[split]
