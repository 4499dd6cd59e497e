"""Recurrent networks: cells, the scan over time, stacks of layers.

`cells` holds the equations, `sequential` runs one cell over a sequence with `lax.scan`, `stack`
puts layers on one another and answers to `types.SequenceModel`. Models are put together from these
in `nlp_models.models`; nothing here knows about tokens.
"""
