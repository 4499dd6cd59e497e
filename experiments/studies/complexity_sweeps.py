"""Cells of `complexity` that differ in T alone, or in n and h alone, and how they grow."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from nlp_models.analysis import parallel_time
from nlp_models.analysis.study import Evidence

SIZE = 'nh + h²'


class Sweep(NamedTuple):
    """Cells that differ in one thing.

    Attributes:
      axis: what they differ in: 'T' or `SIZE`.
      held: what is the same, as text.
      points: (place on the axis, value), ascending.
    """

    axis: str
    held: str
    points: list[tuple[int, Any]]

    def exponents(self, rows: Sequence[Sequence[float]]) -> list[float]:
        """Slopes of log value against log place: of each point its values, one a repetition."""
        return parallel_time.exponents([place for place, _ in self.points], rows)


def sweeps(evidence: Evidence, what: str) -> list[Sweep]:
    """Over T at the n and h with most of them, over nh + h² at the T with most; those there are."""
    sizes: dict[tuple, list] = {}
    lengths: dict[int, list] = {}
    for key, value in evidence.select(what=what):
        n, h, length = key['input'], key['hidden'], key['length']
        sizes.setdefault((n, h), []).append((length, value))
        lengths.setdefault(length, []).append((n * h + h * h, value))
    found = []
    for axis, groups in (('T', sizes), (SIZE, lengths)):
        if not groups:
            continue
        at, points = max(groups.items(), key=lambda group: len(group[1]))
        if len({place for place, _ in points}) >= 2:
            held = _of_size(*at) if isinstance(at, tuple) else f'T = {at}'
            found.append(Sweep(axis, held, sorted(points, key=lambda point: point[0])))
    return found


def sizes_of(key: dict) -> str:
    """A cell's n, h and T as text."""
    return f'{_of_size(key["input"], key["hidden"])} and T = {key["length"]}'


def _of_size(n: int, h: int) -> str:
    return f'n = h = {h}' if n == h else f'n = {n} and h = {h}'
