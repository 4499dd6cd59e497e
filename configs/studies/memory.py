"""What is remembered, and for how long: tutorial sections 3.2, 4.1, 4.2 and 6.1.

RNN, LSTM, GRU and transformer learn tasks whose length doubles until they fail: one symbol behind
random fillers, copy memory and the adding problem (Hochreiter & Schmidhuber 1997; Arjovsky et al.
2016), associative recall (Arora et al. 2023), parity and Dyck-(2,3) (Hewitt et al. 2020). Every
family has as many parameters; on copy and recall once more, every family carries as many numbers
from token to token. And in what was trained, and in what was not, one input is changed to see how
far that moves the final vector.

Published beside ours, with settings of their own: adding T = 600 and copy T = 1000 (Bai et al.
2018, table 1), recall (64, 4) (Arora et al. 2023, figure 2). Theirs has more steps, and for recall
a larger vocabulary, than what `quick` and `standard` measure.

On 2 cores: quick 2 minutes, standard about 18. full is sized for a GPU.

    python -m experiments.study --config=configs/studies/memory.py:standard --workdir=runs/memory
"""

from typing import Any

from configs.studies import base


def _models(**transformer: Any) -> dict[str, Any]:
    """A group for each family; the cells get the width that matches the transformer."""
    attention = dict(hidden_size=16, num_layers=2, num_heads=2, positions='learned')
    return dict(
        rnn=base.model('rnn', embed_size=16),
        lstm=base.model('lstm', embed_size=16),
        gru=base.model('gru', embed_size=16),
        transformer=base.model('transformer', **attention, **transformer),
    )


def get_config(size: str = 'standard') -> Any:
    """The study's config.

    Raises:
      InputError: for a size there is none of.
    """
    return base.study(
        'memory',
        size,
        fields=dict(
            seeds=5,
            # As many parameters as this transformer: RNN, LSTM and GRU get the width for it.
            parameters=dict(
                models=_models(),
                # Of each task, ascending and doubling. Of copy it is the delay, else tokens.
                lengths=dict(
                    delayed=(8, 16, 32, 64, 128),
                    copy=(2, 4, 8, 16, 32),
                    adding=(16, 32, 64, 128),
                    recall=(8, 16, 32, 64),
                    parity=(16, 32, 64),
                    dyck=(16, 32, 64),
                ),
            ),
            # As large a state as this transformer's cache once it has read the whole row: 16 T
            # numbers. One head of keys and values, 4 wide, shared by all heads of queries, keeps
            # that within what a recurrent state can be.
            state=dict(
                models=_models(num_kv_heads=1, head_size=4),
                lengths=dict(copy=(2, 4, 8), recall=(8, 16)),
            ),
            settings=dict(  # what does not grow with the length
                delayed=dict(alphabet=8, fillers=4),  # one symbol: how long is all that is asked
                copy=dict(symbols=3, alphabet=8),  # few: how long is asked, not how many
                adding=dict(),
                recall=dict(vocab_size=32),
                parity=dict(every_step=True),  # the parity so far is a label at every bit
                dyck=dict(kinds=2, depth=3),
            ),
            recall_pairs=2,  # at least; else a pair for every 16 tokens, as the canonical settings
            training=dict(
                batch_size=32,
                steps=800,
                chunk=50,  # steps between looks at the loss
                learning_rates=(3e-3, 1e-2),  # alike for all; the best by validation score
                stop_share=0.05,  # training ends below this share of a guesser's loss
                test_examples=512,
                optimizer=base.optimizer(),
            ),
            probe=dict(
                tasks=('dyck', 'parity'),  # one lets go of what is closed, the other of nothing
                length=32,  # of the rows; one of both tasks' lengths
                distance=24,  # steps between the input changed and the final vector
                examples=64,
            ),
            # Settings of papers; `hidden_size` is ours.
            published=dict(
                adding=dict(
                    families=('lstm', 'gru'),
                    hidden_size=32,
                    setting=dict(length=600),
                    seeds=2,
                    batch_size=32,
                    steps=600,
                    learning_rates=(1e-2,),
                ),
                copy=dict(
                    families=('lstm', 'gru'),
                    hidden_size=32,
                    setting=dict(delay=1000, symbols=10, alphabet=8),
                    seeds=2,
                    batch_size=32,
                    steps=300,
                    learning_rates=(1e-2,),
                ),
                recall=dict(
                    families=('transformer',),
                    hidden_size=32,
                    setting=dict(length=64, pairs=4, vocab_size=64),
                    seeds=2,
                    batch_size=32,
                    steps=1500,
                    learning_rates=(3e-3,),
                ),
            ),
        ),
        sizes=dict(
            quick=dict(
                seeds=2,
                parameters=dict(
                    lengths=dict(
                        delayed=(8,), copy=(2,), adding=(16,), recall=(8,), parity=(16,), dyck=(16,)
                    )
                ),
                state=dict(lengths=dict(copy=(2,), recall=(8,))),
                training=dict(steps=200, learning_rates=(1e-2,)),
                probe=dict(length=16, distance=12),
                published={task: dict(families=()) for task in ('adding', 'copy', 'recall')},
            ),
            full=dict(
                parameters=dict(
                    lengths=dict(
                        delayed=(8, 16, 32, 64, 128, 256, 512),
                        copy=(2, 4, 8, 16, 32, 64, 128, 256),
                        adding=(16, 32, 64, 128, 256, 512),
                        recall=(8, 16, 32, 64, 128),
                        parity=(16, 32, 64, 128, 256),
                        dyck=(16, 32, 64, 128, 256),
                    )
                ),
                state=dict(lengths=dict(copy=(2, 4, 8, 16, 32, 64), recall=(8, 16, 32, 64))),
                settings=dict(recall=dict(vocab_size=64)),
                training=dict(
                    batch_size=64, steps=10_000, learning_rates=(1e-3, 3e-3, 1e-2), chunk=250
                ),
                published=dict(
                    adding=dict(
                        families=('rnn', 'lstm', 'gru'), hidden_size=128, seeds=5, steps=10_000
                    ),
                    copy=dict(
                        families=('rnn', 'lstm', 'gru'), hidden_size=128, seeds=5, steps=10_000
                    ),
                    recall=dict(
                        hidden_size=64,
                        setting=dict(vocab_size=8192),
                        seeds=5,
                        batch_size=256,
                        steps=20_000,
                        learning_rates=(1e-3,),
                    ),
                ),
            ),
        ),
        thresholds=dict(
            accuracy=0.9,  # right answers: a task is solved; a guesser has ½ at most
            error=1 / 60,  # squared error of adding, a tenth of a guesser's 1/6
            influence=0.1,  # of what the last input does: less has faded, for a factor of ten
            long_range=32,  # tokens: Bengio et al. 1994 saw training fail within ten to twenty
            times_longer=4.0,  # "solve longer ones", as a factor that chance does not give
            ahead=2.0,  # times as long as the best cell: the next length of the grid
        ),
    )
