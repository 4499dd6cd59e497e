"""A search among prompts that says how much hangs on the prompt, and what the best is worth.

The best of many prompts owes some of its score to the questions it was chosen by. So these are
parted from others, which no candidate is chosen by, and the score to report is that on the others.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from nlp_models.adaptation.examples import split_examples
from nlp_models.adaptation.in_context import Result, Setting, Task, evaluate
from nlp_models.adaptation.prompts import Example, Template
from nlp_models.adaptation.selection import Embed
from nlp_models.data.pieces import Tokenizer
from nlp_models.errors import InputError, require
from nlp_models.types import LanguageModel, Params


class Candidate(NamedTuple):
    """A way to ask.

    Attributes:
      template: the name of a template.
      setting: how its examples are chosen and ordered.
    """

    template: str
    setting: Setting


class Spread(NamedTuple):
    """Of the candidates' accuracies.

    Attributes:
      least: the worst candidate's.
      median: half are below.
      most: the best candidate's.
      deviation: standard deviation, n − 1 below the root; 0 for one candidate.
    """

    least: float
    median: float
    most: float
    deviation: float


class Search(NamedTuple):
    """What was found.

    Attributes:
      candidates: all that were tried.
      results: of each, on the questions of the search.
      spread: of their accuracies.
      chosen: the number of the best; of equals that with the largest mean margin, then the first.
      searched: the best one's result on the questions of the search, by which it was chosen.
      held_out: its result on the others: this one is what it is worth.
    """

    candidates: tuple[Candidate, ...]
    results: tuple[Result, ...]
    spread: Spread
    chosen: int
    searched: Result
    held_out: Result


def variants(
    setting: Setting,
    *,
    selections: Sequence[str] = ('random',),
    seeds: Sequence[int] = (0,),
    orders: Sequence[int] = (0,),
) -> list[Setting]:
    """A setting with every selection, every draw and every order.

    What makes no difference is not tried twice: without examples there is one variant, k examples
    have k! orders, and the nearest examples are the same for every seed.

    Args:
      setting: the rest of it.
      selections: of `Setting.selection`.
      seeds: of `Setting.seed`.
      orders: of `Setting.order`.

    Returns:
      The settings, in the order of selections, seeds, orders.
    """
    found: dict[Setting, None] = {}
    for how, seed, order in itertools.product(selections, seeds, orders):
        different = setting._replace(
            selection=how,
            seed=seeds[0] if how == 'nearest' else seed,
            order=order % math.factorial(setting.shots),
        )
        if setting.shots == 0:
            different = different._replace(selection=selections[0], seed=seeds[0])
        found[different] = None
    return [*found]


def search_prompts(
    model: LanguageModel,
    params: Params,
    tokenizer: Tokenizer,
    templates: Mapping[str, Template],
    queries: Sequence[Example],
    pool: Sequence[Example],
    settings: Sequence[Setting],
    *,
    share: float = 0.5,
    seed: int = 0,
    embed: Embed | None = None,
) -> Search:
    """Try every template with every setting.

    Args:
      model: any language model.
      params: its parameters.
      tokenizer: its tokenizer.
      templates: by name, with one answer field.
      queries: answered questions; some of them are for the search, and the rest is held out.
      pool: examples to show; none of them should be among the questions.
      settings: from `variants`.
      share: of the questions that are for the search, in (0, 1).
      seed: of their split.
      embed: of the selection 'nearest'.

    Returns:
      What was found.

    Raises:
      InputError: for no candidate, templates that answer different fields, a split that leaves
        nothing to one side, and as `in_context.evaluate`.
    """
    require(0 < share < 1, 'share', share, 'must be above 0 and below 1')
    require(len(templates) > 0, 'templates', {}, 'must be one or more')
    require(len(settings) > 0, 'settings', [], 'must be one or more')
    answers = sorted({template.answer for template in templates.values()})
    require(len(answers) == 1, 'answers of the templates', answers, 'must be one field')
    searched, held_out = split_examples(queries, share, ignore=answers, seed=seed)
    if not searched or not held_out:
        raise InputError(
            f'{len(queries)} questions, of which {len(searched)} are for the search, leave '
            f'{len(held_out)} held out: both must be at least 1'
        )

    def score(candidate: Candidate, some: Sequence[Example]) -> Result:
        task = Task(templates[candidate.template], some, pool)
        return evaluate(model, params, tokenizer, task, candidate.setting, embed=embed)

    candidates = tuple(Candidate(*each) for each in itertools.product(templates, settings))
    results = tuple(score(candidate, searched) for candidate in candidates)
    best = max(range(len(results)), key=lambda i: _rank(results[i]))
    return Search(
        candidates=candidates,
        results=results,
        spread=spread([result.accuracy for result in results]),
        chosen=best,
        searched=results[best],
        held_out=score(candidates[best], held_out),
    )


def spread(accuracies: Sequence[float]) -> Spread:
    """Least, median, most and standard deviation.

    Args:
      accuracies: at least one.
    """
    values = np.asarray(accuracies, np.float64)
    deviation = float(values.std(ddof=1)) if len(values) > 1 else 0.0
    return Spread(float(values.min()), float(np.median(values)), float(values.max()), deviation)


def _rank(result: Result) -> tuple[float, float]:
    """What the best has most of; texts that were written have no margin."""
    return result.accuracy, result.margin if np.isfinite(result.margin) else 0.0
