"""Token by token, batched, streamed, past the context's end: the same tokens as the plain way."""

from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nlp_models import trees
from nlp_models.errors import InputError
from nlp_models.generation import decoding
from nlp_models.generation.decoding import generate, stream
from nlp_models.generation.prompts import state_bytes
from nlp_models.generation.sampling import Sampling, penalise, pick
from tests.generation_models import (
    BOUNDED,
    CONTEXT,
    FAMILIES,
    V,
    plainly,
    prompts,
    row_of,
    small,
    sources,
    translator,
)

GREEDY = Sampling(temperature=0.0)
MIXED = Sampling(temperature=1.3, top_k=9, top_p=0.95, min_p=0.02, repetition_penalty=1.2)
LENGTHS = (2, 9, 5, 7)  # of prompts that one compiled program reads, alone or together
KEY = jax.random.key(7)

every_family = pytest.mark.parametrize('name', FAMILIES)
every_bounded = pytest.mark.parametrize('name', BOUNDED)


def lists(rows):
    return [row.tolist() for row in rows]


def alone(run, texts, *, condition=None, **settings):
    """Each prompt by itself, with the keys it has in the batch."""
    found = []
    for row, text in enumerate(texts):
        mine = None if condition is None else row_of(condition, row)
        found += generate(run.model, run.params, [text], condition=mine, first_row=row, **settings)
    return lists(found)


def together(run, texts, **settings):
    return lists(generate(run.model, run.params, texts, **settings))


def drawn_by(sampling, row):
    """Draw as `generate` says it does, on the host."""

    def choose(logits, text, index):
        logits = jnp.asarray(logits)[None]
        seen = np.isin(np.arange(logits.shape[1]), text)[None]
        logits = penalise(logits, jnp.asarray(seen), sampling.repetition_penalty)
        key = jax.random.fold_in(jax.random.fold_in(KEY, row), index)
        return pick(logits, key[None], sampling)[0]

    return choose


# What is generated.


@every_family
def test_greedy_is_reading_the_whole_text_anew(name):
    run, texts = small(name), prompts(*LENGTHS)
    rows = together(run, texts, num_tokens=12, sampling=GREEDY)
    assert rows == [plainly(run, text, 12) for text in texts]
    assert len(set(map(tuple, rows))) > 1


@every_family
def test_sampled_rows_are_as_if_alone(name):
    run, texts = small(name), prompts(*LENGTHS)
    settings: dict[str, Any] = dict(num_tokens=12, key=KEY, sampling=MIXED)
    rows = together(run, texts, **settings)
    assert rows == alone(run, texts, **settings)
    assert rows[1] == plainly(run, texts[1], 12, choose=drawn_by(MIXED, row=1))
    assert rows != together(run, texts, num_tokens=12, sampling=GREEDY)


@every_bounded
def test_past_the_context_each_row_goes_on_from_its_last_half(name):
    run, texts = small(name, context=10), prompts(*LENGTHS, 10)
    rows = together(run, texts, num_tokens=26, sampling=GREEDY)
    assert rows == [plainly(run, text, 26) for text in texts]


def test_past_the_context_sampled_rows_are_as_if_alone():
    run, texts = small('transformer_learned', context=10), prompts(*LENGTHS, 10)
    settings: dict[str, Any] = dict(num_tokens=26, key=KEY, sampling=MIXED)
    rows = together(run, texts, **settings)
    assert rows == alone(run, texts, **settings)
    assert rows[4] == plainly(run, texts[4], 26, choose=drawn_by(MIXED, row=4))


@pytest.mark.parametrize('context', [1, 2, 3])
def test_the_smallest_contexts(context):
    run, texts = small('transformer_learned', context=context), prompts(1, context, seed=3)
    rows = together(run, texts, num_tokens=7, sampling=GREEDY)
    assert rows == [plainly(run, text, 7) for text in texts]


def test_a_prompt_of_one_token_and_one_token_more():
    run = small('transformer_rotary')
    for length in (1, 2, CONTEXT):
        (text,) = prompts(length)
        rows = together(run, [text], num_tokens=1, sampling=GREEDY)
        assert rows == [plainly(run, text, 1)]
    assert generate(run.model, run.params, [], num_tokens=3, sampling=GREEDY) == []


@pytest.mark.parametrize('context', [None, 12])
def test_a_condition_belongs_to_its_row_and_the_context_ends_the_text(context):
    run, condition = translator(context=context), sources(3, 6, 1, 4)
    texts = prompts(1, 4, 1, 2)
    rows = together(run, texts, num_tokens=20, sampling=GREEDY, condition=condition)
    assert rows == [
        plainly(run, text, 20, condition=row_of(condition, row)) for row, text in enumerate(texts)
    ]
    lengths = [20] * 4 if context is None else [12, 9, 12, 11]  # the last token is not read
    assert list(map(len, rows)) == lengths
    settings: dict[str, Any] = dict(num_tokens=20, key=KEY, sampling=MIXED, condition=condition)
    assert together(run, texts, **settings) == alone(run, texts, **settings)
    other = sources(3, 6, 1, 4, seed=1)
    assert rows != together(run, texts, num_tokens=20, sampling=GREEDY, condition=other)


def test_the_repetition_penalty_counts_prompt_and_drawn_tokens():
    run, texts = small('lstm'), prompts(*LENGTHS)
    sampling = Sampling(temperature=0.0, repetition_penalty=4.0)
    rows = together(run, texts, num_tokens=12, sampling=sampling)
    for row, text in enumerate(texts):
        assert rows[row] == plainly(run, text, 12, choose=drawn_by(sampling, row))
    repeats = sum(12 - len(set(row) - set(text)) for row, text in zip(rows, texts, strict=True))
    plain = together(run, texts, num_tokens=12, sampling=GREEDY)
    before = sum(12 - len(set(row) - set(text)) for row, text in zip(plain, texts, strict=True))
    assert repeats < before


def test_seeds_repeat_and_differ():
    run, texts = small('rnn'), prompts(3, 3)
    texts[1] = texts[0]
    one, again, other = (
        together(run, texts, num_tokens=16, key=jax.random.key(seed)) for seed in (0, 0, 1)
    )
    assert one == again
    assert one != other
    assert one[0] != one[1]  # rows have keys of their own
    shifted = together(run, texts[:1], num_tokens=16, key=jax.random.key(0), first_row=1)
    assert shifted == [one[1]]


# Stop sequences.


def first_end(row, stop):
    """Where a row is cut, by looking at every place of it."""
    for end in range(1, len(row) + 1):
        lengths = [len(s) for s in stop if row[:end][-len(s) :] == [*s]]
        if lengths:
            return end - max(lengths)
    return len(row)


@pytest.mark.parametrize(('name', 'context'), [('rnn', CONTEXT), ('transformer_windowed', 9)])
def test_stop_sequences_end_their_rows(name, context):
    run, texts = small(name, context=context), prompts(2, 8, 5, 7)
    settings: dict[str, Any] = dict(num_tokens=15, key=KEY, sampling=Sampling())
    rows = together(run, texts, **settings)
    for stop in (
        [rows[1][6:9], rows[2][4:5]],
        [rows[0][2:5], rows[0][3:5]],  # both end at once
        [rows[3][:1], [V - 1, V - 1, V - 1]],
    ):
        got = together(run, texts, stop=stop, **settings)
        ends = [first_end(row, stop) for row in rows]
        assert got == [row[:end] for row, end in zip(rows, ends, strict=True)]
        assert min(ends) < 15
        assert got == alone(run, texts, stop=stop, **settings)


def test_a_stop_sequence_does_not_begin_in_the_prompt():
    run, (text,) = small('lstm'), prompts(4)
    (row,) = together(run, [text], num_tokens=10, sampling=GREEDY)
    stop = [[int(text[-1]), row[0]]]
    assert first_end([int(text[-1]), *row], stop) == 0
    assert first_end(row, stop) == 10
    assert together(run, [text], num_tokens=10, sampling=GREEDY, stop=stop) == [row]


def test_the_loop_ends_with_the_last_row():
    run, texts = small('rnn'), prompts(4, 6)
    rows = together(run, texts, num_tokens=40, sampling=GREEDY)
    stop = [row[5:7] for row in rows]
    plan, given = decoding._prepare(run.model, texts, 40, None, GREEDY, stop, None, 0)
    carry = decoding._begin(run.model, plan, run.params, given)
    _, texts_after = decoding._go_on(run.model, plan, run.params, given, *carry, 40)
    ends = [first_end(row, stop) for row in rows]
    # A row has drawn its stop sequence when it ends, and the loop goes on for the other alone.
    assert int(texts_after.index) == max(ends) + 2 < 40
    assert texts_after.counts.tolist() == [end + 2 for end in ends]


# Streams.


@pytest.mark.parametrize(
    ('name', 'context', 'sampling'),
    [
        ('lstm', CONTEXT, MIXED),
        ('transformer_learned', 8, GREEDY),
    ],
)
def test_a_stream_is_what_generate_gives(name, context, sampling):
    run, (text,) = small(name, context=context), prompts(6)
    settings: dict[str, Any] = dict(num_tokens=19, key=KEY, sampling=sampling)
    (row,) = together(run, [text], **settings)
    for every, sizes in ((1, [1] * 19), (8, [8, 8, 3]), (19, [19]), (50, [19])):
        pieces = list(stream(run.model, run.params, text, every=every, **settings))
        assert list(map(len, pieces)) == sizes
        assert np.concatenate(pieces).tolist() == row
    for stop in ([row[9:12]], [row[:3]], [[*row[17:19], V - 1]]):
        (want,) = together(run, [text], stop=stop, **settings)
        for every in (1, 4, 50):
            pieces = list(stream(run.model, run.params, text, every=every, stop=stop, **settings))
            assert all(len(piece) > 0 for piece in pieces)
            assert [token for piece in pieces for token in piece.tolist()] == want


def test_a_stream_comes_piece_by_piece_and_has_a_condition():
    run, condition = translator(context=12), sources(5)
    (text,) = prompts(1)
    settings: dict[str, Any] = dict(num_tokens=40, sampling=GREEDY, condition=condition)
    (row,) = together(run, [text], **settings)
    pieces = stream(run.model, run.params, text, every=5, **settings)
    assert next(pieces).tolist() == row[:5]
    assert [piece.tolist() for piece in pieces] == [row[5:10], row[10:12]]


# What is compiled.


def test_a_second_call_compiles_nothing():
    run = small('transformer_rotary', context=40)
    generate(run.model, run.params, prompts(9, 4), num_tokens=6, key=KEY, stop=[[1, 2], [3]])
    list(stream(run.model, run.params, prompts(9)[0], num_tokens=6, key=KEY, every=2))
    compiled = cast(Any, (decoding._at_once, decoding._begin, decoding._go_on))
    before = [function._cache_size() for function in compiled]
    other = jax.random.key(99)
    generate(
        run.model, run.params, prompts(2, 7, seed=5), num_tokens=6, key=other, stop=[[5], [6, 7]]
    )
    generate(
        run.model,
        run.params,
        prompts(5, 9),
        num_tokens=6,
        key=other,
        stop=[[1, 4], [3]],
        first_row=4,
    )
    list(stream(run.model, run.params, prompts(4)[0], num_tokens=6, key=other, every=5))
    assert [function._cache_size() for function in compiled] == before
    generate(run.model, run.params, prompts(10, 4), num_tokens=6, key=KEY, stop=[[1, 2], [3]])
    assert compiled[0]._cache_size() == before[0] + 1  # a wider prompt


def test_greedy_is_the_model_and_an_argmax():
    run, (text,) = small('transformer_rotary'), prompts(8)

    def loop_of(sampling, stop=()):
        """The primitives of the loop's body, those of the model left out."""
        plan, given = decoding._prepare(run.model, [text], 8, KEY, sampling, stop, None, 0)
        traced = jax.make_jaxpr(
            lambda params, given: decoding._at_once(run.model, plan, params, given)
        )(run.params, given)
        state = run.model.start(run.params, 1, plan.room)
        model = jax.make_jaxpr(run.model.apply)(run.params, state, jnp.zeros((1, 1), jnp.int32))
        (whole,) = (e.params['jaxpr'] for e in traced.eqns if 'jaxpr' in e.params)
        (body,) = (e.params['body_jaxpr'].jaxpr for e in whole.eqns if e.primitive.name == 'while')
        return len(body.eqns) - len(model.eqns)

    plain = loop_of(GREEDY)
    # The argmax, its writing down, the count, and the axes of one token put on and taken off.
    assert 0 < plain <= 12
    assert plain < loop_of(GREEDY, stop=[[1]])
    assert plain < loop_of(Sampling(temperature=0.0, repetition_penalty=1.1))
    assert plain < loop_of(Sampling())


# State.


@pytest.mark.parametrize('name', ['lstm', 'transformer_rotary', 'transformer_windowed'])
def test_state_bytes_are_those_of_the_state(name):
    run = small(name)
    sizes = [state_bytes(run.model, run.params, 3, length) for length in (4, 16)]
    assert sizes == [trees.num_bytes(run.model.start(run.params, 3, room)) for room in (4, 16)]
    assert (sizes[0] == sizes[1]) == (name == 'lstm')
    if name == 'transformer_rotary':
        layers, width, float32 = 2, 8, 4
        assert sizes[1] == 3 * (16 * layers * 2 * width * float32 + layers * 4)


def test_state_bytes_of_a_condition():
    run, condition = translator(), sources(3, 6)
    state = run.model.start(run.params, 2, 0, **condition)
    assert state_bytes(run.model, run.params, 2, 5, condition) == trees.num_bytes(state) > 0


# Bad input.


@pytest.mark.parametrize(
    ('texts', 'settings', 'message'),
    [
        ([[1], []], {}, 'the prompt is empty: it needs at least one token to go on from'),
        ([[1] * 30], {}, f'the prompt has 30 tokens: the model reads at most {CONTEXT}'),
        ([[1]], {'num_tokens': 0}, 'num_tokens is 0: it must be at least 1'),
        ([[1]], {'stop': [[1], []]}, 'stop is []: it must be token ids, at least one a sequence'),
        ([[1]], {'stop': [[2, -1]]}, 'stop is [2, -1]: it must be token ids'),
        (
            [[1]],
            {'sampling': Sampling()},
            'key is None: it must be given where temperature is above 0',
        ),
    ],
)
def test_what_cannot_be_gone_on_with_is_named(texts, settings, message):
    run = small('transformer_rotary')
    texts = [np.asarray(text, np.int32) for text in texts]
    settings = {'num_tokens': 3, 'sampling': GREEDY, **settings}
    with pytest.raises(InputError) as error:
        generate(run.model, run.params, texts, **settings)
    assert str(error.value).startswith(message)
    with pytest.raises(InputError) as error:
        stream(run.model, run.params, texts[-1], **settings)  # not only when a piece is asked for
    assert str(error.value).startswith(message)


def test_a_condition_that_does_not_fit_is_named():
    run, texts = translator(), prompts(1, 1)
    with pytest.raises(InputError) as error:
        generate(
            run.model, run.params, texts, num_tokens=2, sampling=GREEDY, condition=sources(3, 2, 1)
        )
    assert str(error.value) == ('number of rows of source is 3: it must be that of the prompts, 2')
    with pytest.raises(InputError) as error:
        generate(
            run.model, run.params, texts, num_tokens=2, sampling=GREEDY, condition=sources(3, 10)
        )
    assert str(error.value) == 'the source has 10 tokens: the model reads at most 9'
    with pytest.raises(InputError, match='every is 0: it must be at least 1'):
        stream(run.model, run.params, texts[0], num_tokens=2, every=0, sampling=GREEDY)
