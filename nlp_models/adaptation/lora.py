"""LoRA: a change of low rank to chosen matrices, as a function from parameters to parameters."""

import math
import re
from typing import Any

import jax
import jax.numpy as jnp

from nlp_models import trees
from nlp_models.errors import InputError, require
from nlp_models.types import Key, Params

NAME = 'lora'  # the subtree of the parameters that holds the changes
TARGETS = r'(attention/(qkv|out)/kernel|/(W|W_h|U))$'  # of attention, and of recurrent cells


def find_targets(params: Params, pattern: str) -> dict[str, Any]:
    """The matrices whose paths a regular expression finds, path to leaf.

    Raises:
      InputError: for an expression that is none, finds nothing, or finds a leaf that is no matrix.
    """
    try:
        found = re.compile(pattern)
    except re.error as error:
        raise InputError(f'model.lora_targets is {pattern!r}: {error}') from error
    leaves = trees.flatten(params)
    chosen = {path: leaf for path, leaf in leaves.items() if found.search(path)}
    if not chosen:
        raise InputError(
            f'model.lora_targets is {pattern!r}: it finds no parameter; they are such as '
            f'{", ".join(list(leaves)[:4])}'
        )
    for path, leaf in chosen.items():
        if leaf.ndim - (trees.LAYERS in path.split('/')) != 2:
            raise InputError(
                f'model.lora_targets is {pattern!r}: it finds {path}, which is no matrix'
            )
    return chosen


def init(params: Params, key: Key, *, rank: int, targets: str = TARGETS) -> Params:
    """A and B for each matrix: A from N(0, 1/D), B zero, so that nothing is changed at first.

    Args:
      params: of the model.
      key: random key.
      rank: r, at least 1 and at most that of the smallest matrix.
      targets: which matrices, a regular expression that is searched for in their paths. Queries,
        keys and values of a transformer lie side by side in one matrix here and share their A,
        where Hu et al. give each an A of its own.

    Returns:
      Nested dicts as of the parameters, each matrix `[…, D, F]` replaced by `a` `[…, D, r]` and
      `b` `[…, r, F]`.

    Raises:
      InputError: as `find_targets`, and for a rank out of range.
    """
    made = {}
    for path, leaf in find_targets(params, targets).items():
        *stacked, rows, columns = leaf.shape
        most = min(rows, columns)
        require(1 <= rank <= most, 'model.lora_rank', rank, f'must be in [1, {most}] for {path}')
        key, one = jax.random.split(key)
        made[f'{path}/a'] = jax.random.normal(one, (*stacked, rows, rank)) / math.sqrt(rows)
        made[f'{path}/b'] = jnp.zeros((*stacked, rank, columns))
    return trees.unflatten(made)


def merge(params: Params, *, alpha: float) -> Params:
    """W ← W + (α / r) A B for every matrix that has them (Hu et al. 2022, section 4.1).

    Args:
      params: of the model, with the changes as `lora`; without, they are returned as they are.
      alpha: α.

    Returns:
      Parameters of the model without LoRA, which computes the same with them.
    """
    if NAME not in params:
        return params
    base = trees.flatten({name: value for name, value in params.items() if name != NAME})
    changes = trees.flatten(params[NAME])
    for path in sorted({path.rpartition('/')[0] for path in changes}):
        a, b = changes[f'{path}/a'], changes[f'{path}/b']
        base[path] = base[path] + (alpha / a.shape[-1]) * (a @ b)
    return trees.unflatten(base)
