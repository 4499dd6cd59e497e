"""What is minimised where a number is wanted at each place of a sequence, not at its end alone."""

import jax.numpy as jnp

from nlp_models.training.objectives import Objective, Sums
from nlp_models.types import SequenceModel


def placewise_regression(model: SequenceModel) -> Objective:
    """The squared error of one number at every place that counts: Σ_t w_t (ŷ_t − y_t)² / Σ_t w_t.

    Of in-context learning it is the mean over prompts of every length (Garg et al. 2022, equation
    2), of which one sequence holds all.

    Args:
      model: from vectors to vectors of width 1 (`models.build_vector_model`).

    Returns:
      An objective over batches of `inputs` `[B, T, C]`, `targets` and `weights` `[B, T]`: squared
      errors, summed with their weights, and the sum of the weights.
    """

    def objective(params, carry, batch, key=None):
        del carry, key
        inputs, weights = batch['inputs'], batch['weights']
        _, y = model.apply(params, model.start(params, inputs.shape[0]), inputs)
        squares = jnp.square(y[..., 0] - batch['targets'])
        return Sums(jnp.sum(squares * weights), jnp.sum(weights)), None

    return objective
