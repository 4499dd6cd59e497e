"""How much hangs on the prompt: claim 29 of the tutorial (section 8).

    python -m experiments.study --config=configs/studies/prompting.py:quick \
        --workdir=runs/studies/prompting

Language models that have read `pydoc` are asked which verb goes with which noun, a task that needs
no instruction and that the text has taught them. The same model is asked the same questions in
several ways: other words around them, other verbs, the same examples in another order, other
examples. How far the best way is ahead of the worst is measured on questions that neither was
chosen by.

What is known: the order of examples alone moves few-shot accuracy from chance to the state of the
art (Lu et al. 2022), templates do (Jiang et al. 2020, Sclar et al. 2024), and calibration by inputs
without content narrows it (Zhao et al. 2021); a true few-shot score is less than the best prompt's
(Perez et al. 2021). All are of models far larger than these.

Sizes, on two cores: `quick` about 1 minute, `standard` about 15; `full` is for a GPU.
"""

from typing import Any

from configs import lm
from configs.studies import base

THRESHOLDS = dict(
    # Claim 29. Accuracy, best way minus worst: ten points of a hundred, a fifth of what there is
    # between guessing and knowing, is drastic for ways that mean the same.
    drastic=0.1,
    # Control. Accuracy with the best label words and scoring, as the other models pick them: well
    # above the half that guessing gets, or there is nothing that a prompt could spoil.
    knows=0.7,
    # Findings. By how much calibration must narrow a gap, and how much accuracy it may cost; how
    # much less a search's best is worth than the search says; how much it is better than the first
    # prompt that comes to mind.
    narrows=0.02,
    optimism=0.0,
    better=0.02,
)


def get_config(size: str = 'standard') -> Any:
    """The study's config.

    Raises:
      InputError: for a size there is none of.
    """
    return base.study(
        'prompting',
        size,
        fields=dict(
            seeds=5,
            data=lm.base().data.to_dict(),
            models=dict(
                gru=base.model('gru', hidden_size=128),
                transformer=base.model('transformer', hidden_size=64, num_layers=3, num_heads=4),
            ),
            # A GRU of 1000 steps does not reliably know which verb goes with a noun.
            pretrain_steps=dict(gru=2500, transformer=1000),
            training=dict(
                batch_size=32,
                sequence_length=128,
                pretrain_rate=4e-3,
                chunk=50,
                optimizer=base.optimizer(schedule='linear'),
            ),
            context=384,  # bytes that a prompt and its answer may have
            every=4,  # every so-manieth noun is in examples, the others are asked about
            # The first of each is the first that comes to mind; the others mean the same.
            templates=(
                '{text} {label}',
                'If {text} {label}',
                'When {text} {label}',
                'Note that {text} {label}',
                '"{text} {label}"',
                '- {text} {label}',
                '{text} here {label}',
                '{text} also {label}',
            ),
            separator='. ',
            shots=4,
            orders=24,  # all of four examples
            draws=8,  # other draws of examples
            # How answers are scored: by likelihood; less that without a question; calibrated.
            scorings=('none', 'unconditional', 'calibrated'),
            judged=('none', 'unconditional'),
            content_free=('N/A', '', '[MASK]'),  # those of Zhao et al. 2021
            search_share=0.5,  # of the questions
        ),
        sizes=dict(
            quick=dict(
                seeds=2,
                models=dict(gru=dict(hidden_size=64), transformer=dict(hidden_size=32)),
                pretrain_steps=dict(gru=100, transformer=100),
                every=2,
                orders=4,
                draws=3,
            ),
            full=dict(
                models=dict(
                    gru=dict(hidden_size=512), transformer=dict(hidden_size=256, num_layers=6)
                ),
                pretrain_steps=dict(gru=20_000, transformer=20_000),
                training=dict(batch_size=64, sequence_length=256, pretrain_rate=1e-3),
                draws=24,
            ),
        ),
        thresholds=THRESHOLDS,
    )
