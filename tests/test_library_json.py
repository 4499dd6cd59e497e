"""Tokenizers written for others to read: the same tokens, the same text."""

import pytest

from nlp_models.data.library_json import as_library_json
from nlp_models.data.pretrained_tokenizer import pretrained_tokenizer
from nlp_models.data.tokenizers import learn_tokenizer

TEXT = 'the cat sat on the mat.\n A dog; 日本 ran\n\n away, the dog'
OTHERS = (TEXT, 'the dog zq éé\n x', 'mat the', '')


@pytest.mark.parametrize('kind', ['bytes', 'chars', 'words', 'bpe'])
def test_the_library_reads_what_we_write(kind):
    mine = learn_tokenizer(kind, [TEXT] * 3, 300)
    theirs = pretrained_tokenizer(as_library_json(mine))
    assert theirs.vocab_size == mine.vocab_size
    for text in OTHERS:
        ids = mine.encode(text)
        assert list(theirs.encode(text)) == list(ids)
        assert theirs.decode(ids) == mine.decode(ids)
    again = pretrained_tokenizer(as_library_json(theirs))
    assert list(again.encode(TEXT)) == list(mine.encode(TEXT))


def test_the_mask_follows_the_last_token():
    mine = learn_tokenizer('bpe', [TEXT], 270)
    theirs = pretrained_tokenizer(as_library_json(mine, mask=True))
    assert theirs.special == {'mask': mine.vocab_size}
    assert theirs.vocab_size == mine.vocab_size + 1
    again = pretrained_tokenizer(as_library_json(theirs, mask=True))
    assert again.vocab_size == theirs.vocab_size
