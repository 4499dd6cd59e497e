"""The texts and pairs that the cells of a study read: opened once a process."""

from collections.abc import Callable
from typing import Any

_opened: dict[tuple[Callable, str], Any] = {}


def load_once(load: Callable[..., Any], data: Any, tokenizer: Any = None) -> Any:
    """What `load(data)` gives, now or the first time it was asked for.

    Opening reads the text through to check it, which every cell of a study would else do again.

    Args:
      load: `store.load_dataset`, `pairs.load_pairs` or `labelled.load_labelled`.
      data: a config's group.
      tokenizer: where it is given, and not to be learned; the same for the whole process.

    Returns:
      The dataset.
    """
    key = (load, data.to_json())
    if key not in _opened:
        _opened[key] = load(data) if tokenizer is None else load(data, tokenizer)
    return _opened[key]
