"""A study measures every cell once, whatever stops it, and writes what follows from them."""

import importlib
import json
import math
import re
from pathlib import Path

import pytest
from ml_collections import ConfigDict

from configs.studies import base
from experiments import studies
from nlp_models.analysis import drawing, study, verdicts
from nlp_models.analysis.study import Cell, Evidence, Picture, Study
from nlp_models.analysis.verdicts import Claim, Criterion
from nlp_models.errors import InputError, RunError
from nlp_models.training import machine

ROOT = Path(__file__).resolve().parent.parent
CLAIM = Claim(1, '2', 'Squares are large', 'n²', 'n²', 'nlp_models/types.py')


class Killed(BaseException):
    """As from outside: nothing catches it."""


def made_up(measured, killed_at=None):
    """A study of squares, which notes what it measures and can be killed at one."""

    def measure(config, key, evidence):
        if key['n'] == killed_at:
            raise Killed
        measured.append(key['n'])
        seen = sum(value['square'] for _, value in evidence.select(what='square'))
        return {'square': key['n'] ** 2 * config.factor, 'before': seen, 'odd': math.inf}

    def judge(evidence):
        values = tuple(float(v['square']) for _, v in evidence.select(what='square'))
        head = Criterion('all', 'square', values, evidence.thresholds['square'])
        return [verdicts.judge(CLAIM, [head], evidence.thresholds, study='squares')]

    def plot(evidence):
        figure, (axes,) = drawing.figure(1)
        points = {key['n']: [value['square']] for key, value in evidence.select()}
        drawing.against(axes, {'rnn': points}, xlabel='n', ylabel='n²')
        return [Picture('squares', (1,), 'Squares.', figure)]

    return Study(
        'squares',
        'Squares',
        'They are measured.',
        (CLAIM,),
        lambda config: [Cell({'what': 'square', 'n': n}, cost=n) for n in range(1, config.most)],
        measure,
        judge,
        plot,
    )


def config(**fields):
    return ConfigDict(
        {'study': 'squares', 'factor': 1, 'most': 7, 'thresholds': {'square': -1.0}, **fields}
    )


def values(evidence):
    return [(row['key'], row['value']) for row in evidence.rows]


def test_a_study_that_was_killed_repeats_nothing_and_finds_the_same(tmp_path):
    whole, first, second = [], [], []
    expected = study.run(made_up(whole), config(), tmp_path / 'whole')
    with pytest.raises(Killed):
        study.run(made_up(first, killed_at=4), config(), tmp_path / 'killed')
    assert not (tmp_path / 'killed' / 'evidence.json').exists()
    found = study.run(made_up(second), config(), tmp_path / 'killed')
    assert (first, second) == ([1, 2, 3], [4, 5, 6])
    assert values(found) == values(expected)
    written = [(tmp_path / run / 'verdicts.json').read_text() for run in ('killed', 'whole')]
    assert written[0] == written[1]
    again = []
    study.run(made_up(again), config(), tmp_path / 'killed')
    assert again == []


def test_a_line_that_was_cut_short_is_measured_again(tmp_path):
    study.run(made_up([]), config(), tmp_path)
    path = tmp_path / 'measurements.jsonl'
    lines = path.read_text().splitlines()
    path.write_text('\n'.join([*lines[:4], lines[4][:20]]))
    again = []
    evidence = study.run(made_up(again), config(), tmp_path)
    assert again == [5, 6]
    assert len(path.read_text().splitlines()) == 6
    assert [value['square'] for _, value in evidence.select()] == [1, 4, 9, 16, 25, 36]


def test_other_code_measures_anew(tmp_path):
    file = tmp_path / 'study.py'
    file.write_text('one')
    study.run(made_up([]), config(), tmp_path / 'run', code=[file])
    again = []
    study.run(made_up(again), config(), tmp_path / 'run', code=[file])
    assert again == []
    file.write_text('two')
    study.run(made_up(again), config(), tmp_path / 'run', code=[file])
    assert again == [1, 2, 3, 4, 5, 6]


def test_what_is_written_is_read_again(tmp_path):
    evidence = study.run(made_up([]), config(), tmp_path, command='python -m this')
    read = Evidence.read(tmp_path / 'evidence.json')
    assert values(read) == values(evidence)
    assert read.value(n=3) == {'square': 9, 'before': 5, 'odd': math.inf}
    assert read.manifest['command'] == 'python -m this'
    assert {'commit', 'machine', 'seconds'} <= set(read.manifest)
    assert read.thresholds == {'square': -1.0}
    with pytest.raises(KeyError, match='6 cells have'):
        read.value(what='square')
    verdict = json.loads((tmp_path / 'verdicts.json').read_text())[0]
    wanted = ('claim', 'section', 'statement', 'threshold', 'estimate', 'interval', 'seeds')
    assert set(wanted) <= set(verdict)
    assert verdict['verdict'] == 'supported'
    assert (tmp_path / 'squares.png').read_bytes().startswith(b'\x89PNG')
    assert study.lines(tmp_path) == ['(1) Squares are large: SUPPORTED']


def test_verdicts_are_those_of_who_reads_the_file(tmp_path):
    orders = []

    def judge(evidence):
        orders.append(list(evidence.config['parts']))
        return made_up([]).judge(evidence)

    one = made_up([])._replace(judge=judge)
    study.run(one, config(parts={'b': 1, 'a': 2}), tmp_path)
    judge(Evidence.read(tmp_path / 'evidence.json'))
    assert orders[0] == orders[1]


def test_progress_tells_what_is_left_by_cost(tmp_path):
    said, now = [], iter(float(i) for i in range(100))
    study.run(made_up([]), config(most=4), tmp_path, say=said.append, clock=lambda: next(now))
    # Costs are 1, 2 and 3 and every cell takes a second.
    assert said == [
        'squares [1/3] square 1: 1.0 s, about 5 s left',
        'squares [2/3] square 2: 1.0 s, about 2 s left',
        'squares [3/3] square 3: 1.0 s',
    ]


def test_a_folder_of_something_else_is_refused(tmp_path):
    study.run(made_up([]), config(), tmp_path / 'one')
    with pytest.raises(InputError, match=r'another config: factor \(1, now 2\); use another'):
        study.run(made_up([]), config(factor=2), tmp_path / 'one')
    (tmp_path / 'two').mkdir()
    (tmp_path / 'two' / 'letter.txt').write_text('mine')
    with pytest.raises(InputError, match=r'no study but other files: letter\.txt'):
        study.run(made_up([]), config(), tmp_path / 'two')
    with pytest.raises(InputError, match=r"study is 'cubes': it must be squares"):
        study.run(made_up([]), config(study='cubes'), tmp_path / 'three')
    (tmp_path / 'file').write_text('')
    with pytest.raises(InputError, match='cannot be written'):
        study.run(made_up([]), config(), tmp_path / 'file' / 'below')


def test_a_cell_that_cannot_go_on_is_named(tmp_path):
    def fail(config, key, evidence):
        raise RunError('the loss is not finite')

    broken = made_up([])._replace(measure=fail)
    with pytest.raises(RunError, match='squares, square 1: the loss is not finite'):
        study.run(broken, config(), tmp_path)


@pytest.mark.parametrize('text', ['', '[]', '{"study": 1}', '{"measurements": [{}]}'])
def test_evidence_that_is_none_is_told_in_a_line(tmp_path, text):
    path = tmp_path / 'evidence.json'
    with pytest.raises(InputError, match='run the study first'):
        Evidence.read(path)
    path.write_text(text)
    with pytest.raises(InputError, match='cannot be read'):
        Evidence.read(path)


def test_sizes_differ_in_what_they_say_and_in_nothing_else():
    def get(size):
        return base.study(
            'squares',
            size,
            fields={'most': 7, 'lengths': (1, 2, 3)},
            sizes={'quick': {'lengths': (1,)}, 'full': {'most': 99}},
            thresholds={'square': 0.5},
        )

    assert get('standard').lengths == (1, 2, 3)
    assert (get('quick').lengths, get('quick').most) == ((1,), 7)
    assert (get('full').lengths, get('full').most) == ((1, 2, 3), 99)
    assert {get(size).thresholds.square for size in base.SIZES} == {0.5}
    with pytest.raises(InputError, match=r"configs/studies/squares\.py is 'huge'"):
        get('huge')
    with pytest.raises(InputError, match='fields of gru'):
        base.model('gru', colour='red')


def fields_of(config):
    """Names of a config's fields, but of groups that other tests know are read."""
    names = set()
    for name, value in config.items():
        if isinstance(value, ConfigDict):
            if {'family', 'schedule', 'tokenizer'} & set(value):  # a model, an optimizer, data
                continue
            names |= fields_of(value)
        elif name not in ('study', 'size'):
            names.add(name)
    return names


def unread(config, source):
    """Fields that no code names: as an attribute, a string, an argument, or by their end."""

    def is_read(name):
        ends = rf"\}}{name[name.find('_') :]}'" if '_' in name else r'(?!)'  # f'{task}_gain'
        return re.search(rf"\.{name}\b|'{name}'|\b{name}: |{ends}", source)

    return {name for name in fields_of(config) if not is_read(name)}


@pytest.mark.parametrize('name', studies.STUDIES)
def test_every_field_of_every_study_is_read(name):
    get_config = importlib.import_module(f'configs.studies.{name}').get_config
    paths = [
        *(ROOT / 'experiments' / 'studies').glob(f'{name}*.py'),
        *(ROOT / 'nlp_models' / 'analysis').glob('*.py'),
        # Groups that other configs have, too: data, what is adapted, what a model is asked.
        *(ROOT / 'nlp_models' / 'data').rglob('*.py'),
        *(ROOT / 'nlp_models' / 'adaptation').glob('*.py'),
        *(ROOT / 'nlp_models' / 'training' / 'tasks').glob('*.py'),
        ROOT / 'experiments' / 'study.py',
    ]
    source = '\n'.join(path.read_text() for path in paths)
    for size in base.SIZES:
        config = get_config(size)
        assert unread(config, source) <= set(config.get('tasks', {})), size
        assert fields_of(config) == fields_of(get_config())
    config.colour_of_the_page = 'red'
    assert 'colour_of_the_page' in unread(config, source)


def test_another_machine_measures_anew(tmp_path, monkeypatch):
    study.run(made_up([]), config(), tmp_path)
    told = machine.describe()
    # What changes no number changes nothing.
    versions = told['versions'] | {'torch': '0'}
    other = told | {'memory_bytes': 1, 'system': 'another kernel', 'versions': versions}
    again = []
    monkeypatch.setattr(machine, 'describe', lambda: other)
    study.run(made_up(again), config(), tmp_path)
    assert again == []
    changes = [{'processor': 'another'}, {'cores': 99}, {'versions': versions | {'jax': '0'}}]
    for change in changes:
        monkeypatch.setattr(machine, 'describe', lambda change=change: told | change)
        again = []
        evidence = study.run(made_up(again), config(), tmp_path)
        assert again == [1, 2, 3, 4, 5, 6], change
        assert evidence.manifest['machine'] == told | change


def test_what_another_machine_has_measured_can_be_kept(tmp_path, monkeypatch):
    with pytest.raises(Killed):
        study.run(made_up([], killed_at=4), config(), tmp_path)
    told = machine.describe()
    monkeypatch.setattr(machine, 'describe', lambda: told | {'processor': 'another'})
    again: list[int] = []
    evidence = study.run(made_up(again), config(), tmp_path, keep=True)
    assert again == [4, 5, 6]
    runs = evidence.manifest['runs']
    assert [(run['cells'], run['machine']['processor']) for run in runs] == [
        *((3, told['processor']), (3, 'another'))
    ]
    assert evidence.manifest['machine'] == told
    # Its own cells come before those of others, whichever was written last.
    monkeypatch.setattr(machine, 'describe', lambda: told)
    study.run(made_up([]), config(), tmp_path)
    evidence = study.run(made_up([]), config(), tmp_path, keep=True)
    assert [run['machine'] for run in evidence.manifest['runs']] == [told]
    monkeypatch.setattr(machine, 'describe', lambda: told | {'processor': 'another'})
    evidence = study.run(made_up([]), config(), tmp_path, keep=True)
    assert [run['cells'] for run in evidence.manifest['runs']] == [3, 3]
    study.run(made_up(again), config(), tmp_path)  # not kept unless that is asked for
    assert again == [4, 5, 6, 1, 2, 3]


def test_what_was_measured_with_another_config_can_be_kept(tmp_path):
    study.run(made_up([]), config(), tmp_path)
    other, again = config(), list[int]()
    other.thresholds = {'square': 0.25}
    with pytest.raises(InputError, match='holds a study with another config'):
        study.run(made_up(again), other, tmp_path)
    assert study.run(made_up(again), other, tmp_path, keep=True).thresholds == {'square': 0.25}
    assert study.run(made_up(again), other, tmp_path).thresholds == {'square': 0.25}
    assert again == []
    other.size = 'full'  # whose cells may have the same keys
    with pytest.raises(InputError, match=r'another config: size \('):
        study.run(made_up(again), other, tmp_path, keep=True)


def test_the_manifest_tells_of_every_run(tmp_path, monkeypatch):
    def go(commit, command, killed_at=None):
        monkeypatch.setattr(machine, 'commit', lambda: commit)
        return study.run(made_up([], killed_at), config(), tmp_path, command=command)

    for commit, command, killed_at in (('aaa', 'first', 3), ('bbb+', 'second', 4)):
        with pytest.raises(Killed):
            go(commit, command, killed_at)
    evidence = go('ccc', 'third')
    runs = evidence.manifest['runs']
    assert [(r['commit'], r['command'], r['cells']) for r in runs] == [
        *(('aaa', 'first', 2), ('bbb+', 'second', 1), ('ccc', 'third', 3))
    ]
    assert [run['rows'] for run in runs] == [[0, 1], [2], [3, 4, 5]]
    seconds = [row['seconds'] for row in evidence.rows]
    assert evidence.manifest['seconds'] == sum(seconds)
    assert [r['seconds'] for r in runs] == [sum(seconds[:2]), seconds[2], sum(seconds[3:])]
    # What was not committed is not hidden behind what was.
    assert (evidence.manifest['commit'], evidence.manifest['command']) == ('bbb+', 'second')
    # Nobody measured anything: whose numbers they are stays as it was.
    assert go('ddd', 'fourth').manifest['runs'] == runs
    assert {json.dumps(run['machine'], sort_keys=True) for run in runs} == {
        json.dumps(machine.describe(), sort_keys=True)
    }
    made = {'commit': 'aaa', 'command': 'first', 'machine': machine.describe()}
    clean = [row | made for row in evidence.rows[:2]]
    last = clean[0] | {'commit': 'ccc', 'command': 'third'}
    assert study.manifest([last, *clean])['commit'] == 'aaa'  # of most cells
    assert study.manifest([*clean, last | {'commit': None}])['commit'] is None
    del last['machine']  # as journals were before
    assert study.manifest([last])['machine'] == {}


@pytest.mark.parametrize('name', studies.STUDIES)
def test_a_studys_files_are_all_that_it_imports_beside_the_package(name):
    folder = ROOT / 'experiments' / 'studies'
    files, seen = [folder / f'{name}.py'], set()
    while files:
        path = files.pop()
        seen.add(path)
        text = path.read_text()
        named = re.findall(r'from experiments\.studies\.(\w+) import', text)
        for line in re.findall(r'from experiments\.studies import (.*)', text):
            named += [part.split(' as ')[0].strip() for part in line.split(',')]
        files += [p for n in named if (p := folder / f'{n}.py') not in seen]
    assert seen <= set(studies.files(name))
    assert studies.files(name) == sorted(folder.glob(f'{name}*.py'))
