"""Trees of arrays: paths, counts, digests."""

import hashlib
from collections.abc import Callable
from typing import Any

import jax
import numpy as np


def map_with_path(function: Callable[[str, Any], Any], tree: Any) -> Any:
    """Apply `function(path, leaf)` to every leaf; a path reads `body/layer_0/attention/out/kernel`.

    Args:
      function: of the path and the leaf.
      tree: a pytree.

    Returns:
      The tree of results.
    """

    def call(path, leaf):
        return function(jax.tree_util.keystr(path, simple=True, separator='/'), leaf)

    return jax.tree_util.tree_map_with_path(call, tree)


def count(tree: Any) -> int:
    """How many numbers a tree holds in all its arrays."""
    return sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(tree))


def num_bytes(tree: Any) -> int:
    """How many bytes the arrays of a tree take."""
    return sum(
        int(np.prod(leaf.shape)) * np.dtype(leaf.dtype).itemsize for leaf in jax.tree.leaves(tree)
    )


def digests(tree: Any) -> dict[str, str]:
    """A sha256 of every array: its dtype, shape and bytes.

    Args:
      tree: a pytree of arrays.

    Returns:
      Path to hexadecimal digest.
    """
    result: dict[str, str] = {}

    def add(path, leaf):
        array = np.ascontiguousarray(leaf)
        head = f'{array.dtype.str}{array.shape}'.encode()
        result[path] = hashlib.sha256(head + array.tobytes()).hexdigest()

    map_with_path(add, tree)
    return result
