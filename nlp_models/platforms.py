"""What depends on the kind of device: one table, and the measurement behind each entry.

Code that has a choice to make asks `choices()` while it is traced; nothing else in the library asks
what it runs on. Every choice computes the same function (tests hold each against the plain form),
so the table decides about time and memory alone.
"""

import contextlib
from collections.abc import Iterator
from typing import NamedTuple

import jax


class Choices(NamedTuple):
    """How one kind of device wants things done.

    Attributes:
      platform: its name.
      scan_chunk_bytes: what the gates of the steps that a recurrence's own backward pass takes at a
        time may come to, for 8 to 32 steps; 0 takes all T at a time.
      scan_block_bytes: recurrent weights of at least this size are multiplied by in blocks of N
        columns; 0 never.
    """

    platform: str
    scan_chunk_bytes: int = 0
    scan_block_bytes: int = 0


TABLE = {
    'cpu': Choices('cpu', scan_chunk_bytes=2**20, scan_block_bytes=2**20),
    'gpu': Choices('gpu'),
    'tpu': Choices('tpu'),
}

_assumed: list[Choices] = []


def choices() -> Choices:
    """The choices for the device that code is being traced for."""
    return _assumed[-1] if _assumed else TABLE[jax.default_backend()]


@contextlib.contextmanager
def assume(chosen: Choices) -> Iterator[None]:
    """Trace what is inside with the choices given: to lower for, or to compare with, others."""
    _assumed.append(chosen)
    try:
        yield
    finally:
        _assumed.pop()
