"""GPT-2 (Radford et al. 2019): learned positions, pre-norm, GELU by tanh, biases everywhere.

Its dense layers are kept `[in, out]`, and its queries, keys and values in one matrix, as here.
"""

from collections.abc import Collection
from typing import Any

from nlp_models.pretrained.family import (
    ACTIVATION_NAMES,
    ACTIVATIONS,
    Family,
    Fields,
    Leaf,
    architecture_fields,
    layer_norm,
    plain,
)
from nlp_models.pretrained.settings import Settings


def _read(settings: Settings, names: Collection[str]) -> Fields:
    del names
    settings.demand('scale_attn_weights', True)
    settings.refuse('scale_attn_by_inverse_layer_idx', 'add_cross_attention')
    width = settings.size('n_embd')
    return architecture_fields(
        hidden_size=width,
        num_layers=settings.size('n_layer'),
        num_heads=settings.size('n_head'),
        feed_forward_size=settings.size('n_inner', 4 * width),
        activation=settings.choice('activation_function', ACTIVATIONS, 'gelu_new'),
        norm_epsilon=settings.number('layer_norm_epsilon', 1e-5),
        max_positions=settings.size('n_positions'),
        tie_embeddings=settings.flag('tie_word_embeddings', True),
    )


def _write(fields: Fields, vocab_size: int) -> dict[str, Any]:
    return dict(
        model_type='gpt2',
        architectures=['GPT2LMHeadModel'],
        vocab_size=vocab_size,
        n_positions=fields['max_positions'],
        n_embd=fields['hidden_size'],
        n_layer=fields['num_layers'],
        n_head=fields['num_heads'],
        n_inner=fields['feed_forward_size'],
        activation_function=ACTIVATION_NAMES[fields['activation']],
        layer_norm_epsilon=fields['norm_epsilon'],
        tie_word_embeddings=fields['tie_embeddings'],
        # Dropout is of what blocks add to the residual, alone.
        resid_pdrop=fields['dropout_rate'],
        embd_pdrop=0.0,
        attn_pdrop=0.0,
    )


def _needs(fields: Fields) -> dict[str, tuple[Any, ...]]:
    return dict(
        architecture=('decoder',),
        positions=('learned',),
        norm=('pre',),
        skip_connections=(True,),
        norm_type=('layer',),
        gated=(False,),
        embed_norm=(False,),
        head_bias=(False,),
        window=(0,),
        num_kv_heads=(fields['num_heads'],),
        head_size=(fields['hidden_size'] // fields['num_heads'],),
    )


def _leaves(fields: Fields, vocab_size: int) -> list[Leaf]:
    width, inner = fields['hidden_size'], fields['feed_forward_size']
    leaves = [
        plain('embed/embedding', 'transformer.wte.weight', vocab_size, width),
        plain('body/positions', 'transformer.wpe.weight', fields['max_positions'], width),
        *layer_norm('body/final_norm', 'transformer.ln_f', width),
    ]
    dense = {
        'attention/qkv': ('attn.c_attn', width, 3 * width),
        'attention/out': ('attn.c_proj', width, width),
        'feed_forward/up': ('mlp.c_fc', width, inner),
        'feed_forward/down': ('mlp.c_proj', inner, width),
    }
    for i in range(fields['num_layers']):
        path, name = f'body/layer_{i}', f'transformer.h.{i}'
        leaves += layer_norm(f'{path}/attention_norm', f'{name}.ln_1', width)
        leaves += layer_norm(f'{path}/feed_forward_norm', f'{name}.ln_2', width)
        for ours, (theirs, inputs, outputs) in dense.items():
            leaves += [
                plain(f'{path}/{ours}/kernel', f'{name}.{theirs}.weight', inputs, outputs),
                plain(f'{path}/{ours}/bias', f'{name}.{theirs}.bias', outputs),
            ]
    if not fields['tie_embeddings']:
        shape, names = (width, vocab_size), ('lm_head.weight',)
        leaves.append(Leaf('head/kernel', shape, names, (vocab_size,), transpose=True))
    return leaves


def _copies(fields: Fields) -> dict[str, str]:
    return {'lm_head.weight': 'transformer.wte.weight'} if fields['tie_embeddings'] else {}


GPT2 = Family(
    read=_read,
    write=_write,
    needs=_needs,
    leaves=_leaves,
    prefix='transformer.',
    head='lm_head.',
    ignored=r'transformer\.h\.\d+\.attn\.(masked_)?bias',
    copies=_copies,
)
