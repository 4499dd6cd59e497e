"""From stacks over vectors to models over tokens: what embeds, and what turns vectors to logits."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from nlp_models import operations
from nlp_models.attention.config import ACTIVATIONS
from nlp_models.types import (
    ConditionedModel,
    Encoder,
    Key,
    LanguageModel,
    Params,
    Seq2Seq,
    SequenceModel,
    State,
    TextEncoder,
)


class Ends(NamedTuple):
    """What lies at both ends of a stack.

    Attributes:
      vocab_size: V.
      embed_size: width of the embedding, D.
      width: of the vectors that the head reads.
      tie_embeddings: whether the head's matrix is the embedding's.
      head_bias: whether there is a b_o in o_t = y_t V + b_o.
      embed_std: of the initial embedding.
      dtype: compute dtype.
    """

    vocab_size: int
    embed_size: int
    width: int
    tie_embeddings: bool
    head_bias: bool
    embed_std: float
    dtype: Any


def language_model(ends: Ends, body: SequenceModel, context: int | None) -> LanguageModel:
    """Tokens to vectors, the sequence model, vectors to logits: o_t = y_t V + b_o.

    Args:
      ends: embedding and head.
      body: what is between them.
      context: tokens it can be given in all, or None.

    Returns:
      The model, with parameters `embed`, `body` and, where it has any of its own, `head`.
    """

    def init(key: Key) -> Params:
        key_embed, key_body, key_head = jax.random.split(key, 3)
        params = {'embed': init_embed(ends, key_embed), 'body': body.init(key_body)}
        return {**params, **_init_head(ends, key_head)}

    def start(params: Params, batch_size: int, max_length: int = 0) -> State:
        return body.start(params['body'], batch_size, max_length)

    def vectors(
        params: Params, state: State, tokens: Int[Array, 'B T'], *, lengths=None, key=None
    ) -> tuple[State, Float[Array, 'B T D']]:
        x = embed(ends, params['embed'], tokens)
        return body.apply(params['body'], state, x, lengths=lengths, key=key)

    def apply(
        params: Params, state: State, tokens: Int[Array, 'B T'], *, lengths=None, key=None
    ) -> tuple[State, Float[Array, 'B T V']]:
        state, y = vectors(params, state, tokens, lengths=lengths, key=key)
        return state, logits(ends, params, y)

    return LanguageModel(init, start, apply, context, vectors)


def vector_model(
    body: SequenceModel, *, input_size: int, width: int, output_width: int, output_size: int
) -> SequenceModel:
    """Real vectors in place of tokens, and a linear readout in place of logits.

        y_t = (body of (x_t E)) V + b_o

    Args:
      body: what is between them.
      input_size: C, of the vectors read.
      width: of what the body reads.
      output_width: of what the body gives.
      output_size: O, of what is read out.

    Returns:
      From x `[B, T, C]` to y `[B, T, O]`, both float32, with parameters `embed`, `body`, `head`.
    """

    def init(key: Key) -> Params:
        key_embed, key_body, key_head = jax.random.split(key, 3)
        kernel = jax.random.normal(key_embed, (input_size, width)) / math.sqrt(input_size)
        readout = jax.random.normal(key_head, (output_width, output_size)) / math.sqrt(output_width)
        return {
            'embed': {'kernel': kernel},
            'body': body.init(key_body),
            'head': {'kernel': readout, 'bias': jnp.zeros(output_size)},
        }

    def start(params: Params, batch_size: int, max_length: int = 0) -> State:
        return body.start(params['body'], batch_size, max_length)

    def apply(params: Params, state: State, x: Float[Array, 'B T C'], *, lengths=None, key=None):
        x = x @ params['embed']['kernel']
        state, y = body.apply(params['body'], state, x, lengths=lengths, key=key)
        return state, y @ params['head']['kernel'] + params['head']['bias']

    return SequenceModel(init, start, apply)


def seq2seq(
    ends: Ends,
    encoder: Encoder,
    decoder: ConditionedModel,
    *,
    shared_embeddings: bool,
    context: int | None,
    source_context: int | None,
) -> Seq2Seq:
    """An encoder over the source, and a language model over the target that looks at its output.

    Args:
      ends: embedding and head of the target.
      encoder: over the source's embeddings.
      decoder: over the target's.
      shared_embeddings: whether source and target have one embedding.
      context: target tokens it can be given in all, or None.
      source_context: the longest source, or None.

    Returns:
      The model, with parameters `embed`, `source_embed` where it is not shared, `encoder`,
      `decoder` and, where it has any of its own, `head`.
    """

    def init(key: Key) -> Params:
        keys = jax.random.split(key, 5)
        params = {
            'embed': init_embed(ends, keys[0]),
            'encoder': encoder.init(keys[1]),
            'decoder': decoder.init(keys[2]),
        }
        if not shared_embeddings:
            params['source_embed'] = init_embed(ends, keys[4])
        return {**params, **_init_head(ends, keys[3])}

    def start(
        params: Params,
        batch_size: int,
        max_length: int = 0,
        *,
        source: Int[Array, 'B S'],
        source_lengths: Int[Array, 'B'] | None = None,
        key: Key | None = None,
    ) -> State:
        del batch_size  # the sources say it
        lengths = source_lengths
        if lengths is None:
            lengths = jnp.full(source.shape[0], source.shape[1], jnp.int32)
        embedding = params['embed' if shared_embeddings else 'source_embed']
        x = embed(ends, embedding, source)
        memory = encoder.encode(params['encoder'], x, lengths=lengths, key=key)
        return decoder.start(params['decoder'], memory, lengths, max_length)

    def apply(
        params: Params,
        state: State,
        tokens: Int[Array, 'B T'],
        *,
        lengths: Int[Array, 'B'] | None = None,
        key: Key | None = None,
    ) -> tuple[State, Float[Array, 'B T V']]:
        x = embed(ends, params['embed'], tokens)
        state, y = decoder.apply(params['decoder'], state, x, lengths=lengths, key=key)
        return state, logits(ends, params, y)

    return Seq2Seq(init, start, apply, context, source_context)


def text_encoder(
    ends: Ends,
    body: Encoder,
    *,
    num_segments: int,
    context: int | None,
    masked_head: str | None,
    norm_epsilon: float = 1e-5,
    backward: str = 'custom',
) -> TextEncoder:
    """Tokens to vectors that have read both ways, and where asked for a masked-token head.

    The head is BERT's (Devlin et al. 2019, appendix A.2 and their code): a dense layer as wide as
    its input, σ, a LayerNorm, and then the matrix of the vocabulary:

        logits = LN(σ(y W + b)) V + b_o

    Args:
      ends: embedding and head.
      body: the encoder; `ends.width` is its width.
      num_segments: how many sentences a row may hold that are told apart; 0 for no such embedding.
      context: the longest row, or None.
      masked_head: σ of its head, a key of `ACTIVATIONS`; None for none.
      norm_epsilon: of its LayerNorm.
      backward: how the head is differentiated, 'custom' or 'autodiff' (`operations.layer_norm`).

    Returns:
      The model, with parameters `embed`, `body` and, with a masked-token head, `head`.
    """
    # What is compared with the embedding has to be as wide.
    out_size = ends.embed_size if ends.tie_embeddings else ends.width

    def init(key: Key) -> Params:
        key_embed, key_body, key_head, key_segments, key_dense = jax.random.split(key, 5)
        params = {'embed': init_embed(ends, key_embed), 'body': body.init(key_body)}
        if num_segments:
            shape = (num_segments, ends.embed_size)
            params['embed']['segments'] = ends.embed_std * jax.random.normal(key_segments, shape)
        if masked_head is None:
            return params
        kernel = jax.random.normal(key_dense, (ends.width, out_size)) / math.sqrt(ends.width)
        params.update(_init_head(ends._replace(width=out_size), key_head))
        params.setdefault('head', {}).update(
            transform={'kernel': kernel, 'bias': jnp.zeros(out_size)},
            norm={'scale': jnp.ones(out_size), 'bias': jnp.zeros(out_size)},
        )
        return params

    def encode(
        params: Params,
        tokens: Int[Array, 'B S'],
        *,
        lengths: Int[Array, 'B'] | None = None,
        segments: Int[Array, 'B S'] | None = None,
        key: Key | None = None,
    ) -> Float[Array, 'B S D']:
        x = embed(ends, params['embed'], tokens)
        if num_segments:
            table = params['embed']['segments'].astype(ends.dtype)
            x = x + (table[:1] if segments is None else table[segments])
        return body.encode(params['body'], x, lengths=lengths, key=key)

    def masked_logits(params: Params, y: Float[Array, 'B S D']) -> Float[Array, 'B S V']:
        head = params['head']
        y = y @ head['transform']['kernel'].astype(ends.dtype) + head['transform']['bias']
        y = ACTIVATIONS[str(masked_head)](y.astype(ends.dtype), backward=backward)
        scale, bias = head['norm']['scale'], head['norm']['bias']
        y = operations.layer_norm(y, scale, bias, epsilon=norm_epsilon, backward=backward)
        return logits(ends, params, y)

    return TextEncoder(init, encode, None if masked_head is None else masked_logits, context)


def init_embed(ends: Ends, key: Key) -> dict[str, jax.Array]:
    """`embedding` `[V, D]`."""
    shape = (ends.vocab_size, ends.embed_size)
    return {'embedding': ends.embed_std * jax.random.normal(key, shape)}


def embed(ends: Ends, params: Params, tokens: Int[Array, 'B T']) -> Float[Array, 'B T D']:
    """The tokens' rows of the embedding.

    Args:
      ends: embedding and head.
      params: `embedding` `[V, D]`.
      tokens: `[B, T]`, in [0, V).

    Returns:
      `[B, T, D]` of the compute dtype.
    """
    return params['embedding'][tokens].astype(ends.dtype)


def _init_head(ends: Ends, key: Key) -> dict[str, dict[str, jax.Array]]:
    """`head`, if there is anything in it."""
    head = {}
    if not ends.tie_embeddings:
        # Small, so that training starts near the uniform distribution.
        head['kernel'] = 0.02 * jax.random.normal(key, (ends.width, ends.vocab_size))
    if ends.head_bias:
        head['bias'] = jnp.zeros(ends.vocab_size)
    return {'head': head} if head else {}


def logits(ends: Ends, params: Params, y: Float[Array, 'B T D']) -> Float[Array, 'B T V']:
    """o_t = y_t V + b_o.

    Args:
      ends: embedding and head.
      params: of the model, with `embed` or `head`.
      y: `[B, T, D]`.

    Returns:
      `[B, T, V]` float32, whatever the compute dtype.
    """
    tied = ends.tie_embeddings
    kernel = params['embed']['embedding'].T if tied else params['head']['kernel']
    o = jnp.matmul(y, kernel.astype(ends.dtype), preferred_element_type=jnp.float32)
    return o + params['head']['bias'] if ends.head_bias else o


def pool(
    y: Float[Array, 'B S D'],
    lengths: Int[Array, 'B'],
    how: str,
    *,
    normalize: bool = False,
) -> Float[Array, 'B D']:
    """One vector for each row of an encoder's output.

    Args:
      y: `[B, S, D]`.
      lengths: real tokens of each row `[B]`, at least 1.
      how: 'mean' of the real tokens (Reimers & Gurevych 2019), 'cls', the first token, or 'last',
        the last real one.
      normalize: whether the vectors are to have length 1.

    Returns:
      `[B, D]` float32.
    """
    vectors = POOLINGS[how](y.astype(jnp.float32), lengths)
    if normalize:
        norm = jnp.linalg.norm(vectors, axis=-1, keepdims=True)
        vectors = vectors / jnp.maximum(norm, 1e-12)
    return vectors


def _mean(y: jax.Array, lengths: jax.Array) -> jax.Array:
    real = jnp.arange(y.shape[1]) < lengths[:, None]
    return jnp.einsum('BSD,BS->BD', y, real.astype(y.dtype)) / lengths[:, None]


POOLINGS: dict[str, Callable[[jax.Array, jax.Array], jax.Array]] = {
    'mean': _mean,
    'cls': lambda y, lengths: y[:, 0],
    'last': lambda y, lengths: y[jnp.arange(len(y)), lengths - 1],
}
