"""What every peer is: a call, and which of its ways was the fastest."""

from collections.abc import Callable
from typing import Any, NamedTuple

from nlp_models import timing


class Peer(NamedTuple):
    """A peer's work.

    Attributes:
      call: does it once; returns when it is done, or what has to be waited for.
      detail: which of its ways it took.
    """

    call: Callable[[], Any]
    detail: str = ''


def fastest(ways: dict[str, Callable[[], Any]], *, seconds: float = 0.5) -> str:
    """The name of the fastest of some ways to do the same.

    Args:
      ways: name to call.
      seconds: to spend on each, about.

    Returns:
      The name.
    """
    if len(ways) == 1:
        return next(iter(ways))
    times = {name: timing.median_seconds(call, seconds=seconds) for name, call in ways.items()}
    return min(times, key=lambda name: times[name])
