"""What language models get wrong, cost, and leave to chance: claims 38 to 40 of the tutorial (11).

    python -m experiments.study --config=configs/studies/limitations.py:quick \
        --workdir=runs/studies/limitations

Hallucination (38): models read sentences about invented people, each fact told a known number of
times and some never, and are then asked about facts they were told, facts they were not, and people
there are none of. Cost (39): operations by formula, seconds, bytes and money by the user's price of
a token, in training and generation, over sizes and lengths. Unpredictability (40): seeds of
parameters crossed with orders of the data, draws, and the same model computed in other ways.

What is known: models answer most questions on what they were hardly told, and wrongly (Kandpal et
al. 2023: recall against frequency); deep networks are too sure, and one temperature mends it where
test questions are like validation questions (Guo et al. 2017); a probability tells answerable from
unanswerable questions in part (Kadavath et al. 2022). Training takes 6 N operations a token (Kaplan
et al. 2020). Seeds of parameters and orders of data contribute about alike to the spread of
fine-tuned models (Dodge et al. 2020), and models of equal accuracy differ in many predictions
(Milani Fard et al. 2016).

Sizes, on two cores: `quick` about 2 minutes, `standard` about 15; `full` is for a GPU.
"""

from typing import Any

from configs import lm
from configs.studies import base

THRESHOLDS = dict(
    # Claim 38: of the questions that nothing taught the answer to, the share answered falsely with
    # a probability of at least `confident`. One in ten is more than slips.
    surely_false=0.1,
    # What the models were told most often they must know: else false answers are those of models
    # that learned nothing.
    learned=0.9,
    # Recall of what was told most often minus of what was told least: half of all there is to know.
    recall_gain=0.5,
    # Area under the ROC curve, probability of the answer, taught against other questions: by chance
    # 0.5; at 0.7 a taught one is the surer in seven pairs of ten.
    auroc=0.7,
    # Share of false answers among the surest `coverage`, over that among all: half as many. And
    # what is left: more than one in a hundred is not removed.
    risk_ratio=0.5,
    risk_left=0.01,
    # Calibration error: what is said with nine tenths is right in eight tenths.
    calibration=0.1,
    # Instruments on made-up answers, of which there are enough for an error of half of this.
    instrument=0.02,
    # What lessons in saying 'unknown' must spare of confident falsehoods, as a share of questions,
    # and may cost in recall.
    lessons_gain=0.1,
    lessons_loss=0.05,
    # Claim 39: operations of training a token over 6 N; a fifth off leaves out what attention adds.
    six=1.0,
    six_tolerance=0.2,
    # Twice the width, four times most matrices: at least twice the cost.
    doubling=2.0,
    # Exponent of the context in the cost of a token: a doubling that costs 7 % more, the least that
    # a clock tells for sure (as in `parallelism`); and in bytes, nearly in proportion.
    grows=0.1,
    proportional=0.9,
    # Claim 40: standard deviation of the loss over seeds, or orders, as a share of it. The step
    # from one model to the next better one is often no more.
    loss_spread=0.01,
    # Predictions that differ between two runs of equal loss: one in twenty.
    churn=0.05,
    # Of sampled answers where the likeliest is right, those that are wrong.
    wrong_draws=0.05,
    # Texts that are not the same again: one in ten.
    texts=0.1,
    # Numbers that are not the same to the last bit: any at all, so less than one in all there are.
    bits=1e-9,
)

# Told in all 59,878 sentences in a world of this size, 467 batches of 128.
WORLD = dict(
    people=160,
    names=24,  # first names, and as many family names: everyone shares both with others
    relations=6,
    untold=2,  # of each person's, never told
    values=16,  # of each relation, so that a guess is right once in 16 times
    frequencies=(1, 4, 16, 64, 256, 1024),  # how often facts are told
    exponent=0.25,  # the share of facts told f times is in proportion to f^−0.25
)

_COSTED = ('rnn', 'lstm', 'gru', 'mingru', 'minlstm', 'linear', 'transformer')


def _small(family: str, **fields: Any) -> dict[str, Any]:
    layers = dict(num_layers=2) if family == 'transformer' else {}
    return base.model(family, **{**layers, **fields})


def get_config(size: str = 'standard') -> Any:
    """The study's config.

    Raises:
      InputError: for a size there is none of.
    """
    return base.study(
        'limitations',
        size,
        fields=dict(
            seeds=(0, 1, 2, 3, 4),  # of worlds, parameters and the order of the text
            # Claim 38.
            world=WORLD,
            lesson_mentions=32,  # how often each lesson in saying 'unknown' is told
            lessons=('transformer', 'gru'),  # who reads them, too
            readers=dict(
                transformer=_small('transformer', hidden_size=64),
                gru=base.model('gru', hidden_size=96),
                ngram=dict(family='ngram', order=9),  # as long as the longest sentence
            ),
            reading=dict(  # each sentence once
                batch_size=128,
                chunk=20,
                learning_rates=(6e-3, 1.2e-2, 2.4e-2),
                optimizer=base.optimizer(schedule='linear'),
            ),
            confident=0.5,  # likelier than everything else together
            coverage=0.25,  # of the questions, half of which have a taught answer
            bins=15,  # of calibration errors, as in Guo et al. 2017
            made_up=20_000,  # answers that the instruments are tried on
            # Claim 39.
            costs=dict(
                families=(*_COSTED, 'ngram'),
                models={f: _small(f) for f in _COSTED},  # evaluated as suits the device
                order=5,  # of the n-gram
                vocab_size=256,
                widths=(64, 128, 256),  # at the shortest context
                contexts=(64, 256, 1024),  # at the smallest width
                tokens=2048,  # B·T of a training batch
                counted=100_000,  # tokens that the n-gram counts in a round
                rounds=7,  # turns of every clock, each on parameters and tokens of its own
                block_seconds=0.03,  # how long a turn takes at least, about
                # What the user pays, in any currency; electricity besides where it is not included.
                prices=dict(machine_hour=1.0, kilowatt_hour=0.0, watts=0.0),
            ),
            data=lm.base().data.to_dict(),  # real text, as in configs/lm.py
            # Claim 40.
            crossed=dict(
                families=('transformer', 'gru'),
                models=dict(
                    transformer=_small('transformer', hidden_size=64),
                    gru=base.model('gru', hidden_size=96),
                ),
                orders=(0, 1, 2, 3, 4),  # of the data, with each of `seeds`
                equal_loss=0.05,  # runs whose losses differ by no more are equal
                temperatures=(0.5, 1.0, 1.5),
                judged_temperature=1.0,  # whose draws decide: the model's own distribution
                facts=dict(
                    world={**WORLD, 'people': 96, 'frequencies': (4, 16, 64, 256)},
                    learning_rate=8e-3,
                    batch_size=64,
                    chunk=20,
                    optimizer=base.optimizer(schedule='linear'),
                ),
                text=dict(
                    length=64,
                    learning_rate=4e-3,
                    batch_size=16,
                    steps=400,
                    chunk=50,
                    tested=64,  # windows
                    prompts=16,
                    prompt=32,  # tokens
                    written=32,  # tokens that are drawn, twice
                    optimizer=base.optimizer(schedule='linear'),
                ),
            ),
            rounding=dict(
                families=('transformer', 'gru', 'mingru'),
                # minGRU by steps and by an associative scan, attention plain and in chunks.
                models=dict(
                    transformer=_small('transformer', hidden_size=64, attention='plain'),
                    gru=base.model('gru', hidden_size=96),
                    mingru=base.model('mingru', hidden_size=48, evaluation='sequential'),
                ),
                # Chunks are of 128 places: of shorter texts there is one.
                others=dict(
                    transformer=dict(attention='chunked'), mingru=dict(evaluation='associative')
                ),
                length=64,
                learning_rate=4e-3,
                batch_size=16,
                steps=300,
                chunk=50,
                prompts=16,
                prompt=160,  # tokens, more than a chunk of attention
                written=96,  # tokens, greedily
                optimizer=base.optimizer(schedule='linear'),
            ),
        ),
        sizes=dict(
            quick=dict(
                seeds=(0, 1),
                world=dict(people=48, names=14, frequencies=(1, 8, 64, 256)),
                lesson_mentions=16,
                lessons=('gru',),
                readers=dict(transformer=dict(hidden_size=48)),
                reading=dict(batch_size=64, learning_rates=(8e-3,)),
                made_up=5_000,
                costs=dict(
                    families=('gru', 'transformer', 'ngram'),
                    widths=(32, 64),
                    contexts=(64, 512),
                    tokens=1024,
                    counted=20_000,
                    rounds=5,
                    block_seconds=0.01,
                ),
                crossed=dict(
                    families=('gru',),
                    orders=(0, 1),
                    facts=dict(world=dict(people=48, names=14)),
                    text=dict(steps=50, tested=16, prompts=4),
                ),
                rounding=dict(families=('mingru',), steps=50, prompts=4, written=32),
            ),
            full=dict(
                world=dict(people=2000, names=80, frequencies=(1, 4, 16, 64, 256, 1024, 4096)),
                readers=dict(
                    transformer=dict(hidden_size=256, num_layers=4),
                    gru=dict(hidden_size=512),
                ),
                reading=dict(batch_size=512, learning_rates=(1e-3, 3e-3)),
                costs=dict(
                    widths=(128, 256, 512, 1024),
                    contexts=(128, 512, 2048, 8192),
                    tokens=65536,
                    counted=400_000,
                    rounds=20,
                ),
                crossed=dict(
                    orders=tuple(range(5)),
                    facts=dict(world=dict(people=500, names=40), learning_rate=3e-3),
                    text=dict(length=256, batch_size=64, steps=3000, tested=256, prompts=64),
                ),
                rounding=dict(length=256, batch_size=64, steps=3000, prompts=64, written=512),
            ),
        ),
        thresholds=THRESHOLDS,
    )
