"""Language models moved from one text to another: many seeds, rates and methods at once."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from nlp_models import trees
from nlp_models.adaptation import building, rules
from nlp_models.data import batches
from nlp_models.training import objectives, runs


class Moved(NamedTuple):
    """What has become of a method on so much of the new text, one value a seed; NaN if it diverged.

    Attributes:
      learning_rate: the best by the validation text.
      swept: learning rate to the validation loss, averaged over seeds.
      new: loss on the new test text, nats a token.
      old: loss on the old text.
      train: training loss of the last chunk.
      parameters: of the model.
      trained: how many of them were trained.
      untouched: whether all others are bit for bit what they were.
    """

    learning_rate: float
    swept: dict[str, float]
    new: list[float]
    old: list[float]
    train: list[float]
    parameters: int
    trained: int
    untouched: bool


class Texts(NamedTuple):
    """Token ids.

    Attributes:
      train: new text to train on, one array a seed.
      validation: windows `[n, B, T + 1]` of new text, by which the rate is picked.
      test: windows of new text.
      old: windows of the text that was trained on before, not of what was trained on.
    """

    train: list[np.ndarray]
    validation: np.ndarray
    test: np.ndarray
    old: np.ndarray


def windows(tokens: np.ndarray, number: int, batch_size: int, length: int) -> np.ndarray:
    """Windows side by side, `[number, batch_size, length + 1]`, as many as there are at most."""
    count = min(number * batch_size, (len(tokens) - 1) // length)
    count -= count % batch_size
    starts = np.arange(count)[:, None] * length + np.arange(length + 1)
    return np.asarray(tokens)[starts].reshape(-1, batch_size, length + 1).astype(np.int32)


def pretrain(group: Any, sizes: dict[str, Any], tokens: np.ndarray, training: Any, seeds: Any):
    """Language models trained on the old text.

    Args:
      group: a `model` group.
      sizes: as `building.build` wants them.
      tokens: the text.
      training: `batch_size`, `sequence_length`, `optimizer`, `pretrain_steps`, `chunk`,
        `pretrain_rate`.
      seeds: one model each.

    Returns:
      Parameters, leaves `[seeds, …]`.
    """
    model = building.build(group, **sizes)
    trained = runs.train(
        model.init,
        objectives.language_modelling(model),
        training.optimizer,
        runs.grid(seeds, (training.pretrain_rate,)),
        _draw({seed: tokens for seed in seeds}, training),
        steps=training.pretrain_steps,
        chunk=training.chunk,
    )
    return trained.params


def move(
    group: Any,
    sizes: dict[str, Any],
    settings: Any,
    base: Any,
    texts: Texts,
    training: Any,
    rates: Any,
) -> Moved:
    """Go on from every base on its share of the new text, at every rate, and keep the best rate.

    Args:
      group: `model` group of the bases.
      sizes: as `building.build` wants them.
      settings: of the method: the groups `adaptation` and `model` of `configs/finetune.py`.
      base: parameters, leaves `[seeds, …]`; None to train from nothing.
      texts: the texts.
      training: as in `pretrain`, with `steps`.
      rates: learning rates.

    Returns:
      What came of it.
    """
    seeds = range(len(texts.train))
    adapted = building.add_fields(group, settings.model)
    model = building.build(adapted, **sizes)

    def begin(seed: int) -> Any:
        key = jax.random.key(seed)
        if base is None:
            return model.init(key)
        mine = jax.tree.map(lambda a: jnp.asarray(a[seed]), base)
        return building.init_from(adapted, model, mine, key, **sizes)

    first = [jax.device_get(begin(seed)) for seed in seeds]
    plan = rules.make_plan(settings.adaptation, first[0])
    starts = jax.tree.map(lambda *a: np.stack(a * len(rates)), *first)
    objective = objectives.language_modelling(model)
    trained = runs.train(
        model.init,
        objective,
        training.optimizer,
        runs.grid(seeds, rates),
        _draw(dict(zip(seeds, texts.train, strict=True)), training),
        steps=training.steps,
        chunk=training.chunk,
        starts=starts,
        plan=plan,
    )

    def loss(params: Any, rows: Any) -> Any:
        sums = lax.map(lambda some: objective(params, None, {'tokens': some})[0], rows)
        return jnp.sum(sums.loss) / jnp.sum(sums.weight)

    validation = runs.evaluate(loss, trained.params, texts.validation)
    best = runs.pick(trained, validation, rates, worst=np.inf, lowest=True)
    params = best.of(trained.params)
    after, before = trees.flatten(params), trees.flatten(best.of(starts))
    kept = [path for path in after if not plan.trained(path)]
    return Moved(
        learning_rate=best.learning_rate,
        swept=best.swept,
        new=best.known(runs.evaluate(loss, params, texts.test)),
        old=best.known(runs.evaluate(loss, params, texts.old)),
        train=best.known(best.of(trained.losses)[:, -1]),
        parameters=trees.count(first[0]),
        trained=trees.count(trees.split(first[0], plan.trained)[0]),
        untouched=all(np.array_equal(after[path], before[path]) for path in kept),
    )


def score(group: Any, sizes: dict[str, Any], params: Any, rows: np.ndarray) -> list[float]:
    """The loss of every base on some windows, nats a token."""
    objective = objectives.language_modelling(building.build(group, **sizes))

    def loss(params: Any, rows: Any) -> Any:
        sums = lax.map(lambda some: objective(params, None, {'tokens': some})[0], rows)
        return jnp.sum(sums.loss) / jnp.sum(sums.weight)

    return runs.evaluate(loss, params, rows).tolist()


def _draw(texts: dict[int, np.ndarray], training: Any) -> runs.Batches:
    def draw(seed: int, first: int, count: int) -> dict[str, np.ndarray]:
        rows = [
            batches.random_windows(
                texts[seed],
                batch_size=training.batch_size,
                length=training.sequence_length,
                seed=seed,
                step=step,
            )
            for step in range(first, first + count)
        ]
        return {'tokens': np.stack(rows)}

    return draw
