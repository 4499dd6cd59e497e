"""How far back n-grams, recurrent networks and windowed attention know a symbol."""

from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from nlp_models.analysis import distances, drawing, solving, verdicts
from nlp_models.analysis.study import Cell, Evidence, Picture, Study
from nlp_models.analysis.verdicts import Claim, Criterion
from nlp_models.training import runs

ACCURACY = 'share of keys that are said right'

CLAIMS = (
    Claim(
        1,
        '2',
        'An n-gram model of order n is at chance about anything further back than n − 1 tokens',
        'share of keys that n-grams say right where the key is n − 1 tokens back, n tokens, and '
        'further',
        'p(w_t | w_1 … w_{t−1}) ≈ p(w_t | w_{t−n+1} … w_{t−1})',
        'nlp_models/ngram/lookup.py',
    ),
    Claim(
        2,
        '2',
        'A recurrent state is not bound to any fixed number of tokens',
        'share of keys that trained RNN, LSTM and GRU say right at distances beyond the longest '
        'n-gram',
        'h_t = σ(W h_{t−1} + U x_t + b_h)',
        'nlp_models/recurrent/cells.py',
    ),
    Claim(
        0,
        '2',
        'Attention within a window of w tokens is bounded as an n-gram is: L layers reach '
        'L (w − 1) + 1 tokens',
        'the farthest token that changes the logits, and the share of keys said right at that '
        'distance and one further',
        'softmax(Q Kᵀ / √d_k + mask) V',
        'nlp_models/attention/masks.py',
    ),
)


def grid(config: Any) -> list[Cell]:
    """A cell for each order, each network's reach, and each network."""
    cells = [Cell({'what': 'ngram', 'order': order}, order) for order in config.ngram.orders]
    network = config.network
    cells += [Cell({'what': 'reach', 'model': name}, 1) for name in network.windowed]
    costs = {'recurrent': 12, 'windowed': 20}
    for kind, cost in costs.items():
        for name in network[kind]:
            cells.append(Cell({'what': 'network', 'kind': kind, 'model': name}, cost))
    return cells


def measure(config: Any, key: dict, evidence: Evidence) -> dict[str, Any]:
    """One cell."""
    del evidence
    match key['what']:
        case 'ngram':
            return _ngram(config, key['order'])
        case 'reach':
            return _reach(config, key['model'])
    return _network(config, key['kind'], key['model'])


def _ngram(config: Any, order: int) -> dict[str, Any]:
    """Accuracy of one order at each distance, one value a seed."""
    setting = {'alphabet': config.alphabet, 'fillers': config.ngram.fillers}
    tried, number = config.ngram.distances, config.ngram.examples
    by_seed = [distances.of_ngram(order, s, tried, number, **setting) for s in config.seeds]
    return {'accuracy': {str(d): [one[d] for one in by_seed] for d in tried}}


def _problem(config: Any) -> solving.Problem:
    tried = config.network.distances
    return distances.problem(tried, alphabet=config.alphabet, fillers=config.network.fillers)


def _reach(config: Any, name: str) -> dict[str, Any]:
    """How far back an untrained windowed transformer sees, and how far it should."""
    model, problem = config.network.windowed[name], _problem(config)
    built = solving.build(model, problem)
    random = np.random.default_rng(config.seeds[0])
    tokens = random.integers(0, problem.vocab_size, problem.length)
    others = (tokens + random.integers(1, problem.vocab_size, problem.length)) % problem.vocab_size
    params = built.init(jax.random.key(config.seeds[0]))
    return {
        'reach': distances.reach(built, params, tokens, others),
        'expected': distances.windowed_reach(model.num_layers, model.window),
    }


def _network(config: Any, kind: str, name: str) -> dict[str, Any]:
    """Train a network at all distances, and test it at each."""
    network, problem = config.network, _problem(config)
    model = network[kind][name]
    training: Any = ConfigDict(network.training)
    if kind == 'windowed':
        training.steps = training.windowed_steps
    outcome, params = solving.solve(
        model, problem, training, seeds=config.seeds, num_devices=config.num_devices
    )
    data = problem.sample(0, np.arange(training.test_examples), split='test')._asdict()
    built = solving.build(model, problem)
    hits = runs.evaluate(distances.right(built), params, data, num_devices=config.num_devices)
    # What diverged has no accuracy.
    hits = np.where(np.isnan(outcome.scores)[:, None], np.nan, hits)
    found = distances.by_distance(hits, network.distances)
    return {**outcome._asdict(), 'accuracy': {str(d): scores for d, scores in found.items()}}


def judge(evidence: Evidence) -> list[dict[str, Any]]:
    """The verdicts."""
    limits = evidence.thresholds
    criteria = (_of_ngrams(evidence), _of_recurrent(evidence), _of_windows(evidence))
    return [
        verdicts.judge(claim, some, limits, study='finite_context')
        for claim, some in zip(CLAIMS, criteria, strict=True)
    ]


def _at_chance(evidence: Evidence, condition: str, values: Any) -> Criterion:
    chance, tolerance = 1 / evidence.config['alphabet'], evidence.thresholds['tolerance']
    return Criterion(condition, ACCURACY, tuple(values), chance, 'within', tolerance)


def _known(evidence: Evidence, condition: str, values: Any) -> Criterion:
    """What sees the key has to say it; else chance beyond would mean nothing."""
    limit = evidence.thresholds['known']
    return Criterion(condition, ACCURACY, tuple(values), limit, control=True)


def _of_ngrams(evidence: Evidence) -> list[Criterion]:
    """Of each order: it knows what it reaches, and is at chance one token further and beyond."""
    ahead, reached = [], []
    for key, value in evidence.select(what='ngram'):
        n, scores = key['order'], value['accuracy']
        beyond = [scores[d] for d in scores if int(d) > n]
        further = np.mean(beyond, axis=0).tolist()
        ahead += [
            _at_chance(evidence, f'order {n} at distance {n}', scores[str(n)]),
            _at_chance(evidence, f'order {n} further back', further),
        ]
        reached.append(_known(evidence, f'order {n} at distance {n - 1}', scores[str(n - 1)]))
    return ahead + reached


def _of_recurrent(evidence: Evidence) -> list[Criterion]:
    return [
        Criterion(
            f'{drawing.label(key["model"])} at distance {distance}',
            ACCURACY,
            tuple(value['accuracy'][str(distance)]),
            evidence.thresholds['remembered'],
        )
        for distance in evidence.config['network']['beyond'][::-1]  # the farthest is most telling
        for key, value in evidence.select(what='network', kind='recurrent')
    ]


def _of_windows(evidence: Evidence) -> list[Criterion]:
    counted, learned = [], []
    for key, value in evidence.select(what='reach'):
        name, expected = key['model'], value['expected']
        title = _title(evidence, name)
        seen = (float(value['reach']),)
        counted.append(
            Criterion(f'reach of {title}', 'tokens', seen, expected, 'within', exact=True)
        )
        scores = evidence.value(what='network', model=name)['accuracy']
        learned += [
            _known(evidence, f'{title} at distance {expected}', scores[str(expected)]),
            _at_chance(evidence, f'{title} at distance {expected + 1}', scores[str(expected + 1)]),
        ]
    return counted + learned


def _title(evidence: Evidence, name: str) -> str:
    model = evidence.config['network']['windowed'][name]
    layers = f'{model["num_layers"]} layer' + 's' * (model['num_layers'] > 1)
    return f'{layers} of window {model["window"]}'


def plot(evidence: Evidence) -> list[Picture]:
    """Accuracy against distance: of n-grams, and of networks."""
    chance = 1 / evidence.config['alphabet']
    return [_picture_ngrams(evidence, chance), _picture_networks(evidence, chance)]


def _axes(tried: list[int]) -> dict[str, Any]:
    return dict(
        xscale='log',
        xlabel='distance of the key (tokens)',
        ylabel=ACCURACY.replace(' that are', ''),
        ylim=(0, 1.05),
        xlim=(tried[0] * 0.93, tried[-1] * 1.07),
    )


def _lines(rows: list[tuple[str, dict]]) -> dict[str, dict[int, list[float]]]:
    return {
        name: {int(d): scores for d, scores in value['accuracy'].items()} for name, value in rows
    }


def _ticks(axes: Any, tried: list[int]) -> None:
    axes.set_xticks(drawing.spaced(tried), [str(d) for d in drawing.spaced(tried)])
    axes.minorticks_off()


def _picture_ngrams(evidence: Evidence, chance: float) -> Picture:
    tried = list(evidence.config['ngram']['distances'])
    rows = [(f'n = {k["order"]}', v) for k, v in evidence.select(what='ngram')]
    figure, (axes,) = drawing.figure(1)
    drawing.against(axes, _lines(rows), **_axes(tried))
    drawing.threshold(axes, chance, 'chance')
    _ticks(axes, tried)
    said = []
    for key, value in evidence.select(what='ngram'):
        n = key['order']
        at, past = (np.mean(value['accuracy'][str(d)]) for d in (n - 1, n))
        said.append(f'order {n}: {at:.3f} at distance {n - 1}, {past:.3f} at {n}')
    caption = (
        'Share of keys that n-gram models say right against how far back the key is; '
        f'{chance:.3f} is chance. ' + '; '.join(said) + '.'
    )
    return Picture('ngrams', (1,), caption, figure)


def _picture_networks(evidence: Evidence, chance: float) -> Picture:
    tried = list(evidence.config['network']['distances'])
    names, rows = {}, []
    for key, value in evidence.select(what='network'):
        rows.append((key['model'], value))
        if key['kind'] == 'windowed':
            model = evidence.config['network']['windowed'][key['model']]
            names[key['model']] = f'{model["num_layers"]}×window {model["window"]}'
    figure, (axes,) = drawing.figure(1)
    drawing.against(axes, _lines(rows), names=names, dashed=tuple(names), **_axes(tried))
    drawing.threshold(axes, chance, 'chance')
    _ticks(axes, tried)
    last = tried[-1]
    said = ', '.join(
        f'{names.get(name) or drawing.label(name)} {np.mean(value["accuracy"][str(last)]):.3f}'
        for name, value in rows
    )
    caption = (
        'Share of keys that trained networks say right, on test contents that no training example '
        f'has, against how far back the key is. At {last} tokens: {said}; chance is {chance:.3f}. '
        'Dashed: transformers whose layers × window bound what they see.'
    )
    return Picture('networks', (2, 0), caption, figure)


STUDY = Study(
    'finite_context',
    'What a fixed context cannot know',
    'A key, random fillers, a query, and the key is to be said again. N-grams read a text of such '
    'examples at many distances and are tested on another, drawn alike: an n-gram that leaked a '
    'token, or one that did not use all of its own, would fail. The text is new to it but its '
    'contexts are not, which is to its advantage: held-out contexts it could never know. Networks '
    'learn from all distances at once and are tested on fillers and keys in combinations that no '
    'training example has, at each distance; one whose memory ended anywhere would fall to chance '
    'there, as transformers with a window do, and training may fail, too.',
    CLAIMS,
    grid,
    measure,
    judge,
    plot,
)
