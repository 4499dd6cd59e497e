"""A world of made-up people: what is true of them, and how often each fact is to be told.

People have a first name and a family name, both invented, and one value for each of some
relations: a city of birth, a trade, a pet. Every fact has a known number of times it is told, from
never to often. Besides people there are strangers, who are never mentioned: each name of a stranger
is that of some people, so that only their combination is new.

`telling` makes sentences and questions of it. All is drawn by a hash (`draws`).
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from nlp_models.data.synthetic import draws
from nlp_models.errors import require

STOP, UNKNOWN = 0, 1
"""Tokens: the full stop, and the word 'unknown'."""

# What stands before a value, with the two names at '_': three phrasings each; and the values.
PHRASES: tuple[tuple[tuple[str, str, str], str], ...] = (
    (
        ('_ was born in', 'the birthplace of _ is', '_ first saw light in'),
        'Arlesk Bovent Carmoor Delvig Estrin Falloway Gortlin Hadlow Ivernia Jornvik Kelsmar '
        'Lundvale Morvant Nantrell Orlomont Pelgrave',
    ),
    (
        ('_ works as a', 'the trade of _ is', '_ earns money as a'),
        'baker cooper dyer farmer glazier hunter joiner mason miller nurse painter porter sailor '
        'tailor teacher weaver',
    ),
    (
        ('_ keeps a', 'the pet of _ is a', 'at home _ has a'),
        'canary cat dog ferret finch frog goat hamster lizard mouse otter parrot rabbit snake '
        'tortoise toad',
    ),
    (
        ('_ plays the', 'the instrument of _ is the', 'in concerts _ takes the'),
        'bassoon bugle cello cornet drum fiddle flute guitar harp horn lute oboe organ piano viola '
        'zither',
    ),
    (
        ('_ wears', 'the colour of _ is', 'everything of _ was painted'),
        'amber black blue brown crimson green grey ivory mauve orange pink purple red scarlet '
        'white yellow',
    ),
    (
        ('_ came to school in', 'the school year of _ is', 'lessons began for _ in'),
        '1951 1952 1953 1954 1955 1956 1957 1958 1959 1960 1961 1962 1963 1964 1965 1966',
    ),
)
RELATIONS, VALUES, PHRASINGS = len(PHRASES), 16, 3
"""How many relations there are at most, and of each the values and the phrasings."""

_CONSONANTS, _VOWELS, _ENDS = 'bdfgklmnprstvz', 'aeiou', 'nrls'
# What each draw is for; `telling` has others.
_NAMES, _PEOPLE, _VALUES, _UNTOLD, _OFTEN = range(5)


class World(NamedTuple):
    """Who there is, what is true of them, and how often it is told.

    Attributes:
      seed: that it was drawn with.
      words: the word of each token, V of them.
      people: tokens of first and family name, int32 `[P, 2]`.
      strangers: likewise, of people who are never mentioned, int32 `[S, 2]`.
      values: the token of each person's value of each relation, int32 `[P, R]`.
      mentions: how often each is told, int32 `[P, R]`; 0 for those untold.
    """

    seed: int
    words: tuple[str, ...]
    people: np.ndarray
    strangers: np.ndarray
    values: np.ndarray
    mentions: np.ndarray

    @property
    def vocab_size(self) -> int:
        """V."""
        return len(self.words)


def make(
    seed: int,
    *,
    people: int = 160,
    names: int = 24,
    relations: int = 6,
    untold: int = 2,
    values: int = 16,
    frequencies: Sequence[int] = (1, 4, 16, 64, 256, 1024),
    exponent: float = 0.25,
) -> World:
    """Draw a world.

    Of the facts that are taught a share in proportion to f^(−exponent) is told f times: 0 gives
    every frequency as many facts; with 1, and frequencies spaced evenly in their logarithm, the
    frequency of a fact falls as 1 / its rank, which is Zipf's law. Values are uniform and
    independent: who was told nothing of a fact can only guess, and is right once in `values` times.

    Args:
      seed: of the world.
      people: P; there are as many strangers.
      names: how many first names there are, and as many family names; few enough for every name to
        be that of several people, many enough for as many pairs to be left over.
      relations: R, at most `RELATIONS`.
      untold: of how many relations each person's value is never told, below R.
      values: of each relation, from 2 to `VALUES`.
      frequencies: how often facts are told, ascending, each at least 1.
      exponent: at least 0.

    Returns:
      The world, a function of the arguments alone.

    Raises:
      InputError: for a number out of range.
    """
    require(0 <= seed < 2**64, 'seed', seed, 'must be from 0 to 2⁶⁴ − 1')
    require(people >= 4, 'people', people, 'must be at least 4')
    most = (len(_CONSONANTS) * len(_VOWELS)) ** 2
    require(2 <= names <= most, 'names', names, f'must be from 2 to {most}')
    require(1 <= relations <= RELATIONS, 'relations', relations, f'must be from 1 to {RELATIONS}')
    require(0 <= untold < relations, 'untold', untold, f'must be from 0 to {relations - 1}')
    require(2 <= values <= VALUES, 'values', values, f'must be from 2 to {VALUES}')
    often = np.asarray(frequencies, np.int64)
    rising = often.size > 0 and often[0] >= 1 and (np.diff(often) > 0).all()
    require(bool(rising), 'frequencies', frequencies, 'must be numbers from 1 on, ascending')
    require(exponent >= 0, 'exponent', exponent, 'must be at least 0')

    said = (word for phrasings, _ in PHRASES for one in phrasings for word in one.split())
    words = ['.', 'unknown', *dict.fromkeys(word for word in said if word != '_')]
    first_name = len(words)
    words += _names(seed, names)
    first_value = len(words)
    for _, known in PHRASES[:relations]:
        words += known.split()[:values]
    met, strangers = _pairs(seed, people, names)
    drawn = draws.below(random_words(seed, _VALUES, people * relations), values)
    drawn = drawn.reshape(people, relations) + first_value + values * np.arange(relations)
    return World(
        seed=seed,
        words=tuple(words),
        people=(first_name + met).astype(np.int32),
        strangers=(first_name + strangers).astype(np.int32),
        values=drawn.astype(np.int32),
        mentions=_mentions(seed, (people, relations), untold, often, exponent),
    )


def _names(seed: int, number: int) -> list[str]:
    """First names, which end in a vowel, then as many family names, which end in a consonant."""
    syllables = [c + v for c in _CONSONANTS for v in _VOWELS]
    found = []
    order = shuffled(seed, _NAMES, 2 * len(syllables) ** 2)
    for family in (False, True):
        for one in order[order % 2 == family][:number] // 2:
            first, second = divmod(int(one), len(syllables))
            end = _ENDS[one % len(_ENDS)] if family else ''
            found.append((syllables[first] + syllables[second]).title() + end)
    return found


def _pairs(seed: int, people: int, names: int) -> tuple[np.ndarray, np.ndarray]:
    """Places of both names among all names, of people and of strangers `[P, 2]`, no pair twice.

    Raises:
      InputError: where too few pairs are left of names that people have.
    """
    order = shuffled(seed, _PEOPLE, names**2)
    pairs = np.stack([order // names, names + order % names], axis=1)
    met, rest = pairs[:people], pairs[people:]
    rest = rest[np.isin(rest, met).all(axis=1)]
    few = f'must leave {people} pairs of names that no one has; of these it leaves {len(rest)}'
    require(len(met) == people and len(rest) >= people, 'names', names, few)
    return met, rest[:people]


def _mentions(
    seed: int, shape: tuple[int, int], untold: int, often: np.ndarray, exponent: float
) -> np.ndarray:
    """How often each fact is told `[P, R]`."""
    people, relations = shape
    hidden = np.zeros(shape, bool)
    if untold:
        streams = random_words(seed, _UNTOLD, people)
        np.put_along_axis(hidden, draws.distinct(draws.words(streams, untold), relations), True, 1)
    told = np.flatnonzero(~hidden)
    told = told[shuffled(seed, _OFTEN, len(told))]
    ends = np.cumsum(often ** -float(exponent))
    ends = np.round(ends / ends[-1] * len(told)).astype(np.int64)
    mentions = np.zeros(hidden.size, np.int32)
    mentions[told] = often[np.searchsorted(ends, np.arange(len(told)), side='right')]
    return mentions.reshape(shape)


def random_words(seed: int, stream: int, number: int) -> np.ndarray:
    """Words `[number]` of one of a seed's streams."""
    start = draws.mix(draws.mix(np.array([seed], np.uint64)) + np.uint64(stream))
    return draws.words(start, number)[0]


def shuffled(seed: int, stream: int, number: int) -> np.ndarray:
    """The numbers below `number` in a random order."""
    return np.argsort(random_words(seed, stream, number), kind='stable')
