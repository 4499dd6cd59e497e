"""Which examples a prompt shows: drawn at random, label by label, or near the question."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from nlp_models.adaptation.prompts import Example, Template, as_text, query_text
from nlp_models.errors import InputError, require

SELECTIONS = ('random', 'balanced', 'nearest')

Embed = Callable[[list[str]], np.ndarray]
"""Texts to vectors `[N, D]`, such as `embedding.embed_texts` with all but the texts given."""


def select_examples(
    template: Template,
    queries: Sequence[Example],
    pool: Sequence[Example],
    *,
    shots: int,
    how: str = 'random',
    seed: int = 0,
    order: int = 0,
    embed: Embed | None = None,
) -> list[list[Example]]:
    """Choose the examples that each question is shown.

    What is chosen depends on seed, order and question alone, not on the other questions. An example
    that reads as the question does is that question: it is passed over, so the pool may hold the
    questions themselves.

    Args:
      template: how examples are written; tells what makes two alike.
      queries: the questions.
      pool: answered examples to choose among.
      shots: k, how many for each question.
      how: 'random': the first k of one shuffle of the pool, so that all questions share their
        examples (and may share the work of reading them), and k more examples come after the same k
        ones; 'balanced': of the same shuffle the first of every label, the second of every label
        and so on, then shuffled, so that labels differ by one at most while there are examples;
        'nearest': those whose text before the answer is the nearest by cosine (Liu et al. 2022),
        the nearest last, next to the question.
      seed: of the shuffles; no matter to 'nearest'.
      order: which `arrangement` of the examples: 0 as they were chosen, then all others.
      embed: of 'nearest'.

    Returns:
      k examples a question.

    Raises:
      InputError: for k below 0 or above the examples there are, a selection there is none of, and
        'nearest' without an embedding.
    """
    require(shots >= 0, 'shots', shots, 'must be at least 0')
    require(order >= 0, 'order', order, 'must be at least 0')
    fine = how in SELECTIONS
    require(fine, 'selection', how, f'must be one of {", ".join(SELECTIONS)}')
    if shots == 0:
        return [[] for _ in queries]
    texts = [query_text(template, each) for each in pool]
    questions = [query_text(template, each) for each in queries]
    if shots > len(pool):
        raise InputError(f'shots is {shots}: there are {len(pool)} examples to choose among')
    if how == 'nearest':
        if embed is None:
            raise InputError("selection is 'nearest': it needs an embedding, and none is given")
        ranks = _nearest_first(embed, questions, texts)
        chosen = [_others(rank, texts, text, shots)[::-1] for rank, text in
                  zip(ranks, questions, strict=True)]  # fmt: skip
    else:
        shuffle = np.random.default_rng(seed).permutation(len(pool))
        if how == 'balanced':
            labels = [as_text(example[template.answer]) for example in pool]
            pick: Any = _balanced
        else:
            labels, pick = [], _drawn
        chosen = [pick(shuffle, texts, text, shots, labels, seed) for text in questions]
    places = arrangement(shots, order)
    chosen = [[rows[i] for i in places] for rows in chosen]
    return [[pool[i] for i in rows] for rows in chosen]


def arrangement(size: int, number: int) -> list[int]:
    """The n-th of all orders of some places: 0 is their own, and the first n! are all different.

    Neighbouring numbers are orders far from each other: n strides through the orders, as they are
    sorted, by the golden section of them.

    Args:
      size: how many places.
      number: n, at least 0.

    Returns:
      The places, each once.
    """
    count = math.factorial(size)
    stride = count * 618_034 // 10**6
    while math.gcd(stride, count) != 1:
        stride += 1
    rank, left, places = number * stride % count, [*range(size)], []
    while left:
        count //= len(left)
        which, rank = divmod(rank, count)
        places.append(left.pop(which))
    return places


def _others(rank: np.ndarray, texts: list[str], question: str, shots: int) -> list[int]:
    """The first k that are not the question."""
    found: list[int] = []
    for i in rank:
        if len(found) == shots:
            break
        if texts[i] != question:
            found.append(int(i))
    if len(found) < shots:
        raise InputError(
            f'shots is {shots}: there are {len(found)} examples to choose among, beside the '
            f'question itself'
        )
    return found


def _drawn(
    shuffle: np.ndarray, texts: list[str], question: str, shots: int, labels: list[str], seed: int
) -> list[int]:
    """The first of a shuffle."""
    del labels, seed
    return _others(shuffle, texts, question, shots)


def _balanced(
    shuffle: np.ndarray, texts: list[str], question: str, shots: int, labels: list[str], seed: int
) -> list[int]:
    """Label by label, then shuffled: else the order would be told by the labels."""
    usable = [int(i) for i in shuffle if texts[i] != question]
    turns: dict[str, int] = {}
    turn = []
    for i in usable:
        turn.append(turns.get(labels[i], 0))
        turns[labels[i]] = turn[-1] + 1
    by_turn = np.array(usable, int)[np.argsort(turn, kind='stable')]
    found = _others(by_turn, texts, question, shots)
    return [found[i] for i in np.random.default_rng((seed, shots)).permutation(shots)]


def _nearest_first(embed: Embed, questions: list[str], texts: list[str]) -> np.ndarray:
    """The pool's numbers for each question, by falling cosine, of equals the first."""
    first, second = (_directions(embed(each)) for each in (questions, texts))
    return np.argsort(-(first @ second.T), axis=1, kind='stable')


def _directions(vectors: Any) -> np.ndarray:
    vectors = np.asarray(vectors, np.float64)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
