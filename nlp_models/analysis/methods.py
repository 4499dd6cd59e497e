"""What a report says of how its verdicts were reached: the rule, the sizes, what was run where."""

from collections.abc import Mapping, Sequence
from typing import Any

from nlp_models.analysis.document import (
    Code,
    Command,
    Definitions,
    Details,
    Group,
    Heading,
    Link,
    Mark,
    Number,
    Paragraph,
    Table,
    Text,
)
from nlp_models.analysis.drawing import in_bytes
from nlp_models.analysis.gathering import Entry
from nlp_models.analysis.intervals import CONFIDENCE
from nlp_models.analysis.numbers import duration
from nlp_models.analysis.numbers import write as written
from nlp_models.analysis.study import Evidence, Study
from nlp_models.analysis.verdicts import LEAST_SEEDS, threshold_hash

RULE = (
    ('every one is met', 'supported', 'The claim held under each condition it was tried under.'),
    (
        'every one fails',
        'refuted',
        'What was found fell short of the threshold under each condition; an effect in the same '
        'direction may be there, smaller than what was asked for.',
    ),
    (
        'some are met, others fail or stay open',
        'qualified',
        'The claim held where it says so, and only there.',
    ),
    (
        'none is met, and at least one stays open',
        'inconclusive',
        'Too few seeds or too much spread: no evidence either way.',
    ),
    (
        'a run diverged',
        'inconclusive',
        'A number that is not finite decides nothing; the note says which it was.',
    ),
    (
        'a control fails or stays open',
        'inconclusive',
        'The instrument is not shown to work where the answer is known; what it says elsewhere '
        'counts nothing.',
    ),
)
SIZES = (
    ('quick', 'tiny and honest: it shows that everything runs, with few seeds or short tasks'),
    ('standard', 'what conclusions rest on: at least 5 seeds, minutes on two cores'),
    ('full', 'as a paper would run it, on a GPU'),
)


def anchor(study: Study) -> str:
    """Where a report has a study."""
    return f'study-{study.name}'


def rules() -> list[Any]:
    """How verdicts follow from evidence, as blocks."""
    percent = f'{CONFIDENCE:.0%}'.replace('%', ' %')
    return [
        Paragraph(
            f'A measurement is repeated with at least {LEAST_SEEDS} different seeds. Of its mean a '
            f'{percent} interval is computed by Student’s t, mean ± t · s / √n; where two things '
            'are compared it is the mean of differences, seed by seed. A criterion says on which '
            'side of a threshold the mean has to be. It is met where the whole interval lies on '
            'that side, failed where the whole interval lies on the other, and open otherwise. '
            'What is counted or proved is exact and needs no seeds: parameters, bytes, operations '
            'follow from definitions and sizes, and stand beside what is measured because the '
            'claims are about both. A criterion stays open, too, where what it measures says '
            'nothing of the claim, as of a network that did not learn. Intervals are not corrected '
            'for the number of criteria.'
        ),
        Paragraph('The verdict on a claim follows from its criteria:'),
        Table(
            ('its criteria', 'verdict', 'which means'),
            tuple((when, Mark(word), meaning) for when, word, meaning in RULE),
        ),
        Paragraph(
            'Thresholds stand in the config of each study, with the reason for each number, and '
            'are the same for all its sizes. Twelve digits of their SHA-256 hash are kept in every '
            'verdict, so that a threshold moved afterwards shows.'
        ),
        Paragraph('A study comes in three sizes:'),
        Definitions(SIZES),
    ]


def commits(entries: Sequence[Entry]) -> Text:
    """Of which commits the measurements are."""
    by_study = {entry.study.name: entry.evidence for entry in entries if entry.evidence}
    counts: dict[str | None, int] = {}
    for evidence in by_study.values():
        for commit in dict.fromkeys(run['commit'] for run in _runs(evidence)):
            counts[commit] = counts.get(commit, 0) + 1
    parts: list[Any] = []
    for commit, count in counts.items():
        of = '' if len(counts) == 1 else f' ({count} of {len(by_study)} studies)'
        parts += [', ', *_commit(commit), of]
    return ('Measured at ', *parts[1:], '.')


def run(entry: Entry) -> Text:
    """What was run for a claim, in a line."""
    link = Link(entry.study.title, anchor(entry.study))
    if entry.evidence is None:
        return ('Not run: there is no evidence of “', link, '” in the folder. It is tested by')
    evidence, rows = entry.evidence, entry.verdict['criteria']
    counts = sorted({row['seeds'] for row in rows})
    seeds = f'{counts[0]} to {counts[-1]} seeds' if len(counts) > 1 else f'{counts[0]} seeds'
    seeds = 'exact' if counts == [0] else seeds.replace('0 to', 'exact and up to')
    time = duration(evidence.manifest['seconds'])
    return (
        '“',
        link,
        f'”, size {evidence.config["size"]}, {seeds}; the whole study took {time} on ',
        *_places(evidence),
        '. Again:',
    )


def studies(entries: Sequence[Entry]) -> list[Any]:
    """Each study: what it does, its setting, its thresholds, and where it was run."""
    blocks = []
    for study in {entry.study.name: entry.study for entry in entries}.values():
        own = [entry for entry in entries if entry.study is study]
        links = [part for e in own for part in (', ', Link(_label(e), e.anchor))]
        head = own[0]
        inner: list[Any] = [
            Heading(3, study.title),
            Paragraph(study.text),
            Paragraph(('Decides ', *links[1:], '.')),
        ]
        if evidence := head.evidence:
            inner += _setting(evidence)
        else:
            inner.append(Paragraph((Mark('not run'), ' It is run by')))
        inner.insert(3 if evidence else 4, Command(head.command))
        blocks.append(Group(anchor(study), '', tuple(inner)))
    return blocks


def _setting(evidence: Evidence) -> list[Any]:
    config, manifest = evidence.config, evidence.manifest
    hidden = ('study', 'size', 'thresholds', 'num_devices')
    simple = tuple(
        (name.replace('_', ' '), text)
        for name, value in config.items()
        if name not in hidden and (text := _value(value)) and len(text) <= 60
    )
    thresholds = tuple(
        (name.replace('_', ' '), Number(v, written(v)) if isinstance(v, int | float) else str(v))
        for name, v in config['thresholds'].items()
    )
    cells = f'{len(evidence.rows)} measurements, {duration(manifest["seconds"])}'
    return [
        Definitions(
            (
                ('size', config['size']),
                *simple,
                ('measured', cells),
                ('machine', _machine(manifest['machine'])),
                ('software', _software(manifest['machine'])),
                ('commit', _commit(manifest['commit'])),
                ('threshold hash', Code(threshold_hash(config['thresholds']))),
            )
        ),
        *_elsewhere(evidence),
        Details('Thresholds', (Definitions(thresholds),)),
        Details('The whole config', (Command('\n'.join(settings(config))),)),
    ]


def settings(config: Mapping[str, Any], indent: str = '') -> list[str]:
    """A config as lines of `name: value`, groups indented."""
    lines = []
    for name, value in config.items():
        if isinstance(value, Mapping):
            lines += [f'{indent}{name}:', *settings(value, indent + '  ')]
        else:
            lines.append(f'{indent}{name}: {_value(value) or repr(value)}')
    return lines


def _value(value: Any) -> str:
    """A number, a name, or a list of them; '' for what is no such thing."""
    if isinstance(value, str | int | float):
        return str(value)
    if isinstance(value, list | tuple) and all(isinstance(v, str | int | float) for v in value):
        return ', '.join(map(str, value))
    return ''


def _commit(commit: str | None) -> tuple[Any, ...]:
    if not commit:
        return ('a copy that is no checkout',)
    changed = ' with uncommitted changes' if commit.endswith('+') else ''
    return ('commit ', Code(commit.rstrip('+')[:12]), changed)


def _runs(evidence: Evidence) -> list[dict[str, Any]]:
    """By what a study was measured; older evidence tells less of it."""
    manifest = evidence.manifest
    made = {name: manifest[name] for name in ('machine', 'commit')}
    return [made | run for run in manifest.get('runs', [{'cells': len(evidence.rows)}])]


def _places(evidence: Evidence) -> tuple[Any, ...]:
    """On which machines and at which commits, in a sentence."""
    counts: dict[tuple[str, str | None], int] = {}
    for run in _runs(evidence):
        place = _machine(run['machine']), run['commit']
        counts[place] = counts.get(place, 0) + run['cells']
    parts: list[Any] = []
    for (machine, commit), count in counts.items():
        of = '' if len(counts) == 1 else f' ({count} of {len(evidence.rows)} measurements)'
        parts += [' and on ', f'{machine}, at ', *_commit(commit), of]
    return tuple(parts[1:])


def _elsewhere(evidence: Evidence) -> list[Any]:
    """Which cells are of which machine and commit, where they are not all of one."""
    runs, rows = _runs(evidence), []
    if len(runs) == 1:
        return []
    for run in runs:
        keys = [evidence.rows[i]['key'] for i in run.get('rows', ())]
        names = '; '.join(' '.join(map(str, key.values())) for key in keys)
        where = f'{_machine(run["machine"])}; {_software(run["machine"])}'
        rows.append((str(run['cells']), _commit(run['commit']), where, names or 'not told'))
    header = ('measurements', 'commit', 'machine and software', 'which')
    return [Details('Which was measured where', (Table(header, tuple(rows)),))]


def _software(machine: Mapping[str, Any]) -> str:
    versions = machine.get('versions', {})
    return ', '.join(f'{name} {version}' for name, version in versions.items()) or 'not known'


def _machine(machine: Mapping[str, Any]) -> str:
    parts = [machine.get('processor', 'a machine not told')]
    if cores := machine.get('cores'):
        parts.append(f'{cores} core{"s" * (cores != 1)}')
    if memory := machine.get('memory_bytes'):
        parts.append(in_bytes(float(memory)))
    if machine.get('platform', 'cpu') != 'cpu':
        parts.append(f'{machine.get("devices", 1)} × {machine.get("device", "device")}')
    return ', '.join(parts)


def _label(entry: Entry) -> str:
    number = entry.claim.number
    return f'claim {number}' if number else f'“{entry.claim.statement}”'
