"""TFDS sets: read by document and split, downloaded where that can be done, else a line soon."""

import ast
import hashlib
import http.server
import inspect
import json
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds
from etils import epath
from tensorflow_datasets.core import units
from tensorflow_datasets.core.download import checksums

from nlp_models.data import named_sets, reachability
from nlp_models.data.corpora import SPLITS, open_corpus
from nlp_models.errors import InputError
from tests.data_config import settings


def texts_of(corpus):
    return [''.join(corpus.stream(split)) for split in SPLITS]


class SmallTalk(tfds.core.GeneratorBasedBuilder):
    """A set with a train split alone, whose text is downloaded from `url_infos`."""

    name = 'small_talk'
    VERSION = tfds.core.Version('2.3.4')
    pkg_dir_path = epath.Path(__file__).parent
    url_infos = None

    def _info(self):
        return tfds.core.DatasetInfo(
            builder=self,
            features=tfds.features.FeaturesDict(
                {'text': tfds.features.Text(), 'number': tfds.features.Scalar(dtype=np.int64)}
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
    with pytest.raises(InputError, match=r'cannot be read from there .* move that folder away'):
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
    statement = ast.parse(command).body[1]
    assert isinstance(statement, ast.Expr)
    call = statement.value
    assert isinstance(call, ast.Call)
    assert isinstance(call.func, ast.Attribute)
    assert call.func.attr == 'download_and_prepare'
    builder = eval(ast.unparse(call.func.value), {'tfds': tfds})
    assert (builder.name, Path(builder.data_dir_root)) == ('lm1b', tmp_path)
    inspect.signature(builder.download_and_prepare).bind(
        **{str(word.arg): ast.literal_eval(word.value) for word in call.keywords}
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
        size=units.Size(len(body)),
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
