"""Which architecture a model folder holds, and which of them a `model` group of ours is.

To teach it another family: a file like `gpt2.py`, and a line in `FAMILIES`.
"""

from collections.abc import Collection
from pathlib import Path
from typing import Any, NamedTuple

from nlp_models.errors import InputError
from nlp_models.pretrained.bert import BERT
from nlp_models.pretrained.family import Family, Fields, Leaf, explicit
from nlp_models.pretrained.files import read_json, read_json_if_any
from nlp_models.pretrained.gpt2 import GPT2
from nlp_models.pretrained.llama import LLAMA, MISTRAL, QWEN2
from nlp_models.pretrained.settings import Settings

FAMILIES: dict[str, Family] = {
    'gpt2': GPT2,
    'llama': LLAMA,
    'mistral': MISTRAL,
    'qwen2': QWEN2,
    'bert': BERT,
}
"""By `model_type`, as `config.json` has it."""

GENERATION = 'generation_config.json'

SPECIAL = ('bos', 'eos', 'cls', 'sep', 'mask', 'pad', 'unk')


class Architecture(NamedTuple):
    """What a folder's `config.json` says.

    Attributes:
      kind: its `model_type`, a key of `FAMILIES`.
      fields: the architecture fields of our `model` group.
      vocab_size: V.
      context: the longest text it is made for, in tokens.
      special: ids of special tokens by name (`SPECIAL`), those that `config.json` itself gives.
      ends: ids that end a text, as `config.json` and `generation_config.json` have them.
      leaves: our parameters, and the tensors they are made of.
    """

    kind: str
    fields: Fields
    vocab_size: int
    context: int
    special: dict[str, int]
    ends: tuple[int, ...]
    leaves: list[Leaf]


def read_architecture(folder: Path, names: Collection[str]) -> Architecture:
    """Reads a folder's `config.json`.

    Args:
      folder: of the model.
      names: of its tensors; they say whether there is a head where `config.json` does not.

    Returns:
      The architecture.

    Raises:
      InputError: if it is none of `FAMILIES`, or has a setting that is not built here.
    """
    path = folder / 'config.json'
    settings = Settings(read_json(path), repr(str(path)))
    settings.choice('model_type', FAMILIES, '')
    kind = settings.get('model_type')
    # Weights of another kind, code of its own, heads cut out: not what the table is for.
    settings.refuse('quantization_config', 'auto_map', 'is_encoder_decoder', 'pruned_heads')
    fields = FAMILIES[kind].read(settings, names)
    vocab_size = settings.size('vocab_size')
    generation = Settings(read_json_if_any(folder / GENERATION), repr(str(folder / GENERATION)))
    return Architecture(
        kind=kind,
        fields=fields,
        vocab_size=vocab_size,
        context=fields['max_positions'],
        special=_special(settings, vocab_size),
        ends=(*_ends(settings), *_ends(generation)),
        leaves=FAMILIES[kind].leaves(explicit(fields), vocab_size),
    )


def _special(settings: Settings, vocab_size: int) -> dict[str, int]:
    """The ids that there are tokens for: small models keep a large one's numbers."""
    found = {}
    for name in SPECIAL:
        value = settings.get(f'{name}_token_id')
        if name == 'eos':  # of several ends of a text, the first
            value = next(iter(_ends(settings)), None)
        if isinstance(value, int) and 0 <= value < vocab_size:
            found[name] = value
    return found


def _ends(settings: Settings) -> list[int]:
    """The ids that end a text: there may be several."""
    value = settings.get('eos_token_id', [])
    return [n for n in (value if isinstance(value, list) else [value]) if isinstance(n, int)]


def choose_family(fields: Fields) -> str:
    """The architecture that computes what a `model` group of ours does.

    Args:
      fields: all of the group's fields.

    Returns:
      A key of `FAMILIES`.

    Raises:
      InputError: if none of them does; says what the closest would need.
    """
    if fields['family'] != 'transformer':
        raise InputError(
            f'model.family is {fields["family"]!r}: Hugging Face has architectures for '
            'transformers alone'
        )
    fields = explicit(fields)
    unfit = {kind: _unfit(family.needs(fields), fields) for kind, family in FAMILIES.items()}
    closest = min(unfit, key=lambda kind: len(unfit[kind]))
    if unfit[closest]:
        raise InputError(
            f'no architecture of {", ".join(FAMILIES)} is this model; the closest, {closest}, '
            f'would need {", ".join(unfit[closest])}'
        )
    return closest


def _unfit(needs: dict[str, tuple[Any, ...]], fields: Fields) -> list[str]:
    """What is not as it has to be."""
    return [
        f'model.{name}={allowed[0]!r} (it is {fields[name]!r})'
        for name, allowed in needs.items()
        if fields[name] not in allowed
    ]
