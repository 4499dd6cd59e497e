"""Few-shot evaluation as a user meets it: files, settings, results, and what is told."""

import json
import sys
from typing import Any

import numpy as np
import pytest

from configs import few_shot as config_file
from nlp_models.adaptation.examples import read_examples, split_examples
from nlp_models.adaptation.in_context import Setting, Task, evaluate
from nlp_models.adaptation.normalization import wilson
from nlp_models.adaptation.prompts import Template
from nlp_models.errors import InputError
from nlp_models.training import few_shot, loop
from nlp_models.training.sources import load_source
from tests import task_configs
from tests.commands import not_told, run
from tests.harness_models import harness_folder
from tests.pretrained_folders import write_folder, write_letters

WORDS = {'1': ' good', '0': ' bad'}


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """Questions as JSON lines and as a table, and a pretrained language model and encoder."""
    folder = tmp_path_factory.mktemp('few_shot')
    random = np.random.default_rng(0)
    kinds = [['cat', 'dog', 'mat', 'sun'], ['run', 'sat', 'on', 'the']]
    rows = [
        {'id': i, 'text': ' '.join(random.choice(kinds[i % 2], size=3)), 'label': i % 2}
        for i in range(24)
    ]
    (folder / 'a.jsonl').write_text(''.join(json.dumps(row) + '\n' for row in rows))
    table = ['id\ttext\tlabel', *('\t'.join(map(str, row.values())) for row in rows)]
    (folder / 'a.tsv').write_text('\n'.join(table))
    harness_folder(folder, 'gpt2')
    write_letters(write_folder(folder / 'bert', 'bert'), framed=True)
    return folder


def flags(folder, *others, data='a.jsonl'):
    """Flags of a small evaluation."""
    return (
        f'--config.init_from={folder / "gpt2"}',
        f'--config.data.path={folder / data}',
        "--config.words=('1= good','0= bad')",
        r'--config.template={text}\nis:{label}',
        *others,
    )


def config_of(folder, variant='likelihood', **fields: Any) -> Any:
    """The same as a config."""
    config = config_file.get_config(variant)
    config.init_from = str(folder / 'gpt2')
    config.data.path = str(folder / 'a.jsonl')
    config.words = tuple(f'{label}={word}' for label, word in WORDS.items())
    if 'template' in config:
        config.template = '{text}\nis:{label}'
    config.update(fields)
    return config


def lines_of(config):
    return [*few_shot.run(config)]


def test_the_command_says_what_the_library_finds(folder):
    predictions = folder / 'predictions.jsonl'
    shown = flags(
        folder,
        '--config.shots=(0,2)',
        '--config.seeds=(3,4)',
        '--config.selection=balanced',
        '--config.normalization=bytes',
        f'--config.predictions={predictions}',
    )
    status, out, err = run('evaluate', '--config=configs/few_shot.py', *shown)
    assert status == 0, err
    lines = [json.loads(line) for line in out.splitlines()]

    rows = read_examples(folder / 'a.jsonl', ['text'])
    pool, queries = split_examples(rows, 0.5, ignore=('label',))
    assert len(queries) == 12
    source = load_source(str(folder / 'gpt2'))
    task = Task(Template('{text}\nis:{label}', words=WORDS), queries, pool)
    wanted, results = [], []
    for shots, seed in [(0, 3), (2, 3), (2, 4)]:
        setting = Setting(shots=shots, seed=seed, selection='balanced', normalization='bytes')
        result = evaluate(source.build(), source.params, source.tokenizer, task, setting)
        results.append((shots, seed, result))
        low, high = wilson(int(result.right.sum()), 12)
        wanted.append(
            dict(shots=shots, seed=seed, accuracy=result.accuracy, low=low, high=high)
            | dict(margin=pytest.approx(result.margin, rel=1e-3))
            | dict(examples=12, fewer=0, truncated=0)
        )
    assert lines[:3] == wanted
    assert lines[3]['mean'] == pytest.approx((wanted[1]['accuracy'] + wanted[2]['accuracy']) / 2)
    assert (lines[3]['seeds'], lines[3]['shots'], len(lines)) == (2, 2, 4)
    written = [json.loads(line) for line in predictions.read_text().splitlines()]
    assert len(written) == 36
    for number, (shots, seed, result) in enumerate(results):
        for i, line in enumerate(written[12 * number : 12 * number + 12]):
            assert (line['shots'], line['seed'], line['question']) == (shots, seed, i + 1)
            assert line['prediction'] == result.predictions[i]
            assert line['answer'] == result.answers[i] == queries[i]['label']
            assert line['right'] == (line['prediction'] == line['answer'])
            np.testing.assert_allclose(line['scores'], result.scores[i], rtol=1e-3)


def test_a_table_is_as_good_as_json_lines(folder):
    one, other = (
        lines_of(config_of(folder, shots=(1,), data=dict(path=str(folder / name))))
        for name in ('a.jsonl', 'a.tsv')
    )
    assert one == other


@pytest.mark.parametrize('family', ['gru', 'ngram'])
def test_runs_are_evaluated_too(folder, tmp_path, family):
    if family == 'ngram':
        from configs import lm
        from tests.commands import text_file

        training: Any = lm.get_config('ngram')
        training.data.update(path=str(text_file(tmp_path)), cache_dir=str(tmp_path / 'cache'))
        training.data.update(splits=(0.8, 0.1, 0.1), tokenizer='chars')
    else:
        training = task_configs.language_model(tmp_path, family, steps=2, num_devices=1)
    loop.train(training, str(tmp_path / 'run'))
    config = config_of(folder, init_from=str(tmp_path / 'run'), shots=(0, 2))
    zero, two = lines_of(config)
    assert (zero['examples'], two['examples'], two['truncated']) == (12, 12, 0)
    assert 0 <= two['low'] <= two['accuracy'] <= two['high'] <= 1


def test_answers_are_written(folder):
    config = config_of(folder, 'generation', shots=(2,), num_tokens=4, stop=('\\n',))
    (line,) = lines_of(config)
    assert line['exact_match'] == 0
    assert line['margin'] is None
    assert (line['low'], line['high']) == wilson(0, 12)


def test_the_nearest_examples_are_found_by_an_encoder(folder):
    config = config_of(
        folder, shots=(2,), selection='nearest', embedder=str(folder / 'bert'), seeds=(1, 2)
    )
    (line,) = lines_of(config)  # the same for every seed
    assert line['examples'] == 12


def test_a_search_tells_the_spread_and_what_the_best_is_worth(folder):
    config = config_of(folder, 'search', shots=(2,), seeds=(0, 1), orders=(0, 1))
    config.templates = ('{text}\\nis:{label}', '{text} was{label}')
    config.predictions = str(folder / 'held_out.jsonl')
    *candidates, spread, searched, held_out = lines_of(config)
    assert len(candidates) == spread['candidates'] == 16
    accuracies = [line['accuracy'] for line in candidates]
    assert spread['least'] == min(accuracies)
    assert spread['median'] == np.median(accuracies)
    assert spread['most'] == max(accuracies) == searched['accuracy']
    assert spread['deviation'] == pytest.approx(np.std(accuracies, ddof=1))
    names = ('template', 'shots', 'selection', 'seed', 'order')
    assert {name: searched[name] for name in names} == {name: held_out[name] for name in names}
    assert searched['template'] in ('{text}\nis:{label}', '{text} was{label}')
    assert (searched['split'], held_out['split']) == ('search', 'held_out')
    assert searched['examples'] + held_out['examples'] == 12
    written = (folder / 'held_out.jsonl').read_text().splitlines()
    right = [json.loads(line)['right'] for line in written]
    assert np.mean(right) == held_out['accuracy']


def test_examples_of_another_file_and_some_of_the_questions(folder):
    data = dict(path=str(folder / 'a.jsonl'), examples=str(folder / 'a.tsv'), max_examples=7)
    (line,) = lines_of(config_of(folder, shots=(3,), data=data))
    assert line['examples'] == 7
    (every,) = lines_of(config_of(folder, shots=(0,)))
    assert every['examples'] == 24  # nothing is shown, so all are questions
    # The file is all that can be shown, but for the question.
    with pytest.raises(InputError, match=r'^shots is 24: there are 2. examples to choose among'):
        lines_of(config_of(folder, shots=(24,), data=data))


def test_a_model_is_run_as_the_config_says(folder):
    config = config_of(folder)
    config.model.dtype = 'bfloat16'
    _, model = few_shot.load_language_model(config.init_from, config.model)
    source = load_source(config.init_from, config.model)
    assert {name: source.model[name] for name in config.model} == config.model.to_dict()
    assert model.context == 96


def test_a_harness_model_of_a_source(folder):
    pytest.importorskip('lm_eval')
    model = few_shot.load_harness(str(folder / 'gpt2'))
    assert model.model.context == 96


def test_a_harness_model_needs_the_package(folder, monkeypatch):
    from nlp_models.adaptation import harness

    harness._harness_class.cache_clear()
    monkeypatch.setitem(sys.modules, 'lm_eval', None)
    monkeypatch.setitem(sys.modules, 'lm_eval.api.model', None)
    with pytest.raises(InputError, match=r'^HarnessLM needs the package lm_eval'):
        few_shot.load_harness(str(folder / 'gpt2'))


# ---- what is wrong --------------------------------------------------------------------------


def test_wrong_commands_are_told_in_one_line(folder):
    (folder / 'broken.jsonl').write_text('{"text": "a", "label": 0}\n{"text": "b", "label": \n')
    config = '--config=configs/few_shot.py'
    cases = {
        'line': (
            r"broken\.jsonl', line 2 is not JSON",
            'evaluate',
            [config, *flags(folder, data='broken.jsonl')],
        ),
        'field': (
            r"a\.jsonl', line 1 has no field 'txet': it has id, text, label$",
            'evaluate',
            [config, *flags(folder, r'--config.template={txet}\nis:{label}')],
        ),
        'shots': (
            r'shots is 13: there are 12 examples to choose among',
            'evaluate',
            [config, *flags(folder, '--config.shots=(13,)')],
        ),
        'variant': (
            r"has no variant 'zero'; it has likelihood, generation, search",
            'evaluate',
            ['--config=configs/few_shot.py:zero', *flags(folder)],
        ),
        'source': (r"init_from is '': it must name a model", 'evaluate', [config]),
    }
    assert not_told(folder, cases) == []


@pytest.mark.parametrize(
    ('fields', 'message'),
    [
        (dict(init_from='nowhere'), 'nowhere'),
        (dict(shots=()), r'^shots is \(\): it must be one number or more'),
        (dict(seeds=()), r'^seeds is \(\): it must be one number or more'),
        (dict(data=dict(path='')), r"^data\.path is '': it must name a \.jsonl or \.tsv file"),
        (dict(data=dict(share=1.0)), r'^data\.share is 1\.0: of 24 examples in .* no question'),
        (dict(data=dict(max_examples=-1)), r'^data\.max_examples is -1: it must be at least 1'),
        (dict(words=('good',)), r"^words is 'good': it must be 'LABEL=WORD' for every label"),
        (dict(words=('1=a', '1=b')), r"^words is '1=b': it must be the only one for label '1'"),
        (
            dict(words=('1=a', '2=b')),
            r"jsonl', line 1 has label '0', for which there is no l",
        ),
        (dict(words=()), r"^method is 'likelihood': it needs label words or choices"),
        (dict(answer='id'), r"^template .* has no field 'id': it has text, label"),
        (dict(selection='nearest', shots=(1,)), r"^selection is 'nearest': it needs an embedding"),
        (dict(predictions='a.txt'), r"^predictions is 'a\.txt': it must end in \.jsonl"),
        (dict(predictions='no/where.jsonl'), r'^predictions no/where\.jsonl cannot be written'),
        (dict(calibration=('x',), normalization='unconditional'), 'choose one'),
        (dict(overflow='cut'), r"^overflow is 'cut': it must be one of drop, keep, refuse"),
    ],
)
def test_wrong_settings_are_told(folder, fields, message):
    fields = dict(fields)
    data = fields.pop('data', {})
    config = config_of(folder, **fields)
    config.data.update(data)
    with pytest.raises(InputError, match=message):
        lines_of(config)


def test_the_line_of_a_table_is_that_of_the_file(folder):
    path = folder / 'wrong.tsv'
    path.write_text('text\tlabel\na\t1\nb\t7\n')
    with pytest.raises(InputError, match=r"wrong\.tsv', line 3 has label '7', for which"):
        lines_of(config_of(folder, data=dict(path=str(path))))


def test_an_encoder_is_no_language_model(folder):
    with pytest.raises(InputError, match=r'predicts the next token, and is a TextEncoder$'):
        lines_of(config_of(folder, init_from=str(folder / 'bert')))
