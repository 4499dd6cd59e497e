"""Trees of arrays: paths, counts, digests, layers stacked or one by one."""

import hashlib
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

# The name of what holds all layers at once; the first axis of its arrays is the layer.
LAYERS = 'layers'


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


def flatten(tree: Any) -> dict[str, Any]:
    """The leaves of a tree by path, such as `body/layer_0/attention/out/kernel`."""
    found: dict[str, Any] = {}
    map_with_path(found.__setitem__, tree)
    return found


def unflatten(leaves: dict[str, Any]) -> dict[str, Any]:
    """Nested dicts again: undoes `flatten`."""
    tree: dict[str, Any] = {}
    for path, leaf in leaves.items():
        *parts, last = path.split('/')
        place = tree
        for part in parts:
            place = place.setdefault(part, {})
        place[last] = leaf
    return tree


def split(tree: dict[str, Any], chosen: Callable[[str], bool]) -> tuple[dict, dict]:
    """Two trees of nested dicts: the leaves whose paths are chosen, and the others.

    Args:
      tree: nested dicts.
      chosen: of a path.

    Returns:
      (chosen, others), each without what it has no leaf of.
    """
    leaves = flatten(tree)
    picked = {path: leaf for path, leaf in leaves.items() if chosen(path)}
    rest = {path: leaf for path, leaf in leaves.items() if path not in picked}
    return unflatten(picked), unflatten(rest)


def merge(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """The leaves of both in one tree; where both have one, the other's. Undoes `split`."""
    return unflatten(flatten(one) | flatten(other))


def stack_layers(tree: dict[str, Any]) -> dict[str, Any]:
    """Put the subtrees `layer_0`, `layer_1`, … into one, `layers`, along a new first axis.

    Args:
      tree: a dict; what else it holds stays as it is.

    Returns:
      The dict with `layers` in place of them.
    """
    names = [f'layer_{i}' for i in range(sum(name.startswith('layer_') for name in tree))]
    rest = {name: value for name, value in tree.items() if name not in names}
    return {**rest, LAYERS: jax.tree.map(lambda *a: jnp.stack(a), *(tree[n] for n in names))}


def unstack_layers(tree: dict[str, Any]) -> dict[str, Any]:
    """Take `layers` apart again into `layer_0`, `layer_1`, …: undoes `stack_layers`."""
    rest = {name: value for name, value in tree.items() if name != LAYERS}
    number = jax.tree.leaves(tree[LAYERS])[0].shape[0]
    layers = {f'layer_{i}': jax.tree.map(lambda a: a[i], tree[LAYERS]) for i in range(number)}  # noqa: B023
    return {**rest, **layers}
