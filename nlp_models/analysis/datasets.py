"""The texts and pairs that the cells of a study read: opened once a process."""

from collections.abc import Callable
from typing import Any

_opened: dict[tuple[Callable, str], Any] = {}


def load_once(load: Callable[[Any], Any], data: Any) -> Any:
    """What `load(data)` gives, now or the first time it was asked for.

    Opening reads the text through to check it, which every cell of a study would else do again.

    Args:
      load: `store.load_dataset` or `pairs.load_pairs`.
      data: a config's group.

    Returns:
      The dataset.
    """
    key = (load, data.to_json())
    if key not in _opened:
        _opened[key] = load(data)
    return _opened[key]
