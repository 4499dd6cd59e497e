"""Rules that make one string of another, and compositions of two: a family of tasks with names.

    Rule(('reverse', 'upper'))('cat')      'TAC'

Every rule is a function from strings to strings, named by the words of its parts in the order in
which they are done. Some are held out for good (`partition`): compositions of parts that are known
from other rules, and all rules that have one of some parts.
"""

import functools
import itertools
import string
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from nlp_models.data.procedural import part_of
from nlp_models.errors import require

ALPHABET = string.ascii_lowercase


def _shift(by: int) -> Callable[[str], str]:
    """Each letter the one so many places on, the first after the last."""
    moved = ALPHABET[by:] + ALPHABET[:by]
    table = str.maketrans(ALPHABET + ALPHABET.upper(), moved + moved.upper())
    return lambda text: text.translate(table)


# Which letters, in which order.
ORDERS: Mapping[str, Callable[[str], str]] = {
    'reverse': lambda text: text[::-1],
    'left': lambda text: text[1:] + text[:1],
    'right': lambda text: text[-1:] + text[:-1],
    'swap': lambda text: text[-1:] + text[1:-1] + text[:1] if len(text) > 1 else text,
    'flip': lambda text: text[1:2] + text[:1] + text[2:],
    'flop': lambda text: text[:-2] + text[-1:] + text[-2:-1],
    'tail': lambda text: text[1:],
    'cut': lambda text: text[:-1],
    'first': lambda text: text[:1],
    'last': lambda text: text[-1:],
    'ends': lambda text: text[:1] + text[-1:] if len(text) > 1 else text,
    'sort': lambda text: ''.join(sorted(text)),
    'twice': lambda text: text + text,
}
# What becomes of each letter.
LETTERS: Mapping[str, Callable[[str], str]] = {
    'upper': str.upper,
    'title': lambda text: text[:1].upper() + text[1:],
    'next': _shift(1),
    'back': _shift(-1),
    'skip': _shift(2),
}
# What is put before them or behind them.
FRAMES: Mapping[str, Callable[[str], str]] = {
    'star': lambda text: '*' + text,
    'dash': lambda text: text + '-',
    'plus': lambda text: '+' + text,
    'hash': lambda text: text + '#',
}
KINDS = (ORDERS, LETTERS, FRAMES)
PARTS: Mapping[str, Callable[[str], str]] = {'copy': str, **ORDERS, **LETTERS, **FRAMES}
"""What rules are made of, by name: of each kind one part or none, in the order of the kinds."""


class Rule(NamedTuple):
    """A rule.

    Attributes:
      names: of its parts, one or two, the one that is done first at the front.
    """

    names: tuple[str, ...]

    def __call__(self, text: str) -> str:
        """What the rule makes of a string."""
        for name in self.names:
            text = PARTS[name](text)
        return text

    @property
    def words(self) -> str:
        """The rule as an instruction: its names with blanks between."""
        return ' '.join(self.names)


class Partition(NamedTuple):
    """Rules that are trained on, and those that never are.

    Attributes:
      trained: single parts, and compositions of two.
      compositions: of two parts, each of which is in rules trained on.
      parts: rules with a part that no rule trained on has.
    """

    trained: tuple[Rule, ...]
    compositions: tuple[Rule, ...]
    parts: tuple[Rule, ...]


@functools.cache
def all_rules(min_length: int, max_length: int) -> tuple[Rule, ...]:
    """Every part and every ordered pair of parts, none that is another's equal.

    Two rules are equal that make the same of all strings of the lengths given; of those the first
    is kept, single parts before pairs. Left out are rules that make the empty string of any, the
    same of all, or a string more than twice as long as it was.

    Args:
      min_length: of the strings, at least 2.
      max_length: of the strings.

    Returns:
      The rules.
    """
    fine = 2 <= min_length <= max_length
    require(fine, 'min_length', min_length, f'must be from 2 to max_length, {max_length}')
    choices = [(None, *kind) for kind in KINDS]
    named = [tuple(n for n in names if n) or ('copy',) for names in itertools.product(*choices)]
    rules = [Rule(names) for names in sorted(named, key=len)]
    found: dict[tuple[str, ...], Rule] = {}
    probes = [text for n in range(min_length, max_length + 1) for text in _probes(n)]
    for rule in rules:
        made = tuple(rule(text) for text in probes)
        fits = all(0 < len(a) <= 2 * len(b) for a, b in zip(made, probes, strict=True))
        if fits and len(set(made)) > 1:
            found.setdefault(made, rule)
    return tuple(found.values())


def partition(
    rules: Sequence[Rule], *, parts: Sequence[str] = ('swap', 'ends'), share: int = 5
) -> Partition:
    """Hold rules out of training: all with some parts, and one in `share` of the other pairs.

    Which pairs is decided by a hash of their names, so that it does not depend on what other rules
    there are.

    Args:
      rules: of `all_rules`.
      parts: those that no rule trained on has.
      share: of how many pairs one is held out, from 2 to 20.

    Returns:
      The rules in three parts.

    Raises:
      InputError: for a part there is none of, or a share out of range.
    """
    for name in parts:
        require(name in PARTS, 'parts', name, f'must be among {", ".join(PARTS)}')
    require(2 <= share <= 20, 'share', share, 'must be from 2 to 20')
    trained, compositions, held = [], [], []
    for rule in rules:
        if set(rule.names) & set(parts):
            held.append(rule)
        elif len(rule.names) > 1 and _drawn(rule) < 20 // share:
            compositions.append(rule)
        else:
            trained.append(rule)
    return Partition(tuple(trained), tuple(compositions), tuple(held))


def _drawn(rule: Rule) -> int:
    """A number from 0 to 19 that is the rule's own."""
    content = np.frombuffer(rule.words.encode(), np.uint8)
    return int(part_of(content[None].astype(np.int64))[0])


def _probes(length: int) -> list[str]:
    """Strings of a length that tell any two rules apart that differ: of several orders and letters.

    With the last letter of the alphabet and its first, equal ones, and all orders of different ones
    up to a length of four.
    """
    letters = 'mzahqcxb'[:length] if length <= 8 else (ALPHABET * length)[:length]
    orders = itertools.islice(itertools.permutations(letters), 24)
    return [''.join(order) for order in orders] + [letters[0] * length, letters[::-1]]
