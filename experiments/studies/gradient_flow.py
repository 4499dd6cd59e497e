"""How gradients travel through time and depth: claims 3 to 8."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.studies.gradient_flow_claims import CLAIMS, GATED, PARTS, RNNS
from experiments.studies.gradient_flow_pictures import plot
from experiments.studies.gradient_flow_verdicts import judge
from nlp_models import models
from nlp_models.analysis import clipping, decay, guessing, jacobians, solving, trainability
from nlp_models.analysis.study import Cell, Evidence, Study
from nlp_models.recurrent import cells
from nlp_models.recurrent.stack import init_cell
from nlp_models.training import objectives, runs


def grid(config: Any) -> list[Cell]:
    """Instruments and fresh cells first, then trainings."""
    found = [Cell({'what': 'instrument', 'weights': w}, 4) for w in ('orthogonal', 'gaussian')]
    found += [Cell({'what': 'steps', 'family': name}, 8) for name in (*RNNS, *GATED)]
    found += [Cell({'what': 'gaussian', 'family': name}, 2) for name in RNNS]
    reach = (*PARTS, 'rnn_residual', 'gru_residual')
    found += [Cell({'what': 'reach', 'stack': name}, 3) for name in reach]
    found += [Cell({'what': 'trained', 'family': name}, 12) for name in config.models]
    found += [
        Cell({'what': 'clipping', 'clip': clip, 'learning_rate': rate}, 6)
        for rate in config.clipping.learning_rates
        for clip in (0.0, config.clipping.clip_norm)
    ]
    found += [
        Cell({'what': 'depth', 'stack': stack, 'layers': layers}, 5 + layers)
        for stack in config.depth.stacks
        for layers in config.depth.layers
    ]
    return found


def measure(config: Any, key: dict, evidence: Evidence) -> Any:
    """One cell: see the function of its name."""
    match key['what']:
        case 'instrument':
            return _instrument(config, key['weights'])
        case 'steps':
            return _steps(config, key['family'], config.radii)
        case 'gaussian':
            return _steps(config, key['family'], config.gaussian_radii, orthogonal=False)
        case 'reach':
            return _reach(config, key['stack'])
        case 'trained':
            return _trained(config, key['family'])
        case 'clipping':
            return _clipping(config, key['clip'], key['learning_rate'])
    return _depth(config, key, evidence)


def _instrument(config: Any, weights: str) -> dict[str, Any]:
    """Largest error at any radius, one a seed."""
    orthogonal, radii, seeds = weights == 'orthogonal', config.radii, len(config.seeds)
    cell = cells.Cell(cells.rnn, gates=1)
    params = _cell_params(config, cell, radii, orthogonal=orthogonal)
    x = np.concatenate([_gaussian(config, 1.0)] * len(radii))
    exact = np.repeat(radii, seeds) if orthogonal else None
    errors = jacobians.linear_error(params, x, exact)
    return {'errors': errors.reshape(len(radii), seeds).max(axis=0).tolist()}


def _steps(config: Any, family: str, radii: Any, *, orthogonal: bool = True) -> dict[str, Any]:
    """Fresh cells: by standard deviation of the inputs, then by spectral radius."""
    model = config.models[family]
    cell, found = models.find_cell(model), {}
    blocks = _blocks(model, family)
    options = dict(orthogonal=orthogonal, forget_bias=model.get('forget_bias', 0.0))
    params = _cell_params(config, cell, radii, **options)
    for std in config.input_stds:
        x = np.concatenate([_gaussian(config, std)] * len(radii))
        steps, before = jacobians.step_jacobians(cell, params, x)
        products = jacobians.log_products(steps, tuple(blocks.values()))
        logs = dict(zip(('', *blocks), products, strict=True))
        if family in RNNS:
            f = models.RNN_ACTIVATIONS[RNNS[family]]
            derivatives = jacobians.rnn_derivatives(f, params, x, before)
            with_weights = jacobians.with_weights(derivatives, params['W'])
            largest, typical = jacobians.log_derivative_products(derivatives)
            logs |= {'largest': largest, 'typical': typical}
            logs |= {'with_weights': jacobians.log_products(with_weights)[0]}
        distance = np.arange(1, config.length + 1)
        runs = {name: _fit(distance, log) for name, log in logs.items()}
        seeds = len(config.seeds)
        found[f'{std:g}'] = {
            f'{radius:g}': {
                name: _rows(fit, slice(i * seeds, (i + 1) * seeds)) for name, fit in runs.items()
            }
            for i, radius in enumerate(radii)
        }
    return found


def _blocks(model: Any, family: str) -> dict[str, tuple[slice, slice]]:
    """Ways through what is carried that are measured by themselves, beside the whole."""
    return jacobians.lstm_blocks(model.hidden_size) if family == 'lstm' else {}


def _reach(config: Any, stack: str) -> dict[str, Any]:
    """Fresh stacks of two layers: ∂y_T/∂x_t."""
    body = models.build_body(_stack_model(config, stack, 2), max_length=config.length)
    params = runs.init_all(body.init, config.seeds)
    return _rows(_reached(config, body, params, _gaussian(config, 1.0).astype(np.float32)))


def _reached(config: Any, body: Any, params: Any, x: Any) -> tuple[decay.Decay, np.ndarray]:
    def apply(params: Any, x: jax.Array) -> jax.Array:
        return body.apply(params, body.start(params, x.shape[0]), x)[1]

    logs = jacobians.log_input_jacobians(apply, params, x)
    return _fit(np.arange(config.length), logs)


def _trained(config: Any, family: str) -> dict[str, Any]:
    """Gradients along texts of a task, before and after it has been learned at a short distance."""
    model, setting = config.models[family], config.trained.setting.to_dict()
    short = solving.problem(config.trained.task, setting)
    long = solving.problem(config.trained.task, setting | {'distance': config.length})
    outcome, after = solving.solve(
        model, short, config.trained.training, seeds=config.seeds, num_devices=config.num_devices
    )
    built = solving.build(model, long)
    before = runs.init_all(built.init, config.seeds)
    examples = long.sample(0, np.arange(config.sequences), split='test')
    body = models.build_body(model, max_length=config.length)
    target = jnp.asarray(examples.targets[:, -1:])

    def loss(params: Any, x: jax.Array) -> jax.Array:
        _, y = body.apply(params['body'], body.start(params['body'], x.shape[0]), x)
        head = params['head']
        logits = y[:, -1:] @ head['kernel'] + head.get('bias', 0.0)
        return objectives.cross_entropy(logits, target)[:, 0]

    # Both at once, the seeds before training first: what is compiled serves both.
    params = jax.tree.map(lambda *a: np.concatenate(a), before, after)
    x = params['embed']['embedding'][:, examples.inputs]
    fits = {'loss': _fit(np.arange(config.length), jacobians.log_loss_gradients(loss, params, x))}
    if family == 'transformer':
        fits['reach'] = _reached(config, body, params['body'], x)
    else:
        steps, _ = jacobians.step_jacobians(models.find_cell(model), params['body']['layer_0'], x)
        blocks = _blocks(model, family)
        products = jacobians.log_products(steps, tuple(blocks.values()))
        for path, logs in zip(('steps', *blocks), products, strict=True):
            fits[path] = _fit(np.arange(1, config.length + 1), logs)
    seeds = len(config.seeds)
    return {
        'scores': outcome.scores,
        'steps': outcome.steps,
        'before': {name: _rows(fit, slice(seeds)) for name, fit in fits.items()},
        'after': {name: _rows(fit, slice(seeds, None)) for name, fit in fits.items()},
    }


def _clipping(config: Any, clip: float, rate: float) -> dict[str, Any]:
    """A tanh RNN at a large radius, trained by plain gradient descent."""
    ask, model = config.clipping, _copy(config.models.rnn_tanh)
    model.embed_std = ask.embed_std
    problem = solving.problem(ask.task, ask.setting.to_dict())
    built, optimizer = solving.build(model, problem), _copy(ask.optimizer)
    optimizer.update(clip_norm=clip, learning_rate=rate)

    def init(key: jax.Array) -> Any:
        params = built.init(key)
        params['body']['layer_0']['W'] *= ask.radius
        return params

    draw = solving.batches(problem, ask.batch_size)

    def batches(seed: int) -> Any:
        return draw(seed, 0, ask.steps)

    run = clipping.train_recording_norms(
        init, objectives.labelling(built), optimizer, batches, seeds=config.seeds, steps=ask.steps
    )
    tenth = ask.steps // 10
    last = run.losses[:, -tenth:].mean(axis=1)
    examples = problem.sample(0, np.arange(config.sequences), split='test')
    # A run that is no longer a number has learned nothing: it counts as one that guesses.
    guess = guessing.guess(ask.task, ask.setting.to_dict(), examples)
    final = np.where(run.diverged, guess.expected, last)
    layer, x = run.params['body']['layer_0'], run.params['embed']['embedding'][:, examples.inputs]
    steps, _ = jacobians.step_jacobians(models.find_cell(model), layer, x)
    logs = jacobians.log_products(steps)[0]
    with np.errstate(divide='ignore'):
        norms = np.log10(run.norms)
    return {
        'losses': final.tolist(),
        'diverged': int(run.diverged.sum()),
        'first_norms': np.median(norms[:, :tenth], axis=1).tolist(),
        'last_norms': np.median(norms[:, -tenth:], axis=1).tolist(),
        'rate': _fit(np.arange(1, problem.length + 1), logs)[0].rate.tolist(),
        'norm_curve': _thin(np.median(norms, axis=0)),
        'loss_curve': _thin(np.median(run.losses, axis=0)),
    }


def _depth(config: Any, key: dict, evidence: Evidence) -> dict[str, Any]:
    """A stack of some depth; not tried where no seed of a shallower one has learned."""
    ask = config.depth
    chance = math.log(ask.setting.alphabet)
    enough = config.thresholds.trained * chance
    shallower = [
        value['losses']
        for one, value in evidence.select(what='depth', stack=key['stack'])
        if one['layers'] < key['layers']
    ]
    if shallower and min(shallower[-1]) >= enough:
        return {'losses': [chance] * len(config.seeds), 'tried': False}
    found = trainability.train_stack(
        _stack_model(config, key['stack'], key['layers']),
        solving.problem(ask.task, ask.setting.to_dict()),
        ask.training,
        seeds=config.seeds,
        chance=chance,
        enough=enough,
        num_devices=config.num_devices,
    )
    return {**found._asdict(), 'tried': True}


def _stack_model(config: Any, stack: str, layers: int) -> Any:
    """The `model` group of one of `STACKS`."""
    family, _, part = stack.partition('_')
    names = {'rnn': 'rnn_tanh', 'attention': 'transformer'}
    model = _copy(config.models[names.get(family, family)])
    model.num_layers = layers
    if family == 'attention':
        model.scan_layers = layers >= 4  # compiled once
        model.skip_connections = part not in ('no_skips', 'bare')
        model.norm = 'none' if part in ('no_norms', 'bare') else model.norm
    else:
        model.residual = part == 'residual'
    return model


def _cell_params(config: Any, cell: Any, radii: Any, **options: Any) -> dict[str, np.ndarray]:
    """Parameters of one cell for each radius and seed, the seeds of a radius side by side."""
    size, recurrent = config.models.rnn_tanh.hidden_size, ('W', 'W_h')

    def draw(seed: int) -> dict[str, np.ndarray]:
        return jax.device_get(init_cell(cell, jax.random.key(seed), size, size, **options))

    drawn = [draw(seed) for seed in config.seeds]
    scaled = [
        {name: a * (radius if name in recurrent else 1) for name, a in params.items()}
        for radius in radii
        for params in drawn
    ]
    return {name: np.stack([params[name] for params in scaled]) for name in scaled[0]}


def _gaussian(config: Any, std: float) -> np.ndarray:
    """Inputs `[seeds, sequences, T, D]`, float64."""
    shape = (config.sequences, config.length, config.models.rnn_tanh.hidden_size)
    return std * np.stack([np.random.default_rng(s).normal(size=shape) for s in config.seeds])


def _fit(distance: np.ndarray, logs: np.ndarray) -> tuple[decay.Decay, np.ndarray]:
    """Fits of log-norms `[R, B, K]` averaged over sequences, and these."""
    mean = logs.mean(axis=1)
    return decay.fit_decay(distance, mean), mean


def _rows(fitted: tuple[decay.Decay, np.ndarray], rows: slice = slice(None)) -> dict[str, Any]:
    fit, curves = fitted
    found: dict[str, Any] = {name: a[rows].tolist() for name, a in fit._asdict().items()}
    return {**found, 'curve': [float(f'{v:.5g}') for v in curves[rows].mean(axis=0)]}


def _thin(curve: np.ndarray, most: int = 100) -> dict[str, list[float]]:
    """At most so many points of a curve over steps, each the median of those it stands for."""
    parts = np.array_split(np.arange(len(curve)), min(most, len(curve)))
    steps = [float(part[-1] + 1) for part in parts]
    return {'steps': steps, 'values': [float(np.median(curve[part])) for part in parts]}


def _copy(group: Any) -> Any:
    return group.copy_and_resolve_references()


STUDY = Study(
    name='gradient_flow',
    title='How gradients travel through time and depth',
    text='The Jacobian of every step of fresh and trained cells is multiplied along trajectories, '
    'in logarithms and float64, and the slope against distance is fitted; for stacks, '
    'reverse-mode differentiation of the whole model gives the same. Spectral radius and size of '
    'the inputs are varied, so that gradients may as well grow; skip connections and norms are '
    'taken out of attention and put around recurrent layers, so that what spares a gradient may '
    'turn out to be these; and stacks of growing depth are trained alike. What has not learned its '
    'task is no evidence about trained networks; depths at the ends of those asked are bounds.',
    claims=CLAIMS,
    grid=grid,
    measure=measure,
    judge=judge,
    plot=plot,
)
