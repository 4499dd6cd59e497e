"""What fine-tuning asks of the data: how much of it, how right, how fair."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from experiments.studies.nontriviality_pictures import plot, tables
from experiments.studies.nontriviality_verdicts import CLAIMS, NAME, judge
from nlp_models.analysis import datasets, fine_tuning, minilm, strategies
from nlp_models.analysis.strategies import Sample, Tell
from nlp_models.analysis.study import Cell, Evidence, Study
from nlp_models.data import label_flaws, labelled
from nlp_models.embedding import embed_texts
from nlp_models.training import classifying, sources

PILOT = 1000  # the seed that settings are picked with; no other number is of it
LIGHT = ('bag', 'frozen', 'network')  # those that everything is tried on


def grid(config: Any) -> list[Cell]:
    """The texts; strategies by size, and by flaw; the rates that two of them want before."""
    cells = [Cell({'what': 'texts'}, 2.0), Cell({'what': 'rate'}, 25.0)]
    costs = {'bag': 1.0, 'frozen': 6.0, 'network': 20.0}
    for size in config.sizes:
        for strategy in LIGHT:
            key = {'what': 'size', 'strategy': strategy, 'size': size, 'steps': 'usual'}
            cells.append(Cell(key, costs[strategy]))
    for size in (config.sizes[0], config.sizes[-1]):
        key = {'what': 'size', 'strategy': 'network', 'size': size, 'steps': 'longer'}
        cells.append(Cell(key, 60.0))
    for flaw, amount in flaws(config):
        for strategy in LIGHT:
            key = {'what': 'flaw', 'flaw': flaw, 'amount': amount, 'strategy': strategy}
            cells.append(Cell(key, costs[strategy]))
    for size, steps in zip(config.full.sizes, config.full.steps, strict=True):
        key = {'what': 'full_rate', 'size': size}
        cells.append(Cell(key, len(config.full.rates) * (5.0 + 0.45 * steps)))
        key = {'what': 'size', 'strategy': 'full', 'size': size, 'steps': 'usual'}
        cells.append(Cell(key, config.seeds * (5.0 + 0.45 * steps)))
    for flaw, amounts in sorted(config.full.flaws.items()):
        for amount in amounts:
            key = {'what': 'flaw', 'flaw': flaw, 'amount': amount, 'strategy': 'full'}
            steps = config.full.steps[config.full.sizes.index(_known(config, config.flawed))]
            cells.append(Cell(key, config.seeds * (5.0 + 0.45 * steps)))
    return cells


def _known(config: Any, size: int) -> int:
    """The size whose rate and steps full fine-tuning takes: the largest that is not larger."""
    return max(known for known in config.full.sizes if known <= size)


def flaws(config: Any) -> list[tuple[str, float]]:
    """What is wrong with the texts, and how much of it."""
    return [
        *(('noise', share) for share in config.noise),
        ('fair', 0.0),
        ('skewed', config.exponent),
        ('neighbours', 0.0),
        *(('poison', share) for share in (0.0, *config.poison)),
    ]


class _Texts(NamedTuple):
    """All texts as samples, and how many classes there are."""

    train: Sample
    validation: Sample
    test: Sample
    labels: tuple[str, ...]
    tokenizer: Any  # of the network

    @property
    def classes(self) -> int:
        return len(self.labels)


def measure(config: Any, key: dict, evidence: Evidence) -> dict[str, Any]:
    """One cell."""
    match key['what']:
        case 'texts':
            texts = _texts(config)
            splits = {s: getattr(texts, s) for s in ('train', 'validation', 'test')}
            counts = np.bincount(texts.test.targets)
            return {
                'labels': list(texts.labels),
                'texts': {split: len(sample.texts) for split, sample in splits.items()},
                'majority': float(counts.max() / counts.sum()),
            }
        case 'rate':
            return _rate(config, 'network', config.flawed)
        case 'full_rate':
            return _rate(config, 'full', key['size'])
        case 'size':
            return _size(config, key, evidence)
    return _flaw(config, key, evidence)


def _texts(config: Any) -> _Texts:
    found, splits = datasets.load_once(labelled.load_labelled, config.data), []
    for split in ('train', 'validation', 'test'):
        one, most = getattr(found, split), config.most[split]
        # From all over the split, which is in the order of the packages.
        rows = np.linspace(0, len(one) - 1, min(most or len(one), len(one))).astype(int)
        splits.append(_take(Sample(one.texts, one.targets), rows))
    return _Texts(*splits, labels=found.labels, tokenizer=found.tokenizer)


def _take(sample: Sample, rows: Any) -> Sample:
    return Sample([sample.texts[int(i)] for i in rows], sample.targets[rows])


def _draw(texts: _Texts, size: int, seed: int) -> Sample:
    return _take(texts.train, labelled.draw_balanced(texts.train.targets, size, seed))


@functools.cache
def _vectors(path: str, length: int) -> strategies.Vectors:
    source = sources.load_source(minilm.find_minilm(path))
    built = source.build()
    return strategies.kept_vectors(
        lambda texts: embed_texts(
            built, source.params, source.tokenizer, list(texts), max_length=length
        )
    )


@functools.cache
def _source(path: str) -> sources.Source:
    return sources.load_source(minilm.find_minilm(path))


def _network(config: Any) -> strategies.Network:
    return strategies.Network(
        config.network.model,
        _texts(config).tokenizer,
        config.network.training,
        config.num_devices,
    )


def _rate(config: Any, strategy: str, size: int) -> dict[str, Any]:
    """The rate that is best by validation texts, of a sample and a seed used for nothing else."""
    rates = config[strategy].rates
    if len(rates) == 1:
        return {'rate': rates[0], 'swept': {}}
    texts, swept = _texts(config), {}
    for rate in rates:
        tell, diverged, _ = _train(
            config, strategy, [_draw(texts, size, PILOT)], size, rate, first_seed=PILOT
        )
        loss = classifying.log_loss(tell(0, texts.validation.texts), texts.validation.targets)
        swept[rate] = np.inf if diverged[0] else loss
    best = min(swept, key=lambda rate: swept[rate])
    return {'rate': best, 'swept': {str(rate): loss for rate, loss in swept.items()}}


def _train(
    config: Any,
    strategy: str,
    samples: list[Sample],
    size: int,
    rate: float,
    *,
    longer: bool = False,
    first_seed: int = 0,
) -> tuple[Tell, np.ndarray, int]:
    """A network or MiniLM on each sample: what they say, which diverged, steps of each."""
    part = config[strategy]
    if strategy == 'network':
        steps = part.longer if longer else part.steps
        tell, diverged = strategies.fit_network(
            samples,
            _network(config),
            num_classes=_texts(config).classes,
            steps=steps,
            rate=rate,
            first_seed=first_seed,
        )
        return tell, diverged, steps
    steps = part.steps[part.sizes.index(size)]
    tell, diverged = strategies.fit_full(
        samples,
        _method(config),
        _source(config.minilm).tokenizer,
        part.training,
        steps=steps,
        rate=rate,
        first_seed=first_seed,
    )
    return tell, diverged, steps


def _fit(
    config: Any,
    strategy: str,
    draw: Callable[[int], Sample],
    evidence: Evidence,
    *,
    size: int,
    steps: str = 'usual',
) -> tuple[list[Sample], Tell, np.ndarray, dict[str, Any]]:
    """Samples of a size, what is learned from each, which diverged, what a pilot sample picked."""
    texts, seeds = _texts(config), range(config.seeds)
    samples = [draw(seed) for seed in seeds]
    never = np.zeros(config.seeds, bool)
    if strategy in ('network', 'full'):
        if strategy == 'full':
            size = _known(config, size)
            rate = evidence.value(what='full_rate', size=size)['rate']
        else:
            rate = evidence.value(what='rate')['rate']
        tell, diverged, taken = _train(
            config, strategy, samples, size, rate, longer=steps == 'longer'
        )
        return samples, tell, diverged, {'rate': rate, 'steps': taken}

    def fit(some: Sequence[Sample], strength: float) -> Tell:
        if strategy == 'bag':
            return strategies.fit_bag(some, num_classes=texts.classes, strength=strength)
        vectors = _vectors(config.minilm, config.length)
        return strategies.fit_frozen(some, vectors, num_classes=texts.classes, strength=strength)

    strength, swept = strategies.pick_strength(
        lambda strength: fit([draw(PILOT)], strength), texts.validation, config.strengths
    )
    return samples, fit(samples, strength), never, {'strength': strength, 'swept': swept}


_prepared: dict[str, fine_tuning.Method] = {}


def _method(config: Any) -> fine_tuning.Method:
    name = config.to_json()
    if name not in _prepared:
        _prepared.clear()
        texts, source = _texts(config), _source(config.minilm)
        some = Sample(texts.train.texts[:64], texts.train.targets[:64])
        _prepared[name] = fine_tuning.prepare(
            source,
            config.full.method,
            strategies.as_labelled(some, source.tokenizer),
            num_classes=texts.classes,
            training=config.full.training,
            num_devices=config.num_devices,
        )
    return _prepared[name]


def _size(config: Any, key: dict, evidence: Evidence) -> dict[str, Any]:
    """A strategy with so many texts: every seed's scores."""
    texts = _texts(config)
    samples, tell, diverged, picked = _fit(
        config,
        key['strategy'],
        lambda seed: _draw(texts, key['size'], seed),
        evidence,
        size=key['size'],
        steps=key['steps'],
    )
    names = ('accuracy', 'validation_accuracy', 'loss', 'train_loss', 'train_accuracy')
    found: dict[str, list] = {name: [] for name in names}
    for i, sample in enumerate(samples):
        lost = np.nan if diverged[i] else 0.0
        rows = np.linspace(0, len(sample.texts) - 1, min(config.shown, len(sample.texts)))
        shown = _take(sample, rows.astype(int))
        said = {
            '': tell(i, texts.test.texts),
            'validation_': tell(i, texts.validation.texts),
            'train_': tell(i, shown.texts),
        }
        for name, asked in (('', texts.test), ('validation_', texts.validation), ('train_', shown)):
            right = said[name].argmax(axis=1) == asked.targets
            found[f'{name}accuracy'].append(float(right.mean()) + lost)
            if name != 'validation_':
                loss = classifying.log_loss(said[name], asked.targets)
                found[f'{name}loss'].append(loss + lost)
    return {**found, **picked}


def _flaw(config: Any, key: dict, evidence: Evidence) -> dict[str, Any]:
    """A strategy that learns from texts with something wrong; tested on those with nothing wrong.

    A seed's wrong labels and poison are put into the texts that it has without. The target of an
    attack is the seed's own.
    """
    texts, flaw, amount = _texts(config), key['flaw'], key['amount']
    classes, all_ = texts.classes, texts.train

    def draw(seed: int) -> Sample:
        match flaw:
            case 'noise':
                some = _draw(texts, config.flawed, seed)
                flipped = label_flaws.flip_labels(some.targets, amount, classes, seed)
                return Sample(some.texts, flipped)
            case 'poison':
                some, wanted = _draw(texts, config.flawed, seed), seed % classes
                return Sample(*label_flaws.poison(some.texts, some.targets, amount, wanted, seed))
            case 'neighbours':
                rows = label_flaws.draw_neighbours(all_.targets, config.sample, seed)
            case 'skewed':
                rows = label_flaws.draw_skewed(all_.targets, config.sample, amount, seed)
            case _:
                return _draw(texts, config.sample, seed)
        return _take(all_, rows)

    size = config.flawed if flaw in ('noise', 'poison') else config.sample
    _, tell, diverged, picked = _fit(config, key['strategy'], draw, evidence, size=size)
    test = texts.test
    found: dict[str, list] = {'accuracy': [], 'recall': []}
    for i in range(config.seeds):
        lost = np.nan if diverged[i] else 0.0
        right = tell(i, test.texts).argmax(axis=1) == test.targets
        found['accuracy'].append(float(right.mean()) + lost)
        of_class = [right[test.targets == c].mean() for c in range(classes)]
        found['recall'].append(float(np.mean(of_class)) + lost)  # every class alike
        if flaw == 'poison':
            others = _take(test, np.flatnonzero(test.targets != i % classes))
            asked = {'attack': label_flaws.add_trigger(others.texts), 'called': others.texts}
            for name, some in asked.items():
                said = tell(i, some).argmax(axis=1)
                found.setdefault(name, []).append(float(np.mean(said == i % classes)) + lost)
    return {**found, **picked}


STUDY = Study(
    NAME,
    'What fine-tuning asks of the data',
    'Four strategies learn which package of the standard library a docstring is from: a bag of '
    'words, a logistic regression on the vectors of MiniLM as it is, MiniLM with all of its '
    'parameters trained on, and a small transformer from nothing. Which is best is asked with few '
    'texts and with many, by validation texts, and scored on test texts, so that one strategy '
    'could well be the best throughout. The rate of full fine-tuning is picked at every size, as '
    'is the strength of the two regressions; that of the transformer once. Then labels are made '
    'wrong, samples lopsided, and a few examples poisoned: averaging over many texts could make up '
    'for all of it.',
    CLAIMS,
    grid,
    measure,
    judge,
    plot,
    tables,
)
