"""One device or many: the only file that names `pmap`.

Parameters and optimizer state are the same on every device, batches and carried states are shared
out by rows. With one device nothing has a device axis and functions are compiled with `jit`.
"""

import collections
import contextlib
import os
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from nlp_models import platforms
from nlp_models.errors import InputError

AXIS = 'devices'


def num_cores() -> int:
    """Cores this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1


def request_cpu_devices(number: int) -> None:
    """Have the CPU backend show `number` devices; 0 for one a core.

    It has no effect on other backends, and none once a device has been used.
    """
    # Where devices are in use already, their number stands; `choose` says if it is too low.
    with contextlib.suppress(RuntimeError):
        jax.config.update('jax_num_cpu_devices', number if number > 0 else num_cores())


class Pipeline:
    """Keeps the host from running too far ahead of the devices, without waiting for them.

    Not only memory wants a bound: XLA's CPU client admits 32 computations at a time, and once one
    device has taken all of these places for steps that wait for another device, neither goes on.
    """

    def __init__(self, depth: int = 2):
        """Allow `depth` computations to be under way."""
        self._depth = depth
        self._under_way: collections.deque = collections.deque()

    def add(self, result: Any) -> None:
        """Note a computation by a result that will not be donated; wait for the oldest if full."""
        self._under_way.append(result)
        if len(self._under_way) > self._depth:
            jax.block_until_ready(self._under_way.popleft())


class Devices(NamedTuple):
    """The devices a run is shared out over.

    Attributes:
      devices: local `jax.Device`s.
    """

    devices: tuple[Any, ...]

    @property
    def axis_name(self) -> str | None:
        """The axis to reduce over, or None on a single device."""
        return AXIS if len(self.devices) > 1 else None

    def compile(
        self, function: Callable, *arguments: Any, donate: bool = False
    ) -> tuple[Callable, float]:
        """Compile a function for these devices.

        Args:
          function: of one device's share; it may reduce over `axis_name`.
          *arguments: examples, already placed.
          donate: whether the first argument's memory may be reused for the result, where the kind
            of device gains by it.

        Returns:
          (the compiled function, seconds that tracing and compiling took).
        """
        donated = (0,) if donate and platforms.choices().donate else ()
        if self.axis_name is None:
            mapped = jax.jit(function, donate_argnums=donated)
        else:
            mapped = jax.pmap(function, AXIS, devices=list(self.devices), donate_argnums=donated)
        started = time.perf_counter()
        compiled = mapped.lower(*arguments).compile()
        return compiled, time.perf_counter() - started

    def replicate(self, tree: Any) -> Any:
        """Put the same arrays on every device: leaves `[…]` become `[devices, …]`."""
        if self.axis_name is None:
            return jax.device_put(tree, self.devices[0])
        n = len(self.devices)
        copies = jax.tree.map(lambda a: np.broadcast_to(np.asarray(a), (n, *np.shape(a))), tree)
        return self._place(copies)

    def shard(self, tree: Any) -> Any:
        """Share arrays out by rows, on the host: `[B, …]` becomes `[devices, B/devices, …]`."""
        if self.axis_name is None:
            return tree
        n = len(self.devices)
        return jax.tree.map(lambda a: np.asarray(a).reshape(n, -1, *np.shape(a)[1:]), tree)

    def place_shards(self, tree: Any) -> Any:
        """Share arrays out by rows and put each share on its device."""
        return self._place(self.shard(tree))

    def first(self, tree: Any) -> Any:
        """Bring one copy of replicated arrays to the host."""
        if self.axis_name is None:
            return jax.tree.map(np.array, jax.device_get(tree))
        return jax.tree.map(
            lambda a: np.array(a.addressable_shards[0].data).reshape(a.shape[1:]), tree
        )

    def gather(self, tree: Any) -> Any:
        """Bring the shares of all devices to the host, as `[B, …]` again."""
        host = jax.tree.map(np.array, jax.device_get(tree))
        if self.axis_name is None:
            return host
        return jax.tree.map(lambda a: a.reshape(-1, *a.shape[2:]), host)

    def _place(self, tree: Any) -> Any:
        """Arrays `[devices, …]` on the host to arrays with one row on each device."""
        mesh = jax.sharding.Mesh(np.array(self.devices), (AXIS,))
        sharding = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(AXIS))
        return jax.device_put(tree, sharding)


def choose(number: int, batch_size: int) -> Devices:
    """The devices for a batch.

    Args:
      number: how many; 0 for the largest number that divides the batch and is at most that of the
        devices there are (on a CPU, also of the cores).
      batch_size: rows of one microbatch, B over the accumulation steps.

    Returns:
      The devices.

    Raises:
      InputError: where an explicit number is not there or does not divide the batch.
    """
    local = jax.local_devices()
    limit = len(local)
    if number == 0:
        if local[0].platform == 'cpu':
            limit = min(limit, num_cores())
        number = max(n for n in range(1, limit + 1) if batch_size % n == 0)
    if not 1 <= number <= limit:
        raise InputError(f'num_devices is {number}: this machine shows {limit} {local[0].platform}')
    if batch_size % number:
        raise InputError(f'num_devices is {number}: it must divide the batch, {batch_size} rows')
    return Devices(tuple(local[:number]))
