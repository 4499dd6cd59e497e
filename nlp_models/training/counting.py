"""The n-gram's training: one pass of counting, in the same folder and files as any other run."""

import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from absl import logging

from nlp_models import models, ngram
from nlp_models.data import batches, store
from nlp_models.errors import require
from nlp_models.training import checkpoints
from nlp_models.training.evaluation import evaluate_on_host
from nlp_models.training.program import check
from nlp_models.training.tasks.build import kind_of
from nlp_models.training.workdir import MetricsFile, Workdir, check_same_text


def train_by_counting(
    config: Any, folder: Workdir, on_line: Callable[[dict[str, Any]], None]
) -> dict[str, Any]:
    """Count the training split, score the validation split, save; once, however often it is asked.

    Args:
      config: the whole config, of the n-gram.
      folder: the run's folder, open.
      on_line: called with the line of the metrics.

    Returns:
      The line of the metrics, with `parameters`, `compile_seconds` and `train_seconds`.
    """
    check(config)
    require(not config.carry_state, 'carry_state', True, 'has no meaning for counting')
    task = config.task
    require(task == 'language_modelling', 'task', task, 'must be language_modelling for an n-gram')
    dataset = store.load_dataset(config.data)
    shape = kind_of(config).shape(config, dataset)
    model = models.build_language_model(
        config.model, vocab_size=shape.vocab_size, max_length=shape.max_length
    )
    check_same_text(folder.path, dataset)
    for split in ('train', 'validation'):
        batches.check(getattr(dataset, split), config.sequence_length, split)
    metrics = MetricsFile(folder.path)
    restored = checkpoints.load_newest(folder.checkpoints)
    writer = checkpoints.Writer(folder.checkpoints, config.keep_checkpoints)
    started = time.perf_counter()
    if restored is None:
        params = ngram.fit(
            dataset.train, order=config.model.order, vocab_size=dataset.tokenizer.vocab_size
        )
    else:
        params = restored.tree['params']
    seconds = time.perf_counter() - started
    parameters = ngram.num_parameters(params)
    folder.begin(
        dataset,
        seed=config.seed,
        num_devices=1,
        parameters=parameters,
        shape=shape.to_json(),
    )
    score = evaluate_on_host(
        model,
        params,
        dataset.validation,
        dataset.tokenizer.characters,
        length=config.sequence_length,
        batch_size=max(1, 8192 // config.sequence_length),
    )
    line = {
        'step': 1,
        'valid_loss': score.loss,
        'valid_bits_per_char': score.bits_per_char,
        'valid_perplexity': score.perplexity,
    }
    if restored is None:
        line['train_seconds'] = line['step_seconds'] = seconds
        line['tokens_per_second'] = len(dataset.train) / seconds
        metrics.cut(0)
        metrics.write(line)
        on_line(line)
        logging.info('%s', line)
        tree = {'params': jax.tree.map(np.asarray, params)}
        writer.save(1, tree, {'valid_loss': score.loss, 'logged': True})
        writer.wait()
    return {'train_seconds': seconds, **line, 'parameters': parameters, 'compile_seconds': 0.0}
