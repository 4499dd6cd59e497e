"""How much hangs on the prompt: the same model, the same questions, asked in several ways."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Int

from nlp_models.adaptation import in_context
from nlp_models.adaptation.in_context import Setting, Task
from nlp_models.adaptation.prompts import Example, Template
from nlp_models.data.batches import random_generator
from nlp_models.data.pieces import Tokenizer
from nlp_models.errors import require
from nlp_models.types import LanguageModel, Params

HALVES = 20  # ways to part the questions, over which the gap is averaged


class Way(NamedTuple):
    """One way to ask.

    Attributes:
      template: how examples are written.
      setting: which are shown, in which order, and how answers are scored.
    """

    template: Template
    setting: Setting


class Answers(NamedTuple):
    """What a model answers to N questions asked in V ways.

    Attributes:
      right: which answers are right.
      said: the number of the choice that was taken.
      wanted: the number of the right one.
    """

    right: Bool[np.ndarray, 'V N']
    said: Int[np.ndarray, 'V N']
    wanted: Int[np.ndarray, 'N']

    @property
    def accuracies(self) -> list[float]:
        """Of each way."""
        return self.right.mean(axis=1).tolist()


def ask(
    model: LanguageModel,
    params: Params,
    tokenizer: Tokenizer,
    ways: Sequence[Way],
    queries: Sequence[Example],
    pool: Sequence[Example],
) -> Answers:
    """Ask the same questions in every way.

    Args:
      model: any language model.
      params: its parameters.
      tokenizer: its tokenizer.
      ways: each with label words, whose labels are the same in all.
      queries: the questions.
      pool: examples to show.

    Returns:
      The answers.
    """
    right, said, wanted = [], [], []
    for template, setting in ways:
        task = Task(template, queries, pool)
        found = in_context.evaluate(model, params, tokenizer, task, setting)
        labels = sorted(template.words)
        right.append(found.right)
        said.append([labels.index(label) for label in found.predictions])
        wanted = [labels.index(label) for label in found.answers]
    return Answers(np.array(right, bool), np.array(said), np.array(wanted))


def gap(right: Bool[np.ndarray, 'V N'], wanted: Int[np.ndarray, 'N']) -> float:
    """How far the best way is ahead of the worst one, on questions that neither was chosen by.

    The best of several scores less the worst is above 0 even if all ways are alike, as there are
    only so many questions. So best and worst are chosen on one half of the questions and compared
    on the other, which of ways that are alike gives 0 in the mean; averaged over several halves,
    each taken both ways round. Each half has as many questions of every answer: else who always
    gives one answer would be above the mean in one half and below it in the other.

    Args:
      right: which questions were answered rightly, by way.
      wanted: the number of each question's answer.

    Returns:
      The difference of two accuracies; it may be below 0.

    Raises:
      InputError: for fewer than two ways, or questions.
    """
    ways, number = right.shape
    require(ways >= 2, 'ways', ways, 'must be at least 2')
    require(number >= 2, 'questions', number, 'must be at least 2')
    rng, found = random_generator(0, 31), []
    for _ in range(HALVES):
        first = np.zeros(number, bool)
        for answer in np.unique(wanted):
            mine = rng.permutation(np.flatnonzero(wanted == answer))
            first[mine[: len(mine) // 2]] = True
        parts = np.flatnonzero(first), np.flatnonzero(~first)
        for chosen, asked in (parts, parts[::-1]):
            known = right[:, chosen].mean(axis=1)
            scores = right[:, asked].mean(axis=1)
            found.append(scores[np.argmax(known)] - scores[np.argmin(known)])
    return float(np.mean(found))


def changed(said: Int[np.ndarray, 'V N']) -> float:
    """The share of questions that two of the ways answer otherwise, averaged over all pairs."""
    ways = len(said)
    require(ways >= 2, 'ways', ways, 'must be at least 2')
    differ = [np.mean(said[i] != said[j]) for i in range(ways) for j in range(i)]
    return float(np.mean(differ))


def ways_by_factor(
    templates: Sequence[str],
    words: Sequence[Mapping[str, str]],
    setting: Setting,
    *,
    separator: str,
    orders: int,
    draws: int,
) -> dict[str, list[Way]]:
    """Ways that differ in one thing, the first of all of them being the same.

    Args:
      templates: texts with `{text}` and `{label}`.
      words: label to label word.
      setting: the rest; its order and seed are the first ones.
      separator: between examples.
      orders: how many orders of the same examples.
      draws: how many other draws of examples.

    Returns:
      `template`, `words`, `order` and `draw` to the ways.
    """

    def way(text: str = templates[0], said: Any = words[0], **changed: int) -> Way:
        return Way(Template(text, words=said, separator=separator), setting._replace(**changed))

    return {
        'template': [way(text) for text in templates],
        'words': [way(said=each) for each in words],
        'order': [way(order=order) for order in range(orders)],
        'draw': [way(seed=seed) for seed in range(draws)],
    }


def over_models(asked: Callable[[int], Answers], number: int) -> dict[str, list[Any]]:
    """What is kept of the answers of several models.

    Args:
      asked: `(number of a model) -> answers`.
      number: how many models there are.

    Returns:
      `accuracies` of every way, `gap` and `changed`, each a list with an entry for each model.
    """
    found: dict[str, list[Any]] = {'accuracies': [], 'gap': [], 'changed': []}
    for i in range(number):
        answers = asked(i)
        found['accuracies'].append(answers.accuracies)
        found['gap'].append(gap(answers.right, answers.wanted))
        found['changed'].append(changed(answers.said))
    return found
