"""Attention: the arithmetic as pure functions, the transformer's blocks in Flax Linen.

`dot_product` is the equation and `masks` says who may look at whom; `chunked` computes the same
block by block, `kernels` by what comes with a GPU or TPU, and `attend` picks one of them.
`positions` tells the order of the tokens, `cache` keeps keys and values between calls, `layers` are
a block's parts and `blocks` one block. The stacks of them are `decoder` (`types.SequenceModel`),
`encoder` (`types.Encoder`) and, for the target of an encoder-decoder, `encoder_decoder`
(`types.ConditionedModel`); `config` and `fields` say which choices they have. `models` builds the
stacks and nothing else here; the benchmark times the arithmetic alone. Nothing here knows about
tokens.
"""
