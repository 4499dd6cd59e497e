"""Rules of strings, which of them are held out, and the prompts made of them."""

from typing import Any

import numpy as np
import pytest

from nlp_models.adaptation.prompts import Template, assemble
from nlp_models.data.synthetic import text_prompts, text_rules
from nlp_models.data.synthetic.text_prompts import Form
from nlp_models.data.synthetic.text_rules import Rule
from nlp_models.errors import InputError

FORM = Form('{input}>{output}', ';')
RULES = text_rules.all_rules(3, 4)
HOW: dict[str, Any] = dict(min_length=3, max_length=4, letters=10)


@pytest.mark.parametrize(
    ('names', 'text', 'made'),
    [
        (('reverse',), 'cat', 'tac'),
        (('left',), 'cat', 'atc'),
        (('right',), 'cat', 'tca'),
        (('swap',), 'cart', 'tarc'),
        (('flip',), 'cart', 'acrt'),
        (('flop',), 'cart', 'catr'),
        (('tail',), 'cat', 'at'),
        (('cut',), 'cat', 'ca'),
        (('first',), 'cat', 'c'),
        (('last',), 'cat', 't'),
        (('ends',), 'cart', 'ct'),
        (('sort',), 'cab', 'abc'),
        (('twice',), 'ab', 'abab'),
        (('title',), 'cat', 'Cat'),
        (('next',), 'xyz', 'yza'),
        (('back',), 'abc', 'zab'),
        (('skip',), 'xyz', 'zab'),
        (('reverse', 'upper'), 'cat', 'TAC'),
        (('reverse', 'star'), 'cat', '*tac'),
        (('upper', 'dash'), 'cat', 'CAT-'),
    ],
)
def test_rules_do_what_their_names_say(names, text, made):
    assert Rule(names)(text) == made
    assert Rule(names).words == ' '.join(names)


def test_no_two_rules_are_the_same():
    rng = np.random.default_rng(0)
    texts = [''.join(rng.choice(list('abcdefghij'), size=n)) for n in (3, 4) for _ in range(300)]
    made = {tuple(rule(text) for text in texts) for rule in RULES}
    assert len(made) == len(RULES) > 100
    for rule in RULES:
        assert all(0 < len(rule(text)) <= 2 * len(text) for text in texts)


def test_what_is_held_out_is_in_no_rule_that_is_trained():
    parts = text_rules.partition(RULES, parts=('swap', 'ends'), share=5)
    assert sorted(parts.trained + parts.compositions + parts.parts) == sorted(RULES)
    known = {name for rule in parts.trained for name in rule.names}
    assert not known & {'swap', 'ends'}
    assert all(set(rule.names) & {'swap', 'ends'} for rule in parts.parts)
    for rule in parts.compositions:
        assert len(rule.names) > 1
        assert set(rule.names) <= known
    pairs = [rule for rule in parts.trained + parts.compositions if len(rule.names) > 1]
    share = len(parts.compositions) / len(pairs)
    assert share == pytest.approx(0.2, abs=4 * np.sqrt(0.2 * 0.8 / len(pairs)))
    fewer = text_rules.partition(RULES[:60], parts=('swap', 'ends'), share=5)
    assert set(fewer.compositions) <= set(parts.compositions)


def test_prompts_are_drawn_by_index_and_no_strings_are_in_two_splits():
    drawn = text_prompts.draw(0, np.arange(50), rules=7, forms=2, examples=4, **HOW)
    again = text_prompts.draw(0, np.arange(20, 30), rules=7, forms=2, examples=4, **HOW)
    assert again.strings == drawn.strings[20:30]
    np.testing.assert_array_equal(again.rule, drawn.rule[20:30])
    for strings in drawn.strings:
        assert len(set(strings)) == 4
        assert len({len(string) for string in strings}) == 1
        assert set(''.join(strings)) <= set('abcdefghij')
    assert np.all(drawn.rule != drawn.other)
    rows = {
        split: {tuple(strings) for strings in text_prompts.draw(
            0, np.arange(500), split=split, rules=7, forms=2, examples=1, **HOW).strings}
        for split in ('train', 'validation', 'test')
    }  # fmt: skip
    assert not rows['train'] & rows['test']
    assert not rows['train'] & rows['validation']


def test_a_prompt_is_what_the_library_assembles():
    drawn = text_prompts.draw(1, np.arange(6), rules=len(RULES), forms=1, examples=4, **HOW)
    for told in (0.0, 1.0):
        written = text_prompts.write_all(drawn, RULES, (FORM,), told=told)
        for i, (text, answers) in enumerate(written):
            rule = RULES[drawn.rule[i]]
            rows = [{'input': s, 'output': rule(s)} for s in drawn.strings[i]]
            template = Template(
                FORM.text, answer='output', separator=FORM.separator,
                instruction=rule.words if told else '',
            )  # fmt: skip
            prompt = assemble(template, rows[-1], rows[:-1]).text
            assert text == prompt + rows[-1]['output'] + FORM.separator
            assert [text[a:b] for a, b in answers] == [row['output'] + ';' for row in rows]


def test_examples_of_another_rule_and_its_words():
    drawn = text_prompts.draw(2, np.arange(5), rules=len(RULES), forms=1, examples=3, **HOW)
    misled = text_prompts.write_all(drawn, RULES, (FORM,), misled=True)
    other = text_prompts.write_all(drawn, RULES, (FORM,), told='other')
    for i, strings in enumerate(drawn.strings):
        rule, another = RULES[drawn.rule[i]], RULES[drawn.other[i]]
        said = [misled[i].text[a : b - 1] for a, b in misled[i].answers]
        assert said == [another(strings[0]), another(strings[1]), rule(strings[2])]
        assert other[i].text.startswith(f'{another.words};')


def test_a_batch_counts_answers_and_nothing_else():
    drawn = text_prompts.draw(3, np.arange(4), rules=len(RULES), forms=1, examples=3, **HOW)
    written = text_prompts.write_all(drawn, RULES, (FORM,))
    batch = text_prompts.as_batch(written, 30)
    for i, (text, answers) in enumerate(written):
        read = bytes(batch['tokens'][i].tolist()).rstrip(b'\0').decode()
        assert read == text[:31]
        for number, (first, end) in enumerate(answers):
            places = np.flatnonzero(batch['example'][i] == number)
            if end <= 31:
                predicted = bytes(batch['tokens'][i][places + 1].tolist()).decode()
                assert predicted == text[first:end]
            else:
                assert len(places) == 0
    np.testing.assert_array_equal(batch['weights'] > 0, batch['example'] >= 0)


@pytest.mark.parametrize(
    ('call', 'told'),
    [
        (lambda: text_rules.all_rules(1, 3), r'^min_length is 1: it must be from 2 to max_length'),
        (lambda: text_rules.partition(RULES, parts=('none',)), r"^parts is 'none': it must be amo"),
        (lambda: text_rules.partition(RULES, share=1), r'^share is 1: it must be from 2 to 20'),
        (
            lambda: text_prompts.draw(0, np.arange(1), rules=1, forms=1, examples=1),
            r'^rules is 1: it must be at least 2',
        ),
        (
            lambda: text_prompts.draw(0, np.arange(1), rules=2, forms=1, examples=0),
            r'^examples is 0: it must be from 1',
        ),
    ],
)
def test_what_is_out_of_range_is_told(call, told):
    with pytest.raises(InputError, match=told):
        call()
