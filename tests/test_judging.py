"""What `evaluate` says of a model: one result after the other, each from its own definition."""

import importlib.util
import math
import sys
from typing import Any

import jax
import numpy as np
import pytest
from absl import logging as absl_logging

from nlp_models.data.masking import mask_tokens
from nlp_models.data.pairs import Pairs, Ragged, begin_id, end_id
from nlp_models.embedding import embed_texts
from nlp_models.generation.beam_search import beam_search
from nlp_models.training import judging, loop, retrieval
from nlp_models.training.evaluation import evaluate_all
from nlp_models.training.judging import judge, load_task, write_targets
from nlp_models.training.tasks.build import build_task
from nlp_models.training.trained import Trained, load_run
from tests.generation_models import Run, plainly, random_params
from tests.task_configs import (
    contrastive,
    language_model,
    letter_file,
    masked,
    pair_file,
    pairs,
    reverse,
)

HAS_SACREBLEU = importlib.util.find_spec('sacrebleu') is not None
HAS_SKLEARN = importlib.util.find_spec('sklearn') is not None


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp('judging')


def untrained(config: Any, seed: int = 0) -> tuple[Trained, Any]:
    """A model with parameters that have something to say, as a run would have left it."""
    task = build_task(config)
    params = random_params(task.model, seed)
    tokenizer = task.dataset.tokenizer
    return Trained(config, tokenizer, task.model, task.shape, params, 0), task


def assert_numbers(results: list[dict[str, Any]], splits=('validation', 'test')) -> list[str]:
    """Checks what all results have; the names of those of each split."""
    names = {split: [r['name'] for r in results if r['split'] == split] for split in splits}
    assert sum(map(len, names.values())) == len(results)
    assert len({tuple(each) for each in names.values()}) == 1
    for result in results:
        values = [value for key, value in result.items() if key not in ('split', 'name')]
        assert values
        assert all(math.isfinite(value) for value in values), result
    return names[splits[0]]


# Sequence to sequence.


@pytest.mark.parametrize(('model', 'steps'), [('luong', 80), ('transformer', 60)])
def test_greedy_texts_are_right_where_every_guess_with_the_right_past_is(folder, model, steps):
    config = pairs(letter_file(folder), model, steps=steps, batch_size=32)
    config.update(eval_every=steps, log_every=steps, checkpoint_every=steps, num_devices=1)
    loop.train(config, str(folder / model))
    run = load_run(str(folder / model))
    results = list(judge(run, load_task(run)))
    assert assert_numbers(results) == ['teacher_forced', 'written']
    by_name = {(result['split'], result['name']): result for result in results}
    for split in ('validation', 'test'):
        forced, written = (by_name[split, name] for name in ('teacher_forced', 'written'))
        assert 0.05 < forced['exact_match'] < 1
        assert written['exact_match'] == pytest.approx(forced['exact_match'], rel=1e-6)
        assert ('bleu' in written) == ('chrf' in written) == HAS_SACREBLEU
        assert 0 < forced['token_accuracy'] < 1


def sequence_model(folder, **changes):
    """A GRU that writes some letters of six and then ends, of sources of many lengths."""
    config = pairs(letter_file(folder), 'bahdanau')
    config.model.update(hidden_size=8, embed_size=5, **changes)
    return untrained(config, seed=4)


def test_targets_are_written_as_if_one_by_one(folder, monkeypatch):
    run, task = sequence_model(folder)
    some, tokenizer = task.dataset.train, run.tokenizer
    monkeypatch.setattr(judging, 'ROWS', 16)  # so that there are several batches, the last not full
    found = write_targets(run, some)
    assert len(found) == len(some) > 64
    begin, end = (np.array([f(tokenizer)], np.int32) for f in (begin_id, end_id))
    for i in range(0, len(some), 9):
        ids = some.source.ids[some.source.offsets[i] : some.source.offsets[i + 1]]
        condition = {
            'source': np.asarray(ids, np.int32)[None],
            'source_lengths': np.array([len(ids)], np.int32),
        }
        most = 2 * max(run.shape.max_length, int(some.target.lengths.max()) + 1)
        text = plainly(Run(run.model, run.params), begin, most, condition=condition)
        text = text[: text.index(end[0])] if end[0] in text else text
        assert found[i] == tokenizer.decode([t for t in text if t < tokenizer.vocab_size])
    assert len(set(found)) > 10  # they do not all say the same


def test_beams_write_the_best_text_of_their_search(folder):
    run, task = sequence_model(folder)
    some = task.dataset.validation
    found = write_targets(run, some, num_beams=3)
    assert found != write_targets(run, some)
    tokenizer = run.tokenizer
    i = int(np.argmax(some.source.lengths))
    ids = some.source.ids[some.source.offsets[i] : some.source.offsets[i + 1]]
    (beams,) = beam_search(
        run.model,
        run.params,
        [np.array([begin_id(tokenizer)], np.int32)],
        num_beams=3,
        num_tokens=2 * max(run.shape.max_length, int(some.target.lengths.max()) + 1),
        end=end_id(tokenizer),
        condition={'source': np.asarray(ids, np.int32)[None]},
    )
    best = [t for t in beams.tokens[0] if t < tokenizer.vocab_size]
    assert found[i] == tokenizer.decode(best)


def test_strings_of_every_length_are_written_as_far_as_the_model_reads(monkeypatch):
    monkeypatch.setattr(judging, 'LENGTHS', (2, 7))
    monkeypatch.setattr(judging, 'STRINGS', 5)
    config = reverse('transformer', sequence_length=5, source_length=4)
    config.model.max_positions = 6  # of the strings of 7 letters the last is not read
    run, task = untrained(config)
    held = task.dataset.validation
    few = held.__class__(
        *(each._replace(offsets=each.offsets[:9]) for each in (held.source, held.target)),
        held.source_texts[:8],
        held.target_texts[:8],
        held.tokenizer,
    )
    task = task._replace(dataset=task.dataset._replace(validation=few, test=few))
    results = list(judge(run, task))
    names = ['teacher_forced', 'length_2', 'length_7', 'written']
    assert assert_numbers(results) == names
    pairs_of = {result['name']: result.get('pairs') for result in results}
    assert [pairs_of[name] for name in names[1:]] == [5, 5, 8]
    assert all(result['exact_match'] == 0 for result in results if result['name'] == 'length_7')


def test_without_sacrebleu_there_is_no_overlap(monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, 'sacrebleu', None)
    with caplog.at_level('WARNING', logger='absl'):
        assert judging._overlap(['a'], ['b']) == {}
    assert 'need sacrebleu' in caplog.text


@pytest.mark.skipif(not HAS_SACREBLEU, reason='needs sacrebleu')
def test_overlap_is_whole_for_what_is_the_same():
    texts = ['the cat sat on the mat', 'a dog ran after the sun']
    assert judging._overlap(texts, texts) == pytest.approx({'bleu': 100.0, 'chrf': 100.0})
    swapped = judging._overlap(texts, texts[::-1])
    assert swapped['bleu'] < 20
    assert 0 < swapped['chrf'] < 60


# The other tasks.


def test_hidden_tokens_are_scored_window_by_window(folder):
    config = masked(folder)
    run, task = untrained(config)
    results = list(judge(run, task))
    assert assert_numbers(results) == ['masked']
    tokens, tokenizer = task.dataset.validation, run.tokenizer
    encode = jax.jit(run.model.encode)
    nats = count = right = 0.0
    for step, begin in enumerate(range(1, len(tokens), 16)):  # the first token is never guessed
        hidden = mask_tokens(
            tokens[None, begin : begin + 16],
            mask_id=tokenizer.vocab_size,
            vocab_size=tokenizer.vocab_size,
            rate=0.3,
            seed=0,
            step=step,
        )
        logits = np.asarray(
            run.model.logits(run.params, encode(run.params, hidden['tokens'])), np.float64
        )
        log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
        for b, t in zip(*np.nonzero(hidden['weights']), strict=True):
            nats -= log_p[b, t, hidden['targets'][b, t]]
            right += logits[b, t].argmax() == hidden['targets'][b, t]
            count += 1
    assert count == pytest.approx(0.3 * len(tokens), rel=0.1)
    found = results[0]
    assert found['loss'] == pytest.approx(nats / count, rel=1e-5)
    assert found['token_accuracy'] == pytest.approx(right / count, rel=1e-5)
    counts = np.bincount(task.dataset.train, minlength=tokenizer.vocab_size) + 1
    unigram = -np.log(counts / counts.sum())[tokens].mean()
    assert found['unigram_loss'] == pytest.approx(unigram, rel=1e-6)
    assert found['ratio_to_unigram'] == pytest.approx(found['loss'] / unigram, rel=1e-6)


def test_a_text_is_exact_by_its_tokens(folder):
    path = folder / 'blanks.tsv'
    path.write_text(''.join(f'a {word}\t{word}  c\n' for word in 'defghijklmnopqrst'))
    config = pairs(path, 'luong')
    config.data.tokenizer = 'words'
    _, task = untrained(config)
    some = task.dataset.train
    word = some.target_texts[0][0]
    assert some.target_texts[0] == f'{word}  c'
    source, target = (Ragged(each.ids, each.offsets[:2]) for each in (some.source, some.target))
    texts_of_one = some.source_texts[:1], some.target_texts[:1]
    first = Pairs(source, target, *texts_of_one, tokenizer=some.tokenizer)
    for text, right in ((f'{word} c', 1.0), (f'{word}c', 0.0), (f'{word} c c', 0.0)):
        assert judging._exact([text], first)['exact_match'] == right


def texts(pairs):
    return zip(pairs.source_texts, pairs.target_texts, strict=True)


def test_vectors_are_scored_in_batches_and_among_all(folder):
    how = dict(pooling='last', temperature=0.3)
    run, task = untrained(contrastive(pair_file(folder), 'contrastive_gru', **how))
    results = list(judge(run, task))
    names = ['in_batch', 'retrieval', *(['retrieval_tfidf'] if HAS_SKLEARN else [])]
    assert assert_numbers(results) == names
    for split, among, result in zip(
        ('validation', 'test'), results[:: len(names)], results[1 :: len(names)], strict=True
    ):
        found = getattr(task.dataset, split)
        args = run.model, run.params, run.tokenizer
        first, second = (
            embed_texts(*args, list(each), pooling='last', max_length=12).astype(np.float64)
            for each in (found.source_texts, found.target_texts)
        )
        alike = np.array(
            [
                [i != j and (a == c or b == d) for j, (c, d) in enumerate(texts(found))]
                for i, (a, b) in enumerate(texts(found))
            ]
        )
        nats = right = 0.0
        for begin in range(0, len(found), 8):  # eight pairs at a time, both ways
            here = slice(begin, begin + 8)
            scores = first[here] @ second[here].T / 0.3
            for way in (scores, scores.T):
                way = np.where(alike[here, here], -np.inf, way)
                log_p = np.diagonal(way) - np.log(np.exp(way).sum(axis=1))
                nats -= log_p.sum() / 2
                right += (way.argmax(axis=1) == np.arange(len(way))).sum() / 2
        assert among['loss'] == pytest.approx(nats / len(found), rel=1e-5)
        assert among['batch_accuracy'] == pytest.approx(right / len(found), rel=1e-5)
        want = retrieval.scores(np.where(alike, -np.inf, first @ second.T))
        assert {key: result[key] for key in want} == pytest.approx(want)
        assert result['candidates'] == len(found)


def test_a_language_models_scores_are_those_of_its_windows(folder):
    run, task = untrained(language_model(folder))
    results = list(judge(run, task))
    assert assert_numbers(results) == ['side_by_side', 'overlapping']
    scores = evaluate_all(
        run.model, run.params, task.dataset.test, run.tokenizer.characters, length=16
    )
    for result in results[2:]:
        want = scores[result['name']]._asdict()
        assert {key: result[key] for key in want} == pytest.approx(want)


@pytest.mark.parametrize('make', [masked, language_model])
def test_a_split_that_is_too_short_is_left_out(folder, make, caplog):
    config = make(folder)
    config.data.splits = (0.8, 0.2, 0.0)
    run, task = untrained(config)
    absl_logging.set_verbosity(absl_logging.INFO)
    with caplog.at_level('WARNING', logger='absl'):
        names = assert_numbers(list(judge(run, task)), ('validation',))
    assert names
    assert 'The test split is empty' in caplog.text
    caplog.clear()
    short = task._replace(dataset=task.dataset._replace(test=task.dataset.train[:10]))
    with caplog.at_level('WARNING', logger='absl'):
        assert_numbers(list(judge(run, short)), ('validation',))
    assert 'The test split is shorter than one window' in caplog.text
