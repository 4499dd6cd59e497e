"""What a model has forgotten of what it was trained on before: a loss before and after."""

from pathlib import Path
from typing import Any

from nlp_models.data.pairs import PAIRS
from nlp_models.errors import InputError
from nlp_models.training import judging
from nlp_models.training.sources import Source, is_run
from nlp_models.training.tasks.build import build_task
from nlp_models.training.tasks.task import Task
from nlp_models.training.trained import Trained
from nlp_models.training.workdir import read_config

LENGTH = 128  # tokens of a window of a text, at most


def remembered(config: Any, source: Source) -> Any:
    """The config of what is asked of the model before and after; None where there is nothing.

    Args:
      config: of the run that adapts it, with `adaptation.remember`.
      source: what it starts from.

    Returns:
      A config with a task and its data: that of the run in `init_from`, or the next token, the
      hidden tokens or the right partner on what `remember` names, whichever the model was made for.
    """
    name = config.adaptation.remember
    if not name:
        if not is_run(config.init_from):
            return None
        before = read_config(Path(config.init_from))
        return None if before.task == 'classification' else before
    asked = config.copy_and_resolve_references()
    with asked.unlocked():
        asked.carry_state = False
        encoder = source.model.architecture == 'encoder'
        if encoder and not source.model.get('masked_head', False):
            said = source.sentences
            asked.task, asked.temperature = 'contrastive', 0.05
            asked.pooling = said.pooling if said else 'mean'
            asked.batch_size = 32
            asked.sequence_length = min(LENGTH // 2, source.shape.max_length)
            asked.data = dict(pairs=name if name in PAIRS else '', path='', splits=(0.8, 0.1, 0.1))
        else:
            asked.task = 'masked_language_modelling' if encoder else 'language_modelling'
            asked.mask_rate = 0.15
            asked.sequence_length = min(LENGTH, source.shape.max_length)
            asked.data = dict(
                name=name, path='', splits=(0.8, 0.1, 0.1), text_feature='text', cache_dir='',
                tfds_dir='',
            )  # fmt: skip
        if Path(name).exists():
            asked.data.path = name
    return asked


def build(asked: Any, source: Source) -> Task:
    """The task of `remembered`, with the data in the source's tokens."""
    return build_task(asked, tokenizer=source.tokenizer, vocab_size=source.shape.vocab_size)


def measure(asked: Any, source: Source, group: Any, params: Any) -> float:
    """The loss on the validation split.

    Args:
      asked: from `remembered`.
      source: what the run starts from.
      group: `model` group of the model asked, the source's or that of the adapted one.
      params: its parameters.

    Returns:
      Nats a token, or a pair.

    Raises:
      InputError: where the data cannot be had.
    """
    config = asked.copy_and_resolve_references()
    with config.unlocked():
        config.model = group
        config.sequence_length = _fitting(config, group)
    task = build(config, source)
    run = Trained(config, source.tokenizer, task.model, task.shape, params, 0)
    split = task.dataset.validation
    if len(split) == 0:
        raise InputError('adaptation.remember: the validation split is empty: give more text')
    return judging.score_split(run, task, split)['loss']


def _fitting(config: Any, group: Any) -> int:
    """A prefix takes its share of a bounded context."""
    most = group.get('max_positions', 0) or config.sequence_length
    bounded = group.family == 'transformer'
    room = most - group.get('prefix_length', 0)
    return min(config.sequence_length, room) if bounded else config.sequence_length
