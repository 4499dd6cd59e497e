"""What a token costs, of any family: operations, bytes and money, by formula.

Operations are those of matrix products (`costs`), float32. An n-gram has none: it looks up.
"""

from typing import Any, NamedTuple

import jax

from nlp_models import costs, models, trees
from nlp_models.errors import require
from nlp_models.types import LanguageModel

TOKENS = 1000  # what prices are told for


class Prices(NamedTuple):
    """What the user pays.

    Attributes:
      machine_hour: for an hour of the machine, in any currency.
      kilowatt_hour: for electricity, in the same currency; 0 where the hour's price includes it.
      watts: that the machine draws.
    """

    machine_hour: float
    kilowatt_hour: float = 0.0
    watts: float = 0.0


def money(seconds: float, prices: Prices) -> float:
    """What some time of the machine costs: t / 3600 · (price an hour + W / 1000 · price a kWh).

    Args:
      seconds: t.
      prices: none of them below 0.

    Returns:
      An amount in the currency of the prices.

    Raises:
      InputError: for a price or power below 0.
    """
    for name, value in prices._asdict().items():
        require(value >= 0, f'prices.{name}', value, 'must be at least 0')
    an_hour = prices.machine_hour + prices.watts / 1000 * prices.kilowatt_hour
    return seconds / 3600 * an_hour


def forward_flops(group: Any, *, length: int, vocab_size: int) -> float:
    """Products of reading one text, the head's included.

    Of a residual block (`recurrent.residual`) the feed-forward layer, 4 N wide, counts 16 N² a
    token beside the cell.

    Args:
      group: a config's `model` group, of a decoder; of a transformer with as many heads of keys as
        of queries and no gated feed-forward layers.
      length: T.
      vocab_size: V.

    Returns:
      FLOPs of a forward pass; 0 of an n-gram.
    """
    if group.family == 'ngram':
        return 0.0
    if group.family == 'transformer':
        return costs.transformer_flops(
            1,
            length,
            width=group.hidden_size,
            num_layers=group.num_layers,
            vocab_size=vocab_size,
            feed_forward_size=group.feed_forward_size,
            window=group.window,
            passes=costs.FORWARD,
        )
    cell, size = models.find_cell(group), group.hidden_size
    recurrent_gates = cell.gates if cell.terms is None else 0
    total = 2.0 * length * size * vocab_size
    for layer in range(group.num_layers):
        width = group.embed_size or size if layer == 0 else size
        r = costs.Recurrence(1, length, width, size, cell.gates, recurrent_gates, cell.carries)
        total += costs.sequential_flops(r) + 16.0 * length * size**2 * group.residual
    return total


def training_flops(group: Any, *, length: int, vocab_size: int) -> float:
    """Products of a forward and backward pass, a token of texts of a length.

    Args:
      group: as in `forward_flops`.
      length: T.
      vocab_size: V.

    Returns:
      FLOPs a token.
    """
    whole = forward_flops(group, length=length, vocab_size=vocab_size)
    return costs.FORWARD_BACKWARD * whole / length


def generation_flops(group: Any, *, context: int, vocab_size: int) -> float:
    """Products of the one token that makes a text as long as the context.

    What was read before it stands in the state: reading n tokens less reading n − 1.

    Args:
      group: as in `forward_flops`.
      context: n, tokens of the text with this one.
      vocab_size: V.

    Returns:
      FLOPs.
    """
    longer = forward_flops(group, length=context, vocab_size=vocab_size)
    if context == 1:
        return longer
    return longer - forward_flops(group, length=context - 1, vocab_size=vocab_size)


def multiplied_parameters(model: LanguageModel) -> int:
    """N of the rule C ≈ 6 N (Kaplan et al. 2020, section 2.1): parameters without the embedding.

    An embedding is looked up and not multiplied by. The head is, and so it counts, unlike there.

    Args:
      model: whose embedding is not tied to its head.

    Returns:
      How many numbers.
    """
    shapes = jax.eval_shape(model.init, jax.random.key(0))
    return trees.count(shapes) - trees.count(shapes.get('embed', {}))
