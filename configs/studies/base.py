"""What the configs of studies have in common: sizes, small models, the optimizer of many runs."""

from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

from configs import lm
from nlp_models.errors import require

SIZES = ('quick', 'standard', 'full')


def study(
    name: str,
    size: str,
    *,
    fields: Mapping[str, Any],
    sizes: Mapping[str, Mapping[str, Any]],
    thresholds: Mapping[str, Any],
) -> Any:
    """A study's config.

    Args:
      name: of the study.
      size: 'quick' (a smoke run of some minutes on 2 cores), 'standard' (what the report rests on,
        at most two hours on 2 cores) or 'full' (what a paper would run, on a GPU).
      fields: what all sizes have, with the values of 'standard'.
      sizes: of the other two, what is different.
      thresholds: what decides, the same for all sizes.

    Returns:
      The config, with `study`, `size`, `num_devices` and `thresholds` beside the fields.

    Raises:
      InputError: for another size.
    """
    require(size in SIZES, f'size of configs/studies/{name}.py', size, f'must be one of {SIZES}')
    config = ConfigDict(
        {
            'study': name,
            'size': size,
            'num_devices': 0,  # to share runs out over; 0: one a core on a CPU, else all
            'thresholds': dict(thresholds),
            **fields,
        }
    )
    if size != 'standard':
        config.update(sizes[size])
    return config


def model(family: str, **fields: Any) -> dict[str, Any]:
    """The `model` group of a small model, some fields other than in `configs/lm.py`."""
    group = lm.transformer() if family == 'transformer' else lm.recurrent(family)
    if family == 'transformer':
        group.update(init_std=0.0, embed_std=1.0)  # 1/√(fan in): at small widths 0.02 is too little
    unknown = set(fields) - set(group)
    require(not unknown, f'fields of {family}', sorted(unknown), f'must be among {sorted(group)}')
    return {**group, **fields}


def optimizer(**fields: Any) -> dict[str, Any]:
    """The `optimizer` group of runs whose learning rates are swept: Adam, clipped, no decay."""
    group = lm.base().optimizer.to_dict()
    group.update(schedule='constant', weight_decay=0.0, b2=0.99, warmup_steps=20)
    return {**group, **fields}
