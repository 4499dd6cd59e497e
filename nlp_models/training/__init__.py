"""Training: losses, optimizer, one step for one device or many, evaluation, checkpoints, the loop.

`loop.train(config, workdir)` is the entry; everything else can be used by itself.
"""
