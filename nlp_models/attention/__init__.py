"""Attention: the arithmetic as pure functions, the transformer's blocks in Flax Linen.

`dot_product` is the equation and `masks` says who may look at whom; `chunked` computes the same
block by block, `kernels` by what comes with a GPU or TPU, and `attend` picks one of them.
`positions` tells the order of the tokens, `cache` keeps keys and values between calls, `blocks` is
one layer, and `decoder` the stack of them behind `types.SequenceModel`. Nothing here knows about
tokens.
"""
