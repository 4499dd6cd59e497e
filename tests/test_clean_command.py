"""Cleaning, from files to files: what goes, why, and that nothing else does."""

import json
from typing import Any

import numpy as np
import pytest

from nlp_models.data import cleaning, quality
from nlp_models.data.cleaning import clean, read_documents, write_documents
from nlp_models.errors import InputError
from tests.commands import not_told, run
from tests.test_quality import PROSE

SENTENCES = [
    'The first of the islands lies far to the north of all the others.',
    'Nobody who has seen the harbour in winter will want to be there again.',
    'They say that the ferry used to come twice a week with mail and with salt.',
    'Of the seven lighthouses only two are still lit, and both of them at night.',
    'To walk from one end of the place to the other takes about four hours.',
    'Birds come to the cliffs in spring, and with them the people who count birds.',
]
COOKIES = 'This site uses cookies to give you the best possible experience.'
RAW = [
    SENTENCES[0],
    SENTENCES[1],
    SENTENCES[0].upper() + '!',  # 2: like 0
    f'{COOKIES}\n{SENTENCES[2]}',
    f'{SENTENCES[3]}\n{COOKIES}',  # 4: loses a line
    COOKIES + '  ',  # 5: nothing is left
    'Tj8$k 0x91 3-3-3 qq-17 9981 #4 [] [] 7',  # 6: no text
    '  \n',  # 7
    SENTENCES[4],
    SENTENCES[4].replace('about', 'nearly'),  # 9: nearly like 8
    SENTENCES[5],
]


def test_everything_that_goes_is_told_with_its_reason():
    texts, report = clean(RAW, rules=quality.SHORT, near=0.3)
    assert report.kept == [0, 1, 3, 4, 8, 10]
    assert texts == [*SENTENCES[:2], RAW[3], SENTENCES[3], SENTENCES[4], SENTENCES[5]]
    told = {(d.document, d.step): d.why for d in report.drops}
    assert told == {
        (2, 'exact duplicate'): 'like document 0',
        (5, 'repeated parts'): 'all its lines have stood before',
        (6, 'rules'): 'letters and blanks: 0.368, not at least 0.75',
        (7, 'empty'): 'no characters but blanks',
        (9, 'near-duplicate'): 'like document 8',
    }
    assert report.characters.tolist() == [len(text) for text in RAW]
    assert report.left.tolist() == [len(text) for text in texts]


def test_the_table_adds_up():
    documents = [*RAW, *(f'{text} Again.' for text in RAW), 'too short']
    texts, report = clean(documents, rules=quality.SHORT, near=0.3)
    first, *rows, last = report.table()
    assert first == ('all', len(documents), sum(map(len, documents)))
    assert last == ('kept', len(texts), sum(map(len, texts)))
    assert sum(number for _, number, _ in rows) + last[1] == first[1]
    assert sum(characters for _, _, characters in rows) + last[2] == first[2]
    of_raw = clean(RAW, rules=quality.SHORT, near=0.3)[1].table()
    assert ('repeated parts of what is kept', 0, len(COOKIES) + 1) in of_raw
    assert 'words' in [name for name, _, _ in rows]  # rules are told by what they measure


def test_each_step_can_be_left_out():
    plain: dict[str, Any] = dict(rules=(), exact=False, repeated='none', near=0.0)
    assert clean(RAW, **plain)[1].kept == [i for i in range(11) if i != 7]
    assert 2 not in clean(RAW, **{**plain, 'exact': True})[1].kept
    assert 5 not in clean(RAW, **{**plain, 'repeated': 'lines'})[1].kept
    assert 6 not in clean(RAW, **{**plain, 'rules': quality.SHORT})[1].kept
    assert 9 not in clean(RAW, **{**plain, 'near': 0.3})[1].kept
    texts, report = clean([], rules=quality.GOPHER)
    assert texts == report.kept == []
    assert report.table() == [('all', 0, 0), ('kept', 0, 0)]
    with pytest.raises(InputError, match=r'near is 1\.5: it must be from 0'):
        clean(RAW, near=1.5)
    with pytest.raises(InputError, match="repeated is 'words': it must be one of none, lines"):
        clean(RAW, repeated='words')


def test_what_is_written_is_read_again(tmp_path):
    for name in ('x.txt', 'x.jsonl'):
        path = tmp_path / name
        documents = ['one\nline é', ' two', 'three "quoted"\t汉']
        write_documents(documents, path)
        assert read_documents([path]) == documents
    write_documents(['with a\n\nblank line'], tmp_path / 'x.jsonl')
    assert read_documents([tmp_path / 'x.jsonl']) == ['with a\n\nblank line']
    with pytest.raises(InputError, match=r'must end in .jsonl: a document has blank lines'):
        write_documents(['with a\n \nblank line'], tmp_path / 'x.txt')
    write_documents([], tmp_path / 'x.jsonl')
    with pytest.raises(InputError, match=r'x.jsonl has no document'):
        read_documents([tmp_path / 'x.jsonl'])


def test_folders_are_read_in_order_whatever_their_line_ends(tmp_path):
    (tmp_path / 'b').mkdir()
    (tmp_path / 'b' / 'z.jsonl').write_text('{"text": "four"}\n{"text": "five"}')
    (tmp_path / 'a.txt').write_bytes(b'\xef\xbb\xbf\r\none\r\n1\r\n \r\n\r\ntwo\r\n\r\n')
    (tmp_path / 'b' / 'a.txt').write_text('\n\nthree\n\n\n')
    (tmp_path / '.hidden').write_text('no')
    found = read_documents([tmp_path, tmp_path / 'a.txt'])
    assert found == ['one\r\n1', 'two', 'three', 'four', 'five', 'one\r\n1', 'two']


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (b'{"text": "a"}\n{"text": \n', r"x.jsonl', line 2 is not JSON"),
        (b'{"txt": "a"}\n', r"line 1 has no field 'text': it has 'txt'"),
        (b'[1]\n', r"line 1 has no field 'text': it has no object"),
        (b'{}\n', r"line 1 has no field 'text': it has none"),
        (b'{"text": 7}\n', r"line 1 has '7' in its field 'text': give a string"),
        (b'{"text": "a\xff"}\n', r'is not UTF-8 at byte 11'),
        (None, r'does not exist'),
    ],
)
def test_what_is_wrong_with_a_file_is_told(tmp_path, content, message):
    path = tmp_path / 'x.jsonl'
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=message) as told:
        read_documents([path])
    assert '\n' not in str(told.value)


# The command.


@pytest.fixture(scope='module')
def raw(tmp_path_factory):
    path = tmp_path_factory.mktemp('raw') / 'raw.jsonl'
    path.write_text(''.join(json.dumps({'text': text}) + '\n' for text in RAW))
    return path


def test_the_command_cleans_files(raw, tmp_path):
    output, dropped = tmp_path / 'clean.txt', tmp_path / 'dropped.jsonl'
    status, out, err = run(
        'clean',
        f'--input={raw}',
        f'--output={output}',
        '--rules=short',
        '--near=0.3',
        f'--dropped={dropped}',
    )
    assert (status, err) == (0, '')
    texts, report = clean(RAW, rules=quality.SHORT, near=0.3)
    assert read_documents([output]) == texts
    rows = [json.loads(line) for line in dropped.read_text().splitlines()]
    assert [(row['document'], row['step'], row['why']) for row in rows] == report.drops
    assert [row['text'] for row in rows] == [RAW[drop.document] for drop in report.drops]
    head, *lines = out.splitlines()
    assert head.split() == ['documents', 'characters']
    told = [
        (' '.join(words[:-2]), int(words[-2]), int(words[-1])) for words in map(str.split, lines)
    ]
    assert told == report.table()
    assert np.unique([len(line) for line in out.splitlines()]).size == 1  # aligned


def test_a_reference_turns_away_what_it_does_not_know(tmp_path):
    good, raw, output = tmp_path / 'good.txt', tmp_path / 'raw.txt', tmp_path / 'clean.jsonl'
    sentences = PROSE.split('. ')
    write_documents([PROSE, f'{PROSE} It is so.'], good)
    write_documents([sentences[0], 'Quarterly revenues exceeded forecasts of analysts.'], raw)
    flags = f'--input={raw}', f'--output={output}', '--rules=none', f'--reference={good}'
    status, out, err = run('clean', *flags)
    assert (status, err) == (0, '')
    assert 'known words' in out
    assert read_documents([output]) == sentences[:1]


def test_what_the_command_cannot_do_is_told_in_one_line(raw, tmp_path):
    here = f'--input={raw}', f'--output={tmp_path}/x.jsonl'
    bad = tmp_path / 'bad.jsonl'
    bad.write_text('{"text": "a"}\nnot JSON\n')
    one = tmp_path / 'one.txt'
    one.write_text(PROSE)
    cases = {
        'no file': ('does not exist', 'clean', ('--input=nowhere', here[1])),
        'no JSON': (r"bad.jsonl', line 2 is not JSON", 'clean', (f'--input={bad}', here[1])),
        'no folder': ('there is no folder', 'clean', (here[0], '--output=HERE/x.jsonl')),
        'a folder': ('it is a folder', 'clean', (here[0], f'--output={tmp_path}')),
        'reference': ('trusted documents is 1', 'clean', (*here, f'--reference={one}')),
        'near': ('near is 2.0', 'clean', (*here, '--near=2')),
        'rules': ('rules', 'clean', (*here, '--rules=c4')),
        'repeated': ('repeated', 'clean', (*here, '--repeated=words')),
        'no output': ('output', 'clean', (here[0],)),
    }
    assert not_told(tmp_path, cases) == []
    assert not (tmp_path / 'x.jsonl').exists()


def test_the_steps_are_those_that_are_done():
    steps = {drop.step for drop in clean(RAW, rules=quality.SHORT, near=0.3)[1].drops}
    assert steps == set(cleaning.STEPS)
