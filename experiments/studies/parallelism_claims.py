"""What `parallelism` puts to the test, and the names of what is compared for it."""

from nlp_models.analysis.verdicts import Claim

RECURRENT = {'rnn': 'an RNN', 'lstm': 'an LSTM', 'gru': 'a GRU'}
SOLVED = {
    'mingru': 'a minGRU by an associative scan',
    'gru': "an untrained GRU by Newton's method",
    'lstm': "an untrained LSTM by Newton's method",
    'gru_trained': "a trained GRU by Newton's method",
    'lstm_trained': "a trained LSTM by Newton's method",
    'rnn_large': "an RNN with large weights by Newton's method",
}
PAIR = ('gru', 'transformer')

CLAIMS = (
    Claim(
        0,
        '3.3',
        'Evaluated in parallel over time, a recurrence gives what its steps give',
        'largest difference of any output from that of the scan, one value a seed, at the longest '
        'T',
        'h_t = f(h_{t−1}, x_t) for all t at once',
        'nlp_models/recurrent/newton.py',
    ),
    Claim(
        19,
        '3.3',
        'The time of a recurrence grows with T whatever the hardware',
        'exponent of T in the operations that must wait for one another, and in the seconds of a '
        'forward and backward pass, of one sequence and of as many tokens in fewer and longer '
        'sequences',
        'h_t = f(h_{t−1}, x_t),  t = 1 … T',
        'nlp_models/recurrent/sequential.py',
    ),
    Claim(
        20,
        '3.3',
        'Recurrence prohibits parallelization over time',
        'operations that must wait for one another, and seconds, of the scan over those of a '
        'parallel evaluation of the same sequence at the longest T (1 where the values differ): '
        'parallelization is prohibited where less than two operations run at once, and where no '
        'time is gained',
        's_t = f(s⁰_{t−1}, x_t) + J_t (s_{t−1} − s⁰_{t−1}), solved by an associative scan',
        'nlp_models/recurrent/newton.py',
    ),
    Claim(
        21,
        '6.1',
        'Attention trains faster than recurrence, and pays for it when it decodes',
        'a transformer over a GRU with as many parameters: operations that wait and tokens a '
        'second in training; seconds a token and bytes of state in decoding',
        'y = softmax(Q Kᵀ / √d_k) V;  h_t = f(h_{t−1}, x_t)',
        'nlp_models/attention/attend.py',
    ),
)
