"""The evidence in `docs/evidence`: complete, honestly made, and the verdicts follow from it."""

import importlib
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from experiments import studies
from nlp_models.analysis import gathering, report, verdicts
from nlp_models.analysis.markdown import Writer
from nlp_models.analysis.study import Evidence

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / 'docs' / 'evidence'
CLAIMS = range(1, 41)  # of the tutorial's sections 2 to 11
# Studies that have not been run at standard yet; the README says so.
UNMEASURED: tuple[str, ...] = ()
MEASURED = [name for name in studies.STUDIES if name not in UNMEASURED]

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason='no evidence is in this checkout')


def git(*arguments):
    done = subprocess.run(['git', *arguments], cwd=ROOT, capture_output=True, text=True)
    return done.stdout if done.returncode == 0 else None


def shipped():
    """Study to what was written of it."""
    return {name: FOLDER / name for name in studies.STUDIES if (FOLDER / name).is_dir()}


def thresholds(source: str) -> dict[str, Any]:
    """Those of a config file's text."""
    names: dict[str, Any] = {'__name__': 'config'}
    exec(compile(source, 'config', 'exec'), names)
    return names['get_config']('standard').thresholds.to_dict()


def test_every_study_is_shipped_but_those_that_are_not_measured():
    assert list(shipped()) == MEASURED
    found = [claim.number for name in studies.STUDIES for claim in studies.find(name).claims]
    assert sorted(number for number in found if number) == list(CLAIMS)


@pytest.mark.parametrize('name', MEASURED)
def test_verdicts_follow_from_the_evidence(name):
    study, folder = studies.find(name), shipped()[name]
    evidence = Evidence.read(folder / 'evidence.json')
    written = json.loads((folder / 'verdicts.json').read_text())
    judged = json.loads(json.dumps(study.judge(evidence)))
    assert written == judged
    assert [verdict['claim'] for verdict in written] == [claim.number for claim in study.claims]
    assert {verdict['verdict'] for verdict in written} <= set(verdicts.VERDICTS)
    assert {verdict['threshold_hash'] for verdict in written} == {
        verdicts.threshold_hash(evidence.thresholds)
    }


@pytest.mark.parametrize('name', MEASURED)
def test_the_evidence_is_of_the_standard_size_and_complete(name):
    evidence = Evidence.read(shipped()[name] / 'evidence.json')
    file = importlib.import_module(f'configs.studies.{name}')
    config = json.loads(file.get_config('standard').to_json())
    assert evidence.config == config, 'the config has changed: run the study again'
    cells = studies.find(name).grid(file.get_config('standard'))
    assert [row['key'] for row in evidence.rows] == [
        json.loads(json.dumps(cell.key)) for cell in cells
    ]


@pytest.mark.parametrize('name', MEASURED)
def test_thresholds_are_older_than_the_evidence(name):
    evidence = Evidence.read(shipped()[name] / 'evidence.json')
    known = []
    for commit in {run['commit'] for run in evidence.manifest['runs']}:
        assert commit, 'measured outside of a checkout'
        assert not commit.endswith('+'), 'measured with uncommitted changes'
        if source := git('show', f'{commit}:configs/studies/{name}.py'):
            assert thresholds(source) == evidence.thresholds
            known.append(commit)
    if not known:
        pytest.skip('the checkout does not go back so far')


def test_the_report_tells_the_verdicts():
    text = (FOLDER / 'report.md').read_text().replace('\\', '')  # as it is without Markdown
    for folder in shipped().values():
        for verdict in json.loads((folder / 'verdicts.json').read_text()):
            line = next(line for line in text.splitlines() if f'{verdict["statement"]}](#' in line)
            assert f'**{verdict["verdict"]}**' in line


def test_the_report_is_that_of_the_evidence():
    entries = gathering.gather([studies.find(name) for name in studies.STUDIES], FOLDER, FOLDER)
    written = Writer(FOLDER, ROOT).write(report.compose(entries))
    assert written == (FOLDER / 'report.md').read_text(), 'make the report again'


@pytest.mark.parametrize('claims', [range(1, 27), range(27, 41)])  # sections 2 to 6, 7 to 11
def test_at_most_a_fifth_is_inconclusive(claims):
    found = [
        verdict['verdict']
        for folder in shipped().values()
        for verdict in json.loads((folder / 'verdicts.json').read_text())
        if verdict['claim'] in claims
    ]
    assert found.count('inconclusive') <= 0.2 * len(found)


def test_the_readme_tells_the_verdicts_there_are():
    rows = re.findall(r'^\| `(\w+)` \| ([^|]*) \|', (ROOT / 'README.md').read_text(), re.M)
    told = {name: text for name, text in rows if name in studies.STUDIES}
    for name, folder in shipped().items():
        written = json.loads((folder / 'verdicts.json').read_text())
        found = [f'{one["claim"]} {one["verdict"]}' for one in written if one['claim']]
        assert told[name] == (', '.join(found) or 'context')
    assert {name for name in told if told[name] == 'not measured yet'} == set(UNMEASURED)
