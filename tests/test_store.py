"""The token store: what lies on disk is the text, whoever wrote it and whatever went wrong."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from nlp_models.data import corpora, store
from nlp_models.data.store import load_dataset
from nlp_models.data.tokenizers import learn_tokenizer
from nlp_models.errors import InputError
from tests.data_config import ordinary_user, settings

TEXT = ''.join(f'line {i}: the quick brown fox, é汉👩\n' for i in range(400))


@pytest.fixture
def data(tmp_path):
    (tmp_path / 'text.txt').write_text(TEXT, encoding='utf-8')
    return settings(
        path=str(tmp_path / 'text.txt'), cache_dir=str(tmp_path / 'cache'), splits=(0.8, 0.1, 0.1)
    )


def folders(data):
    """All folders of tokens, half-made ones (whose names start with a dot) last."""
    found = Path(data.cache_dir, 'tokens').iterdir()
    return sorted(found, key=lambda path: (path.name.startswith('.'), path.name))


def split_texts(data):
    corpus = corpora.open_corpus(data)
    return [''.join(corpus.stream(split)) for split in corpora.SPLITS]


@pytest.mark.parametrize('block', [50, 1 << 20])
@pytest.mark.parametrize('kind', ['bytes', 'chars', 'bpe'])
def test_the_tokens_are_the_text(data, monkeypatch, kind, block):
    monkeypatch.setattr(store, '_BLOCK', block)
    data.tokenizer = kind
    dataset = load_dataset(data)
    train, validation, test = split_texts(data)
    assert train + validation + test == TEXT
    for ids, text in [
        (dataset.train, train),
        (dataset.validation, validation),
        (dataset.test, test),
    ]:
        assert isinstance(ids, np.memmap)
        assert ids.dtype == dataset.tokenizer.dtype
        assert dataset.tokenizer.decode(ids) == text
        assert dataset.tokenizer.characters[ids].sum() == len(text)
        with pytest.raises(ValueError, match='read-only'):
            ids[0] = 1
    if kind == 'bytes':
        assert dataset.train.tobytes() == train.encode()
    if kind == 'chars':  # learned from the training split alone
        assert dataset.tokenizer.vocab_size == len(set(train)) + 1


@pytest.mark.parametrize('chunk', [7, 60, 1 << 20])
@pytest.mark.parametrize('kind', ['words', 'bpe'])
def test_blocks_have_the_tokens_of_the_whole_text(data, monkeypatch, kind, chunk):
    text = TEXT.replace('fox', ' fox\t\n\n')
    Path(data.path).write_text(text, encoding='utf-8')
    monkeypatch.setattr(corpora.text_files, '_CHUNK', chunk)
    monkeypatch.setattr(store, '_BLOCK', 50)
    data.tokenizer = kind
    dataset = load_dataset(data)
    for ids, whole in zip(dataset[4:], split_texts(data), strict=True):
        assert ids.tolist() == dataset.tokenizer.encode(whole).tolist()


@pytest.mark.parametrize(
    'text', ['x' * 200, ' ' * 200, 'x' * 200 + ' ' * 200 + 'x', '', 'x y ' * 99]
)
def test_blocks_make_up_the_text(monkeypatch, text):
    monkeypatch.setattr(store, '_BLOCK', 50)
    for size in (1, 30, 1000):
        pieces = [text[i : i + size] for i in range(0, len(text), size)]
        blocks = list(store._blocks(pieces))
        assert ''.join(blocks) == text
        assert '' not in blocks


def test_a_given_tokenizer_is_used_and_has_its_own_folder(data):
    learned = load_dataset(data)
    given = [learn_tokenizer('chars', [text], 0) for text in (TEXT, TEXT + 'XYZ')]
    data.tokenizer = 'nothing that is read'
    for number, tokenizer in enumerate(given, 2):
        for _ in range(2):
            dataset = load_dataset(data, tokenizer)
            assert dataset.tokenizer is tokenizer
            assert ''.join(map(tokenizer.decode, dataset[4:])) == TEXT
            assert dataset.fingerprint == learned.fingerprint
        assert len(folders(data)) == number
    again = load_dataset(data, learn_tokenizer('chars', [TEXT], 0))
    assert len(folders(data)) == 3
    np.testing.assert_array_equal(again.test, load_dataset(data, given[0]).test)


def test_the_second_start_reads_what_the_first_wrote(data, monkeypatch):
    first = load_dataset(data)
    monkeypatch.setattr(store, '_build', lambda *args: pytest.fail('tokenized again'))
    second = load_dataset(data)
    assert second.fingerprint == first.fingerprint
    assert (second.name, second.version) == ('text.txt', f'{len(TEXT.encode())} bytes')
    np.testing.assert_array_equal(second.train, first.train)
    assert len(folders(data)) == 1
    meta = json.loads((folders(data)[0] / 'meta.json').read_text())
    assert meta['tokens']['train'] == len(first.train)
    assert meta['fingerprint'] == first.fingerprint


def test_the_fingerprint_is_of_the_text_and_its_splits(data, monkeypatch):
    digests = [hashlib.sha256(text.encode()).hexdigest() for text in split_texts(data)]
    expected = hashlib.sha256(''.join(digests).encode()).hexdigest()
    assert load_dataset(data).fingerprint == expected
    monkeypatch.setattr(corpora.text_files, '_CHUNK', 17)
    data.tokenizer = 'chars'
    assert load_dataset(data).fingerprint == expected
    data.splits = (0.5, 0.3, 0.2)
    assert load_dataset(data).fingerprint != expected
    data.splits = (0.8, 0.1, 0.1)
    path = Path(data.path)
    path.write_text(TEXT.replace('line 399', 'line 398'), encoding='utf-8')
    changed = load_dataset(data)
    assert changed.fingerprint != expected
    assert '398' in changed.tokenizer.decode(changed.test[-60:])


def test_each_tokenizer_and_setting_has_its_own_folder(data):
    load_dataset(data)
    data.vocab_size = 350
    load_dataset(data)  # bytes do not read it
    assert len(folders(data)) == 1
    data.tokenizer = 'bpe'
    larger = load_dataset(data)
    data.vocab_size = 300
    smaller = load_dataset(data)
    assert len(folders(data)) == 3
    assert (larger.tokenizer.vocab_size, smaller.tokenizer.vocab_size) == (350, 300)


def test_an_empty_split_has_length_zero(data):
    data.splits = (1.0, 0.0, 0.0)
    dataset = load_dataset(data)
    assert dataset.tokenizer.decode(dataset.train) == TEXT
    for ids in (dataset.validation, dataset.test):
        assert ids.shape == (0,)
        assert ids.dtype == np.uint8
        assert not ids.flags.writeable
    assert load_dataset(data).fingerprint == dataset.fingerprint


def damage_size(folder):
    with (folder / 'train.bin').open('ab') as file:
        file.write(b'more')


def damage_missing(folder):
    (folder / 'test.bin').unlink()


def damage_meta(folder):
    (folder / 'meta.json').write_text('{"files": ')


def damage_tokenizer(folder):
    (folder / 'tokenizer.json').write_text('')


def damage_description(folder):
    (folder / 'meta.json').write_text('{"files": {}}')


@pytest.mark.parametrize(
    'damage',
    [damage_size, damage_missing, damage_meta, damage_tokenizer, damage_description],
)
def test_a_damaged_folder_is_made_again(data, damage):
    before = load_dataset(data)
    text = before.tokenizer.decode(before.train)
    (folder,) = folders(data)
    damage(folder)
    after = load_dataset(data)
    assert after.tokenizer.decode(after.train) == text
    assert len(after.test) == len(before.test)
    assert folders(data) == [folder]
    assert sorted(path.name for path in folder.iterdir()) == [
        'meta.json', 'test.bin', 'tokenizer.json', 'train.bin', 'validation.bin',
    ]  # fmt: skip


def test_who_loses_the_race_takes_the_winners_folder(data, monkeypatch):
    learn = store.learn_tokenizer
    winner = []

    def learn_slowly(*args):
        monkeypatch.setattr(store, 'learn_tokenizer', learn)
        load_dataset(data)  # another process, faster than this one
        winner.append((folders(data)[0] / 'train.bin').stat().st_ino)
        return learn(*args)

    monkeypatch.setattr(store, 'learn_tokenizer', learn_slowly)
    dataset = load_dataset(data)
    assert ''.join(map(dataset.tokenizer.decode, dataset[4:])) == TEXT
    (folder,) = folders(data)
    assert winner == [(folder / 'train.bin').stat().st_ino]


def test_a_failure_leaves_nothing_behind(data, monkeypatch):
    def fail(*args):
        raise InputError('no')

    monkeypatch.setattr(store, 'learn_tokenizer', fail)
    with pytest.raises(InputError, match='no'):
        load_dataset(data)
    assert folders(data) == []


def test_a_text_that_changes_meanwhile_is_refused(data, monkeypatch):
    learn = store.learn_tokenizer

    def learn_and_change(*args):
        Path(data.path).write_text(TEXT.replace('fox', 'dog'), encoding='utf-8')
        return learn(*args)

    monkeypatch.setattr(store, 'learn_tokenizer', learn_and_change)
    with pytest.raises(InputError, match='changed while it was read'):
        load_dataset(data)
    assert folders(data) == []


def test_mistakes_are_told(data, tmp_path):
    data.tokenizer = 'syllables'
    with pytest.raises(InputError, match='bytes, chars, words, bpe'):
        load_dataset(data)
    data.tokenizer = 'bytes'
    data.cache_dir = str(tmp_path / 'text.txt' / 'cache')  # below a file
    with pytest.raises(InputError, match=r'cannot be written .* set cache_dir'):
        load_dataset(data)
    with pytest.raises(InputError, match=r"name='pydoc' cannot be prepared .* set cache_dir"):
        load_dataset(settings(cache_dir=data.cache_dir))
    data.cache_dir = str(tmp_path)
    Path(data.path).write_text('x')
    data.splits = (0.5, 0.25, 0.25)
    with pytest.raises(InputError, match='training split'):
        load_dataset(data)


def test_a_cache_that_may_not_be_written_is_told_and_may_be_read(data, tmp_path):
    for folder in (tmp_path, *tmp_path.parents[:3]):  # pytest-xdist nests one deeper
        folder.chmod(folder.stat().st_mode | 0o055)
    Path(data.cache_dir).mkdir(mode=0o555)
    with ordinary_user(), pytest.raises(InputError, match='Permission denied; set cache_dir'):
        load_dataset(data)
    Path(data.cache_dir).chmod(0o755)
    expected = load_dataset(data)
    for folder in (Path(data.cache_dir), *folders(data)):
        folder.chmod(0o555)
    with ordinary_user():
        read = load_dataset(data)
    np.testing.assert_array_equal(read.train, expected.train)
