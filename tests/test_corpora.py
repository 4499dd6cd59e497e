"""Corpora of files: exactly their text, in three splits, or a line that says why not."""

import os
from pathlib import Path

import pytest

from nlp_models.data import text_files
from nlp_models.data.corpora import SPLITS, cache_folder, open_corpus
from nlp_models.errors import InputError
from tests.data_config import ordinary_user, settings


def texts_of(corpus):
    return [''.join(corpus.stream(split)) for split in SPLITS]


def cut_by_hand(raw, shares):
    """Splits bytes at the shares, each cut moved to the next byte that starts a character."""
    cuts = []
    for share in (shares[0], shares[0] + shares[1]):
        cut = int(len(raw) * share)
        while cut < len(raw) and 0x80 <= raw[cut] < 0xC0:
            cut += 1
        cuts.append(cut)
    return [raw[: cuts[0]], raw[cuts[0] : cuts[1]], raw[cuts[1] :]]


@pytest.mark.parametrize('chunk', [1, 2, 3, 7, 1 << 20])
@pytest.mark.parametrize('text', ['plain text ' * 9, 'é汉👩' * 31, '👩' * 11, 'a', 'ab\r\n\x00'])
def test_a_file_is_cut_by_bytes_between_characters(tmp_path, monkeypatch, chunk, text):
    monkeypatch.setattr(text_files, '_CHUNK', chunk)
    path = tmp_path / 'text.txt'
    path.write_bytes(text.encode())
    for shares in [(0.9, 0.05, 0.05), (0.5, 0.25, 0.25), (0.34, 0.33, 0.33), (1.0, 0.0, 0.0)]:
        corpus = open_corpus(settings(path=str(path), splits=shares))
        assert texts_of(corpus) == [part.decode() for part in cut_by_hand(text.encode(), shares)]
        assert texts_of(corpus) == texts_of(corpus)
    assert corpus.name == 'text.txt'
    # A share of 0 is nothing, though the others sum to a little less than 1.
    assert texts_of(open_corpus(settings(path=str(path), splits=(0.9, 0.0999999, 0.0))))[2] == ''


def test_a_folder_is_its_files_in_order_joined_by_a_blank_line(tmp_path):
    files = {
        'b.txt': 'second é',
        'a/z.md': 'first',
        'c/d/e': 'third 汉字\n',
        'c.txt': '\ufeffwith mark',
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding='utf-8')
    for name in ('.hidden', '.git/config', 'empty.txt'):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text('' if name == 'empty.txt' else 'not this', encoding='utf-8')
    joined = '\n\n'.join(files[name].removeprefix('\ufeff') for name in sorted(files))
    shares = (0.5, 0.3, 0.2)
    corpus = open_corpus(settings(path=str(tmp_path), splits=shares))
    assert texts_of(corpus) == [part.decode() for part in cut_by_hand(joined.encode(), shares)]
    # Wherever the cuts fall, in a separator too, nothing is lost and nothing is read twice.
    for percent in range(1, 100):
        corpus = open_corpus(
            settings(path=str(tmp_path), splits=(percent / 100, 0.0, 1 - percent / 100))
        )
        assert ''.join(texts_of(corpus)) == joined


def test_a_file_is_streamed_in_pieces_of_bounded_size(tmp_path):
    path = tmp_path / 'long.txt'
    path.write_text('汉字 and more\n' * 300_000, encoding='utf-8')  # 5.1 MB
    pieces = list(open_corpus(settings(path=str(path))).stream('train'))
    assert len(pieces) > 3
    assert max(len(piece.encode()) for piece in pieces) <= 4_000_000


@pytest.mark.parametrize('chunk', [1, 4, 1 << 20])
@pytest.mark.parametrize(
    ('raw', 'offset'),
    [
        (b'good \xff bad', 5),
        (b'\xef\xbb\xbfmarked \xc3(', 10),
        ('cut short é'.encode()[:-1], 10),
        ('cut short 👩'.encode()[:-1], 10),
        (b'\xff\xfeu\x00', 0),
        (b'abcdefgh' + b'\x80' * 8, 8),
    ],
)
def test_a_file_that_is_not_utf8_is_refused_with_the_place(
    tmp_path, monkeypatch, raw, offset, chunk
):
    monkeypatch.setattr(text_files, '_CHUNK', chunk)
    (tmp_path / 'a.txt').write_bytes(raw)
    (tmp_path / 'b.txt').write_text('fine')
    for path in (tmp_path / 'a.txt', tmp_path):
        with pytest.raises(InputError, match=rf"a\.txt' is not UTF-8 at byte {offset} "):
            texts_of(open_corpus(settings(path=str(path))))


def test_wrong_paths_are_told(tmp_path):
    with pytest.raises(InputError, match=r"path='.*nowhere' does not exist"):
        open_corpus(settings(path=str(tmp_path / 'nowhere')))
    with pytest.raises(InputError, match=r"path='.*' is empty"):
        open_corpus(settings(path=str(tmp_path)))
    for raw in (b'', b'\xef\xbb\xbf'):
        (tmp_path / 'nothing').write_bytes(raw)
        for path in (tmp_path, tmp_path / 'nothing'):
            with pytest.raises(InputError, match=r"path='.*' is empty"):
                open_corpus(settings(path=str(path)))
    os.mkfifo(tmp_path / 'pipe')
    with pytest.raises(InputError, match='neither a regular file nor a folder'):
        open_corpus(settings(path=str(tmp_path / 'pipe')))
    with pytest.raises(InputError, match="name='' and path=''"):
        open_corpus(settings(name=''))


def test_an_unreadable_file_is_told(tmp_path):
    path = tmp_path / 'secret.txt'
    path.write_text('secret')
    path.chmod(0)
    with ordinary_user(), pytest.raises(InputError, match=r'cannot be read: Permission denied'):
        open_corpus(settings(path=str(path)))


def test_a_file_that_shrinks_is_told(tmp_path):
    path = tmp_path / 'text.txt'
    path.write_text('long enough ' * 10)
    corpus = open_corpus(settings(path=str(path)))
    path.write_text('short')
    with pytest.raises(InputError, match='become shorter'):
        texts_of(corpus)


@pytest.mark.parametrize(
    'splits',
    [(0.9, 0.1), (0.0, 0.5, 0.5), (0.9, 0.2, -0.1), (0.5, 0.2, 0.2), ('a', 'b', 'c'),
     (float('nan'), 0.5, 0.5)],
)  # fmt: skip
def test_wrong_splits_are_told(tmp_path, splits):
    (tmp_path / 'text.txt').write_text('text')
    with pytest.raises(InputError, match='splits='):
        open_corpus(settings(path=str(tmp_path), splits=splits))


def test_the_cache_folder_has_three_sources(monkeypatch, tmp_path):
    monkeypatch.delenv('NLP_MODELS_CACHE', raising=False)
    assert cache_folder(settings()) == Path.home() / '.cache' / 'nlp_models'
    monkeypatch.setenv('NLP_MODELS_CACHE', str(tmp_path))
    assert cache_folder(settings()) == tmp_path
    assert cache_folder(settings(cache_dir='/elsewhere')) == Path('/elsewhere')
