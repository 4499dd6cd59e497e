"""Which parameters are trained and how fast: ordered rules over their paths.

A rule is a regular expression and a number that the learning rate is multiplied by; the first one
that is found in a path decides for that parameter, and 0 freezes it. What a rule gives is then made
smaller from layer to layer, frozen for the lowest layers, or put off, as a config's `adaptation`
group says (`configs/finetune.py` explains its fields).
"""

import re
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from nlp_models import trees
from nlp_models.errors import InputError, require
from nlp_models.types import Params

_LAYER = re.compile(r'(?:^|/)layer_(\d+)/')
_BELOW = re.compile(r'(^|/)(embed|source_embed|positions|embed_norm)(/|$)')


class Plan(NamedTuple):
    """What is done with each parameter that is trained; the others are not in it.

    Attributes:
      rates: path to what the learning rate is multiplied by, above 0.
      begins: path to the share of all steps after which its training begins; 0 for the first step.
    """

    rates: dict[str, float]
    begins: dict[str, float]

    def trained(self, path: str) -> bool:
        """Whether a parameter is trained at all."""
        return path in self.rates


def make_plan(adaptation: Any, params: Params) -> Plan:
    """What an `adaptation` group says of each of a model's parameters.

    Layers are those named `layer_i`; embeddings, positions and the norm behind them lie below the
    first, all else above the last.

    - `freeze_layers` k: the k lowest layers and what lies below them are frozen.
    - `layer_decay` ξ: a layer's rate is ξ times that of the layer above it (Howard & Ruder 2018,
      section 3.2, where ξ = 1 / 2.6).
    - `gradual` s: each layer begins s of all steps after the one above it, what is above the last
      layer at once (section 3.3, "gradual unfreezing"); sooner where there are so many layers that
      the lowest would not have their turn.

    Args:
      adaptation: with `rules`, `freeze_layers`, `layer_decay` and `gradual`.
      params: of the model, or their shapes.

    Returns:
      The plan.

    Raises:
      InputError: for a rule that is none or finds nothing that is left, a parameter that none
        finds, a number out of range, or where nothing is trained.
    """
    paths = list(trees.flatten(params))
    given = _match(adaptation.rules, paths)
    decay, frozen, gradual = adaptation.layer_decay, adaptation.freeze_layers, adaptation.gradual
    require(0 < decay <= 1, 'adaptation.layer_decay', decay, 'must be above 0 and at most 1')
    layers = 1 + max((int(m[1]) for path in paths if (m := _LAYER.search(path))), default=-1)
    needs = decay != 1 or frozen != 0 or gradual != 0
    if needs and layers == 0:
        raise InputError(
            'adaptation.layer_decay, freeze_layers and gradual need layers by name: '
            'model.scan_layers must be False'
        )
    most = f'must be at least 0 and at most the {layers} layers there are'
    require(0 <= frozen <= layers, 'adaptation.freeze_layers', frozen, most)
    require(0 <= gradual <= 1, 'adaptation.gradual', gradual, 'must be from 0 to 1')
    gradual = min(gradual, 1 / (layers + 2))  # above the layers, each of them, and below: a turn
    rates, begins = {}, {}
    for path in paths:
        depth = _depth(path, layers)  # 0 above the last layer, `layers` + 1 below the first
        if given[path] > 0 and (frozen == 0 or depth < layers + 1 - frozen):
            rates[path] = given[path] * decay**depth
            begins[path] = gradual * depth
    require(bool(rates), 'adaptation.rules', adaptation.rules, 'must leave something to be trained')
    return Plan(rates, begins)


def _depth(path: str, layers: int) -> int:
    if found := _LAYER.search(path):
        return layers - int(found[1])
    return layers + 1 if _BELOW.search(path) else 0


def _match(rules: Any, paths: list[str]) -> dict[str, float]:
    """Each path's number, of the first rule that is found in it."""
    given: dict[str, float] = {}
    for rule in rules:
        try:
            pair: list[Any] = [rule] if isinstance(rule, str) else list(rule)
            pattern, value = pair
            found = re.compile(pattern)
        except (TypeError, ValueError, re.error) as error:
            raise InputError(
                f'adaptation.rules holds {rule!r}: it must be a regular expression and a number '
                f'({error})'
            ) from error
        right = isinstance(value, int | float) and value >= 0
        require(right, f'adaptation.rules, of {pattern!r}', value, 'must be a number, at least 0')
        new = [path for path in paths if path not in given and found.search(path)]
        if not new:
            raise InputError(
                f'adaptation.rules: {pattern!r} is found in no parameter that no rule before it '
                f'has; they are such as {", ".join(paths[:: max(1, len(paths) // 4)])}'
            )
        given |= dict.fromkeys(new, float(value))
    missing = [path for path in paths if path not in given]
    if missing:
        raise InputError(
            f'adaptation.rules say nothing of {missing[0]}'
            + (f' and {len(missing) - 1} others' if len(missing) > 1 else '')
            + ": end them with ('.*', 0.0) to freeze what is left, or 1.0 to train it"
        )
    return given


def apply_plan(
    optimizer: optax.GradientTransformation, direction: optax.GradientTransformation, plan: Plan
) -> optax.GradientTransformation:
    """An optimizer that follows a plan, for the parameters that are trained.

    What has not begun has a gradient of 0, so it has no part in the norm that is clipped, and its
    direction's memory (Adam's moments and their count) starts when it begins.

    Args:
      optimizer: what is done with all gradients first: the clipping.
      direction: what is then done with those that begin together.
      plan: the plan.

    Returns:
      A transformation of the trained parameters alone, whose `update` is to be given `step` and
      `total_steps`.
    """
    begins = sorted(set(plan.begins.values()))

    def by_path(values: dict[str, Any], tree: Any) -> Any:
        return trees.map_with_path(lambda path, leaf: values[path], tree)

    def gate(updates: Any, state: Any, params: Any = None, **at: Any) -> tuple[Any, Any]:
        del params
        done = at['step'] / at['total_steps']

        def open_(path: str, update: jax.Array) -> jax.Array:
            begin = plan.begins[path]
            return update if begin == 0 else jnp.where(done >= begin, update, 0)

        return trees.map_with_path(open_, updates), state

    def late(begin: float) -> optax.GradientTransformation:
        if begin == 0:
            return direction
        inner = optax.with_extra_args_support(direction)

        def update(updates: Any, state: Any, params: Any = None, **at: Any) -> tuple[Any, Any]:
            new, after = inner.update(updates, state, params, **at)
            begun = at['step'] / at['total_steps'] >= begin

            def pick(now, before):
                return jnp.where(begun, now, before)

            return (
                jax.tree.map(lambda u: jnp.where(begun, u, 0), new),
                jax.tree.map(pick, after, state),
            )

        return optax.GradientTransformationExtraArgs(inner.init, update)

    def scale(updates, state, params=None):
        del params
        return trees.map_with_path(lambda path, u: u * plan.rates[path], updates), state

    stateless = lambda params: optax.EmptyState()  # noqa: E731
    parts = [optax.GradientTransformationExtraArgs(stateless, gate), optimizer]
    if len(begins) == 1:
        parts.append(late(begins[0]))
    else:
        groups: dict[Any, Any] = {str(begin): late(begin) for begin in begins}
        labels = {path: str(begin) for path, begin in plan.begins.items()}
        parts.append(optax.partition(groups, lambda tree: by_path(labels, tree)))
    parts.append(optax.GradientTransformation(stateless, scale))
    return optax.chain(*parts)
