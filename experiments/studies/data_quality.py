"""Whether better data make the smaller model the better one, and what filters gain back."""

import copy
from collections import Counter
from typing import Any

import numpy as np

from experiments.studies.data_quality_pictures import plot, tables
from experiments.studies.data_quality_verdicts import CLAIMS, FAMILIES, NAME, judge
from nlp_models import costs, models
from nlp_models.analysis import (
    architecture_costs,
    datasets,
    scaling,
    spoiled_text,
    text_models,
)
from nlp_models.analysis.study import Cell, Evidence, Study
from nlp_models.data.noise import NOISES
from nlp_models.errors import require

PILOT = 1000  # the seed that rates are picked with; no other number is of it


def _qualities(config: Any) -> list[tuple[str, float]]:
    """What the large model is trained on: kind of text and share that is spoiled or copied."""
    return [
        ('clean', 0.0),
        *(('noisy', share) for share in config.shares),
        *((kind, config.share) for kind in spoiled_text.KINDS if kind not in ('clean', 'noisy')),
    ]


def grid(config: Any) -> list[Cell]:
    """The texts; then of each family a rate for each size, and all its trainings."""
    asked = f'must be one of shares, {tuple(config.shares)}'
    require(config.share in config.shares, 'share', config.share, asked)
    cells = [Cell({'what': 'texts'}, 0.5)]
    ratio = (config.widths.large / config.widths.small) ** 2
    for family in FAMILIES:
        cells += [
            Cell({'what': 'rate', 'family': family, 'size': size}, cost)
            for size, cost in (('small', 0.7), ('large', 1.2))
        ]
        trained = [('small', 'clean', 0.0, equal) for equal in ('tokens', 'compute')]
        trained.append(('small', 'filtered', config.share, 'tokens'))
        trained += [('large', text, share, 'tokens') for text, share in _qualities(config)]
        for size, text, share, equal in trained:
            key = {'size': size, 'text': text, 'share': share, 'equal': equal}
            cost = (0.6 if size == 'small' else 1.0) * (ratio if equal == 'compute' else 1.0)
            cells.append(Cell({'what': 'train', 'family': family, **key}, cost))
    return cells


def measure(config: Any, key: dict, evidence: Evidence) -> dict[str, Any]:
    """Measure one cell."""
    if key['what'] == 'texts':
        return _describe(config)
    steps = config.steps
    group, flops = _model(config, key['family'], key['size'])
    if key['what'] == 'rate':
        if len(config.training.learning_rates) == 1:
            return {'learning_rate': config.training.learning_rates[0], 'swept': {}}
        outcomes = [
            _solve(config, group, config.training, text, steps=steps, seeds=(PILOT,))
            for text in (('clean', 0.0), ('noisy', config.share))
        ]
        rate, swept = text_models.pick_rate(outcomes)
        return {'learning_rate': rate, 'swept': swept}
    if key['equal'] == 'compute':
        _, reference = _model(config, key['family'], 'large')
        chunk = config.training.chunk
        steps = architecture_costs.equal_steps(reference, flops, steps, chunk)
    picked = evidence.value(what='rate', family=key['family'], size=key['size'])
    training = copy.deepcopy(config.training)
    training.learning_rates = (picked['learning_rate'],)
    text, seeds = (key['text'], key['share']), tuple(range(config.seeds))
    outcome = _solve(config, group, training, text, steps=steps, seeds=seeds)
    read = steps * training.batch_size * config.sequence_length
    sizes = [len(_tokens(config, *text, seed)) for seed in seeds]
    return outcome._asdict() | {
        'hidden_size': group.hidden_size,
        'flops': flops * steps,
        'tokens': read,
        'passes': read / float(np.mean(sizes)),  # through the text
    }


def _pieces(config: Any) -> spoiled_text.Pieces:
    return datasets.load_once(spoiled_text.open_pieces, config.data)


def _tokens(config: Any, kind: str, share: float, seed: int) -> np.ndarray:
    return spoiled_text.made_once(config.data, kind, share, seed, config.making)[1]


def _describe(config: Any) -> dict[str, Any]:
    """What the texts are, and how much of what is held out stands in any of them."""
    pieces = _pieces(config)
    found, trained = [], []
    for kind, share in _qualities(config):
        of_seeds = [
            spoiled_text.made_once(config.data, kind, share, seed, config.making)[0]
            for seed in range(config.seeds)
        ]
        trained += [made.pieces for made in of_seeds]
        first = of_seeds[0]
        found.append(
            {
                'text': kind,
                'share': share,
                'pieces': len(first.pieces),
                'different': len(set(first.pieces)),
                'characters': len(spoiled_text.join(first.pieces)),
                'ways': dict(Counter(first.ways)),
                'table': first.table,
            }
        )
    return {
        'texts': found,
        'held_out': {
            split: len(spoiled_text.join(getattr(pieces, split)))
            for split in ('validation', 'test')
        },
        'left_out': pieces.left_out,
        'shared': spoiled_text.shared_with(pieces, trained),
        'vocab_size': pieces.tokenizer.vocab_size,
    }


def _model(config: Any, family: str, size: str) -> tuple[Any, float]:
    """The `model` group and the operations of a training step."""
    vocab_size = _pieces(config).tokenizer.vocab_size

    def build(group: Any) -> Any:
        return models.build_language_model(
            group, vocab_size=vocab_size, max_length=config.sequence_length
        )

    group = copy.deepcopy(config.models[family])
    group.hidden_size = config.widths[size]
    if family != 'transformer':
        reference, _ = _model(config, 'transformer', size)
        text_models.closest(group, build, costs.count_parameters(build(reference)))
    flops = scaling.training_flops(
        group,
        batch_size=config.training.batch_size,
        length=config.sequence_length,
        vocab_size=vocab_size,
    )
    return group, flops


def _solve(
    config: Any,
    group: Any,
    training: Any,
    text: tuple[str, float],
    *,
    steps: int,
    seeds: tuple[int, ...],
) -> Any:
    pieces = _pieces(config)
    model = models.build_language_model(
        group, vocab_size=pieces.tokenizer.vocab_size, max_length=config.sequence_length
    )
    held_out = {}
    for split in ('validation', 'test'):
        whole = spoiled_text.join(getattr(pieces, split))
        held_out[split] = text_models.Scored(pieces.tokenizer.encode(whole), len(whole))
    return text_models.solve(
        model,
        lambda seed: _tokens(config, *text, seed),
        held_out,
        training,
        length=config.sequence_length,
        steps=steps,
        seeds=seeds,
        num_devices=config.num_devices,
    )


STUDY = Study(
    NAME,
    'Better data or a larger model',
    'Two sizes of transformer and GRU learn one text in several qualities. Shares of its pieces '
    f'are spoiled ({", ".join(NOISES)}); the filters and the deduplication of this repository '
    'clean what was spoiled or filled with copies, and beside them stands a filter that knows what '
    'is spoiled. What is scored is always clean text that nobody was trained on. A smaller model '
    'of clean text is compared with a larger one of noisy text twice: after equally many tokens, '
    'and at equal operations, which give the smaller one several times the steps. On clean text '
    'the larger model must be ahead, or a smaller one that is better would say nothing of the '
    'data; noise may well cost less than size gains, and filters may turn away more that is good '
    'than bad.',
    CLAIMS,
    grid,
    measure,
    judge,
    plot,
    tables,
)
