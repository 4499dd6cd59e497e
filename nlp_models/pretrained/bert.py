"""BERT (Devlin et al. 2019), and so MiniLM: post-norm, read both ways, with segments.

Its head for masked tokens is there in some folders and not in others; the pooler and the head for
the next sentence are not read.
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
    dense,
    layer_norm,
    plain,
)
from nlp_models.pretrained.settings import Settings

_MASKED = ('BertForMaskedLM', 'BertForPreTraining')
_HEAD = 'cls.predictions'


def _read(settings: Settings, names: Collection[str]) -> Fields:
    settings.demand('position_embedding_type', 'absolute')
    settings.refuse('is_decoder', 'add_cross_attention')
    said = any(name in _MASKED for name in settings.names('architectures'))
    masked = said or any(name.startswith(_HEAD) for name in names)
    return architecture_fields(
        architecture='encoder',
        hidden_size=settings.size('hidden_size'),
        num_layers=settings.size('num_hidden_layers'),
        num_heads=settings.size('num_attention_heads'),
        feed_forward_size=settings.size('intermediate_size'),
        norm='post',
        norm_epsilon=settings.number('layer_norm_eps', 1e-12),
        activation=settings.choice('hidden_act', ACTIVATIONS, 'gelu'),
        embed_norm=True,
        num_segments=settings.size('type_vocab_size', 2),
        max_positions=settings.size('max_position_embeddings'),
        tie_embeddings=settings.flag('tie_word_embeddings', True),
        masked_head=masked,
        head_bias=masked,
    )


def _write(fields: Fields, vocab_size: int) -> dict[str, Any]:
    return dict(
        model_type='bert',
        architectures=['BertForMaskedLM' if fields['masked_head'] else 'BertModel'],
        vocab_size=vocab_size,
        hidden_size=fields['hidden_size'],
        num_hidden_layers=fields['num_layers'],
        num_attention_heads=fields['num_heads'],
        intermediate_size=fields['feed_forward_size'],
        hidden_act=ACTIVATION_NAMES[fields['activation']],
        layer_norm_eps=fields['norm_epsilon'],
        max_position_embeddings=fields['max_positions'],
        type_vocab_size=max(1, fields['num_segments']),
        position_embedding_type='absolute',
        tie_word_embeddings=fields['tie_embeddings'],
        hidden_dropout_prob=fields['dropout_rate'],
        attention_probs_dropout_prob=0.0,
    )


def _needs(fields: Fields) -> dict[str, tuple[Any, ...]]:
    return dict(
        architecture=('encoder',),
        positions=('learned',),
        norm=('post',),
        skip_connections=(True,),
        norm_type=('layer',),
        gated=(False,),
        embed_norm=(True,),
        window=(0,),
        num_kv_heads=(fields['num_heads'],),
        head_size=(fields['hidden_size'] // fields['num_heads'],),
    )


def _leaves(fields: Fields, vocab_size: int) -> list[Leaf]:
    width, inner, embed = fields['hidden_size'], fields['feed_forward_size'], 'bert.embeddings'
    segments, positions = max(1, fields['num_segments']), fields['max_positions']
    leaves = [
        plain('embed/embedding', f'{embed}.word_embeddings.weight', vocab_size, width),
        plain('embed/segments', f'{embed}.token_type_embeddings.weight', segments, width),
        plain('body/positions', f'{embed}.position_embeddings.weight', positions, width),
        *layer_norm('body/embed_norm', f'{embed}.LayerNorm', width),
    ]
    for i in range(fields['num_layers']):
        path, name = f'body/layer_{i}', f'bert.encoder.layer.{i}'
        qkv = tuple(f'{name}.attention.self.{part}' for part in ('query', 'key', 'value'))
        layers = {
            'attention/qkv': (qkv, width, (width,) * 3),
            'attention/out': ((f'{name}.attention.output.dense',), width, (width,)),
            'feed_forward/up': ((f'{name}.intermediate.dense',), width, (inner,)),
            'feed_forward/down': ((f'{name}.output.dense',), inner, (width,)),
        }
        for ours, (theirs, inputs, outputs) in layers.items():
            leaves += dense(f'{path}/{ours}', theirs, inputs, outputs, bias=True)
        leaves += layer_norm(f'{path}/attention_norm', f'{name}.attention.output.LayerNorm', width)
        leaves += layer_norm(f'{path}/feed_forward_norm', f'{name}.output.LayerNorm', width)
    if fields['masked_head']:
        leaves += dense('head/transform', (f'{_HEAD}.transform.dense',), width, (width,), bias=True)
        leaves += layer_norm('head/norm', f'{_HEAD}.transform.LayerNorm', width)
        if fields['tie_embeddings']:
            leaves.append(plain('head/bias', f'{_HEAD}.bias', vocab_size))
        else:
            leaves += dense('head', (f'{_HEAD}.decoder',), width, (vocab_size,), bias=True)
    return leaves


def _copies(fields: Fields) -> dict[str, str]:
    if not (fields['masked_head'] and fields['tie_embeddings']):
        return {}
    return {
        f'{_HEAD}.decoder.weight': 'bert.embeddings.word_embeddings.weight',
        f'{_HEAD}.decoder.bias': f'{_HEAD}.bias',
    }


def _written_twice(fields: Fields) -> dict[str, str]:
    if not fields['masked_head'] or fields['tie_embeddings']:
        return {}
    return {f'{_HEAD}.bias': f'{_HEAD}.decoder.bias'}


BERT = Family(
    read=_read,
    write=_write,
    needs=_needs,
    leaves=_leaves,
    prefix='bert.',
    head='cls.',
    # The bias of the head is the decoder's own where that is not tied.
    ignored=r'bert\.embeddings\.position_ids|bert\.pooler\..*|cls\.seq_relationship\..*'
    r'|cls\.predictions\.bias',
    copies=_copies,
    written_twice=_written_twice,
)
