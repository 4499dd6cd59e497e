"""How the next token is drawn from a model's logits: pure functions of `[B, V]`."""

import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from nlp_models.errors import InputError, require
from nlp_models.types import Key


@dataclass(frozen=True)
class Sampling:
    """What is done to the logits before a token is drawn, in this order.

    Attributes:
      repetition_penalty: θ of `penalise`; 1 changes nothing.
      temperature: what logits are divided by; 0 takes the likeliest token.
      top_k: how many of the likeliest tokens stay; 0 for all. Ties with the k-th stay, too.
      top_p: the probability that the likeliest tokens kept must reach; 1 for all.
      min_p: how likely a token must be, as a share of the likeliest one's probability, to stay.

    Raises:
      InputError: for a value out of range.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0

    def __post_init__(self):
        heat, penalty = self.temperature, self.repetition_penalty
        require(0 <= heat < math.inf, 'temperature', heat, 'must be at least 0 and finite')
        require(self.top_k >= 0, 'top_k', self.top_k, 'must be at least 1, or 0 for all')
        require(0 < self.top_p <= 1, 'top_p', self.top_p, 'must be above 0 and at most 1')
        require(0 <= self.min_p <= 1, 'min_p', self.min_p, 'must be from 0 to 1')
        require(0 < penalty < math.inf, 'repetition_penalty', penalty, 'must be above 0 and finite')

    @property
    def greedy(self) -> bool:
        """Whether nothing is random; so it is, too, where dividing exceeds every float."""
        return self.temperature < 1e-30


def penalise(
    logits: Float[Array, 'B V'], seen: Bool[Array, 'B V'], penalty: float
) -> Float[Array, 'B V']:
    """Make tokens that the text holds already less likely: x_i / θ where i has been seen.

    Keskar et al. 2019 (CTRL), section 4.1. A negative logit is multiplied by θ instead, which the
    paper does not say: divided, it would become more likely.

    Args:
      logits: `[B, V]`.
      seen: which tokens each row's text holds.
      penalty: θ; above 1 they become less likely, below 1 more so.

    Returns:
      `[B, V]`.
    """
    penalised = jnp.where(logits > 0, logits / penalty, logits * penalty)
    return jnp.where(seen, penalised, logits)


def filter_logits(logits: Float[Array, 'B V'], sampling: Sampling) -> Float[Array, 'B V']:
    """Temperature, then top-k, then top-p, then min-p; each sees what the one before has left.

    Args:
      logits: `[B, V]`.
      sampling: the settings; the repetition penalty is not applied here.

    Returns:
      `[B, V]`; softmax of it is what tokens are drawn from. What may not be drawn is at −∞.
    """
    if sampling.greedy:
        likeliest = jnp.argmax(logits, axis=-1, keepdims=True)
        return jnp.where(jnp.arange(logits.shape[-1]) == likeliest, 0.0, -jnp.inf)
    if sampling.temperature != 1:
        # From the largest down, so that no quotient is too large for a float.
        logits = (logits - jnp.max(logits, axis=-1, keepdims=True)) / sampling.temperature
    if 0 < sampling.top_k < logits.shape[-1]:
        least = lax.top_k(logits, sampling.top_k)[0][:, -1:]
        logits = jnp.where(logits < least, -jnp.inf, logits)
    if sampling.top_p < 1:
        kept = _nucleus(jax.nn.softmax(logits, axis=-1), sampling.top_p)
        logits = jnp.where(kept, logits, -jnp.inf)
    if sampling.min_p > 0:
        # p ≥ min_p · p_max (Nguyen et al. 2024, section 3), as a difference of logits.
        least = jnp.max(logits, axis=-1, keepdims=True) + math.log(sampling.min_p)
        logits = jnp.where(logits < least, -jnp.inf, logits)
    return logits


def _nucleus(probability: Float[Array, 'B V'], p: float) -> Bool[Array, 'B V']:
    """The smallest set of likeliest tokens whose probability reaches p, of equals the first.

    Holtzman et al. 2020, equation 2. The least probability in the set is found by bisection: of
    floats that are not negative, the larger has the larger bit pattern, so its 30 bits below that
    of 2 are settled one by one. Sorting, on a CPU, takes three times as long for 65 tokens and
    twenty times for 50,257.

    Args:
      probability: each row adds up to 1.
      p: below 1.

    Returns:
      Which tokens are in the set, `[B, V]`.
    """

    def settle(i: Array, least: Int[Array, 'B 1']) -> Int[Array, 'B 1']:
        higher = least | (1 << (29 - i))
        cut = lax.bitcast_convert_type(higher, jnp.float32)
        mass = jnp.sum(jnp.where(probability >= cut, probability, 0), axis=-1, keepdims=True)
        return jnp.where(mass >= p, higher, least)

    bits = lax.fori_loop(0, 30, settle, jnp.zeros((len(probability), 1), jnp.int32))
    least = lax.bitcast_convert_type(bits, jnp.float32)
    above, equal = probability > least, probability == least
    missing = p - jnp.sum(jnp.where(above, probability, 0), axis=-1, keepdims=True)
    before = (jnp.cumsum(equal, axis=-1) - 1) * least  # of the equal ones, those with smaller ids
    return above | (equal & (before < missing))


def pick(logits: Float[Array, 'B V'], keys: Key | None, sampling: Sampling) -> Int[Array, 'B']:
    """Draw a token for each row from softmax(filter_logits(logits)).

    Args:
      logits: `[B, V]`.
      keys: a random key a row, `[B]`, so that no row's token depends on its neighbours; None will
        do where the temperature is 0.
      sampling: the settings; the repetition penalty is not applied here.

    Returns:
      `[B]` int32.

    Raises:
      InputError: where keys are needed and there are none.
    """
    if sampling.greedy:
        return jnp.argmax(logits, axis=-1).astype(jnp.int32)
    if keys is None:
        raise InputError('keys is None: there must be one a row where the temperature is above 0')
    drawn = jax.vmap(jax.random.categorical)(keys, filter_logits(logits, sampling))
    return drawn.astype(jnp.int32)
