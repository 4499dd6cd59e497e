"""How long each family remembers: tasks of growing length, and inputs changed long ago."""

import copy
import functools
import math
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from experiments.studies import memory_pictures as pictures
from nlp_models.analysis import (
    capacity,
    drawing,
    guessing,
    influence,
    lengths,
    solving,
    verdicts,
)
from nlp_models.analysis.study import Cell, Evidence, Study
from nlp_models.analysis.verdicts import Claim, Criterion
from nlp_models.training import runs

CLAIMS = (
    Claim(
        9,
        '3.2',
        'The influence of early inputs on h_t fades',
        'how far h_T moves when an input of a given distance is replaced, as a share of how far it '
        'moves when the last one is',
        'h_t = σ(W h_{t−1} + U x_t + b_h)',
        'nlp_models/recurrent/cells.py',
    ),
    Claim(
        10,
        '3.2',
        'RNNs fail at long-range tasks',
        'log₂ of the longest length that the RNN solves, equal parameters',
        'h_t = σ(W h_{t−1} + U x_t + b_h)',
        'nlp_models/recurrent/cells.py',
    ),
    Claim(
        11,
        '4.1',
        'LSTMs solve longer tasks than RNNs: at least four times as long',
        'log₂ of the longest length the LSTM solves over that of the RNN, by seed',
        'C_t = f ⊙ C_{t−1} + i ⊙ C̃',
        'nlp_models/recurrent/cells.py',
    ),
    Claim(
        12,
        '4.2',
        'GRUs do likewise: at least four times as long',
        'log₂ of the longest length the GRU solves over that of the RNN, by seed',
        'h_t = (1 − z) ⊙ h_{t−1} + z ⊙ h̃',
        'nlp_models/recurrent/cells.py',
    ),
    Claim(
        13,
        '6.1',
        'Attention retains more than RNN, LSTM and GRU',
        'log₂ of the longest length the transformer solves over the longest that any of the three '
        'solves, by seed',
        'softmax(Q Kᵀ / √d_k) V',
        'nlp_models/attention/dot_product.py',
    ),
)


def grid(config: Any) -> list[Cell]:
    """Guessers; every task, family and length, ascending; settings of papers."""
    known = [task for task in ('adding', 'copy') if task in config.parameters.lengths]
    cells = [Cell({'what': 'guess', 'task': task}, cost=1) for task in known]
    for matching in pictures.MATCHINGS:
        for task, tried in pictures.in_order(config[matching].lengths).items():
            for family in pictures.FAMILIES:
                for length in tried:
                    where = {'matching': matching, 'task': task, 'family': family}
                    key = {'what': 'solve', **where, 'length': length}
                    cells.append(Cell(key, cost=60 + length))  # what compiling takes, and the rest
    for name, one in config.published.items():
        for family in one.families:
            key = {'what': 'published', 'task': name, 'family': family}
            cells.append(Cell(key, cost=0.5 * one.steps))
    return cells


def measure(config: Any, key: dict, evidence: Evidence) -> dict[str, Any]:
    """One cell."""
    match key['what']:
        case 'guess':
            return _guess(config, key['task'])
        case 'published':
            return _published(config, key)
    return _solve(config, key, evidence)


def _setting(config: Any, task: str, length: int) -> dict[str, Any]:
    """The task's arguments at a length."""
    fixed = config.settings[task].to_dict()
    match task:
        case 'copy':
            return {**fixed, 'delay': length}
        case 'delayed':
            return {**fixed, 'distance': length}
        case 'recall':
            pairs = max(config.recall_pairs, length // 16)
            return {**fixed, 'length': length, 'pairs': pairs}
        case 'parity':
            return {**fixed, 'min_length': length, 'max_length': length}
    return {**fixed, 'length': length}


def _guess(config: Any, task: str) -> dict[str, Any]:
    """What a guesser comes to on the test examples of the longest length."""
    setting = _setting(config, task, config.parameters.lengths[task][-1])
    index = np.arange(config.training.test_examples)
    examples = solving.problem(task, setting).sample(0, index, split='test')
    return {'setting': setting, **guessing.guess(task, setting, examples)._asdict()}


def _solve(config: Any, key: dict, evidence: Evidence) -> dict[str, Any]:
    """Train one family on one task at one length, where it has not failed at a shorter one."""
    task, family, length = key['task'], key['family'], key['length']
    probed = key['matching'] == 'parameters' and task in config.probe.tasks
    probed = probed and length == config.probe.length
    shorter = evidence.select(what='solve', matching=key['matching'], task=task, family=family)
    if shorter and not probed and not _goes_on(evidence.thresholds, shorter):
        return {'skipped': True}
    setting = _setting(config, task, length)
    problem = solving.problem(task, setting)
    groups = config[key['matching']].models
    model, reference = copy.deepcopy(groups[family]), groups.transformer
    if family != 'transformer' and key['matching'] == 'parameters':
        target = solving.costs.count_parameters(solving.build(reference, problem))
        solving.match(model, problem, target)
    elif family != 'transformer':
        target = capacity.state_size(reference, problem.length)
        capacity.match_state(model, target, problem.length)
    value = _train(config, model, task, setting, config.training, range(config.seeds))
    params = value.pop('params')
    value |= {
        'hidden_size': model.hidden_size,
        'state': capacity.state_size(model, problem.length),
        'tokens': problem.length,
    }
    if probed:
        value['influence'] = _influences(config, model, problem, params)
    return value


def _goes_on(limits: Any, shorter: list) -> bool:
    """Whether any seed has solved all lengths before, of which the last was tried."""
    key, value = shorter[-1]
    return not value.get('skipped') and key['length'] in lengths.reached(limits, shorter)


def _train(config: Any, model: Any, task: str, setting: dict, training: Any, seeds: Any) -> dict:
    """`solving.solve`, ended early where the loss is a small share of a guesser's."""
    problem = solving.problem(task, setting)
    few = problem.sample(0, np.arange(2), split='train')
    below = training.stop_share * guessing.guess(task, setting, few).expected
    training = ConfigDict({**training, 'stop_below': below})
    outcome, params = solving.solve(
        model, problem, training, seeds=seeds, num_devices=config.num_devices
    )
    return {**outcome._asdict(), 'params': params}


def _published(config: Any, key: dict) -> dict[str, Any]:
    """A setting of a paper."""
    one, task = config.published[key['task']], key['task']
    model = copy.deepcopy(config.parameters.models[key['family']])
    model.hidden_size = one.hidden_size
    training = copy.deepcopy(config.training)
    training.update(
        batch_size=one.batch_size,
        steps=one.steps,
        learning_rates=one.learning_rates,
        stop_share=0.0,  # to the end: what is compared is how low it comes
    )
    setting = one.setting.to_dict()
    value = _train(config, model, task, setting, training, range(one.seeds))
    del value['params']
    figures = value['losses'] if task == 'copy' else value['scores']
    return {**value, 'figures': figures, 'setting': setting}


def _influences(config: Any, model: Any, problem: Any, params: Any) -> dict[str, list]:
    """Influence against distance before and after training, one list a seed."""
    index = np.arange(config.probe.examples)
    tokens = problem.sample(0, index, split='test').inputs
    others = influence.replace(tokens, 0, 1, problem.vocab_size - 1)  # 0 is no bracket and no bit
    untrained = runs.init_all(solving.build(model, problem).init, range(config.seeds))

    def read(parameters: Any, data: Any) -> jax.Array:
        last = influence.last_vector(model, parameters, problem.length)
        return influence.influence(last, *data)

    measured = functools.partial(
        runs.evaluate, read, data=(tokens, others), num_devices=config.num_devices
    )
    return {
        'untrained': measured(params=untrained).tolist(),
        'trained': measured(params=params).tolist(),
    }


def _ahead(evidence: Evidence, ours: str, others: tuple[str, ...], factor: float) -> list:
    """A criterion for each matching and task: one is longer by a factor than the best of others."""
    found = []
    for matching, words in pictures.MATCHINGS.items():
        for task, tried in pictures.lengths_tried(evidence, matching).items():
            best = lengths.most([pictures.longest(evidence, matching, task, o) for o in others])
            compared = lengths.ratios(pictures.longest(evidence, matching, task, ours), best, tried)
            found.append(
                Criterion(
                    f'{pictures.TASKS[task]} at {words}',
                    'log₂ of the ratio of lengths',
                    compared.log2,
                    math.log2(factor),
                    at_least=compared.at_least,
                    at_most=compared.at_most,
                )
            )
    return found


def _too_long(evidence: Evidence, task: str, tried: list[int]) -> Criterion:
    """The RNN solves less than what is called long, where length is what it can fail by."""
    long = evidence.thresholds['long_range']
    found = {f: pictures.longest(evidence, 'parameters', task, f) for f in pictures.FAMILIES}
    unless = ''
    if lengths.typical(found['rnn']) == 0:
        unless = f'an RNN does not learn {pictures.TASKS[task]} even at {min(tried)}'
    elif not any(lengths.typical(own) >= long for own in found.values()):
        unless = f'nothing learns {pictures.TASKS[task]} at {long} in these steps'
    return Criterion(
        pictures.TASKS[task],
        'log₂ of the longest length solved',
        lengths.on_grid(found['rnn'], tried),
        # Half a step of the grid below what is called long: to solve that length is to fail this.
        math.log2(long) - 0.5,
        'below',
        unless=unless,
    )


def judge(evidence: Evidence) -> list[dict[str, Any]]:
    """The verdicts."""
    limits, distance = evidence.thresholds, evidence.config['probe']['distance']
    fading = [
        Criterion(
            f'{drawing.label(family)} {condition}',
            f'influence at distance {distance}, of that at 0',
            tuple(row[distance] for row in by_seed),
            limits['influence'],
            'below',
        )
        for family in pictures.CELLS
        for condition, by_seed in pictures.probed(evidence, family).items()
    ]
    failing = [
        _too_long(evidence, task, tried)
        for task, tried in pictures.lengths_tried(evidence, 'parameters').items()
    ]
    criteria = (
        fading,
        failing,
        _ahead(evidence, 'lstm', ('rnn',), limits['times_longer']),
        _ahead(evidence, 'gru', ('rnn',), limits['times_longer']),
        _ahead(evidence, 'transformer', pictures.CELLS, limits['ahead']),
    )
    return [
        verdicts.judge(claim, some, limits, study='memory')
        for claim, some in zip(CLAIMS, criteria, strict=True)
    ]


STUDY = Study(
    'memory',
    'How long memory lasts',
    'Four families learn tasks whose length doubles until they fail, at equal parameters and, on '
    'copy and recall, with equally many numbers carried from token to token (the recurrent state '
    'is made as large as the transformer’s cache at the end of the row). Learning rates are swept '
    'alike and picked by validation examples; every cell starts with orthogonal recurrent weights, '
    'which favours the RNN. A task that the RNN solves at the longest length, or one where gates '
    'gain less than two doublings, counts against the claims; so does one in which a cell is as '
    'good as attention, as parity may be, where the answer is a state and not a memory. Dyck is of '
    'bounded depth: how much must be remembered does not grow with its length. What fails here '
    'failed within the steps given: it says what is learnt, not what could be computed.',
    CLAIMS,
    grid,
    measure,
    judge,
    pictures.plot,
)
