"""All studies of the tutorial's sections 2 to 6, one after the other, each in a folder of its own.

    python -m experiments.study --config=configs/studies/sections_2_to_6.py:quick \
        --workdir=runs/quick

quick takes at most 25 minutes on 2 cores, standard about an hour.
"""

from typing import Any

from configs.studies.several import several

# Study to minutes on 2 quiet cores: quick, standard.
MINUTES = {
    'finite_context': (1.0, 2.3),
    'gradient_flow': (2.3, 12.4),
    'memory': (2.0, 18.0),
    'gating': (1.0, 2.0),
    'complexity': (1.3, 3.0),
    'parallelism': (1.5, 2.7),
    'attention_parts': (1.5, 9.0),
    'architectures': (1.5, 6.5),
    'scaling': (0.7, 4.4),
}


def get_config(size: str = 'standard') -> Any:
    """The configs of all of them: `--config.studies.memory.seeds=3` and the like change them.

    Raises:
      InputError: for a size there is none of.
    """
    return several(MINUTES, size)
