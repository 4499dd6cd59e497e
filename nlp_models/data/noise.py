"""Making good text bad, in known ways and amounts: what data quality costs can then be measured.

Every function depends on its arguments alone: one seed, one result, on every platform.
"""

from collections.abc import Callable, Sequence

import numpy as np

from nlp_models.data.batches import random_generator
from nlp_models.errors import require

BOILERPLATE = (
    'Click here to subscribe to our newsletter and never miss an update.',
    'All rights reserved. No part of this page may be copied without permission.',
    'Home | About | Contact | Privacy policy | Terms of use | Site map',
    'This site uses cookies to give you the best possible experience.',
    'Share this page: mail, print, bookmark. You have 0 items in your basket.',
)
"""Lines that pages repeat and that say nothing."""

_LETTERS = np.array(list('abcdefghijklmnopqrstuvwxyz'))
_SYMBOLS = np.array([chr(code) for code in range(33, 127)])


def misspell(text: str, rate: float, seed: int) -> str:
    """Changes single characters: swapped with the next, left out, or a letter put before them.

    Args:
      text: any.
      rate: the probability with which each character begins a change, each of the three kinds
        equally likely.
      seed: which characters.

    Returns:
      About as long a text.
    """
    _check_share('rate', rate)
    rng = random_generator(seed, 11)
    changes = rng.random(len(text)) < rate
    kinds = rng.integers(3, size=len(text))
    extra = _LETTERS[rng.integers(len(_LETTERS), size=len(text))]
    made, place = [], 0
    while place < len(text):
        if not changes[place]:
            made.append(text[place])
        elif kinds[place] == 0 and place + 1 < len(text):
            made += [text[place + 1], text[place]]
            place += 1
        elif kinds[place] == 2:
            made += [str(extra[place]), text[place]]
        place += 1
    return ''.join(made)


def shuffle_words(text: str, seed: int) -> str:
    """Puts a text's words in a random order; the blanks and line ends between them stay."""
    rng = random_generator(seed, 12)
    words = text.split()
    order = rng.permutation(len(words))
    made, start = [], 0
    for number, word in zip(order, words, strict=True):
        place = text.index(word, start)
        made += [text[start:place], words[number]]
        start = place + len(word)
    return ''.join([*made, text[start:]])


def add_boilerplate(text: str, seed: int) -> str:
    """Puts two different lines of `BOILERPLATE` before a text, and two behind it."""
    rng = random_generator(seed, 13)
    lines = [BOILERPLATE[i] for i in rng.permutation(len(BOILERPLATE))[:4]]
    return '\n'.join([*lines[:2], text, *lines[2:]])


def random_string(length: int, seed: int) -> str:
    """Visible ASCII characters, each equally likely, in runs of 2 to 12 with blanks between."""
    rng = random_generator(seed, 14)
    symbols = _SYMBOLS[rng.integers(len(_SYMBOLS), size=length)]
    place = int(rng.integers(2, 13))
    while place < length:
        symbols[place] = ' '
        place += 1 + int(rng.integers(2, 13))
    return ''.join(symbols)


NOISES: dict[str, Callable[[str, int], str]] = {
    'misspelled': lambda text, seed: misspell(text, 0.15, seed),
    'shuffled': shuffle_words,
    'boilerplate': add_boilerplate,
    'random': lambda text, seed: random_string(len(text), seed),
}
"""Ways to spoil a document, `(text, seed) -> text`; misspelled: at every seventh character."""


def spoil(
    documents: Sequence[str], share: float, seed: int, kinds: Sequence[str] = tuple(NOISES)
) -> tuple[list[str], list[str]]:
    """Spoils some documents, each in one way.

    Args:
      documents: the texts.
      share: of the documents, to the nearest, that are spoiled; the ways in turns.
      seed: which ones, and how.
      kinds: of `NOISES`.

    Returns:
      (the texts in their places, for each the way in which it was spoiled, '' where it was not).

    Raises:
      InputError: for a share outside [0, 1], or a way there is none of.
    """
    _check_share('share', share)
    for kind in kinds:
        require(kind in NOISES, 'kind of noise', kind, f'must be one of {", ".join(NOISES)}')
    order = random_generator(seed, 15).permutation(len(documents))
    texts, ways = list(documents), [''] * len(documents)
    for turn, number in enumerate(map(int, order[: round(share * len(documents))])):
        ways[number] = kinds[turn % len(kinds)]
        # Not the seed itself: documents must differ in what is done to them.
        own = int(random_generator(seed, 16, number).integers(2**31))
        texts[number] = NOISES[ways[number]](documents[number], own)
    return texts, ways


def duplicate(
    documents: Sequence[str], share: float, seed: int, originals: int | None = None
) -> list[str]:
    """Replaces documents by copies of others until a share of all are copies.

    As many documents come out as went in, so more copies mean fewer different texts; of a web crawl
    it is so, too: a page that is there twice takes another's place.

    Args:
      documents: the texts, at least one.
      share: of the documents, to the nearest, that become copies.
      seed: which ones, and which are copied.
      originals: how many different documents are copied, each alike likely: few of them are there
        very often then, as pages of a crawl are. None for any that is left.

    Returns:
      The texts, in a random order.

    Raises:
      InputError: for a share outside [0, 1), or one that leaves no document, or fewer than there
        are originals.
    """
    copies = round(share * len(documents))
    right = 0 <= share < 1 and copies < len(documents)
    require(right, 'share of copies', share, f'must leave one of {len(documents)} documents')
    rng = random_generator(seed, 17)
    kept = rng.permutation(len(documents))[copies:]
    most = len(kept) if originals is None else originals
    require(1 <= most <= len(kept), 'originals', most, f'must be from 1 to {len(kept)}')
    chosen = np.concatenate([kept, kept[rng.integers(most, size=copies)]])
    return [documents[int(number)] for number in rng.permutation(chosen)]


def _check_share(name: str, share: float) -> None:
    require(0 <= share <= 1, name, share, 'must be from 0 to 1')
