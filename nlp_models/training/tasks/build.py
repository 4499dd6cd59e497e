"""From a config to its task: what `task` names, on the data that the config says."""

from collections.abc import Callable
from typing import Any, NamedTuple

from nlp_models.data import labelled, pairs, store
from nlp_models.data.pair_batches import longest
from nlp_models.data.tokenizers import Tokenizer
from nlp_models.errors import InputError, require
from nlp_models.training.tasks import (
    classification,
    contrastive,
    language_modelling,
    masked,
    seq2seq,
)
from nlp_models.training.tasks.task import Shape, Task


class Kind(NamedTuple):
    """One of the tasks.

    Attributes:
      load: `(data group, tokenizer or None) -> dataset`.
      shape: `(config, dataset) -> Shape`, with the tokenizer's vocabulary and what the task adds.
      build: `(config, dataset, shape) -> Task`.
      fields: of the config or its data group, which not every config has.
    """

    load: Callable[..., Any]
    shape: Callable[[Any, Any], Shape]
    build: Callable[[Any, Any, Shape], Task]
    fields: tuple[str, ...]


def _text(config: Any, dataset: Any) -> Shape:
    return Shape(dataset.tokenizer.vocab_size, config.sequence_length)


def _masked(config: Any, dataset: Any) -> Shape:
    tokenizer = dataset.tokenizer
    return Shape(tokenizer.vocab_size + ('mask' not in tokenizer.special), config.sequence_length)


def _pairs(config: Any, dataset: Any) -> Shape:
    source, target = longest(dataset.train)
    return Shape(
        pairs.pair_vocab_size(dataset.tokenizer),
        config.sequence_length or target,
        config.source_length or source,
    )


def _classes(config: Any, dataset: Any) -> Shape:
    shape = _text(config, dataset)
    return shape._replace(num_classes=len(dataset.labels), pooling=config.pooling)


TASKS = {
    'language_modelling': Kind(store.load_dataset, _text, language_modelling.build, ('cache_dir',)),
    'masked_language_modelling': Kind(
        store.load_dataset, _masked, masked.build, ('cache_dir', 'mask_rate')
    ),
    'sequence_to_sequence': Kind(
        pairs.load_pairs, _pairs, seq2seq.build, ('pairs', 'source_length')
    ),
    'contrastive': Kind(
        pairs.load_pairs, _text, contrastive.build, ('pairs', 'pooling', 'temperature')
    ),
    'classification': Kind(
        labelled.load_labelled, _classes, classification.build, ('labelled', 'pooling')
    ),
}


def kind_of(config: Any) -> Kind:
    """The task that a config names.

    Raises:
      InputError: for a name there is none of, or a config that was made for another task.
    """
    known = ', '.join(TASKS)
    require(config.task in TASKS, 'task', config.task, f'must be one of {known}')
    kind = TASKS[config.task]
    for field in kind.fields:
        if field not in config and field not in config.data:
            raise InputError(
                f'task is {config.task!r}, but the config was made for another and has no {field}: '
                'start from one of the variants in configs/'
            )
    return kind


def build_task(
    config: Any,
    *,
    dataset: Any = None,
    tokenizer: Tokenizer | None = None,
    vocab_size: int = 0,
) -> Task:
    """Load the data of a config and build its model.

    Args:
      config: the whole config.
      dataset: where it has been loaded already.
      tokenizer: where it is given, and not to be learned.
      vocab_size: where the model has a vocabulary of its own, which the tokenizer's must fit.

    Returns:
      The task.

    Raises:
      InputError: for whatever is wrong with the config or the data.
    """
    kind = kind_of(config)
    carries = config.carry_state and config.task != 'language_modelling'
    require(not carries, 'carry_state', True, f'has no meaning for the task {config.task}')
    dataset = dataset or kind.load(config.data, tokenizer)
    shape = kind.shape(config, dataset)
    if vocab_size:
        require(
            shape.vocab_size <= vocab_size,
            'task',
            config.task,
            f'needs {shape.vocab_size} tokens, and the pretrained model has {vocab_size}',
        )
        shape = shape._replace(vocab_size=vocab_size)
    return kind.build(config, dataset, shape)
