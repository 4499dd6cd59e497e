"""Lines of a file to vectors in a file."""

import json
import shutil
from typing import Any

import numpy as np
import pytest

from nlp_models.embedding import embed_texts
from nlp_models.errors import InputError
from nlp_models.training import loop, sources
from nlp_models.training.sentences import embed_lines, read_lines, writer
from tests.pretrained_folders import write_folder, write_letters
from tests.task_configs import contrastive, pair_file

LINES = ['the cat sat on a mat.', 'dog', 'a long sentence that is cut off somewhere', 'the cat']


@pytest.fixture(scope='module')
def bert(tmp_path_factory):
    folder = tmp_path_factory.mktemp('bert')
    return write_letters(write_folder(folder, 'bert'), framed=True)


def test_lines_are_read_as_they_are(tmp_path):
    path = tmp_path / 'lines.txt'
    path.write_text('one\n  two é \nthree', encoding='utf-8')
    assert read_lines(str(path)) == ['one', '  two é ', 'three']
    path.write_bytes(b'one\r\ntwo\r\n')
    assert read_lines(str(path)) == ['one', 'two']
    # What only some programs take for the end of a line is a part of it.
    path.write_text('one\x0cstill\u2028one\ntwo\n', encoding='utf-8')
    assert read_lines(str(path)) == ['one\x0cstill\u2028one', 'two']


def test_a_mark_before_the_first_line_is_no_part_of_it(tmp_path):
    path = tmp_path / 'lines.txt'
    path.write_bytes('\ufeffeins\nzwei\n'.encode())
    assert read_lines(str(path)) == ['eins', 'zwei']


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (b'', r'is empty: it needs a sentence a line$'),
        (b'one\n\ntwo\n', r', line 2 is empty: it needs a sentence a line$'),
        (b'one\n \t\ntwo\n', r', line 2 is empty'),
        (b'one\ncaf\xe9\n', r' is not UTF-8: byte 7$'),
        (None, r' cannot be read: No such file'),
    ],
)
def test_lines_that_cannot_be_read_are_told(tmp_path, content, message):
    path = tmp_path / 'lines.txt'
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=message) as error:
        read_lines(str(path))
    assert str(error.value).startswith(f'input {path}')


def test_both_kinds_of_file_hold_the_vectors(tmp_path):
    vectors = np.random.default_rng(0).normal(size=(3, 5)).astype(np.float32)
    texts = ['one', 'zwei "quoted"', '三']
    for name in ('v.npy', 'v.jsonl'):
        writer(str(tmp_path / name))(texts, vectors)
    array = np.load(tmp_path / 'v.npy')
    assert array.dtype == np.float32
    np.testing.assert_array_equal(array, vectors)
    lines = (tmp_path / 'v.jsonl').read_text(encoding='utf-8').splitlines()
    rows = [json.loads(line) for line in lines]
    assert [row['text'] for row in rows] == texts
    np.testing.assert_array_equal(np.array([row['vector'] for row in rows], np.float32), vectors)
    assert '三' in lines[2]
    assert sorted(path.name for path in tmp_path.iterdir()) == ['v.jsonl', 'v.npy']


def test_where_vectors_cannot_be_written_is_told_before_the_work(tmp_path):
    for name in ('v.txt', 'v', 'v.npy.gz', 'npy'):
        with pytest.raises(InputError, match=r'^output is .*: it must end in \.npy or \.jsonl'):
            writer(str(tmp_path / name))
    with pytest.raises(InputError, match=r'^output .* cannot be written: there is no folder'):
        writer(str(tmp_path / 'nowhere' / 'v.npy'))
    assert list(tmp_path.iterdir()) == []


def test_a_pretrained_folder_embeds_lines(bert):
    source = sources.load_source(str(bert))
    args = source.build(), source.params, source.tokenizer, LINES
    cases: list[tuple[Any, Any]] = [
        ({}, dict(pooling='mean', normalize=True)),
        (dict(pooling='cls'), dict(pooling='cls', normalize=True)),
        (dict(normalize=False), dict(pooling='mean', normalize=False)),
    ]
    for given, how in cases:
        found = embed_lines(str(bert), LINES, **given)
        assert found.shape == (4, 32)
        np.testing.assert_array_equal(found, embed_texts(*args, **how))


def test_a_folder_of_sentence_transformers_says_how(bert, tmp_path):
    folder = tmp_path / 'model'
    shutil.copytree(bert, folder)
    kinds = [('Transformer', ''), ('Pooling', '1_Pooling')]
    modules = [{'path': p, 'type': f'sentence_transformers.models.{kind}'} for kind, p in kinds]
    (folder / 'modules.json').write_text(json.dumps(modules))
    (folder / '1_Pooling').mkdir()
    (folder / '1_Pooling' / 'config.json').write_text('{"pooling_mode_cls_token": true}')
    (folder / 'sentence_bert_config.json').write_text('{"max_seq_length": 10}')
    found = embed_lines(str(folder), LINES)
    source = sources.load_source(str(bert))
    args = source.build(), source.params, source.tokenizer, LINES
    want = embed_texts(*args, pooling='cls', normalize=False, max_length=10)
    np.testing.assert_array_equal(found, want)
    said = {'max_seq_length': 10, 'do_lower_case': True}
    (folder / 'sentence_bert_config.json').write_text(json.dumps(said))
    np.testing.assert_array_equal(embed_lines(str(folder), [x.upper() for x in LINES]), found)
    # What the caller says comes first.
    other = embed_lines(str(folder), LINES, pooling='last', normalize=True)
    want = embed_texts(*args, pooling='last', normalize=True, max_length=10)
    np.testing.assert_array_equal(other, want)


def test_a_run_embeds_lines_as_it_was_trained_to(tmp_path):
    config = contrastive(pair_file(tmp_path), 'contrastive_gru', pooling='last', num_devices=1)
    config.update(steps=2, sequence_length=6)
    loop.train(config, str(tmp_path / 'run'))
    source = sources.load_source(str(tmp_path / 'run'))
    want = embed_texts(
        source.build(), source.params, source.tokenizer, LINES, pooling='last', max_length=6
    )
    np.testing.assert_array_equal(embed_lines(str(tmp_path / 'run'), LINES), want)


def test_what_has_no_vectors_is_told(tmp_path):
    llama = write_letters(write_folder(tmp_path / 'llama', 'llama'))
    with pytest.raises(InputError, match=r'is no encoder: it has no vectors for whole sentences'):
        embed_lines(str(llama), LINES)
    with pytest.raises(InputError, match=r'^there is no folder'):
        embed_lines(str(tmp_path / 'nothing'), LINES)
    bare = write_folder(tmp_path / 'bare', 'bert')
    with pytest.raises(InputError, match=r'has no tokenizer\.json'):
        embed_lines(str(bare), LINES)
