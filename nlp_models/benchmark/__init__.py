"""The instrument: how fast this machine runs every family, beside what else users would pick.

`works` makes our side of each row and `peers_*` the others'; `table` runs the rows in turn with the
clocks of `timing`, `families` and `win_map` what has no peer; `results` keeps what was measured and
`report` writes it up. Whoever wants a measurement calls `run.benchmark(config, workdir)`; nothing
else in the library knows of this package. It needs no more than jax, flax, optax, absl and
ml_collections: a row whose peer or package is missing is left out, with a line.
"""
