"""All studies of the tutorial's sections 7 to 11, one after the other, each in a folder of its own.

    python -m experiments.study --config=configs/studies/sections_7_to_11.py:quick \
        --workdir=runs/quick

quick takes at most 20 minutes on 2 cores, standard four to five hours.
"""

from typing import Any

from configs.studies.several import several

# Study to minutes on 2 quiet cores: quick, standard.
MINUTES = {
    'in_context': (3.0, 30.0),
    'prompting': (1.0, 15.0),
    'fine_tuning': (7.0, 150.0),
    'nontriviality': (3.0, 50.0),
    'data_quality': (4.0, 13.0),
    'limitations': (2.0, 15.0),
}


def get_config(size: str = 'standard') -> Any:
    """The configs of all of them: `--config.studies.prompting.seeds=3` and the like change them.

    Raises:
      InputError: for a size there is none of.
    """
    return several(MINUTES, size)
