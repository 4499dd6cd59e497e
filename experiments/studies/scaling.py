"""Loss against compute for LSTM and transformer, and who is ahead at which budget."""

import copy
from typing import Any

import numpy as np

from nlp_models import costs, models
from nlp_models.analysis import datasets, drawing, scaling, verdicts
from nlp_models.analysis.drawing import in_counts
from nlp_models.analysis.study import Cell, Evidence, Picture, Study
from nlp_models.analysis.verdicts import Claim, Criterion
from nlp_models.data import batches, store
from nlp_models.training import objectives, runs

FAMILIES = ('lstm', 'transformer')
FILE = 'nlp_models/analysis/scaling.py'
CLAIMS = (
    Claim(
        0,
        '6',
        'Loss falls as a power of the compute spent, for the LSTM and the transformer alike',
        'exponent of L = a·C^b through the best model of each budget, and how far the losses are '
        'from that law',
        'L = a · C^b',
        FILE,
    ),
    Claim(
        0,
        '6',
        'For the same compute the transformer has the lower loss',
        'loss of the LSTM minus that of the transformer, each the best of its sizes, by seed',
        'L_LSTM(C) − L_transformer(C)',
        FILE,
    ),
)


def grid(config: Any) -> list[Cell]:
    """A cell for each family and width, which trains all rates and seeds."""
    widths = [(width, family) for width in config.widths for family in FAMILIES]
    return [Cell({'family': f, 'width': w}, cost=float(w) ** 1.5) for w, f in widths]


def _model(config: Any, family: str, width: int, vocab_size: int) -> Any:
    """The `model` group; an LSTM has the parameters of the transformer of that width."""

    def count(group: Any) -> int:
        built = models.build(group, vocab_size=vocab_size, max_length=config.sequence_length)
        return costs.count_parameters(built)

    group = copy.deepcopy(config.models[family])
    group.hidden_size = width
    if family != 'transformer':
        target = count(_model(config, 'transformer', width, vocab_size))

        def size(units: int) -> int:
            group.hidden_size = units
            return count(group)

        group.hidden_size = costs.closest_size(size, target)
    return group


def measure(config: Any, key: dict, evidence: Evidence) -> dict[str, Any]:
    """Train one size of one family with all rates and seeds."""
    del evidence
    dataset = datasets.load_once(store.load_dataset, config.data)
    vocab_size, length = dataset.tokenizer.vocab_size, config.sequence_length
    group = _model(config, key['family'], key['width'], vocab_size)
    model = models.build_language_model(group, vocab_size=vocab_size, max_length=length)

    def draw(seed: int, first: int, count: int) -> dict[str, np.ndarray]:
        rows = [
            batches.random_windows(
                dataset.train, batch_size=config.batch_size, length=length, seed=seed, step=step
            )
            for step in range(first, first + count)
        ]
        return {'tokens': np.stack(rows)}

    trained = runs.train(
        model.init,
        objectives.language_modelling(model),
        config.optimizer,
        runs.grid(range(config.seeds), config.learning_rates),
        draw,
        steps=config.steps,
        chunk=config.chunk,
        num_devices=config.num_devices,
    )
    shape = (len(config.learning_rates), config.seeds, -1)
    losses = np.where(trained.diverged[:, None], np.nan, trained.losses).reshape(shape)
    return {
        'parameters': costs.count_parameters(model),
        'hidden_size': group.hidden_size,
        'step_flops': scaling.training_flops(
            group, batch_size=config.batch_size, length=length, vocab_size=vocab_size
        ),
        'losses': {
            str(rate): runs_of_rate.tolist()
            for rate, runs_of_rate in zip(config.learning_rates, losses, strict=True)
        },
        'text': f'{dataset.name} {dataset.version}',
        'train_tokens': len(dataset.train),
    }


def _curves(evidence: Evidence, family: str) -> list[scaling.Curve]:
    """A curve for each size and learning rate."""
    found = []
    for key, value in evidence.select(family=family):
        for rate, losses in value['losses'].items():
            points = len(losses[0])
            # The mean loss of a chunk is about that of its middle step.
            middles = evidence.config['chunk'] * (np.arange(points) + 0.5)
            flops = value['step_flops'] * middles
            name = f'{key["width"]} at {rate}'
            found.append(scaling.Curve(name, flops, np.asarray(losses, float)))
    return found


def _frontiers(evidence: Evidence) -> dict[str, dict[float, np.ndarray]]:
    """The best losses of each family at each budget, by seed."""
    curves = {family: _curves(evidence, family) for family in FAMILIES}
    budgets = scaling.budgets_between(list(curves.values()), evidence.config['budgets'])
    return {
        family: {c: losses for c, (_, losses) in scaling.frontier(own, budgets).items()}
        for family, own in curves.items()
    }


def _laws(frontier: dict[float, np.ndarray]) -> list[scaling.Law]:
    """A law through each seed's losses."""
    budgets = list(frontier)
    by_seed = np.stack(list(frontier.values()), axis=1)
    return [scaling.power_law(budgets, losses) for losses in by_seed]


def judge(evidence: Evidence) -> list[dict[str, Any]]:
    """Whether there is a law, and who is ahead at each budget."""
    limits, frontiers = evidence.thresholds, _frontiers(evidence)
    laws, ahead = [], []
    for family in FAMILIES:
        name, found = drawing.label(family), _laws(frontiers[family])
        exponents = tuple(law.exponent for law in found)
        residuals = tuple(law.residual for law in found)
        laws += [
            Criterion(f'exponent, {name}', 'exponent b', exponents, limits['exponent'], 'below'),
            Criterion(
                f'fit, {name}',
                'largest |log L − fit|',
                residuals,
                limits['residual'],
                'below',
            ),
        ]
    for budget in reversed(list(frontiers['transformer'])):
        difference = frontiers['lstm'][budget] - frontiers['transformer'][budget]
        where = f'{budget:.1e} FLOP'
        values = tuple(difference.tolist())
        ahead.append(Criterion(where, 'nats a byte', values, limits['ahead']))
    return [
        verdicts.judge(claim, criteria, limits, study='scaling')
        for claim, criteria in zip(CLAIMS, (laws, ahead), strict=True)
    ]


def plot(evidence: Evidence) -> list[Picture]:
    """Both frontiers, and all curves below them."""
    frontiers = _frontiers(evidence)
    figure, (axes,) = drawing.figure(1)
    for family in FAMILIES:
        style = drawing.styles(FAMILIES)[family]
        for curve in _curves(evidence, family):
            axes.plot(curve.flops, curve.losses.mean(axis=0), color=style.color, alpha=0.25)
    lines = {
        family: {c: losses.tolist() for c, losses in points.items()}
        for family, points in frontiers.items()
    }
    drawing.against(
        axes,
        lines,
        xscale='log',
        yscale='log',
        xlabel='training compute, FLOP',
        ylabel='loss on unseen text, nats a byte',
    )
    lowest = min(np.min(v) for points in frontiers.values() for v in points.values())
    highest = max(np.max(v) for points in frontiers.values() for v in points.values())
    axes.set_ylim(lowest / 1.05, highest * 1.1)
    ticks = [
        t for t in (1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0) if lowest / 1.05 < t < highest * 1.1
    ]
    axes.set_yticks(ticks, labels=[f'{tick:g}' for tick in ticks])
    axes.minorticks_off()
    laws = {
        family: np.mean([law.exponent for law in _laws(frontiers[family])]) for family in FAMILIES
    }
    last = max(frontiers['lstm'])
    ends = {family: float(np.mean(frontiers[family][last])) for family in FAMILIES}
    sizes = [float(value['parameters']) for _, value in evidence.select()]
    caption = (
        f'Best loss for each budget (markers) and the curves of all sizes and rates (faint), '
        f'{in_counts(min(sizes))} to {in_counts(max(sizes))} parameters. Exponents: LSTM '
        f'{laws["lstm"]:.3f}, transformer {laws["transformer"]:.3f}. At {last:.1e} FLOP the LSTM '
        f'is at {ends["lstm"]:.3f} and the transformer at {ends["transformer"]:.3f} nats a byte.'
    )
    return [Picture('scaling', (0,), caption, figure)]


STUDY = Study(
    'scaling',
    'Loss against compute',
    'No claim of the tutorial’s, but context for all of them: LSTMs and transformers of equal '
    'parameters, of several sizes, read the same text; for every compute budget the best size and '
    'learning rate of each family is picked. The law could fail to fit, and either family could be '
    'ahead at any budget.',
    CLAIMS,
    grid,
    measure,
    judge,
    plot,
)
