"""The tasks by their names, their canonical settings and their vocabularies."""

from collections.abc import Callable, Mapping

from nlp_models.data.synthetic.addition import adding
from nlp_models.data.synthetic.brackets import dyck
from nlp_models.data.synthetic.copying import copy
from nlp_models.data.synthetic.delays import delayed
from nlp_models.data.synthetic.draws import Examples
from nlp_models.data.synthetic.parities import parity
from nlp_models.data.synthetic.recalling import recall
from nlp_models.errors import require

TASKS: Mapping[str, Callable[..., Examples]] = {
    'copy': copy,
    'adding': adding,
    'recall': recall,
    'parity': parity,
    'dyck': dyck,
    'delayed': delayed,
}
"""Each a function `(seed, index, *, split, …)`."""

SETTINGS: Mapping[str, tuple[Mapping[str, int], ...]] = {
    'copy': ({'delay': 500}, {'delay': 1000}, {'delay': 2000}),
    'adding': ({'length': 400}, {'length': 600}),
    'recall': (
        {'length': 64, 'pairs': 4},
        {'length': 128, 'pairs': 8},
        {'length': 256, 'pairs': 16},
        {'length': 512, 'pairs': 64},
    ),
    # Trained on the first, tested on the others.
    'parity': (
        {'max_length': 40},
        {'min_length': 41, 'max_length': 100},
        {'min_length': 101, 'max_length': 500},
    ),
    # The paper's kinds and depths; its strings are of many lengths.
    'dyck': (
        {'length': 64, 'kinds': 2, 'depth': 3},
        {'length': 64, 'kinds': 2, 'depth': 5},
        {'length': 64, 'kinds': 8, 'depth': 3},
        {'length': 64, 'kinds': 8, 'depth': 5},
    ),
    # No paper's: distances on both sides of any n-gram's reach.
    'delayed': tuple(
        {'distance': distance, 'alphabet': 16, 'fillers': 16} for distance in (4, 8, 16, 32, 64)
    ),
}
"""What papers have measured, as arguments of the task; the other arguments' defaults are theirs."""


def vocab_size(task: str, setting: Mapping[str, int | float]) -> int:
    """How many tokens a task has in a setting.

    Args:
      task: one of `TASKS` but adding, whose inputs are numbers.
      setting: the task's arguments; those that have defaults may be left out.

    Returns:
      V: inputs and targets are from 0 to V − 1.

    Raises:
      InputError: there is no such task, or it has no tokens.
    """
    sizes: Mapping[str, Callable[[], int | float]] = {
        'copy': lambda: 2 + setting.get('alphabet', 8),
        'recall': lambda: setting.get('vocab_size', 8192),
        'parity': lambda: 3,
        'dyck': lambda: 1 + 2 * setting['kinds'],
        'delayed': lambda: 1 + setting['alphabet'] + setting.get('fillers', 2),
    }
    require(task in sizes, 'task', task, f'must be one of {", ".join(sizes)} to have tokens')
    return int(sizes[task]())
