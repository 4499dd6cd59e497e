"""How gradients travel through time and depth: claims 3 to 8 of the tutorial (3.1, 4.4, 6.1).

    python -m experiments.study --config=configs/studies/gradient_flow.py:quick \
        --workdir=runs/studies/gradient_flow

Sizes, on two cores: `quick` about 2 minutes, `standard` about 12; `full` is for a GPU.

What is known: the spectral norm of ∏ diag(f′) W is at most (max f′ · ‖W‖)^k, so it must vanish
where ‖W‖ < 1/max f′, that is 1 for tanh and 4 for the sigmoid, and explosion needs more than that
(Bengio et al. 1994; Pascanu et al. 2013, who introduced clipping). A tanh network without inputs
becomes chaotic at a spectral radius of 1 (Sompolinsky et al. 1988); inputs push that up. Attention
alone, without skip connections and feed-forward layers, loses rank doubly exponentially with depth
(Dong et al. 2021).

W is orthogonal times the radius, so that its norm is its spectral radius and what theory says of
either can be read from one axis. At radius 1 it then keeps every norm, and drops out of the product
where f′ is alike in all units: a choice in favour of claim 5. So that is judged at other radii as
well, and with Gaussian W, entries N(0, 1/N) times the radius, which keep norms only on average.
"""

from typing import Any

from configs.studies import base

HIDDEN = 32
_NARROW = dict(hidden_size=HIDDEN)

THRESHOLDS = dict(
    # Nats a step. A gradient that is down to a hundredth after 100 steps is lost beside those of
    # the last few inputs, at the lengths that texts have: log(1/100)/100. As much the other way,
    # a hundredfold in 100 steps, is an explosion.
    vanishing=-0.046,
    exploding=0.046,
    # A decay is called exponential where the straight line in log-norm explains nine tenths of the
    # variance over distances, and more than the power law does.
    straight=0.9,
    straighter=0.0,
    # f′ alone predicts a decay where its rate is within 10 % of what is measured (of the larger).
    prediction=0.1,
    # Nats a step between ∏ diag(f′) W and what is measured: they are the same product in float64,
    # by two ways. Rounding is below 1e-10; a W that is transposed or missing is off by more than
    # the hundredth that anything here is read to.
    chain_rule=1e-6,
    # Nats by which clipped training must end better: a tenth is seen in any learning curve.
    clipping_gain=0.1,
    # Gradients under clipping, over the clip norm, log10: at 1 nine tenths of each is cut off.
    cut_off=1.0,
    # Nats a step of an LSTM or GRU above the RNN's: at 0 both are lost equally soon.
    later=0.0,
    # Attention is spared where its slope is above this: over 64 steps e^-0.64, about a half, where
    # the recurrent networks in question lose orders of magnitude.
    flat=-0.01,
    # A network counts as trained where its test accuracy is above this in every seed, whatever else
    # would be measured of one that failed: guessing has 1/8, the task can be learned to 1.
    learned=0.9,
    # A stack trains where its loss is below this share of guessing's, log of the alphabet: half the
    # key's bits have been learned.
    trained=0.5,
    # Doublings of depth: 'deeper' means at least twice as many layers.
    deeper=1.0,
    # Of measured norms where there is a closed form, relative.
    instrument=1e-5,
)


def get_config(size: str = 'standard') -> Any:
    """The config of a size."""
    return base.study(
        'gradient_flow',
        size,
        fields=dict(
            seeds=(0, 1, 2, 3, 4),  # of parameters and inputs
            models=dict(
                rnn_tanh=base.model('rnn', activation='tanh', **_NARROW),
                rnn_sigmoid=base.model('rnn', activation='sigmoid', **_NARROW),
                lstm=base.model('lstm', **_NARROW),  # its forget bias starts at 1
                gru=base.model('gru', **_NARROW),
                transformer=base.model('transformer', num_layers=2, attention='plain', **_NARROW),
            ),
            # Jacobians along trajectories of fresh cells, W orthogonal times the radius.
            length=64,  # T: distances up to it
            sequences=4,  # of Gaussian inputs, averaged over
            radii=(0.5, 0.8, 1.0, 1.25, 1.5, 2.0),  # spectral radius of W
            input_stds=(0.1, 1.0),  # standard deviation of each input; U keeps it
            vanishing_radii=(0.5, 1.0, 2.0),  # those that claims 3 and 5 are judged at
            exploding_radii=(1.5, 2.0),  # those that claim 4 is judged at
            gaussian_radii=(1.0,),  # with Gaussian W, of claim 5
            # Trained on one symbol at a distance, then read at `length`: one short enough for a
            # sigmoid RNN to learn it, as what has not learned tells nothing of trained networks.
            trained=dict(
                task='delayed',
                setting=dict(distance=5, alphabet=8, fillers=4),
                training=dict(
                    batch_size=32,
                    steps=800,
                    chunk=50,
                    learning_rates=(2e-3, 1e-2),
                    stop_below=0.05,  # nats
                    test_examples=256,
                    optimizer=base.optimizer(),
                ),
            ),
            # The same training of an RNN at a large radius with and without clipping, by plain
            # gradient descent: Adam divides gradients by their size, clipped or not.
            clipping=dict(
                task='dyck',  # which bracket closes: a loss at half the places
                setting=dict(length=64, kinds=2, depth=3),
                radius=2.0,
                embed_std=0.1,  # of the inputs: larger ones saturate tanh, and nothing explodes
                clip_norm=1.0,
                batch_size=16,
                steps=400,
                learning_rates=(0.1, 0.3, 1.0),  # of both; each may have its own best
                optimizer=base.optimizer(name='sgd', b1=0.0, clip_norm=0.0),
            ),
            # Stacks of L layers, on a task that one layer of each learns.
            depth=dict(
                task='delayed',
                setting=dict(distance=6, alphabet=8, fillers=4),
                layers=(1, 4, 16, 32),
                stacks=(
                    'rnn',  # tanh; these three bare
                    'lstm',
                    'gru',
                    'rnn_residual',  # in pre-norm blocks with skip connections
                    'lstm_residual',
                    'gru_residual',
                    'attention',  # in the same blocks: a transformer
                    'attention_no_skips',
                    'attention_no_norms',
                    'attention_bare',  # neither
                ),
                training=dict(
                    batch_size=32,
                    steps=300,
                    chunk=50,
                    learning_rates=(1e-3, 4e-3),
                    optimizer=base.optimizer(),
                ),
            ),
        ),
        sizes=dict(
            quick=dict(
                sequences=2,
                length=48,
                trained=dict(training=dict(steps=600, learning_rates=(1e-2,))),
                clipping=dict(steps=150, setting=dict(length=48), learning_rates=(0.3,)),
                depth=dict(
                    layers=(1, 8),
                    stacks=('rnn', 'lstm', 'gru', 'rnn_residual', 'attention', 'attention_bare'),
                    training=dict(steps=150, learning_rates=(4e-3,)),
                ),
            ),
            full=dict(
                seeds=tuple(range(10)),
                length=256,
                sequences=16,
                trained=dict(setting=dict(distance=32), training=dict(steps=5000)),
                clipping=dict(steps=5000, setting=dict(length=128)),
                depth=dict(
                    layers=(1, 2, 4, 8, 16, 32, 64),
                    training=dict(steps=3000, learning_rates=(3e-4, 1e-3, 3e-3)),
                ),
            ),
        ),
        thresholds=THRESHOLDS,
    )
