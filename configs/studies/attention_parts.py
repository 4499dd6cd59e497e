"""Several heads, the causal mask, cross-attention: claims 22 to 24 of the tutorial (5).

    python -m experiments.study --config=configs/studies/attention_parts.py:quick \
        --workdir=runs/studies/attention_parts

Sizes, on two cores: `quick` about 1 minute, `standard` about 9; `full` is for a GPU.

What is known: Vaswani et al. 2017 (table 3, rows A) lose 0.9 BLEU with one head in place of eight
at equal cost, and lose again with 32. Most heads of a trained model can be pruned with little loss
(Michel et al. 2019; Voita et al. 2019), so heads may well look alike. Attention lifted recurrent
translation of long sentences (Bahdanau et al. 2015, figure 2); without it the source is one vector.
"""

from typing import Any

from configs import lm, seq2seq
from configs.studies import base

WIDTH = 64

THRESHOLDS = dict(
    # Share of the greatest possible difference between heads, beyond that of untrained heads (which
    # differ, too: by chance). A twentieth is well above what another sample of texts would change.
    diversity=0.05,
    # What several heads must gain over one: one answer in twenty of those asked for, and one byte
    # in a hundred of real text, where the whole range from bigrams to good models is about thirty.
    recall_gain=0.05,
    text_gain=0.01,
    # A mask is exact: not one gradient and not one bit.
    leaks=0.0,
    # The same instruments without the mask must find what is there: every pair, or nearly.
    found=0.9,
    # One letter in ten: the decoder without attention already knows most of a short string.
    attention_gain=0.1,
)


def _decoder(**fields: Any) -> dict[str, Any]:
    return base.model('transformer', num_layers=2, **fields)


def _transformer() -> dict[str, Any]:
    group = seq2seq.transformer()
    group.update(hidden_size=WIDTH, num_heads=4, max_positions=0, embed_std=1.0)
    return group


def _gru(cross_attention: str) -> dict[str, Any]:
    group = seq2seq.recurrent('gru', cross_attention)
    group.update(hidden_size=WIDTH, embed_size=WIDTH)
    return group


def get_config(size: str = 'standard') -> Any:
    """The config of a size."""
    return base.study(
        'attention_parts',
        size,
        fields=dict(
            seeds=(0, 1, 2, 3, 4),  # of parameters and examples
            # Claim 22: heads of one width; parameters are equal, to the last one.
            heads=(1, 2, 4, 8, 16),
            several=4,  # heads whose gain over one is judged: said beforehand, not the best found
            decoder=_decoder(hidden_size=WIDTH),
            # Of data/synthetic. Two pairs are what these steps suffice for: with four, in twice as
            # many steps, nearly all runs of any number of heads still guess: nothing to compare.
            recall=dict(length=16, pairs=2, vocab_size=16),
            text=dict(length=48, data=lm.base().data.to_dict()),  # bytes, as in configs/lm.py
            training=dict(
                batch_size=32,
                steps=400,
                chunk=50,
                learning_rates=(4e-3,),
                stop_below=0.0,  # nats; 0: never before the last step, so that all have as many
                test_examples=512,
                optimizer=base.optimizer(schedule='linear'),
            ),
            looked_at=64,  # test examples whose attention is compared between heads
            # Claim 23: chunked attention has blocks of 128 at least, so texts are longer than that.
            masked=dict(
                model=_decoder(hidden_size=32, num_heads=2),
                length=144,
                windows=(0, 5),  # 0: none
                seeds=(0, 1, 2),
            ),
            # Claim 24: strings of letters to be reversed; see analysis/strings.py.
            strings=dict(rule='reverse', min_length=4, max_length=10),
            writers=dict(
                gru=_gru('none'),
                bahdanau=_gru('bahdanau'),
                luong=_gru('luong'),
                transformer=_transformer(),
            ),
            writing=dict(
                batch_size=64,
                steps=400,
                chunk=50,
                learning_rates=(4e-3,),
                test_examples=500,
                optimizer=base.optimizer(schedule='linear', b2=0.98),
            ),
        ),
        sizes=dict(
            quick=dict(
                seeds=(0, 1),
                heads=(1, 4),
                recall=dict(length=8),
                text=dict(length=32),
                training=dict(steps=100, batch_size=16, test_examples=128),
                looked_at=16,
                masked=dict(length=132, windows=(0,), seeds=(0,)),
                strings=dict(max_length=6),
                writing=dict(steps=100, batch_size=32, test_examples=200),
            ),
            full=dict(
                decoder=dict(hidden_size=256, num_layers=4),
                recall=dict(length=256, pairs=16, vocab_size=8192),
                text=dict(length=256),
                training=dict(steps=5000, learning_rates=(1e-3, 3e-3)),
                masked=dict(length=512, windows=(0, 5, 100)),
                strings=dict(max_length=40),
                writing=dict(steps=5000, learning_rates=(1e-3, 3e-3)),
            ),
        ),
        thresholds=THRESHOLDS,
    )
