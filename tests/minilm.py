"""The real pretrained model that comes as a package, for the tests: skipped where it does not."""

import hashlib
from pathlib import Path

import pytest

from nlp_models.analysis.minilm import find_minilm
from nlp_models.errors import InputError

SHA256 = '53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db'


def minilm() -> Path:
    """The folder; skips the test where the package is not installed, fails for other weights."""
    try:
        folder = Path(find_minilm())
    except InputError as missing:
        pytest.skip(str(missing))
    with (folder / 'model.safetensors').open('rb') as file:
        assert hashlib.file_digest(file, 'sha256').hexdigest() == SHA256
    return folder
