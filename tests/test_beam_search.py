"""Beam search against all sequences, against greedy decoding, and against a search by hand."""

import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nlp_models.errors import InputError
from nlp_models.generation.beam_search import beam_search
from nlp_models.generation.decoding import generate
from nlp_models.generation.sampling import Sampling
from tests.generation_models import (
    CONTEXT,
    V,
    next_logits,
    plainly,
    prompts,
    row_of,
    small,
    sources,
    translator,
)

GREEDY = Sampling(temperature=0.0)
END = 2


def next_log_p(run, text, condition=None):
    logits = next_logits(run, text, condition).astype(np.float64)
    return logits - logits.max() - np.log(np.exp(logits - logits.max()).sum())


def assert_same(found, wanted):
    """The same texts with the same scores, in the same order."""
    np.testing.assert_allclose(found.scores, [score for score, _ in wanted], rtol=2e-5, atol=2e-5)
    assert [text.tolist() for text in found.tokens] == [[*text] for _, text in wanted]


def every_text(run, prompt, *, num_tokens, end, alpha, vocab_size):
    """All texts that end, or are of full length, with their scores, the best first."""
    found = []
    table = {
        text: next_log_p(run, [*prompt, *text])
        for length in range(num_tokens)
        for text in itertools.product(range(vocab_size), repeat=length)
        if end not in text
    }
    for text in itertools.product(range(vocab_size), repeat=num_tokens):
        length = text.index(end) + 1 if end in text else num_tokens
        text = text[:length]
        log_p = sum(table[text[:i]][text[i]] for i in range(length))
        kept = text[:-1] if text[-1] == end else text
        found.append((log_p / length**alpha, kept, text))
    unique = {text: (score, kept) for score, kept, text in found}
    return sorted(unique.values(), reverse=True)


def by_hand(run, prompt, *, num_beams, num_tokens, end, alpha, condition=None):
    """The search of the docstring, one prompt on the host, and to the very end."""
    running, finished = [(0.0, ())], []
    for length in range(1, num_tokens + 1):
        next_ones = []
        for log_p, text in running:
            p = next_log_p(run, [*prompt, *text], condition)
            next_ones += [(log_p + p[token], (*text, token)) for token in range(len(p))]
        next_ones.sort(reverse=True)
        finished += [
            (log_p / length**alpha, text[:-1])
            for log_p, text in next_ones[:num_beams]
            if text[-1] == end
        ]
        running = [one for one in next_ones if one[1][-1] != end][:num_beams]
    finished += [(log_p / num_tokens**alpha, text) for log_p, text in running]
    return sorted(finished, reverse=True)[:num_beams]


@pytest.mark.parametrize('name', ['lstm', 'transformer_rotary'])
@pytest.mark.parametrize('seed', [0, 1, 2])
def test_full_width_is_all_sequences(name, seed):
    run = small(name, seed=seed, vocab_size=5)
    (prompt,) = prompts(3, vocab_size=5, seed=seed)
    for alpha in (0.0, 0.6, 1.0, -0.5):
        for end in (END, None):
            wanted = every_text(run, prompt, num_tokens=4, end=end, alpha=alpha, vocab_size=5)
            assert len(wanted) == (341 if end == END else 625)
            (found,) = beam_search(
                run.model,
                run.params,
                [prompt],
                num_beams=625,
                num_tokens=4,
                end=end,
                length_penalty=alpha,
            )
            scores = [score for score, _ in wanted]
            np.testing.assert_allclose(found.scores, scores, rtol=2e-5, atol=2e-5)
            assert sorted(map(tuple, found.tokens)) == sorted(text for _, text in wanted)
            assert found.tokens[0].tolist() == [*wanted[0][1]]
            assert wanted[0][0] - wanted[1][0] > 1e-4  # rounding does not decide


def test_the_length_penalty_decides_between_short_and_long():
    run = small('lstm', seed=1, vocab_size=5)
    (prompt,) = prompts(3, vocab_size=5, seed=1)

    def best(alpha):
        (found,) = beam_search(
            run.model,
            run.params,
            [prompt],
            num_beams=8,
            num_tokens=6,
            end=END,
            length_penalty=alpha,
        )
        return len(found.tokens[0])

    assert best(-3.0) < best(3.0) == 6


@pytest.mark.parametrize('name', ['rnn', 'mingru', 'transformer_learned'])
def test_one_beam_that_compares_probabilities_is_greedy(name):
    model, texts, ended = small(name).model, prompts(2, 9, 5, 7), 0
    for seed in range(4):
        params = small(name, seed=seed).params
        rows = generate(model, params, texts, num_tokens=12, sampling=GREEDY)
        end = int(rows[0][3])
        rows = generate(model, params, texts, num_tokens=12, sampling=GREEDY, stop=[[end]])
        found = beam_search(
            model, params, texts, num_beams=1, num_tokens=12, end=end, length_penalty=0.0
        )
        for row, beams in zip(rows, found, strict=True):
            assert [tokens.tolist() for tokens in beams.tokens] == [row.tolist()]
            ended += len(row) < 12
    assert ended > 0


@pytest.mark.parametrize('name', ['rnn', 'transformer_windowed', 'transformer_scanned'])
def test_a_batch_is_each_prompt_searched_by_hand(name):
    run, texts = small(name), prompts(2, 9, 5, 1)
    for num_beams, alpha in ((3, 0.6), (4, 1.0), (3, -1.0)):
        settings: dict[str, Any] = dict(num_beams=num_beams, num_tokens=7, end=END)
        found = beam_search(run.model, run.params, texts, length_penalty=alpha, **settings)
        for text, beams in zip(texts, found, strict=True):
            assert_same(beams, by_hand(run, text, alpha=alpha, **settings))


@pytest.mark.parametrize('context', [None, 8])
def test_a_condition_belongs_to_its_row_and_the_context_ends_the_text(context):
    run, condition = translator(context=context), sources(3, 6, 1, 4)
    texts = prompts(1, 4, 1, 2)
    settings: dict[str, Any] = dict(num_beams=3, num_tokens=11, end=END)
    found = beam_search(
        run.model, run.params, texts, condition=condition, length_penalty=0.8, **settings
    )
    for row, (text, beams) in enumerate(zip(texts, found, strict=True)):
        settings['num_tokens'] = 11 if context is None else context - len(text) + 1
        wanted = by_hand(run, text, alpha=0.8, condition=row_of(condition, row), **settings)
        assert_same(beams, wanted)
    if context is not None:
        assert max(len(text) for text in found[0].tokens) == 8


def test_wider_beams_find_better_texts():
    run, texts = small('transformer_rotary'), prompts(4, 6, 3, 8, 5)

    def best(num_beams):
        found = beam_search(
            run.model,
            run.params,
            texts,
            num_beams=num_beams,
            num_tokens=9,
            end=None,
            length_penalty=0.0,
        )
        return np.asarray([beams.scores[0] for beams in found])

    one, many = best(1), best(32)
    assert np.all(many >= one - 1e-5)
    assert np.any(many > one + 0.01)
    for text, score in zip(texts, one, strict=True):
        row = plainly(small('transformer_rotary'), text, 9)
        whole = [*text, *row]
        log_p = [next_log_p(run, whole[: len(text) + i])[token] for i, token in enumerate(row)]
        np.testing.assert_allclose(score, sum(log_p), rtol=1e-4)


def test_fewer_texts_than_beams():
    run, (prompt,) = small('rnn', vocab_size=5), prompts(3, vocab_size=5)
    (found,) = beam_search(run.model, run.params, [prompt], num_beams=9, num_tokens=1, end=END)
    p = next_log_p(run, prompt)
    assert len(found.tokens) == 5
    np.testing.assert_allclose(found.scores, np.sort(p)[::-1], rtol=1e-5)
    assert sorted(map(tuple, found.tokens)) == [(), (0,), (1,), (3,), (4,)]


def test_the_search_ends_when_nothing_can_beat_the_pool():
    run, steps = small('rnn'), []

    def apply(params, state, tokens, *, lengths=None, key=None):
        """Whatever the text, its end is all but certain after three tokens."""
        if tokens.shape[1] == 1:
            jax.debug.callback(lambda: steps.append(1))
        count, inner = state
        inner, logits = run.model.apply(params, inner, tokens, lengths=lengths, key=key)
        count = count + (tokens.shape[1] if lengths is None else lengths)
        sure = (count >= 5)[:, None, None] & (jnp.arange(V) == END)
        return (count, inner), logits + 60 * sure

    def start(params, batch_size, max_length=0):
        return jnp.zeros(batch_size, jnp.int32), run.model.start(params, batch_size, max_length)

    model = run.model._replace(start=start, apply=apply)
    found = beam_search(
        model, run.params, prompts(3, 3), num_beams=4, num_tokens=50, end=END, length_penalty=1.0
    )
    jax.effects_barrier()
    assert {len(beams.tokens) for beams in found} == {4}
    assert 3 <= len(steps) < 10
    assert beam_search(model, run.params, [], num_beams=2, num_tokens=3, end=END) == []


@pytest.mark.parametrize(
    ('length', 'settings', 'message'),
    [
        (0, {}, 'the prompt is empty'),
        (30, {}, f'the prompt has 30 tokens: the model reads at most {CONTEXT}'),
        (3, {'num_beams': 0}, 'num_beams is 0: it must be at least 1'),
        (3, {'num_tokens': 0}, 'num_tokens is 0: it must be at least 1'),
        (3, {'end': -1}, 'end is -1: it must be a token id, or None'),
        (3, {'length_penalty': float('nan')}, 'length_penalty is nan: it must be finite'),
        (
            3,
            {'num_tokens': 23},
            'num_tokens is 23: it must be at most 22 after a prompt of 3 tokens: '
            'the model reads at most 24',
        ),
    ],
)
def test_what_cannot_be_searched_is_named(length, settings, message):
    run = small('transformer_rotary')
    settings = {'num_beams': 2, 'num_tokens': 3, 'end': END, **settings}
    with pytest.raises(InputError) as error:
        beam_search(run.model, run.params, prompts(length), **settings)
    assert str(error.value).startswith(message)
