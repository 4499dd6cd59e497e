"""Corpora: files and TFDS sets give exactly their text, in three splits, or say why not."""

import ast
import contextlib
import hashlib
import http.server
import inspect
import json
import os
import textwrap
import threading
import time
from pathlib import Path

import pytest
import tensorflow_datasets as tfds
from ml_collections import ConfigDict
from tensorflow_datasets.core.download import checksums

from nlp_models.data import named_sets, pydoc_text, reachability, text_files
from nlp_models.data.corpora import SPLITS, cache_folder, open_corpus
from nlp_models.errors import InputError


def settings(**changes):
    """The `data` group of a config."""
    fields = {
        'name': 'pydoc',
        'path': '',
        'splits': (0.9, 0.05, 0.05),
        'text_feature': 'text',
        'tfds_dir': '',
        'cache_dir': '',
        'tokenizer': 'bytes',
        'vocab_size': 300,
    }
    return ConfigDict({**fields, **{key: changes[key] for key in changes}})


def texts_of(corpus):
    return [''.join(corpus.stream(split)) for split in SPLITS]


# ---- text files -----------------------------------------------------------------------------


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


@contextlib.contextmanager
def ordinary_user():
    """Takes the superuser's right to read everything away."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


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


# ---- the text of the running Python ---------------------------------------------------------


def test_docstrings_are_gathered_in_source_order(tmp_path):
    (tmp_path / 'b.py').write_text(
        textwrap.dedent('''
            """Module."""
            if True:
                def first():
                    """First,

                        indented.
                    """
                    class Inner:
                        "Inner."
            @decorated
            class Second:
                async def method(self): "Method."
                x = "no docstring"
            def silent(): pass
            def blank(): "  "
            def last(): "Last \\ud800."
        ''')
    )
    (tmp_path / 'a').mkdir()
    (tmp_path / 'a' / 'm.py').write_text('"Alone. \\d"', encoding='utf-8')
    for folder in ('test', 'tests', 'idle_test', 'site-packages', '__pycache__', 'lib2to3/tests'):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / 'm.py').write_text('"Not this."')
    (tmp_path / 'latin.py').write_bytes('# coding: latin-1\n"é"'.encode('latin-1'))
    (tmp_path / 'broken.py').write_text('"Broken."\ndef (')
    (tmp_path / 'code.py').write_text('x = 1')
    assert pydoc_text.read_docstrings(tmp_path) == [
        ('Lib/a/m.py', 'Alone. \\d'),
        ('Lib/b.py', 'Module.\n\nFirst,\n\n    indented.\n\nInner.\n\nMethod.\n\nLast ?.'),
    ]


def test_the_documents_of_this_python_are_its_help_and_its_docstrings():
    topics = __import__('pydoc_data.topics').topics.topics
    documents = pydoc_text.read_documents()
    texts = dict(documents)
    assert len(texts) == len(documents)
    assert {name for name in texts if name.startswith('topics/')} == {f'topics/{t}' for t in topics}
    assert texts['topics/if'] == topics['if'].strip()
    for part in (textwrap, textwrap.TextWrapper, textwrap.TextWrapper.wrap, textwrap.dedent):
        assert inspect.getdoc(part) in texts['Lib/textwrap.py']
    number = sum(
        bool(ast.get_docstring(node))
        for node in ast.walk(ast.parse(inspect.getsource(contextlib)))
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
    )
    assert number > 20
    assert texts['Lib/contextlib.py'].count('\n\n') >= number - 1
    assert sum(map(len, texts.values())) > 1_000_000
    assert not [name for name in texts if 'site-packages' in name or '/test/' in name]


def test_a_python_without_its_text_is_told(tmp_path, monkeypatch):
    with pytest.raises(InputError, match="standard library's sources"):
        pydoc_text.read_docstrings(tmp_path)
    monkeypatch.setitem(__import__('sys').modules, 'pydoc_data.topics', None)
    with pytest.raises(InputError, match=r'pydoc_data\.topics'):
        pydoc_text.read_topics()


def test_documents_are_dealt_out_by_name_and_length():
    documents = [(f'document {i}', 'x' * (i % 7 + 1)) for i in range(200)]
    splits = pydoc_text.split_documents(documents)
    ordered = sorted(documents, key=lambda d: hashlib.sha256(d[0].encode()).hexdigest())
    assert [d for split in SPLITS for d in splits[split]] == ordered
    assert pydoc_text.split_documents(documents[::-1]) == splits
    total = sum(len(text) for _, text in documents)
    sizes = [sum(len(text) for _, text in splits[split]) for split in SPLITS]
    for size, share in zip(sizes, (0.9, 0.05, 0.05), strict=True):
        assert abs(size - share * total) <= 7


@pytest.fixture(scope='module')
def cache(tmp_path_factory):
    return str(tmp_path_factory.mktemp('cache'))


def test_pydoc_is_prepared_once_and_holds_the_documents(cache, capfd):
    corpus = open_corpus(settings(cache_dir=cache))
    assert corpus.name.startswith('pydoc/python3.')
    splits = pydoc_text.split_documents(pydoc_text.read_documents())
    for split in SPLITS:
        assert list(corpus.stream(split)) == [text + '\n\n' for _, text in splits[split]]
    folder = Path(cache, 'tfds', *corpus.name.split('/'), corpus.version)
    made = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert made
    again = open_corpus(settings(tfds_dir=f'{cache}/tfds', cache_dir='/nowhere'))
    assert texts_of(again) == texts_of(corpus)
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == made
    assert [path.name for path in Path(cache, 'tfds').iterdir()] == ['pydoc']
    assert capfd.readouterr() == ('', '')


# ---- other TFDS sets ------------------------------------------------------------------------


class SmallTalk(tfds.core.GeneratorBasedBuilder):
    """A set with a train split alone, whose text is downloaded from `url_infos`."""

    name = 'small_talk'
    VERSION = tfds.core.Version('2.3.4')
    pkg_dir_path = Path(__file__).parent
    url_infos = None

    def _info(self):
        return tfds.core.DatasetInfo(
            builder=self,
            features=tfds.features.FeaturesDict(
                {'text': tfds.features.Text(), 'number': tfds.features.Scalar(dtype='int64')}
            ),
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager):
        texts = [f'talk {i} é' for i in range(40)]
        if self.url_infos:
            texts = Path(dl_manager.download(next(iter(self.url_infos)))).read_text().splitlines()
        return {'train': self._generate_examples(texts)}

    def _generate_examples(self, texts):
        for i, text in enumerate(texts):
            yield i, {'text': text, 'number': i}


@pytest.fixture(scope='module')
def small_talk(tmp_path_factory):
    folder = tmp_path_factory.mktemp('tfds')
    with named_sets.quiet_tfds():
        SmallTalk(data_dir=folder).download_and_prepare(file_format='array_record')
    return str(folder)


def test_missing_splits_are_cut_from_the_end_of_train(small_talk):
    data = settings(name='small_talk', tfds_dir=small_talk, splits=(0.7, 0.1, 0.2))
    corpus = open_corpus(data)
    assert (corpus.name, corpus.version) == ('small_talk', '2.3.4')
    documents = [f'talk {i} é\n\n' for i in range(40)]
    assert list(corpus.stream('train')) == documents[:28]
    assert list(corpus.stream('validation')) == documents[28:32]
    assert list(corpus.stream('test')) == documents[32:]


def test_only_the_missing_split_is_cut():
    own, train = ['own'], list(range(20))
    cut = named_sets._cut({'train': train, 'validation': own}, (0.8, 0.1, 0.1))
    assert {split: [source[i] for i in which] for split, (source, which) in cut.items()} == {
        'train': list(range(18)),
        'validation': ['own'],
        'test': [18, 19],
    }


def test_wrong_features_are_told_with_the_right_ones(small_talk):
    for feature in ('txt', 'number'):
        data = settings(name='small_talk', tfds_dir=small_talk, text_feature=feature)
        with pytest.raises(
            InputError, match=rf"text_feature='{feature}' .* has text \(all.*number"
        ):
            open_corpus(data)


def test_a_set_in_another_format_is_told(small_talk, tmp_path):
    folder = tmp_path / 'small_talk' / '2.3.4'
    folder.mkdir(parents=True)
    for path in Path(small_talk, 'small_talk', '2.3.4').glob('*.json'):
        (folder / path.name).write_text(path.read_text().replace('array_record', 'tfrecord'))
    with pytest.raises(InputError, match=r'cannot be read from there .* prepare it again with'):
        open_corpus(settings(name='small_talk', tfds_dir=str(tmp_path)))


def test_an_unknown_name_is_told_with_close_ones(tmp_path):
    for name, close in [('lm1c', 'lm1b'), ('pydocs', 'pydoc'), ('wiki40', 'wiki40b')]:
        with pytest.raises(InputError, match=rf"name='{name}' is no set .*close names: {close}"):
            open_corpus(settings(name=name, tfds_dir=str(tmp_path)))
    with pytest.raises(InputError, match="name='lm1b/no_such' cannot be opened"):
        open_corpus(settings(name='lm1b/no_such', tfds_dir=str(tmp_path)))


def test_a_mocked_set_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(named_sets, 'unreachable_hosts', lambda urls: pytest.fail('asked'))
    with tfds.testing.mock_data(num_examples=3):
        corpus = open_corpus(settings(name='tiny_shakespeare', tfds_dir=str(tmp_path)))
        documents = list(corpus.stream('train'))
    assert len(documents) == 3
    assert all(set(document[:-2]) <= set(' abcdefghij') for document in documents)
    assert all(document.endswith('\n\n') and len(document) > 10 for document in documents)


def test_an_unreachable_set_fails_soon_and_says_what_to_do(tmp_path, monkeypatch):
    # Nobody listens at the host that the set's record of downloads is made to name.
    monkeypatch.setattr(named_sets, '_download_urls', lambda builder: ['http://127.0.0.1:9/x.gz'])
    begin = time.monotonic()
    with pytest.raises(InputError) as caught:
        open_corpus(settings(name='lm1b', tfds_dir=str(tmp_path)))
    assert time.monotonic() - begin < 15
    message = str(caught.value)
    assert '\n' not in message
    assert '127.0.0.1:9 cannot be reached' in message
    command = message.split('python -c "')[1].split('"')[0]
    # The command is Python, and calls what exists on the builder it names.
    call = ast.parse(command).body[1].value
    assert isinstance(call, ast.Call)
    builder = eval(ast.unparse(call.func.value), {'tfds': tfds})
    assert (builder.name, Path(builder.data_dir_root)) == ('lm1b', tmp_path)
    inspect.signature(builder.download_and_prepare).bind(
        **{word.arg: ast.literal_eval(word.value) for word in call.keywords}
    )


def test_the_hosts_of_a_real_set_are_on_record():
    builder = tfds.builder('lm1b')
    assert [url.split('/')[2] for url in named_sets._download_urls(builder)] == ['www.statmt.org']


class Server(http.server.BaseHTTPRequestHandler):
    """Answers with a few lines, and knows no HEAD."""

    def do_GET(self):
        body = b'one\ntwo\nthree\nfour\n'
        self.send_response(200)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        del args


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv('no_proxy', '127.0.0.1')
    with http.server.ThreadingHTTPServer(('127.0.0.1', 0), Server) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f'http://127.0.0.1:{running.server_port}'
        running.shutdown()


def test_a_reachable_set_is_downloaded_and_prepared(server, tmp_path, monkeypatch, capfd):
    body = b'one\ntwo\nthree\nfour\n'
    info = checksums.UrlInfo(
        size=tfds.core.utils.Size(len(body)),
        checksum=hashlib.sha256(body).hexdigest(),
        filename='talk.txt',
    )
    monkeypatch.setattr(SmallTalk, 'url_infos', {f'{server}/talk.txt': info})
    data = settings(name='small_talk', tfds_dir=str(tmp_path), splits=(0.5, 0.25, 0.25))
    assert texts_of(open_corpus(data)) == ['one\n\ntwo\n\n', 'three\n\n', 'four\n\n']
    assert capfd.readouterr() == ('', '')
    info_file = tmp_path / 'small_talk' / '2.3.4' / 'dataset_info.json'
    assert json.loads(info_file.read_text())['fileFormat'] == 'array_record'


def test_a_host_counts_as_reached_whatever_it_answers(server):
    closed = 'http://127.0.0.1:9/file'
    assert reachability.unreachable_hosts([f'{server}/a', f'{server}/b']) == []
    assert reachability.unreachable_hosts([closed, f'{server}/a']) == []
    assert reachability.unreachable_hosts([closed]) == ['127.0.0.1:9']
    assert reachability.unreachable_hosts([]) == []


def test_a_host_that_never_answers_is_given_up(monkeypatch):
    # As where the name server is behind a wall that drops everything.
    monkeypatch.setattr(reachability, '_answers', lambda url, seconds: time.sleep(5))
    begin = time.monotonic()
    urls = ['http://a.example/1', 'http://b.example/2']
    assert set(reachability.unreachable_hosts(urls, seconds=0.3)) == {'a.example', 'b.example'}
    assert time.monotonic() - begin < 2
