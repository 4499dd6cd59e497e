"""What is wrong with a fine-tuning is told in one line, by the commands as a user runs them."""

import json
import shutil

import pytest

from nlp_models.adaptation import saving
from nlp_models.training import adapting, loop
from tests.commands import not_told
from tests.finetuning_runs import leave_results_out, make_bases
from tests.task_configs import as_json_lines, fine_tune, language_model


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """With `gru`, a run; `kept`, an adapter on it; `other` and `wide`, runs of other GRUs."""
    folder = make_bases(tmp_path_factory.mktemp('errors'), 'gru')
    with pytest.MonkeyPatch.context() as patch:
        leave_results_out(patch)
        config = fine_tune(folder / 'gru', folder, 'lora', steps=1)
        loop.train(config, str(folder / 'run'))
    adapting.save_adapter(str(folder / 'run'), str(folder / 'kept'))
    for name, fields in dict(other=dict(seed=1), wide=dict(hidden_size=24)).items():
        config = language_model(folder, 'gru', steps=1, num_devices=1)
        config.model.num_layers = 2
        config.update(seed=fields.get('seed', 0))
        config.model.hidden_size = fields.get('hidden_size', 16)
        loop.train(config, str(folder / name))
        kept = folder / f'kept_of_{name}'  # as if the base had been replaced
        shutil.copytree(folder / 'kept', kept)
        facts = json.loads((kept / saving.FACTS).read_text())
        (kept / saving.FACTS).write_text(json.dumps({**facts, 'base': str(folder / name)}))
    lines = as_json_lines(folder / 'labelled.tsv', 'text', 'label').read_text().splitlines()
    (folder / 'torn.jsonl').write_text('\n'.join([*lines[:6], lines[6][:-9], *lines[7:]]))
    (folder / 'texts.txt').write_text('the cat\n')
    return folder


def flags(folder, *others, base='gru', variant='bitfit', data='labelled.tsv'):
    """Flags of a fine-tuning that is not to begin."""
    return [
        f'--config=configs/finetune.py:{variant}',
        f'--config.init_from={folder / base}',
        '--config.data.labelled=',
        f'--config.data.path={folder / data}',
        '--config.num_devices=1',
        '--workdir=HERE',
        *others,
    ]


def cases(folder):
    """Name to (what the line must match, command, flags)."""
    rules = "--config.adaptation.rules=(('^classifier/', 1.0),"
    adapter = r'adapter \S+ was made for another model than this one: '
    return {
        'an adapter for other numbers': (
            rf'^train: {adapter}of (\d+) parameters \1 have other numbers, the first is '
            r'body/layer_0/U$',
            'train',
            flags(folder, base='kept_of_other'),
        ),
        'an adapter for another width': (
            rf'^classify: {adapter}body/layer_0/U is \[16, 72\], not \[16, 48\]$',
            'classify',
            [
                f'--adapter=a={folder / "kept"}',
                f'--base={folder / "wide"}',
                f'--input={folder / "texts.txt"}',
            ],
        ),
        'a rule for nothing': (
            r"^train: adaptation\.rules: 'nonsense' is found in no parameter that no rule before "
            r'it has; they are such as body/',
            'train',
            flags(folder, f"{rules} ('nonsense', 0.5), ('.*', 0.0))"),
        ),
        'a parameter without a rule': (
            r'^train: adaptation\.rules say nothing of body/layer_0/U and \d+ others: end them '
            r"with \('\.\*', 0\.0\) to freeze what is left, or 1\.0 to train it$",
            'train',
            flags(folder, f'{rules})'),
        ),
        'a label that is not defined': (
            r"^train: '\S+labelled\.tsv', line \d+ has the label 'none', which is not among the "
            r'labels defined: animal, plant$',
            'train',
            flags(folder, "--config.data.labels=('animal', 'plant')"),
        ),
        'a label of no text': (
            r"^train: data\.labels has 'plant', which no training text has \(animal, none\)$",
            'train',
            flags(folder, "--config.data.labels=('animal', 'none', 'plant')"),
        ),
        'a torn line': (
            r"^train: '\S+torn\.jsonl', line 7 is not JSON \(.*\): '\{\"text\"",
            'train',
            flags(folder, data='torn.jsonl'),
        ),
        'a variant there is none of': (
            r"^train: configs/finetune\.py has no variant 'lorra'; it has METHOD or METHOD_lm ",
            'train',
            flags(folder, variant='lorra'),
        ),
    }


def test_bad_input_is_one_line_and_status_2(folder):
    """In processes of their own."""
    before = {*folder.iterdir()}
    assert not_told(folder, cases(folder)) == []
    assert {*folder.iterdir()} == before  # no run has begun
