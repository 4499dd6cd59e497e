"""Optimizers and schedules from a config's `optimizer` group."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from nlp_models import trees
from nlp_models.errors import require

OPTIMIZERS = ('adamw', 'sgd')
SCHEDULES = ('cosine', 'linear', 'constant', 'slanted_triangular')
CUT = 0.1  # share of the steps in which a slanted triangle rises


class Parts(NamedTuple):
    """An optimizer's two halves.

    Attributes:
      clip: what is done with all gradients together.
      direction: what is done with each parameter's by itself.
    """

    clip: optax.GradientTransformation
    direction: optax.GradientTransformation


def build_optimizer(config: Any) -> optax.GradientTransformation:
    """Everything between the gradient and the learning rate: `build_parts`, one after the other.

    Args:
      config: the group.

    Returns:
      An optax transformation.

    Raises:
      InputError: for a value out of range.
    """
    return optax.chain(*build_parts(config))


def build_parts(config: Any) -> Parts:
    """What is done with the gradients, before the learning rate.

    The global norm is clipped first (Pascanu et al. 2013), then AdamW's direction is taken
    (Loshchilov & Hutter 2019), with decay on matrices alone: biases and LayerNorm's gains, which
    have one axis, are left alone. The update is to be scaled by minus the learning rate, which is
    a function of the step and of the total that `build_schedule` makes.

    Args:
      config: the group: `name`, `b1`, `b2`, `weight_decay`, `clip_norm`.

    Returns:
      The parts.

    Raises:
      InputError: for a value out of range.
    """
    for name in ('b1', 'b2'):
        value = config[name]
        require(0 <= value < 1, f'optimizer.{name}', value, 'must be at least 0 and below 1')
    for name in ('weight_decay', 'clip_norm'):
        require(config[name] >= 0, f'optimizer.{name}', config[name], 'must be at least 0')
    require(
        config.name in OPTIMIZERS,
        'optimizer.name',
        config.name,
        f'must be one of {", ".join(OPTIMIZERS)}',
    )
    clip = optax.identity()
    if config.clip_norm > 0:
        clip = optax.clip_by_global_norm(config.clip_norm)
    parts = []
    if config.name == 'adamw':
        parts.append(optax.scale_by_adam(config.b1, config.b2))
    elif config.b1 > 0:
        parts.append(optax.trace(config.b1))
    if config.weight_decay > 0:
        parts.append(optax.add_decayed_weights(config.weight_decay, mask=_is_matrix))
    return Parts(clip, optax.chain(*parts) if parts else optax.identity())


def _is_matrix(params: Any) -> Any:
    """Which leaves have two axes or more, the layer not counted where layers are stacked."""

    def more_than_one_axis(path: str, leaf: Any) -> bool:
        return leaf.ndim - (trees.LAYERS in path.split('/')) >= 2

    return trees.map_with_path(more_than_one_axis, params)


def build_schedule(config: Any) -> Callable[[Any, Any], jax.Array]:
    """The learning rate as a function of the step and of the total number of steps.

    It rises linearly over `warmup_steps`, then falls to `final_learning_rate_ratio` of its peak:
    along half a cosine (Loshchilov & Hutter 2017), along a line, or not at all. A slanted triangle
    (Howard & Ruder 2018, equation 3) rises from that ratio of its peak (1/32 of it, in the paper)
    over the first tenth of the steps, and falls back to it along a line. The total is an argument,
    not a constant, so one compiled step serves for every length of training.

    Args:
      config: the group: `schedule`, `learning_rate`, `warmup_steps`, `final_learning_rate_ratio`.

    Returns:
      `(step, total_steps) -> rate`, float32; step counts from 0.

    Raises:
      InputError: for a value out of range.
    """
    peak, ratio = config.learning_rate, config.final_learning_rate_ratio
    require(
        config.schedule in SCHEDULES,
        'optimizer.schedule',
        config.schedule,
        f'must be one of {", ".join(SCHEDULES)}',
    )
    require(peak > 0, 'optimizer.learning_rate', peak, 'must be above 0')
    warmup = config.warmup_steps
    require(warmup >= 0, 'optimizer.warmup_steps', warmup, 'must be at least 0')
    slanted = config.schedule == 'slanted_triangular'
    should = 'must be 0 for slanted_triangular, which rises over a tenth of the steps'
    require(not slanted or warmup == 0, 'optimizer.warmup_steps', warmup, should)
    require(0 <= ratio <= 1, 'optimizer.final_learning_rate_ratio', ratio, 'must be in [0, 1]')

    def triangle(step, total_steps):
        cut = jnp.maximum(jnp.floor(total_steps * CUT), 1)
        p = jnp.where(step < cut, step / cut, 1 - (step - cut) / (cut * (1 / CUT - 1)))
        return jnp.asarray(peak * (ratio + (1 - ratio) * jnp.clip(p, 0, 1)), jnp.float32)

    def schedule(step, total_steps):
        rise = (step + 1) / max(warmup, 1)
        done = jnp.clip((step - warmup) / jnp.maximum(total_steps - warmup, 1), 0, 1)
        if config.schedule == 'cosine':
            fall = ratio + (1 - ratio) * 0.5 * (1 + jnp.cos(jnp.pi * done))
        elif config.schedule == 'linear':
            fall = 1 - (1 - ratio) * done
        else:
            fall = jnp.ones_like(done)
        return jnp.asarray(peak * jnp.minimum(rise, 1) * fall, jnp.float32)

    return triangle if slanted else schedule
