"""Tell the classes of texts, a text a line, or a pair of texts with a tab between.

python -m experiments.classify --workdir=RUN --input=FILE

prints a line for each: label, its probability, and the text, with tabs between. A FILE.jsonl has
its texts in the fields that --text_field and --second_field name; /dev/stdin is what is piped in.
With --output=FILE.jsonl the probabilities of all classes are written there instead.

Several adapters answer at once by name, on one base that is read once; each line then begins with
the name:

python -m experiments.classify --adapter=topic=adapters/a --adapter=style=adapters/b --input=FILE
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
_INPUT = flags.DEFINE_string(
    'input', None, 'A text file, a text or pair a line, or FILE.jsonl.', required=True
)
_TEXT_FIELD = flags.DEFINE_string('text_field', 'text', "Of FILE.jsonl, the text's.")
_SECOND_FIELD = flags.DEFINE_string('second_field', '', "Of FILE.jsonl, a pair's second text's.")
_OUTPUT = flags.DEFINE_string(
    'output', None, 'FILE.jsonl, with an object a line: text, label, probabilities.'
)


def main() -> None:
    """Classify."""
    from nlp_models.errors import InputError
    from nlp_models.training import labelling

    if (_WORKDIR.value is None) == (not _ADAPTERS.value):
        raise InputError('give either --workdir, or --adapter=NAME=FOLDER once or more')
    if _BASE.value and not _ADAPTERS.value:
        raise InputError('--base is for adapters: a run has its own')
    texts = labelling.read_input(
        _INPUT.value, text_field=_TEXT_FIELD.value, second_field=_SECOND_FIELD.value
    )
    if _OUTPUT.value is not None:
        labelling.check_output(_OUTPUT.value)
    where = f'input {_INPUT.value}'
    if _WORKDIR.value is None:
        tellers = labelling.of_adapters(_BASE.value, _ADAPTERS.value)
        said = {name: labelling.tell(each, texts, where=where) for name, each in tellers.items()}
    else:
        said = labelling.tell(
            labelling.of_run(_WORKDIR.value, best=_BEST.value), texts, where=where
        )
    if _OUTPUT.value is None:
        for line in labelling.shown(texts, said):
            print(line)
        return
    labelling.write(_OUTPUT.value, texts, said)
    print(f'{len(texts)} lines: {_OUTPUT.value}')


if __name__ == '__main__':
    command.run(main)
