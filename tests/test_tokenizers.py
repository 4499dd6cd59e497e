"""Tokenizers: every character comes back, and is counted, whatever the script."""

import itertools
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
import tokenizers as hugging_face

from nlp_models.data import tokenizers
from nlp_models.data.pieces import byte_letters
from nlp_models.data.tokenizers import learn_tokenizer, tokenizer_from_json
from nlp_models.errors import InputError

TRAINING = [
    'The cat sat on the mat; the cat ate the rat.\n\n',
    'Ünïcödé, 汉字仮名, עברית, e\u0301 and 👩‍🚀 too.\r\n\ttabs\x00nulls   spaces\n',
]
FOREIGN = 'Ørsted said: ζ ≠ 7, 🦖!\n the cat \u2028 ends'


def learned(kind, texts=TRAINING, vocab_size=300):
    return learn_tokenizer(kind, texts, vocab_size)


@pytest.mark.parametrize('kind', ['bytes', 'chars', 'bpe'])
def test_its_own_text_comes_back_and_every_character_is_counted(kind):
    tokenizer = learned(kind)
    for text in [*TRAINING, ''.join(TRAINING), '']:
        ids = tokenizer.encode(text)
        assert ids.dtype == tokenizer.dtype
        assert ids.ndim == 1
        assert tokenizer.decode(ids) == text
        assert tokenizer.characters[ids].sum() == len(text)
    assert tokenizer.name == kind
    assert tokenizer.characters.shape == (tokenizer.vocab_size,)
    assert tokenizer.characters.dtype == np.int32


@pytest.mark.parametrize('kind', ['bytes', 'chars', 'bpe'])
def test_the_characters_of_unseen_text_are_counted_too(kind):
    tokenizer = learned(kind)
    ids = tokenizer.encode(FOREIGN)
    assert tokenizer.characters[ids].sum() == len(FOREIGN)
    seen = set(''.join(TRAINING))
    known = ''.join(c if c in seen or kind != 'chars' else '\ufffd' for c in FOREIGN)
    assert tokenizer.decode(ids) == known


@pytest.mark.parametrize('kind', ['bytes', 'chars', 'words', 'bpe'])
def test_json_restores_the_same_tokenizer(kind):
    tokenizer = learned(kind)
    restored = tokenizer_from_json(tokenizer.to_json())
    assert restored.to_json() == tokenizer.to_json()
    assert (restored.name, restored.vocab_size, restored.dtype) == (
        kind,
        tokenizer.vocab_size,
        tokenizer.dtype,
    )
    np.testing.assert_array_equal(restored.encode(FOREIGN), tokenizer.encode(FOREIGN))
    np.testing.assert_array_equal(restored.characters, tokenizer.characters)


def test_bytes_are_the_utf8_form():
    tokenizer = learned('bytes')
    assert tokenizer.encode(FOREIGN).tolist() == list(FOREIGN.encode())
    assert tokenizer.vocab_size == 256
    assert tokenizer.dtype == np.uint8
    assert tokenizer.decode([0x61, 0xE6, 0xB1]) == 'a\ufffd'  # a character cut short


def test_characters_are_numbered_in_order_after_the_unknown_one():
    tokenizer = learned('chars')
    alphabet = sorted(set(''.join(TRAINING)))
    expected = [alphabet.index(c) + 1 if c in alphabet else 0 for c in FOREIGN]
    assert 0 in expected
    assert tokenizer.encode(FOREIGN).tolist() == expected
    assert tokenizer.vocab_size == len(alphabet) + 1


@pytest.mark.parametrize(('distinct', 'dtype'), [(255, np.uint8), (256, np.uint16)])
def test_the_smallest_id_type_is_taken(distinct, dtype):
    text = ''.join(chr(0x4E00 + i) for i in range(distinct))  # and the unknown token
    tokenizer = learned('chars', [text])
    assert tokenizer.dtype == dtype
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_words_are_numbered_in_order_after_the_unknown_one():
    tokenizer = learned('words')
    vocabulary = sorted({word for text in TRAINING for word in text.split()})
    assert tokenizer.vocab_size == len(vocabulary) + 1
    text = 'the  dog\n sat\u2028on 汉字仮名, '
    expected = [vocabulary.index(w) + 1 if w in vocabulary else 0 for w in text.split()]
    assert expected.count(0) == 1
    ids = tokenizer.encode(text)
    assert (ids.tolist(), ids.dtype) == (expected, tokenizer.dtype)
    assert tokenizer.decode(ids) == 'the \ufffd sat on 汉字仮名,'
    # Every word counts the blank after it, the last one, too.
    assert tokenizer.characters[ids].sum() == len(tokenizer.decode(ids)) + 1
    assert tokenizer.encode(' \n').size == 0
    assert tokenizer.decode([]) == ''


@pytest.mark.parametrize('kind', ['bytes', 'chars', 'words', 'bpe'])
def test_learned_tokenizers_have_no_special_tokens(kind):
    tokenizer = learned(kind)
    ids = tokenizer.encode('the cat')
    assert tokenizer.special == {}
    np.testing.assert_array_equal(tokenizer.frame(ids), ids)


def brute_force_merges(words, number):
    """Byte pair encoding as it is defined, where no two pairs are equally frequent."""
    words = Counter(words)
    split = {word: [bytes([b]) for b in word.encode()] for word in words}
    merged = []
    for _ in range(number):
        pairs = Counter()
        for word, parts in split.items():
            for pair in itertools.pairwise(parts):
                pairs[pair] += words[word]
        (best, count), (_, second) = pairs.most_common(2)
        assert count > second, 'the example is ambiguous'
        merged.append(b''.join(best))
        for word, parts in split.items():
            i = 0
            while i < len(parts) - 1:
                if (parts[i], parts[i + 1]) == best:
                    parts[i : i + 2] = [parts[i] + parts[i + 1]]
                i += 1
            split[word] = parts
    return merged


def test_bpe_merges_what_the_definition_merges():
    # é is two bytes, whose merge shows as a whole character.
    words = ['é'] * 50 + ['ab'] * 20 + ['bc'] * 15 + ['cd'] * 12 + ['abc'] * 4 + ['abé']
    expected = brute_force_merges(words, 5)
    assert expected[-1] == b'abc'  # a merge of a merge
    # A line end is a word of its own, with nothing in it to merge.
    tokenizer = learned('bpe', ['\n'.join(words)], 256 + len(expected))
    pieces = [tokenizer.decode([i]) for i in range(256, tokenizer.vocab_size)]
    assert pieces == [piece.decode() for piece in expected]


def test_bpe_is_shorter_than_bytes_and_nothing_is_unknown():
    text = ''.join(TRAINING) * 20
    tokenizer = learned('bpe', [text], 400)
    assert len(tokenizer.encode(text)) < len(text.encode()) / 2
    everything = ''.join(chr(c) for c in range(0x3000) if not 0xD800 <= c < 0xE000)
    assert tokenizer.decode(tokenizer.encode(everything)) == everything
    assert tokenizer.vocab_size <= 400


def test_bpe_writes_bytes_as_the_library_does():
    assert set(byte_letters()) == set(hugging_face.pre_tokenizers.ByteLevel.alphabet())
    bpe = hugging_face.Tokenizer(hugging_face.models.BPE())
    bpe.pre_tokenizer = hugging_face.pre_tokenizers.ByteLevel(add_prefix_space=False)
    letters = byte_letters()
    for text in ('a b', '\n\x00', 'é汉👩'):
        pieces = bpe.pre_tokenizer.pre_tokenize_str(text)
        assert ''.join(piece for piece, _ in pieces) == ''.join(letters[b] for b in text.encode())


def test_bpe_is_trained_on_the_start_of_a_long_text(monkeypatch):
    monkeypatch.setattr(tokenizers, 'BPE_TRAINING_CHARACTERS', 2000)
    start = 'one two three ' * 200  # 2800 characters
    read = []

    def texts():
        for text in (start[:1500], start[1500:], 'zebra ' * 1000):
            read.append(text)
            yield text

    tokenizer = learned('bpe', texts(), 280)
    assert tokenizer.to_json() == learned('bpe', [start[:1500], start[1500:2000]], 280).to_json()
    assert read == [start[:1500], start[1500:]]


def test_bpe_is_the_same_in_every_process():
    program = (
        'import sys; from nlp_models.data.tokenizers import learn_tokenizer; '
        'text = "some words are more often than some other words " * 50; '
        'sys.stdout.write(learn_tokenizer("bpe", [text], 300).to_json())'
    )
    text = 'some words are more often than some other words ' * 50
    output = subprocess.run(
        [sys.executable, '-c', program], capture_output=True, text=True, check=True
    ).stdout
    assert output == learned('bpe', [text], 300).to_json()


def test_mistakes_are_told():
    with pytest.raises(InputError, match=r"tokenizer='syllables'.*bytes, chars, words, bpe"):
        learned('syllables')
    with pytest.raises(InputError, match=r"tokenizer='pretrained' is unknown"):
        learned('pretrained')
    with pytest.raises(InputError, match='vocab_size=255'):
        learned('bpe', vocab_size=255)
    for kind in ('bytes', 'chars', 'words', 'bpe'):
        tokenizer = learned(kind)
        with pytest.raises(InputError, match='lone surrogate'):
            tokenizer.encode('ab\ud800')
        for wrong in ([0, tokenizer.vocab_size], [-1]):
            with pytest.raises(ValueError, match='cannot be decoded'):
                tokenizer.decode(wrong)
    for wrong in ('{}', '[]', '{"kind": "syllables", "state": null}', 'no json'):
        with pytest.raises(ValueError, match=r'not a saved tokenizer|Expecting value'):
            tokenizer_from_json(wrong)
