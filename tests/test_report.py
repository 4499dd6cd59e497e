"""The report says what the evidence says, all of it, and shows it in any browser."""

import html
import importlib.util
import json
import math
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from experiments import studies
from nlp_models.analysis import (
    argument,
    claim_tables,
    document,
    gathering,
    markdown,
    numbers,
    report,
    training_runs,
)
from nlp_models.analysis import html as pages
from nlp_models.analysis.document import Break, Code, Command, File, Link, Mark, Paragraph, Table
from nlp_models.errors import InputError
from tests import html_pages
from tests import made_up_studies as made

ROOT = Path(__file__).resolve().parent.parent
COLUMNS = ('estimate', 'interval', 'threshold')


class Reader(html_pages.Reader):
    """A page's text and numbers, too, by the claim they stand in."""

    def __init__(self):
        super().__init__()
        self.claims: dict[str, str] = {}
        self.numbers: dict[str, list[tuple[float, str]]] = {}
        self._claim, self._value = '', ''

    def handle_starttag(self, tag, attrs):
        super().handle_starttag(tag, attrs)
        attributes: dict[str, Any] = dict(attrs)
        if tag == 'article':
            self._claim = attributes['id']
        if tag == 'data':
            self._value = attributes['value']
        if tag == 'br':
            self.handle_data(' ')

    def handle_endtag(self, tag):
        super().handle_endtag(tag)
        if tag == 'article':
            self._claim = ''

    def handle_data(self, data):
        data = data.replace('\u00a0', ' ')
        super().handle_data(data)
        if 'style' in self.open:
            return
        self.claims[self._claim] = self.claims.get(self._claim, '') + data
        if self.open and self.open[-1] == 'data':
            self.numbers.setdefault(self._claim, []).append((float(self._value), data))


def read(path):
    return html_pages.read(path, Reader())


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp('report')
    made.write(folder)
    report.write(made.STUDIES, folder, folder, root=ROOT)
    return folder


@pytest.fixture(scope='module')
def page(folder):
    return read(folder / 'index.html')


def judged():
    """Anchor of each claim that was run to its verdict."""
    return {
        gathering.anchor(study, i): verdict
        for study in made.STUDIES
        if study.name in made.VALUES
        for i, verdict in enumerate(study.judge(made.evidence(study.name)))
    }


def test_every_claim_and_verdict_is_there(page):
    assert {v['verdict'] for v in judged().values()} == set(made.VERDICTS.values()) - {'not run'}
    entries = {
        gathering.anchor(study, i): claim
        for study in made.STUDIES
        for i, claim in enumerate(study.claims)
    }
    assert set(entries) == set(made.VERDICTS) == set(page.claims) - {''}
    for anchor, claim in entries.items():
        text, verdict = page.claims[anchor], made.VERDICTS[anchor]
        assert text.split(claim.statement)[0].split()[-len(verdict.split()) :] == verdict.split()
        for wanted in (claim.measured, claim.equation, claim.file, 'experiments.study'):
            assert wanted in text
        assert page.text.count(claim.statement) >= 2  # in the summary too
        assert ('Not run' in text) == (verdict == 'not run')
    for study in made.STUDIES:
        assert study.title in page.text
        assert study.text in page.text
    for section in argument.ARGUMENT:
        assert f'{section.number} {section.title}' in page.text
        assert section.text in page.text


def test_claims_stand_in_their_sections_in_the_tutorials_order(folder, page):
    order = ['3', '4', '9', '10', '14', '15', '6', '13', '7']
    articles = [a['id'].removeprefix('claim-') for a in page.all('article')]
    assert articles == [*order, 'finding-scaling-1', 'finding-scaling-2']
    text = (folder / 'index.html').read_text()
    for section, after, before in (('4-3', '14', '6'), ('6-1', '13', '7'), ('9-2', '7', 'context')):
        inside = text.split(f'id="section-{section}"')[1]
        assert f'id="claim-{after}"' in inside.split('id="section-')[0]
        assert f'id="claim-{before}"' not in inside.split('id="section-')[0]
    assert re.search(r'9 claims: 2 ✓ supported {2}2 × refuted {2}1 ~ qualified', page.text)
    assert re.search(
        r'2 \? inconclusive {2}2 – not run\s+For context: 2 findings, no cl', page.text
    )
    assert page.text.count('Context · Finding') == 2
    assert page.text.count('context, Finding') == 2  # in the map
    summary = page.text.split('All claims')[-1].split('The argument')[0]
    assert summary.count('context') == 2


def test_conditions_and_notes_are_told(page):
    assert (
        'Holds for at <equal> parameters; not for at equal state; undecided for untrained.'
        in (page.claims['claim-13'])
    )
    assert 'Diverged: 1 of 5 runs of tanh.' in page.claims['claim-4']
    assert 'is too wide for a mean' in page.claims['claim-3']
    assert '2 seeds where 5 are needed' in page.claims['finding-scaling-2'].lower()
    assert '3 (exact)' in page.claims['claim-6']
    assert '1.5 × 10⁻⁷ (all seeds)' in page.claims['claim-7']


def as_number(text):
    """A number as the page writes it, and half of its last digit."""
    text = text.replace(',', '').replace('−', '-')
    mantissa, _, power = text.partition(' × 10')
    exponent = int(power.translate(str.maketrans('⁻⁰¹²³⁴⁵⁶⁷⁸⁹', '-0123456789'))) if power else 0
    digits = len(mantissa.partition('.')[2])
    return float(mantissa) * 10.0**exponent, 0.5 * 10.0 ** (exponent - digits)


def test_numbers_are_those_of_the_evidence(page):
    for anchor, verdict in judged().items():
        wanted = []
        for row in verdict['criteria']:
            if row['estimate'] is not None:
                varies = row['interval'] and row['interval'][0] < row['interval'][1]
                wanted += [row['estimate'], *(row['interval'] if varies else [])]
            wanted.append(row['threshold'])
        found = page.numbers[anchor]
        assert [value for value, _ in found] == wanted
        for value, text in found:
            shown, within = as_number(text)
            assert abs(shown - value) <= within * 1.001, (text, value)
        assert sum(len(row['values']) >= 1 for row in verdict['criteria']) >= 1
        for row in verdict['criteria']:
            assert row['condition'] in page.claims[anchor]
            assert row['outcome'] in page.claims[anchor]
            assert row['measure'] in page.claims[anchor]


@pytest.mark.parametrize(
    ('fields', 'text'),
    [
        ({'relation': 'above'}, '≥ 0.5'),
        ({'relation': 'below'}, '≤ 0.5'),
        ({'relation': 'within', 'tolerance': 0.02}, '0.5 ± 0.02'),
        ({'relation': 'within', 'tolerance': 0.0}, '= 0.5'),
    ],
)
def test_what_is_needed(fields, text):
    needed = claim_tables.needed({'threshold': 0.5, **fields})
    assert document.plain(needed).replace('\u00a0', ' ') == text


@pytest.mark.parametrize(
    ('value', 'last', 'text'),
    [
        (0.0312049, None, '0.0312'),
        (-12345.0, None, '−12,345'),
        (1.5e-7, None, '1.5 × 10⁻⁷'),
        (0.912, -3, '0.912'),
        (0.95, -3, '0.950'),
        (2.5e7, 5, '2.50 × 10⁷'),
        (0.0, -12, '0'),
        (math.inf, None, '∞'),
        (math.nan, None, 'NaN'),
    ],
)
def test_numbers_are_written_as_readers_compare_them(value, last, text):
    assert numbers.write(value, last) == text


def test_as_many_digits_as_the_interval_allows():
    assert numbers.last_digit([0.912, 0.874], 0.038) == -3
    assert numbers.last_digit([1023.4], 0.8) == -2
    assert numbers.last_digit([1.0], 1e-30) == -8
    assert numbers.last_digit([5.0], 4000.0) == -1
    assert numbers.last_digit([0.0]) == 0
    assert [numbers.duration(s) for s in (42, 378, 9000)] == ['42 s', '6.3 min', '2.5 h']


def test_nothing_is_fetched_and_every_link_has_its_target(folder, page):
    text = (folder / 'index.html').read_text()
    assert not re.search(r'https?:|url\(|@import|<script|<link|srcset', text)
    links = [a['href'] for a in page.all('a')]
    targets = [a['id'] for _, a in page.found if 'id' in a]
    assert len(links) > 30
    assert all(link.startswith('#') for link in links)
    assert {link[1:] for link in links} <= set(targets)
    assert len(set(targets)) == len(targets)
    assert {f'#{anchor}' for anchor in made.VERDICTS} <= set(links)
    images = page.all('img')
    # Once a chapter: flow in 3, 4 and 9, memory in 3 and 6, scaling beside them.
    assert len(images) == 6
    for image in images:
        assert image['src'].startswith('data:image/png;base64,')
        assert 'n < 3 & more.' in image['alt']
    assert page.all('html') == [{'lang': 'en'}]
    assert 'b' not in [tag for tag, _ in page.found]


def test_the_same_evidence_gives_the_same_report_anywhere(folder, tmp_path):
    shutil.copytree(folder, tmp_path / 'elsewhere', ignore=lambda *_: ['index.html', 'report.md'])
    other = report.write(made.STUDIES, tmp_path / 'elsewhere', tmp_path / 'elsewhere', root=ROOT)
    assert other.read_text() == (folder / 'index.html').read_text()
    assert (other.parent / 'report.md').read_text() == (folder / 'report.md').read_text()
    assert 'somewhere' not in other.read_text()


def test_what_was_run_and_how_to_repeat_it(page):
    text = page.claims['claim-9']
    assert (
        'size quick, 5 seeds; the whole study took 6.1 min on A <fast> processor, 2 cores' in text
    )
    assert 'at commit 0123456789ab with uncommitted changes. Again:' in text
    assert 'uncommitted' not in page.claims['claim-3']
    count = len(made.evidence('flow').rows)
    assert (
        f'at commit 0123456789ab ({count - 1} of {count} measurements) and on A <fast> processor, '
        f'1 core, 25 GB, at commit fedcba987654 (1 of {count} measurements). Again:'
    ) in page.claims['claim-3']
    assert page.text.count('Which was measured where') == 1  # of the other studies all is of one
    assert 'A <fast> processor, 1 core, 25 GB; jax 0.10.2, python 3.11.7' in page.text
    assert (
        "python -m experiments.study --config=configs/studies/memory.py:quick '--config.lengths="
        "(8, 16)' --workdir=runs/memory"
    ) in text
    assert 'jax 0.10.2, python 3.11.7' in page.text
    assert 'kind: <tanh>' in page.text
    assert 'commit 0123456789ab with uncommitted changes (1 of 3 studies)' in page.text
    assert 'commit 0123456789ab (2 of 3 studies), commit fedcba987654 (1 of 3 studies)' in page.text


@pytest.mark.parametrize(
    ('asked', 'flags'),
    [
        ('', ''),
        ('python -m experiments.study --config=configs/studies/x.py:full --workdir=a', ''),
        ('python -m x --config.steps=3 --config=c.py --config.rates="(1, 2)"', True),
        (
            'python -m x --config=configs/studies/sections_2_to_6.py:full --config.studies.x.steps'
            " 3 --config.studies.y.steps=9 '--config.studies.x.rates=(1, 2)' --workdir=b",
            True,
        ),
    ],
)
def test_the_command_repeats_one_study_as_it_was_asked_for(asked, flags):
    own = " --config.steps=3 '--config.rates=(1, 2)'" if flags else ''
    wanted = f'python -m experiments.study --config=configs/studies/x.py:full{own} --workdir=runs/x'
    assert gathering.repeat('x', 'full', asked) == wanted


def test_markdown_holds_the_same(folder, page):
    text = (folder / 'report.md').read_text()
    pictures = re.findall(r'!\[[^\]]*\]\(([^)]*)\)', text)
    assert len(pictures) == len(page.all('img'))
    assert set(pictures) == {f'{n}/{n}_shares.png' for n in made.VALUES}
    assert all((folder / picture).is_file() for picture in pictures)
    anchors = set(re.findall(r'<a id="([^"]*)">', text))
    links = re.findall(r'\]\(#([^)]*)\)', text)
    assert set(links) <= anchors
    assert {a['id'] for _, a in page.found if 'id' in a} == anchors
    assert len(links) == len(page.all('a'))
    assert (
        'An RNN with W &lt; 1 &amp; f′ ≤ 1 forgets &lt;b&gt;all&lt;/b&gt; of \\|x\\|, \\*at' in text
    )
    for values in page.numbers.values():
        assert all(written in text for _, written in values)
    for word in set(made.VERDICTS.values()):
        assert f'**{word}**' in text


def test_files_are_links_where_the_report_is_in_the_repository(tmp_path):
    blocks = [Paragraph((File('a/b.py'), ' and ', File('a/none.py')))]
    (tmp_path / 'a').mkdir()
    (tmp_path / 'a' / 'b.py').write_text('')
    inside = tmp_path / 'docs' / 'evidence'
    written = markdown.Writer(inside, tmp_path).write(blocks)
    assert written == '[`a/b.py`](../../a/b.py) and `a/none.py`\n'
    for folder, root in ((tmp_path.parent, tmp_path), (inside, None)):
        written = markdown.Writer(folder, root).write(blocks)
        assert written == '`a/b.py` and `a/none.py`\n'


def test_a_document_is_shown_as_it_is_meant():
    trap = '<i>&|*_`[x](y) $1 ~~no~~'
    blocks = [
        document.Heading(2, (trap, Break(), 'x'), 'at'),
        Table(('a|b', 'c'), ((Link(trap, 'at'), (Code('p(w|h)'), Mark('qualified'))),), 'cap'),
        Command('a ```x``` --flag=1/2'),
        document.Details('more', (Paragraph(trap, 'notice'),)),
        document.Definitions((('name', trap),)),
    ]
    shown = pages.render('t & u', blocks)
    reader = Reader()
    reader.feed(shown)
    assert reader.open == []
    assert reader.text.count(trap) == 4
    assert 'a ```x``` --flag=1/2' in reader.text
    assert '<title>t &amp; u</title>' in shown
    text = markdown.Writer(Path('/nowhere'), None).write(blocks)
    assert '| a\\|b | c |\n| --- | --- |\n' in text
    assert '`p(w\\|h)`\\~ **qualified** |' in text
    assert '\n````\na ```x``` --flag=1/2\n````\n' in text
    assert text.count('&lt;i&gt;&amp;\\|\\*\\_\\`\\[x\\](y) \\$1 \\~\\~no\\~\\~') == 4
    assert '<details><summary>more</summary>\n\n> **' in text
    assert document.plain((trap, Break(), Mark('met'), File('f'))) == f'{trap} metf'
    for wrong in (blocks, object()):
        with pytest.raises(TypeError, match='is no block'):
            pages.render('', [wrong])


@pytest.fixture
def copy(folder, tmp_path):
    shutil.copytree(folder, tmp_path / 'copy', ignore=lambda *_: ['index.html', 'report.md'])
    return tmp_path / 'copy'


def edit(path, change):
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


def test_verdicts_that_no_longer_follow_are_told(copy):
    def other_word(verdicts):
        verdicts[0]['verdict'] = 'refuted'
        verdicts[1]['estimate'] += 1e-15  # rounding is no difference
        verdicts[2]['criteria'][0]['threshold'] = 0.4

    edit(copy / 'memory' / 'verdicts.json', other_word)
    (copy / 'scaling' / 'verdicts.json').unlink()
    edit(copy / 'flow' / 'verdicts.json', lambda verdicts: verdicts.pop())
    page = read(report.write(made.STUDIES, copy, copy))
    assert (
        'verdicts.json says refuted; judged again from the same evidence the verdict is supported.'
        in page.claims['claim-9']
    )
    assert (
        'verdicts.json differs from what the evidence gives now in: criteria.'
        in (page.claims['claim-13'])
    )
    assert 'No verdict was kept' in page.claims['finding-scaling-1']
    assert 'verdicts.json has no verdict on this claim' in page.claims['claim-7']
    assert 'verdicts.json' not in page.claims['claim-10'] + page.claims['claim-3']
    lead = page.text.split('All claims')[0]
    assert 'is not what follows from it now: Claim 9, Claim 13, Claim 7, Finding 1 of' in lead


def test_no_difference_is_told_where_there_is_none(page):
    assert 'verdicts.json' not in page.text
    assert 'not what follows' not in page.text


def test_one_studys_own_folder_and_an_output_elsewhere(copy, tmp_path):
    output = tmp_path / 'out' / 'deep'
    page = read(report.write(made.STUDIES, copy / 'flow', output))
    assert page.text.count('Not run: ') == len(made.VERDICTS) - 4
    assert len(page.all('img')) == 3
    assert (output / 'flow' / 'flow_shares.png').is_file()
    assert '](flow/flow_shares.png)' in (output / 'report.md').read_text()
    inside = read(report.write(made.STUDIES, copy / 'flow', copy / 'flow'))
    assert inside.text == page.text
    assert '](flow_shares.png)' in (copy / 'flow' / 'report.md').read_text()
    above = read(report.write(made.STUDIES, tmp_path, tmp_path / 'above'))
    assert above.text.count('Not run: ') == 2


def fails(folder, output=None):
    """The line that says why there is no report."""
    with pytest.raises(InputError) as caught:
        report.write(made.STUDIES, folder, output or folder)
    assert '\n' not in str(caught.value)
    return str(caught.value)


def test_what_cannot_be_reported_is_told_in_a_line(copy, tmp_path):
    assert fails(tmp_path / 'none') == f'workdir {tmp_path / "none"} is no folder'
    (tmp_path / 'empty').mkdir()
    nothing = f'workdir {tmp_path / "empty"} holds neither a finished study nor a training run'
    assert fails(tmp_path / 'empty') == nothing
    assert list((tmp_path / 'empty').iterdir()) == []
    (tmp_path / 'file').write_text('')
    assert 'file/flow cannot be written: Not a' in fails(copy / 'flow', tmp_path / 'file')
    shutil.copytree(copy / 'flow', copy / 'again')
    assert re.search(r'again and \S*flow both hold evidence of flow', fails(copy))
    edit(copy / 'again' / 'evidence.json', lambda e: e.update(study='flows'))
    assert "evidence.json is of the study 'flows', which there is none of" in fails(copy)
    shutil.rmtree(copy / 'again')
    edit(copy / 'flow' / 'evidence.json', lambda e: e['measurements'].pop())
    assert 'evidence.json is not what flow measures now' in fails(copy)
    for broken in ('{', '[]', '{"study": "flow"}', ''):
        (copy / 'flow' / 'evidence.json').write_text(broken)
        assert 'evidence.json cannot be read' in fails(copy)
    shutil.rmtree(copy / 'flow')
    for broken in ('{', '[1]', '3'):
        (copy / 'memory' / 'verdicts.json').write_text(broken)
        assert 'verdicts.json cannot be read' in fails(copy)


def test_the_registry_fits_the_argument():
    known = [
        studies.find(name)
        for name in studies.STUDIES
        if importlib.util.find_spec(f'experiments.studies.{name}')
    ]
    assert known
    entries = gathering.gather(known, ROOT / 'configs', ROOT / 'configs')
    sections = {section.number for section in argument.ARGUMENT}
    for entry in entries:
        assert (ROOT / entry.claim.file).exists(), entry.claim
        assert not entry.claim.number or entry.claim.section in sections, entry.claim
    assert [s.number for s in argument.ARGUMENT] == sorted(sections, key=report._order)
    anchors = [entry.anchor for entry in entries]
    assert len(set(anchors)) == len(anchors)
    shown = pages.render('all', report.compose(entries))
    for entry in entries:
        assert f'id="{entry.anchor}"' in shown
        assert f'studies/<wbr>{entry.study.name}.py' in shown


# Training runs.


def write_run(folder, family, losses, **manifest):
    folder.mkdir(parents=True)
    config = {'task': 'language_modelling', 'model': {'family': family}, 'note': '<&>'}
    (folder / 'config.json').write_text(json.dumps(config))
    if manifest:
        (folder / 'manifest.json').write_text(json.dumps(manifest))
    lines: list[Any] = [
        {'step': 1000 * (i + 1), 'train_loss': loss - 0.1, 'valid_loss': loss}
        for i, loss in enumerate(losses)
    ]
    if lines:
        lines[-1]['valid_bits_per_char'] = 2.5
    text = ''.join(json.dumps(line) + '\n' for line in lines)
    (folder / 'metrics.jsonl').write_text(text + '{"step": 9000, "valid_lo')


def test_runs_are_reported_where_there_is_no_study(tmp_path):
    write_run(tmp_path / 'gru', 'gru', [3.0, 2.5, 2.25], parameters=123456)
    write_run(tmp_path / 'a' / 'an_lstm_with_a_long_<name>', 'lstm', [3.0, 2.125], parameters=7)
    write_run(tmp_path / 'ngram', 'ngram', [2.75])
    write_run(tmp_path / 'nothing', 'rnn', [])
    path = report.write(made.STUDIES, tmp_path, tmp_path)
    page = read(path)
    assert page.text.split()[:2] == ['Training', 'runs']
    for wanted in ('GRU', 'LSTM', 'n-gram', '123,456', '2.25', '2.125', '2.75', '3,000', '2.5'):
        assert wanted in page.text
    assert 'The lowest at its end is a/an_lstm_with_a_long_<name>: 2.125 nats.' in page.text
    assert len(page.all('img')) == 2
    assert len(page.all('details')) == 4
    assert 'note: <&>' in page.text
    for run in training_runs.gather(tmp_path):
        assert page.text.count(run.digest) == 2
    markdown = (tmp_path / 'report.md').read_text()
    for name in re.findall(r'!\[[^\]]*\]\(([^)]*)\)', markdown):
        assert (tmp_path / name).is_file()
    alone = read(report.write(made.STUDIES, tmp_path / 'gru', tmp_path / 'out'))
    assert '1 run.' in alone.text
    assert 'LSTM' not in alone.text
    curve = training_runs.gather(tmp_path / 'gru')[0].curve('valid_loss')
    assert curve == [(1000, 3.0), (2000, 2.5), (3000, 2.25)]
    for broken in ('{', '[]'):
        (tmp_path / 'gru' / 'manifest.json').write_text(broken)
        assert 'manifest' in fails(tmp_path)
    (tmp_path / 'gru' / 'config.json').write_text('{')
    assert 'config.json cannot be read' in fails(tmp_path)


PROGRAM = """
import sys
from experiments import command, report
from tests import made_up_studies as made
known = {study.name: study for study in made.STUDIES}
report.studies.STUDIES, report.studies.find = tuple(known), known.get
sys.argv[0] = 'report'
command.run(report.main)
"""


def test_the_command_writes_a_page_or_says_a_line(copy, tmp_path):
    (tmp_path / 'empty').mkdir()

    def start(*flags):
        command = [sys.executable, '-c', PROGRAM, *flags]
        pipes: dict[str, Any] = {'stdout': subprocess.PIPE, 'stderr': subprocess.PIPE}
        return subprocess.Popen(command, cwd=ROOT, text=True, **pipes)

    there = start(f'--workdir={copy}', f'--output={tmp_path / "out"}')
    empty = start(f'--workdir={tmp_path / "empty"}')
    out, err = there.communicate(timeout=120)
    assert (there.returncode, err) == (0, '')
    assert out.splitlines()[-1] == f'The page: {tmp_path / "out" / "index.html"}'
    assert 'Claim 13: QUALIFIED' in out
    assert 'Finding 2 of “About scaling & co” (context): INCONCLUSIVE' in out
    out, err = empty.communicate(timeout=120)
    assert (empty.returncode, out) == (2, '')
    assert re.fullmatch(r'report: workdir \S+ holds neither a finished study nor .* run\n', err)


# In a browser.

HARNESS = """<!DOCTYPE html><meta charset="utf-8"><body><script>
const pages = PAGES, found = [];
function frame(address, width) {
  const one = document.createElement('iframe');
  one.style = `width: ${width}px; height: 700px; border: 0`;
  one.src = address;
  one.onload = () => {
    const inner = one.contentDocument, view = one.contentWindow, root = inner.documentElement;
    const images = [...inner.images], links = [...inner.querySelectorAll('a')];
    const missed = links.filter(link => {
      view.scrollTo(0, 0);
      link.click();
      const target = inner.querySelector(link.getAttribute('href'));
      const top = target ? target.getBoundingClientRect().top : -1e9;
      return top < -1 || top > 700 || inner.querySelector(':target') !== target;
    });
    found.push({
      name: one.name, width: root.clientWidth, overflow: root.scrollWidth - root.clientWidth,
      scrolled: [...inner.querySelectorAll('.rows')].filter(table => {
        for (let at = table; at; at = at.parentElement) if (at.tagName == 'DETAILS') at.open = true;
        return table.scrollWidth > table.clientWidth;
      }).length,
      images: images.length, blank: images.filter(image => image.naturalWidth == 0).length,
      links: links.length, missed: missed.map(link => link.getAttribute('href')),
      text: inner.body.innerText.length,
    });
    if (found.length < pages.length) return;
    document.body.innerHTML = '<pre id="found"></pre>';
    document.getElementById('found').textContent = JSON.stringify(found);
  };
  return one;
}
pages.forEach(([name, address, width]) => {
  const one = frame(address, width);
  one.name = name;
  document.body.append(one);
});
</script>"""
BROKEN = """<!DOCTYPE html><body><img src="data:image/png;base64,aGVsbG8="><a href="#gone">x</a>
<div style="width: 800px">x</div><div class="rows" style="overflow-x: auto; width: 99px">
<div style="width: 100px">x</div></div><script>console.error('wrong')</script>"""


def browse(tmp_path, pages):
    """What a browser makes of pages, and what its console says."""
    asked = [(name, path.as_uri(), width) for name, path, width in pages]
    (tmp_path / 'harness.html').write_text(HARNESS.replace('PAGES', json.dumps(asked), 1))
    command = ['--headless=new', '--no-sandbox', '--disable-gpu', '--dump-dom']
    command += ['--allow-file-access-from-files', '--virtual-time-budget=8000']
    command += ['--enable-logging=stderr', '--log-level=0']
    command += [f'--user-data-dir={tmp_path / "profile"}', '--window-size=1400,900']
    done = subprocess.run(
        [CHROMIUM, *command, (tmp_path / 'harness.html').as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
    )
    found = re.search(r'<pre id="found">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found, done.stderr[-2000:]
    by_name = {row.pop('name'): row for row in json.loads(html.unescape(found[1]))}
    return by_name, re.findall(r'CONSOLE.*', done.stderr)


CHROMIUM = shutil.which('chromium') or shutil.which('chromium-browser') or ''


@pytest.mark.skipif(not CHROMIUM, reason='needs chromium')
def test_a_browser_shows_all_of_it(folder, page, tmp_path):
    path, broken = folder / 'index.html', tmp_path / 'broken.html'
    broken.write_text(BROKEN)
    write_run(tmp_path / 'runs' / 'a_run_with_quite_a_long_name', 'transformer', [3.0, 2.0])
    runs = report.write([], tmp_path / 'runs', tmp_path / 'runs')
    found, console = browse(
        tmp_path,
        [
            ('phone', path, 360),
            ('desk', path, 1200),
            ('runs on a phone', runs, 360),
            ('runs', runs, 850),
            ('broken', broken, 360),
        ],
    )
    for name, width in (('phone', 360), ('desk', 1200)):
        row = found[name]
        assert width - 20 <= row['width'] <= width
        assert (row['overflow'], row['scrolled']) == (0, 0)
        assert (row['images'], row['blank']) == (6, 0)
        assert (row['links'], row['missed']) == (len(page.all('a')), [])
        assert row['text'] > 5000
    for name in ('runs on a phone', 'runs'):
        assert (found[name]['overflow'], found[name]['scrolled']) == (0, 0)
        assert (found[name]['images'], found[name]['blank']) == (2, 0)
    # What it would be if something were wrong.
    broken = found['broken']
    assert broken['overflow'] > 0
    assert broken['scrolled'] == 1
    assert (broken['blank'], broken['missed']) == (1, ['#gone'])
    assert len(console) == 1
    assert 'wrong' in console[0]
