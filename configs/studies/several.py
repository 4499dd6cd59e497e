"""Configs of several studies at once, each run in a folder of its own."""

import importlib
from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict


def several(minutes: Mapping[str, tuple[float, float]], size: str) -> Any:
    """The configs of some studies: `--config.studies.NAME.seeds=3` and the like change them.

    Args:
      minutes: study to how many it takes on 2 quiet cores: quick, standard. What is left is told
        by them.
      size: of all.

    Returns:
      The config, with `num_devices`, `studies` and `minutes`.

    Raises:
      InputError: for a size there is none of.
    """
    files = {name: importlib.import_module(f'configs.studies.{name}') for name in minutes}
    return ConfigDict(
        dict(
            num_devices=0,  # CPU devices to ask for; 0: one a core
            studies={name: file.get_config(size) for name, file in files.items()},
            minutes={name: both[size != 'quick'] for name, both in minutes.items()},
        )
    )
