"""Whether an encoder suits embeddings, and a decoder alone generation, at equal compute."""

from typing import Any

import numpy as np

from nlp_models import models
from nlp_models.analysis import (
    architecture_costs,
    datasets,
    drawing,
    embedders,
    intervals,
    strings,
    verdicts,
)
from nlp_models.analysis.study import Cell, Evidence, Picture, Study
from nlp_models.analysis.verdicts import Claim, Criterion
from nlp_models.data import pairs

NAME = 'architectures'
# Kind of model, and how its vector is made: of the encoder-decoder there is one vector.
EMBEDDERS = {
    ('encoder', 'mean'): 'encoder, mean',
    ('decoder', 'last'): 'decoder, last token',
    ('decoder', 'mean'): 'decoder, mean',
    ('encoder_decoder', 'cls'): 'encoder-decoder',
}
# Encoder-decoders by what they have as much of as the decoder.
BOTH = {'halves': 'equal parameters', 'layers': 'equal layers'}
CLAIMS = (
    Claim(
        25,
        '6.2',
        'An encoder alone suits embeddings of text',
        'mean of 1 / rank of a docstring’s other half among all test texts, encoder minus each of '
        'the others, trained alike on pairs at equal operations',
        'X ← X + softmax(Q Kᵀ / √d_k) V, without a mask',
        'nlp_models/attention/encoder.py',
    ),
    Claim(
        26,
        '6.3',
        'A decoder alone is the efficient and the simpler choice for generation',
        'strings written wholly right, decoder minus encoder-decoder, trained at equal operations; '
        'operations of a written token, bytes of state and kinds of parameters, decoder over '
        'encoder-decoder',
        'p(y_t | x, y_<t) = softmax(W h_t), h = Decoder(x BEGIN y)',
        'nlp_models/attention/decoder.py',
    ),
)


def grid(config: Any) -> list[Cell]:
    """Every way to a vector; every writer on every rule."""
    cells = [Cell({'what': 'embedding', 'kind': k, 'pooling': p}, 2.0) for k, p in EMBEDDERS]
    return cells + [
        Cell({'what': 'strings', 'rule': rule, 'writer': writer})
        for rule in config.rules
        for writer in ('decoder', *BOTH)
    ]


def measure(config: Any, key: dict, evidence: Evidence) -> dict[str, Any]:
    """Measure one cell."""
    del evidence
    return {'embedding': _embedding, 'strings': _strings}[key['what']](config, key)


def _embedding(config: Any, key: dict) -> dict[str, Any]:
    training, kind = config.embedding, key['kind']
    length, data = training.sequence_length, datasets.load_once(pairs.load_pairs, config.pairs)
    model = embedders.build(
        config.embedders[kind], kind, vocab_size=data.tokenizer.vocab_size, max_length=length
    )
    # Both texts of each pair are read.
    reference, mine = (
        2 * training.batch_size * embedders.flops(config.embedders[one], one, length)
        for one in ('encoder', kind)
    )
    outcome = embedders.solve(
        model,
        data,
        training,
        pooling=key['pooling'],
        steps=architecture_costs.equal_steps(reference, mine, training.steps, training.chunk),
        seeds=tuple(config.seeds),
        num_devices=config.num_devices,
    )
    return outcome._asdict() | {'flops': mine * outcome.steps}


def _strings(config: Any, key: dict) -> dict[str, Any]:
    training, task = config.writing, strings.Task(key['rule'], **config.strings)
    decoder = key['writer'] == 'decoder'
    sizes = dict(source=task.max_length, target=task.target_length, vocab_size=strings.VOCAB_SIZE)
    group = config.writers[key['writer']]
    model = models.build(
        group,
        vocab_size=strings.VOCAB_SIZE,
        max_length=task.joined_length if decoder else task.target_length,
        source_length=task.max_length,
    )
    reference, mine = (
        architecture_costs.writing(one, **sizes) for one in (config.writers.decoder, group)
    )
    outcome = strings.solve(
        model,
        task,
        training,
        steps=architecture_costs.equal_steps(
            reference.training, mine.training, training.steps, training.chunk
        ),
        seeds=tuple(config.seeds),
        num_devices=config.num_devices,
    )
    return outcome._asdict() | {
        'flops': mine.training * training.batch_size * outcome.steps,
        'reading': mine.reading,
        'writing': mine.writing,
        'state_bytes': mine.state_bytes,
        'kinds': len(architecture_costs.kinds(model)),
    }


def _embedder(evidence: Evidence, which: tuple[str, str]) -> Any:
    return evidence.value(what='embedding', kind=which[0], pooling=which[1])


def _judge_embedding(evidence: Evidence) -> list[Criterion]:
    first, *others = EMBEDDERS
    ours = _embedder(evidence, first)['reciprocal_rank']
    return [
        Criterion(
            f'the encoder against {EMBEDDERS[other]}',
            'mean of 1 / rank, encoder minus the other',
            intervals.differences(ours, _embedder(evidence, other)['reciprocal_rank']),
            evidence.thresholds['embedding_gain'],
        )
        for other in others
    ]


def _judge_writing(evidence: Evidence) -> list[Criterion]:
    limits, found = evidence.thresholds, []
    rules = evidence.config['rules']

    def writer(name: str, rule: str) -> Any:
        return evidence.value(what='strings', writer=name, rule=rule)

    for rule in rules:
        for name, equal in BOTH.items():
            found.append(
                Criterion(
                    f'right strings ({rule}) at {equal}',
                    'share of strings written wholly right, decoder minus encoder-decoder',
                    intervals.differences(
                        writer('decoder', rule)['exact'], writer(name, rule)['exact']
                    ),
                    -limits['exact_loss'],
                )
            )
    counts = {'writing': 'operations of a token', 'state_bytes': 'bytes of state'}
    shares = [
        (f'{text} at {equal}', text, count, name, limits['ratio'])
        for name, equal in BOTH.items()
        for count, text in counts.items()
    ]
    # Kinds do not depend on sizes: any of the encoder-decoders has the same.
    shares.append(('simplicity', 'kinds of parameters', 'kinds', 'layers', limits['kinds']))
    return found + [
        Criterion(
            condition,
            f'{text}, decoder over encoder-decoder',
            (writer('decoder', rules[0])[count] / writer(name, rules[0])[count],),
            limit,
            'below',
            exact=True,
        )
        for condition, text, count, name, limit in shares
    ]


def judge(evidence: Evidence) -> list[dict[str, Any]]:
    """What became of the two claims."""
    criteria = (_judge_embedding(evidence), _judge_writing(evidence))
    return [
        verdicts.judge(claim, found, evidence.thresholds, study=NAME)
        for claim, found in zip(CLAIMS, criteria, strict=True)
    ]


def plot(evidence: Evidence) -> list[Picture]:
    """How well each finds the other half; how many strings each writes right."""
    return [_plot_embedding(evidence), _plot_strings(evidence)]


def _spent(values: list[Any]) -> str:
    low, high = (f(value['flops'] for value in values) for f in (min, max))
    return f'{low:.2e} to {high:.2e} FLOPs a run'


def _plot_embedding(evidence: Evidence) -> Picture:
    figure, (axes,) = drawing.figure(1)
    rows = {name: _embedder(evidence, which) for which, name in EMBEDDERS.items()}
    candidates = next(iter(rows.values()))['candidates']
    guessed = float(np.mean(1 / np.arange(1, candidates + 1)))
    drawing.dots(
        axes,
        {name: value['reciprocal_rank'] for name, value in rows.items()},
        xlabel='mean of 1 / rank, test',
        xlim=(0, None),
    )
    axes.axvline(guessed, color=drawing.INK, linestyle=':', linewidth=1.2)
    axes.text(guessed, 1.0, ' guessed', transform=axes.get_xaxis_transform(), size=drawing.FONT - 2)
    parts = [
        f'{name} {np.nanmean(value["reciprocal_rank"]):.3f} (first: '
        f'{np.nanmean(value["recall"]):.3f}; '
        f'{drawing.in_counts(float(value["parameters"]))} parameters, {value["steps"]} steps)'
        for name, value in rows.items()
    ]
    caption = (
        f'The other half of a docstring among {candidates}, by vectors of models trained alike on '
        f'pairs, with {_spent(list(rows.values()))}, each seed a dot; mean of 1 / rank: '
        f'{"; ".join(parts)}. Guessing comes to {guessed:.3f}.'
    )
    return Picture('embeddings', (25,), caption, figure)


def _plot_strings(evidence: Evidence) -> Picture:
    figure, (axes,) = drawing.figure(1)
    names = {'decoder': 'decoder'} | {
        name: f'encoder-decoder, {equal}' for name, equal in BOTH.items()
    }
    cells = evidence.select(what='strings')
    found = {(key['rule'], key['writer']): value for key, value in cells}
    drawing.dots(
        axes,
        {f'{rule}: {names[writer]}': value['exact'] for (rule, writer), value in found.items()},
        xlabel='share of strings wholly right, test',
        xlim=(-0.02, 1.02),
    )
    parts = [
        f'{names[writer]} {drawing.in_counts(float(value["parameters"]))} parameters, '
        f'{drawing.in_counts(value["writing"])} FLOPs a written token after '
        f'{drawing.in_counts(value["reading"])} for reading, '
        f'{drawing.in_bytes(value["state_bytes"])} of state, {value["kinds"]} kinds of parameters'
        for (rule, writer), value in found.items()
        if rule == evidence.config['rules'][0]
    ]
    right = [f'{r}, {names[w]} {np.nanmean(v["exact"]):.3f}' for (r, w), v in found.items()]
    task = evidence.config['strings']
    caption = (
        f'Strings of {task["min_length"]} to {task["max_length"]} letters written wholly right '
        f'after {_spent([value for _, value in cells])}, each seed a dot: {"; ".join(right)}. '
        f'Costs, of the longest string: {"; ".join(parts)}.'
    )
    return Picture('generation', (26,), caption, figure)


STUDY = Study(
    NAME,
    'Encoder, decoder, or both',
    'One transformer layer is put together in three ways, and each is trained with as many '
    'operations, as many steps as that takes. Vectors: an encoder, a decoder (its last token’s '
    'vector, or the mean) and an encoder-decoder of about equal parameters learn from halves of '
    'docstrings which belong together, and have to find the other half of texts not trained on; '
    'reading in one direction may well be enough for that. Generation: a decoder that reads source '
    'and target as one text is compared with encoder-decoders of equal parameters (one layer a '
    'side in place of two) and of equal layers (twice the parameters) in strings that are reversed '
    'or sorted, in what a written token costs, and in how many kinds of parameters there are; the '
    'decoder may write fewer strings right, or cost more.',
    CLAIMS,
    grid,
    measure,
    judge,
    plot,
)
