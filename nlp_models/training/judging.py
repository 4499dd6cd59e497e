"""Everything that is said of a trained model on held-out data: one function for each task."""

from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
from absl import logging

from nlp_models.data import pairs
from nlp_models.data.labelled import Labelled
from nlp_models.data.masking import unigram_loss
from nlp_models.data.pair_batches import pad
from nlp_models.data.pairs import DrawnPairs, Pairs
from nlp_models.data.pieces import UNKNOWN
from nlp_models.embedding import embed_texts
from nlp_models.errors import InputError, require
from nlp_models.generation.beam_search import beam_search
from nlp_models.generation.decoding import generate
from nlp_models.generation.sampling import Sampling
from nlp_models.training import classifying, retrieval
from nlp_models.training.evaluation import evaluate, evaluate_all
from nlp_models.training.tasks.build import build_task
from nlp_models.training.tasks.task import Task
from nlp_models.training.trained import Trained

SPLITS = ('validation', 'test')
LENGTHS = (10, 20, 30, 40, 50, 60, 70, 80, 90, 100)  # of strings, trained on or not
STRINGS = 200  # of each of these lengths
ROWS = 64  # texts written at once

Result = dict[str, Any]


def load_task(run: Trained) -> Task:
    """The task of a run, with its data, on the run's own model and tokens.

    Args:
      run: the model.

    Returns:
      The task.

    Raises:
      InputError: if the data cannot be had.
    """
    config = run.config
    return build_task(
        config,
        tokenizer=run.tokenizer if config.init_from else None,
        vocab_size=run.shape.vocab_size if config.init_from else 0,
    )


def judge(run: Trained, task: Task, *, num_beams: int = 1) -> Iterator[Result]:
    """Score a model on the validation and the test split.

    Args:
      run: the model.
      task: its task, from `load_task`.
      num_beams: with which texts are written, where any are.

    Yields:
      One result after the other: `split`, `name`, and numbers.

    Raises:
      InputError: for a number of beams below 1.
    """
    require(num_beams >= 1, 'num_beams', num_beams, 'must be at least 1')
    scores = {
        'language_modelling': _language_modelling,
        'masked_language_modelling': _masked,
        'sequence_to_sequence': lambda run, task, split: _seq2seq(run, task, split, num_beams),
        'contrastive': _contrastive,
        'classification': _classification,
    }[run.config.task]
    for split in SPLITS:
        if len(getattr(task.dataset, split)) == 0:
            logging.warning('The %s split is empty: not scored', split)
            continue
        for name, numbers in scores(run, task, split):
            yield {'split': split, 'name': name, **numbers}


def score_split(run: Trained, task: Task, split: Any) -> dict[str, float]:
    """The task's own numbers, on one device."""
    objective = task.evaluation(None)
    step = jax.jit(lambda params, batch: objective(params, None, batch)[0])
    sums = evaluate(step, run.params, task.eval_batches(split, task.eval_rows), task.count)
    assert sums is not None  # nothing stops it
    return task.metrics(sums)


def _language_modelling(run: Trained, task: Task, split: str) -> Iterator[tuple[str, Result]]:
    scores = evaluate_all(
        run.model,
        run.params,
        getattr(task.dataset, split),
        run.tokenizer.characters,
        length=run.config.sequence_length,
    )
    if not scores:
        logging.warning('The %s split is shorter than one window: not scored', split)
    for name, score in scores.items():
        yield name, score._asdict()


def _masked(run: Trained, task: Task, split: str) -> Iterator[tuple[str, Result]]:
    tokens = getattr(task.dataset, split)
    if len(tokens) < run.config.sequence_length + 1:
        logging.warning('The %s split is shorter than one window: not scored', split)
        return
    numbers = score_split(run, task, tokens)
    unigram = unigram_loss(task.dataset.train, tokens, run.tokenizer.vocab_size)
    yield (
        'masked',
        {
            **numbers,
            'unigram_loss': unigram,
            'ratio_to_unigram': numbers['loss'] / unigram,
        },
    )


def _seq2seq(run: Trained, task: Task, split: str, num_beams: int) -> Iterator[tuple[str, Result]]:
    found: Pairs = getattr(task.dataset, split)
    yield 'teacher_forced', score_split(run, task, found)
    train = task.dataset.train
    if isinstance(train, DrawnPairs):
        for length in LENGTHS:
            some = pairs.held_out_pairs(
                train, split, number=STRINGS, min_length=length, max_length=length
            )
            texts = write_targets(run, some, num_beams=num_beams)
            yield f'length_{length}', _exact(texts, some)
    texts = write_targets(run, found, num_beams=num_beams)
    written = _exact(texts, found)
    if not isinstance(train, DrawnPairs):  # of strings, which have no words, it would say nothing
        written.update(_overlap(texts, list(found.target_texts)))
    yield 'written', written


def _exact(texts: list[str], some: Pairs) -> Result:
    """How many texts are just what they should be."""
    tokenizer = some.tokenizer
    # As the tokens have it: of words, any run of blanks is one.
    wanted = [tokenizer.decode(tokenizer.encode(text)) for text in some.target_texts]
    right = [
        a == text or (a == b and UNKNOWN not in b)
        for a, b, text in zip(texts, wanted, some.target_texts, strict=True)
    ]
    return {'exact_match': float(np.mean(right)), 'pairs': len(some)}


def _overlap(texts: list[str], references: list[str]) -> dict[str, float]:
    """BLEU (Papineni et al. 2002) and chrF (Popović 2015) of texts, where sacrebleu is there."""
    try:
        import sacrebleu  # pyright: ignore[reportMissingImports]
    except ImportError:
        logging.warning("BLEU and chrF need sacrebleu: pip install -e '.[metrics]'")
        return {}
    return {
        'bleu': sacrebleu.corpus_bleu(texts, [references]).score,
        'chrf': sacrebleu.corpus_chrf(texts, [references]).score,
    }


def write_targets(run: Trained, some: Pairs, *, num_beams: int = 1) -> list[str]:
    """What the model writes for each source: greedily, or the best of a beam search.

    Args:
      run: a sequence-to-sequence model.
      some: the pairs; a source longer than the model reads is cut off.
      num_beams: 1 for greedy.

    Returns:
      One text a pair.
    """
    model, tokenizer = run.model, run.tokenizer
    end, begin = pairs.end_id(tokenizer), np.array([pairs.begin_id(tokenizer)], np.int32)
    lengths = some.source.lengths
    limit = model.source_context or int(lengths.max())
    width = min(int(lengths.max()), limit)
    # Twice the longest target known, where nothing else ends a text.
    most = model.context or 2 * max(run.shape.max_length, int(some.target.lengths.max()) + 1)
    texts: list[str] = [''] * len(some)
    order = np.argsort(lengths, kind='stable')
    for first in range(0, len(order), ROWS):
        rows = order[first : first + ROWS]
        filled = np.resize(rows, ROWS)  # every batch of one shape
        source, source_lengths = pad(some.source, filled, width)
        condition = {'source': source, 'source_lengths': source_lengths}
        how: Any = dict(num_tokens=most, condition=condition)
        if num_beams > 1:
            beams = beam_search(
                model, run.params, [begin] * ROWS, num_beams=num_beams, end=end, **how
            )
            written = [found.tokens[0] for found in beams]
        else:
            written = generate(
                model,
                run.params,
                [begin] * ROWS,
                sampling=Sampling(temperature=0.0),
                stop=((end,),),
                **how,
            )
        for row, ids in zip(rows, written, strict=False):
            known = [int(i) for i in ids if i < tokenizer.vocab_size]
            texts[row] = tokenizer.decode(known)
    return texts


def _contrastive(run: Trained, task: Task, split: str) -> Iterator[tuple[str, Result]]:
    found: Pairs = getattr(task.dataset, split)
    yield 'in_batch', score_split(run, task, found)
    texts = [list(found.source_texts), list(found.target_texts)]
    how = dict(pooling=run.config.pooling, normalize=True, max_length=run.config.sequence_length)
    first, second = (
        embed_texts(run.model, run.params, run.tokenizer, each, **how) for each in texts
    )
    # Of a question with several answers each is right, and so is one answer of several questions.
    alike = found.source_numbers[:, None] == found.source_numbers
    alike |= found.target_numbers[:, None] == found.target_numbers
    yield 'retrieval', retrieval.scores(first @ second.T, alike)
    counted = retrieval.tfidf_similarities(texts[0], texts[1], known=_training_texts(task))
    yield 'retrieval_tfidf', retrieval.scores(counted, alike)


def _classification(run: Trained, task: Task, split: str) -> Iterator[tuple[str, Result]]:
    found: Labelled = getattr(task.dataset, split)
    predict = classifying.make_predict(run.model)
    said = predict(run.params, found, length=run.config.sequence_length)
    loss = classifying.log_loss(said, found.targets)
    numbers = classifying.scores(found.targets, said.argmax(axis=1), said.shape[1])
    yield 'classified', {'loss': loss, **numbers}


def _training_texts(task: Task) -> list[str]:
    train = task.dataset.train
    if isinstance(train, DrawnPairs):
        raise InputError('strings that are drawn have no texts to learn frequencies from')
    return [*train.source_texts, *train.target_texts]
