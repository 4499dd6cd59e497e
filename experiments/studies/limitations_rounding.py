"""Claim 40, numbers: the same training and the same parameters, computed again and otherwise."""

import copy
from typing import Any

import jax
import numpy as np

from nlp_models import models, trees
from nlp_models.analysis import datasets, rounding, solving, windows
from nlp_models.analysis.study import Evidence
from nlp_models.analysis.verdicts import Criterion
from nlp_models.data import store
from nlp_models.training import objectives, parallel, runs

WAYS = {
    'again': 'computed again',
    'retrained': 'trained again with the same seeds',
    'alone': 'in batches of one row',
    'anew': 'by steps in place of at once, and the other way round',
    'other': 'by another algorithm',
    'bfloat16': 'in bfloat16',
    'devices': 'trained on two devices in place of one',
}


REPEATED = ('again', 'retrained')  # by the very same program


def measure(config: Any, key: dict) -> dict[str, Any]:
    """Train one family, twice; by way the fields of `rounding.Apart`, one value a seed."""
    asked, family = config.rounding, key['family']
    dataset = datasets.load_once(store.load_dataset, config.data)
    problem = windows.problem(dataset, asked.length)

    def build(**fields: Any) -> Any:
        group = copy.deepcopy(asked.models[family])
        group.update(fields)
        length = asked.prompt + asked.written
        return models.build_language_model(group, vocab_size=problem.vocab_size, max_length=length)

    model = build()
    draw, objective = solving.batches(problem, asked.batch_size), objectives.labelling(model)

    def train() -> runs.Trained:
        return runs.train(
            model.init,
            objective,
            asked.optimizer,
            runs.grid(tuple(config.seeds), (asked.learning_rate,)),
            draw,
            steps=asked.steps,
            chunk=asked.chunk,
            num_devices=config.num_devices,
        )

    trained, repeated = train(), train()
    plain = rounding.together(model, asked.written)
    steps = rounding.anew(model, asked.written)
    ways = {
        'again': (plain, plain),
        'alone': (plain, rounding.alone(plain)),
        'anew': (plain, steps),
        'bfloat16': (plain, rounding.together(build(dtype='bfloat16'), asked.written)),
    }
    if family in asked.others:
        # Algorithms differ where a text is read at once, so they write by reading it anew.
        other = build(**asked.others[family])
        ways['other'] = (
            rounding.Way(plain.read, steps.write),
            rounding.Way(
                rounding.together(other, asked.written).read,
                rounding.anew(other, asked.written).write,
            ),
        )
    tests = windows.problem(dataset, asked.prompt).sample(0, np.arange(asked.prompts), split='test')
    prompts, found = tests.inputs, {name: [] for name in (*ways, 'retrained', 'devices')}

    def use(way: rounding.Way, params: Any) -> tuple:
        return way.read(params, prompts), way.write(params, prompts)

    for i in range(len(config.seeds)):
        params, same = (jax.tree.map(lambda a, i=i: a[i], t.params) for t in (trained, repeated))
        said = use(plain, params)
        for name, (one, another) in ways.items():
            mine = said if one is plain else use(one, params)
            found[name].append(rounding.apart(mine, use(another, params)))
        pairs = zip(jax.tree.leaves(params), jax.tree.leaves(same), strict=True)
        changed = sum(int((a != b).sum()) for a, b in pairs) / trees.count(params)
        found['retrained'].append(rounding.apart(said, use(plain, same))._replace(bits=changed))
    for one, two in _on_devices(config, model, objective, draw):
        found['devices'].append(rounding.apart(use(plain, one), use(plain, two)))
    return {
        name: {
            what: np.where(trained.diverged, np.nan, [getattr(row, what) for row in rows]).tolist()
            for what in rounding.Apart._fields
        }
        for name, rows in found.items()
        if rows
    }


def _on_devices(config: Any, model: Any, objective: Any, draw: runs.Batches) -> list[tuple]:
    """Parameters trained on one device and on two, of every seed; none where there are not two."""
    asked = config.rounding
    if min(len(jax.local_devices()), parallel.num_cores()) < 2 or config.num_devices == 1:
        return []

    def batches(seed: int) -> list[dict]:
        data = draw(seed, 0, asked.steps)
        return [{name: a[i] for name, a in data.items()} for i in range(asked.steps)]

    one, two = (
        rounding.on_devices(
            model.init, objective, asked.optimizer, batches, seeds=config.seeds, num_devices=number
        )
        for number in (1, 2)
    )
    return list(zip(one, two, strict=True))


def criteria(evidence: Evidence) -> list[Criterion]:
    """Which ways change numbers, and which of those change texts."""
    limits, found = evidence.thresholds, []
    cells = [value for _, value in evidence.select(what='rounding')]
    measures = {
        'bits': ('numbers', 'share that differ in any bit', limits['bits']),
        'parted': ('greedy texts', 'share that are not the same', limits['texts']),
    }
    for what, (text, measured, limit) in measures.items():
        for name, way in WAYS.items():
            rows = [value[name][what] for value in cells if name in value]
            # Of equal numbers texts are equal: nothing is left to ask.
            if not rows or (what == 'parted' and name in REPEATED):
                continue
            values = tuple(np.mean(np.array(rows, float), axis=0).tolist())
            measure = f'{measured}, averaged over families'
            found.append(Criterion(f'{text} {way}', measure, values, limit))
    return found
