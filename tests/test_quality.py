"""Measures of text against counting by hand, rules at their published thresholds."""

import math
import re
from collections import Counter

import numpy as np
import pytest

from nlp_models.data import quality
from nlp_models.data.quality import GOPHER, RULES, SHORT, Rule, first_broken
from nlp_models.errors import InputError

PROSE = (
    'The road from the village to the sea is long, and those who walk it have time to think. '
    'In spring the fields beside it are green; later they turn to the colour of straw. Nobody '
    'knows who planted the first of these trees, but that they are old is plain to everyone with '
    'eyes. Some have lost whole branches in storms of which grandmothers still speak at night.'
)


def by_hand(text, n, several):
    """Characters in n-grams that occur more than once, or in the most frequent, word by word."""
    words = text.split()
    starts = range(len(words) - n + 1)
    counts = Counter(' '.join(words[i : i + n]) for i in starts)
    most = max(counts.values(), default=0)
    longest = max((len(g.replace(' ', '')) for g, c in counts.items() if c == most), default=0)
    inside = set()
    for i in starts:
        gram = ' '.join(words[i : i + n])
        if several and counts[gram] > 1:
            inside.update(range(i, i + n))
        if not several and counts[gram] == most > 1 and len(gram.replace(' ', '')) == longest:
            inside.update(range(i, i + n))
    total = sum(map(len, words))
    return sum(len(words[i]) for i in inside) / total if total else 0.0


TEXTS = (
    '',
    'a',
    'a b a b a b c',
    'a a a a a',
    'one two three four five six seven',
    'red green blue red green blue yellow red green blue',
    'tick tock ' * 30 + 'and that was it',
    PROSE,
    f'{PROSE} Again: {PROSE}',
)


@pytest.mark.parametrize('text', TEXTS)
@pytest.mark.parametrize('n', [2, 3, 5, 10])
def test_repeated_words_are_counted_as_by_hand(text, n):
    assert quality.repeated_ngrams(text, n) == pytest.approx(by_hand(text, n, True))
    found = quality.top_ngram(text, n)
    words = text.split()
    counts = Counter(zip(*(words[i:] for i in range(n)), strict=False))
    alike = sum(
        c == max(counts.values())
        and sum(map(len, g))
        == max(sum(map(len, h)) for h, d in counts.items() if d == max(counts.values()))
        for g, c in counts.items()
    )
    if alike <= 1:  # else one of several equally frequent and long ones is taken
        assert found == pytest.approx(by_hand(text, n, False))
    assert 0 <= found <= quality.repeated_ngrams(text, n) + 1e-12 <= 1 + 1e-9


def test_what_repeats_all_the_time_is_all_repetition():
    assert quality.repeated_ngrams('a b c d e ' * 4, 5) == 1
    assert quality.top_ngram('go ' * 10, 2) == 1
    # 'ab cd' twice, of 8 of 10 characters; nothing else is there twice.
    assert quality.top_ngram('ab cd x ab cd y', 2) == pytest.approx(0.8)
    assert quality.repeated_ngrams('ab cd x ab cd y', 3) == 0


@pytest.mark.parametrize(
    ('measure', 'text', 'expected'),
    [
        (quality.count_words, ' one  two\nthree ', 3),
        (quality.mean_word_length, 'ab abcd', 3),
        (quality.mean_word_length, ' ', 0),
        (quality.letters, 'ab 1!', 3 / 5),
        (quality.letters, 'é汉', 1),
        (quality.letters, '', 0),
        (quality.words_with_letters, 'a 1b 22 !', 0.5),
        (quality.words_with_letters, '', 0),
        (quality.stop_words, 'The cat, the dog (and) THAT. "with" be', 5),
        (quality.stop_words, 'theory of tomatoes', 1),
        (quality.stop_word_share, 'the cat and the dog', 3 / 5),
        (quality.stop_word_share, '', 0),
        (quality.bullet_lines, '* one\n\n - two\nthree\n• four\n-five', 3 / 5),
        (quality.bullet_lines, '', 0),
        (quality.ellipsis_lines, 'read more...\nno\nand … \n\nend.', 0.5),
        (quality.repeated_lines, 'a\nb\n a\n\na\nc', 2 / 5),
        (quality.repeated_line_characters, 'aaaa\nb\naaaa\nc', 4 / 10),
        (quality.repeated_lines, '', 0),
        (quality.repeated_paragraphs, 'a\nb\n\nc\n \na\nb', 1 / 3),
        (quality.repeated_paragraph_characters, 'abc\n\nd\n\nabc', 3 / 7),
    ],
)
def test_measures_of_small_texts(measure, text, expected):
    assert measure(text) == pytest.approx(expected)


def test_symbols_are_counted_for_each_word():
    assert quality.symbols('# one two #tag', '#') == 0.5
    assert quality.symbols('so … and so...', '...') == 0.5
    assert quality.symbols('', '#') == 0


def test_known_runs_are_those_of_a_trusted_text():
    words, pairs = (quality.word_runs(['The cat sat.', 'On a mat2 cat'], n) for n in (1, 2))
    assert words == {(word,) for word in ('the', 'cat', 'sat', 'on', 'a', 'mat')}
    assert pairs == {('the', 'cat'), ('cat', 'sat'), ('on', 'a'), ('a', 'mat'), ('mat', 'cat')}
    assert quality.known_runs('THE dog, the cat!', words, 1) == 0.75
    assert quality.known_runs('THE dog, the cat!', pairs, 2) == 1 / 3
    assert quality.known_runs('1 2 3', words, 1) == quality.known_runs('the', pairs, 2) == 0


def test_trusted_texts_say_how_many_unknown_words_are_too_many():
    trusted = [f'{PROSE} {word}' for word in ('one', 'two', 'three', 'four', 'five', 'six')]
    trusted[4] = 'nothing of this stands anywhere else'
    rules = quality.reference_rules(trusted, dropped=0.2)
    assert [rule.name for rule in rules] == ['known words', 'known pairs of words']
    for n, rule in ((1, rules[0]), (2, rules[1])):
        # Five stretches: 0, 1, 2, 3 alone and the last two together.
        folds = [trusted[:1], trusted[1:2], trusted[2:3], trusted[3:4], trusted[4:]]
        measured = [
            quality.known_runs(
                text, quality.word_runs([t for f in folds if f is not fold for t in f], n), n
            )
            for fold in folds
            for text in fold
        ]
        assert measured[4] < 0.2 < 0.9 < min(measured[:4] + measured[5:]) < 1
        assert rule.low == pytest.approx(np.quantile(measured, 0.2))
        assert rule.measure(trusted[4]) == 1  # all of it is trusted
        assert first_broken(PROSE, [rule]) is None
    broken = first_broken('Quarterly revenues exceeded analyst forecasts', rules)
    assert broken is not None
    assert (broken.rule, broken.value) == ('known words', 0)
    words = PROSE.split()
    broken = first_broken(' '.join(words[::2] + words[1::2]), rules)  # the words, not their order
    assert broken is not None
    assert broken.rule == 'known pairs of words'
    for texts, dropped, message in (
        ([PROSE], 0.1, 'trusted documents is 1: it must be at least 2'),
        (trusted, 1.0, 'dropped is 1.0'),
    ):
        with pytest.raises(InputError, match=message):
            quality.reference_rules(texts, dropped)


def test_the_first_rule_that_is_broken_is_told_and_limits_are_allowed():
    rules = [Rule('a', len, 2, 5), Rule('b', lambda text: text.count('x'), high=1)]
    assert first_broken('abxde', rules) is None
    assert first_broken('ab', rules) is None
    assert first_broken('x', rules) == quality.Broken('a', 1, 'at least 2')
    assert first_broken('xxxxxx', rules) == quality.Broken('a', 6, 'at most 5')
    assert first_broken('xx', rules) == quality.Broken('b', 2, 'at most 1')


def test_gophers_thresholds_are_the_published_ones():
    limits = {rule.name: (rule.low, rule.high) for rule in GOPHER}
    # Rae et al. 2021, appendix A.1.1.
    assert limits['words'] == (50, 100_000)
    assert limits['mean word length'] == (3, 10)
    assert limits['# for each word'] == limits['ellipses for each word'] == (-math.inf, 0.1)
    assert limits['lines starting with a bullet'][1] == 0.9
    assert limits['lines ending with an ellipsis'][1] == 0.3
    assert limits['words with a letter'][0] == 0.8
    assert limits['kinds of stop words'][0] == 2
    # Table A1.
    table = {
        'repeated lines': 0.30,
        'repeated paragraphs': 0.30,
        'characters of repeated lines': 0.20,
        'characters of repeated paragraphs': 0.20,
        'most frequent 2 words': 0.20,
        'most frequent 3 words': 0.18,
        'most frequent 4 words': 0.16,
        'repeated 5 words': 0.15,
        'repeated 6 words': 0.14,
        'repeated 7 words': 0.13,
        'repeated 8 words': 0.12,
        'repeated 9 words': 0.11,
        'repeated 10 words': 0.10,
    }
    assert {name: limits[name] for name in table} == {n: (-math.inf, h) for n, h in table.items()}
    assert len(limits) == len(GOPHER) == len(table) + 8
    assert len({rule.name for rule in SHORT}) == len(SHORT)
    assert [rule for rule in SHORT if rule.name not in table] == list(quality.PLAIN)


@pytest.mark.parametrize(
    ('text', 'rule'),
    [
        (PROSE, None),
        (' '.join(PROSE.split()[:49]), 'words'),
        ('antidisestablishmentarianism ' * 60, 'mean word length'),
        (PROSE.replace(' ', ' # ', 10), '# for each word'),
        (PROSE.replace(',', '... ', 3).replace(' the', '... the'), 'ellipses for each word'),
        (re.sub('( .+?){6} ', r'\g<0>\n* ', f'* {PROSE}'), 'lines starting with a bullet'),
        (PROSE.replace('. ', ' …\n'), 'lines ending with an ellipsis'),
        (' '.join([*PROSE.split(), *map(str, range(100, 120))]), 'words with a letter'),
        ('Lorem ipsum dolor sit amet ' * 12, 'kinds of stop words'),
        ('\n'.join([PROSE, *['More of the same.'] * 4]), 'repeated lines'),
        (
            '\n\n'.join([PROSE.replace('. ', '.\n'), 'So it was.', 'So it was.']),
            'repeated paragraphs',
        ),
        (PROSE + ' tick tock' * 20, 'most frequent 2 words'),
        (f'{PROSE} {" ".join(PROSE.split()[:30])}', 'repeated 5 words'),
    ],
)
def test_gophers_rules_turn_away_what_they_are_for(text, rule):
    broken = first_broken(text, GOPHER)
    assert (broken and broken.rule) == rule


def test_short_texts_have_rules_of_their_own():
    good = 'Return the number of items that are left in the queue.'
    assert first_broken(good, SHORT) is None
    assert first_broken(good, GOPHER) is not None
    for text, rule in (
        ('Return it.', 'words'),
        ('0x00 0x01 0x02 the 0x03 0x04', 'letters and blanks'),
        ('Opens database files without locking anything', 'kinds of stop words'),
    ):
        broken = first_broken(text, SHORT)
        assert broken is not None
        assert broken.rule == rule


def test_rules_are_found_by_name():
    assert {name: quality.find_rules(name) for name in RULES} == RULES
    with pytest.raises(InputError, match="rules is 'c4': it must be one of gopher, short, plain"):
        quality.find_rules('c4')
