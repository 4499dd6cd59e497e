"""Lines of a file to their labels: what `experiments.classify` does."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nlp_models.adaptation import building, saving
from nlp_models.adaptation.classifier import Classes, Classifier
from nlp_models.adaptation.examples import read_examples
from nlp_models.data.labelled import make_labelled
from nlp_models.data.records import Record
from nlp_models.data.tokenizers import Tokenizer
from nlp_models.errors import InputError, require
from nlp_models.training import sentences
from nlp_models.training.classifying import make_predict
from nlp_models.training.sources import load_source
from nlp_models.training.trained import load_run
from nlp_models.training.workdir import read_classes
from nlp_models.types import Params

Texts = tuple[str, ...]
"""A line's text, or the two texts of a pair."""


class Teller(NamedTuple):
    """A model that tells classes apart.

    Attributes:
      name: where it was read from, for errors.
      model: the model.
      params: its parameters.
      tokenizer: its tokenizer.
      classes: what it tells apart.
    """

    name: str
    model: Classifier
    params: Params
    tokenizer: Tokenizer
    classes: Classes


class Said(NamedTuple):
    """What is said of texts.

    Attributes:
      labels: what the classes are called.
      probabilities: `[N, C]` float32, of each text's classes in that order.
    """

    labels: tuple[str, ...]
    probabilities: np.ndarray


def of_run(workdir: str, *, best: bool = True) -> Teller:
    """The model of a run.

    Raises:
      InputError: as `load_run`, and for a run of another task.
    """
    run, classes = load_run(workdir, best=best), read_classes(Path(workdir))
    if classes is None:
        raise InputError(f'workdir {workdir} holds a run of {run.config.task}: it tells no classes')
    return Teller(f'workdir {workdir}', run.model, run.params, run.tokenizer, classes)


def of_adapters(base: str, given: Sequence[str]) -> dict[str, Teller]:
    """Several adapters on one base, which is read once and shared by them.

    Args:
      base: what `sources.load_source` reads; '' for the one that the first adapter names.
      given: NAME=FOLDER of each.

    Returns:
      Name to model.

    Raises:
      InputError: for what has not that form, a name that is given twice, an adapter that cannot be
        read, tells no classes apart or was made for another base.
    """
    adapters: dict[str, saving.Adapter] = {}
    for each in given:
        name, equals, folder = each.partition('=')
        right = bool(equals and name and folder) and name not in adapters
        require(right, 'adapter', each, 'must be NAME=FOLDER, each with a name of its own')
        adapters[name] = saving.read(folder)
        if adapters[name].classes is None:
            raise InputError(f'adapter {folder} tells no classes apart')
    require(bool(adapters), 'adapter', list(given), 'must be given, NAME=FOLDER')
    source = load_source(base or next(iter(adapters.values())).base)
    held = saving.Adapters(source.model, source.params, adapters)
    tellers = {}
    for name in adapters:
        adapter, group, params = held(name)
        group, params = building.merged(group, params)
        classes: Any = adapter.classes
        shape = source.shape._replace(max_length=classes.length, **adapter.shape)
        model = building.build(group, **shape._asdict())
        told = f'adapter {adapter.name}'
        tellers[name] = Teller(told, model, params, source.tokenizer, classes)
    return tellers


def read_input(path: str, *, text_field: str = 'text', second_field: str = '') -> list[Texts]:
    """The texts, or pairs of texts, of a file.

    Args:
      path: a text or pair a line, a tab between its two texts; or, where the name ends in .jsonl,
        a JSON object a line.
      text_field: of JSON, the text's.
      second_field: of JSON, the second text's; '' for texts that are no pairs.

    Returns:
      Of each line its texts.

    Raises:
      InputError: where the file cannot be read or is empty, and, with its number, for a line that
        is empty, is not JSON or has no such field.
    """
    if Path(path).suffix != '.jsonl':
        right = (text_field, second_field) == ('text', '')
        require(right, 'input', path, 'must end in .jsonl for text_field or second_field')
        return [tuple(line.split('\t')) for line in sentences.read_lines(path)]
    fields = [text_field, second_field] if second_field else [text_field]
    texts = []
    for number, row in enumerate(read_examples(path, fields), 1):
        for field in fields:
            if not isinstance(row[field], str):
                raise InputError(f'{path!r}, line {number} has a list in its field {field!r}')
        texts.append(tuple(row[field] for field in fields))
    return texts


def tell(teller: Teller, texts: Sequence[Texts], *, where: str = 'input') -> Said:
    """What a model says of texts.

    Args:
      teller: the model.
      texts: of each line one, or two where the model was trained on pairs.
      where: they are from, for errors.

    Returns:
      Its probabilities.

    Raises:
      InputError: for a line that is no text or no pair, with its number, or has no token.
    """
    labels, length, lower, pairs = teller.classes
    wanted = 'two texts with a tab between' if pairs else 'one text, without a tab'
    records = []
    for number, line in enumerate(texts, 1):
        parts = [(text.lower() if lower else text).strip() for text in line]
        if len(parts) != 1 + pairs or not all(parts):
            found = '\t'.join(line)
            raise InputError(f'{where}, line {number} must be {wanted}, as {teller.name} was made '
                             f'for: {found[:60]!r}')  # fmt: skip
        records.append(Record(parts[0], parts[1] if pairs else '', labels[0], ''))
    some = make_labelled(records, labels, teller.tokenizer)
    return Said(labels, make_predict(teller.model)(teller.params, some, length=length))


def shown(texts: Sequence[Texts], said: Said | Mapping[str, Said]) -> Iterator[str]:
    """What was said of each line, as a line to be read: label, probability, texts, tabs between.

    Args:
      texts: as given to `tell`.
      said: by one model, or by several with names: of each line there is then one for each, its
        name in front.

    Yields:
      Lines without their ends; what is blank in a text is one blank.
    """
    several = {'': said} if isinstance(said, Said) else said
    for row, line in enumerate(texts):
        words = [' '.join(text.split()) for text in line]
        for name, each in several.items():
            found = _of_row(each, row)
            label = found['label']
            told = [label, f'{found["probabilities"][label]:.4f}', *words]
            yield '\t'.join([name, *told] if name else told)


def write(path: str, texts: Sequence[Texts], said: Said | Mapping[str, Said]) -> None:
    """Write what was said of each line: `text`, `second_text` of a pair, `label`, `probabilities`.

    Args:
      path: of the file, an object a line.
      texts: as given to `tell`.
      said: by one model, or by several with names: `label` and `probabilities` then hold an entry
        for each.
    """
    target = Path(path)
    partial = target.with_name(target.name + '.partial')
    with partial.open('w', encoding='utf-8') as file:
        for row, line in enumerate(texts):
            parts = dict(zip(('text', 'second_text'), line, strict=False))
            if isinstance(said, Said):
                found = _of_row(said, row)
            else:
                by_name = {name: _of_row(each, row) for name, each in said.items()}
                found = {
                    key: {name: each[key] for name, each in by_name.items()}
                    for key in ('label', 'probabilities')
                }
            file.write(json.dumps({**parts, **found}, ensure_ascii=False) + '\n')
    partial.replace(target)


def check_output(path: str) -> None:
    """Refuse, before the work, a file that cannot be written.

    Raises:
      InputError: for another ending than .jsonl, or a place that cannot be written.
    """
    target = Path(path)
    require(target.suffix == '.jsonl', 'output', path, 'must end in .jsonl')
    fine = target.parent.is_dir() and os.access(target.parent, os.W_OK) and not target.is_dir()
    require(fine, 'output', path, 'must be a file in a folder that can be written')


def _of_row(said: Said, row: int) -> dict[str, Any]:
    numbers = said.probabilities[row]
    return {
        'label': said.labels[int(numbers.argmax())],
        'probabilities': dict(zip(said.labels, numbers.tolist(), strict=True)),
    }
