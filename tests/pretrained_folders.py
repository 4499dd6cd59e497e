"""Model folders made of the golden files, as `save_pretrained` writes them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file
from tokenizers import Regex, decoders, pre_tokenizers, processors
from tokenizers import Tokenizer as HuggingFaceTokenizer
from tokenizers import models as kinds

GOLDEN = Path(__file__).parent / 'golden'
DECODERS = ('gpt2', 'llama', 'mistral', 'qwen2')
NAMES = (*DECODERS, 'bert')

Tensors = dict[str, np.ndarray]


def golden(name: str) -> dict[str, np.ndarray]:
    """The arrays of a golden file (`golden/make_huggingface.py` says which)."""
    with np.load(GOLDEN / f'huggingface_{name}.npz') as arrays:
        return dict(arrays)


def tensors_of(arrays: dict[str, np.ndarray]) -> Tensors:
    """The weights in float32, by Hugging Face's names."""
    found = {name: value for name, value in arrays.items() if name.startswith('tensor:')}
    return {name.removeprefix('tensor:'): v.astype(np.float32) for name, v in found.items()}


def write_folder(
    folder: Path,
    name: str,
    *,
    change: Callable[[Tensors], Tensors] = lambda tensors: tensors,
    shards: int = 1,
    **settings: Any,
) -> Path:
    """Write a golden model's folder.

    Args:
      folder: made where there is none.
      name: of the golden file.
      change: what to do to the tensors first.
      shards: files to spread them over.
      **settings: what to change in `config.json`.

    Returns:
      The folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    arrays = golden(name)
    config = {**json.loads(str(arrays['config.json'])), **settings}
    (folder / 'config.json').write_text(json.dumps(config))
    tensors = change(tensors_of(arrays))
    if shards == 1:
        save_file(tensors, folder / 'model.safetensors', metadata={'format': 'pt'})
        return folder
    files = {
        t: f'model-{i % shards + 1:05}-of-{shards:05}.safetensors' for i, t in enumerate(tensors)
    }
    for file in set(files.values()):
        save_file({t: v for t, v in tensors.items() if files[t] == file}, folder / file)
    index = json.dumps({'metadata': {}, 'weight_map': files})
    (folder / 'model.safetensors.index.json').write_text(index)
    return folder


SPECIAL = ('[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', '</s>')
LETTERS = '\n .abcdefghijklmnopqrstuvwxyz'


def write_letters(folder: Path, *, framed: bool = False) -> Path:
    """Give a folder a tokenizer whose tokens are letters.

    Args:
      folder: of a model.
      framed: whether texts stand within [CLS] and [SEP], as BERT's do.

    Returns:
      The folder.
    """
    vocabulary = {token: number for number, token in enumerate((*SPECIAL, *LETTERS))}
    library = HuggingFaceTokenizer(kinds.WordLevel(vocabulary, '[UNK]'))
    library.pre_tokenizer = pre_tokenizers.Split(Regex(r'[\s\S]'), 'isolated')
    library.decoder = decoders.Fuse()
    library.add_special_tokens([*SPECIAL])
    if framed:
        library.post_processor = processors.BertProcessing(('[SEP]', 3), ('[CLS]', 2))
    library.save(str(folder / 'tokenizer.json'))
    return folder
