"""What gates cost: tutorial sections 4.4 and 4.5.

RNN, LSTM and GRU in the tutorial's forms, input of size n, state of size h, T steps. Parameters are
counted on what the models make; operations by formula and by the compiler, on programs whose steps
are written out; memory as parameters, as the state carried, as what differentiation keeps, and as
what the compiler plans for; seconds by clocks that time the three cells in turn. All of it at
n = h, at n far from h, and, of one n and h, at several T.

An RNN has nh + h² + h parameters, a GRU three and an LSTM four times as many (Cho et al. 2014;
Hochreiter & Schmidhuber 1997 with the forget gate of Gers et al. 2000). Whether operations, memory
and seconds keep these proportions, and grow as T (nh + h²), is what is asked.

On 2 cores: quick 1 minute, standard about 3. full is sized for a GPU.

    python -m experiments.study --config=configs/studies/complexity.py --workdir=runs/complexity
"""

from typing import Any

from configs.studies import base


def get_config(size: str = 'standard') -> Any:
    """The study's config.

    Raises:
      InputError: for a size there is none of.
    """
    return base.study(
        'complexity',
        size,
        fields=dict(
            seed=0,  # the first of the repetitions' seeds
            repetitions=5,  # of every clock, each with parameters and inputs of its own
            rounds=5,  # turns of every cell in a repetition, whose median counts
            block_seconds=0.05,  # how long a turn takes at least, about
            batch_size=16,  # B
            backward='custom',  # the hand-written backward passes, or autodiff
            # The cells, with the activations and forms of the tutorial's equations.
            models=dict(
                rnn=dict(family='rnn', activation='tanh'),  # or sigmoid
                lstm=dict(family='lstm'),
                gru=dict(family='gru', reset_after=False),  # reset before the product
            ),
            counted=dict(  # parameters, for every pair: it costs nothing
                input_sizes=(1, 8, 64, 512, 4096),
                hidden_sizes=(1, 8, 64, 512, 4096),
            ),
            # (n, h, T): n = h from small to large, one far larger than the other, both ways, and
            # one n and h at several T.
            planned=(  # of programs that are compiled for their memory
                *((16, 16, 64), (64, 64, 64), (256, 256, 64), (16, 256, 64), (256, 16, 64)),
                *((64, 64, 16), (64, 64, 256), (64, 64, 1024)),
            ),
            unrolled=(  # of programs whose steps are written out for the compiler's count
                *((16, 16, 4), (64, 64, 4), (256, 256, 4), (1024, 1024, 4)),
                *((16, 256, 4), (256, 16, 4), (64, 64, 2), (64, 64, 8)),
            ),
            timed=(  # by the clock
                *((16, 16, 32), (64, 64, 32), (256, 256, 32), (1024, 1024, 32)),
                *((16, 256, 32), (256, 16, 32), (64, 64, 128), (64, 64, 512)),
            ),
        ),
        sizes=dict(
            quick=dict(
                planned=((16, 16, 64), (64, 64, 64), (16, 64, 64), (16, 16, 256)),
                unrolled=((16, 16, 4), (64, 64, 4), (16, 64, 4), (16, 16, 8)),
                timed=((16, 16, 32), (256, 256, 32), (16, 256, 32), (16, 16, 256)),
                block_seconds=0.02,
                rounds=3,
            ),
            full=dict(
                repetitions=10,
                rounds=10,
                batch_size=64,
                unrolled=(
                    *((16, 16, 4), (64, 64, 4), (256, 256, 4), (1024, 1024, 4), (4096, 4096, 4)),
                    *((16, 1024, 4), (1024, 16, 4), (64, 64, 2), (64, 64, 8), (64, 64, 16)),
                ),
                planned=(
                    *((16, 16, 64), (64, 64, 64), (256, 256, 64), (1024, 1024, 64)),
                    *((16, 1024, 64), (1024, 16, 64)),
                    *((64, 64, 16), (64, 64, 256), (64, 64, 1024)),
                ),
                timed=(
                    *((16, 16, 256), (64, 64, 256), (256, 256, 256), (1024, 1024, 256)),
                    *((16, 1024, 256), (1024, 16, 256), (4096, 4096, 64)),
                    *((64, 64, 64), (64, 64, 1024), (1024, 1024, 1024)),
                ),
            ),
        ),
        thresholds=dict(
            lstm=4.0,  # times an RNN: as many gates, each with a matrix for n and one for h
            gru=3.0,
            # Of what is said to be in proportion, as a share: a fifth is less than what tells a GRU
            # from an LSTM (3 of 4 is a quarter less), so who meets one figure fails the other.
            tolerance=0.2,
            # The exponents that nh + h² has where h is much larger than n, and n than h.
            state_exponent=2.0,
            input_exponent=1.0,
            # Of operations, seconds and bytes in T, and in nh + h²: in proportion is 1.
            growth_exponent=1.0,
            # Of all exponents: far less than what tells 1 from 2; in proportion, four times the
            # size may take 3.5 to 4.6 times as much.
            exponent_tolerance=0.1,
        ),
    )
