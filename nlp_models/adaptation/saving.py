"""Adapters: what was learned on top of a base, kept alone, and put onto that base again.

An adapter is a folder with

    adapter.safetensors   the arrays that the base has not, or has otherwise
    adapter.json          what to add to the base's `model` group, and which base it is for

so that of many tasks one base is kept and a few kilobytes each.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from nlp_models import trees
from nlp_models.adaptation import building
from nlp_models.adaptation.classifier import Classes
from nlp_models.errors import InputError
from nlp_models.types import Params

ARRAYS, FACTS = 'adapter.safetensors', 'adapter.json'


class Adapter(NamedTuple):
    """What was learned on top of a base.

    Attributes:
      name: where it was read from.
      base: what the base's parameters are read from, as in `init_from`.
      model: fields of the `model` group that are added to the base's (`building.FIELDS`).
      shape: of the head of classes: `num_classes` and `pooling`.
      classes: what that head tells apart; None where there is none.
      arrays: by path.
      made_for: of every parameter of the base, its shape and a digest.
    """

    name: str
    base: str
    model: dict[str, Any]
    shape: dict[str, Any]
    classes: Classes | None
    arrays: dict[str, np.ndarray]
    made_for: dict[str, tuple[list[int], str]]


def is_adapter(path: str) -> bool:
    """Whether a path is an adapter's folder."""
    return (Path(path) / FACTS).exists()


def extract(params: Params, base: Params) -> dict[str, np.ndarray]:
    """The arrays by path that the base has not, or has other numbers in."""
    known = trees.flatten(base)
    found = {}
    for path, leaf in trees.flatten(params).items():
        array = np.asarray(leaf)
        if path not in known or not np.array_equal(array, np.asarray(known[path])):
            found[path] = np.ascontiguousarray(array)
    return found


def describe(base: Params) -> dict[str, tuple[list[int], str]]:
    """Of every parameter its shape and the first 12 hex digits of a sha256 of its numbers."""
    found = {}
    for path, leaf in trees.flatten(base).items():
        array = np.ascontiguousarray(leaf)
        found[path] = list(array.shape), hashlib.sha256(array.tobytes()).hexdigest()[:12]
    return found


def save(
    folder: str | Path,
    params: Params,
    base: Params,
    *,
    base_name: str,
    model: Mapping[str, Any],
    shape: Mapping[str, Any],
    classes: Classes | None = None,
) -> int:
    """Write an adapter.

    Args:
      folder: made where there is none; files of these names in it are replaced.
      params: of the adapted model, LoRA not merged.
      base: parameters of the base.
      base_name: what they were read from.
      model: the `model` group of the adapted model.
      shape: with `num_classes` and `pooling`.
      classes: what that head tells apart, where there is one.

    Returns:
      Bytes of the arrays.

    Raises:
      InputError: where nothing was learned, or the folder cannot be written.
    """
    arrays = extract(params, base)
    if not arrays:
        raise InputError(f'nothing differs from {base_name!r}: there is no adapter to be saved')
    facts = {
        'base': base_name,
        'model': {field: model[field] for field in building.FIELDS if field in model},
        'shape': {name: shape[name] for name in ('num_classes', 'pooling')},
        'classes': classes and classes._asdict(),
        'made_for': describe(base),
    }
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        save_file(arrays, folder / ARRAYS)
        (folder / FACTS).write_text(json.dumps(facts, sort_keys=True) + '\n', encoding='utf-8')
    except (OSError, SafetensorError) as error:
        raise InputError(f'{str(folder)!r} cannot be written: {error}') from error
    return sum(array.nbytes for array in arrays.values())


def read(folder: str | Path) -> Adapter:
    """Read an adapter.

    Raises:
      InputError: where the folder holds none, or it cannot be read.
    """
    path = Path(folder)
    try:
        facts = json.loads((path / FACTS).read_text(encoding='utf-8'))
        arrays = load_file(path / ARRAYS)
        known = facts['classes']
        return Adapter(
            name=str(folder),
            base=facts['base'],
            model=facts['model'],
            shape=facts['shape'],
            classes=known and Classes(**{**known, 'labels': tuple(known['labels'])}),
            arrays=arrays,
            made_for={path: (shape, digest) for path, (shape, digest) in facts['made_for'].items()},
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, SafetensorError) as error:
        raise InputError(f'adapter {folder} cannot be read: {error!r}') from error


def attach(adapter: Adapter, model: Any, base: Params) -> tuple[Any, Params]:
    """Put an adapter onto its base, whose arrays stay as they are and are shared.

    Args:
      adapter: from `read`.
      model: the base's `model` group.
      base: its parameters.

    Returns:
      (`model` group of the adapted model, its parameters, LoRA not merged).

    Raises:
      InputError: where it was made for another model, naming what differs first.
    """
    check(adapter, base)
    group = building.add_fields(model, adapter.model)
    return group, trees.unflatten({**trees.flatten(base), **adapter.arrays})


def check(adapter: Adapter, base: Params) -> None:
    """Refuse a base that an adapter was not made for.

    Raises:
      InputError: naming the first parameter that is missing, of another shape, or other numbers.
    """
    shapes = {path: list(np.shape(leaf)) for path, leaf in trees.flatten(base).items()}
    wrong = f'adapter {adapter.name} was made for another model than this one: '
    for path, (shape, _) in adapter.made_for.items():
        if path not in shapes:
            raise InputError(f'{wrong}{path} is missing')
        if shapes[path] != shape:
            raise InputError(f'{wrong}{path} is {shapes[path]}, not {shape}')
    for path in shapes:
        if path not in adapter.made_for:
            raise InputError(f'{wrong}it has no {path}')
    found = describe(base)
    other = [path for path, fact in adapter.made_for.items() if found[path][1] != fact[1]]
    if other:
        raise InputError(
            f'{wrong}of {len(shapes)} parameters {len(other)} have other numbers, the first is '
            f'{other[0]}'
        )


class Adapters:
    """One base in memory, and several adapters on it, each called by its name."""

    def __init__(self, model: Any, base: Params, adapters: Mapping[str, Adapter]):
        """Put each onto the base; none of the base's arrays is copied.

        Args:
          model: the base's `model` group.
          base: its parameters.
          adapters: name to adapter.

        Raises:
          InputError: as `attach`.
        """
        self._held = {name: (one, *attach(one, model, base)) for name, one in adapters.items()}

    def __call__(self, name: str) -> tuple[Adapter, Any, Params]:
        """(the adapter, `model` group, parameters) of a name, LoRA not merged.

        Raises:
          InputError: for a name there is none of.
        """
        if name not in self._held:
            raise InputError(f'there is no adapter {name!r}: there are {", ".join(self._held)}')
        return self._held[name]
