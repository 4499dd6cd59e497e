"""The tutorial's claims and what was found, as one page (`index.html`) and as `report.md`.

    write(studies, workdir, output) -> page

Everything in it follows from the evidence in the folder: verdicts are judged and pictures drawn
anew, so the same evidence gives the same report on any day and machine.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from nlp_models.analysis import argument, claim_tables, html, methods, training_runs
from nlp_models.analysis.claim_tables import CONTEXT
from nlp_models.analysis.document import (
    Break,
    Code,
    Command,
    Definitions,
    Details,
    Figure,
    File,
    Group,
    Heading,
    Link,
    Mark,
    Paragraph,
    Small,
    Strong,
)
from nlp_models.analysis.gathering import Entry, gather
from nlp_models.analysis.markdown import Writer
from nlp_models.analysis.study import Study
from nlp_models.analysis.verdicts import VERDICTS
from nlp_models.errors import InputError

TITLE = 'From RNNs to LLMs: the claims, put to the test'
MANY = 8  # criteria; more than these are shown when asked for
WORDS = (*VERDICTS, 'not run')


def write(
    studies: Sequence[Study],
    workdir: Path,
    output: Path,
    *,
    root: Path | None = None,
    say: Callable[[str], Any] = lambda text: None,
) -> Path:
    """Write the report of a folder: of its studies, or where it has none of its training runs.

    Args:
      studies: those there are, in the order of the tutorial.
      workdir: the folder; what is up to two levels below it counts.
      output: where to, made if it is not there: `index.html`, `report.md`, and pictures that are
        not beside their evidence.
      root: of the repository, for links to its files; None: without.
      say: told each claim's verdict in a line.

    Returns:
      The page.

    Raises:
      InputError: for a folder with neither, for evidence or runs that cannot be read, and where
        `output` cannot be written.
    """
    if not workdir.is_dir():
        raise InputError(f'workdir {workdir} is no folder')
    entries = gather(studies, workdir, output)
    if any(entry.evidence for entry in entries):
        title, blocks = TITLE, compose(entries)
        for entry in entries:
            name = claim_tables.name(entry) + f' ({CONTEXT})' * (not entry.claim.number)
            say(f'{name}: {entry.word.upper()}. {entry.claim.statement}')
    else:
        title, blocks = training_runs.TITLE, training_runs.compose(workdir, output)
    try:
        output.mkdir(parents=True, exist_ok=True)
        (output / 'report.md').write_text(Writer(output, root).write(blocks), encoding='utf-8')
        path = output / 'index.html'
        path.write_text(html.render(title, blocks), encoding='utf-8')
    except OSError as error:
        raise InputError(f'output {output} cannot be written: {error.strerror}') from error
    return path


def compose(entries: Sequence[Entry]) -> list[Any]:
    """The report of studies, as a document.

    Args:
      entries: of every claim.

    Returns:
      Its blocks.
    """
    claims = sorted(
        (entry for entry in entries if entry.claim.number),
        key=lambda entry: (_order(entry.claim.section), entry.claim.number),
    )
    beside = [entry for entry in entries if not entry.claim.number]
    return [
        Heading(1, TITLE),
        *_lead(claims, beside),
        Group('summary', '', (Heading(2, 'All claims'), claim_tables.summary([*claims, *beside]))),
        Group('argument', '', (Heading(2, 'The argument'), *_argument(claims, beside))),
        Group(
            'map', '', (Heading(2, 'Where everything is'), claim_tables.where([*claims, *beside]))
        ),
        Group('method', '', (Heading(2, 'How it was decided'), *methods.rules())),
        Group('studies', '', (Heading(2, 'What was run'), *methods.studies(entries))),
    ]


def _lead(claims: Sequence[Entry], beside: Sequence[Entry]) -> list[Any]:
    counts = {word: sum(entry.word == word for entry in claims) for word in WORDS}
    told: list[Any] = [Strong(f'{len(claims)} claims:')]
    for word, count in counts.items():
        if count:
            told += [f' {count} ', Mark(word), ' ']
    blocks = [
        Paragraph(
            'A tutorial on the road from recurrent networks to large language models makes these '
            'claims. Each was put to the test with its threshold fixed before; the verdicts below '
            'follow by a rule from what was measured and counted.'
        ),
        Paragraph(tuple(told)),
    ]
    if beside:
        findings = '1 finding' if len(beside) == 1 else f'{len(beside)} findings'
        link = Link(findings, CONTEXT)
        told = ['For context: ', link, ', no claims of the tutorial’s and not counted here.']
        blocks.append(Paragraph(tuple(told)))
    blocks.append(Paragraph(methods.commits([*claims, *beside]), 'small'))
    if told := [entry for entry in (*claims, *beside) if entry.written]:
        links = [
            part for entry in told for part in (', ', Link(claim_tables.name(entry), entry.anchor))
        ]
        text = 'What was kept beside the evidence is not what follows from it now: '
        blocks.append(Paragraph((text, *links[1:], '.'), 'notice'))
    numbers = dict.fromkeys(section.number for section in _sections(claims))
    contents = [Link('All claims', 'summary'), ' · ']
    for number in numbers:
        contents += [Link(f'§\u00a0{number}', _section_anchor(number)), ' · ']
    if beside:
        contents += [Link('Context', CONTEXT), ' · ']
    contents += [Link('Map', 'map'), ' · ', Link('Method', 'method'), ' · ']
    contents.append(Link('What was run', 'studies'))
    return [*blocks, Paragraph(tuple(contents), 'contents')]


def _argument(claims: Sequence[Entry], beside: Sequence[Entry]) -> list[Any]:
    told, shown, blocks = set(), {}, []
    for section in _sections(claims):
        title = f'{section.number} {section.title}'.strip()
        inner: list[Any] = [Heading(3, title)]
        if section.text:
            inner.append(Paragraph(section.text))
        own = [entry for entry in claims if entry.claim.section == section.number]
        inner += _claims(own, told, shown)
        blocks.append(Group(_section_anchor(section.number), '', tuple(inner)))
    if beside:
        text = 'What was found beside the argument: these are no claims of the tutorial’s.'
        inner = [Heading(3, 'Context'), Paragraph(text), *_claims(beside, told, shown)]
        blocks.append(Group(CONTEXT, '', tuple(inner)))
    return blocks


def _claims(entries: Sequence[Entry], told: set[str], shown: dict[Any, Entry]) -> list[Any]:
    """The claims of a section; each study is told of once, each picture shown once a chapter."""
    blocks = []
    for entry in entries:
        if entry.study.name not in told:
            told.add(entry.study.name)
            link = Link(entry.study.title, methods.anchor(entry.study))
            blocks.append(Paragraph(('Put to the test by “', link, '”. ', entry.study.text)))
        blocks.append(_claim(entry, shown))
    return blocks


def _claim(entry: Entry, shown: dict[Any, Entry]) -> Group:
    claim, verdict = entry.claim, entry.verdict
    name = f'{CONTEXT.capitalize()} · ' * (not claim.number) + claim_tables.name(entry)
    title = (Small(f'{name} '), Mark(entry.word), Break(), claim.statement)
    blocks: list[Any] = [Heading(4, title)]
    if verdict:
        for name in ('condition', 'note'):
            if verdict[name]:
                blocks.append(Paragraph(_lines(_sentence(verdict[name]))))
    if entry.written:
        blocks.append(Paragraph(entry.written, 'notice'))
    blocks.append(
        Definitions(
            (
                ('measured', claim.measured),
                ('equation', (Code(claim.equation), ' in ', File(claim.file))),
            )
        )
    )
    blocks += [*entry.tables, *_pictures(entry, shown)]
    if verdict:
        table = claim_tables.criteria(verdict)
        several = len(verdict['criteria'])
        met = sum(row['outcome'] == 'met' for row in verdict['criteria'])
        summary = f'{several} criteria, {met} met'
        blocks.append(Details(summary, (table,)) if several > MANY else table)
    blocks.append(Paragraph(methods.run(entry), 'small'))
    blocks.append(Command(entry.command))
    return Group(entry.anchor, 'claim', tuple(blocks))


def _pictures(entry: Entry, shown: dict[Any, Entry]) -> list[Figure | Paragraph]:
    """The pictures of a claim; of those that are above already, where."""
    chapter = entry.claim.section.split('.')[0] if entry.claim.number else CONTEXT
    figures, above = [], []
    for picture in entry.pictures:
        first = shown.setdefault((chapter, picture.file), entry)
        if first is entry:
            figures.append(Figure(picture.file, picture.caption))
        else:
            above.append(Link(claim_tables.name(first), first.anchor))
    if above:
        links = [part for link in dict.fromkeys(above) for part in (' and ', link)]
        start = {
            (True, True): 'One more picture is that of ',
            (True, False): 'More pictures are those of ',
            (False, True): 'The picture is that of ',
            (False, False): 'The pictures are those of ',
        }
        text = start[bool(figures), len(above) == 1]
        figures.append(Paragraph((text, *links[1:], '.')))
    return figures


def _sections(claims: Sequence[Entry]) -> list[argument.Section]:
    """Those of the argument, and any others that claims are in."""
    known = {section.number: section for section in argument.ARGUMENT}
    numbers = {*known, *(entry.claim.section for entry in claims)}
    return [
        known.get(number) or argument.Section(number, '', '')
        for number in sorted(numbers, key=_order)
    ]


def _order(section: str) -> tuple:
    return tuple((not part.isdigit(), part.zfill(4)) for part in section.split('.'))


def _section_anchor(number: str) -> str:
    return f'section-{number.replace(".", "-")}'


def _lines(text: str) -> tuple[Any, ...]:
    """A text with a new line after each semicolon: lists of conditions can be long."""
    first, *rest = text.split('; ')
    return (first, *(part for line in rest for part in (';', Break(), line)))


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + ('' if text.endswith('.') else '.')
