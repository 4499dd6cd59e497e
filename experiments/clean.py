"""Clean text: drop documents that are bad or there before, and tell what went and why.

python -m experiments.clean --input=FILE_OR_FOLDER --output=cleaned.jsonl

Documents are parted by blank lines, or are the field `text` of the lines of a .jsonl.
"""

import json
from pathlib import Path

from absl import flags

from experiments import command

_INPUT = flags.DEFINE_multi_string(
    'input', None, 'A text file, a .jsonl or a folder of them; may be given again.', required=True
)
_OUTPUT = flags.DEFINE_string(
    'output', None, 'Where to: FILE.jsonl, or a text with blank lines between.', required=True
)
_RULES = flags.DEFINE_enum(
    'rules',
    'gopher',
    ['gopher', 'short', 'plain', 'none'],
    'For web pages, texts of a few sentences, those that may repeat themselves, none.',
)
_REFERENCE = flags.DEFINE_string(
    'reference', None, 'Good text: what has too many words or pairs that it has not is dropped.'
)
_EXACT = flags.DEFINE_boolean('exact', True, 'Drop a document that is there before.')
_REPEATED = flags.DEFINE_enum(
    'repeated', 'lines', ['lines', 'paragraphs', 'none'], 'What to take out that is there before.'
)
_NEAR = flags.DEFINE_float('near', 0.8, 'Drop documents this similar to an earlier one; 0: none.')
_DROPPED = flags.DEFINE_string('dropped', None, 'FILE.jsonl for what was dropped, and why.')


def main() -> None:
    """Clean."""
    from nlp_models.data import cleaning, quality

    output = Path(_OUTPUT.value)
    dropped = None if _DROPPED.value is None else Path(_DROPPED.value)
    for path in filter(None, (output, dropped)):
        cleaning.check_output(path)
    rules = quality.find_rules(_RULES.value)
    if _REFERENCE.value is not None:
        trusted = cleaning.read_documents([Path(_REFERENCE.value)])
        rules = (*rules, *quality.reference_rules(trusted))
    documents = cleaning.read_documents([Path(path) for path in _INPUT.value])
    texts, report = cleaning.clean(
        documents,
        rules=rules,
        exact=_EXACT.value,
        repeated=_REPEATED.value,
        near=_NEAR.value,
    )
    cleaning.write_documents(texts, output)
    if dropped is not None:
        rows = [{**drop._asdict(), 'text': documents[drop.document]} for drop in report.drops]
        lines = ''.join(json.dumps(row, ensure_ascii=False) + '\n' for row in rows)
        dropped.write_text(lines, encoding='utf-8')
    print(f'{"":34} {"documents":>10} {"characters":>12}')
    for name, number, characters in report.table():
        print(f'{name:34} {number:10,} {characters:12,}')


if __name__ == '__main__':
    command.run(main)
