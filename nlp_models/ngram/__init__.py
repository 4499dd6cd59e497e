"""The finite-context baseline: an n-gram language model, interpolated modified Kneser–Ney.

`counting.py` (NumPy) turns a text into parameters, a trie of discounted probabilities;
`lookup.py` (JAX) reads that trie behind the three functions every language model has. Whoever
trains, evaluates, samples or decodes may call it:

    params = ngram.fit(tokens, order=5, vocab_size=256)
    model = ngram.build(5, 256)
    state, logits = model.apply(params, model.start(params, 1), tokens_in)
"""

from nlp_models.ngram.counting import fit, modified_discounts, num_parameters
from nlp_models.ngram.lookup import build

__all__ = ['build', 'fit', 'modified_discounts', 'num_parameters']
