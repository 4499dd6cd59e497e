"""What can be computed at once: tutorial sections 3.3 and 6.1, claims 19 to 21.

Recurrences step by step, the same recurrences evaluated in parallel over time, and attention, each
by two measures: how many operations of the program must wait for one another, which no hardware
shortens, and seconds on the hardware at hand. Then training and decoding of a GRU and a transformer
with as many parameters.

What is known: a transformer layer has O(1) sequential operations where a recurrent layer has O(T)
(Vaswani et al. 2017, table 1). Recurrences that are linear in their state take O(log T) by an
associative scan (Blelloch 1990; Martin & Cundy 2018; minGRU: Feng et al. 2024), others a number of
Newton iterations of that depth (Lim et al. 2024, DEER), few where the cell forgets and many where
it is chaotic (Gonzalez et al. 2024).

On 2 cores: quick 1 minute, standard about 3. full is sized for a GPU.

    python -m experiments.study --config=configs/studies/parallelism.py --workdir=runs/parallelism
"""

from typing import Any

from configs.studies import base

_WIDTH = 64  # of what is timed over lengths
_SMALL = 16  # of what Newton's method solves: its work grows with the cube of the state
_STEPS = dict(num_layers=1, hidden_size=_WIDTH, evaluation='sequential')
# All pairs at once: attention block by block saves memory by taking one block after the other.
_PAIRS = dict(hidden_size=_WIDTH, attention='plain')


def get_config(size: str = 'standard') -> Any:
    """The study's config.

    Raises:
      InputError: for a size there is none of.
    """
    return base.study(
        'parallelism',
        size,
        fields=dict(
            seeds=(0, 1, 2, 3, 4),  # of parameters and inputs that are solved in parallel
            # Turns of every clock, each with parameters and inputs of its own, from the first seed
            # on: a turn over all lengths is a fit of its own.
            rounds=7,
            block_seconds=0.05,  # how long a turn takes at least, about
            families=('gru', 'lstm', 'rnn', 'transformer'),  # of `models`, those that are timed
            # One layer each, timed forward and backward against T.
            lengths=(128, 512, 2048),  # T: at fewer steps what a call costs by itself would count
            tokens=2048,  # B·T where it stays the same
            models=dict(
                rnn=base.model('rnn', **_STEPS),
                lstm=base.model('lstm', **_STEPS),
                gru=base.model('gru', **_STEPS),
                transformer=base.model('transformer', num_layers=1, **_PAIRS),
            ),
            # Cells evaluated in parallel over time beside the scan, forward, one sequence.
            solved_lengths=(32, 128, 512),  # T
            solved_rounds=3,  # turns of their clocks, whose median counts: each seed is a value
            cases=(  # of `solved`, those that are
                *('mingru', 'gru', 'lstm', 'gru_trained', 'lstm_trained', 'rnn_large'),
            ),
            solved=dict(  # gain: recurrent weights are orthogonal times it; or trained ones
                mingru=dict(model=base.model('mingru', hidden_size=_SMALL), gain=1.0),
                gru=dict(model=base.model('gru', hidden_size=_SMALL), gain=1.0),
                lstm=dict(model=base.model('lstm', hidden_size=_SMALL), gain=1.0),
                gru_trained=dict(model=base.model('gru', hidden_size=_SMALL), trained=True),
                lstm_trained=dict(model=base.model('lstm', hidden_size=_SMALL), trained=True),
                # Far above 1, where a tanh network without inputs becomes chaotic.
                rnn_large=dict(model=base.model('rnn', hidden_size=_SMALL), gain=3.0),
            ),
            # What `trained` ones have learned: one symbol, remembered for a while.
            task=dict(
                name='delayed',
                setting=dict(distance=8, alphabet=8, fillers=4),
                grown='distance',  # the texts that are solved have T of it
                training=dict(
                    batch_size=32,
                    steps=400,
                    chunk=50,
                    learning_rates=(1e-2,),
                    stop_below=0.05,  # nats
                    test_examples=256,
                    optimizer=base.optimizer(),
                ),
            ),
            # Language models of random tokens; the GRU is made as large as the transformer.
            language=dict(
                vocab_size=256,
                tokens=2048,  # B·T of a training batch
                training_lengths=(64, 256, 1024),  # T
                decoding_lengths=(64, 256, 1024, 2048),  # tokens of the text at its end
                transformer=base.model('transformer', num_layers=2, **_PAIRS),
                gru=base.model('gru', **_STEPS),
            ),
        ),
        sizes=dict(
            quick=dict(
                rounds=5,
                block_seconds=0.02,
                lengths=(128, 1024),
                tokens=1024,
                families=('gru', 'rnn', 'transformer'),
                cases=('mingru', 'gru', 'gru_trained', 'rnn_large'),
                solved_lengths=(32, 256),
                task=dict(training=dict(steps=200)),
                language=dict(tokens=1024, training_lengths=(64, 512), decoding_lengths=(64, 1024)),
            ),
            full=dict(
                seeds=tuple(range(10)),
                rounds=20,
                lengths=(128, 512, 2048, 8192),
                tokens=65536,
                solved_lengths=(64, 256, 1024, 4096),
                solved_rounds=10,
                task=dict(training=dict(steps=5000)),
                language=dict(
                    tokens=65536,
                    training_lengths=(64, 256, 1024, 4096),
                    decoding_lengths=(64, 256, 1024, 4096, 16384),
                ),
            ),
        ),
        thresholds=dict(
            # Exponents of T. In proportion is 1; a tenth less still is a doubling that costs 1.87.
            proportional=0.9,
            # What grows at all: a doubling costs 7 % more, the least that a clock tells for sure.
            grows=0.1,
            # Operations that wait, of the scan over those in parallel. Who does less than two
            # things at a time does them one after the other.
            at_once=2.0,
            # Seconds of the scan over those in parallel: at 1 nothing is gained.
            faster=1.0,
            # Outputs, which lie within ±1, agree to a thousand roundings of float32 (1.2e-7).
            same=1e-4,
            # Attention's speed, seconds and bytes over those of the GRU: as much, or more.
            equal=1.0,
        ),
    )
