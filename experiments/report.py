"""Gather the evidence of all studies under a folder into one page, or its training runs.

python -m experiments.report --workdir=runs/studies
"""

import os
from pathlib import Path

from absl import flags

from experiments import command, studies

_HERE = Path(__file__).resolve().parent.parent
_WORKDIR = flags.DEFINE_string(
    'workdir', os.path.join('runs', 'studies'), 'Where the studies or the training runs are.'
)
_OUTPUT = flags.DEFINE_string('output', '', 'Where the report is written; workdir if not given.')


def main() -> None:
    """Report."""
    from nlp_models.analysis import report

    known = [studies.find(name) for name in studies.STUDIES]
    workdir = Path(_WORKDIR.value)
    output = Path(_OUTPUT.value) if _OUTPUT.value else workdir
    page = report.write(known, workdir, output, root=_HERE, say=print)
    print(f'\nAs Markdown: {page.with_name("report.md")}')
    print(f'The page: {page}')


if __name__ == '__main__':
    command.run(main)
