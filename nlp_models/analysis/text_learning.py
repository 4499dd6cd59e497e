"""Language models on prompts of text rules: their training batches, their answers, and guessers.

An answer is right as a whole where each of its characters, and the one that ends it, is the
likeliest after what is right before it: greedy decoding writes just such answers.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from nlp_models.adaptation.in_context import Task
from nlp_models.adaptation.prompts import Template
from nlp_models.data.synthetic import text_prompts
from nlp_models.data.synthetic.text_prompts import Drawn, Form
from nlp_models.data.synthetic.text_rules import Rule
from nlp_models.training import runs
from nlp_models.types import LanguageModel

VOCAB_SIZE = 256
"""Bytes, as those of plain language models: both read the same prompts."""


class Answers(NamedTuple):
    """What a model makes of every example of every prompt.

    Attributes:
      there: which are whole within the length read `[B, K]`.
      exact: which of them are right as a whole `[B, K]`.
      characters: share of the answer's characters that are right, its end among them `[B, K]`; 0
        where the example is not there.
    """

    there: Bool[Array, 'B K']
    exact: Bool[Array, 'B K']
    characters: Float[Array, 'B K']


def batches(
    rules: Sequence[Rule],
    forms: Sequence[Form],
    *,
    size: int,
    length: int,
    told: float,
    **setting: Any,
) -> runs.Batches:
    """Training prompts as `runs.train` wants them: of each step the next `size` indices.

    Args:
      rules: to be trained on.
      forms: likewise.
      size: B.
      length: T, tokens of a prompt; what is longer is cut off.
      told: the share of prompts that begin with the words of their rule.
      **setting: of `text_prompts.draw`.
    """

    def draw(seed: int, first: int, count: int) -> dict[str, np.ndarray]:
        index = np.arange(first * size, (first + count) * size)
        drawn = text_prompts.draw(seed, index, rules=len(rules), forms=len(forms), **setting)
        written = text_prompts.write_all(drawn, rules, forms, told=told)
        batch = text_prompts.as_batch(written, length)
        kept = {name: batch[name] for name in ('tokens', 'weights')}
        return {name: a.reshape(count, size, -1) for name, a in kept.items()}

    return draw


def answers(model: LanguageModel, examples: int) -> Callable[[Any, Any], Answers]:
    """What a model answers.

    Args:
      model: over bytes.
      examples: K, of each prompt.

    Returns:
      `(params, batch) -> Answers`, for `runs.evaluate`; the batch is of `text_prompts.as_batch`.
    """

    def answer(params: Any, batch: Any) -> Answers:
        tokens = batch['tokens']
        _, logits = model.apply(params, model.start(params, tokens.shape[0]), tokens[:, :-1])
        right = jnp.argmax(logits, axis=-1) == tokens[:, 1:]
        of = batch['example'][..., None] == jnp.arange(examples)  # [B, T, K]
        size = jnp.sum(of, axis=1)
        hit = jnp.sum(of & right[..., None], axis=1)
        there = size > 0
        return Answers(there, there & (hit == size), hit / jnp.maximum(size, 1))

    return answer


def by_examples(values: np.ndarray, there: np.ndarray) -> np.ndarray:
    """The mean of what is there, by the number of examples read before: `[…, B, K]` to `[…, K]`."""
    counted = np.where(there, values, 0).astype(np.float64).sum(axis=-2)
    return counted / np.maximum(there.sum(axis=-2), 1)


def retrieve(drawn: Drawn, rules: Sequence[Rule], known: Sequence[Rule]) -> float:
    """How often the last answer is right that a known rule gives, the one that fits best.

    The best fit is the rule that answers most of the examples before exactly, of equals the one
    that is right at most places of them, then the first. Who only ever looks up rules that he was
    trained on does no better than this on rules that he was not.

    Args:
      drawn: the prompts.
      rules: those they were drawn for.
      known: to look among.

    Returns:
      The share of prompts.
    """
    right = 0
    for strings, number in zip(drawn.strings, drawn.rule, strict=True):
        rule = rules[number]
        shown = [(string, rule(string)) for string in strings[:-1]]

        def fit(one: Rule, shown: list = shown) -> tuple[int, int]:
            pairs = [(one(string), answer) for string, answer in shown]
            places = sum(a == b for pair in pairs for a, b in zip(*pair, strict=False))
            return sum(said == answer for said, answer in pairs), places

        right += max(known, key=fit)(strings[-1]) == rule(strings[-1])
    return right / len(drawn.strings)


def repeat_input(drawn: Drawn, rules: Sequence[Rule]) -> float:
    """How often it is right to answer with what was asked."""
    pairs = zip(drawn.strings, drawn.rule, strict=True)
    return float(np.mean([rules[number](strings[-1]) == strings[-1] for strings, number in pairs]))


def held_out(
    rules: Sequence[Rule],
    forms: Sequence[Form],
    number: int,
    *,
    split: str = 'test',
    **setting: Any,
) -> Drawn:
    """Prompts that no training draws, the same for every run.

    Args:
      rules: that they are of.
      forms: that they are written in.
      number: of prompts.
      split: 'validation' or 'test'.
      **setting: of `text_prompts.draw`.
    """
    index = np.arange(number)
    return text_prompts.draw(0, index, split=split, rules=len(rules), forms=len(forms), **setting)


def ask(
    model: LanguageModel,
    params: Any,
    written: Sequence[text_prompts.Written],
    *,
    length: int,
    num_devices: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """Every run's answers to the same prompts.

    Args:
      model: over bytes.
      params: leaves `[R, …]`.
      written: the prompts, of equally many examples.
      length: T that holds the longest of them.
      num_devices: see `runs.evaluate`.

    Returns:
      (share exact, share of characters), by the number of examples read before, `[R, K]` each.
    """
    batch = text_prompts.as_batch(written, length)
    data = {name: batch[name] for name in ('tokens', 'example')}
    found = runs.evaluate(
        answers(model, len(written[0].answers)), params, data, num_devices=num_devices
    )
    return (
        by_examples(np.asarray(found.exact), np.asarray(found.there)),
        by_examples(np.asarray(found.characters), np.asarray(found.there)),
    )


def train(
    model: LanguageModel,
    optimizer: Any,
    draw: runs.Batches,
    objective: Callable,
    *,
    seeds: Sequence[int],
    steps: int,
    chunk: int,
    num_devices: int = 0,
) -> runs.Trained:
    """Train one model for each seed, all at the optimizer's own learning rate."""
    return runs.train(
        model.init,
        objective,
        optimizer,
        runs.grid(seeds, (optimizer.learning_rate,)),
        draw,
        steps=steps,
        chunk=chunk,
        num_devices=num_devices,
    )


def as_tasks(
    drawn: Drawn, rules: Sequence[Rule], form: Form, number: int, queries: int
) -> list[Task]:
    """Rules as tasks of `adaptation.in_context`, each with its own examples and questions.

    Args:
      drawn: prompts, at least `number`; the examples are those of a prompt but its last.
      rules: one after the other, as many as are wanted.
      form: how an example is written.
      number: of tasks, at most one a prompt.
      queries: strings asked in each task, the same in all as far as no example is among them.

    Returns:
      The tasks, whose answers are to be written.
    """
    template = Template(form.text, answer='output', separator=form.separator)
    last = list(dict.fromkeys(strings[-1] for strings in drawn.strings))
    found = []
    for i in range(number):
        rule, shown = rules[i % len(rules)], drawn.strings[i][:-1]
        asked = [string for string in last if string not in shown][:queries]
        pool, questions = (
            [{'input': string, 'output': rule(string)} for string in some]
            for some in (shown, asked)
        )
        found.append(Task(template, questions, pool))
    return found
