"""What the three architectures of a transformer cost: operations, bytes of state, kinds of parts.

Operations are matrix products as in `costs`, of full rows: what the longest string takes is what
every row of a padded batch takes. The projections of a layer and the head count by the tokens they
are needed for, attention by the pairs that the mask leaves.
"""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax

from nlp_models import costs, trees


class Stack(NamedTuple):
    """L equal layers, as far as their cost depends on them.

    Attributes:
      width: D.
      feed_forward_size: F.
      num_layers: L.
    """

    width: int
    feed_forward_size: int
    num_layers: int


def stack(model: Any) -> Stack:
    """Of a config's `model` group of the family 'transformer', with as many key heads as heads."""
    width = model.hidden_size
    return Stack(width, model.feed_forward_size or 4 * width, model.num_layers)


def self_flops(s: Stack, tokens: int, *, causal: bool) -> float:
    """Self-attention and feed-forward: L (8 D² n + 4 D F n + 4 D · pairs that are not masked).

    Args:
      s: the layers.
      tokens: n.
      causal: whether each token sees itself and those before it alone.

    Returns:
      FLOPs of a forward pass.
    """
    d, f = float(s.width), float(s.feed_forward_size)
    attended = costs.attention_flops(1, tokens, s.width, causal=causal)
    return s.num_layers * (8 * d * d * tokens + 4 * d * f * tokens + attended)


def memory_flops(s: Stack, source: int) -> float:
    """Keys and values of an encoder's output, once a source: 4 D² S a layer."""
    return s.num_layers * 4.0 * s.width**2 * source


def cross_flops(s: Stack, tokens: int, source: int) -> float:
    """Attention to a memory: L (4 D² n + 4 D n S)."""
    return s.num_layers * (4.0 * s.width**2 * tokens + 4.0 * s.width * tokens * source)


def encoder_flops(s: Stack, source: int) -> float:
    """A row of S tokens, each of which sees all."""
    return self_flops(s, source, causal=False)


def decoder_flops(s: Stack, tokens: int) -> float:
    """A row of n tokens, each of which sees itself and those before it."""
    return self_flops(s, tokens, causal=True)


def conditioned_flops(encoder: Stack, decoder: Stack, source: int, target: int) -> float:
    """An encoder over S tokens and a decoder over T that looks at its output."""
    reading = encoder_flops(encoder, source) + memory_flops(decoder, source)
    return reading + decoder_flops(decoder, target) + cross_flops(decoder, target, source)


class Writing(NamedTuple):
    """What it takes to read a source of S tokens and write T.

    Attributes:
      training: FLOPs of a forward and backward pass of one row.
      reading: FLOPs before the first token can be written.
      writing: FLOPs a written token, on average, the head included.
      state_bytes: what is kept of source and target when the last one has been written, float32.
    """

    training: float
    reading: float
    writing: float
    state_bytes: float


def writing(model: Any, *, source: int, target: int, vocab_size: int) -> Writing:
    """Costs of a decoder, or of an encoder-decoder whose two sides have the same layers.

    A decoder reads `source BEGIN target`: S tokens before it writes, then T one by one, each at the
    cost of one token that sees all before it. An encoder-decoder encodes the source and makes keys
    and values of it once; its decoder writes T tokens.

    Args:
      model: a config's `model` group, of the architecture 'decoder' or 'encoder_decoder'.
      source: S.
      target: T, END counted.
      vocab_size: V.

    Returns:
      The costs.
    """
    s = stack(model)
    head = 2.0 * s.width * vocab_size
    kept = 2 * 4.0 * s.width * s.num_layers * (source + target)  # keys and values, both sides
    if model.architecture == 'decoder':
        whole, reading = decoder_flops(s, source + target), decoder_flops(s, source)
    else:
        whole = conditioned_flops(s, s, source, target)
        reading = encoder_flops(s, source) + memory_flops(s, source)
    return Writing(
        training=costs.FORWARD_BACKWARD * (whole + target * head),
        reading=reading,
        writing=(whole - reading) / target + head,
        state_bytes=kept,
    )


def equal_steps(reference: float, flops: float, steps: int, chunk: int) -> int:
    """Steps that come to the operations of `steps` of a reference, to the nearest chunk.

    Args:
      reference: FLOPs of a step of the reference.
      flops: FLOPs of a step.
      steps: of the reference.
      chunk: of which the steps are a multiple, at least one.

    Returns:
      Steps.
    """
    return chunk * max(1, round(steps * reference / flops / chunk))


def kinds(model: Any) -> Sequence[str]:
    """The kinds of parameter arrays that a model has: their paths, without the layers' numbers.

    Args:
      model: with `init`.

    Returns:
      Sorted, such as 'body/layer/attention/qkv/kernel'.
    """
    paths: list[str] = []
    shapes = jax.eval_shape(model.init, jax.random.key(0))
    trees.map_with_path(lambda path, leaf: paths.append(path), shapes)
    return sorted({re.sub(r'layer_\d+', 'layer', path) for path in paths})
