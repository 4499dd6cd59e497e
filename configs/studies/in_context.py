"""Tasks that a model was not trained on: claims 27 and 28 of the tutorial (section 7).

    python -m experiments.study --config=configs/studies/in_context.py:quick \
        --workdir=runs/studies/in_context

Models trained on many tasks of a kind are asked about others of that kind, by an instruction
(zero-shot) or by examples (few-shot): linear functions of 5 numbers, pairs of keys and values, and
rules that make one string of another, some of which no training ever has. Beside them plain
language models, which have read `pydoc` and nothing else, are asked for the agreement of verbs and
for the same rules.

What is known: transformers trained on linear functions predict like ridge regression (Garg et al.
2022, Akyürek et al. 2023); attention recalls pairs at any width, recurrences as many as fit into
their state (Arora et al. 2023); models trained on many instructed tasks do others (Wei et al. 2022,
Min et al. 2022). Plain models of this size are far below where few-shot learning appeared (Brown et
al. 2020): nothing says that they are above chance.

Sizes, on two cores: `quick` about 3 minutes, `standard` about 30; `full` is for a GPU.
"""

from typing import Any

from configs import lm
from configs.studies import base

THRESHOLDS = dict(
    # Claim 27. Exact answers to rules that were never trained on, told by an instruction, minus
    # those without: a fifth of all is no chance. And of plain models, accuracy above one half.
    zero_shot=0.2,
    agreement=0.1,
    # Claim 28. Exact answers after eight examples minus after none; the error after 2 d points over
    # that after none; right answers of plain models with examples minus without.
    few_shot=0.05,
    error_ratio=0.5,
    examples=0.02,
    # Controls: an instruction for, or examples of, another rule give no more than this.
    misled=0.05,
    # Controls: rules that were trained on are answered, by an instruction or by examples, and a
    # fifth is no chance.
    learned=0.2,
    # Findings. The transformer's error over that of ridge, at 2 d points; another family's over the
    # transformer's; off the distribution, over ridge that knows it.
    near_ridge=1.3,
    behind=1.1,
    # Share of right answers with as many pairs as in training.
    recalled=0.9,
    # Exact answers after eight examples, minus those of the best fitting rule that was trained on.
    retrieval=0.0,
)

_POINTS = dict(dimension=5, points=16, noise=0.25)


def get_config(size: str = 'standard') -> Any:
    """The study's config.

    Raises:
      InputError: for a size there is none of.
    """
    return base.study(
        'in_context',
        size,
        fields=dict(
            seeds=5,
            regression=dict(
                # The first is trained on; the others have the same random bits.
                settings=dict(
                    trained=_POINTS,
                    larger_inputs=dict(_POINTS, input_scale=2.0),
                    stretched_inputs=dict(_POINTS, stretch=5.0),
                    larger_weights=dict(_POINTS, weight_scale=2.0),
                ),
                layout='whole',  # a vector holds a question and the point before it
                # In the loss the t-th of T places counts t / T: the errors there are the smallest.
                power=1.0,
                judged=10,  # points read: 2 d
                # About 119,000 parameters each; the widths of the others are chosen by that, here
                # and below.
                models=dict(
                    transformer=base.model(
                        'transformer',
                        hidden_size=40,
                        num_layers=6,  # deeper and narrower did better at equal parameters
                        num_heads=4,
                        positions='none',  # ridge has no use for the order of points
                    ),
                    lstm=base.model('lstm'),
                    gru=base.model('gru'),
                    mingru=base.model('mingru', num_layers=2),
                ),
                training=dict(
                    batch_size=64,
                    steps=3000,
                    chunk=50,
                    learning_rates=(8e-3, 1.6e-2),  # half of it was behind for all of them
                    test_examples=4000,
                    optimizer=base.optimizer(schedule='linear', warmup_steps=100),
                ),
            ),
            recall=dict(
                pairs=(2, 4, 8, 16),
                trained=8,
                vocab_size=40,
                models=dict(
                    transformer=base.model(
                        'transformer', hidden_size=32, num_layers=2, num_heads=2
                    ),
                    lstm=base.model('lstm'),
                    gru=base.model('gru'),
                    mingru=base.model('mingru', num_layers=2),
                ),
                training=dict(
                    batch_size=64,
                    steps=1500,  # heads that recall come late, and late at high rates
                    chunk=50,
                    learning_rates=(1.5e-3, 4e-3),
                    stop_below=0.0,
                    test_examples=500,
                    optimizer=base.optimizer(schedule='linear'),
                ),
            ),
            rules=dict(
                strings=dict(min_length=3, max_length=3, letters=10),
                held=('flop', 'hash'),  # parts that no rule trained on has
                share=5,  # of how many pairs of parts one is held out
                examples=9,  # in a prompt, the one in question among them
                told=0.5,  # share of training prompts that begin with an instruction
                form=dict(text='{input}>{output}', separator=';'),
                length=80,  # bytes of a training prompt
                asked_length=160,  # bytes that hold any prompt that is asked
                prompts=400,
                models=dict(
                    transformer=base.model(
                        'transformer',
                        hidden_size=64,
                        num_layers=4,
                        num_heads=4,
                        tie_embeddings=True,
                        embed_std=0.125,
                    ),
                    gru=base.model('gru', tie_embeddings=True),
                ),
                batch_size=16,
                steps=2000,
                chunk=50,
                optimizer=base.optimizer(
                    schedule='linear', learning_rate=4e-3, warmup_steps=100, b2=0.98
                ),
            ),
            plain=dict(
                data=lm.base().data.to_dict(),
                models=dict(
                    gru=base.model('gru', hidden_size=128),
                    transformer=base.model(
                        'transformer', hidden_size=64, num_layers=3, num_heads=4
                    ),
                ),
                training=dict(
                    batch_size=32,
                    sequence_length=128,
                    pretrain_steps=600,
                    pretrain_rate=4e-3,
                    chunk=50,
                    optimizer=base.optimizer(schedule='linear'),
                ),
                context=384,  # bytes that a prompt and its answer may have
                every=4,  # every so-manieth noun is in examples
                template='{text} {label}',
                words=dict(one='is', many='are'),
                separator='. ',
                shots=(0, 1, 4, 8),
                judged=4,  # shots beside none
                normalization='unconditional',
                rules=10,  # held-out compositions that are asked, too
                questions=10,  # of each, whose answers are written
            ),
        ),
        sizes=dict(
            quick=dict(
                seeds=2,
                regression=dict(
                    models=dict(transformer=dict(hidden_size=16, num_layers=2, num_heads=2)),
                    training=dict(steps=100, learning_rates=(8e-3,), test_examples=500),
                ),
                recall=dict(
                    pairs=(2, 4),
                    trained=4,
                    training=dict(steps=100, learning_rates=(4e-3,), test_examples=200),
                ),
                rules=dict(
                    prompts=50,
                    steps=50,
                    models=dict(transformer=dict(hidden_size=32, num_layers=2)),
                ),
                plain=dict(
                    models=dict(gru=dict(hidden_size=64), transformer=dict(hidden_size=32)),
                    training=dict(pretrain_steps=100),
                    shots=(0, 4),
                    rules=1,
                ),
            ),
            full=dict(
                regression=dict(training=dict(steps=20_000, learning_rates=(5e-4, 1e-3, 2e-3))),
                recall=dict(
                    pairs=(4, 16, 64, 128), trained=64, vocab_size=8192, training=dict(steps=20_000)
                ),
                rules=dict(
                    steps=20_000,
                    batch_size=128,
                    models=dict(
                        transformer=dict(hidden_size=256, num_layers=6, embed_std=0.0625),
                    ),
                    optimizer=dict(learning_rate=1e-3),
                ),
                plain=dict(
                    models=dict(
                        gru=dict(hidden_size=512), transformer=dict(hidden_size=256, num_layers=6)
                    ),
                    training=dict(batch_size=64, pretrain_steps=20_000, pretrain_rate=1e-3),
                ),
            ),
        ),
        thresholds=THRESHOLDS,
    )
