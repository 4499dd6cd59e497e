"""Loss against compute and parameters for LSTM and transformer; who is ahead at which budget."""

import copy
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax

from experiments.studies import scaling_pictures
from nlp_models import costs, models
from nlp_models.analysis import datasets, drawing, scaling, verdicts
from nlp_models.analysis.study import Cell, Evidence, Picture, Study
from nlp_models.analysis.verdicts import Claim, Criterion
from nlp_models.data import batches, store
from nlp_models.errors import require
from nlp_models.training import objectives, runs

FAMILIES = ('lstm', 'transformer')
FILE = 'nlp_models/analysis/scaling.py'
CLAIMS = (
    Claim(
        0,
        '6',
        'Training loss falls as a power of the compute spent, for the LSTM and the transformer '
        'alike',
        'exponent of L = a·C^b through the training losses of the best model of each budget, and '
        'how far the losses are from that law',
        'L = a · C^b',
        FILE,
    ),
    Claim(
        0,
        '6',
        'For the same compute the transformer has the lower training loss',
        'training loss of the LSTM minus that of the transformer, each the best of its sizes, by '
        'seed',
        'L_LSTM(C) − L_transformer(C)',
        FILE,
    ),
    Claim(
        0,
        '6',
        'Loss on held-out text falls as a power of the number of parameters, for the LSTM and the '
        'transformer alike',
        'exponent of L = a·N^b through the validation losses of all sizes after equally many '
        'steps, each at its best learning rate, and how far the losses are from that law',
        'L = a · N^b',
        FILE,
    ),
)


def grid(config: Any) -> list[Cell]:
    """A cell for each family and width, which trains all rates and seeds."""
    for name, number in (('widths', len(config.widths)), ('budgets', config.budgets)):
        require(number >= 3, name, number, 'must be at least 3: two points lie on any power law')
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

    objective = objectives.language_modelling(model)
    windows = _held_out_windows(config, dataset.validation)
    trained = runs.train(
        model.init,
        objective,
        config.optimizer,
        runs.grid(range(config.seeds), config.learning_rates),
        draw,
        steps=config.steps,
        chunk=config.chunk,
        num_devices=config.num_devices,
    )

    def held_out(params: Any, windows: Any) -> Any:
        sums = lax.map(lambda rows: objective(params, None, {'tokens': rows})[0], windows)
        return jnp.sum(sums.loss) / jnp.sum(sums.weight)

    after = runs.evaluate(held_out, trained.params, windows, num_devices=config.num_devices)

    def by_rate(losses: np.ndarray) -> dict[str, list]:
        known = losses.copy()
        known[trained.diverged] = np.nan
        known = known.reshape(len(config.learning_rates), config.seeds, *losses.shape[1:])
        return {str(r): of.tolist() for r, of in zip(config.learning_rates, known, strict=True)}

    return {
        'parameters': costs.count_parameters(model),
        'hidden_size': group.hidden_size,
        'step_flops': scaling.training_flops(
            group, batch_size=config.batch_size, length=length, vocab_size=vocab_size
        ),
        'losses': by_rate(trained.losses),  # of training
        'held_out': by_rate(after),
        'text': f'{dataset.name} {dataset.version}',
        'train_tokens': len(dataset.train),
    }


def _held_out_windows(config: Any, text: np.ndarray) -> np.ndarray:
    """Windows `[n, B, T + 1]` side by side in the validation text, the same for all runs."""
    number, length = config.held_out_batches * config.batch_size, config.sequence_length
    room = (len(text) - 1) // length - 1  # what `random_windows` draws before it repeats any
    short = f'must be at most {room // config.batch_size}: the validation text has no more windows'
    require(0 < number <= room, 'held_out_batches', config.held_out_batches, short)
    rows = batches.random_windows(text, batch_size=number, length=length, seed=0, step=0)
    return rows.reshape(config.held_out_batches, config.batch_size, length + 1)


def _curves(evidence: Evidence) -> dict[str, list[scaling.Curve]]:
    """Of each family, a curve of training losses for each size and learning rate."""
    found = {family: [] for family in FAMILIES}
    for key, value in evidence.select():
        for rate, losses in value['losses'].items():
            points = len(losses[0])
            # The mean loss of a chunk is about that of its middle step.
            middles = evidence.config['chunk'] * (np.arange(points) + 0.5)
            flops = value['step_flops'] * middles
            name = f'{key["width"]} at {rate}'
            found[key['family']].append(scaling.Curve(name, flops, np.asarray(losses, float)))
    return found


def _by_compute(evidence: Evidence) -> dict[str, dict[float, np.ndarray]]:
    """The best training losses of each family at each budget, by seed."""
    curves = _curves(evidence)
    budgets = scaling.budgets_between(list(curves.values()), evidence.config['budgets'])
    return {
        family: {c: losses for c, (_, losses) in scaling.frontier(own, budgets).items()}
        for family, own in curves.items()
    }


def _by_parameters(evidence: Evidence) -> dict[str, dict[float, np.ndarray]]:
    """The validation losses of each family after all steps at each size, by seed.

    The learning rate is picked by the mean of the very losses that are told: of two or three rates
    that mean over seeds leaves little to luck, and it is so for all sizes of both families.
    """
    return {
        family: {
            float(value['parameters']): scaling.best(value['held_out'])[1]
            for _, value in evidence.select(family=family)
        }
        for family in FAMILIES
    }


def _law(points: dict[str, dict[float, np.ndarray]], exponent: float, residual: float) -> list:
    """Whether there is a power law through each family's losses."""
    criteria = []
    for family in FAMILIES:
        name, found = drawing.label(family), scaling.laws(points[family])
        exponents = tuple(law.exponent for law in found)
        residuals = tuple(law.residual for law in found)
        fit = 'largest |log L − fit|'
        criteria += [
            Criterion(f'exponent, {name}', 'exponent b', exponents, exponent, 'below'),
            Criterion(f'fit, {name}', fit, residuals, residual, 'below'),
        ]
    return criteria


def judge(evidence: Evidence) -> list[dict[str, Any]]:
    """Whether there are laws, and who is ahead at each budget."""
    limits, frontiers = evidence.thresholds, _by_compute(evidence)
    ahead = []
    for budget in reversed(list(frontiers['transformer'])):
        difference = frontiers['lstm'][budget] - frontiers['transformer'][budget]
        where = f'{budget:.1e} FLOP'
        values = tuple(difference.tolist())
        ahead.append(Criterion(where, 'nats a byte', values, limits['ahead']))
    of_compute = _law(frontiers, limits['exponent'], limits['residual'])
    of_parameters = _law(_by_parameters(evidence), limits['parameter_exponent'], limits['residual'])
    return [
        verdicts.judge(claim, criteria, limits, study='scaling')
        for claim, criteria in zip(CLAIMS, (of_compute, ahead, of_parameters), strict=True)
    ]


def plot(evidence: Evidence) -> list[Picture]:
    """Losses against compute above, against parameters below."""
    curves, frontiers, sizes = _curves(evidence), _by_compute(evidence), _by_parameters(evidence)
    return [scaling_pictures.draw(evidence, curves, frontiers, sizes)]


STUDY = Study(
    'scaling',
    'Loss against compute and parameters',
    'No claim of the tutorial’s, but context for all of them: LSTMs and transformers of equal '
    'parameters, of several sizes, read the same text. For every compute budget the size and '
    'learning rate of each family with the lowest training loss are picked; for every size the '
    'learning rate with the lowest validation loss after all steps. Either law could fail to fit, '
    'and either family could be ahead at any budget.',
    CLAIMS,
    grid,
    measure,
    judge,
    plot,
)
