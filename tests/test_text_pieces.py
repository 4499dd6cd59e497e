"""Text out of tokens that come in pieces: whole characters, and no part of a stop text."""

import numpy as np
import pytest
from tokenizers import Tokenizer as HuggingFaceTokenizer
from tokenizers import decoders, pre_tokenizers
from tokenizers import models as kinds

from nlp_models.data.pretrained_tokenizer import pretrained_tokenizer
from nlp_models.data.tokenizers import Tokenizer, learn_tokenizer
from nlp_models.generation.text import UNFINISHED, pieces_of_text

BYTES = learn_tokenizer('bytes', [], 0)
WORDS = learn_tokenizer('words', ['one two three stop'], 0)


def cut(ids, sizes) -> list[np.ndarray]:
    """Token ids in pieces of these sizes, and the rest."""
    return [np.asarray(piece, np.int32) for piece in np.split(ids, np.cumsum(sizes))]


def pieces(text, sizes, stop=(), tokenizer: Tokenizer = BYTES) -> list[str]:
    return list(pieces_of_text(cut(tokenizer.encode(text), sizes), tokenizer, stop))


def expected(text: str, stop=()) -> str:
    """The text up to the first place where a stop text stands."""
    ends = [text.index(each) for each in stop if each in text]
    return text[: min(ends, default=len(text))]


TEXTS = ['plain', 'naïve café', '日本語のテキスト', 'a👩‍🚀b', 'é', '€', 'x\ufffdy\ufffd']


@pytest.mark.parametrize('size', [1, 2, 3, 7])
@pytest.mark.parametrize('text', TEXTS)
def test_characters_are_never_cut(text, size):
    number = -(-len(text.encode()) // size) - 1
    found = pieces(text, [size] * number)
    assert ''.join(found) == text
    assert all(found)
    if '\ufffd' not in text:
        assert not any(UNFINISHED in piece for piece in found)
    if size == 1:  # what is sure is told at once
        assert found == list(text) or '\ufffd' in text


def test_bytes_that_never_become_a_character_come_at_the_end():
    half = BYTES.encode('ab€')[:-1]
    assert list(pieces_of_text(cut(half, [2]), BYTES)) == ['ab', UNFINISHED]
    # What follows says that the character will not be completed.
    broken = np.concatenate([half, BYTES.encode('c')])
    assert list(pieces_of_text(cut(broken, [3, 1]), BYTES)) == ['ab', f'{UNFINISHED}c']
    assert list(pieces_of_text([], BYTES)) == []


@pytest.mark.parametrize(
    ('text', 'stop'),
    [
        ('one two three', ['two']),
        ('one two three', ['three', 'two']),
        ('one two three', ['nowhere']),
        ('one two three', ['one']),
        ('aaab', ['aab']),  # its beginning begins anew
        ('ababababac', ['abac']),
        ('the end.', ['.', 'end']),
        ('the end', ['ending']),  # it only began
        ('価格は5€です', ['€']),
        ('a5€b', ['5€b']),
        ('xa€y', ['a€']),  # held back while the rest of it is half a character
        ('a日b', ['日']),
        ('aa👩‍🚀', ['👩']),
        ('ab', ['abc', 'b']),
    ],
)
@pytest.mark.parametrize('size', [1, 2, 3, 50])
def test_a_stop_text_ends_it_wherever_it_is_cut(text, stop, size):
    number = -(-len(text.encode()) // size) - 1
    found = pieces(text, [size] * number, stop)
    assert ''.join(found) == expected(text, stop)
    assert all(found)


def test_every_way_to_cut_a_text_gives_the_same():
    text, stop = 'a€ab€abc', ['b€abc']
    ids = BYTES.encode(text)
    for mask in range(2 ** (len(ids) - 1)):
        places = [i + 1 for i in range(len(ids) - 1) if mask >> i & 1]
        parts = [np.asarray(part, np.int32) for part in np.split(ids, places)]
        assert ''.join(pieces_of_text(parts, BYTES, stop)) == 'a€a'


def test_nothing_is_asked_for_behind_a_stop_text():
    asked = []

    def tokens():
        for piece in cut(BYTES.encode('one two three'), [4, 3, 1]):
            asked.append(len(piece))
            yield piece

    assert ''.join(pieces_of_text(tokens(), BYTES, ['two'])) == 'one '
    assert asked == [4, 3]


def test_what_may_begin_a_stop_text_is_held_back_and_told_in_time():
    found = pieces_of_text(cut(BYTES.encode('a sto b stop c'), [5, 2, 4]), BYTES, ['stop'])
    assert next(found) == 'a '  # `sto` may begin it
    assert next(found) == 'sto b'
    assert ''.join(found) == ' '


def test_words_are_a_blank_apart():
    assert ''.join(pieces('one two three stop two', [1] * 4, ['stop'], WORDS)) == 'one two three '
    begun, rest = WORDS.encode('one two'), WORDS.encode('three two')
    assert ''.join(pieces_of_text(cut(rest, [1]), WORDS, before=begun)) == ' three two'
    # What stands before the text does not end it.
    assert ''.join(pieces_of_text(cut(rest, [1]), WORDS, ['two'], begun)) == ' three '


def test_tokens_that_the_tokenizer_has_not_are_no_text():
    """A model may have more than its tokenizer: BEGIN, or rows that fill its embedding up."""
    ids = np.array([104, 256, 105, 300, 301], np.int32)
    assert ''.join(pieces_of_text(cut(ids, [2]), BYTES)) == 'hi'


def sentence_pieces() -> Tokenizer:
    """A tokenizer like Llama's: blanks are a part of the word behind them."""
    words = ['<unk>', '▁one', '▁two', '▁three', 's']
    library = HuggingFaceTokenizer(
        kinds.WordLevel(dict(zip(words, range(5), strict=True)), '<unk>')
    )
    library.pre_tokenizer = pre_tokenizers.Metaspace()
    library.decoder = decoders.Sequence(
        [decoders.Replace('▁', ' '), decoders.Fuse(), decoders.Strip(' ', 1, 0)]
    )
    return pretrained_tokenizer(library.to_str())


def test_a_text_goes_on_from_its_prompt_with_the_blank_between_them():
    tokenizer = sentence_pieces()
    prompt, rest = tokenizer.encode('one two'), tokenizer.encode('three one')
    assert tokenizer.decode(np.concatenate([prompt, rest])) == 'one two three one'
    assert ''.join(pieces_of_text(cut(rest, [1]), tokenizer, before=prompt)) == ' three one'
