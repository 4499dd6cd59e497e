"""The way back: a model of ours as a folder that Hugging Face's AutoModel loads."""

import json
from pathlib import Path
from typing import Any

import jax
import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import save_file

from nlp_models import trees
from nlp_models.data.pieces import Tokenizer
from nlp_models.errors import InputError
from nlp_models.pretrained.architectures import FAMILIES, choose_family
from nlp_models.pretrained.family import Leaf, explicit
from nlp_models.pretrained.tensors import WHOLE
from nlp_models.pretrained.tokens import write_tokenizer
from nlp_models.types import Params


def export(
    folder: str | Path,
    model: Any,
    params: Params,
    *,
    vocab_size: int,
    context: int,
    tokenizer: Tokenizer | None = None,
) -> str:
    """Writes `config.json`, `model.safetensors` and, where a tokenizer is given, its files.

    The architecture is the one of GPT-2, Llama, Mistral, Qwen2 and BERT that computes what the
    model does. Where that has biases or segments and the model has none, they are written as zeros.

    Args:
      folder: made where there is none; files of these names in it are replaced.
      model: the `model` group the parameters are of.
      params: its parameters.
      vocab_size: V.
      context: the longest text, where `model.max_positions` does not say it.
      tokenizer: whose tokens are the model's; or None.

    Returns:
      The architecture's `model_type`.

    Raises:
      InputError: if none of them expresses the model, the parameters are not those the group
        describes, the tokenizer has more tokens than the model, or the folder cannot be written.
    """
    if tokenizer and tokenizer.vocab_size > vocab_size:
        raise InputError(
            f'the tokenizer has {tokenizer.vocab_size} tokens, the model {vocab_size}: they do not '
            'belong together'
        )
    fields = {'masked_head': False, 'num_segments': 0, **model.to_dict()}
    kind = choose_family(fields)
    fields = explicit({**fields, 'max_positions': fields['max_positions'] or context})
    if trees.LAYERS in params.get('body', {}):
        params = {**params, 'body': trees.unstack_layers(jax.device_get(params['body']))}
    tensors = _tensors(params, FAMILIES[kind].leaves(fields, vocab_size))
    for name, original in FAMILIES[kind].written_twice(fields).items():
        tensors[name] = tensors[original]
    config = FAMILIES[kind].write(fields, vocab_size)
    special = tokenizer.special if tokenizer else {}
    for name in ('bos', 'eos', 'pad'):
        config[f'{name}_token_id'] = special.get(name)
    if tokenizer and len(tokenizer.ends) > 1:
        config['eos_token_id'] = list(tokenizer.ends)
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if tokenizer:
            write_tokenizer(folder, tokenizer, vocab_size, fields['max_positions'])
        save_file(tensors, folder / WHOLE, metadata={'format': 'pt'})
        (folder / 'config.json').write_text(json.dumps(config, indent=2), encoding='utf-8')
    except (OSError, SafetensorError) as error:
        raise InputError(f'{str(folder)!r} cannot be written: {error}') from error
    return kind


def _tensors(params: Params, leaves: list[Leaf]) -> dict[str, np.ndarray]:
    """The parameters as Hugging Face's tensors, by name."""
    given: dict[str, Any] = {}
    trees.map_with_path(given.__setitem__, params)
    tensors: dict[str, np.ndarray] = {}
    faults = []
    for leaf in leaves:
        value = given.pop(leaf.path, None)
        if value is None and (leaf.path.endswith('/bias') or leaf.path == 'embed/segments'):
            value = np.zeros(leaf.shape, np.float32)
        if value is None:
            faults.append(f'{leaf.path} is missing')
        elif value.shape != leaf.shape:
            faults.append(f'{leaf.path} is {list(value.shape)}, not {list(leaf.shape)}')
        else:
            parts = np.split(np.asarray(value, np.float32), np.cumsum(leaf.sizes)[:-1], axis=-1)
            for name, part in zip(leaf.names, parts, strict=True):
                tensors[name] = np.ascontiguousarray(part.T if leaf.transpose else part)
    faults += [f'{path} is there, but has no place' for path in sorted(given)]
    if faults:
        raise InputError(f'params are not those that model describes: {"; ".join(faults)}')
    return tensors
