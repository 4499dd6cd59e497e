"""Examples as text: templates with named fields, and few-shot prompts made of them."""

import functools
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from string import Formatter
from typing import Any, NamedTuple

from nlp_models.errors import InputError, require

Example = Mapping[str, Any]
"""Field to value: a text, or what JSON has besides; a list of texts where it names choices."""

OVERFLOWS = ('drop', 'keep', 'refuse')


@dataclass(frozen=True)
class Template:
    r"""How an example is written.

    `Template('Review: {text}\nLabel: {label}', words={'1': 'good', '0': 'bad'})`

    Attributes:
      text: one example, with the names of its fields in braces; `{{` and `}}` are braces. The
        answer stands in it once and no field after it: what is before the answer is the question
        put to a model, what is after it belongs to answered examples alone.
      answer: the name of the field that is answered.
      words: label to label word, what the answer is written as (a verbalizer; Schick & Schütze
        2021), in the order of the choices. Empty where the answer is written as it is.
      choices: the name of a field with an example's own list of possible answers, the right one
        among them; empty where there is none.
      separator: what stands between two examples.
      instruction: a text before the first example, taken as it is; empty for none.

    Raises:
      InputError: for braces that do not match, a field with a format or a part of a field, an
        answer that is not there, not once or not last, nothing but an answer, and for label words
        that are empty, fewer than two or not all different.
    """

    text: str
    answer: str = 'label'
    words: Mapping[Any, str] = field(default_factory=dict)
    choices: str = ''
    separator: str = '\n\n'
    instruction: str = ''

    def __post_init__(self):
        fields, shown = self.fields, repr(self.text)
        there = f'it has {", ".join(fields) or "no field"}'
        if fields.count(self.answer) != 1:
            times = 'no' if self.answer not in fields else 'more than one'
            raise InputError(f'template {shown} has {times} field {self.answer!r}: {there}')
        if fields[-1] != self.answer:
            raise InputError(
                f'template {shown} has field {fields[-1]!r} after the answer, {self.answer!r}: '
                'the answer must be the last field'
            )
        require(len(fields) > 1, 'template', self.text, 'must have a field beside the answer')
        object.__setattr__(self, 'words', {as_text(k): v for k, v in self.words.items()})
        require(
            not (self.words and self.choices),
            'choices',
            self.choices,
            'must be empty where there are label words',
        )
        if self.words:
            bare = [word.strip() for word in self.words.values()]
            fine = len(bare) > 1 and all(bare) and len(set(bare)) == len(bare)
            require(fine, 'words', dict(self.words), 'must be two or more, none empty or alike')

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields of the text, in their order; one that stands twice is there twice."""
        return tuple(name for _, name in _parts(self.text) if name is not None)


class Prompt(NamedTuple):
    """What a model is given to read.

    Attributes:
      text: instruction, examples and the question.
      shots: how many examples are in it.
    """

    text: str
    shots: int


def as_text(value: Any) -> str:
    """A value as it is written: a text itself, anything else as JSON has it."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def check_examples(
    template: Template, examples: Iterable[Example], *, what: str = 'example', first: int = 1
) -> None:
    """See that all examples have what a template needs.

    Args:
      template: the template.
      examples: with their answers.
      what: what to call one of them, before its number.
      first: the number of the first.

    Raises:
      InputError: for a field that is missing, a label without a label word, an answer that is not
        among its choices, and choices that are fewer than two or no texts.
    """
    for number, example in enumerate(examples, first):
        for name in (*template.fields, *([template.choices] if template.choices else ())):
            if name not in example:
                raise InputError(
                    f'{what} {number} has no field {name!r}: it has {", ".join(map(str, example))}'
                )
        answer = as_text(example[template.answer])
        if template.words and answer not in template.words:
            raise InputError(
                f'{what} {number} has {template.answer} {answer!r}, for which there is no label '
                f'word: there are words for {", ".join(template.words)}'
            )
        if template.choices:
            own = example[template.choices]
            listed = isinstance(own, list | tuple) and len(own) > 1
            fine = listed and all(isinstance(choice, str) for choice in own)
            require(fine, f'{what} {number}: {template.choices}', own, 'must be two texts or more')
            if answer not in own:
                raise InputError(
                    f'{what} {number} has {template.answer} {answer!r}, which is none of its '
                    f'{template.choices}: {", ".join(map(repr, own))}'
                )


def query_text(template: Template, example: Example) -> str:
    """The text up to where the answer stands; the answer itself is not looked at."""
    written = []
    for literal, name in _parts(template.text):
        written.append(literal)
        if name == template.answer:
            break
        written.append(as_text(_field(example, str(name))))
    return ''.join(written)


def answer_text(template: Template, example: Example) -> str:
    """What the answer is written as."""
    answer = as_text(_field(example, template.answer))
    if not template.words:
        return answer
    if answer not in template.words:
        raise InputError(
            f'{template.answer} is {answer!r}, for which there is no label word: there are words '
            f'for {", ".join(template.words)}'
        )
    return template.words[answer]


def example_text(template: Template, example: Example) -> str:
    """The whole text, with the answer."""
    *_, (last, name) = _parts(template.text)
    after = last if name is None else ''
    return query_text(template, example) + answer_text(template, example) + after


def answer_context(template: Template) -> str:
    """The template's own words right before the answer, such as 'Label: ', or the blank there.

    It is what Brown et al. 2020 (section 2.4) compare a choice's probability with: a text that
    calls for an answer but asks nothing.
    """
    literal = next(literal for literal, name in _parts(template.text) if name == template.answer)
    return literal.lstrip() or literal


def choice_texts(template: Template, example: Example) -> tuple[str, ...]:
    """What the possible answers are written as.

    Raises:
      InputError: for a template that has neither label words nor choices.
    """
    if template.words:
        return tuple(template.words.values())
    require(bool(template.choices), 'words', {}, 'must be given, or choices, to choose among')
    return tuple(_field(example, template.choices))


def choice_labels(template: Template, example: Example) -> tuple[str, ...]:
    """What the possible answers are called: labels, or the choices themselves."""
    return tuple(template.words) or choice_texts(template, example)


def right_choice(template: Template, example: Example) -> int:
    """Which of the choices is the answer."""
    return choice_labels(template, example).index(as_text(_field(example, template.answer)))


def assemble(
    template: Template,
    query: Example,
    shots: Sequence[Example],
    *,
    budget: int | None = None,
    count: Callable[[str], int] = len,
    overflow: str = 'drop',
) -> Prompt:
    """A few-shot prompt: instruction, answered examples and the question, with separators between.

    Where it does not fit, whole examples go first, the oldest (the first) before the others: half
    an example would teach a wrong format.

    Args:
      template: how examples are written.
      query: the example in question; its answer is not looked at.
      shots: answered examples, in their order.
      budget: what the prompt may count at most; None for no bound.
      count: what a text counts, such as its tokens.
      overflow: what to do with a prompt beyond the budget: 'drop' examples until it fits, and give
        the question alone, however long, where nothing else helps; 'keep' all of it; 'refuse'.

    Returns:
      The prompt, and how many of the examples are in it.

    Raises:
      InputError: for an overflow there is none of, and a prompt that was refused.
    """
    fine = overflow in OVERFLOWS
    require(fine, 'overflow', overflow, f'must be one of {", ".join(OVERFLOWS)}')
    before = [template.instruction] if template.instruction else []
    texts = [example_text(template, shot) for shot in shots]
    question = query_text(template, query)
    for first in range(len(texts) + 1):
        text = template.separator.join([*before, *texts[first:], question])
        if budget is None or overflow == 'keep' or count(text) <= budget:
            break
        if overflow == 'refuse':
            raise InputError(
                f'a prompt with {len(texts)} examples has {count(text)} tokens: there is room for '
                f'{budget}; give fewer shots, or overflow=drop'
            )
    return Prompt(text, len(texts) - first)


@functools.lru_cache(maxsize=1024)
def _parts(text: str) -> tuple[tuple[str, str | None], ...]:
    """Literal text and the name of the field behind it, None at the end."""
    try:
        parts = [*Formatter().parse(text)]
    except ValueError as error:
        raise InputError(
            f'template {text!r} cannot be read ({error}): a field is a name in braces, and a brace '
            'itself is written twice'
        ) from error
    merged: list[tuple[str, str | None]] = []
    literal = ''
    for piece, name, form, conversion in parts:
        literal += piece  # a brace that is written twice ends a piece
        if name is None:
            continue
        if not name.isidentifier() or form or conversion:
            written = name + (f'!{conversion}' if conversion else '') + (f':{form}' if form else '')
            raise InputError(
                f'template {text!r} has field {written!r}: a field is a plain name in braces'
            )
        merged.append((literal, name))
        literal = ''
    return (*merged, (literal, None)) if literal or not merged else tuple(merged)


def _field(example: Example, name: str) -> Any:
    if name not in example:
        raise InputError(
            f'the example has no field {name!r}: it has {", ".join(map(str, example))}'
        )
    return example[name]
