"""Scores of choices against reading every text from its beginning, and what is made of them."""

import itertools
import math
from functools import cache
from typing import Any

import jax
import numpy as np
import pytest
from scipy import stats

from nlp_models.adaptation import completions, likelihood, prefix
from nlp_models.adaptation.completions import complete, cut, ends_alone
from nlp_models.adaptation.in_context import Setting, Task, evaluate, score_choices
from nlp_models.adaptation.likelihood import score_pairs
from nlp_models.adaptation.normalization import calibrate, per_length, unconditional, wilson
from nlp_models.adaptation.pairs import Pair, encode, encode_pair, first_token
from nlp_models.adaptation.prompts import Template
from nlp_models.data.tokenizers import learn_tokenizer
from nlp_models.errors import InputError
from nlp_models.generation.sampling import Sampling
from tests import generation_models
from tests.generation_models import CONTEXT, FAMILIES, V, small
from tests.harness_models import merging_tokenizer
from tests.induction import SURE, TOKENIZER, bias, examples, induction

# ---- the scorer -----------------------------------------------------------------------------


@cache
def reader(model: Any) -> Any:
    return jax.jit(lambda params, tokens: model.apply(params, model.start(params, 1), tokens)[1])


def plainly(run: Any, context: Any, continuation: Any) -> tuple[np.ndarray, np.ndarray]:
    """log p of each token of a continuation, in float64, and whether it is the likeliest."""
    limit = run.model.context
    text = [*context, *continuation][:-1]
    text = text if limit is None else text[-limit:]
    width = limit or 64
    assert len(text) <= width
    padded = np.zeros((1, width), np.int32)
    padded[0, : len(text)] = text
    logits = np.asarray(reader(run.model)(run.params, padded), np.float64)[0, : len(text)]
    logits = logits[len(text) - len(continuation) :]
    peak = logits.max(axis=1, keepdims=True)
    log_p = logits - peak - np.log(np.exp(logits - peak).sum(axis=1, keepdims=True))
    found = log_p[np.arange(len(continuation)), continuation]
    return found, logits.argmax(axis=1) == continuation


def compare(run: Any, pairs: list[Pair]) -> likelihood.Scored:
    """Score pairs, all of them as if alone."""
    found = score_pairs(run.model, run.params, pairs)
    assert len(found.log_probabilities) == len(pairs)
    for pair, log_p, best in zip(pairs, found.log_probabilities, found.greedy, strict=True):
        wanted, likeliest = plainly(run, pair.context, pair.continuation)
        np.testing.assert_allclose(log_p, wanted, rtol=1e-4, atol=1e-5)
        assert best == likeliest.all()
    sums = [np.sum(each, dtype=np.float64) for each in found.log_probabilities]
    np.testing.assert_allclose(found.log_likelihoods, sums, rtol=1e-12)
    return found


def draw(random: Any, length: int) -> np.ndarray:
    return random.integers(V, size=length).astype(np.int32)


def few_shot_pairs(run: Any) -> list[Pair]:
    """Most begin alike, several continue one context; the longest fills a model of 24 tokens."""
    random = np.random.default_rng(1)
    shared = draw(random, 17)
    middles = [draw(random, n) for n in (4, 1, 0, 2)]
    pairs = [
        Pair(np.concatenate([shared, middle]), draw(random, n))
        for middle in middles
        for n in (1, 3, 4)
    ]
    greedy: list[int] = []
    for _ in range(3):
        logits = generation_models.next_logits(run, [*pairs[0].context, *greedy])
        greedy.append(int(np.argmax(logits)))
    return [*pairs, Pair(pairs[0].context, np.array(greedy, np.int32))]


@pytest.mark.parametrize('name', FAMILIES)
def test_what_contexts_share_is_read_once_and_changes_nothing(name, monkeypatch):
    run, shapes, read = small(name), [], likelihood._read

    def reading(*arguments):
        shapes.append(arguments[4].shape)
        return read(*arguments)

    monkeypatch.setattr(likelihood, '_read', reading)
    found = compare(run, few_shot_pairs(run))
    assert shapes == [(1, 16), (4, 4)]  # what all share, once; then what four contexts have besides
    assert found.greedy[-1]
    assert not found.greedy.all()
    assert not found.truncated.any()


@pytest.mark.parametrize('name', ['transformer_rotary', 'transformer_learned'])
def test_contexts_beyond_the_model_are_cut_on_the_left(name):
    run, random = small(name), np.random.default_rng(2)
    long = draw(random, 40)
    pairs = [Pair(long, draw(random, n)) for n in (1, 2, CONTEXT)]
    pairs += [Pair(draw(random, CONTEXT), draw(random, 1))]  # just fits: its last is not read
    pairs += [Pair(draw(random, CONTEXT), draw(random, 2))]
    found = compare(run, pairs)
    assert found.truncated.tolist() == [True, True, True, False, True]
    with pytest.raises(InputError, match=r'^a choice has 25 tokens: the model reads at most 24'):
        score_pairs(run.model, run.params, [Pair(long, draw(random, CONTEXT + 1))])


@pytest.mark.parametrize('name', ['lstm', 'transformer_windowed'])
def test_small_batches_and_pieces_change_nothing(name, monkeypatch):
    monkeypatch.setattr(likelihood, 'BATCH_TOKENS', 8)
    monkeypatch.setattr(likelihood, 'STATE_BYTES', 5000)
    monkeypatch.setattr(likelihood, 'LOGITS', 2 * V)  # two tokens of one row
    run = small(name)
    compare(run, few_shot_pairs(run))


def test_a_learned_beginning_stands_before_all_of_them():
    base = small('transformer_rotary', context=CONTEXT + 3)
    model = prefix.extend(base.model, length=3, vocab_size=V)
    learned = prefix.begin(base.model, base.params, jax.random.key(0), 3, V)
    run = generation_models.Run(model, {**base.params, prefix.NAME: learned})
    plain = compare(base, few_shot_pairs(base))
    found = compare(run, few_shot_pairs(base))
    assert not found.truncated.any()
    assert np.abs(found.log_likelihoods - plain.log_likelihoods).max() > 0.1


def test_no_pair_has_no_score():
    run = small('rnn')
    found = score_pairs(run.model, run.params, [])
    assert found.log_likelihoods.shape == found.greedy.shape == (0,)


# ---- where context and continuation are parted ----------------------------------------------


def pieces(tokenizer: Any, ids: Any) -> list[str]:
    return [tokenizer.decode([i]) for i in ids]


def test_context_and_continuation_are_tokenised_as_one_text():
    tokenizer = merging_tokenizer('gpt2')
    cases = {
        ('cat', '.\nis'): (['c', 'at'], ['.\n', 'is']),
        ('cat', ' the mat'): (['c', 'at'], ['the ', 'm', 'at']),  # 'at ' lies across the border
        ('cat ', 'the mat'): (['c', 'at'], ['the ', 'm', 'at']),  # the blank is moved
        ('cat \n ', 'the mat'): (['c', 'at'], ['\n', ' ', 'the ', 'm', 'at']),
        ('at', 'the'): (['at'], ['the']),
        ('t', 'he end'): (['t'], ['en', 'd']),
        ('t', 'he'): (['t'], ['h', 'e']),  # nothing is left: the continuation's own tokens
    }
    for (context, continuation), (before, after) in cases.items():
        pair = encode_pair(tokenizer, context, continuation)
        found = pieces(tokenizer, pair.context), pieces(tokenizer, pair.continuation)
        assert found == (before, after), (context, continuation)


def test_what_stands_before_a_text():
    plain, framed = merging_tokenizer('gpt2'), merging_tokenizer('llama')
    begins, ends = framed.special['bos'], framed.special['eos']
    assert first_token(plain) == plain.special['eos'] == ends
    assert first_token(framed) == begins
    for context in ('', ' '):
        pair = encode_pair(plain, context, 'cat')
        assert pair.context.tolist() == [ends]
        assert encode_pair(plain, context, 'cat', first=7).context.tolist() == [7]
        assert encode_pair(framed, context, 'cat').context.tolist() == [begins]
    assert encode(framed, 'cat')[0] == begins
    spelled = encode_pair(framed, '<s>cat', ' is')  # it is not put there twice
    assert spelled.context.tolist() == [begins, *framed.encode('cat')]
    assert encode_pair(plain, '', '</s>cat').continuation.tolist() == plain.encode('cat').tolist()
    # A text of letters begins with the blank itself, where nothing else begins texts.
    letters = learn_tokenizer('chars', ['abc \n'], 0)
    pair = encode_pair(letters, ' ', 'cab')
    assert pieces(letters, pair.context) == [' ']
    assert pieces(letters, pair.continuation) == ['c', 'a', 'b']
    assert pieces(letters, encode_pair(letters, '', 'cab').context) == ['\n']
    chars = learn_tokenizer('chars', ['abc\n'], 0)
    assert first_token(chars) == chars.encode('\n')[0]
    words = learn_tokenizer('words', ['a b'], 0)
    with pytest.raises(InputError, match='a words tokenizer has no token that a text begins with'):
        encode_pair(words, '', 'a')
    pair = encode_pair(words, 'a', 'b')  # which is one word, and none of the words
    assert (pair.context.tolist(), pair.continuation.tolist()) == ([1], [2])
    with pytest.raises(InputError, match=r"^the choice ' ' has no token"):
        encode_pair(words, 'a', ' ')


def test_tables_of_choices():
    run = small('rnn', vocab_size=TOKENIZER.vocab_size)
    contexts = ['a:', 'b: ']
    choices = [['é', '12', '1'], [' 12', '0']]
    found = score_choices(*run, TOKENIZER, contexts, choices)
    for i, several in enumerate(choices):
        for j, choice in enumerate(several):
            pair = encode_pair(TOKENIZER, contexts[i], choice)
            wanted = plainly(run, *pair)[0].sum()
            assert found.log_likelihoods[i, j] == pytest.approx(wanted, rel=1e-4)
            assert found.tokens[i, j] == len(pair.continuation)
    assert found.log_likelihoods[1, 2] == -np.inf
    assert found.tokens.tolist() == [[1, 2, 1], [4, 2, 0]]  # with the blank that is moved
    assert found.bytes.tolist() == [[2, 2, 1], [3, 1, 0]]  # and without it
    assert found.characters.tolist() == [[1, 2, 1], [3, 1, 0]]
    assert found.truncated.tolist() == [False, False]


# ---- from log-likelihoods to scores ---------------------------------------------------------


def test_normalisations_are_what_loops_make():
    random = np.random.default_rng(0)
    scores = random.normal(size=(5, 3)) - 3
    scores[2, 2] = -np.inf
    lengths = random.integers(1, 9, (5, 3))
    lengths[2, 2] = 0
    alone = random.normal(size=(5, 3)) - 3
    alone[2, 2] = -np.inf
    by_length, differences = per_length(scores, lengths), unconditional(scores, alone)
    for i, j in itertools.product(range(5), range(3)):
        if (i, j) == (2, 2):
            assert by_length[i, j] == differences[i, j] == -np.inf
        else:
            assert by_length[i, j] == pytest.approx(scores[i, j] / lengths[i, j])
            assert differences[i, j] == pytest.approx(scores[i, j] - alone[i, j])


def test_calibration_is_the_affine_map_of_the_paper():
    random = np.random.default_rng(1)
    scores, free = random.normal(size=(6, 3)) - 2, random.normal(size=(6, 4, 3)) - 2
    found = calibrate(scores, free)
    for i in range(6):
        p = np.exp(scores[i]) / np.exp(scores[i]).sum()
        p_cf = np.mean([np.exp(free[i, m]) for m in range(4)], axis=0)
        p_cf = p_cf / p_cf.sum()
        q = np.linalg.inv(np.diag(p_cf)) @ p + np.zeros(3)
        np.testing.assert_allclose(np.exp(found[i]), q, rtol=1e-10)
    # What the content-free questions say themselves is worth nothing.
    same = np.repeat(scores[:, None], 2, axis=1)
    np.testing.assert_allclose(calibrate(scores, same), 0, atol=1e-12)
    few = np.where(np.arange(3) < 2, scores, -np.inf)
    assert (calibrate(few, free + np.where(np.arange(3) < 2, 0, -np.inf))[:, 2] == -np.inf).all()


@pytest.mark.parametrize(('successes', 'trials'), [(0, 1), (1, 1), (7, 10), (0, 30), (99, 100)])
def test_wilson_is_scipys(successes, trials):
    wanted = stats.binomtest(successes, trials).proportion_ci(method='wilson')
    assert wilson(successes, trials) == pytest.approx((wanted.low, wanted.high), abs=1e-12)
    narrow = stats.binomtest(successes, trials).proportion_ci(0.5, method='wilson')
    assert wilson(successes, trials, 0.5) == pytest.approx((narrow.low, narrow.high), abs=1e-12)


@pytest.mark.parametrize(('successes', 'trials'), [(0, 0), (3, 2), (-1, 2)])
def test_no_interval_of_what_cannot_be(successes, trials):
    with pytest.raises(InputError, match='must be'):
        wilson(successes, trials)


# ---- a task ---------------------------------------------------------------------------------

DIGITS = {digit: digit for digit in '0123'}
TEMPLATE = Template('{n}{q}={label}', words=DIGITS, separator='\n')


def told(shown: Any, query: Any) -> str:
    """What the induction model answers: as the last example of the letter, else the first digit."""
    answers = [each['label'] for each in shown if each['q'] == query['q']]
    return answers[-1] if answers else '0'


@pytest.mark.parametrize('selection', ['random', 'balanced'])
@pytest.mark.parametrize('shots', [0, 1, 4])
def test_a_model_that_repeats_answers_as_it_must(shots, selection):
    from nlp_models.adaptation.selection import select_examples

    queries, pool = examples(20, seed=1), examples(30, seed=2)
    setting = Setting(shots=shots, selection=selection, seed=3)
    result = evaluate(induction(), bias(), TOKENIZER, Task(TEMPLATE, queries, pool), setting)
    chosen = select_examples(TEMPLATE, queries, pool, shots=shots, how=selection, seed=3)
    wanted = [told(shown, query) for shown, query in zip(chosen, queries, strict=True)]
    assert list(result.predictions) == wanted
    assert list(result.answers) == [query['label'] for query in queries]
    right = [a == b for a, b in zip(result.predictions, result.answers, strict=True)]
    assert result.right.tolist() == right
    assert result.accuracy == pytest.approx(np.mean(right))
    assert (result.low, result.high) == wilson(sum(right), 20)
    assert (result.examples, result.shots, result.fewer, result.truncated) == (20, shots, 0, 0)
    if shots == 0:
        assert result.margin == pytest.approx(0, abs=1e-6)
    if (shots, selection) == (4, 'balanced'):
        assert result.accuracy == 1
        assert result.margin == pytest.approx(SURE, rel=1e-5)


def test_calibration_takes_away_what_is_said_anyway():
    queries, pool = examples(12, seed=1), examples(30, seed=2)
    task = Task(TEMPLATE, queries, pool)
    prone = bias(t2=4.0)
    plain = evaluate(induction(), prone, TOKENIZER, task)
    assert set(plain.predictions) == {'2'}
    assert plain.scores is not None
    free = ('n', '', 'x')
    calibrated = evaluate(induction(), prone, TOKENIZER, task, Setting(content_free=free))
    assert calibrated.scores is not None
    np.testing.assert_allclose(calibrated.scores, 0, atol=1e-5)  # nothing but the bias was there
    compared = evaluate(induction(), prone, TOKENIZER, task, Setting(normalization='unconditional'))
    assert compared.scores is not None
    np.testing.assert_allclose(compared.scores, 0, atol=1e-5)
    # With examples, a content-free question stands behind the same ones.
    setting = Setting(shots=4, selection='balanced', content_free=('x',))
    shown = evaluate(induction(), prone, TOKENIZER, task, setting)
    assert shown.accuracy == 1
    assert shown.scores is not None
    raw = evaluate(induction(), prone, TOKENIZER, task, setting._replace(content_free=())).scores
    assert raw is not None
    # 'xx=' has been followed by nothing: what is taken away is the bias alone.
    by_hand = np.array([0, 0, 4.0, 0])
    by_hand -= np.log(np.exp(by_hand).sum())
    p = raw - np.log(np.exp(raw).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(shown.scores, p - by_hand, rtol=1e-4, atol=1e-4)


def test_lengths_divide_choices_that_are_longer():
    template = Template('{q}={label}', choices='several')
    query = {'q': 'a', 'label': '123', 'several': ['1', '123', 'é0']}
    prone = bias(t1=2.0, t2=1.5, t3=1.5, t0=1.0)
    scores = {
        how: evaluate(
            induction(), prone, TOKENIZER, Task(template, [query]), Setting(normalization=how)
        )
        for how in ('none', 'tokens', 'characters', 'bytes', 'unconditional')
    }
    plain = scores['none'].scores
    assert plain is not None
    for how, sizes in {
        'tokens': [1, 3, 2],
        'characters': [1, 3, 2],
        'bytes': [1, 3, 3],
    }.items():
        found = scores[how].scores
        assert found is not None
        np.testing.assert_allclose(found, plain / np.array(sizes), rtol=1e-6)
    assert scores['none'].predictions == ('1',)
    assert scores['none'].answers == ('123',)
    assert scores['none'].margin == pytest.approx(plain[0, 1] - plain[0, 0])


def test_examples_that_do_not_fit_are_dropped_or_cut_off():
    queries, pool = examples(6, seed=1), examples(30, seed=2)
    task = Task(TEMPLATE, queries, pool)
    fits = induction(context=18)  # '0=' with numbers: 5 or 6 letters an example, with a line break
    roomy = evaluate(induction(), bias(), TOKENIZER, task, Setting(shots=2, seed=1))
    dropped = evaluate(fits, bias(), TOKENIZER, task, Setting(shots=4, seed=1))
    assert (dropped.fewer, dropped.truncated) == (6, 0)
    kept = evaluate(fits, bias(), TOKENIZER, task, Setting(shots=4, seed=1, overflow='keep'))
    assert (kept.fewer, kept.truncated) == (0, 6)
    assert roomy.fewer == roomy.truncated == 0
    with pytest.raises(InputError, match='there is room for 18'):
        evaluate(fits, bias(), TOKENIZER, task, Setting(shots=4, seed=1, overflow='refuse'))


def test_an_answer_is_written():
    queries, pool = examples(10, seed=1), examples(30, seed=2)
    words = {'0': 'no', '1': 'one', '2': 'two', '3': 'fre'}
    template = Template('{n}{q}={label}', words=words, separator='\n')
    setting = Setting(shots=4, selection='balanced', method='generation', num_tokens=6)
    result = evaluate(induction(), bias(), TOKENIZER, Task(template, queries, pool), setting)
    assert result.accuracy == 1
    assert result.predictions == tuple(words[query['label']] for query in queries)
    assert math.isnan(result.margin)
    assert result.scores is None
    zero = evaluate(
        induction(), bias(x=1.0), TOKENIZER, Task(template, queries), setting._replace(shots=0)
    )
    assert zero.predictions[0] == 'xxxxxx'
    assert zero.accuracy == 0
    short = evaluate(
        induction(context=16), bias(), TOKENIZER, Task(template, queries, pool), setting
    )
    assert (short.fewer, short.truncated) == (10, 0)


@pytest.mark.parametrize(
    ('fields', 'message'),
    [
        (dict(method='guess'), "^method is 'guess': it must be one of likelihood, generation"),
        (dict(normalization='words'), "^normalization is 'words': it must be one of none, tokens"),
        (dict(selection='first', shots=1), "^selection is 'first': it must be one of random"),
        (dict(shots=31), '^shots is 31: there are 30 examples to choose among'),
        (dict(shots=-1), '^shots is -1: it must be at least 0'),
        (dict(order=-1), '^order is -1: it must be at least 0'),
        (dict(shots=1, selection='nearest'), 'needs an embedding'),
        (dict(overflow='cut'), "^overflow is 'cut': it must be one of drop, keep, refuse"),
        (dict(method='generation', normalization='tokens'), 'has no choices to normalise'),
        (dict(method='generation', content_free=('x',)), 'has no choices to normalise'),
        (dict(method='generation', num_tokens=0), '^num_tokens is 0: it must be at least 1'),
        (dict(method='generation', stop=('',)), "^stop is '': it must be a text"),
        (dict(normalization='unconditional', content_free=('x',)), 'choose one'),
    ],
)
def test_settings_that_cannot_be(fields, message):
    task = Task(TEMPLATE, examples(3, seed=1), examples(30, seed=2))
    with pytest.raises(InputError, match=message):
        evaluate(induction(), bias(), TOKENIZER, task, Setting(**fields))


def test_tasks_that_cannot_be():
    model, params = induction(), bias()

    def refused(message, template, queries, pool=()):
        with pytest.raises(InputError, match=message):
            evaluate(model, params, TOKENIZER, Task(template, queries, pool))

    (good,) = examples(1)
    refused('^number of questions is 0', TEMPLATE, [])
    refused(
        "^question 2 has no field 'q': it has n, label", TEMPLATE, [good, {'n': '1', 'label': '0'}]
    )
    refused("^example 1 has no field 'label'", TEMPLATE, [good], [{'n': '1', 'q': 'a'}])
    wrong = {**good, 'label': '7'}
    refused("^question 1 has label '7', for which there is no label word", TEMPLATE, [wrong])
    free = Template('{n}{q}={label}')
    refused('needs label words or choices, or must be generation', free, [good])
    multiple = Template('{q}={label}', choices='several')
    refused("^question 1 has no field 'several'", multiple, [good])
    refused('must be two texts or more', multiple, [{**good, 'several': ['1']}])
    refused('is none of its several', multiple, [{**good, 'several': ['x', 'y']}])


# ---- writing --------------------------------------------------------------------------------


@pytest.mark.parametrize('name', ['gpt2', 'lstm'])
def test_texts_are_what_goes_on_greedily(name, monkeypatch):
    if name == 'gpt2':
        run, tokenizer = (
            small('transformer_learned', context=40),
            learn_tokenizer('chars', ['abcdefghijk\n'], 0),
        )
    else:
        run, tokenizer = small('lstm'), learn_tokenizer('chars', ['abcdefghijk\n'], 0)
    assert tokenizer.vocab_size == V
    prompts = ['abc', 'k', 'gghghgabab', '', 'cab' * 16]
    monkeypatch.setattr(completions, 'BATCH_TOKENS', 30)  # several batches
    written = complete(*run, tokenizer, prompts, num_tokens=9, stop=('bd', '\n'))
    limit = None if run.model.context is None else run.model.context - 9
    assert written.truncated.tolist() == [False] * 4 + [limit is not None]
    for prompt, text in zip(prompts, written.texts, strict=True):
        ids = tokenizer.encode(prompt) if prompt else tokenizer.encode('\n')
        ids = ids if limit is None else ids[-limit:]
        drawn = tokenizer.decode(generation_models.plainly(run, ids, 9))
        assert text == cut(drawn, ('bd', '\n'))
    keys: dict[str, Any] = dict(num_tokens=9, sampling=Sampling(), key=jax.random.key(1))
    drawn = complete(*run, tokenizer, prompts, **keys)
    assert drawn.texts == complete(*run, tokenizer, prompts, **keys).texts
    assert drawn.texts != written.texts
    with pytest.raises(InputError, match=r"^stop is '\\n': it must be a text that a words"):
        complete(*run, learn_tokenizer('words', ['a'], 0), ['a'], num_tokens=1, stop=['\n'])


def test_a_stop_that_ends_a_text_at_once_ends_it_where_the_whole_text_would():
    texts = [''.join(each) for n in range(7) for each in itertools.product('ab', repeat=n)]
    words = [''.join(each) for n in (1, 2, 3) for each in itertools.product('ab', repeat=n)]
    early = 0
    for stop in [(a,) for a in words] + [*itertools.permutations(words, 2)]:
        alone = [each for each in stop if ends_alone(each, stop)]
        early += len(alone)
        for text in texts:
            whole = cut(text, stop)
            ended = [
                (text.find(each) + len(each), each) for each in alone if each in text
            ]  # where its tokens have been drawn
            if ended:
                at, each = min(ended)
                assert cut(text[: at - len(each)], stop) == whole, (stop, text)
    assert early >= 20
