"""Machines that have jax, flax, optax, absl and ml_collections alone.

The measured code names two packages more, neither of which does anything in a measurement:
jaxtyping writes shapes into signatures, tqdm draws bars. Where they are not installed this stands
in for them, before anything else is imported.
"""

import importlib.util
import sys
from types import ModuleType
from typing import Any


class _Unchecked:
    """An annotation that says nothing: `Float[Array, 'B T']` is then just `Any`."""

    def __class_getitem__(cls, item: Any) -> Any:
        return Any


def stand_in() -> list[str]:
    """Put stand-ins where jaxtyping and tqdm are missing.

    Returns:
      The names of the packages that were missing.
    """
    names: dict[str, tuple[str, ...]] = {
        'jaxtyping': ('Array', 'Bool', 'Float', 'Int', 'Integer', 'Key', 'PyTree', 'Shaped'),
        'tqdm': ('tqdm',),
    }
    missing = [name for name in names if importlib.util.find_spec(name) is None]
    for name in missing:
        module = ModuleType(name)
        for attribute in names[name]:
            setattr(module, attribute, _Unchecked)
        sys.modules[name] = module
    return missing
