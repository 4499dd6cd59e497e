"""Claim 40, results and draws: seeds, orders of the data, answers and texts that are sampled."""

import copy
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np

from nlp_models import models
from nlp_models.analysis import datasets, questions, solving, spread, windows
from nlp_models.analysis.study import Evidence
from nlp_models.analysis.verdicts import Criterion
from nlp_models.data import store
from nlp_models.data.synthetic import telling, world
from nlp_models.generation.decoding import generate
from nlp_models.generation.sampling import Sampling
from nlp_models.training import objectives, runs

NAMES = {'transformer': 'a transformer', 'gru': 'a GRU'}
TASKS = {'facts': 'facts', 'text': 'real text'}


class Task(NamedTuple):
    """What is trained and asked in a crossed design.

    Attributes:
      model: the model.
      objective: what is minimised.
      draw: batches, by the seed of their order.
      steps: of training.
      logits: `(params, data) -> [n, V]`.
      data: what is asked.
      targets: right tokens `[n]`.
      counted: which of them have one `[n]`.
    """

    model: Any
    objective: Any
    draw: runs.Batches
    steps: int
    logits: Callable[[Any, Any], jax.Array]
    data: Any
    targets: np.ndarray
    counted: np.ndarray


def _facts(config: Any, group: Any) -> Task:
    """One world for all; of its test questions those of taught facts have an answer."""
    asked = config.crossed.facts
    one = world.make(0, **asked.world)
    text = questions.Text(dict.fromkeys(config.crossed.orders, one), 0, False)
    length = telling.sentences(one, np.zeros(1, np.int64)).tokens.shape[1] - 1
    model = models.build_language_model(group, vocab_size=one.vocab_size, max_length=length)
    tests = telling.questions(one, 'test')
    return Task(
        model,
        objectives.language_modelling(model),
        questions.batches(text, asked.batch_size),
        questions.num_steps(text, asked.batch_size, asked.chunk),
        questions.at_last(model),
        {'tokens': tests.tokens, 'last': tests.last},
        tests.answers,
        tests.kinds == questions.TAUGHT,
    )


def _text(config: Any, group: Any) -> Task:
    """Windows of real text; each place's next token."""
    asked = config.crossed.text
    dataset = datasets.load_once(store.load_dataset, config.data)
    problem = windows.problem(dataset, asked.length)
    model = solving.build(group, problem)
    tests = problem.sample(0, np.arange(asked.tested), split='test')

    def logits(params: Any, tokens: jax.Array) -> jax.Array:
        _, found = model.apply(params, model.start(params, tokens.shape[0]), tokens)
        return found.reshape(-1, found.shape[-1])

    targets = tests.targets.ravel()
    return Task(
        model,
        objectives.labelling(model),
        solving.batches(problem, asked.batch_size),
        asked.steps,
        logits,
        tests.inputs,
        targets,
        np.ones(len(targets), bool),
    )


def cross(config: Any, key: dict) -> dict[str, Any]:
    """Train every seed on every order; what they come to, and what is drawn of those trained."""
    asked, facts = config.crossed, key['task'] == 'facts'
    group = copy.deepcopy(asked.models[key['family']])
    task = (_facts if facts else _text)(config, group)
    seeds, orders = tuple(config.seeds), tuple(asked.orders)
    trained = spread.crossed(
        task.model.init,
        task.objective,
        asked[key['task']],
        task.draw,
        steps=task.steps,
        seeds=seeds,
        orders=orders,
        num_devices=config.num_devices,
    )
    judged = spread.judge(
        task.logits,
        trained.params,
        task.data,
        task.targets,
        counted=task.counted,
        whole=facts,
        num_devices=config.num_devices,
    )
    shape = len(seeds), len(orders)
    losses = np.where(trained.diverged, np.nan, judged.losses).reshape(shape)
    predicted = judged.predicted.reshape(*shape, -1)
    equal = asked.equal_loss
    value: dict[str, Any] = {
        'losses': losses.tolist(),
        'accuracies': np.where(trained.diverged, np.nan, judged.accuracies).reshape(shape).tolist(),
        'steps': trained.steps,
    }
    for name, places in (('', task.counted), ('_untaught', ~task.counted)):
        if not places.any():
            continue
        mine = predicted[..., places]
        value |= {
            f'churn{name}_seeds': [
                spread.churn(mine[:, o], losses[:, o], equal) for o in range(shape[1])
            ],
            f'churn{name}_orders': [
                spread.churn(mine[p], losses[p], equal) for p in range(shape[0])
            ],
        }
    # Of each seed the run of another order: as many models as there are seeds, none alike twice.
    own = [p * shape[1] + p % shape[1] for p in range(shape[0])]
    lost = trained.diverged[own]
    if judged.probabilities is not None:
        return value | _draws(config, judged.probabilities[own], task, lost)
    params = jax.tree.map(lambda a: a[np.array(own)], trained.params)
    return value | _written(config, task.model, params, lost)


def _draws(config: Any, probabilities: np.ndarray, task: Task, lost: np.ndarray) -> dict[str, Any]:
    """By temperature: how often draws are wrong where the likeliest is right, and differ."""
    wrong, differ = {}, {}
    targets = np.where(task.counted, task.targets, -1)
    for t in config.crossed.temperatures:
        wrong[str(t)] = [spread.wrong_draws(p, targets, t) for p in probabilities]
        differ[str(t)] = [float(spread.draws_differ(p, t).mean()) for p in probabilities]
    known = partial(_unless_lost, lost)
    return {
        'wrong_draws': {t: known(v) for t, v in wrong.items()},
        'draws_differ': {t: known(v) for t, v in differ.items()},
    }


def _unless_lost(lost: np.ndarray, values: list[float]) -> list[float]:
    return np.where(lost, np.nan, values).tolist()


def _prompts(dataset: Any, number: int, length: int) -> np.ndarray:
    """Rows spread over the test text."""
    rows = windows.problem(dataset, length).sample(0, np.arange(number), split='test')
    return rows.inputs


def _written(config: Any, model: Any, params: Any, lost: np.ndarray) -> dict[str, Any]:
    """Texts drawn twice, with another key and with the same."""
    asked = config.crossed.text
    dataset = datasets.load_once(store.load_dataset, config.data)
    prompts = list(_prompts(dataset, asked.prompts, asked.prompt))
    found: dict[str, list[float]] = {'other_key': [], 'same_key': [], 'place': []}
    for i in range(len(lost)):
        mine = jax.tree.map(lambda a, i=i: jax.numpy.asarray(a[i]), params)

        def write(seed: int, mine: Any = mine) -> np.ndarray:
            key, sampling = jax.random.key(seed), Sampling(temperature=1.0)
            return np.stack(
                generate(model, mine, prompts, num_tokens=asked.written, key=key, sampling=sampling)
            )

        first, again, other = write(2 * i), write(2 * i), write(2 * i + 1)
        places = spread.part_at(first, other)
        found['other_key'].append(float(np.mean(places < asked.written)))
        found['same_key'].append(float(np.mean(spread.part_at(first, again) < asked.written)))
        found['place'].append(float(places.mean()))
    return {'texts': {name: _unless_lost(lost, values) for name, values in found.items()}}


def crossed(evidence: Evidence) -> list[tuple[str, str, dict]]:
    """(task, family, value) of all crossed designs."""
    cells = evidence.select(what='crossed')
    return [(key['task'], key['family'], value) for key, value in cells]


def criteria(evidence: Evidence) -> list[Criterion]:
    """What changes results, and what changes outputs."""
    return [*_of_results(evidence), *_of_draws(evidence)]


OTHERS = {'seeds': 'other seeds of parameters', 'orders': 'other orders of the data'}


def _by_task(evidence: Evidence) -> dict[str, list[dict]]:
    """Task to what its families came to."""
    cells = crossed(evidence)
    return {t: [v for task, _, v in cells if task == t] for t in dict.fromkeys(c[0] for c in cells)}


def _mean(rows: list[Any]) -> tuple[float, ...]:
    """Over families, value by value; NaN stays NaN."""
    return tuple(np.mean(np.array(rows, float), axis=0).tolist())


def _of_results(evidence: Evidence) -> list[Criterion]:
    limits, found = evidence.thresholds, []
    tasks = _by_task(evidence)
    for task, values in tasks.items():
        spreads = [spread.deviations(value['losses']) for value in values]
        for which, text in enumerate(OTHERS.values()):
            condition = f'loss on {TASKS[task]} with {text}'
            measure = 'standard deviation over its mean, averaged over families'
            mine = _mean([both[which] for both in spreads])
            found.append(Criterion(condition, measure, mine, limits['loss_spread']))
    for task, values in tasks.items():
        for name, text in OTHERS.items():
            shares, unless = [value[f'churn_{name}'] for value in values], ''
            lost = not all(np.isfinite(value['losses']).all() for value in values)
            if not lost and not np.isfinite(shares).all():
                unless = f'no two runs on {TASKS[task]} with {text} come to an equal loss'
                shares = np.nan_to_num(shares).tolist()
            condition = f'predictions on {TASKS[task]} with {text}'
            measure = 'share that differ between runs of equal loss, averaged over families'
            limit = limits['churn']
            found.append(Criterion(condition, measure, _mean(shares), limit, unless=unless))
    return found


def _of_draws(evidence: Evidence) -> list[Criterion]:
    limits, found = evidence.thresholds, []
    tasks, t = _by_task(evidence), evidence.config['crossed']['judged_temperature']
    if 'facts' in tasks:
        wrong = _mean([value['wrong_draws'][str(t)] for value in tasks['facts']])
        measure = 'share that are wrong where the likeliest is right, averaged over families'
        condition = f'answers drawn at temperature {t:g}'
        found.append(Criterion(condition, measure, wrong, limits['wrong_draws']))
    for name, text in (('other_key', 'another'), ('same_key', 'the same')):
        if 'text' in tasks:
            shares = _mean([value['texts'][name] for value in tasks['text']])
            condition = f'texts drawn again with {text} random key'
            measure = 'share that are not the same, averaged over families'
            found.append(Criterion(condition, measure, shares, limits['texts']))
    return found
