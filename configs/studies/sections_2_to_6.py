"""All studies of the tutorial's sections 2 to 6, one after the other, each in a folder of its own.

    python -m experiments.study --config=configs/studies/sections_2_to_6.py:quick \
        --workdir=runs/quick

quick takes at most 25 minutes on 2 cores, standard about two hours.
"""

import importlib
from typing import Any

from ml_collections import ConfigDict

STUDIES = (
    'finite_context',
    'gradient_flow',
    'memory',
    'gating',
    'complexity',
    'parallelism',
    'attention_parts',
    'architectures',
    'scaling',
)


def get_config(size: str = 'standard') -> Any:
    """The configs of all studies: `--config.studies.memory.seeds=3` and the like change them.

    Raises:
      InputError: for a size there is none of.
    """
    files = {name: importlib.import_module(f'configs.studies.{name}') for name in STUDIES}
    return ConfigDict(
        dict(
            num_devices=0,  # CPU devices to ask for; 0: one a core
            studies={name: file.get_config(size) for name, file in files.items()},
        )
    )
