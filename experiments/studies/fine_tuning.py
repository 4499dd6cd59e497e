"""Fine-tuning in all its forms: MiniLM on docstrings, and a language model from prose to code."""

import functools
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from experiments.studies.fine_tuning_pictures import SCRATCH, named, plot, tables
from experiments.studies.fine_tuning_verdicts import CLAIMS, judge
from nlp_models.analysis import bag_of_words, cell_costs, datasets, fine_tuning, minilm, moving
from nlp_models.analysis.study import Cell, Evidence, Study
from nlp_models.data import labelled, store
from nlp_models.data.source_code import read_code
from nlp_models.training import classifying, forgetting, sources

NAME = 'fine_tuning'
PILOT = 1000  # the seed that rates are picked with; no other number is of it


def grid(config: Any) -> list[Cell]:
    """The base, a bag of words, every method at every size; then the same from prose to code."""
    part, seeds = config.docstrings, config.seeds
    cells = [Cell({'what': 'base'}, 20.0)]
    cells += [Cell({'what': 'bag', 'size': n}, 5.0) for n in part.sizes]
    for method in named(part.methods):
        pilot = len(part.rates[method]) * part.steps[part.picked_at]
        cells.append(Cell({'what': 'rate', 'method': method}, 20.0 + 0.3 * pilot))
        for n, steps in zip(part.sizes, part.steps, strict=True):
            key = {'what': 'docstrings', 'method': method, 'size': n}
            cells.append(Cell(key, seeds * (8.0 + 0.3 * steps)))
    cells.append(Cell({'what': 'costs'}, 10.0 * len(part.timed.methods)))
    cells.append(Cell({'what': 'prose'}, 40.0))
    cells += [
        Cell({'what': 'code', 'method': method, 'size': n}, 15.0)
        for method in named(config.code.methods)
        for n in config.code.sizes
    ]
    return cells


def measure(config: Any, key: dict, evidence: Evidence) -> dict[str, Any]:
    """One cell."""
    match key['what']:
        case 'base':
            return _base(config)
        case 'bag':
            return _bag(config, key['size'])
        case 'rate':
            return _rate(config, key['method'])
        case 'docstrings':
            rate = evidence.value(what='rate', method=key['method'])['rate']
            return _docstrings(config, key['method'], key['size'], rate)
        case 'costs':
            return _costs(config)
        case 'prose':
            return _prose(config)
    return _code(config, key['method'], key['size'])


# MiniLM on docstrings.


@functools.cache
def _source(path: str) -> sources.Source:
    return sources.load_source(minilm.find_minilm(path))


def _texts(config: Any) -> labelled.LabelledDataset:
    part, tokenizer = config.docstrings, _source(config.minilm).tokenizer
    found = datasets.load_once(labelled.load_labelled, part.data, tokenizer)
    most = part.test_texts or len(found.test)
    # From all over the split, which is in the order of the packages.
    rows = np.linspace(0, len(found.test) - 1, min(most, len(found.test))).astype(int)
    return found._replace(test=found.test.take(rows))


_prepared: dict[str, Any] = {}


def _method(config: Any, method: str) -> fine_tuning.Method:
    """A method, compiled; only the last is kept."""
    name = f'{method} {config.to_json()}'
    if name not in _prepared:
        _prepared.clear()
        _prepared[name] = _prepare(config, method)
    return _prepared[name]


def _prepare(config: Any, method: str) -> fine_tuning.Method:
    part, texts = config.docstrings, _texts(config)
    return fine_tuning.prepare(
        _source(config.minilm),
        part.methods[method],
        texts.train,
        num_classes=len(texts.labels),
        training=part.training,
        asked=None if method == SCRATCH else part.asked,
        scratch=method == SCRATCH,
        num_devices=config.num_devices,
    )


def _base(config: Any) -> dict[str, Any]:
    source = _source(config.minilm)
    texts = _texts(config)
    shares = [np.bincount(split.targets).max() / len(split) for split in (texts.train, texts.test)]
    measured = forgetting.make_measure(config.docstrings.asked, source, source.model)
    return {
        'labels': list(texts.labels),
        'texts': [len(texts.train), len(texts.validation), len(texts.test)],
        'majority': float(shares[1]),
        'remembered': measured(source.params),
        'version': texts.version,
    }


def _bag(config: Any, size: int) -> dict[str, Any]:
    texts, part = _texts(config), config.docstrings
    classes = len(texts.labels)
    pilot = fine_tuning.draw(texts.train, part.sizes[part.picked_at], PILOT)
    picked = bag_of_words.pick_strength(
        pilot.texts,
        pilot.targets,
        texts.validation.texts,
        texts.validation.targets,
        num_classes=classes,
        strengths=part.strengths,
    )
    found: dict[str, list] = {'accuracy': [], 'macro_f1': []}
    for seed in range(config.seeds):
        some = fine_tuning.draw(texts.train, size, seed)
        said = bag_of_words.fit_and_predict(
            some.texts,
            some.targets,
            texts.test.texts,
            num_classes=classes,
            strength=picked.strength,
        )
        scores = classifying.scores(texts.test.targets, said.argmax(axis=1), classes)
        for name, values in found.items():
            values.append(scores[name])
    return {**found, 'strength': picked.strength}


def _rate(config: Any, method: str) -> dict[str, Any]:
    """The learning rate that is best by the validation texts."""
    part = config.docstrings
    rates = part.rates[method]
    if len(rates) == 1:
        return {'rate': rates[0], 'swept': {}}
    ready, texts = _method(config, method), _texts(config)
    at = part.picked_at
    some = fine_tuning.draw(texts.train, part.sizes[at], PILOT)
    swept = {}
    for rate in rates:
        fitted = fine_tuning.fit(
            ready, some, part.training, seed=PILOT, steps=part.steps[at], rate=rate
        )
        said = ready.predict(fitted.params, texts.validation, length=part.training.sequence_length)
        loss = classifying.log_loss(said, texts.validation.targets)
        swept[rate] = np.inf if fitted.diverged else loss
    best = min(swept, key=lambda rate: swept[rate])
    return {'rate': best, 'swept': {str(rate): loss for rate, loss in swept.items()}}


def _docstrings(config: Any, method: str, size: int, rate: float) -> dict[str, Any]:
    """Every seed of a method at a size, at the rate that was picked."""
    part = config.docstrings
    ready, texts = _method(config, method), _texts(config)
    steps = part.steps[part.sizes.index(size)]
    names = ('accuracy', 'macro_f1', 'loss', 'train_loss', 'remembered', 'seconds')
    found: dict[str, list] = {name: [] for name in names}
    untouched = True
    for seed in range(config.seeds):
        some = fine_tuning.draw(texts.train, size, seed)
        fitted = fine_tuning.fit(ready, some, part.training, seed=seed, steps=steps, rate=rate)
        length = part.training.sequence_length
        said = ready.predict(fitted.params, texts.test, length=length)
        scores = classifying.scores(texts.test.targets, said.argmax(axis=1), said.shape[1])
        # On the texts themselves and after the last step, as the held-out loss is.
        shown = some.take(range(min(len(some), part.shown)))
        again = ready.predict(fitted.params, shown, length=length)
        lost = np.nan if fitted.diverged else 0.0
        found['accuracy'].append(scores['accuracy'] + lost)
        found['macro_f1'].append(scores['macro_f1'] + lost)
        found['loss'].append(classifying.log_loss(said, texts.test.targets) + lost)
        found['train_loss'].append(classifying.log_loss(again, shown.targets) + lost)
        if ready.forgotten is not None:
            found['remembered'].append(ready.forgotten(fitted.params) + lost)
        found['seconds'].append(fitted.seconds)
        untouched &= fitted.untouched
    return {
        **found,
        'untouched': untouched,
        'steps': steps,
        'parameters': ready.parameters,
        'trained': ready.trained_parameters,
        'memory': ready.memory,
    }


def _costs(config: Any) -> dict[str, Any]:
    """What a step of each method takes, all of them on the same machine at the same time."""
    part = config.docstrings
    ready = [_prepare(config, method) for method in part.timed.methods]
    some = _texts(config).train
    found = fine_tuning.step_seconds(ready, some, part.training, rounds=part.timed.rounds)
    return {
        'seconds': dict(zip(part.timed.methods, found, strict=True)),
        'place': cell_costs.place(),
    }


# A language model from prose to code.


def _sizes(config: Any, dataset: store.Dataset) -> dict[str, Any]:
    length = config.code.training.sequence_length
    return {'vocab_size': dataset.tokenizer.vocab_size, 'max_length': length}


_pretrained: dict[str, Any] = {}


def _bases(config: Any) -> tuple[Any, moving.Texts, dict[str, Any]]:
    """The language models that have read prose, one a seed; the texts; and what sizes they have."""
    part = config.code
    dataset = datasets.load_once(store.load_dataset, part.old)
    sizes = _sizes(config, dataset)
    name = config.to_json()
    if name not in _pretrained:
        _pretrained.clear()
        base = moving.pretrain(part.model, sizes, dataset.train, part.training, range(config.seeds))
        _pretrained[name] = base
    most = max(part.sizes)
    code = read_code({'train': 2 * most, 'validation': part.held_out, 'test': part.held_out})
    tokens = {split: dataset.tokenizer.encode(text) for split, text in code.items()}
    how = (part.windows, part.training.batch_size, part.training.sequence_length)
    held = [tokens['validation'], tokens['test'], dataset.validation]
    validation, test, old = (moving.windows(each, *how) for each in held)
    texts = moving.Texts([tokens['train']], validation, test, old)
    return _pretrained[name], texts, sizes


def _prose(config: Any) -> dict[str, Any]:
    base, texts, sizes = _bases(config)
    part = config.code
    old, new = (moving.score(part.model, sizes, base, rows) for rows in (texts.old, texts.test))
    return {'old': old, 'new': new}


def _code(config: Any, method: str, size: int) -> dict[str, Any]:
    base, texts, sizes = _bases(config)
    part, (all_code,) = config.code, texts.train
    # Each seed has a stretch of its own, as far as there is room.
    starts = np.linspace(0, len(all_code) - size, config.seeds).astype(int)
    texts = texts._replace(train=[all_code[at : at + size] for at in starts])
    return moving.move(
        part.model,
        sizes,
        ConfigDict(part.methods[method]),
        None if method == SCRATCH else base,
        texts,
        part.training,
        part.rates[method],
    )._asdict()


STUDY = Study(
    NAME,
    'Fine-tuning',
    'MiniLM, a sentence encoder of 22.6 million parameters with its real weights, learns which '
    'package of the standard library a docstring is from; a small language model that has read '
    'English goes on with code. Every method has as many steps on as much data, and its rate '
    'picked in the same way; beside them the same architectures trained from nothing, and for '
    'docstrings a bag of words, which knows no language at all and may well be enough. Freezing '
    'could lose more than it saves, one rate for all layers be as good as many, and adapters too '
    'small for what there is to learn.',
    CLAIMS,
    grid,
    measure,
    judge,
    plot,
    tables,
)
