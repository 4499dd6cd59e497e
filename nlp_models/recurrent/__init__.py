"""Recurrent networks: cells, ways to run them over time, stacks of layers.

`cells` and `linear` hold the equations. `sequential` runs one cell over a sequence step by step,
with the backward passes of `adjoints` and `through_time`; `associative`, `newton` and `cudnn` are
its twins, with the same signature and results, all steps at once or in one kernel; `evaluation`
picks one of them. `stack` and `residual` put layers on one another and answer to
`types.SequenceModel`. Models are put together from these in `nlp_models.models`; nothing here knows
about tokens.
"""
