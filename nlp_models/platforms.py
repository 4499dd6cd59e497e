"""What depends on the kind of device: one table, and the measurement behind each entry.

Code that has a choice to make asks `choices()` while it is traced. (The blocks of attention in
chunks stand with their measurements in `attention/chunked.py`.) Every choice computes the same
function (tests hold each against the plain form), so the table decides about time and memory alone.
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
      dense_backward: whether dense layers have a backward pass of their own.
      lean_residuals: whether GELU and LayerNorm have backward passes of their own, which keep the
        inputs and two numbers a row.
      donate: whether a training step may overwrite the state it is given.
      flat_reduction_bytes: gradients smaller than this are added up over devices as one vector.
      chunked_from: queries and keys from which on attention is computed in chunks, where no kernel
        of the device's own can serve.
      scatter_one_token: whether one token of one text is written to the cache beside another that
        is dropped, so that it stays a scatter.
      parallel_in_time: whether a recurrence that is linear in its state is run by an associative
        scan.
      runs_in_turn: whether a device takes the runs of a grid one after the other, not batched.
    """

    platform: str
    scan_chunk_bytes: int = 0
    scan_block_bytes: int = 0
    dense_backward: bool = False
    lean_residuals: bool = False
    donate: bool = True
    flat_reduction_bytes: int = 0
    chunked_from: int = 4096  # a matter of memory: not measured
    scatter_one_token: bool = False
    parallel_in_time: bool = True
    runs_in_turn: bool = False


TABLE = {
    # Measured on 2 cores (Zen 5, 1 MiB of L2 each), one device a core; `docs/benchmarks.md` has the
    # tables. Ratios are of the time with the choice to that without.
    'cpu': Choices(
        'cpu',
        scan_chunk_bytes=2**20,  # LSTM, B=32, T=256, N=256: 0.68; B=16, T=512, N=128: 0.53
        scan_block_bytes=2**20,  # the first of these: 0.92 to 0.98
        dense_backward=True,  # 4×128 transformer's training step: 0.72
        # All as one vector: the same 0.93; all but the layers' matrices apart from it: 6×384 0.97.
        flat_reduction_bytes=2**19,
        lean_residuals=True,  # 6×384 transformer's training step: 0.94; 4×128: 0.97
        # Each parameter's update is several kernels that read the old moments, so that XLA copies
        # what is to be overwritten. 6×384 transformer's training step: 0.90; 4×128: 0.98. It takes
        # a second copy of parameters and moments: 252 of the first one's 771 MB on two devices.
        donate=False,
        # Plain attention's time over that in chunks, heads of 64, causal, forward and backward, one
        # device, at (B, T, H) = (1, 64, 4) 1.0, (1, 256, 4) 1.6, (8, 256, 6) 1.4, (1, 1024, 4) 3.4,
        # (1, 4096, 4) 6 to 10, (1, 8192, 4) 9; one device a core, (12, 64, 4) 0.9, (8, 256, 6) 1.2.
        chunked_from=256,
        # XLA makes a single write an update of a slice, and copies the whole cache around it.
        # Greedy decoding of one text, 4×128: 0.7; 12×768: 0.8. More texts have no such copy.
        scatter_one_token=True,
        # In ms, step by step and by associative scan, at (B, T, N) = (16, 64, 256), (16, 1024, 64)
        # and (1, 16384, 64): minGRU 7 and 13, 37 and 53, 47 and 77; minLSTM 11 and 12, 52 and 78,
        # 82 and 96; linear 2.6 and 2.8, 6.8 and 16, 6.7 and 25.
        parallel_in_time=False,
        # Ten runs of batch 32 on two devices, training steps of each device's five in turn over
        # those of all five batched: GRU at (T, N) = (32, 16) 1.14, (64, 32) 0.83, (64, 64) 0.72,
        # (64, 128) 0.78; RNN (128, 64) 0.79; LSTM (64, 64) 0.84; 2-layer transformers 16, 32 and
        # 64 wide 0.83, 0.83 and 0.80.
        runs_in_turn=True,
    ),
    # Nothing has been measured here: everything hoisted, and XLA's own ways.
    'gpu': Choices('gpu'),
    'tpu': Choices('tpu'),
}

_assumed: list[Choices] = []


def choices() -> Choices:
    """The choices for the device that code is being traced for."""
    if _assumed:
        return _assumed[-1]
    platform = jax.default_backend()
    return TABLE.get(platform, Choices(platform))


@contextlib.contextmanager
def assume(chosen: Choices) -> Iterator[None]:
    """Trace what is inside with the choices given: to lower for, or to compare with, others."""
    _assumed.append(chosen)
    try:
        yield
    finally:
        _assumed.pop()
