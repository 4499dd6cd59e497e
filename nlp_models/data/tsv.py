"""A user's file of text pairs: a source, a tab and a target a line."""

import hashlib
from pathlib import Path

from nlp_models.data.lines import read_lines
from nlp_models.errors import InputError

Pair = tuple[str, str]
"""A source and its target."""


def read_tsv(path: Path) -> list[Pair]:
    """Reads a file of pairs, checking every line.

    Args:
      path: a UTF-8 text file; a byte order mark is dropped, lines end with LF or CRLF.

    Returns:
      The pairs in the order of the file, blanks around sources and targets stripped.

    Raises:
      InputError: if the file cannot be read, a line is not UTF-8, has not exactly one tab or has
        nothing before or after it (with the line's number), or there is no line.
    """
    pair = 'a source, a tab and a target'
    lines = read_lines(path, file=f'a text file with {pair} a line', line=pair)
    return [_read_line(line, f'{str(path)!r}, line {n}') for n, line in enumerate(lines, 1)]


def split_pairs(pairs: list[Pair], shares: tuple[float, float, float]) -> dict[str, list[Pair]]:
    """Deals pairs out to the splits by a hash of their sources.

    Pairs of one source stay together, so no source is in two splits, however often it occurs and
    whatever order the file is in; the shares are met up to that.

    Args:
      pairs: sources and targets.
      shares: of train, validation and test, summing to 1.

    Returns:
      The pairs of each split, in the order given.
    """
    digests = {source: hashlib.sha256(source.encode()).digest() for source, _ in pairs}
    order = sorted(range(len(pairs)), key=lambda i: digests[pairs[i][0]])
    cuts = [round(len(pairs) * shares[0]), round(len(pairs) * (shares[0] + shares[1]))]
    for which, cut in enumerate(cuts):
        while 0 < cut < len(order) and pairs[order[cut]][0] == pairs[order[cut - 1]][0]:
            cut += 1
        cuts[which] = cut
    parts = order[: cuts[0]], order[cuts[0] : cuts[1]], order[cuts[1] :]
    names = ('train', 'validation', 'test')
    return {name: [pairs[i] for i in sorted(part)] for name, part in zip(names, parts, strict=True)}


def _read_line(line: bytes, where: str) -> Pair:
    """A line's source and target."""
    try:
        text = line.decode().removesuffix('\r')
    except UnicodeDecodeError as error:
        raise InputError(
            f'{where} is not UTF-8 at its byte {error.start}: convert the file to UTF-8 first'
        ) from error
    fields = [field.strip() for field in text.split('\t')]
    if len(fields) != 2:
        tabs = len(fields) - 1
        found = f'{tabs or "no"} tab{"" if tabs == 1 else "s"} in {_shorten(text)}'
        raise InputError(f'{where} has {found}: give a source, one tab and a target')
    for name, field in zip(('source', 'target'), fields, strict=True):
        if not field:
            raise InputError(f'{where} has an empty {name}: {_shorten(text)}')
    return fields[0], fields[1]


def _shorten(text: str) -> str:
    """A line as it is shown in an error."""
    return repr(text if len(text) <= 60 else text[:57] + '...')
