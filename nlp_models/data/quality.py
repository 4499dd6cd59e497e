"""How good a text looks: measures of one document, and rules that turn bad ones away.

Every measure is a function of the text alone; a rule says between which values it must lie. The
rules of `GOPHER` and their thresholds are those of Rae et al. 2021 ("Scaling Language Models:
Methods, Analysis & Insights from Training Gopher", appendix A.1.1 and table A1), which are for web
pages in English; those of `SHORT` are for texts of a few sentences. `cleaning` applies them.
"""

import itertools
import math
import re
from collections import Counter
from collections.abc import Callable, Container, Iterable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from nlp_models.errors import require

STOP_WORDS = frozenset(('the', 'be', 'to', 'of', 'and', 'that', 'have', 'with'))
"""Those of Rae et al. 2021, A.1.1."""

_BULLET = re.compile(r'[•‣◦*\-+]\s')
_WORD = re.compile(r'[^\W\d_]+')
_FOLDS = 5
_PARAGRAPH = re.compile(r'\n\s*\n')


class Rule(NamedTuple):
    """What a document must be like to be kept.

    Attributes:
      name: of what is measured.
      measure: `(text) -> value`.
      low: the least value allowed.
      high: the greatest.
    """

    name: str
    measure: Callable[[str], float]
    low: float = -math.inf
    high: float = math.inf


class Broken(NamedTuple):
    """A rule that a document does not meet.

    Attributes:
      rule: its name.
      value: what was measured.
      limit: that it is beyond, in words, such as 'at least 50'.
    """

    rule: str
    value: float
    limit: str


def first_broken(text: str, rules: Sequence[Rule]) -> Broken | None:
    """The first rule that a document does not meet; None where it meets all.

    Args:
      text: the document.
      rules: asked in this order.

    Returns:
      The rule and the value.
    """
    for rule in rules:
        value = rule.measure(text)
        if value < rule.low:
            return Broken(rule.name, value, f'at least {rule.low:g}')
        if value > rule.high:
            return Broken(rule.name, value, f'at most {rule.high:g}')
    return None


def count_words(text: str) -> int:
    """Words: what stands between blanks."""
    return len(text.split())


def mean_word_length(text: str) -> float:
    """Characters of a word, on average; 0 where there is none."""
    words = text.split()
    return sum(map(len, words)) / len(words) if words else 0.0


def letters(text: str) -> float:
    """The share of a text's characters that are letters or blanks; 0 of an empty one."""
    return sum(c.isalpha() or c.isspace() for c in text) / len(text) if text else 0.0


def words_with_letters(text: str) -> float:
    """The share of words that have a letter in them; 0 where there is no word."""
    words = text.split()
    return sum(any(map(str.isalpha, word)) for word in words) / len(words) if words else 0.0


def stop_words(text: str) -> int:
    """How many of the eight `STOP_WORDS` occur, in any case, each counted once."""
    return len(STOP_WORDS & {word.strip('.,;:!?()"\'').lower() for word in text.split()})


def stop_word_share(text: str) -> float:
    """The share of words that are one of the eight `STOP_WORDS`; 0 where there is no word."""
    words = [word.strip('.,;:!?()"\'').lower() for word in text.split()]
    return sum(word in STOP_WORDS for word in words) / len(words) if words else 0.0


def word_runs(trusted: Iterable[str], n: int) -> frozenset[tuple[str, ...]]:
    """All n words in a row of texts that can be trusted, for `known_runs`.

    Args:
      trusted: the texts; words are runs of letters, in lower case.
      n: words of a run.
    """
    return frozenset(run for text in trusted for run in _runs(text, n))


def known_runs(text: str, known: Container[tuple[str, ...]], n: int) -> float:
    """The share of n words in a row that a trusted text has, too; 0 where there are none.

    The least that a filter can learn from good text: n = 1 tells misspelled words and strange ones,
    n = 2 strange orders. CCNet (Wenzek et al. 2020, section 3.3) has a whole language model there.

    Args:
      text: the document.
      known: of `word_runs`.
      n: words of a run.
    """
    runs = _runs(text, n)
    return sum(run in known for run in runs) / len(runs) if runs else 0.0


def symbols(text: str, symbol: str) -> float:
    """Occurrences of a symbol for each word; 0 where there is no word.

    Args:
      text: the document.
      symbol: '#', or '...', which the one character … counts as, too.
    """
    found = text.replace('…', '...').count(symbol)
    return found / max(count_words(text), 1)


def bullet_lines(text: str) -> float:
    """The share of lines that start with a bullet point: •, ‣, ◦, *, - or + and a blank."""
    lines = _lines(text)
    return sum(bool(_BULLET.match(line)) for line in lines) / max(len(lines), 1)


def ellipsis_lines(text: str) -> float:
    """The share of lines that end with an ellipsis."""
    lines = _lines(text)
    return sum(line.endswith(('...', '…')) for line in lines) / max(len(lines), 1)


def repeated_lines(text: str) -> float:
    """The share of lines that have stood in the text before; blank ones do not count."""
    return _repeated(_lines(text))


def repeated_paragraphs(text: str) -> float:
    """The share of paragraphs, which blank lines part, that have stood in the text before."""
    return _repeated(_paragraphs(text))


def repeated_line_characters(text: str) -> float:
    """The share of characters that are in lines which have stood in the text before."""
    return _repeated_characters(_lines(text))


def repeated_paragraph_characters(text: str) -> float:
    """The share of characters that are in paragraphs which have stood in the text before."""
    return _repeated_characters(_paragraphs(text))


def top_ngram(text: str, n: int) -> float:
    """The share of characters that are in the most frequent n words in a row.

    An n-gram that occurs once is no repetition, so of a text without any this is 0; where several
    are the most frequent, the longest counts. Characters are those of words, blanks left out, and a
    word that two occurrences share counts once.

    Args:
      text: the document.
      n: words.
    """
    words = text.split()
    grams = list(zip(*(words[i:] for i in range(n)), strict=False))
    if not grams:
        return 0.0
    counts = Counter(grams)
    gram, count = max(counts.items(), key=lambda item: (item[1], sum(map(len, item[0]))))
    return _covered(words, [g == gram for g in grams], n) if count > 1 else 0.0


def repeated_ngrams(text: str, n: int) -> float:
    """The share of characters that are in any n words in a row which occur more than once.

    Characters are those of words, blanks left out; overlapping n-grams count them once.

    Args:
      text: the document.
      n: words.
    """
    words = text.split()
    grams = list(zip(*(words[i:] for i in range(n)), strict=False))
    counts = Counter(grams)
    return _covered(words, [counts[gram] > 1 for gram in grams], n)


_REPETITION = (
    Rule('repeated lines', repeated_lines, high=0.30),
    Rule('repeated paragraphs', repeated_paragraphs, high=0.30),
    Rule('characters of repeated lines', repeated_line_characters, high=0.20),
    Rule('characters of repeated paragraphs', repeated_paragraph_characters, high=0.20),
    *(
        Rule(f'most frequent {n} words', partial(top_ngram, n=n), high=high)
        for n, high in ((2, 0.20), (3, 0.18), (4, 0.16))
    ),
    *(
        Rule(f'repeated {n} words', partial(repeated_ngrams, n=n), high=high)
        for n, high in ((5, 0.15), (6, 0.14), (7, 0.13), (8, 0.12), (9, 0.11), (10, 0.10))
    ),
)

_FORM = (
    Rule('mean word length', mean_word_length, 3, 10),
    Rule('# for each word', partial(symbols, symbol='#'), high=0.1),
    Rule('ellipses for each word', partial(symbols, symbol='...'), high=0.1),
    Rule('lines starting with a bullet', bullet_lines, high=0.9),
    Rule('lines ending with an ellipsis', ellipsis_lines, high=0.3),
    Rule('words with a letter', words_with_letters, 0.8),
)

GOPHER = (
    Rule('words', count_words, 50, 100_000),
    *_FORM,
    Rule('kinds of stop words', stop_words, 2),
    *_REPETITION,
)
"""The rules of Rae et al. 2021: appendix A.1.1 for all but repetition, which is table A1."""

SHORT = (
    Rule('words', count_words, 5),
    Rule('letters and blanks', letters, 0.75),
    *_FORM,
    Rule('kinds of stop words', stop_words, 1),
    *_REPETITION,
)
"""For texts of a few sentences, such as docstrings: Gopher's, but that five words and one kind of
stop word are enough, and that three of four characters are letters or blanks. These three
thresholds are this project's own."""

PLAIN = tuple(rule for rule in SHORT if rule not in _REPETITION)
"""The rules of `SHORT` but for repetition: a reference manual repeats itself on purpose."""

RULES: dict[str, tuple[Rule, ...]] = {
    'gopher': GOPHER, 'short': SHORT, 'plain': PLAIN, 'none': ()
}  # fmt: skip
"""The sets of rules by name."""


def find_rules(name: str) -> tuple[Rule, ...]:
    """A set of rules.

    Raises:
      InputError: where there is none of that name.
    """
    require(name in RULES, 'rules', name, f'must be one of {", ".join(RULES)}')
    return RULES[name]


def reference_rules(trusted: Sequence[str], dropped: float = 0.02) -> tuple[Rule, Rule]:
    """Rules that turn away what has too many words, or pairs of words, that trusted text has not.

    How many are too many the trusted texts say themselves: each fifth is measured by the others,
    and the limit is where a share of the documents would be turned away.

    Args:
      trusted: documents of the wanted kind that are known to be good, two at least; more know more.
      dropped: that share; each rule costs it of good text, and of what is good but unusual more.

    Returns:
      The rule of words and that of pairs.

    Raises:
      InputError: where there are fewer than two documents, or the share is not in [0, 1).
    """
    require(len(trusted) >= 2, 'trusted documents', len(trusted), 'must be at least 2')
    require(0 <= dropped < 1, 'dropped', dropped, 'must be at least 0 and less than 1')
    cuts = np.linspace(0, len(trusted), min(_FOLDS, len(trusted)) + 1).astype(int).tolist()
    # Stretches, as neighbours are often of one source and know each other's words.
    folds = [trusted[start:end] for start, end in itertools.pairwise(cuts)]
    rules = []
    for n, name in ((1, 'known words'), (2, 'known pairs of words')):
        measured = []
        for fold in folds:
            others = (text for other in folds if other is not fold for text in other)
            known = word_runs(others, n)
            measured += [known_runs(text, known, n) for text in fold]
        low = float(np.quantile(measured, dropped))
        rules.append(Rule(name, partial(known_runs, known=word_runs(trusted, n), n=n), low))
    return rules[0], rules[1]


def _runs(text: str, n: int) -> list[tuple[str, ...]]:
    words = _WORD.findall(text.lower())
    return list(zip(*(words[i:] for i in range(n)), strict=False))


def _lines(text: str) -> list[str]:
    """Lines that are not blank, without the blanks around them."""
    return [line.strip() for line in text.split('\n') if line.strip()]


def _paragraphs(text: str) -> list[str]:
    return [part.strip() for part in _PARAGRAPH.split(text) if part.strip()]


def _repeated(parts: list[str]) -> float:
    return 1 - len(set(parts)) / len(parts) if parts else 0.0


def _repeated_characters(parts: list[str]) -> float:
    total = sum(map(len, parts))
    return 1 - sum(map(len, set(parts))) / total if total else 0.0


def _covered(words: list[str], marked: list[bool], n: int) -> float:
    """The share of the words' characters that are in the marked n-grams, by where these begin."""
    if not any(marked):
        return 0.0
    covered = np.convolve(np.array(marked, np.int64), np.ones(n, np.int64)) > 0
    sizes = np.array([len(word) for word in words])
    return float(sizes[covered].sum() / sizes.sum())
