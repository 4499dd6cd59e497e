"""Turn sentences into vectors, a sentence a line.

python -m experiments.embed --model=FOLDER_OR_NAME_OR_RUN --input=FILE --output=vectors.npy
"""

from absl import flags

from experiments import command

_MODEL = flags.DEFINE_string(
    'model', None, "A pretrained folder, a name of the hub, or a run's folder.", required=True
)
_INPUT = flags.DEFINE_string('input', None, 'A text file, a sentence a line.', required=True)
_OUTPUT = flags.DEFINE_string(
    'output', None, 'FILE.npy, or FILE.jsonl with an object a line.', required=True
)
_POOLING = flags.DEFINE_enum(
    'pooling', None, ['mean', 'cls', 'last'], 'Of the tokens; by default what the model says.'
)
_NORMALIZE = flags.DEFINE_boolean('normalize', None, 'To length 1; by default what the model says.')


def main() -> None:
    """Embed."""
    from nlp_models.training import sentences

    lines = sentences.read_lines(_INPUT.value)
    write = sentences.writer(_OUTPUT.value)  # before the work: it may not be possible
    vectors = sentences.embed_lines(
        _MODEL.value, lines, pooling=_POOLING.value, normalize=_NORMALIZE.value
    )
    write(lines, vectors)
    print(f'{vectors.shape[0]} vectors of width {vectors.shape[1]}: {_OUTPUT.value}')


if __name__ == '__main__':
    command.run(main)
