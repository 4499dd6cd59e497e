"""What claims 3 to 8 say, and the names of what is compared for them."""

from nlp_models.analysis.verdicts import Claim

RNNS = {'rnn_tanh': 'tanh', 'rnn_sigmoid': 'sigmoid'}
GATED = {'lstm': 'LSTM', 'gru': 'GRU'}
TRAINED = {**RNNS, **GATED, 'transformer': 'attention'}
# Blocks of the Jacobian of all that is carried; of a GRU and an RNN that is h, the whole.
PATHS = {'lstm': {'C to C': 'LSTM, C to C', 'h to h': 'LSTM, h to h'}, 'gru': {'': 'GRU'}}
PARTS = {
    'attention': 'attention with all parts',
    'attention_no_skips': 'attention without skip connections',
    'attention_no_norms': 'attention without norms',
    'attention_bare': 'attention without either',
}
RESIDUAL = {
    'rnn_residual': 'RNN in the same blocks',
    'lstm_residual': 'LSTM in the same blocks',
    'gru_residual': 'GRU in the same blocks',
}
BARE = {'rnn': 'bare RNN', 'lstm': 'bare LSTM', 'gru': 'bare GRU'}
STACKS = {**PARTS, **RESIDUAL, **BARE}

INSTRUMENT, VANISH, EXPLODE, ALONE, GATES, ATTENTION, DEPTH = CLAIMS = (
    Claim(
        number=0,
        section='3.1',
        statement='The instrument: in a linear RNN measured gradients equal their closed form',
        measured='relative error of Jacobian products against ‖W^k‖, ρ^k of an orthogonal W times '
        'ρ, and of gradients through the whole scan against ‖g W^k U‖',
        equation='∂h_T/∂h_{T−k} = W^k  where h_t = W h_{t−1} + U x_t + b',
        file='nlp_models/analysis/jacobians.py',
    ),
    Claim(
        number=3,
        section='3.1',
        statement='Gradients of sigmoid and tanh RNNs vanish exponentially with distance',
        measured='slope of log ‖∂h_T/∂h_{T−k}‖ against k, and how straight that line is, by '
        'activation, spectral radius and size of the inputs, fresh and trained',
        equation='∂h_T/∂h_{T−k} = ∏ diag(f′) W',
        file='nlp_models/recurrent/cells.py',
    ),
    Claim(
        number=4,
        section='3.1',
        statement='Gradients explode where recurrent weights are large; clipping tames the update, '
        'not the cause',
        measured='slope of log ‖∂h_T/∂h_{T−k}‖ at large spectral radius; losses, and gradient '
        'norms before clipping, of trainings with and without clipping; the loss of a run that '
        'diverged counts as a guesser’s',
        equation='g ← g · min(1, c / ‖g‖)',
        file='nlp_models/training/optimizers.py',
    ),
    Claim(
        number=5,
        section='3.1',
        statement='The product of activation derivatives alone predicts how gradients decay',
        measured='rate of ∏ f′ (of the largest unit or of a typical one, whichever is closer) '
        'against the measured rate: difference over the larger of the two. An orthogonal W of '
        'radius 1 keeps every norm: there f′ is all there is, if it is alike in all units',
        equation='∂h_T/∂h_t = ∏ f′(…), as printed, for ∏ diag(f′) W',
        file='nlp_models/analysis/jacobians.py',
    ),
    Claim(
        number=6,
        section='4.4',
        statement='Gradients of LSTM and GRU vanish too, only later than the RNN’s',
        measured='slope of log ‖∂C_T/∂C_{T−k}‖ and log ‖∂h_T/∂h_{T−k}‖ at spectral radius 1, '
        'blocks of the product over all that is carried, and its difference from that of a tanh '
        'RNN of the same seed, fresh and trained',
        equation='C_t = f ⊙ C_{t−1} + i ⊙ C̃;  h_t = (1 − z) ⊙ h_{t−1} + z ⊙ h̃',
        file='nlp_models/recurrent/cells.py',
    ),
    Claim(
        number=7,
        section='6.1',
        statement='Attention is spared because it is not recurrent, not for its skip connections '
        'or norms',
        measured='slope of log ‖∂y_T/∂x_t‖ against T − t, with and without skip connections and '
        'norms, fresh and trained, and of recurrent layers that have both',
        equation='y = softmax(Q Kᵀ / √d_k) V,  x ← x + f(LN(x))',
        file='nlp_models/attention/blocks.py',
    ),
    Claim(
        number=8,
        section='6.1',
        statement='Attention allows deeper stacks than recurrence',
        measured='log₂ of the deepest stack, of those asked, that learns in a fixed number of '
        'steps as all shallower ones do, attention’s minus the other’s of the same seed; a run '
        'that diverged counts as guessing',
        equation='x ← f_L(… f_2(f_1(x)))',
        file='nlp_models/recurrent/stack.py',
    ),
)
