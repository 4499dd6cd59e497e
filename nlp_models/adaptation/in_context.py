"""Zero-, one- and few-shot: how well a language model does a task that stands in its context.

Brown et al. 2020, section 2: k answered examples and a question are the prompt, and either the
likeliest of the possible answers is taken, or what the model writes next. No parameter changes.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from nlp_models.adaptation import completions, normalization
from nlp_models.adaptation.choices import Scores, score_choices
from nlp_models.adaptation.pairs import beginning
from nlp_models.adaptation.prompts import (
    Example,
    Prompt,
    Template,
    answer_context,
    answer_text,
    assemble,
    check_examples,
    choice_labels,
    choice_texts,
    right_choice,
)
from nlp_models.adaptation.selection import Embed, select_examples
from nlp_models.data.pieces import Tokenizer
from nlp_models.errors import InputError, require
from nlp_models.types import LanguageModel, Params

METHODS = ('likelihood', 'generation')
NORMALIZATIONS = ('none', 'tokens', 'bytes', 'characters', 'unconditional')


class Task(NamedTuple):
    """What is asked.

    Attributes:
      template: how examples are written.
      queries: the questions, with their answers.
      pool: answered examples to show; may hold the questions, none of which is shown to itself.
    """

    template: Template
    queries: Sequence[Example]
    pool: Sequence[Example] = ()


class Setting(NamedTuple):
    """How it is asked.

    Attributes:
      shots: k, how many examples are shown.
      selection: how they are chosen, 'random', 'balanced' or 'nearest'
        (`selection.select_examples`).
      seed: of the choice.
      order: of the examples chosen: 0 as they were, n another (`selection.arrangement`).
      method: 'likelihood', the likeliest choice, or 'generation', what is written greedily.
      normalization: what a choice's log-likelihood is divided by, its 'tokens', 'bytes' or
        'characters', or what is taken from it, its log-likelihood after the template's own words
        before the answer ('unconditional'); 'none'.
      content_free: questions without content for contextual calibration, as in Zhao et al. 2021
        ('N/A', '', '[MASK]'): each stands in all fields at once. None of them: no calibration.
      overflow: what happens to prompts beyond the model's context (`prompts.assemble`): 'drop'
        examples, 'keep' them and cut the prompt on the left, 'refuse'.
      stop: of generation, texts that end what is written.
      num_tokens: of generation, how many tokens to write at most.
    """

    shots: int = 0
    selection: str = 'random'
    seed: int = 0
    order: int = 0
    method: str = 'likelihood'
    normalization: str = 'none'
    content_free: tuple[str, ...] = ()
    overflow: str = 'drop'
    stop: tuple[str, ...] = ('\n',)
    num_tokens: int = 32


class Result(NamedTuple):
    """How well it went.

    Attributes:
      accuracy: the share of questions answered rightly: the likeliest choice was the right one, or
        the text written was the answer, blanks around both left out.
      low: lower end of its 95 % interval by Wilson's score.
      high: upper end.
      examples: N, how many questions there were.
      shots: k that was asked for.
      fewer: how many questions had room for fewer.
      truncated: how many prompts were cut on the left.
      margin: by how much the right choice's score leads the best other one's, in the mean; in nats,
        or nats a unit of length. NaN for generation.
      right: which questions were answered rightly `[N]`.
      predictions: what was answered: labels, choices or texts.
      answers: what was right.
      scores: `[N, C]` of the choices, after all normalisation; None for generation.
    """

    accuracy: float
    low: float
    high: float
    examples: int
    shots: int
    fewer: int
    truncated: int
    margin: float
    right: np.ndarray
    predictions: tuple[str, ...]
    answers: tuple[str, ...]
    scores: np.ndarray | None


def evaluate(
    model: LanguageModel,
    params: Params,
    tokenizer: Tokenizer,
    task: Task,
    setting: Setting = Setting(),  # noqa: B008 (a tuple)
    *,
    embed: Embed | None = None,
) -> Result:
    """Ask a model all questions of a task.

    Args:
      model: any language model.
      params: its parameters.
      tokenizer: its tokenizer.
      task: the questions.
      setting: how they are asked.
      embed: of the selection 'nearest', texts to vectors.

    Returns:
      The result, every answer with it.

    Raises:
      InputError: for a setting out of range or that does not go with another, examples that lack
        what the template needs, no question, and as `select_examples` and `assemble`.
    """
    template, queries, pool = task
    _check(template, setting)
    require(len(queries) > 0, 'number of questions', 0, 'must be at least 1')
    check_examples(template, queries, what='question')
    check_examples(template, pool)
    chosen = select_examples(
        template,
        queries,
        pool,
        shots=setting.shots,
        how=setting.selection,
        seed=setting.seed,
        order=setting.order,
        embed=embed,
    )
    prompts = [
        assemble(
            template,
            query,
            shown,
            budget=_budget(model, tokenizer, template, query, setting),
            count=lambda text: len(tokenizer.encode(text)),
            overflow=setting.overflow,
        )
        for query, shown in zip(queries, chosen, strict=True)
    ]
    if setting.method == 'generation':
        return _by_generation(model, params, tokenizer, task, setting, prompts)
    # Of examples that were dropped, the content-free questions are not shown more.
    kept = [shown[len(shown) - each.shots :] for shown, each in zip(chosen, prompts, strict=True)]
    return _by_likelihood(model, params, tokenizer, task, setting, prompts, kept)


def _check(template: Template, setting: Setting) -> None:
    """See that a setting's parts go together."""
    for name, known in (('method', METHODS), ('normalization', NORMALIZATIONS)):
        value = getattr(setting, name)
        require(value in known, name, value, f'must be one of {", ".join(known)}')
    if setting.method == 'generation':
        fine = setting.normalization == 'none' and not setting.content_free
        require(fine, 'method', 'generation', 'has no choices to normalise or calibrate')
        require(setting.num_tokens >= 1, 'num_tokens', setting.num_tokens, 'must be at least 1')
        return
    fine = bool(template.words or template.choices)
    require(fine, 'method', 'likelihood', 'needs label words or choices, or must be generation')
    if setting.content_free and setting.normalization == 'unconditional':
        raise InputError(
            "normalization is 'unconditional' and content_free is not empty: both are corrections "
            'for what a choice has anyway, so choose one'
        )


def _budget(
    model: LanguageModel,
    tokenizer: Tokenizer,
    template: Template,
    query: Example,
    setting: Setting,
) -> int | None:
    """Tokens that a prompt may have, so that what follows it can be read or written too."""
    if model.context is None:
        return None
    if setting.method == 'generation':
        after = setting.num_tokens
    else:  # the last token of a choice is not read
        after = max(len(tokenizer.encode(each)) for each in choice_texts(template, query)) - 1
    return model.context - len(beginning(tokenizer)) - after


def _by_likelihood(
    model: LanguageModel,
    params: Params,
    tokenizer: Tokenizer,
    task: Task,
    setting: Setting,
    prompts: list[Prompt],
    kept: Sequence[Sequence[Example]],
) -> Result:
    """The likeliest choice."""
    template, queries = task.template, task.queries
    choices = [choice_texts(template, query) for query in queries]

    def score(contexts: Sequence[str], of: Sequence[Sequence[str]]) -> Scores:
        return score_choices(model, params, tokenizer, contexts, of)

    def normalise(found: Scores) -> np.ndarray:
        if setting.normalization in ('tokens', 'bytes', 'characters'):
            lengths = getattr(found, setting.normalization)
            return normalization.per_length(found.log_likelihoods, lengths)
        return found.log_likelihoods

    found = score([prompt.text for prompt in prompts], choices)
    scores = normalise(found)
    if setting.normalization == 'unconditional':
        alone = score([answer_context(template)] * len(queries), choices)
        scores = normalization.unconditional(scores, alone.log_likelihoods)
    if setting.content_free:
        blank = [
            assemble(template, dict.fromkeys(template.fields, text), shown).text
            for shown in kept
            for text in setting.content_free
        ]
        repeated = [each for each in choices for _ in setting.content_free]
        content_free = normalise(score(blank, repeated))
        shape = len(queries), len(setting.content_free), -1
        scores = normalization.calibrate(scores, content_free.reshape(shape))

    labels = [choice_labels(template, query) for query in queries]
    wanted = np.array([right_choice(template, query) for query in queries])
    taken = scores.argmax(axis=1)
    return _result(
        setting,
        prompts,
        right=taken == wanted,
        truncated=int(found.truncated.sum()),
        margin=float(normalization.margins(scores, wanted).mean()),
        predictions=tuple(each[i] for each, i in zip(labels, taken, strict=True)),
        answers=tuple(each[i] for each, i in zip(labels, wanted, strict=True)),
        scores=scores,
    )


def _by_generation(
    model: LanguageModel,
    params: Params,
    tokenizer: Tokenizer,
    task: Task,
    setting: Setting,
    prompts: list[Prompt],
) -> Result:
    """What is written."""
    written = completions.complete(
        model,
        params,
        tokenizer,
        # As with choices, a blank at the end calls for other tokens than those with one before.
        [prompt.text.rstrip(' ') for prompt in prompts],
        num_tokens=setting.num_tokens,
        stop=setting.stop,
    )
    predictions = tuple(text.strip() for text in written.texts)
    answers = tuple(answer_text(task.template, query).strip() for query in task.queries)
    right = np.array([a == b for a, b in zip(predictions, answers, strict=True)])
    return _result(
        setting,
        prompts,
        right=right,
        truncated=int(written.truncated.sum()),
        margin=math.nan,
        predictions=predictions,
        answers=answers,
        scores=None,
    )


def _result(setting: Setting, prompts: list[Prompt], *, right: np.ndarray, **found) -> Result:
    """What the methods have in common."""
    low, high = normalization.wilson(int(right.sum()), len(right))
    return Result(
        accuracy=float(right.mean()),
        low=low,
        high=high,
        examples=len(right),
        shots=setting.shots,
        fewer=sum(prompt.shots < setting.shots for prompt in prompts),
        right=right,
        **found,
    )
