"""A language model whose answers can be told beforehand: it repeats what followed the same two."""

from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from nlp_models.data.tokenizers import learn_tokenizer
from nlp_models.types import LanguageModel

TOKENIZER = learn_tokenizer('chars', ['abcdefghijklmnopqrstuvwxyz 0123456789=:\n'], 0)
V = TOKENIZER.vocab_size
SURE = 9.0  # the logit of what followed the last two tokens before


@cache
def induction(context: int | None = None) -> LanguageModel:
    """The model; its parameters are `bias` `[V]`, the logits of every token anyway."""

    def init(key):
        del key
        return {'bias': jnp.zeros(V)}

    def start(params, batch_size, max_length=0):
        del params, max_length
        return {
            'last': jnp.full((batch_size, 2), -1, jnp.int32),
            'followed': jnp.full((batch_size, V * V), -1, jnp.int32),
        }

    def apply(params, state, tokens, *, lengths=None, key=None):
        del key
        rows = jnp.arange(len(tokens))
        if lengths is None:
            lengths = jnp.full(len(tokens), tokens.shape[1], jnp.int32)

        def place(last):
            return jnp.where((last >= 0).all(axis=1), last[:, 0] * V + last[:, 1], V * V)

        def step(state, inputs):
            token, t = inputs
            last, followed = state['last'], state['followed']
            new = {
                'last': jnp.stack([last[:, 1], token], axis=1),
                'followed': followed.at[rows, place(last)].set(token, mode='drop'),
            }
            real = (t < lengths)[:, None]
            new = jax.tree.map(lambda a, b: jnp.where(real, a, b), new, state)
            padded = jnp.pad(new['followed'], ((0, 0), (0, 1)), constant_values=-1)
            next_token = padded[rows, place(new['last'])]
            return new, SURE * jax.nn.one_hot(next_token, V) + params['bias'][None]

        inputs = jnp.swapaxes(jnp.asarray(tokens), 0, 1), jnp.arange(tokens.shape[1])
        state, logits = lax.scan(step, state, inputs)
        return state, jnp.swapaxes(logits, 0, 1)

    return LanguageModel(init, start, apply, context)


def bias(**of: float) -> Any:
    """Parameters with a bias for some characters; `t1` for the character 1, as names begin so."""
    values = np.zeros(V, np.float32)
    for name, value in of.items():
        values[TOKENIZER.encode(name.removeprefix('t'))] = value
    return {'bias': jnp.asarray(values)}


def examples(count: int, letters: str = 'abcd', seed: int = 0) -> list[dict[str, str]]:
    """Questions of a letter, whose answer is its digit; `n` makes every text another."""
    random = np.random.default_rng(seed)
    drawn = random.choice([*letters], size=count)
    return [
        {'n': f'{seed}{i}', 'q': str(q), 'label': 'abcdefghij'.index(q).__str__()}
        for i, q in enumerate(drawn)
    ]
