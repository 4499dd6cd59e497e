"""A folder or a name of the hub, read: the `model` group, the parameters, the tokenizer."""

from pathlib import Path
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from nlp_models.data.pieces import Tokenizer
from nlp_models.pretrained.architectures import Architecture, read_architecture
from nlp_models.pretrained.files import find_folder
from nlp_models.pretrained.sentences import Sentences, read_sentences, transformer_folder
from nlp_models.pretrained.tensors import open_tensors
from nlp_models.pretrained.tokens import read_tokenizer
from nlp_models.pretrained.weights import read_params
from nlp_models.types import Params

HOW_TO_RUN = dict(
    embed_std=0.02,
    init_std=0.02,
    dropout_rate=0.0,
    dtype='float32',
    attention='auto',
    backward='custom',
    remat=False,
    scan_layers=False,
)
"""The fields of a `model` group that no folder says."""


class Imported(NamedTuple):
    """A pretrained model.

    Attributes:
      model: the `model` group, from which `models.build` makes the model; `architecture` has the
        vocabulary's size and the longest text to give it.
      params: its parameters, float32.
      tokenizer: its tokenizer; None where the folder has no `tokenizer.json`
        (`tokens.require_tokenizer`).
      architecture: what `config.json` says.
      sentences: how it makes vectors of sentences, of a folder of sentence-transformers; else None.
      folder: where it was read from.
    """

    model: Any
    params: Params
    tokenizer: Tokenizer | None
    architecture: Architecture
    sentences: Sentences | None
    folder: Path


def load(name_or_path: str | Path, model: Any = None) -> Imported:
    """Reads a pretrained model: GPT-2, Llama, Mistral, Qwen2, BERT and what is built like them.

    At no time does it take much more memory than the parameters do in the end, in float32 (which is
    twice a folder's size where that is of half precision).

    Args:
      name_or_path: a folder with `config.json` and safetensors, as `save_pretrained` writes it, or
        the name of a model on the hub (`files.find_folder`).
      model: a `model` group that says how to run it (`HOW_TO_RUN`); its other fields are not read.

    Returns:
      The model and what belongs to it.

    Raises:
      InputError: if the files cannot be had or read, the architecture is unknown, the tensors are
        not those it has, or the tokenizer belongs to another model.
    """
    found = find_folder(name_or_path)
    folder = transformer_folder(found)
    tensors = open_tensors(folder)
    architecture = read_architecture(folder, tensors)
    group = _fill(model, architecture)
    tokenizer = read_tokenizer(folder, architecture)  # before the weights, which take longer
    params = read_params(folder, tensors, architecture, stacked=group.scan_layers)
    return Imported(group, params, tokenizer, architecture, read_sentences(found), found)


def resolve(model: Any, name_or_path: str | Path) -> Any:
    """Fills a `model` group with what a pretrained model's `config.json` says.

    Args:
      model: the group; how to run the model (`HOW_TO_RUN`) is taken from it.
      name_or_path: as in `load`.

    Returns:
      A new group, with the architecture's fields.

    Raises:
      InputError: as `load`; of the tensors only their names are looked at.
    """
    folder = transformer_folder(find_folder(name_or_path))
    return _fill(model, read_architecture(folder, open_tensors(folder)))


def _fill(model: Any, architecture: Architecture) -> Any:
    given = {} if model is None else {k: model[k] for k in HOW_TO_RUN if k in model}
    return ConfigDict({**HOW_TO_RUN, **given, **architecture.fields})
