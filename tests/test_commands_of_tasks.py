"""The commands on encoders, translators and pretrained folders, as a user meets them."""

import json
import math

import numpy as np
import pytest

from nlp_models.training import sentences
from tests.commands import not_told, start, text_file
from tests.pretrained_folders import write_folder, write_letters
from tests.task_configs import letter_file, pair_file

SENTENCES = ['the cat sat.', 'a dog', 'the sun ran after a mat and the dog saw it']


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp('commands')
    write_letters(write_folder(folder / 'llama', 'llama', eos_token_id=5))
    write_letters(write_folder(folder / 'bert', 'bert'), framed=True)
    (folder / 'sentences.txt').write_text('\n'.join(SENTENCES))
    return folder


def together(*commands):
    """Run commands at once; (stdout, stderr) of each, which must end well."""
    processes = [start(*command) for command in commands]
    results = [process.communicate(timeout=300) for process in processes]
    for process, (_, err) in zip(processes, results, strict=True):
        assert process.returncode == 0, err
    return results


def of_text(folder):
    """Flags of a text as the data."""
    return (
        f'--config.data.path={text_file(folder)}',
        f'--config.data.cache_dir={folder / "cache"}',
        '--config.data.splits=(0.8,0.1,0.1)',
        '--config.sequence_length=32',
    )


@pytest.fixture(scope='module')
def trained(folder):
    """Runs: a llama trained on, and a translator."""
    steps = ('--config.steps=6', '--config.eval_every=3', '--config.num_devices=1')
    letters = (
        '--config=configs/seq2seq.py:tsv_luong',
        f'--config.data.path={letter_file(folder)}',
        '--config.batch_size=8',
        '--config.model.hidden_size=8',
    )
    (told, _), (other, _) = together(
        (
            'train',
            '--config=configs/pretrained.py',
            f'--config.init_from={folder / "llama"}',
            *of_text(folder),
            *steps,
            f'--workdir={folder / "more"}',
        ),
        ('train', *letters, *steps, f'--workdir={folder / "letters"}'),
    )
    assert 'step 6: validation loss' in told
    assert 'bits per char' in told
    assert 'step 6: validation loss' in other
    assert 'exact match' in other
    return folder


def test_a_pretrained_folder_writes_and_goes_on_writing_where_it_was_trained_on(trained):
    how = ('--prompt=the cat ', '--num_tokens=30', '--temperature=0')
    plain = ('sample', '--config=configs/pretrained.py', f'--config.init_from={trained / "llama"}')
    (text, said), (more, _) = together(
        (*plain, *how), ('sample', f'--workdir={trained / "more"}', *how)
    )
    assert 'State for 38 tokens' in said
    for each in (text, more):
        assert each.startswith('the cat ')
        assert each.endswith('\n')
        assert len(each) > len('the cat ') + 5


def test_a_translator_writes_of_its_source(trained):
    run = ('sample', f'--workdir={trained / "letters"}', '--source=abc', '--num_tokens=9')
    (greedy, said), (best, _), (evaluated, _) = together(
        (*run, '--temperature=0'),
        (*run, '--num_beams=2', '--stop=a', '--stop=b', '--stop=c', '--stop=d'),
        ('evaluate', f'--workdir={trained / "letters"}'),
    )
    assert 'State for 10 tokens' in said
    for text in (greedy, best):
        assert text.strip().isalpha() or text.strip() == ''
        assert text.endswith('\n')
    assert not set('abcd') & set(best)
    results = [json.loads(line) for line in evaluated.splitlines()]
    assert [result['name'] for result in results] == ['teacher_forced', 'written'] * 2
    by_name = {(result['split'], result['name']): result for result in results}
    for split in ('validation', 'test'):
        forced = by_name[split, 'teacher_forced']
        assert math.isfinite(forced['loss'])
        assert by_name[split, 'written']['exact_match'] == pytest.approx(forced['exact_match'])
    assert {result['step'] for result in results} <= {3, 6}


def test_sentences_become_vectors_and_a_folder_is_scored(folder):
    model = ('embed', f'--model={folder / "bert"}', f'--input={folder / "sentences.txt"}')
    (told, _), _, (scored, _) = together(
        (*model, f'--output={folder / "vectors.npy"}'),
        (*model, f'--output={folder / "vectors.jsonl"}', '--pooling=cls', '--nonormalize'),
        (
            'evaluate',
            '--config=configs/pretrained.py:mlm',
            f'--config.init_from={folder / "bert"}',
            *of_text(folder),
        ),
    )
    assert told == f'3 vectors of width 32: {folder / "vectors.npy"}\n'
    want = sentences.embed_lines(str(folder / 'bert'), SENTENCES)
    np.testing.assert_allclose(np.load(folder / 'vectors.npy'), want, rtol=1e-4, atol=1e-5)
    rows = [json.loads(line) for line in (folder / 'vectors.jsonl').read_text().splitlines()]
    assert [row['text'] for row in rows] == SENTENCES
    plain = sentences.embed_lines(str(folder / 'bert'), SENTENCES, pooling='cls', normalize=False)
    np.testing.assert_allclose([row['vector'] for row in rows], plain, rtol=1e-4, atol=1e-5)
    results = [json.loads(line) for line in scored.splitlines()]
    assert [(r['split'], r['name']) for r in results] == [
        ('validation', 'masked'),
        ('test', 'masked'),
    ]
    assert all(math.isfinite(r['loss']) and r['step'] == 0 for r in results)


def bad_inputs(folder):
    """(what the line must say, command, flags)."""
    llama, bert = (
        ('--config=configs/pretrained.py', f'--config.init_from={folder / name}')
        for name in ('llama', 'bert')
    )
    (folder / 'pickled').mkdir()
    (folder / 'pickled' / 'config.json').write_text('{"model_type": "gpt2"}')
    (folder / 'pickled' / 'pytorch_model.bin').write_bytes(b'\x80\x02.')
    (folder / 'gap.txt').write_text('one\n\ntwo\n')
    (folder / 'torn.tsv').write_text(pair_file(folder).read_text() + 'no tab here\n')
    embed = (f'--model={folder / "bert"}', f'--input={folder / "sentences.txt"}')
    gap = (embed[0], f'--input={folder / "gap.txt"}', f'--output={folder / "gap.npy"}')
    tsv = ('--config=configs/seq2seq.py:tsv_luong', f'--config.data.path={folder / "torn.tsv"}')
    run = f'--workdir={folder / "letters"}'
    return {
        'long prompt': (
            'the prompt has 97 tokens: the model reads at most 96',
            'sample',
            [*llama, f'--prompt={"a" * 97}'],
        ),
        'empty prompt': ('the prompt is empty', 'sample', [*llama, '--prompt=']),
        'source for none': ("source is 'abc': it is for seq", 'sample', [*llama, '--source=abc']),
        'no source': ('source is missing', 'sample', [run]),
        'an encoder': ('the model is an encoder', 'sample', [*bert]),
        'both': ('either --workdir, or --config', 'evaluate', [*llama, run]),
        'neither': ('either --workdir, or --config', 'sample', []),
        'from nothing': ("init_from is ''", 'train', [llama[0], '--workdir=HERE']),
        'pickled': (
            'pytorch_model.bin.*pickle',
            'sample',
            [llama[0], f'--config.init_from={folder / "pickled"}'],
        ),
        'torn pairs': ("torn.tsv', line 121 has no tab", 'train', [*tsv, '--workdir=HERE']),
        'drawing by beams': (
            '--top_p is for drawing',
            'sample',
            [run, '--source=abc', '--num_beams=2', '--top_p=0.9'],
        ),
        'export onto a file': (
            "sentences.txt' cannot be written",
            'export',
            [f'--workdir={folder / "more"}', f'--output={folder / "sentences.txt"}'],
        ),
        'ending': (r'must end in \.npy or \.jsonl', 'embed', [*embed, '--output=vectors.txt']),
        'empty line': ('gap.txt, line 2 is empty', 'embed', [*gap]),
    }


def test_bad_input_is_one_line_and_status_2(trained):
    assert not not_told(trained, bad_inputs(trained))
    left = {path.name for path in trained.iterdir()}
    assert 'gap.npy' not in left
    assert not [name for name in left if name.startswith('run-') or name.endswith('.partial')]
