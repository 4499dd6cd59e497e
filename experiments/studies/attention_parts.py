"""Whether heads look at different things, the mask holds, and cross-attention helps."""

import copy
from typing import Any

import jax
import numpy as np

from experiments.studies.attention_parts_pictures import NAMES, TASKS, plot
from nlp_models import costs, models
from nlp_models.analysis import (
    attention_weights,
    datasets,
    intervals,
    leaks,
    pooled_memory,
    solving,
    strings,
    verdicts,
    windows,
)
from nlp_models.analysis.study import Cell, Evidence, Study
from nlp_models.analysis.verdicts import Claim, Criterion
from nlp_models.data import store
from nlp_models.training import runs

NAME = 'attention_parts'
# What each looks at its source with, and what has the same without.
WITHOUT = {'bahdanau': 'gru', 'luong': 'gru', 'transformer': 'pooled'}
CLAIMS = (
    Claim(
        22,
        '5',
        'Several attention heads look at different parts of the text',
        'Jensen–Shannon divergence between the heads of a layer as a share of its maximum, after '
        'training minus before',
        'MultiHead(X) = Concat(head_1, …, head_H) W^O',
        'nlp_models/attention/blocks.py',
    ),
    Claim(
        23,
        '5',
        'The causal mask keeps the future out',
        'pairs of a place and a later one with any gradient between them, or any changed bit of a '
        'logit when the later one changes',
        'softmax(Q Kᵀ / √d_k + M) V, M_ts = −∞ for s > t',
        'nlp_models/attention/masks.py',
    ),
    Claim(
        24,
        '5',
        'Attention of a decoder to its encoder helps a transformer as it helped recurrent networks',
        'share of right letters of reversed strings, with attention to the source minus with one '
        'vector for it',
        'softmax(Q_decoder K_encoderᵀ / √d_k) V_encoder',
        'nlp_models/attention/blocks.py',
    ),
    Claim(
        0,
        '5',
        'Several heads are right more often than one of equal width and parameters',
        'share of right answers, with several heads minus with 1, by seed',
        'MultiHead(X) = Concat(head_1, …, head_H) W^O',
        'nlp_models/attention/blocks.py',
    ),
)


def grid(config: Any) -> list[Cell]:
    """Masks, strings for every writer, and every number of heads on both tasks."""
    masked = config.masked
    found = leaks.available(masked.model, masked.length)
    cells = [
        Cell({'what': 'mask', 'attention': a, 'window': w, 'scanned': s, 'causal': c}, 1.0)
        for a in found
        for w in masked.windows
        for s in (False, True)
        for c in (True, False)
    ]
    cells += [Cell({'what': 'strings', 'writer': name}, 8.0) for name in NAMES]
    cells += [
        Cell({'what': 'heads', 'task': t, 'heads': h}, 8.0) for t in TASKS for h in config.heads
    ]
    return cells


def measure(config: Any, key: dict, evidence: Evidence) -> dict[str, Any]:
    """Measure one cell."""
    del evidence
    return {'mask': _mask, 'strings': _strings, 'heads': _heads}[key['what']](config, key)


def _mask(config: Any, key: dict) -> dict[str, Any]:
    masked = config.masked
    group = copy.deepcopy(masked.model)
    group.update(attention=key['attention'], window=key['window'], scan_layers=key['scanned'])
    size = dict(vocab_size=2 * masked.length, max_length=masked.length)
    model = leaks.build(group, causal=key['causal'], **size)
    found = [
        leaks.count(model, model.init(jax.random.key(seed)), masked.length, seed)
        for seed in masked.seeds
    ]
    return {name: sum(getattr(one, name) for one in found) for name in leaks.Leaks._fields}


def _writer(config: Any, name: str) -> Any:
    """A model that reads a string and writes another; recurrent ones have equal parameters."""
    task = strings.Task(**config.strings)
    group = copy.deepcopy(config.writers['transformer' if name == 'pooled' else name])

    def build(group: Any) -> Any:
        return models.build(
            group,
            vocab_size=strings.VOCAB_SIZE,
            max_length=task.target_length,
            source_length=task.max_length,
        )

    if group.family != 'transformer':

        def count(size: int) -> int:
            group.hidden_size = size
            return costs.count_parameters(build(group))

        target = costs.count_parameters(build(config.writers['bahdanau']))
        group.hidden_size = costs.closest_size(count, target)
    return pooled_memory.pool(build(group)) if name == 'pooled' else build(group)


def _strings(config: Any, key: dict) -> dict[str, Any]:
    outcome = strings.solve(
        _writer(config, key['writer']),
        strings.Task(**config.strings),
        config.writing,
        steps=config.writing.steps,
        seeds=tuple(config.seeds),
        num_devices=config.num_devices,
    )
    return outcome._asdict()


def _heads(config: Any, key: dict) -> dict[str, Any]:
    if key['task'] == 'recall':
        problem = solving.problem('recall', config.recall.to_dict())
    else:
        problem = windows.problem(
            datasets.load_once(store.load_dataset, config.text.data), config.text.length
        )
    group = copy.deepcopy(config.decoder)
    group.num_heads = key['heads']
    outcome, params = solving.solve(
        group,
        problem,
        config.training,
        seeds=tuple(config.seeds),
        num_devices=config.num_devices,
    )
    value = outcome._asdict() | {'trained': [], 'untrained': [], 'layers': []}
    if key['heads'] == 1:
        return value
    inputs = problem.sample(0, np.arange(config.looked_at), split='test').inputs

    def differ(params: Any, tokens: Any) -> jax.Array:
        of_layers = attention_weights.weights(group, params, tokens)
        return jax.numpy.stack([attention_weights.diversity(layer) for layer in of_layers])

    init = solving.build(group, problem).init
    first = runs.init_all(init, config.seeds)
    options = dict(num_devices=config.num_devices)
    after = np.asarray(runs.evaluate(differ, params, inputs, **options))
    before = np.asarray(runs.evaluate(differ, first, inputs, **options))
    lost = ~np.isfinite(outcome.scores)
    return value | {
        'trained': np.where(lost, np.nan, after.mean(axis=1)).tolist(),
        'untrained': before.mean(axis=1).tolist(),
        'layers': after.tolist(),
    }


def _many(evidence: Evidence) -> list[int]:
    return [h for h in evidence.config['heads'] if h > 1]


def _judge_heads(evidence: Evidence) -> list[Criterion]:
    limits, found = evidence.thresholds, []
    for task in TASKS:
        values = [evidence.value(what='heads', task=task, heads=h) for h in _many(evidence)]
        gained = [intervals.differences(value['trained'], value['untrained']) for value in values]
        found.append(
            Criterion(
                f'difference of the heads, {task}',
                'share of the maximal divergence, trained minus untrained, mean over numbers of '
                'heads',
                tuple(np.mean(gained, axis=0).tolist()),
                limits['diversity'],
            )
        )
    return found


def _judge_gain(evidence: Evidence) -> list[Criterion]:
    limits, several, found = evidence.thresholds, evidence.config['several'], []
    for task in TASKS:
        one, more = (
            evidence.value(what='heads', task=task, heads=h)['scores'] for h in (1, several)
        )
        found.append(
            Criterion(
                f'accuracy with {several} heads, {task}',
                f'accuracy with {several} heads minus with 1',
                intervals.differences(more, one),
                limits[f'{task}_gain'],
            )
        )
    return found


def _judge_mask(evidence: Evidence) -> list[Criterion]:
    limits, found = evidence.thresholds, []
    cells = evidence.select(what='mask')
    for attention in dict.fromkeys(key['attention'] for key, _ in cells):
        kept = [value for _, value in evidence.select(attention=attention, causal=True)]
        for name, text in (('gradients', 'gradients'), ('bits', 'changed logits')):
            found.append(
                Criterion(
                    f'{text}, {attention} attention',
                    f'pairs, of {sum(value["pairs"] for value in kept)}',
                    (float(sum(value[name] for value in kept)),),
                    limits['leaks'],
                    'below',
                    exact=True,
                )
            )
    # Without mask and window each pair is there to be found, by both instruments.
    shares = [
        value[name] / value['pairs']
        for _, value in evidence.select(what='mask', causal=False, window=0)
        for name in ('gradients', 'bits')
    ]
    found.append(
        Criterion(
            'the instruments, which see the future without a mask',
            'least share of pairs found',
            (min(shares),),
            limits['found'],
            exact=True,
            control=True,
        )
    )
    return found


def _judge_cross(evidence: Evidence) -> list[Criterion]:
    return [
        Criterion(
            NAMES[name],
            f'right letters, minus {NAMES[other]}',
            intervals.differences(
                evidence.value(what='strings', writer=name)['scores'],
                evidence.value(what='strings', writer=other)['scores'],
            ),
            evidence.thresholds['attention_gain'],
        )
        for name, other in reversed(WITHOUT.items())
    ]


def judge(evidence: Evidence) -> list[dict[str, Any]]:
    """What became of the claims."""
    rules = (_judge_heads, _judge_mask, _judge_cross, _judge_gain)
    return [
        verdicts.judge(claim, rule(evidence), evidence.thresholds, study=NAME)
        for claim, rule in zip(CLAIMS, rules, strict=True)
    ]


STUDY = Study(
    NAME,
    'The parts of attention',
    'Decoders of equal parameters with one head or several learn associative recall and real '
    'text, and it is measured how far apart their heads look, compared with heads that were never '
    'trained: they could all look at the same, and more heads could help nothing. All '
    'implementations of attention that the device has are searched for gradients and bits that '
    'reach from the future into the past, by instruments that must find them where the mask is '
    'taken away. Strings are reversed by encoder-decoders whose decoder looks at the source '
    'through attention, or has one vector of it (a recurrent encoder’s last states; the mean of a '
    'transformer’s output), which may well be enough for short strings.',
    CLAIMS,
    grid,
    measure,
    judge,
    plot,
)
