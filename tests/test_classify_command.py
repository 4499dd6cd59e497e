"""Telling classes of texts as a user does it: lines, tables, JSON, pairs, several adapters."""

import json
import shutil
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nlp_models.adaptation import saving
from nlp_models.errors import InputError
from nlp_models.training import adapting, loop
from nlp_models.training.trained import load_run
from tests.commands import ROOT, inside, not_told
from tests.finetuning_runs import leave_results_out, log_softmax, make_bases
from tests.task_configs import fine_tune, labelled_file

TEXTS = ['the cat sat', 'on', '  a dog ran after the sun and the cat saw it  ', 'the sun']
PAIRS = [('the cat', 'the cat'), ('a dog', 'sun on mat')]


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """Runs on a GRU, `plain` and `lower` of texts and `pairs` of pairs; adapters of two of them."""
    folder = make_bases(tmp_path_factory.mktemp('classify'), 'gru')
    with pytest.MonkeyPatch.context() as patch:
        leave_results_out(patch)
        for name, variant in dict(plain='lora', lower='bitfit', pairs='freeze').items():
            config = fine_tune(folder / 'gru', folder, variant, steps=3)
            config.optimizer.learning_rate = 0.1
            config.data.lower = name == 'lower'
            if name == 'pairs':
                config.data.path = str(labelled_file(folder, pairs=True))
            loop.train(config, str(folder / name))
    for name in ('plain', 'lower'):
        adapting.save_adapter(str(folder / name), str(folder / 'kept' / name))
    (folder / 'texts.txt').write_text('\n'.join(TEXTS) + '\n')
    (folder / 'pairs.tsv').write_text(''.join('\t'.join(pair) + '\n' for pair in PAIRS))
    rows = [{'id': i, 'text': text, 'is': 'animal'} for i, text in enumerate(TEXTS)]
    (folder / 'texts.jsonl').write_text(''.join(json.dumps(row) + '\n' for row in rows))
    rows = [{'one': one, 'other': other} for one, other in PAIRS]
    (folder / 'pairs.jsonl').write_text(''.join(json.dumps(row) + '\n' for row in rows))
    return folder


@pytest.fixture(scope='module')
def right(folder):
    """Name of a run and texts to probabilities, each text alone and as the model was trained."""

    def say(name, texts):
        run, found = load_run(str(folder / name), merge=False), []
        logits = jax.jit(run.model.logits)
        for text in texts:
            ids = run.tokenizer.encode(text.strip())[: run.config.sequence_length]
            # All of one width, which padding does not change: `test_classifier` holds that.
            padded = np.zeros((1, run.config.sequence_length), np.int32)
            padded[0, : len(ids)] = ids
            lengths = jnp.array([len(ids)], jnp.int32)
            found.append(np.exp(log_softmax(logits(run.params, padded, lengths=lengths)))[0])
        return np.stack(found)

    return say


LABELS = ('animal', 'none')


def table(out):
    return [line.split('\t') for line in out.splitlines()]


def agrees(rows, wanted, labels, texts):
    """Whether label, probability and text of rows are those wanted."""
    assert [row[2:] for row in rows] == texts
    assert [row[0] for row in rows] == [labels[i] for i in wanted.argmax(axis=1)]
    found = [float(row[1]) for row in rows]
    np.testing.assert_allclose(found, wanted.max(axis=1), atol=6e-5)  # of four digits


def test_each_line_has_its_label_and_probability(folder, right):
    wanted, plain = right('plain', TEXTS), [[' '.join(text.split())] for text in TEXTS]
    assert {*wanted.argmax(axis=1)} <= {0, 1}
    assert np.ptp(wanted[:, 0]) > 1e-3  # not of all the same
    out = inside('classify', f'--workdir={folder}/plain', f'--input={folder}/texts.txt')
    agrees(table(out), wanted, LABELS, plain)
    # JSON says the same, whatever the text's field is called.
    same = inside('classify', f'--workdir={folder}/plain', f'--input={folder}/texts.jsonl')
    assert same == out
    renamed = (folder / 'texts.jsonl').read_text().replace('"text"', '"body"')
    (folder / 'renamed.jsonl').write_text(renamed)
    named = (f'--input={folder}/renamed.jsonl', '--text_field=body')
    assert inside('classify', f'--workdir={folder}/plain', *named) == out


def test_what_is_piped_in_is_read(folder):
    """In a process of its own, as a user does it."""
    flags = (f'--workdir={folder}/plain', '--input=/dev/stdin')
    done = subprocess.run(
        [sys.executable, '-m', 'experiments.classify', *flags],
        cwd=ROOT, input='\n'.join(TEXTS), capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, '')
    of_file = inside('classify', flags[0], f'--input={folder}/texts.txt')
    found, wanted = table(done.stdout), table(of_file)
    assert [row[0::2] for row in found] == [row[0::2] for row in wanted]
    for one, other in zip(found, wanted, strict=True):
        assert float(one[1]) == pytest.approx(float(other[1]), abs=2e-4)


def test_a_file_has_the_probabilities_of_all_classes(folder, right):
    output = folder / 'classes.jsonl'
    flags = (f'--workdir={folder}/plain', f'--input={folder}/texts.txt', f'--output={output}')
    assert inside('classify', *flags) == f'4 lines: {output}\n'
    rows = [json.loads(line) for line in output.read_text().splitlines()]
    wanted = right('plain', TEXTS)
    assert [row['text'] for row in rows] == TEXTS
    assert [row['label'] for row in rows] == [LABELS[i] for i in wanted.argmax(axis=1)]
    assert [tuple(row['probabilities']) for row in rows] == [LABELS] * 4
    found = [[*row['probabilities'].values()] for row in rows]
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    assert not (folder / 'classes.jsonl.partial').exists()


def test_texts_are_read_in_lower_case_where_they_were_in_training(folder):
    (folder / 'upper.txt').write_text('\n'.join(TEXTS).upper())
    for name, same in (('lower', True), ('plain', False)):
        found, other = (
            [row[:2] for row in table(inside('classify', f'--workdir={folder}/{name}',
                                             f'--input={folder}/{file}'))]
            for file in ('texts.txt', 'upper.txt')
        )  # fmt: skip
        assert (found == other) == same


def test_pairs_of_a_table_or_of_json(folder, right):
    wanted = right('pairs', ['\n'.join(pair) for pair in PAIRS])  # a line end between, no specials
    out = inside('classify', f'--workdir={folder}/pairs', f'--input={folder}/pairs.tsv')
    agrees(table(out), wanted, ('other', 'same'), [[*pair] for pair in PAIRS])
    fields = ('--text_field=one', '--second_field=other')
    output = folder / 'pairs_classes.jsonl'
    flags = (f'--workdir={folder}/pairs', f'--input={folder}/pairs.jsonl', *fields)
    assert inside('classify', *flags) == out
    inside('classify', *flags, f'--output={output}')
    rows = [json.loads(line) for line in output.read_text().splitlines()]
    assert [(row['text'], row['second_text']) for row in rows] == PAIRS
    found = [[*row['probabilities'].values()] for row in rows]
    np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_several_adapters_answer_by_name_on_one_base(folder, right, monkeypatch):
    read = []
    load = adapting.load_source
    monkeypatch.setattr(
        'nlp_models.training.labelling.load_source', lambda name: read.append(name) or load(name)
    )
    given = [f'--adapter={name}={folder}/kept/{name}' for name in ('plain', 'lower')]
    out = inside('classify', *given, f'--input={folder}/texts.txt')
    assert read == [str(folder / 'gru')]  # once for both
    rows = table(out)
    assert [row[0] for row in rows] == ['plain', 'lower'] * 4
    for name in ('plain', 'lower'):
        mine = [row[1:] for row in rows if row[0] == name]
        agrees(mine, right(name, TEXTS), LABELS, [[' '.join(text.split())] for text in TEXTS])
    # The same in a file, and with the base named.
    output = folder / 'both.jsonl'
    inside('classify', *given, f'--base={folder}/gru', f'--input={folder}/texts.txt',
           f'--output={output}')  # fmt: skip
    written = [json.loads(line) for line in output.read_text().splitlines()]
    for name in ('plain', 'lower'):
        found = [[*row['probabilities'][name].values()] for row in written]
        np.testing.assert_allclose(found, right(name, TEXTS), atol=1e-5)
        labels = [row[1] for row in rows if row[0] == name]
        assert [row['label'][name] for row in written] == labels


# What is wrong.


def test_wrong_commands_are_told_in_one_line(folder):
    """In processes of their own."""
    (folder / 'broken.jsonl').write_text('{"text": "a"}\n{"text": \n')
    (folder / 'tab.txt').write_text('the cat\nthe\tdog\n')
    run, texts = f'--workdir={folder}/plain', f'--input={folder}/texts.txt'
    cases = {
        'line': (r"broken\.jsonl', line 2 is not JSON", [run, f'--input={folder}/broken.jsonl']),
        'pair': (
            r'^classify: input \S+tab\.txt, line 2 must be one text, without a tab, as workdir '
            r"\S+plain was made for: 'the\\tdog'$",
            [run, f'--input={folder}/tab.txt'],
        ),
        'task': ('gru holds a run of language_modelling', [f'--workdir={folder}/gru', texts]),
        'neither': ('give either --workdir, or --adapter=NAME=FOLDER once or more', [texts]),
        'no input': ('input', [run]),
    }
    cases = {name: (line, 'classify', flags) for name, (line, flags) in cases.items()}
    assert not_told(folder, cases) == []


@pytest.mark.parametrize(
    ('flags', 'message'),
    [
        (['--workdir=plain', '--adapter=a=kept/plain'], r'^give either --workdir, or --adapter'),
        (['--workdir=plain', '--base=gru'], r'^--base is for adapters: a run has its own'),
        (['--workdir=nowhere'], r'nowhere holds no run'),
        (['--workdir=plain', '--input=nowhere.txt'], r'^input \S+nowhere.txt cannot be read'),
        (['--workdir=plain', '--output=x.txt'], r"^output is '\S+x.txt': it must end in \.jsonl"),
        (['--workdir=plain', '--output=no/x.jsonl'], r'it must be a file in a folder that can be'),
        (
            ['--workdir=plain', '--text_field=body'],
            r"^input is '\S+texts\.txt': it must end in \.jsonl for text_field or second_field",
        ),
        (
            ['--workdir=plain', '--input=texts.jsonl', '--text_field=body'],
            r"texts\.jsonl', line 1 has no field 'body': it has id, text, is",
        ),
        (
            ['--workdir=plain', '--input=lists.jsonl'],
            r"lists\.jsonl', line 1 has a list in its field 'text'",
        ),
        (
            ['--workdir=pairs'],
            r'texts\.txt, line 1 must be two texts with a tab between, as workdir \S+pairs was ma',
        ),
        (['--workdir=plain', '--input=blank.txt'], r'blank.txt, line 2 is empty'),
        (['--workdir=plain', '--input=blank.jsonl'], r'blank.jsonl, line 2 must be one text'),
        (['--adapter=kept/plain'], r"^adapter is '\S+kept/plain': it must be NAME=FOLDER"),
        (['--adapter=a=kept/plain', '--adapter=a=kept/lower'], r'each with a name of its own'),
        (['--adapter=a=nowhere'], r'^adapter \S+nowhere cannot be read'),
        (['--adapter=a=headless'], r'^adapter \S+headless tells no classes apart$'),
        (
            ['--adapter=a=kept/plain', '--base=other'],
            r'^adapter \S+plain was made for another model than this one: of \d+ parameters \d+ '
            r'have other numbers, the first is body/layer_0/U$',
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told(folder, flags, message):
    (folder / 'lists.jsonl').write_text('{"text": ["a", "b"]}\n')
    (folder / 'blank.txt').write_text('a\n\nb\n')
    (folder / 'blank.jsonl').write_text('{"text": "a"}\n{"text": " "}\n')
    shutil.copytree(folder / 'kept' / 'plain', folder / 'headless', dirs_exist_ok=True)
    facts = json.loads((folder / 'headless' / saving.FACTS).read_text())
    (folder / 'headless' / saving.FACTS).write_text(json.dumps({**facts, 'classes': None}))
    if not (folder / 'other').exists() and '--base=other' in flags:
        make_other(folder)
    given = ['--input=texts.txt', *flags]
    here = [name + '=' + place(folder, value) for name, value in (f.split('=', 1) for f in given)]
    with pytest.raises(InputError, match=message) as error:
        inside('classify', *here)
    assert '\n' not in str(error.value)
    assert not (folder / 'x.txt').exists()


def place(folder, value):
    """A flag's value with its paths in the folder."""
    if value in ('body',):
        return value
    name, equals, path = value.rpartition('=')
    return f'{name}{equals}{folder / path}'


def make_other(folder):
    """The GRU with another seed."""
    config = load_run(str(folder / 'gru')).config
    config.update(seed=1)
    loop.train(config, str(folder / 'other'))
