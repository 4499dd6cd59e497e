"""Encoders: `get_config(variant)`.

`mlm` guesses hidden tokens of a text (Devlin et al. 2019), by default of `pydoc`; `mlm_gru` does so
with a bidirectional recurrent encoder. `contrastive` learns vectors for sentences: which second
half belongs to this first half of a docstring, or which right side to this left side of your own
file of pairs (--config.data.pairs='' --config.data.path=FILE); `contrastive_gru` likewise.

    python -m experiments.train --config=configs/encoder.py:mlm --workdir=runs/mlm
"""

from typing import Any

from configs import lm, seq2seq
from nlp_models.errors import InputError

VARIANTS = ('mlm', 'mlm_gru', 'contrastive', 'contrastive_gru')


def transformer(**fields: Any) -> dict:
    """The `model` group of an encoder."""
    return lm.transformer(
        **{
            **dict(
                architecture='encoder',
                masked_head=True,  # the head that guesses hidden tokens
                num_segments=0,  # sentences of a row that are told apart
                hidden_size=128,
                num_layers=4,
                tie_embeddings=True,
                head_bias=True,
                init_std=0.0,
            ),
            **fields,
        }
    )


def recurrent(**fields: Any) -> dict:
    """The `model` group of a bidirectional GRU."""
    return {
        **lm.recurrent('gru'),
        **dict(
            architecture='encoder',
            masked_head=True,
            hidden_size=128,
            embed_size=128,
            tie_embeddings=True,
            embed_std=0.02,
        ),
        **fields,
    }


def get_config(variant: str = 'mlm') -> Any:
    """The config of a variant.

    Raises:
      InputError: for a variant there is none of.
    """
    if variant not in VARIANTS:
        raise InputError(
            f'configs/encoder.py has no variant {variant!r}; it has {", ".join(VARIANTS)}'
        )
    config = lm.base()
    make = recurrent if variant.endswith('gru') else transformer
    if variant.startswith('mlm'):
        config.task = 'masked_language_modelling'
        config.mask_rate = 0.15  # share of the tokens that are to be guessed
        config.update(steps=2000, sequence_length=128, eval_every=500, checkpoint_every=500)
        config.data.update(tokenizer='bpe', vocab_size=2048)
        config.optimizer.update(learning_rate=2e-3, warmup_steps=200)
        config.model = make()
        return config
    config.task = 'contrastive'
    config.pooling = 'mean'  # of the tokens' vectors; or cls, last
    config.temperature = 0.05  # what similarities are divided by
    config.update(
        steps=300,  # 11 times through the docstrings: more is learned by heart
        batch_size=128,  # pairs; each is told from all others
        sequence_length=64,  # tokens of a text; the rest is cut off
        eval_every=50,
        checkpoint_every=50,
    )
    config.data = seq2seq.pairs_data(pairs='docstring_halves', tokenizer='bpe', vocab_size=4096)
    config.optimizer.update(learning_rate=1e-3, warmup_steps=100)
    config.model = make(masked_head=False, num_layers=2, dropout_rate=0.1)
    return config
