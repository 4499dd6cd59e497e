"""Gather the evidence of all studies under a folder into one page, or its training runs.

python -m experiments.report --workdir=runs/studies
"""

import os
from pathlib import Path

from absl import flags

from experiments import command, studies
from nlp_models.analysis.study import Study

_HERE = Path(__file__).resolve().parent.parent
_WORKDIR = flags.DEFINE_string(
    'workdir', os.path.join('runs', 'studies'), 'Where the studies or the training runs are.'
)
_OUTPUT = flags.DEFINE_string('output', '', 'Where the report is written; workdir if not given.')


def main() -> None:
    """Report."""
    from nlp_models.analysis import report

    known, missing = _known()
    workdir = Path(_WORKDIR.value)
    output = Path(_OUTPUT.value) if _OUTPUT.value else workdir
    page = report.write(known, workdir, output, root=_HERE, say=print)
    for name in missing:
        print(f'Without {name}: there is no experiments/studies/{name}.py.')
    print(f'\nAs Markdown: {page.with_name("report.md")}')
    print(f'The page: {page}')


def _known() -> tuple[list[Study], list[str]]:
    """The studies there are, and the names of those that are only named yet."""
    known, missing = [], []
    for name in studies.STUDIES:
        try:
            known.append(studies.find(name))
        except ModuleNotFoundError as error:
            if error.name != f'{studies.__name__}.{name}':
                raise
            missing.append(name)
    return known, missing


if __name__ == '__main__':
    command.run(main)
