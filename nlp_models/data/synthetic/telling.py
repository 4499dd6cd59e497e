"""The world's text, and what is asked about it.

    world = make(0)
    rows = sentences(world, statements(world, order=0))     # what a model reads
    asked = questions(world, 'test')                        # what it is asked then

A fact is told in one of several phrasings, with its value at the end; so what stands before the
value is a question. There are three kinds:

    taught      the fact was told
    untold      the person is known by other facts; this one was never told
    stranger    no such person was ever mentioned; it has no true answer

Every name in a question was read in training.
"""

import re
from typing import NamedTuple

import numpy as np

from nlp_models.data.synthetic import draws
from nlp_models.data.synthetic.world import (
    PHRASES,
    PHRASINGS,
    STOP,
    UNKNOWN,
    World,
    random_words,
    shuffled,
)
from nlp_models.errors import require

KINDS = ('taught', 'untold', 'stranger')
SPLITS = ('lesson', 'validation', 'test')
"""Of questions. Those of lessons may be answered 'unknown' in the text, the others never are."""

_SHARES = (1, 1, 2)  # of untold facts and strangers, by split; of taught ones, none for lessons
# What each draw is for; `world` has others.
_SPLIT, _ASKED, _WHICH, _PHRASE, _ORDER, _LESSON = range(10, 16)


class Questions(NamedTuple):
    """Sentences without their last word.

    Attributes:
      tokens: int32 `[Q, T]`, beginning with STOP and filled up with it.
      last: the place of the last token of each, int32 `[Q]`: the answer is what comes next.
      answers: the token that is true, int32 `[Q]`; −1 for strangers, of whom nothing is.
      kinds: index into `KINDS`, int32 `[Q]`.
      mentions: how often the fact was told, int32 `[Q]`.
    """

    tokens: np.ndarray
    last: np.ndarray
    answers: np.ndarray
    kinds: np.ndarray
    mentions: np.ndarray


class Sentences(NamedTuple):
    """Rows of training text.

    Attributes:
      tokens: int32 `[N, T + 2]`: STOP, the sentence, STOP, filled up with it.
      weights: float32 `[N, T + 1]`: 1 where one of the sentence's tokens is predicted.
      lessons: whether the sentence is one that says 'unknown', bool `[N]`.
    """

    tokens: np.ndarray
    weights: np.ndarray
    lessons: np.ndarray


def statements(world: World, *, order: int, lesson_mentions: int = 0) -> np.ndarray:
    """The training text as one number a sentence: each fact as often as it is told, shuffled.

    Args:
      world: the world.
      order: seed of the order, and of each sentence's phrasing.
      lesson_mentions: how often each question of the split 'lesson' is told besides, with
        'unknown' for an answer.

    Returns:
      int64 `[N]`, for `sentences`. Without its lessons it is the text without lessons: the same
      sentences in the same order.
    """
    facts = np.repeat(np.arange(world.mentions.size), world.mentions.ravel())
    facts = PHRASINGS * facts + draws.below(random_words(order, _PHRASE, len(facts)), PHRASINGS)
    asked = np.concatenate([_asked(world, kind, 'lesson') for kind in KINDS])
    lessons = np.repeat(asked, lesson_mentions)
    # Places are drawn apart, so that those of facts are the same with and without lessons.
    places = [random_words(order, _ORDER, len(facts)), random_words(order, _LESSON, len(lessons))]
    text = np.concatenate([facts, -1 - lessons])
    return text[np.argsort(np.concatenate(places), kind='stable')]


def sentences(world: World, said: np.ndarray) -> Sentences:
    """Rows of tokens.

    Args:
      world: the world.
      said: some of `statements` `[N]`.

    Returns:
      The sentences.
    """
    lessons = said < 0
    codes = np.where(lessons, -1 - said, said)
    tokens, last = _render(world, codes)
    answers = np.where(lessons, UNKNOWN, _truth(world, codes))
    tokens = np.pad(tokens, ((0, 0), (0, 2)))
    np.put_along_axis(tokens, last[:, None] + 1, answers[:, None].astype(np.int32), axis=1)
    # The stop behind the answer is predicted, too: it stands at last + 2.
    weights = np.arange(tokens.shape[1] - 1) <= last[:, None] + 1
    return Sentences(tokens, weights.astype(np.float32), lessons)


def questions(world: World, split: str) -> Questions:
    """What a model is asked, the same for every order of the text.

    Args:
      world: the world.
      split: one of `SPLITS`. Of taught facts half are in 'validation' and half in 'test'; of facts
        untold and of strangers, each of whom is asked for as many values as are untold of one of
        the people, a quarter are in 'lesson', a quarter in 'validation' and half in 'test'.

    Returns:
      The questions, kind after kind.
    """
    require(split in SPLITS, 'split', split, f'must be one of {", ".join(SPLITS)}')
    codes = [_asked(world, kind, split) for kind in KINDS]
    kinds = np.repeat(np.arange(len(KINDS)), [len(some) for some in codes])
    asked = np.concatenate(codes)
    tokens, last = _render(world, asked)
    facts = np.minimum(asked // PHRASINGS, world.mentions.size - 1)
    stranger = kinds == KINDS.index('stranger')
    return Questions(
        tokens=tokens,
        last=last,
        answers=np.where(stranger, -1, _truth(world, asked)).astype(np.int32),
        kinds=kinds.astype(np.int32),
        mentions=np.where(stranger, 0, world.mentions.ravel()[facts]).astype(np.int32),
    )


def as_text(world: World, tokens: np.ndarray) -> list[str]:
    """Rows of tokens as sentences, without what they are filled up with."""
    rows = [' '.join(world.words[token] for token in row) for row in tokens.tolist()]
    return [re.sub(r'^\. |( \.)+$', '', row) for row in rows]


# A sentence's code: (subject · R + relation) · PHRASINGS + phrasing. Subjects are people, then
# strangers.


def _asked(world: World, kind: str, split: str) -> np.ndarray:
    """Codes of the questions of a kind and a split."""
    people, relations = world.mentions.shape
    untold = int((world.mentions[0] == 0).sum())
    if kind == 'stranger':
        # By stranger, so that one of a lesson is never met again.
        who = _part(shuffled(world.seed, _SPLIT, people), split, _SHARES)
        streams = random_words(world.seed, _WHICH, people)[who]
        which = draws.distinct(draws.words(streams, max(untold, 1)), relations)[:, :untold]
        facts = ((people + who)[:, None] * relations + which).ravel()
    else:
        told = world.mentions.ravel() > 0
        facts = np.flatnonzero(told if kind == 'taught' else ~told)
        facts = facts[shuffled(world.seed, _SPLIT, len(facts))]
        facts = _part(facts, split, (0, 1, 1) if kind == 'taught' else _SHARES)
    phrasing = draws.below(random_words(world.seed, _ASKED, 2 * people * relations), PHRASINGS)
    return facts * PHRASINGS + phrasing[facts]


def _part(items: np.ndarray, split: str, shares: tuple[int, ...]) -> np.ndarray:
    """A split's share of some items."""
    ends = np.cumsum((0, *shares)) * len(items) // sum(shares)
    at = SPLITS.index(split)
    return items[ends[at] : ends[at + 1]]


def _truth(world: World, codes: np.ndarray) -> np.ndarray:
    """The true value's token of each code; of strangers any."""
    facts = np.minimum(codes // PHRASINGS, world.values.size - 1)
    return world.values.ravel()[facts]


def _render(world: World, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Tokens `[N, T]` of sentences up to their values, and the places of their last ones `[N]`."""
    forms, lengths = _forms(world)
    facts, phrasing = np.divmod(codes, PHRASINGS)
    subject, relation = np.divmod(facts, world.mentions.shape[1])
    names = np.concatenate([world.people, world.strangers])[subject]
    form = relation * PHRASINGS + phrasing
    tokens = forms[form]
    for place in (0, 1):
        tokens = np.where(tokens == -1 - place, names[:, place, None], tokens)
    return tokens.astype(np.int32), lengths[form].astype(np.int32) - 1


def _forms(world: World) -> tuple[np.ndarray, np.ndarray]:
    """Phrasings as tokens, with −1 and −2 for the two names, and their lengths."""
    tokens = {word: token for token, word in enumerate(world.words)}
    rows = []
    for phrasings, _ in PHRASES[: world.mentions.shape[1]]:
        for one in phrasings:
            row = [STOP]
            for word in one.split():
                row += [-1, -2] if word == '_' else [tokens[word]]
            rows.append(row)
    forms = np.full((len(rows), max(map(len, rows))), STOP)
    for at, row in enumerate(rows):
        forms[at, : len(row)] = row
    return forms, np.array([len(row) for row in rows])
