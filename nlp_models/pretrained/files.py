"""Where a model's files are: a folder here, or one fetched from the Hugging Face hub."""

import json
import os
from pathlib import Path
from typing import Any

from nlp_models.errors import InputError

PATTERNS = ('*.json', '*.safetensors', '*.txt')
"""What is fetched from the hub: nothing that could run code when it is read."""

SECONDS = 10.0
"""How long the hub may take to answer before the copy fetched earlier is used."""


def find_folder(name_or_path: str | Path) -> Path:
    """The folder with a model's files.

    Args:
      name_or_path: a folder, or the name of a model on the hub (`openai-community/gpt2`), which is
        fetched into the hub's own cache; without a network, what lies there is taken.

    Returns:
      The folder.

    Raises:
      InputError: if there is no such folder, or the hub's files cannot be had.
    """
    name = str(name_or_path)
    path = Path(os.path.expanduser(name))
    if name and path.is_dir():
        return path
    if path.is_file():
        raise InputError(f'{name!r} is a file: give the folder with its config.json')
    if not name or name[0] in './~' or name.count('/') > 1:
        raise InputError(f'there is no folder {name!r}')
    return Path(_fetch(name))


def _fetch(name: str) -> str:
    """The folder that holds a model of the hub."""
    try:
        import huggingface_hub  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise InputError(
            f'there is no folder {name!r}; if it is a model on the hub: pip install huggingface_hub'
        ) from error
    try:
        # Asked with a limit first: the download itself waits for as long as it takes.
        huggingface_hub.HfApi().repo_info(name, timeout=SECONDS)
        return huggingface_hub.snapshot_download(
            name, allow_patterns=list(PATTERNS), etag_timeout=SECONDS
        )
    except Exception as error:  # which errors there are depends on the library's version
        try:
            return huggingface_hub.snapshot_download(
                name, allow_patterns=list(PATTERNS), local_files_only=True
            )
        except Exception:
            reason = next(iter(str(error).splitlines()), '').strip()
            raise InputError(
                f'there is no folder {name!r}, and no model of that name could be had from the '
                f'hub: {type(error).__name__}{": " if reason else ""}{reason}'
            ) from error


def read_text(path: Path) -> str:
    """A file's text.

    Raises:
      InputError: if it cannot be read, or is not UTF-8.
    """
    try:
        return path.read_text(encoding='utf-8')
    except OSError as error:
        raise InputError(f'{str(path)!r} cannot be read: {error.strerror or error}') from error
    except UnicodeDecodeError as error:
        raise InputError(f'{str(path)!r} cannot be read: it is not UTF-8') from error


def read_json(path: Path) -> dict[str, Any]:
    """A file's JSON object.

    Raises:
      InputError: if the file is missing or is not that.
    """
    try:
        values = json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise InputError(f'{str(path)!r} is not JSON: {error}') from error
    if not isinstance(values, dict):
        raise InputError(f'{str(path)!r} must hold a JSON object, not a {type(values).__name__}')
    return values


def read_json_if_any(path: Path) -> dict[str, Any]:
    """A file's JSON object; an empty one where there is no such file."""
    return read_json(path) if path.is_file() else {}
