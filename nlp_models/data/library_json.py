"""Any tokenizer as the `tokenizer.json` that the library `tokenizers`, and so others, read."""

import json

from tokenizers import Regex, decoders, models, pre_tokenizers
from tokenizers import Tokenizer as HuggingFaceTokenizer

from nlp_models.data.pieces import Tokenizer, byte_letters
from nlp_models.data.tokenizers import UNKNOWN

MASK = '[MASK]'


def as_library_json(tokenizer: Tokenizer, *, mask: bool = False) -> str:
    """What `tokenizers.Tokenizer.from_str` makes the same tokenizer of.

    Args:
      tokenizer: of any kind.
      mask: whether [MASK] is to follow its last token, as the task of masked language modelling has
        it where a tokenizer has none.

    Returns:
      The text of a `tokenizer.json`; it encodes and decodes as `tokenizer` does.
    """
    state = json.loads(tokenizer.to_json())['state']
    match tokenizer.name:
        case 'pretrained':
            library = HuggingFaceTokenizer.from_str(json.dumps(state['tokenizer']))
        case 'bpe':
            library = HuggingFaceTokenizer.from_str(json.dumps(state))
            library.decoder = decoders.ByteLevel()
        case 'bytes':
            letters = {letter: value for value, letter in enumerate(byte_letters())}
            library = HuggingFaceTokenizer(models.BPE(vocab=letters, merges=[]))
            library.pre_tokenizer = pre_tokenizers.ByteLevel(
                add_prefix_space=False, use_regex=False
            )
            library.decoder = decoders.ByteLevel()
        case _:
            pieces = {piece: number for number, piece in enumerate([UNKNOWN, *state])}
            library = HuggingFaceTokenizer(models.WordLevel(pieces, unk_token=UNKNOWN))
            if tokenizer.name == 'chars':
                one = Regex(r'[\s\S]')
                library.pre_tokenizer = pre_tokenizers.Split(one, behavior='isolated')
                library.decoder = decoders.Fuse()
            else:
                library.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    if mask and 'mask' not in tokenizer.special:
        library.add_special_tokens([MASK])
    return library.to_str()
