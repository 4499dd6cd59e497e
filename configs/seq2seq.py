"""Sequence to sequence: `get_config(variant)`, where a variant is DATA_MODEL.

DATA is `reverse` or `sort` (strings of 1 to 40 letters, drawn anew for every batch; validation and
test are strings that training never draws), `scan_simple`, `scan_length`, `scan_add_jump` (Lake &
Baroni 2018; all commands, from the grammar), or `tsv` (your own pairs, source TAB target a line:
--config.data.path=FILE). MODEL is `transformer` (Vaswani et al. 2017), or a recurrent one with a
bidirectional encoder: `bahdanau`, `luong`, or `recurrent`, which has no attention.

    python -m experiments.train --config=configs/seq2seq.py:reverse_luong --workdir=runs/reverse
"""

from typing import Any

from ml_collections import ConfigDict

from configs import lm
from nlp_models.errors import InputError

DATA = ('reverse', 'sort', 'scan_simple', 'scan_length', 'scan_add_jump', 'tsv')
MODELS = ('transformer', 'bahdanau', 'luong', 'recurrent')


def base() -> Any:
    """What every run has."""
    config = lm.base()
    config.update(
        task='sequence_to_sequence',
        steps=2000,
        batch_size=64,  # pairs a step
        sequence_length=0,  # tokens of a target with its end; 0: the longest in the training split
        eval_every=500,
        checkpoint_every=500,
    )
    config.source_length = 0  # tokens of a source; likewise
    config.data = pairs_data()
    config.optimizer.update(learning_rate=2e-3, warmup_steps=200, weight_decay=0.01, b2=0.98)
    return config


def pairs_data(**fields: Any) -> Any:
    """The `data` group of pairs."""
    return ConfigDict(
        {
            **dict(
                pairs='',  # which; '': those of path
                path='',  # a file, source TAB target a line
                splits=(0.9, 0.05, 0.05),  # train, validation, test shares of a path's pairs
                tokenizer='chars',  # bytes, chars, words or bpe
                vocab_size=2048,  # of bpe
                min_length=1,  # letters of a string to reverse or sort
                max_length=40,
            ),
            **fields,
        }
    )


def transformer() -> dict:
    """An encoder and a decoder, two layers each."""
    return lm.transformer(
        architecture='encoder_decoder',
        shared_embeddings=True,  # source and target have one embedding
        num_layers=2,
        positions='learned',
        max_positions=128,
        init_std=0.0,
        embed_std=0.1,
        head_bias=True,
    )


def recurrent(family: str, cross_attention: str) -> dict:
    """A bidirectional encoder and a decoder of the same cell."""
    return {
        **lm.recurrent(family),
        **dict(
            architecture='encoder_decoder',
            shared_embeddings=True,  # source and target have one embedding
            cross_attention=cross_attention,  # none, bahdanau or luong
            residual=False,
            num_layers=1,
            hidden_size=128,  # N of the decoder, and of each direction of the encoder
            embed_size=64,
        ),
    }


def get_config(variant: str = 'reverse_transformer') -> Any:
    """The config of a variant.

    Raises:
      InputError: for a variant there is none of.
    """
    data, _, model = variant.rpartition('_')
    if data not in DATA or model not in MODELS:
        raise InputError(
            f'configs/seq2seq.py has no variant {variant!r}; it has DATA_MODEL with DATA one of '
            f'{", ".join(DATA)} and MODEL one of {", ".join(MODELS)}'
        )
    config = base()
    if data != 'tsv':
        config.data.pairs = data
    if model == 'transformer':
        config.model = transformer()
    else:
        attention = 'none' if model == 'recurrent' else model
        config.model = recurrent('gru', attention)
        config.steps = 4000  # each takes a quarter of the transformer's time
    if data.startswith('scan'):
        config.data.tokenizer = 'words'
    return config
