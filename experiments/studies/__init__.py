"""The studies, one file a group of claims; a new one is a file and a line in `STUDIES`.

    run(config) -> evidence      nlp_models.analysis.study.run, cell by cell of the study's grid
    judge(evidence) -> verdicts
    plot(evidence) -> pictures

A study's file says what is measured and which criteria decide; what does the measuring is in
`nlp_models.analysis`. `configs/studies/NAME.py` has its sizes and thresholds.
"""

import importlib
from pathlib import Path

from nlp_models.analysis.study import Study
from nlp_models.errors import require

# In the order of the tutorial.
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
    'in_context',
    'prompting',
    'fine_tuning',
    'nontriviality',
    'data_quality',
    'limitations',
)


def find(name: str) -> Study:
    """The study of a name.

    Raises:
      InputError: where there is none.
    """
    require(name in STUDIES, 'study', name, f'must be one of {", ".join(STUDIES)}')
    return importlib.import_module(f'experiments.studies.{name}').STUDY


def files(name: str) -> list[Path]:
    """The files beside the package that a study's numbers depend on: its own, helpers included."""
    return sorted(Path(__file__).parent.glob(f'{name}*.py'))
