"""What `limitations` puts to the test."""

from nlp_models.analysis.verdicts import Claim

CLAIMS = (
    Claim(
        38,
        '11',
        'Language models state falsehoods with confidence',
        'share of the questions whose answer was never taught that are answered falsely with a '
        'probability of at least one half, in a world whose facts are known',
        'max_w p(w | question) ≥ 1/2,  argmax_w p(w | question) false',
        'nlp_models/analysis/questions.py',
    ),
    Claim(
        39,
        '11',
        'Language models are costly: what a token costs grows with the size of the model and with '
        'the length of the context',
        'operations by formula and seconds by the clock of a token, for twice the width; their '
        'exponents in the length of the context, and that of the bytes carried; operations of '
        'training over 6 N',
        'C ≈ 6 N a token in training, 2 N + 4 n D L a token of generation after n of them',
        'nlp_models/analysis/model_costs.py',
    ),
    Claim(
        40,
        '11',
        'Results and outputs of language models are unpredictable',
        'spread of the loss over seeds of parameters and over orders of the data, predictions that '
        'differ between runs of equal loss, answers and texts that differ between draws, and what '
        'differs when the same program runs again, or another way of computing the same model does',
        'y_ij = μ + a_i + b_j + e_ij, seed i of the parameters, order j of the data',
        'nlp_models/analysis/spread.py',
    ),
    Claim(
        0,
        '11',
        'What the text states more often is recalled more often',
        'share of facts answered right, of those told most often minus of those told least often',
        'recall(f) = share of facts told f times with argmax_w p(w | question) true',
        'nlp_models/analysis/questions.py',
    ),
    Claim(
        0,
        '11',
        'Keeping silent where the probability is low makes falsehoods rarer, and leaves some',
        'area under the ROC curve of the answer’s probability, taught against other questions; '
        'share of false answers among the surest ones, and that over the share among all',
        'risk(t) = share of answers of probability ≥ t that are false',
        'nlp_models/analysis/calibration.py',
    ),
    Claim(
        0,
        '11',
        'The probability of an answer is not that of being right, and one temperature does not '
        'make it so',
        'expected calibration error over taught and other questions, before and after temperature '
        'scaling on validation questions',
        'ECE = Σ_m |B_m| / n · |acc(B_m) − conf(B_m)|',
        'nlp_models/analysis/calibration.py',
    ),
    Claim(
        0,
        '11',
        'Lessons in saying ‘unknown’ teach a model to say it of other questions, at little cost',
        'confident falsehoods, with lessons minus without, on questions that no lesson was about; '
        'recall of taught facts likewise',
        'max_w p(w | question), w ≠ unknown',
        'nlp_models/data/synthetic/telling.py',
    ),
)
