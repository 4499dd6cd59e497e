"""Llama (Touvron et al. 2023) and those built like it: Mistral, with a window, and Qwen2.

Rotary positions, RMSNorm before each part, SwiGLU, keys and values shared by several queries'
heads. Qwen2's queries, keys and values have biases; SmolLM is a Llama by another name.
"""

from collections.abc import Collection
from functools import partial
from typing import Any

from nlp_models.errors import InputError
from nlp_models.pretrained.family import (
    ACTIVATION_NAMES,
    ACTIVATIONS,
    Family,
    Fields,
    Leaf,
    architecture_fields,
    dense,
    plain,
    qkv_sizes,
)
from nlp_models.pretrained.settings import Settings

_SCALINGS = {'default': 'none', 'linear': 'linear', 'llama3': 'llama3'}


def _read(settings: Settings, names: Collection[str], *, kind: str) -> Fields:
    del names
    max_positions = settings.size('max_position_embeddings')
    bias = kind == 'llama' and settings.flag('attention_bias', False)
    if kind == 'llama':
        settings.demand('mlp_bias', bias)  # all dense layers, or none
    return architecture_fields(
        hidden_size=settings.size('hidden_size'),
        num_layers=settings.size('num_hidden_layers'),
        num_heads=settings.size('num_attention_heads'),
        num_kv_heads=settings.size_or_none('num_key_value_heads'),
        head_size=settings.size_or_none('head_dim'),
        feed_forward_size=settings.size('intermediate_size'),
        norm_type='rms',
        norm_epsilon=settings.number('rms_norm_eps', 1e-6),
        activation=settings.choice('hidden_act', ACTIVATIONS, 'silu'),
        gated=True,
        positions='rotary',
        max_positions=max_positions,
        use_bias=bias,
        qkv_bias=kind == 'qwen2',
        window=_window(settings, kind),
        tie_embeddings=settings.flag('tie_word_embeddings', False),
        **_rotary(settings, max_positions),
    )


def _window(settings: Settings, kind: str) -> int:
    if kind == 'qwen2':
        settings.refuse('use_sliding_window')
    window = 0
    # Where nothing is said, Mistral's own first model is meant.
    if kind == 'mistral' and (settings.get('sliding_window') or not settings.has('sliding_window')):
        window = settings.size('sliding_window', 4096)
    layers = 'sliding_attention' if window else 'full_attention'
    others = sorted(set(settings.names('layer_types')) - {layers})
    if others:
        raise InputError(
            f'layer_types in {settings.source} has {", ".join(others)}: all layers must be {layers}'
        )
    return window


def _rotary(settings: Settings, max_positions: int) -> Fields:
    """What positions do: one object from transformers 5 on, before that an entry and an object."""
    rope = settings.group('rope_scaling') or settings.group('rope_parameters') or settings
    base = rope.number('rope_theta', settings.number('rope_theta', 10000.0))
    for group in (settings, rope):
        group.demand('partial_rotary_factor', 1.0)
    if rope is not settings:
        rope.refuse(*(name for name, value in rope.values.items() if isinstance(value, dict)))
    if rope is settings:
        return dict(rotary_base=base)
    scaling = rope.choice('rope_type' if rope.has('rope_type') else 'type', _SCALINGS, 'default')
    fields = dict(rotary_base=base, rotary_scaling=scaling)
    if scaling != 'none':
        fields.update(rotary_factor=rope.number('factor'))
    if scaling == 'llama3':
        fields.update(
            rotary_low_frequency=rope.number('low_freq_factor'),
            rotary_high_frequency=rope.number('high_freq_factor'),
            rotary_original_length=rope.size('original_max_position_embeddings', max_positions),
        )
    return fields


def _write(fields: Fields, vocab_size: int, *, kind: str) -> dict[str, Any]:
    config = dict(
        model_type=kind,
        architectures=[f'{kind.capitalize()}ForCausalLM'],
        vocab_size=vocab_size,
        hidden_size=fields['hidden_size'],
        intermediate_size=fields['feed_forward_size'],
        num_hidden_layers=fields['num_layers'],
        num_attention_heads=fields['num_heads'],
        num_key_value_heads=fields['num_kv_heads'],
        head_dim=fields['head_size'],
        hidden_act=ACTIVATION_NAMES[fields['activation']],
        rms_norm_eps=fields['norm_epsilon'],
        max_position_embeddings=fields['max_positions'],
        tie_word_embeddings=fields['tie_embeddings'],
        # As all versions of transformers read it.
        rope_theta=fields['rotary_base'],
        rope_scaling=_rope_scaling(fields),
        attention_dropout=0.0,
    )
    if kind == 'llama':
        config.update(attention_bias=fields['use_bias'], mlp_bias=fields['use_bias'])
    if kind == 'mistral':
        config.update(sliding_window=fields['window'])
    if kind == 'qwen2':
        config.update(use_sliding_window=False)
    return config


def _rope_scaling(fields: Fields) -> dict[str, Any] | None:
    if fields['rotary_scaling'] == 'none':
        return None
    scaling = dict(rope_type=fields['rotary_scaling'], factor=fields['rotary_factor'])
    if fields['rotary_scaling'] == 'llama3':
        scaling.update(
            low_freq_factor=fields['rotary_low_frequency'],
            high_freq_factor=fields['rotary_high_frequency'],
            original_max_position_embeddings=fields['rotary_original_length'],
        )
    return scaling


def _needs(fields: Fields, *, kind: str) -> dict[str, tuple[Any, ...]]:
    del fields
    needs = dict(
        architecture=('decoder',),
        positions=('rotary',),
        norm=('pre',),
        skip_connections=(True,),
        norm_type=('rms',),
        gated=(True,),
        embed_norm=(False,),
        head_bias=(False,),
    )
    if kind == 'llama':
        return dict(**needs, window=(0,), qkv_bias=(False,))
    if kind == 'mistral':
        return dict(**needs, use_bias=(False,), qkv_bias=(False,))
    return dict(**needs, window=(0,), use_bias=(False,), qkv_bias=(True,))


def _leaves(fields: Fields, vocab_size: int) -> list[Leaf]:
    width, inner, bias = fields['hidden_size'], fields['feed_forward_size'], fields['use_bias']
    sizes = qkv_sizes(fields)
    leaves = [
        plain('embed/embedding', 'model.embed_tokens.weight', vocab_size, width),
        plain('body/final_norm/scale', 'model.norm.weight', width),
    ]
    for i in range(fields['num_layers']):
        path, name = f'body/layer_{i}', f'model.layers.{i}'
        qkv = tuple(f'{name}.self_attn.{part}_proj' for part in 'qkv')
        out, mlp = (f'{name}.self_attn.o_proj',), f'{name}.mlp'
        norms = {
            'attention_norm': 'input_layernorm',
            'feed_forward_norm': 'post_attention_layernorm',
        }
        leaves += [
            *(plain(f'{path}/{p}/scale', f'{name}.{n}.weight', width) for p, n in norms.items()),
            *dense(f'{path}/attention/qkv', qkv, width, sizes, bias=bias or fields['qkv_bias']),
            *dense(f'{path}/attention/out', out, sizes[0], (width,), bias=bias),
            *dense(f'{path}/feed_forward/gate', (f'{mlp}.gate_proj',), width, (inner,), bias=bias),
            *dense(f'{path}/feed_forward/up', (f'{mlp}.up_proj',), width, (inner,), bias=bias),
            *dense(f'{path}/feed_forward/down', (f'{mlp}.down_proj',), inner, (width,), bias=bias),
        ]
    if not fields['tie_embeddings']:
        leaves += dense('head', ('lm_head',), width, (vocab_size,), bias=False)
    return leaves


def _copies(fields: Fields) -> dict[str, str]:
    return {'lm_head.weight': 'model.embed_tokens.weight'} if fields['tie_embeddings'] else {}


LLAMA, MISTRAL, QWEN2 = (
    Family(
        read=partial(_read, kind=kind),
        write=partial(_write, kind=kind),
        needs=partial(_needs, kind=kind),
        leaves=_leaves,
        prefix='model.',
        head='lm_head.',
        ignored=r'model\.(layers\.\d+\.self_attn\.)?rotary_emb\.inv_freq',
        copies=_copies,
    )
    for kind in ('llama', 'mistral', 'qwen2')
)
