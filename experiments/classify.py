"""Tell the classes of texts, a text a line, or a pair of texts with a tab between.

python -m experiments.classify --workdir=RUN --input=FILE --output=FILE.jsonl

Several adapters answer at once by name, on one base that is read once:

python -m experiments.classify --adapter=topic=adapters/a --adapter=style=adapters/b \
    --input=FILE --output=FILE.jsonl
"""

from absl import flags

from experiments import command

_WORKDIR = flags.DEFINE_string('workdir', None, "A run's folder, of the task classification.")
_ADAPTERS = flags.DEFINE_multi_string(
    'adapter', [], 'NAME=FOLDER of an adapter; may be given several times.'
)
_BASE = flags.DEFINE_string(
    'base', '', 'What the adapters are put onto; by default what the first of them names.'
)
_BEST = flags.DEFINE_boolean('best', True, 'The best checkpoint of the run, not the newest.')
_INPUT = flags.DEFINE_string('input', None, 'A text file, a text or pair a line.', required=True)
_OUTPUT = flags.DEFINE_string(
    'output', None, 'FILE.jsonl, with an object a line: text, label, probabilities.', required=True
)


def main() -> None:
    """Classify."""
    from nlp_models.errors import InputError
    from nlp_models.training import labelling, sentences

    if (_WORKDIR.value is None) == (not _ADAPTERS.value):
        raise InputError('give either --workdir, or --adapter=NAME=FOLDER once or more')
    if _BASE.value and not _ADAPTERS.value:
        raise InputError('--base is for adapters: a run has its own')
    lines = sentences.read_lines(_INPUT.value)
    labelling.check_output(_OUTPUT.value)
    where = f'input {_INPUT.value}'
    if _WORKDIR.value is None:
        tellers = labelling.of_adapters(_BASE.value, _ADAPTERS.value)
        said = {name: labelling.tell(each, lines, where=where) for name, each in tellers.items()}
    else:
        said = labelling.tell(
            labelling.of_run(_WORKDIR.value, best=_BEST.value), lines, where=where
        )
    labelling.write(_OUTPUT.value, lines, said)
    print(f'{len(lines)} lines: {_OUTPUT.value}')


if __name__ == '__main__':
    command.run(main)
