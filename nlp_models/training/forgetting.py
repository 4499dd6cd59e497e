"""What a model has forgotten of what it was trained on before: a loss before and after."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
from absl import logging

from nlp_models.errors import InputError
from nlp_models.training.evaluation import evaluate
from nlp_models.training.sources import Source, is_run
from nlp_models.training.tasks.build import build_task, kind_of
from nlp_models.training.tasks.task import Task
from nlp_models.training.workdir import check_same_text, read_config

LENGTH = 128  # tokens of a window of a text, at most


def remembered(config: Any, source: Source) -> Any:
    """The config of what is asked of the model before and after; None where there is nothing.

    Args:
      config: of the run that adapts it, with `adaptation.remember`, as `sources.resolve` made it.
      source: what it starts from.

    Returns:
      A config with a task and its data: that of the run in `init_from`, or the next token, the
      hidden tokens or the right partner on what `remember` names, whichever the model was made for.
      Its texts are no longer than the adapted model reads.
    """
    if config.adaptation.remember:
        asked = _asked_of(config, source)
    elif is_run(config.init_from):
        asked = read_config(Path(config.init_from))
    else:
        return None
    with asked.unlocked():
        asked.sequence_length = _fitting(asked.sequence_length, config.model)
    return None if asked.task == 'classification' else asked


def load(config: Any, asked: Any, source: Source) -> Any:
    """The data of what is asked, in the source's tokens.

    Args:
      config: of the run that adapts the model.
      asked: from `remembered`.
      source: what it starts from.

    Returns:
      A dataset; None, with a line in the log, where it is that of the run in `init_from` and is
      not there any more, or is another.

    Raises:
      InputError: where what `adaptation.remember` names cannot be had, or cannot be asked.
    """
    named = config.adaptation.remember
    try:
        dataset = kind_of(asked).load(asked.data, source.tokenizer)
        if not named:
            check_same_text(Path(config.init_from), dataset)
        _build(asked, source, source.model, dataset)
    except InputError as error:
        if named:
            raise InputError(f'adaptation.remember is {named!r}: {error}') from error
        logging.warning('What is forgotten is not told: %s', error)
        return None
    return dataset


def make_measure(
    asked: Any, source: Source, group: Any, dataset: Any = None
) -> Callable[[Any], float]:
    """Make `(params) -> loss` on the validation split, compiled once.

    Args:
      asked: from `remembered`.
      source: what the run starts from.
      group: `model` group of the model asked, the source's or that of the adapted one.
      dataset: where it has been loaded already.

    Returns:
      A function of that model's parameters to nats a token, or a pair.

    Raises:
      InputError: where the data cannot be had, or there is none to validate on.
    """
    task = _build(asked, source, group, dataset)
    split, objective = task.dataset.validation, task.evaluation(None)
    step = jax.jit(lambda params, batch: objective(params, None, batch)[0])

    def loss(params: Any) -> float:
        sums = evaluate(step, params, task.eval_batches(split, task.eval_rows), task.count)
        assert sums is not None  # nothing stops it
        return task.metrics(sums)['loss']

    return loss


def _asked_of(config: Any, source: Source) -> Any:
    """The config of a task on what `adaptation.remember` names."""
    name = config.adaptation.remember
    path = name if Path(name).exists() else ''
    asked = config.copy_and_resolve_references()
    with asked.unlocked():
        asked.update(carry_state=False, accumulate=1)
        encoder = source.model.architecture == 'encoder'
        if encoder and not source.model.get('masked_head', False):
            said = source.sentences
            asked.task, asked.temperature = 'contrastive', 0.05
            asked.pooling = said.pooling if said else 'mean'
            asked.batch_size = 32
            asked.sequence_length = min(LENGTH // 2, source.shape.max_length)
            asked.data = dict(
                pairs='' if path else name, path=path, splits=(0.8, 0.1, 0.1), min_length=1,
                max_length=20,
            )  # fmt: skip
        else:
            asked.task = 'masked_language_modelling' if encoder else 'language_modelling'
            asked.mask_rate = 0.15
            asked.sequence_length = min(LENGTH, source.shape.max_length)
            asked.data = dict(
                name=name, path=path, splits=(0.8, 0.1, 0.1), text_feature='text', cache_dir='',
                tfds_dir='',
            )  # fmt: skip
    return asked


def _build(asked: Any, source: Source, group: Any, dataset: Any) -> Task:
    """The task of `remembered`, with the data in the source's tokens, for one of the models."""
    config = asked.copy_and_resolve_references()
    with config.unlocked():
        config.model = group
        config.sequence_length = _fitting(config.sequence_length, group)
    tokenizer, vocab_size = source.tokenizer, source.shape.vocab_size
    task = build_task(config, dataset=dataset, tokenizer=tokenizer, vocab_size=vocab_size)
    if len(task.dataset.validation) == 0:
        raise InputError('the validation split is empty: give more text')
    return task


def _fitting(length: Any, group: Any) -> int:
    """What of a length the model reads: a prefix takes its share of a bounded context."""
    taken = group.get('prefix_length', 0)
    most = group.get('max_positions', 0) if taken else 0
    return min(length, most - taken) if most else length
