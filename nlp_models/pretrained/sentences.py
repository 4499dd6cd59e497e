"""How a folder of sentence-transformers turns a text into one vector."""

import json
from pathlib import Path
from typing import Any, NamedTuple

from nlp_models.errors import InputError
from nlp_models.pretrained.files import read_json_if_any, read_text

MODULES, SETTINGS = 'modules.json', 'sentence_bert_config.json'

# Their names of poolings, and ours; before version 5.2 each was an entry of its own.
_POOLINGS = {
    'mean': 'mean',
    'cls': 'cls',
    'lasttoken': 'last',
    'pooling_mode_mean_tokens': 'mean',
    'pooling_mode_cls_token': 'cls',
    'pooling_mode_lasttoken': 'last',
}
_UNBOUNDED = 10**6  # tokens; a tokenizer without a limit gives an astronomic number


class Sentences(NamedTuple):
    """How sentences become vectors.

    Attributes:
      pooling: 'mean', 'cls' or 'last': how the tokens' vectors become one.
      normalize: whether that is made to have length 1.
      max_length: tokens that a sentence is cut to, special ones with them; None for no limit but
        the model's.
      lower: whether a text is made lower-case first.
    """

    pooling: str
    normalize: bool
    max_length: int | None
    lower: bool = False


def read_sentences(folder: Path) -> Sentences | None:
    """Reads the files that sentence-transformers puts beside a model's own.

    Args:
      folder: the one with `modules.json`.

    Returns:
      What they say; None where there is no `modules.json`.

    Raises:
      InputError: for a part other than a transformer, a pooling and a normalization; a pooling
        other than by mean, first or last token; or a prompt put before every sentence.
    """
    modules = _modules(folder)
    if modules is None:
        return None
    pooling, normalize = None, False
    for kind, path in modules:
        if kind == 'Pooling':
            pooling = _pooling(folder / path / 'config.json')
        elif kind == 'Normalize':
            normalize = True
        elif kind != 'Transformer':
            raise InputError(
                f'{str(folder / MODULES)!r} has a part {kind}: only Transformer, Pooling and '
                'Normalize are built here'
            )
    if pooling is None:
        raise InputError(f'{str(folder / MODULES)!r} has no Pooling: there is no vector of a text')
    prompts = read_json_if_any(folder / 'config_sentence_transformers.json')
    name = prompts.get('default_prompt_name')
    if name is not None and prompts.get('prompts', {}).get(name):
        raise InputError(
            f'{str(folder)!r} puts the prompt {prompts["prompts"][name]!r} before every text, '
            'which is not built here'
        )
    inner = transformer_folder(folder)
    lower = read_json_if_any(inner / SETTINGS).get('do_lower_case') is True
    return Sentences(pooling, normalize, _max_length(inner), lower)


def transformer_folder(folder: Path) -> Path:
    """The folder with `config.json`: a folder within, in the first sentence-transformers."""
    modules = _modules(folder) if not (folder / 'config.json').is_file() else None
    return folder / next((path for kind, path in modules or () if kind == 'Transformer'), '')


def _modules(folder: Path) -> list[tuple[str, str]] | None:
    """(kind, folder within) of each part, in their order."""
    if not (folder / MODULES).is_file():
        return None
    try:
        entries = json.loads(read_text(folder / MODULES))
        modules = [(str(e['type']).rsplit('.', 1)[-1], str(e['path'])) for e in entries]
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(
            f'{str(folder / MODULES)!r} must be a list of objects with type and path'
        ) from error
    return modules


def _pooling(path: Path) -> str:
    config = read_json_if_any(path)
    if 'pooling_mode' in config:
        modes = config['pooling_mode']
    else:
        modes = [name for name, on in config.items() if name.startswith('pooling_mode_') and on]
    modes = [modes] if isinstance(modes, str) else modes or ['mean']
    if not isinstance(modes, list) or len(modes) > 1 or modes[0] not in _POOLINGS:
        raise InputError(
            f'{str(path)!r} pools by {modes!r}: one of mean, cls and lasttoken is built here'
        )
    return _POOLINGS[modes[0]]


def _max_length(folder: Path) -> int | None:
    limits: list[Any] = [
        read_json_if_any(folder / SETTINGS).get('max_seq_length'),
        read_json_if_any(folder / 'tokenizer_config.json').get('model_max_length'),
    ]
    return next((n for n in limits if isinstance(n, int) and 0 < n < _UNBOUNDED), None)
