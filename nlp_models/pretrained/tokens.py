"""A model folder's tokenizer, and which of its tokens are special."""

import json
from pathlib import Path
from typing import Any

from nlp_models.data.library_json import as_library_json
from nlp_models.data.pieces import Tokenizer
from nlp_models.data.pretrained_tokenizer import pretrained_tokenizer
from nlp_models.errors import InputError
from nlp_models.pretrained.architectures import SPECIAL, Architecture
from nlp_models.pretrained.files import read_json_if_any, read_text

FILE = 'tokenizer.json'


def read_tokenizer(folder: Path, architecture: Architecture) -> Tokenizer | None:
    """Reads a folder's `tokenizer.json`, where it has one.

    Args:
      folder: of the model.
      architecture: of the model.

    Returns:
      The tokenizer; None where there is none of the fast kind.

    Raises:
      InputError: if it has tokens that the model has no embedding for, or is no tokenizer.
    """
    if not (folder / FILE).is_file():
        return None
    text = read_text(folder / FILE)
    size = 1 + max(_vocabulary(text).values(), default=-1)
    # What the tokenizer's own files spell comes before config.json, which may be a copy.
    ids = {name: number for name, number in architecture.special.items() if number < size}
    tokenizer = pretrained_tokenizer(
        text, {**ids, **_spelled(folder)}, ends=architecture.ends, source=str(folder / FILE)
    )
    # Embeddings may be padded to a round number, so fewer tokens are as good.
    if tokenizer.vocab_size > architecture.vocab_size:
        raise InputError(
            f'{str(folder / FILE)!r} has {tokenizer.vocab_size} tokens, but the model of its '
            f'config.json only {architecture.vocab_size}: they do not belong together'
        )
    return tokenizer


def require_tokenizer(tokenizer: Tokenizer | None, folder: Path) -> Tokenizer:
    """The tokenizer of a folder that has one.

    Raises:
      InputError: for one that has none.
    """
    if tokenizer is None:
        raise InputError(
            f'{str(folder)!r} has no {FILE}: only fast tokenizers are read; where it has another '
            'kind, AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER) writes it'
        )
    return tokenizer


def _spelled(folder: Path) -> dict[str, Any]:
    """Special tokens as the tokenizer's own files spell them, by name."""
    found: dict[str, Any] = {}
    for file in ('special_tokens_map.json', 'tokenizer_config.json'):
        values = read_json_if_any(folder / file)
        found.update({n: values[f'{n}_token'] for n in SPECIAL if values.get(f'{n}_token')})
    return found


def _vocabulary(text: str) -> dict[str, int]:
    """The tokens of a `tokenizer.json` and their ids; none where it is not what it should be."""
    try:
        saved = json.loads(text)
        tokens = saved['model']['vocab']
        if isinstance(tokens, list):  # of a unigram model: pairs of a token and its score
            tokens = {token: number for number, (token, _) in enumerate(tokens)}
        return {**tokens, **{added['content']: added['id'] for added in saved['added_tokens']}}
    except (ValueError, KeyError, TypeError):
        return {}


def write_tokenizer(folder: Path, tokenizer: Tokenizer, vocab_size: int, context: int) -> None:
    """Writes a tokenizer as Hugging Face reads it.

    Args:
      folder: to write `tokenizer.json` and `tokenizer_config.json` to.
      tokenizer: of any kind.
      vocab_size: of the model; where it has one token more, that is the mask's.
      context: the longest text, in tokens.
    """
    special = dict(tokenizer.special)
    if vocab_size == tokenizer.vocab_size + 1:
        special.setdefault('mask', tokenizer.vocab_size)
    text = as_library_json(tokenizer, mask='mask' in special)
    (folder / FILE).write_text(text, encoding='utf-8')
    spelled = {number: token for token, number in _vocabulary(text).items()}
    config = {
        'tokenizer_class': 'PreTrainedTokenizerFast',
        'model_max_length': context,
        **{f'{name}_token': spelled[number] for name, number in special.items()},
    }
    (folder / 'tokenizer_config.json').write_text(json.dumps(config, indent=2), encoding='utf-8')
