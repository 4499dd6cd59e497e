"""Tokenizers that come with a model: the library's ids, and what the task has to know of them."""

import json

import numpy as np
import pytest
from tokenizers import Tokenizer as Library
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors, trainers

from nlp_models.data import pydoc_text
from nlp_models.data.pretrained_tokenizer import pretrained_tokenizer
from nlp_models.data.tokenizers import tokenizer_from_json
from nlp_models.errors import InputError
from tests.minilm import minilm

TEXTS = [
    'The cat sat on the mat; the cat ate the rat.',
    'Ünïcödé, 汉字仮名, עברית and 👩‍🚀 too.',
    'tabs\tand\n\n  blanks ',
    '',
]


def byte_level():
    """As GPT-2's, with a beginning put before every text."""
    library = Library(models.BPE())
    library.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    library.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=['<|endoftext|>'],
        show_progress=False,
    )
    library.train_from_iterator(TEXTS * 20, trainer)
    library.post_processor = processors.TemplateProcessing(
        single='<|endoftext|> $A', special_tokens=[('<|endoftext|>', 0)]
    )
    return library


def word_piece():
    """As BERT's, cutting and filling up to eight tokens."""
    library = Library(models.WordPiece(unk_token='[UNK]'))
    library.normalizer = normalizers.BertNormalizer(lowercase=True)
    library.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    library.decoder = decoders.WordPiece()
    special = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]']
    trainer = trainers.WordPieceTrainer(vocab_size=32, special_tokens=special, show_progress=False)
    library.train_from_iterator(TEXTS[:1] * 20, trainer)
    library.post_processor = processors.BertProcessing(('[SEP]', 3), ('[CLS]', 2))
    library.enable_truncation(8)
    library.enable_padding(length=8)
    return library


def byte_fallback():
    """As Llama 2's: ▁ for blanks, one of them put first, bytes where a character is unknown."""
    library = Library(models.BPE())
    trainer = trainers.BpeTrainer(vocab_size=60, show_progress=False)
    library.train_from_iterator([f'▁{TEXTS[0]}'.replace(' ', '▁')] * 20, trainer)
    saved = json.loads(library.to_str())
    tokens = ['<unk>', '<s>', '</s>', *(f'<0x{byte:02X}>' for byte in range(256))]
    tokens += saved['model']['vocab']
    saved['model'] |= {'vocab': {token: i for i, token in enumerate(tokens)}}
    saved['model'] |= {'byte_fallback': True, 'unk_token': '<unk>'}
    library = Library.from_str(json.dumps(saved))
    library.add_special_tokens(['<unk>', '<s>', '</s>'])
    library.normalizer = normalizers.Sequence(
        [normalizers.Prepend('▁'), normalizers.Replace(' ', '▁')]
    )
    library.decoder = decoders.Sequence(
        [
            decoders.Replace('▁', ' '),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(' ', 1, 0),
        ]
    )
    library.post_processor = processors.TemplateProcessing(
        single='<s> $A', special_tokens=[('<s>', 1)]
    )
    return library


def unigram():
    """As T5's: a likelihood for every piece, ▁ before every word, an end after the text."""
    library = Library(models.Unigram())
    library.pre_tokenizer = pre_tokenizers.Metaspace()
    library.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=60,
        special_tokens=['<pad>', '</s>', '<unk>'],
        unk_token='<unk>',
        show_progress=False,
    )
    library.train_from_iterator(TEXTS[:1] * 20, trainer)
    library.post_processor = processors.TemplateProcessing(
        single='$A </s>', special_tokens=[('</s>', 1)]
    )
    return library


LIBRARIES = [byte_level, word_piece, byte_fallback, unigram]


@pytest.mark.parametrize('make', LIBRARIES)
def test_ids_and_texts_are_the_librarys(make):
    library = make()
    tokenizer = pretrained_tokenizer(library.to_str())
    library.no_truncation()
    library.no_padding()
    for text in TEXTS:
        ids = tokenizer.encode(text)
        assert ids.dtype == tokenizer.dtype
        assert ids.tolist() == library.encode(text, add_special_tokens=False).ids
        framed = tokenizer.frame(ids)
        assert framed.dtype == tokenizer.dtype
        assert framed.tolist() == library.encode(text).ids
        assert len(framed) > len(ids)
        for these in (ids, framed.tolist(), framed.astype(np.int32)):
            assert tokenizer.decode(these) == library.decode(ids.tolist())
    assert tokenizer.vocab_size == library.get_vocab_size()
    assert tokenizer.name == 'pretrained'


@pytest.mark.parametrize('make', LIBRARIES)
def test_json_restores_the_same_tokenizer(make):
    tokenizer = pretrained_tokenizer(make().to_str(), {'unk_token': 5})
    restored = tokenizer_from_json(tokenizer.to_json())
    assert restored.to_json() == tokenizer.to_json()
    assert restored.special == tokenizer.special
    assert (restored.vocab_size, restored.dtype) == (tokenizer.vocab_size, tokenizer.dtype)
    np.testing.assert_array_equal(restored.characters, tokenizer.characters)
    for text in TEXTS:
        framed = tokenizer.frame(tokenizer.encode(text))
        np.testing.assert_array_equal(restored.frame(restored.encode(text)), framed)
        assert restored.decode(framed) == tokenizer.decode(framed)


def test_characters_are_exact_where_tokens_are_bytes():
    tokenizer = pretrained_tokenizer(byte_level().to_str())
    for text in TEXTS:
        ids = tokenizer.encode(text)
        assert tokenizer.decode(ids) == text
        assert tokenizer.characters[ids].sum() == len(text)
        assert tokenizer.characters[tokenizer.frame(ids)].sum() == len(text)


def test_the_blank_put_first_is_counted_too():
    for make, texts in ((byte_fallback, TEXTS[:3]), (unigram, TEXTS[:1])):
        tokenizer = pretrained_tokenizer(make().to_str())
        for text in texts:
            ids = tokenizer.encode(text)
            assert tokenizer.decode(ids) == text
            assert tokenizer.characters[tokenizer.frame(ids)].sum() == len(text) + 1


def test_word_pieces_count_their_blanks():
    tokenizer = pretrained_tokenizer(word_piece().to_str())
    ids = tokenizer.encode('  The cat sat;  on the mat. ')
    # Its decoder knows of no blank before a full stop, and puts one before a semicolon.
    assert tokenizer.decode(ids) == 'the cat sat ; on the mat.'
    # Every word has the blank before it, the first one, too.
    assert tokenizer.characters[ids].sum() == len(' the cat sat; on the mat.')


def test_special_tokens_are_found_by_their_spelling():
    found = [pretrained_tokenizer(make().to_str()).special for make in LIBRARIES]
    assert found == [
        {'bos': 0, 'eos': 0},
        {'cls': 2, 'sep': 3, 'mask': 4, 'pad': 0, 'unk': 1},
        {'bos': 1, 'eos': 2, 'unk': 0},
        {'eos': 1, 'pad': 0, 'unk': 2},
    ]


def test_special_tokens_may_be_given():
    text = word_piece().to_str()
    given = {
        'bos_token': '[CLS]',
        'eos': 3,
        'pad_token_id': 0,
        'mask_token': {'content': '[MASK]', 'lstrip': False},
        'sep_token': None,
        'model_max_length': 512,
    }
    special = pretrained_tokenizer(text, given).special
    assert special == {'bos': 2, 'eos': 3, 'cls': 2, 'sep': 3, 'mask': 4, 'pad': 0, 'unk': 1}
    for wrong in ('[BOS]', 32, -1, {'content': 'no such'}):
        with pytest.raises(InputError, match=r'given as its bos token: .* has 32 tokens'):
            pretrained_tokenizer(text, {'bos_token': wrong})


def test_a_vocabulary_with_gaps_reaches_to_its_last_id():
    saved = json.loads(word_piece().to_str())
    saved['model']['vocab']['zebra'] = 500
    tokenizer = pretrained_tokenizer(json.dumps(saved))
    assert tokenizer.vocab_size == 501
    assert tokenizer.encode('zebra').tolist() == [500]
    assert tokenizer.dtype == np.uint16
    assert tokenizer.decode([400]) == ''  # an id without a token


def test_mistakes_are_told():
    for content, message in (
        ('', 'is not JSON'),
        ('{"version": ', 'is not JSON'),
        ('{}', 'is no tokenizer'),
        ('[1, 2]', 'is no tokenizer'),
        (word_piece().to_str().replace('"WordPiece"', '"Magic"'), 'is no tokenizer'),
    ):
        with pytest.raises(InputError, match=message) as told:
            pretrained_tokenizer(content, source='models/tokenizer.json')
        assert 'models/tokenizer.json' in str(told.value)
        assert '\n' not in str(told.value)
    tokenizer = pretrained_tokenizer(byte_level().to_str())
    with pytest.raises(InputError, match='lone surrogate'):
        tokenizer.encode('ab\ud800')
    for wrong in ([0, tokenizer.vocab_size], [-1]):
        with pytest.raises(ValueError, match='cannot be decoded'):
            tokenizer.decode(wrong)


def test_a_real_one():
    tokenizer = pretrained_tokenizer((minilm() / 'tokenizer.json').read_text(encoding='utf-8'))
    assert tokenizer.vocab_size == 30522
    assert tokenizer.special == {'cls': 101, 'sep': 102, 'mask': 103, 'pad': 0, 'unk': 100}
    ids = tokenizer.frame(tokenizer.encode('Hello, wörld [MASK]!'))
    assert ids.tolist() == [101, 7592, 1010, 2088, 103, 999, 102]
    assert tokenizer.decode(ids) == 'hello, world!'
    pages = pydoc_text.read_topics()
    text = '\n'.join(page for _, page in pages)
    ids = tokenizer.encode(text)
    assert len(ids) > 50_000  # neither cut nor filled up
    length = len(' '.join(text.split()))
    assert abs(int(tokenizer.characters[ids].sum()) - length) < 0.01 * length
    restored = tokenizer_from_json(tokenizer.to_json())
    np.testing.assert_array_equal(restored.encode(text[:5000]), tokenizer.encode(text[:5000]))
