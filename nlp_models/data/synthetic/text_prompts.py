"""Prompts of text rules: `reverse;cat>tac;dog>god;` and the like, many of them in a batch.

`draw` says what is in each prompt, `write` makes the text, `as_batch` the bytes that a language
model over bytes reads. The same drawn prompts can be written with and without an instruction, with
examples of their own rule or of another: whatever is compared is asked about the same strings.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from nlp_models.data.synthetic import draws
from nlp_models.data.synthetic.text_rules import ALPHABET, Rule
from nlp_models.errors import require


class Form(NamedTuple):
    """How an example is written; the fields of `adaptation.prompts.Template`.

    Attributes:
      text: with `{input}` and, behind it, `{output}`.
      separator: what stands between two examples.
    """

    text: str
    separator: str


class Drawn(NamedTuple):
    """What is in prompts.

    Attributes:
      strings: of each prompt, as many as it has examples, all different and of one length.
      rule: a number below that of the rules, `[B]`.
      other: another such number, `[B]`.
      form: a number below that of the forms, `[B]`.
      told: a number from 0 to 1, `[B]`: who has less than a share is given an instruction.
    """

    strings: list[list[str]]
    rule: np.ndarray
    other: np.ndarray
    form: np.ndarray
    told: np.ndarray


class Written(NamedTuple):
    """A prompt.

    Attributes:
      text: all of it, with the answer of every example and what follows the last.
      answers: where the answers are, (first character, one past the character that ends it).
    """

    text: str
    answers: list[tuple[int, int]]


def draw(
    seed: int,
    index: np.ndarray,
    *,
    split: str = 'train',
    rules: int,
    forms: int,
    examples: int,
    min_length: int = 3,
    max_length: int = 4,
    letters: int = 26,
) -> Drawn:
    """Draw prompts.

    The strings of a prompt are of one length, which is uniform, and are otherwise uniform among
    rows of different strings. All strings of a prompt together decide on the split; the rest is
    independent of them.

    Args:
      seed: of the run.
      index: `[B]` integers, which prompts.
      split: train, validation or test.
      rules: how many there are to draw from, at least 2.
      forms: how many there are, at least 1.
      examples: of each prompt, the one in question among them; at least 1.
      min_length: letters of a string, at least 2.
      max_length: letters.
      letters: how many of the alphabet there are, at least 2.

    Returns:
      The prompts, each a function of the seed and its index.

    Raises:
      InputError: a setting is out of its range, or has too few strings.
    """
    require(rules >= 2, 'rules', rules, 'must be at least 2')
    require(forms >= 1, 'forms', forms, 'must be at least 1')
    fine = 2 <= min_length <= max_length <= 6
    require(fine, 'min_length, max_length', (min_length, max_length), 'must be from 2 to 6, rising')
    require(2 <= letters <= len(ALPHABET), 'letters', letters, 'must be from 2 to 26')
    fine = 1 <= examples <= letters**min_length
    require(fine, 'examples', examples, f'must be from 1 to {letters**min_length}')

    def contents(streams):
        random = draws.words(streams, 1 + examples)
        lengths = min_length + draws.below(random[:, 0], max_length - min_length + 1)
        found = np.zeros((len(streams), examples, max_length), np.uint8)
        for length in range(min_length, max_length + 1):
            rows = np.flatnonzero(lengths == length)
            codes = draws.distinct(random[rows, 1:], letters**length)
            for place in range(length):
                found[rows, :, place] = 1 + codes // letters**place % letters
        return found.reshape(len(streams), -1)

    setting = f'text rules with examples={examples}, max_length={max_length}, letters={letters}'
    found, streams = draws.first_in_split(seed, index, split, contents, setting)
    random = draws.words(streams, 4, first=1 + examples)
    rule = draws.below(random[:, 0], rules)
    other = (rule + 1 + draws.below(random[:, 1], rules - 1)) % rules
    table = np.frombuffer(f'\0{ALPHABET}'.encode(), np.uint8)
    rows = np.ascontiguousarray(table[found]).view(f'S{max_length}').astype(str)
    return Drawn(
        strings=rows.tolist(),
        rule=rule,
        other=other,
        form=draws.below(random[:, 2], forms),
        told=(random[:, 3] >> np.uint64(40)) * 2.0**-24,
    )


def write(
    form: Form, strings: Sequence[str], answers: Sequence[str], instruction: str = ''
) -> Written:
    """A prompt as text: the instruction, where there is one, and every example with its answer.

    Args:
      form: how an example is written.
      strings: what is asked.
      answers: as many.
      instruction: before the first example, with a separator behind it; empty for none.

    Returns:
      The prompt, with a separator behind the last example, too: there its answer ends.
    """
    before, _, rest = form.text.partition('{input}')
    between, _, after = rest.partition('{output}')
    after += form.separator
    pieces = [instruction + form.separator] if instruction else []
    at, spans = len(pieces[0]) if pieces else 0, []
    for string, answer in zip(strings, answers, strict=True):
        asked = before + string + between
        pieces.append(asked + answer + after)
        start = at + len(asked)
        spans.append((start, start + len(answer) + 1))
        at += len(pieces[-1])
    return Written(''.join(pieces), spans)


def write_all(
    drawn: Drawn,
    rules: Sequence[Rule],
    forms: Sequence[Form],
    *,
    told: float | str = 0.0,
    misled: bool = False,
) -> list[Written]:
    """Drawn prompts as texts.

    Args:
      drawn: the prompts.
      rules: as many as they were drawn for.
      forms: likewise.
      told: which share of the prompts begin with an instruction, the words of their rule; or
        'other', that all begin with those of the other rule.
      misled: whether all examples but the last are of the other rule.

    Returns:
      The texts, in their order.
    """
    found = []
    for i, strings in enumerate(drawn.strings):
        rule, other = rules[drawn.rule[i]], rules[drawn.other[i]]
        shown = other if misled else rule
        answers = [shown(string) for string in strings[:-1]] + [rule(strings[-1])]
        words = ''
        if told == 'other':
            words = other.words
        elif drawn.told[i] < told:
            words = rule.words
        found.append(write(forms[drawn.form[i]], strings, answers, words))
    return found


def as_batch(written: Sequence[Written], length: int) -> dict[str, np.ndarray]:
    """Texts as bytes, 0 behind their ends, for `objectives.language_modelling`.

    Args:
      written: the prompts, of characters of one byte.
      length: T; what does not fit is cut off.

    Returns:
      `tokens` int32 `[B, T + 1]`; `weights` float32 `[B, T]`, 1 where a character of an answer, or
      the one that ends it, is to be predicted; `example` int32 `[B, T]`, the number of the example
      whose answer that is, −1 elsewhere. An answer that is cut off counts nothing.
    """
    tokens = np.zeros((len(written), length + 1), np.int32)
    example = np.full((len(written), length), -1, np.int32)
    for row, (text, answers) in enumerate(written):
        read = np.frombuffer(text[: length + 1].encode('latin-1'), np.uint8)
        tokens[row, : len(read)] = read
        for number, (first, end) in enumerate(answers):
            if first >= 1 and end <= length + 1:
                example[row, first - 1 : end - 1] = number
    return {'tokens': tokens, 'weights': (example >= 0).astype(np.float32), 'example': example}
