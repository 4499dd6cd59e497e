"""One symbol at a distance: how far back must a model see?"""

import numpy as np

from nlp_models.data.synthetic import draws
from nlp_models.errors import require

QUERY = 0


def delayed(
    seed: int,
    index: np.ndarray,
    *,
    split: str = 'train',
    distance: int,
    alphabet: int,
    fillers: int = 2,
) -> draws.Examples:
    """A key, then fillers, then a query: the next token is the key again.

    The input is the key, distance − 2 random fillers and the query, which at a distance of 1 is
    left out; the token to predict is the one behind. So the key is the `distance`-th token before
    the one to predict, and a model that sees n − 1 tokens, like an n-gram of order n, can know it
    if and only if n − 1 ≥ distance. Fillers are random so that what lies between cannot be counted
    on. Its kin is experiment 2 of Hochreiter & Schmidhuber 1997, where the last symbol is the first
    again; no distance or vocabulary is canonical.

    Tokens: 0 is the query, 1 to A the keys, A + 1 to A + F the fillers. There are A · F^(distance
    − 2) different examples, of which the splits need a few hundred. A held-out example is
    one whose tokens no training example has in this order; at a distance of 1 or 2 that is to say
    its key. So what has only counted contexts as long as the distance cannot know them, what
    generalises over the fillers can.

    Args:
      seed: of the run.
      index: `[B]` integers, which examples.
      split: train, validation or test.
      distance: T, at least 1.
      alphabet: A, at least 2.
      fillers: F, at least 1.

    Returns:
      `inputs` and `targets` int32 `[B, T]`, the key at the last place of the targets; `weights`
      and `scored` float32 `[B, T]`, which are 1 there.

    Raises:
      InputError: a setting is out of its range, or has too few examples for the split.
    """
    require(distance >= 1, 'distance', distance, 'must be at least 1')
    require(alphabet >= 2, 'alphabet', alphabet, 'must be at least 2')
    require(fillers >= 1, 'fillers', fillers, 'must be at least 1')

    def draw(streams):
        random = draws.words(streams, max(distance - 1, 1))
        inputs = np.full((len(streams), distance), QUERY, np.int32)
        inputs[:, 0] = 1 + draws.below(random[:, 0], alphabet)
        inputs[:, 1:-1] = 1 + alphabet + draws.below(random[:, 1:], fillers)
        return inputs

    setting = f'delayed with distance={distance}, alphabet={alphabet}, fillers={fillers}'
    inputs, _ = draws.first_in_split(seed, index, split, draw, setting)
    targets = np.zeros_like(inputs)
    targets[:, -1] = inputs[:, 0]
    weights = np.zeros(inputs.shape, np.float32)
    weights[:, -1] = 1
    return draws.Examples(inputs, targets, weights, weights.copy())
