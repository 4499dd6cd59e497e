"""One vector for a text from an encoder, a decoder or both, trained on pairs that belong together.

How Ni et al. 2022 ("Sentence-T5", figure 2) take vectors from an encoder-decoder is followed: the
decoder reads its first token alone, and what it makes of it is the text's vector.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nlp_models import costs, heads, models
from nlp_models.analysis import architecture_costs
from nlp_models.attention.encoder import make_encoder
from nlp_models.attention.encoder_decoder import make_conditioned_decoder
from nlp_models.attention.fields import block_config, layer_options
from nlp_models.data.contrastive_batches import (
    contrastive_batch,
    contrastive_evaluation_batches,
)
from nlp_models.errors import require
from nlp_models.training import objectives, retrieval, runs
from nlp_models.types import Encoder, Key, Params, TextEncoder

KINDS = ('encoder', 'decoder', 'encoder_decoder')


class Embedded(NamedTuple):
    """What the best learning rate came to, one value a seed.

    Attributes:
      learning_rate: the best by the validation pairs.
      recall: share of test texts whose other half is nearest.
      reciprocal_rank: mean of 1 / rank of the other half.
      candidates: test texts, of which one is right.
      losses: mean training loss of the last chunk.
      diverged: how many of its runs did.
      swept: learning rate to validation recall, averaged over seeds.
      steps: taken.
      parameters: of the model.
    """

    learning_rate: float
    recall: list[float]
    reciprocal_rank: list[float]
    candidates: int
    losses: list[float]
    diverged: int
    swept: dict[str, float]
    steps: int
    parameters: int


def build(model: Any, kind: str, *, vocab_size: int, max_length: int) -> TextEncoder:
    """A model that gives vectors for a text.

    Args:
      model: a config's `model` group of the family 'transformer' and the architecture 'decoder',
        whose layers serve as those of every kind.
      kind: 'encoder', each token sees all; 'decoder', each sees those before it; or
        'encoder_decoder', whose decoder reads one learned vector and looks at the encoder's output.
      vocab_size: V.
      max_length: S.

    Returns:
      A `TextEncoder` without a head. Its vectors are `[B, S, D]`; of 'encoder_decoder' all S are
      the one, which the pooling 'cls' takes.

    Raises:
      InputError: for another kind, or a model that does not do.
    """
    require(kind in KINDS, 'kind', kind, f'must be one of {", ".join(KINDS)}')
    config, options = block_config(model), layer_options(model)
    if kind == 'encoder':
        body = make_encoder(config, max_length=max_length, **options)
    elif kind == 'decoder':
        body = _causal(model, max_length)
    else:
        body = _both(
            make_encoder(config, max_length=max_length, **options),
            make_conditioned_decoder(config, max_length=1, **options),
        )
    ends = models.build_ends(model, vocab_size, config.width)
    return heads.text_encoder(ends, body, num_segments=0, context=max_length, masked_head=None)


def _causal(model: Any, max_length: int) -> Encoder:
    """A decoder's layers, all vectors of which are handed on."""
    body = models.build_body(model, max_length=max_length)

    def encode(params: Params, x: jax.Array, *, lengths=None, key=None) -> jax.Array:
        return body.apply(params, body.start(params, len(x)), x, lengths=lengths, key=key)[1]

    return Encoder(body.init, encode, model.hidden_size)


def _both(encoder: Encoder, decoder: Any) -> Encoder:
    """An encoder, and what a decoder makes of it at its first place."""

    def init(key: Key) -> Params:
        keys = jax.random.split(key, 3)
        return {
            'encoder': encoder.init(keys[0]),
            'decoder': decoder.init(keys[1]),
            'first': jax.random.normal(keys[2], (encoder.width,)),
        }

    def encode(params: Params, x: jax.Array, *, lengths=None, key=None) -> jax.Array:
        real = jnp.full(len(x), x.shape[1], jnp.int32) if lengths is None else lengths
        memory = encoder.encode(params['encoder'], x, lengths=real, key=key)
        state = decoder.start(params['decoder'], memory, real)
        first = jnp.broadcast_to(params['first'].astype(x.dtype), (len(x), 1, encoder.width))
        y = decoder.apply(params['decoder'], state, first, key=key)[1]
        return jnp.broadcast_to(y, x.shape)

    return Encoder(init, encode, encoder.width)


def flops(model: Any, kind: str, length: int) -> float:
    """Operations of a forward and backward pass over one text of S tokens."""
    s = architecture_costs.stack(model)
    once = {
        'encoder': lambda: architecture_costs.encoder_flops(s, length),
        'decoder': lambda: architecture_costs.decoder_flops(s, length),
        'encoder_decoder': lambda: architecture_costs.conditioned_flops(s, s, length, 1),
    }[kind]()
    return costs.FORWARD_BACKWARD * once


def solve(
    model: TextEncoder,
    dataset: Any,
    training: Any,
    *,
    pooling: str,
    steps: int,
    seeds: Sequence[int],
    num_devices: int = 0,
) -> Embedded:
    """Train on pairs with every learning rate and seed, and test the best rate's runs.

    Args:
      model: gives the vectors.
      dataset: finite pairs (`data.pairs.PairDataset`).
      training: `batch_size` (pairs, each told from all others), `sequence_length` (where texts are
        cut off), `temperature`, `chunk`, `learning_rates` and `optimizer`.
      pooling: of its vectors (`heads.pool`).
      steps: of each run; a multiple of `chunk`.
      seeds: of parameters and the order of pairs.
      num_devices: see `runs.train`.

    Returns:
      The outcome. A text's other half is looked for among those of all pairs of its split.
    """

    def batches(seed: int, first: int, count: int) -> dict[str, np.ndarray]:
        made = [
            contrastive_batch(
                dataset,
                batch_size=training.batch_size,
                source_length=training.sequence_length,
                seed=seed,
                step=step,
            )
            for step in range(first, first + count)
        ]
        return {name: np.stack([each[name] for each in made]) for name in made[0]}

    def similarities(params: Any, batch: Any) -> jax.Array:
        u, v = (
            heads.pool(
                model.encode(params, batch[name], lengths=batch[f'{name}_lengths']),
                batch[f'{name}_lengths'],
                pooling,
                normalize=True,
            )
            for name in ('first', 'second')
        )
        return u @ v.T

    def score(params: Any, pairs: Any) -> list[dict[str, float]]:
        (batch,) = contrastive_evaluation_batches(
            pairs, batch_size=len(pairs), source_length=training.sequence_length
        )
        found = runs.evaluate(similarities, params, batch, num_devices=num_devices)
        return [retrieval.scores(each) for each in found]

    trained = runs.train(
        model.init,
        objectives.contrastive(model, pooling=pooling, temperature=training.temperature),
        training.optimizer,
        runs.grid(seeds, training.learning_rates),
        batches,
        steps=steps,
        chunk=training.chunk,
        num_devices=num_devices,
    )
    scored = score(trained.params, dataset.validation)
    found = np.array([each['recall_1'] for each in scored])
    best = runs.pick(trained, found, training.learning_rates, worst=0.0)
    tested = score(best.of(trained.params), dataset.test)
    return Embedded(
        learning_rate=best.learning_rate,
        recall=best.known([row['recall_1'] for row in tested]),
        reciprocal_rank=best.known([row['mean_reciprocal_rank'] for row in tested]),
        candidates=len(dataset.test),
        losses=best.of(trained.losses)[:, -1].tolist(),
        diverged=int(best.diverged.sum()),
        swept=best.swept,
        steps=trained.steps,
        parameters=costs.count_parameters(model),
    )
