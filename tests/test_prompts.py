"""Templates, prompts made of them, the examples they show, and the files these come from."""

import itertools
import json
import math
from collections import Counter

import numpy as np
import pytest

from nlp_models.adaptation.examples import read_examples, split_examples
from nlp_models.adaptation.prompts import (
    Template,
    answer_context,
    answer_text,
    assemble,
    check_examples,
    choice_labels,
    choice_texts,
    example_text,
    query_text,
    right_choice,
)
from nlp_models.adaptation.selection import arrangement, select_examples
from nlp_models.errors import InputError

REVIEW = Template(
    'Review: {text}\nLabel: {label}.',
    words={'1': 'good', '0': 'bad'},
    instruction='Good or {bad}?',
)
FILMS = [
    {'text': 'A fine film', 'label': '1'},
    {'text': 'Dull', 'label': '0', 'who': 'me'},
    {'text': '{Odd}', 'label': '1'},
]


def test_an_example_is_written_as_the_template_says():
    assert REVIEW.fields == ('text', 'label')
    assert query_text(REVIEW, FILMS[0]) == 'Review: A fine film\nLabel: '
    assert example_text(REVIEW, FILMS[0]) == 'Review: A fine film\nLabel: good.'
    assert example_text(REVIEW, FILMS[2]) == 'Review: {Odd}\nLabel: good.'
    assert answer_text(REVIEW, FILMS[1]) == 'bad'
    assert choice_texts(REVIEW, FILMS[1]) == ('good', 'bad')
    assert choice_labels(REVIEW, FILMS[1]) == ('1', '0')
    assert right_choice(REVIEW, FILMS[1]) == 1
    assert answer_context(REVIEW) == 'Label: '
    assert query_text(REVIEW, {'text': 'no answer yet'}) == 'Review: no answer yet\nLabel: '


def test_braces_numbers_and_fields_that_stand_twice():
    template = Template('{{{a}}} {b} {{{a}}}={c}', answer='c')
    assert template.fields == ('a', 'b', 'a', 'c')
    example = {'a': 1, 'b': [True, None, 'é'], 'c': 0.5}
    assert query_text(template, example) == '{1} [true, null, "é"] {1}='
    assert example_text(template, example) == '{1} [true, null, "é"] {1}=0.5'
    numbered = Template('{a}:{c}', answer='c', words={0: 'no', 1: 'yes'})
    assert example_text(numbered, {'a': 'x', 'c': 1}) == 'x:yes'


def test_choices_of_an_examples_own():
    template = Template('{q} {a}', answer='a', choices='options')
    example = {'q': '2+2?', 'a': '4', 'options': ['3', '4', '22']}
    assert choice_texts(template, example) == choice_labels(template, example) == ('3', '4', '22')
    assert right_choice(template, example) == 1
    assert answer_context(template) == ' '


@pytest.mark.parametrize(
    ('fields', 'message'),
    [
        (dict(text='{text} {lable}'), r"has no field 'label': it has text, lable$"),
        (dict(text='nothing'), r"has no field 'label': it has no field$"),
        (dict(text='{label} {a} {label}'), r"has more than one field 'label': it has label, a, "),
        (dict(text='{label}: {text}'), r"has field 'text' after the answer, 'label': the answer"),
        (dict(text='{label}'), r'must have a field beside the answer'),
        (dict(text='{a {label}'), r'cannot be read|plain name'),
        (dict(text='{a} } {label}'), r"cannot be read \(Single '}'"),
        (dict(text='{a.b} {label}'), r"has field 'a.b': a field is a plain name"),
        (dict(text='{a:>3} {label}'), r"has field 'a:>3': a field is a plain name"),
        (dict(text='{a!r} {label}'), r"has field 'a!r': a field is a plain name"),
        (dict(text='{} {label}'), r"has field '': a field is a plain name"),
        (dict(words={'1': 'good'}), r"^words is {'1': 'good'}: it must be two or more"),
        (dict(words={'1': 'good', '0': ' good'}), r'none empty or alike$'),
        (dict(words={'1': 'good', '0': ' '}), r'none empty or alike$'),
        (dict(words={'1': 'a', '0': 'b'}, choices='c'), r"^choices is 'c': it must be empty"),
    ],
)
def test_templates_that_cannot_be(fields, message):
    with pytest.raises(InputError, match=message):
        Template(**{'text': '{text} {label}', **fields})


def test_examples_that_lack_something():
    with pytest.raises(InputError, match=r"^example 2 has no field 'text': it has label$"):
        check_examples(REVIEW, [FILMS[0], {'label': '1'}])
    with pytest.raises(InputError, match=r"^shot 1 has label '2', for which .* words for 1, 0$"):
        check_examples(REVIEW, [{'text': 'x', 'label': '2'}], what='shot')
    with pytest.raises(InputError, match=r"^the example has no field 'text': it has label$"):
        query_text(REVIEW, {'label': '1'})
    with pytest.raises(InputError, match=r"^label is '7', for which there is no label word"):
        example_text(REVIEW, {'text': 'x', 'label': 7})
    with pytest.raises(InputError, match='must be given, or choices, to choose among'):
        choice_texts(Template('{text} {label}'), FILMS[0])
    check_examples(REVIEW, FILMS)


# ---- prompts --------------------------------------------------------------------------------


def test_a_prompt_is_instruction_examples_and_question():
    prompt = assemble(REVIEW, {'text': 'Hm'}, FILMS[:2])
    assert prompt.shots == 2
    assert prompt.text == (
        'Good or {bad}?\n\nReview: A fine film\nLabel: good.\n\nReview: Dull\nLabel: bad.\n\n'
        'Review: Hm\nLabel: '
    )
    plain = Template('{text}={label}', separator=';')
    assert assemble(plain, {'text': 'x'}, []).text == 'x='
    assert assemble(plain, {'text': 'x'}, [{'text': 'y', 'label': 'z'}]).text == 'y=z;x='


def test_what_does_not_fit_is_dropped_from_the_oldest_on():
    plain = Template('{text}={label}', separator=';')
    shots = [{'text': letter, 'label': letter} for letter in 'abc']
    whole = 'a=a;b=b;c=c;x='
    assert assemble(plain, {'text': 'x'}, shots, budget=len(whole)).text == whole
    for budget, text in [(13, 'b=b;c=c;x='), (9, 'c=c;x='), (5, 'x='), (1, 'x=')]:
        prompt = assemble(plain, {'text': 'x'}, shots, budget=budget)
        assert prompt.text == text
        assert prompt.shots == text.count(';')
    kept = assemble(plain, {'text': 'x'}, shots, budget=3, overflow='keep')
    assert kept == (whole, 3)
    words = assemble(plain, {'text': 'x'}, shots, budget=2, count=lambda text: text.count(';'))
    assert words.shots == 2
    with pytest.raises(InputError, match=r'with 3 examples has 14 tokens: there is room for 13;'):
        assemble(plain, {'text': 'x'}, shots, budget=13, overflow='refuse')


# ---- selection ------------------------------------------------------------------------------

TEMPLATE = Template('{text}={label}', words={'0': 'no', '1': 'yes', '2': 'maybe'})
POOL = [{'text': f't{i}', 'label': str(min(2, i % 5))} for i in range(20)]  # 4, 4 and 12
QUERIES = [*POOL[:6], {'text': 'new', 'label': '1'}]


@pytest.mark.parametrize('how', ['random', 'balanced'])
def test_what_is_drawn_hangs_on_seed_and_question_alone(how):
    def draw(queries=QUERIES, seed=3, shots=7, order=0):
        return select_examples(
            TEMPLATE, queries, POOL, shots=shots, how=how, seed=seed, order=order
        )

    found = draw()
    assert found == draw()
    assert [draw([query])[0] for query in QUERIES] == found
    assert draw(seed=4) != found
    for query, shown in zip(QUERIES, found, strict=True):
        assert len(shown) == len({each['text'] for each in shown}) == 7
        assert query not in shown
        assert all(each in POOL for each in shown)
    outside = [
        shown
        for query, shown in zip(QUERIES, found, strict=True)
        if query not in found[-1]  # its examples are everyone's, but for the one it asks about
    ]
    assert len(outside) > 1
    assert all(shown == found[-1] for shown in outside)
    ordered = draw(order=1)
    assert ordered != found
    assert ordered == draw(order=1)
    assert draw(order=2) != ordered
    for one, other in zip(ordered, found, strict=True):
        assert sorted(map(str, one)) == sorted(map(str, other))
    assert draw(shots=0) == [[] for _ in QUERIES]


def test_arrangements_are_all_orders_there_are():
    for size in range(6):
        count = math.factorial(size)
        found = [tuple(arrangement(size, number)) for number in range(count)]
        assert found[0] == tuple(range(size))
        assert sorted(found) == [*itertools.permutations(range(size))]
        assert arrangement(size, count) == arrangement(size, 0)
    assert sorted(arrangement(200, 12345)) == [*range(200)]
    few = [arrangement(8, number) for number in range(4)]  # the first differ from the first place
    assert len({each[0] for each in few}) == 4


def test_more_random_examples_go_on_from_the_same_ones():
    few, more = (select_examples(TEMPLATE, QUERIES, POOL, shots=shots, seed=1) for shots in (3, 5))
    assert [shown[:3] for shown in more] == few


def test_balanced_examples_have_as_many_of_each_label():
    for shots in (3, 4, 6, 9, 15):
        for seed in range(5):
            (shown,) = select_examples(
                TEMPLATE, QUERIES[-1:], POOL, shots=shots, how='balanced', seed=seed
            )
            counts = Counter(each['label'] for each in shown)
            # Of the first two labels there are four each; beyond that the third fills up.
            assert max(counts['0'], counts['1']) <= min(4, -(-shots // 3))
            assert min(counts.values()) >= min(4, shots // 3)
    orders = {
        tuple(
            each['label']
            for each in select_examples(
                TEMPLATE, QUERIES[-1:], POOL, shots=6, how='balanced', seed=seed
            )[0]
        )
        for seed in range(20)
    }
    assert len(orders) > 10  # the labels come in no fixed order


def test_the_nearest_are_those_of_the_largest_cosine():
    random = np.random.default_rng(0)
    vectors = {query_text(TEMPLATE, each): random.normal(size=5) for each in [*POOL, QUERIES[-1]]}
    found = select_examples(
        TEMPLATE,
        QUERIES,
        POOL,
        shots=4,
        how='nearest',
        embed=lambda texts: np.stack([vectors[text] for text in texts]),
    )
    for query, shown in zip(QUERIES, found, strict=True):
        a = vectors[query_text(TEMPLATE, query)]
        cosines = {
            each['text']: float(a @ b / np.sqrt((a @ a) * (b @ b)))
            for each in POOL
            if each != query
            for b in [vectors[query_text(TEMPLATE, each)]]
        }
        wanted = sorted(cosines, key=cosines.__getitem__)[-4:]  # the nearest at the end
        assert [each['text'] for each in shown] == wanted


def test_selections_that_cannot_be():
    def refused(message, **fields):
        with pytest.raises(InputError, match=message):
            select_examples(TEMPLATE, QUERIES, POOL, **fields)

    refused(r'^shots is 21: there are 20 examples to choose among$', shots=21)
    refused(r'^shots is 20: there are 19 examples to choose among, beside the question', shots=20)
    refused(
        r"^selection is 'best': it must be one of random, balanced, nearest$", shots=1, how='best'
    )
    refused(r"^selection is 'nearest': it needs an embedding", shots=1, how='nearest')


# ---- files ----------------------------------------------------------------------------------


def write(path, text):
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_examples_of_json_lines_and_tables_are_the_same(tmp_path):
    lines = [
        '{"text": "a\\tb", "label": 1, "n": null}',
        '{"label": true, "text": "é", "l": [1, "x"]}',
    ]
    found = read_examples(
        write(tmp_path / 'a.jsonl', '\ufeff' + '\r\n'.join(lines) + '\n\n'), ['text']
    )
    assert found == [
        {'text': 'a\tb', 'label': '1', 'n': None},
        {'label': 'true', 'text': 'é', 'l': ['1', 'x']},
    ]
    found = read_examples(
        write(tmp_path / 'a.tsv', '\ufefftext\tlabel \r\n a \t1\r\né\t\r\n'), ['text', 'label']
    )
    assert found == [{'text': ' a ', 'label': '1'}, {'text': 'é', 'label': ''}]


@pytest.mark.parametrize(
    ('name', 'content', 'message'),
    [
        ('a.csv', 'text', r"a\.csv' must end in \.jsonl or \.tsv"),
        (
            'a.jsonl',
            '{"text": "x"}\n{"text": \n',
            r"a\.jsonl', line 2 is not JSON \(.*\): '{\"text",
        ),
        ('a.jsonl', '{"text": "x"}\n\n{"text": "x"}', r"a\.jsonl', line 2 is not JSON"),
        ('a.jsonl', '["x"]\n', r"a\.jsonl', line 1 is no JSON object: "),
        ('a.jsonl', '{"text": "x"}\n{"test": "x"}\n', r"line 2 has no field 'text': it has test$"),
        ('a.jsonl', '{"text": null}\n', r"line 1 has no field 'text': it has none$"),
        ('a.jsonl', '\n', r"a\.jsonl' has no examples$"),
        ('a.tsv', '', r"a\.tsv' has no examples$"),
        ('a.tsv', 'text\tlabel\n', r"a\.tsv' has no examples$"),
        ('a.tsv', 'text\tlabel\nx\t1\nx\n', r"line 3 has 1 values, the header 2 names: 'x'$"),
        ('a.tsv', 'text\ttext\nx\t1\n', r'line 1 must name each column once'),
        ('a.tsv', 'label\nx\n', r"line 2 has no field 'text': it has label$"),
        ('a.jsonl', b'{"text": "\xff"}', r"a\.jsonl' is not UTF-8 at its byte 10: convert"),
    ],
)
def test_files_that_cannot_be_read(tmp_path, name, content, message):
    path = write(tmp_path / name, content)
    with pytest.raises(InputError, match=message):
        read_examples(path, ['text'])


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match=r"none\.tsv' cannot be read \(No such file"):
        read_examples(tmp_path / 'none.tsv', [])


def test_a_split_hangs_on_what_is_in_the_examples():
    examples = [{'text': f't{i // 2}', 'label': str(i % 3), 'n': i} for i in range(60)]
    first, rest = split_examples(examples, 0.3, ignore=('label', 'n'))
    assert sorted([*first, *rest], key=lambda each: each['n']) == examples
    assert len(first) == pytest.approx(18, abs=1)
    texts = [{each['text'] for each in part} for part in (first, rest)]
    assert not texts[0] & texts[1]  # though every text is there twice
    assert [each['n'] for each in first] == sorted(each['n'] for each in first)
    backwards, _ = split_examples(examples[::-1], 0.3, ignore=('label', 'n'))
    assert {json.dumps(each) for each in backwards} == {json.dumps(each) for each in first}
    assert split_examples(examples, 0.3, ignore=('label', 'n'), seed=1)[0] != first
    assert split_examples(examples, 0.0) == ([], examples)
    assert split_examples(examples, 1.0) == (examples, [])
    with pytest.raises(InputError, match=r'^share is 1\.5: it must be from 0 to 1'):
        split_examples(examples, 1.5)
