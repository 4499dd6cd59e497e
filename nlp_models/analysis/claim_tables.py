"""The tables of a report: all claims, the criteria of one, and where each equation stands."""

from collections.abc import Sequence
from typing import Any

from nlp_models.analysis.document import Break, Code, File, Link, Mark, Number, Small, Table, Text
from nlp_models.analysis.gathering import Entry
from nlp_models.analysis.numbers import last_digit
from nlp_models.analysis.numbers import write as written

NONE = '–'
CONTEXT = 'context'
HEADER = ('claim', 'section', 'verdict', 'found [95\u00a0%]', 'needed')


def name(entry: Entry) -> str:
    """What a claim is called in links to it."""
    if entry.claim.number:
        return f'Claim {entry.claim.number}'
    return f'Finding {entry.anchor.rpartition("-")[2]} of “{entry.study.title}”'


def place(entry: Entry) -> str:
    """The section of a claim; 'context' for a finding that is no claim of the tutorial's."""
    return entry.claim.section if entry.claim.number else CONTEXT


def estimate(row: dict[str, Any]) -> Text:
    """An estimate with its interval, as they stand in a verdict or one of its criteria."""
    value, interval = row['estimate'], row['interval']
    if value is None:
        return NONE
    if interval is None or interval[0] == interval[1]:
        note = '\u00a0(all seeds)' if row['seeds'] > 1 else ''
        note = '\u00a0(exact)' if row['seeds'] == 0 else note
        return (Number(value, written(value)), note)
    last = last_digit([value, *interval], (interval[1] - interval[0]) / 2)
    low, high = (Number(end, written(end, last)) for end in interval)
    # No-break spaces: an interval stays on one line, below its mean where both are too wide.
    return (Number(value, written(value, last)), ' [', low, ',\u00a0', high, ']')


def needed(row: dict[str, Any]) -> Text:
    """What an estimate is compared with; the threshold itself counts as met."""
    threshold = Number(row['threshold'], written(row['threshold']))
    if row['relation'] == 'within':
        tolerance = row['tolerance']
        if tolerance == 0:
            return ('=\u00a0', threshold)
        return (threshold, '\u00a0±\u00a0', Number(tolerance, written(tolerance)))
    return ('≥\u00a0' if row['relation'] == 'above' else '≤\u00a0', threshold)


def summary(entries: Sequence[Entry]) -> Table:
    """All claims with their verdicts, each a link to what is said of it."""
    rows = []
    for entry in entries:
        claim, verdict = entry.claim, entry.verdict
        number = f'{claim.number}. ' if claim.number else ''
        found: Text = NONE
        if verdict and verdict['estimate'] is not None:
            head = verdict['criteria'][0]
            found = (estimate(verdict), Break(), Small(f'{head["measure"]}; {head["condition"]}'))
        limit = needed(verdict['criteria'][0]) if verdict else NONE
        link = Link(number + claim.statement, entry.anchor)
        rows.append((link, place(entry), Mark(entry.word), found, limit))
    caption = 'Where several criteria decide a claim, the first of them is shown.'
    return Table(HEADER, tuple(rows), caption)


def criteria(verdict: dict[str, Any]) -> Table:
    """The criteria of a verdict; a note that is the verdict's own is not repeated."""
    rows = verdict['criteria']
    measures = list(dict.fromkeys(row['measure'] for row in rows))
    alike = len(measures) == 1
    lines = []
    for row in rows:
        condition = row['condition'].strip() or 'all'
        name = condition if alike else (condition, Break(), Small(row['measure']))
        seeds = str(row['seeds']) if row['seeds'] else 'exact'
        said: list[Any] = [Mark(row['outcome'])]
        if row['control']:
            said.append(' (control)')
        if row['note'] and row['note'] != verdict['note']:
            said += [Break(), Small(row['note'])]
        outcome: Text = tuple(said)
        lines.append((name, estimate(row), needed(row), seeds, outcome))
    header = ('condition', 'estimate [95\u00a0%]', 'needed', 'seeds', 'outcome')
    return Table(header, tuple(lines), measures[0] if alike else '')


def where(entries: Sequence[Entry]) -> Table:
    """Section, equation, file, command and verdict of each claim."""
    rows = []
    for entry in entries:
        claim = entry.claim
        section = f'§\u00a0{claim.section}' if claim.number else CONTEXT
        rows.append(
            (
                (f'{section}, ', Link(name(entry), entry.anchor)),
                (Code(claim.equation), Break(), File(claim.file)),
                Code(entry.command),
                Mark(entry.word),
            )
        )
    return Table(('section', 'equation and file', 'command', 'verdict'), tuple(rows))
