"""What is done with a trained model: it is adapted to a task, prompted, and asked in context.

Fine-tuning: `rules` says which parameters are trained, and how fast; `lora` and `prefix` add
parameters to a model (as `attention.bottleneck` does); `classifier` puts a head of classes on one;
`building` makes all of this from a config's `model` group, and `saving` keeps alone what was
learned. Without training: `prompts` writes prompts, `in_context` scores a model on a task by them.
"""
