"""A config's `model` group read into a `BlockConfig`: each field once, each checked."""

from typing import Any

import jax.numpy as jnp

from nlp_models.attention.attend import IMPLEMENTATIONS
from nlp_models.attention.bottleneck import PLACEMENTS
from nlp_models.attention.config import (
    ACTIVATIONS,
    NORM_TYPES,
    NORMS,
    ROTARY_SCALINGS,
    BlockConfig,
    Rotary,
)
from nlp_models.attention.layers import POSITIONS
from nlp_models.errors import require

BACKWARDS = ('custom', 'autodiff')
DTYPES = {'float32': jnp.float32, 'bfloat16': jnp.bfloat16}


def choose(model: Any, field: str, choices: Any) -> Any:
    """What a field names: an entry of a table, or the name itself where the choices are names.

    Raises:
      InputError: for a name that is not among them.
    """
    name = model[field]
    require(name in choices, f'model.{field}', name, f'must be one of {", ".join(choices)}')
    return choices[name] if isinstance(choices, dict) else name


def block_config(model: Any) -> BlockConfig:
    """The blocks that a `model` group describes (`configs/lm.py` explains its fields).

    Raises:
      InputError: for a value that is out of range or does not go with another.
    """
    width, heads = model.hidden_size, model.num_heads
    require(width >= 1, 'model.hidden_size', width, 'must be at least 1')
    require(heads >= 1, 'model.num_heads', heads, 'must be at least 1')
    for field in ('num_kv_heads', 'head_size', 'feed_forward_size', 'max_positions'):
        require(model[field] >= 0, f'model.{field}', model[field], 'must be at least 1, or 0')
    require(model.window >= 0, 'model.window', model.window, 'must be at least 1, or 0 for none')
    if model.head_size == 0:
        require(width % heads == 0, 'model.num_heads', heads, f'must divide hidden_size, {width}')
    groups = model.num_kv_heads or heads
    require(heads % groups == 0, 'model.num_kv_heads', groups, f'must divide num_heads, {heads}')
    positions = choose(model, 'positions', POSITIONS)
    head_size = model.head_size or width // heads
    require(
        positions != 'rotary' or head_size % 2 == 0,
        'model.positions',
        positions,
        f'needs heads of even width, not {head_size}',
    )
    require(
        positions != 'sinusoidal' or width % 2 == 0,
        'model.positions',
        positions,
        f'needs an even hidden_size, not {width}',
    )
    require(model.init_std >= 0, 'model.init_std', model.init_std, 'must be at least 0')
    epsilon = model.norm_epsilon
    require(epsilon > 0, 'model.norm_epsilon', epsilon, 'must be above 0')
    attention = choose(model, 'attention', ('auto', *IMPLEMENTATIONS))
    backward = choose(model, 'backward', BACKWARDS)
    require(
        backward == 'custom' or attention in ('auto', 'plain'),
        'model.backward',
        backward,
        f'must be custom where model.attention is {attention}',
    )
    choose(model, 'activation', ACTIVATIONS)
    turning = _rotary(model)
    return BlockConfig(
        width=width,
        num_heads=heads,
        num_kv_heads=model.num_kv_heads,
        head_size=model.head_size,
        feed_forward_size=model.feed_forward_size or 4 * width,
        num_layers=model.num_layers,
        norm=choose(model, 'norm', NORMS),
        skip_connections=model.skip_connections,
        norm_type=choose(model, 'norm_type', NORM_TYPES),
        norm_epsilon=epsilon,
        activation=model.activation,
        gated=model.gated,
        use_bias=model.use_bias,
        qkv_bias=model.qkv_bias,
        rotary=turning if positions == 'rotary' else None,
        dropout_rate=model.dropout_rate,
        init_std=model.init_std,
        attention='plain' if backward == 'autodiff' else attention,
        window=model.window,
        backward=backward,
        **adapter_options(model),
        dtype=choose(model, 'dtype', DTYPES),
    )


def adapter_options(model: Any) -> dict[str, Any]:
    """The adapters that a `model` group asks for; none where it does not name them.

    Raises:
      InputError: for a value that is out of range.
    """
    size, placement = model.get('adapter_size', 0), model.get('adapter_placement', PLACEMENTS[0])
    require(size >= 0, 'model.adapter_size', size, 'must be at least 1, or 0 for no adapters')
    known = ', '.join(PLACEMENTS)
    require(
        placement in PLACEMENTS, 'model.adapter_placement', placement, f'must be one of {known}'
    )
    return {'adapter_size': size, 'adapter_placement': placement}


def layer_options(model: Any) -> dict[str, Any]:
    """The other arguments of `layers.Layers`, as a `model` group says them."""
    return dict(
        positions=model.positions,
        embed_norm=model.embed_norm,
        remat=model.remat,
        scan_layers=model.scan_layers,
    )


def _rotary(model: Any) -> Rotary:
    scaling = choose(model, 'rotary_scaling', ROTARY_SCALINGS)
    low, high = model.rotary_low_frequency, model.rotary_high_frequency
    for field in ('rotary_base', 'rotary_factor', 'rotary_original_length'):
        require(model[field] > 0, f'model.{field}', model[field], 'must be above 0')
    require(
        high > low > 0, 'model.rotary_high_frequency', high, f'must be above the low one, {low}'
    )
    return Rotary(
        model.rotary_base, scaling, model.rotary_factor, low, high, model.rotary_original_length
    )
