"""The text that comes with Python: gathered in order, dealt out by document, prepared once."""

import ast
import contextlib
import functools
import hashlib
import importlib
import inspect
import shutil
import sys
import textwrap
from pathlib import Path

import pytest

from nlp_models.data import pydoc_text
from nlp_models.data.corpora import SPLITS, open_corpus
from nlp_models.errors import InputError
from tests.data_config import settings

# Reading every source of the library takes seconds.
documents_of_this_python = functools.cache(pydoc_text.read_documents)


def texts_of(corpus):
    return [''.join(corpus.stream(split)) for split in SPLITS]


def test_docstrings_are_gathered_in_source_order(tmp_path):
    (tmp_path / 'b.py').write_text(
        textwrap.dedent('''
            """Module."""
            if True:
                def first():
                    """First,

                        indented.
                    Back.
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
        ('Lib/b.py', 'Module.\n\nFirst,\n\n    indented.\nBack.\n\nInner.\n\nMethod.\n\nLast ?.'),
    ]


def test_the_documents_of_this_python_are_its_help_and_its_docstrings():
    topics = importlib.import_module('pydoc_data.topics').topics
    documents = documents_of_this_python()
    texts = dict(documents)
    assert len(texts) == len(documents)
    assert {name for name in texts if name.startswith('topics/')} == {f'topics/{t}' for t in topics}
    assert texts['topics/if'] == topics['if'].strip()
    for part in (textwrap, textwrap.TextWrapper, textwrap.TextWrapper.wrap, textwrap.dedent):
        assert str(inspect.getdoc(part)) in texts['Lib/textwrap.py']
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
    monkeypatch.setitem(sys.modules, 'pydoc_data.topics', None)
    with pytest.raises(InputError, match=r'pydoc_data\.topics'):
        pydoc_text.read_topics()


def test_documents_are_dealt_out_by_name_and_length():
    documents = [(f'document {i}', 'x' * (i % 7 + 1)) for i in range(200)]
    splits = pydoc_text.split_documents(documents)
    ordered = sorted(documents, key=lambda d: hashlib.sha256(d[0].encode()).hexdigest())
    assert [d for split in SPLITS for d in splits[split]] == ordered
    assert pydoc_text.split_documents(documents[::-1]) == splits
    total = sum(len(text) for _, text in documents)
    end = 0
    for split, share in (('train', 0.9), ('validation', 0.95)):
        end += sum(len(text) for _, text in splits[split])
        assert abs(end - share * total) <= 7 / 2  # half of the longest document


@pytest.mark.parametrize('size', [40, 60])
def test_a_document_goes_where_its_middle_falls(size):
    first, second = sorted('ab', key=lambda name: hashlib.sha256(name.encode()).digest())
    documents = [(first, 'x' * size), (second, 'x' * (100 - size))]
    splits = pydoc_text.split_documents(documents, {'one': 0.5, 'two': 0.5})
    assert splits == {'one': documents[:1], 'two': documents[1:]}


@pytest.fixture(scope='module')
def cache(tmp_path_factory):
    return str(tmp_path_factory.mktemp('cache'))


def test_pydoc_is_prepared_once_and_holds_the_documents(cache, capfd):
    corpus = open_corpus(settings(cache_dir=cache))
    assert corpus.name.startswith('pydoc/python3.')
    splits = pydoc_text.split_documents(documents_of_this_python())
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


def test_a_copy_that_lost_a_file_is_told(cache, tmp_path):
    open_corpus(settings(cache_dir=cache))
    shutil.copytree(Path(cache, 'tfds'), tmp_path / 'tfds')
    for path in tmp_path.glob('tfds/pydoc/*/*/pydoc-test*'):
        path.unlink()
    with pytest.raises(InputError, match=r'cannot be read .*pydoc-test.* move the folder'):
        texts_of(open_corpus(settings(cache_dir=str(tmp_path))))
