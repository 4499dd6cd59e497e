"""Encoder, decoder and both: which suits what. Claims 25 and 26 of the tutorial (6.2, 6.3).

    python -m experiments.study --config=configs/studies/architectures.py:quick \
        --workdir=runs/studies/architectures

Sizes, on two cores: `quick` about 1 minute, `standard` about 6; `full` is for a GPU.

What is known: Devlin et al. 2019 (table 5, "LTR & No NSP") lose up to ten points on tasks about
whole sentences where BERT may look to the left alone. Ni et al. 2022 take as good vectors from the
encoder of T5 as from encoder and decoder together. Wang et al. 2022 ("What language model
architecture …") find decoders best without fine-tuning, encoder-decoders with it. Raffel et al.
2020 (table 2) count an encoder-decoder of L + L layers as costly as a decoder of L, at twice the
parameters.

How compute is made equal: `analysis/architecture_costs.py` counts the matrix products of a forward
and backward pass, and each model gets as many steps as come to what the reference spends, to the
nearest `chunk`.
"""

from typing import Any

from configs import seq2seq
from configs.studies import base

WIDTH = 64

THRESHOLDS = dict(
    # Of the mean of 1 / rank: as if two texts more in a hundred had their other half first, not
    # second.
    embedding_gain=0.01,
    # 'No worse' is: not one string in twenty fewer written right.
    exact_loss=0.05,
    # Decoder over encoder-decoder: 'efficient' is no more operations and no more bytes.
    ratio=1.0,
    # 'Simpler' is at least a fifth fewer kinds of parameters: one or two fewer would be no matter.
    kinds=0.8,
)


def _decoder(**fields: Any) -> dict[str, Any]:
    return base.model('transformer', num_layers=2, hidden_size=WIDTH, num_heads=4, **fields)


def _both(**fields: Any) -> dict[str, Any]:
    group = seq2seq.transformer()
    group.update(hidden_size=WIDTH, num_heads=4, max_positions=0, embed_std=1.0, head_bias=False)
    return {**group, **fields}


# Encoder and decoder of one layer each: 10 D² and 14 D² parameters, a decoder's two have 24 D².
HALVES = dict(num_layers=1, feed_forward_size=3 * WIDTH)


def get_config(size: str = 'standard') -> Any:
    """The config of a size.

    Raises:
      InputError: for a size there is none of.
    """
    return base.study(
        'architectures',
        size,
        fields=dict(
            seeds=(0, 1, 2, 3, 4),  # of parameters and examples
            # Claim 25: which docstring's second half belongs to a first half?
            pairs=seq2seq.pairs_data(
                pairs='docstring_halves', tokenizer='bpe', vocab_size=2048
            ).to_dict(),
            embedders=dict(
                encoder=_decoder(), decoder=_decoder(), encoder_decoder=_decoder() | HALVES
            ),
            embedding=dict(
                batch_size=32,  # pairs, each told from all others
                sequence_length=32,  # tokens a text is cut off at
                temperature=0.05,
                steps=300,  # of the encoder; of the others as many as cost the same
                chunk=20,
                learning_rates=(1e-3, 3e-3),  # alike for all; the best by validation pairs
                optimizer=base.optimizer(schedule='linear'),
            ),
            # Claim 26: strings of letters to be reversed or sorted; see analysis/strings.py.
            rules=('reverse', 'sort'),
            strings=dict(min_length=4, max_length=8),
            writers=dict(
                decoder=_decoder(positions='learned'),
                halves=_both(**HALVES),  # as many parameters as the decoder
                layers=_both(),  # as many layers on each side: twice the parameters
            ),
            writing=dict(
                batch_size=64,
                steps=400,  # of the decoder; of the others as many as cost the same
                chunk=20,
                learning_rates=(2e-3, 6e-3),  # alike for all
                test_examples=500,
                optimizer=base.optimizer(schedule='linear', b2=0.98),
            ),
        ),
        sizes=dict(
            quick=dict(
                seeds=(0, 1),
                embedding=dict(steps=40, sequence_length=16, learning_rates=(4e-3,)),
                rules=('reverse',),
                strings=dict(max_length=6),
                writing=dict(steps=100, batch_size=32, test_examples=200, learning_rates=(4e-3,)),
            ),
            full=dict(
                pairs=dict(vocab_size=8192),
                embedding=dict(steps=3000, batch_size=256, sequence_length=128),
                strings=dict(max_length=40),
                writing=dict(steps=5000, learning_rates=(1e-3, 3e-3)),
            ),
        ),
        thresholds=THRESHOLDS,
    )
