"""Tensors to parameters: all checked first, then read one after another into where they stay."""

import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

import jax
import numpy as np

from nlp_models import trees
from nlp_models.errors import InputError
from nlp_models.pretrained.architectures import FAMILIES, Architecture
from nlp_models.pretrained.family import Leaf
from nlp_models.pretrained.tensors import FLOATS, Tensor, equal, read_into
from nlp_models.types import Params

_ALIGNMENT = 64  # bytes; jax takes over an array on a CPU that starts at a multiple, uncopied

_NUMBER = re.compile(r'(\S*?\.)(\d+)(\..*)')  # of a layer, in a tensor's name

_LAYER = re.compile(r'layer_(\d+)')


def read_params(
    folder: Path, tensors: dict[str, Tensor], architecture: Architecture, *, stacked: bool = False
) -> Params:
    """Reads a model's parameters, in float32.

    The largest come first, so that at no time more is held than all of them and one small one.

    Args:
      folder: named in errors.
      tensors: the folder's, by name.
      architecture: says which parameters there are.
      stacked: whether layers lie stacked (`trees.stack_layers`).

    Returns:
      The nested dict.

    Raises:
      InputError: if tensors are missing, of another shape or dtype, or more than there should be;
        it lists all of them.
    """
    known = _canonical(folder, tensors, architecture)
    faults = find_faults(known, architecture)
    if faults:
        raise InputError(
            f'the tensors of {str(folder)!r} are not those of its config.json: '
            f'{"; ".join(_fold(faults))}'
        )
    parts: dict[str, list[Leaf]] = {}  # those of several layers, where they lie stacked
    for leaf in architecture.leaves:
        path = _LAYER.sub(trees.LAYERS, leaf.path) if stacked else leaf.path
        parts.setdefault(path, []).append(leaf)
    params: dict[str, Any] = {}
    for path in sorted(parts, key=lambda path: -len(parts[path]) * np.prod(parts[path][0].shape)):
        *groups, name = path.split('/')
        node = params
        for group in groups:
            node = node.setdefault(group, {})
        node[name] = _read(parts[path], known, path)
    return params


def _canonical(
    folder: Path, tensors: dict[str, Tensor], architecture: Architecture
) -> dict[str, Tensor]:
    """The tensors by the names of the table."""
    family = FAMILIES[architecture.kind]
    known: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if family.canonical(name) in known:
            raise InputError(f'{str(folder)!r} holds {name} twice, by two names')
        known[family.canonical(name)] = tensor
    return known


def find_faults(tensors: dict[str, Tensor], architecture: Architecture) -> list[str]:
    """What is wrong with the tensors.

    Args:
      tensors: by the names of the table.
      architecture: says which there should be.

    Returns:
      A phrase for each fault.
    """
    family = FAMILIES[architecture.kind]
    faults, wanted = [], set()
    for leaf in architecture.leaves:
        for index, name in enumerate(leaf.names):
            wanted.add(name)
            shape = leaf.tensor_shape(index)
            tensor = tensors.get(name)
            if tensor is None:
                faults.append(f'{name} is missing')
            elif tensor.shape != shape:
                faults.append(f'{name} is {list(tensor.shape)}, not {list(shape)}')
            elif tensor.dtype not in FLOATS:
                faults.append(f'{name} is {tensor.dtype}, not one of {", ".join(FLOATS)}')
    ignored, copies = re.compile(family.ignored), family.copies(architecture.fields)
    for name in sorted(tensors.keys() - wanted):
        original = copies.get(name)
        if original is None and not ignored.fullmatch(name):
            faults.append(f'{name} is there, but has no place')
        elif original in tensors and not _copy(tensors[name], tensors[original]):
            faults.append(f'{name} is not equal to {original}, to which config.json ties it')
    return faults


def _fold(faults: list[str]) -> list[str]:
    """Faults that are the same of several layers as one, so that all can be named."""
    layers: dict[tuple[str, str], list[str]] = {}
    for fault in faults:
        found = _NUMBER.match(fault)
        before, number, after = found.groups() if found else (fault, '', '')
        layers.setdefault((before, after), []).append(number)
    return [
        before + (numbers[0] if len(numbers) == 1 else f'{{{",".join(numbers)}}}') + after
        for (before, after), numbers in layers.items()
    ]


def _copy(tensor: Tensor, original: Tensor) -> bool:
    floats: Collection[str] = FLOATS
    return tensor.dtype in floats and original.dtype in floats and equal(tensor, original)


def _read(leaves: list[Leaf], tensors: dict[str, Tensor], path: str) -> jax.Array:
    """One parameter; of several layers where they lie stacked."""
    stacked = trees.LAYERS in path.split('/')
    shape = leaves[0].shape
    out = _aligned((len(leaves), *shape))
    for leaf, whole in zip(leaves, out, strict=True):
        start = 0
        for name, size in zip(leaf.names, leaf.sizes, strict=True):
            part = whole[..., start : start + size]
            read_into(tensors[name], part.T if leaf.transpose else part)
            start += size
    return jax.block_until_ready(jax.device_put(out if stacked else out[0]))


def _aligned(shape: tuple[int, ...]) -> np.ndarray:
    """An empty array of float32 that jax need not copy."""
    size = int(np.prod(shape)) * 4
    memory = np.empty(size + _ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % _ALIGNMENT
    return memory[start : start + size].view(np.float32).reshape(shape)
