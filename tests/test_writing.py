"""A run made to write: what it starts from, the pieces it tells, and what it keeps meanwhile."""

from typing import Any

import jax
import pytest

from configs import encoder, lm, seq2seq
from nlp_models import trees
from nlp_models.adaptation import building
from nlp_models.data.pairs import begin_id, end_id
from nlp_models.data.pretrained_tokenizer import pretrained_tokenizer
from nlp_models.data.tokenizers import learn_tokenizer
from nlp_models.errors import InputError
from nlp_models.generation.beam_search import beam_search
from nlp_models.generation.decoding import generate
from nlp_models.generation.sampling import Sampling
from nlp_models.training.tasks.task import Shape
from nlp_models.training.trained import Trained
from nlp_models.training.writing import describe_state, make_start, write, write_by_beams
from tests.generation_models import Run, plainly, random_params
from tests.pretrained_folders import write_letters
from tests.task_configs import shrink

CHARS = learn_tokenizer('chars', ['abcdefgh €'], 0)
V = CHARS.vocab_size
GREEDY = Sampling(temperature=0.0)


def untrained(config: Any, shape: Shape, tokenizer=CHARS, seed: int = 0) -> Trained:
    config = shrink(config)
    config.model.update(hidden_size=8)
    model = building.build(config.model, **shape._asdict())
    return Trained(config, tokenizer, model, shape, random_params(model, seed), 0)


def language(family='gru', context=12, **how) -> Trained:
    return untrained(lm.get_config(family), Shape(V, context), **how)


def translator(model='luong', **how) -> Trained:
    config = seq2seq.get_config(f'reverse_{model}')
    if model == 'transformer':
        config.model.max_positions = 0
    return untrained(config, Shape(V + 2, 12, 9), **how)


def text(run: Trained, start: Any, **how: Any) -> str:
    how = {'num_tokens': 12, 'key': jax.random.key(0), 'sampling': GREEDY, **how}
    return ''.join(write(run, start, **how))


# Where it begins.


def test_a_blank_stands_between_the_prompt_and_the_text():
    words = learn_tokenizer('words', ['one two three'], 0)
    run = untrained(lm.get_config('gru'), Shape(words.vocab_size, 12), tokenizer=words)
    start = make_start(run, prompt='one two', source=None)
    found = text(run, start)
    assert found.startswith(' ')
    assert len(found.split()) == 12


def test_a_language_model_goes_on_from_its_prompt():
    run = language()
    start = make_start(run, prompt='abc', source=None)
    assert start.prompt.tolist() == CHARS.encode('abc').tolist()
    assert (start.condition, start.ends, start.shown) == ({}, (), 'abc')
    want = plainly(Run(run.model, run.params), start.prompt, 12)
    assert text(run, start) == CHARS.decode(want)


@pytest.mark.parametrize('model', ['luong', 'transformer'])
def test_a_translator_starts_from_its_source(model):
    run = translator(model)
    start = make_start(run, prompt='not read', source='abc')
    assert start.prompt.tolist() == [begin_id(CHARS)]
    assert start.condition['source'].tolist() == [CHARS.encode('abc').tolist()]
    assert start.condition['source_lengths'].tolist() == [3]
    assert (start.ends, start.shown) == ((end_id(CHARS),), '')
    alone = Run(run.model, run.params)
    want = plainly(alone, start.prompt, 12, condition=start.condition)
    want = want[: want.index(V + 1)] if V + 1 in want else want
    assert text(run, start) == CHARS.decode([i for i in want if i < V])


def test_what_cannot_write_is_told():
    with pytest.raises(InputError, match=r"^source is 'abc': it is for sequence-to-sequence"):
        make_start(language(), prompt='a', source='abc')
    with pytest.raises(InputError, match=r'^source is missing: '):
        make_start(translator(), prompt='a', source=None)
    with pytest.raises(InputError, match=r"^source is '': it must hold at least one token"):
        make_start(translator(), prompt='a', source='')
    with pytest.raises(InputError, match=r'^source is .*has 10 tokens: the model reads at most 9'):
        make_start(translator('transformer'), prompt='a', source='abcdefghab')
    assert make_start(translator(), prompt='a', source='a' * 99).condition['source'].size == 99
    reader = untrained(encoder.get_config('mlm'), Shape(V + 1, 12))
    with pytest.raises(InputError, match=r'^the model is an encoder: '):
        make_start(reader, prompt='a', source=None)


@pytest.mark.parametrize('family', ['gru', 'transformer'])
def test_what_cannot_be_written_is_told_at_once(family):
    run = language(family)

    def begin(prompt='a', **how: Any):
        start = make_start(run, prompt=prompt, source=None)
        num_tokens = how.get('num_tokens', 3)
        assert describe_state(run, start, num_tokens)
        how = {'num_tokens': 3, 'key': jax.random.key(0), 'sampling': GREEDY, **how}
        write(run, start, **how)

    begin()
    with pytest.raises(InputError, match=r'^the prompt is empty'):
        begin('')
    for number in (0, -1, -50):
        with pytest.raises(InputError, match=f'^num_tokens is {number}: it must be at least 1'):
            begin(num_tokens=number)
    with pytest.raises(InputError, match=r"^stop is '': it must not be empty"):
        begin(stop=['b', ''])
    if family == 'transformer':
        with pytest.raises(InputError, match=r'^the prompt has 13 tokens: .* at most 12'):
            begin('a' * 13)


# The text.


def test_a_text_is_the_same_in_all_pieces_and_seeds_repeat():
    run = language(seed=1)
    start = make_start(run, prompt='ab', source=None)
    how: Any = dict(key=jax.random.key(3), sampling=Sampling(temperature=1.0), num_tokens=20)
    found = [text(run, start, every=every, **how) for every in (1, 3, 8, 50)]
    assert len(set(found)) == 1
    (ids,) = generate(run.model, run.params, [start.prompt], **how)
    assert found[0] == CHARS.decode(ids)
    assert text(run, start, **{**how, 'key': jax.random.key(4)}) != found[0]
    pieces = list(write(run, start, every=4, **how))
    assert len(pieces) == 5
    # A stop text ends it, wherever it stands.
    stop = found[0][7:9]
    assert text(run, start, stop=[stop], **how) == found[0][: found[0].index(stop)]


def test_tokens_that_no_text_has_are_not_told():
    """A translator may draw BEGIN, and a model with rows to spare any of them."""
    run = translator(seed=2)
    begin = run.params['head']['bias'].at[V].add(1e3)  # of which it would write nothing else
    params = {**run.params, 'head': {**run.params['head'], 'bias': begin}}
    run = run._replace(params=params)
    start = make_start(run, prompt='', source='abc')
    assert text(run, start) == ''
    assert write_by_beams(run, start, num_tokens=5, num_beams=2, length_penalty=1.0) == ''


def test_beams_write_the_best_text():
    run = translator(seed=3)
    start = make_start(run, prompt='', source='abcd')
    how: Any = dict(num_beams=3, num_tokens=8)
    for alpha in (0.0, 2.0):
        (beams,) = beam_search(
            run.model,
            run.params,
            [start.prompt],
            end=V + 1,
            length_penalty=alpha,
            condition=start.condition,
            **how,
        )
        want = CHARS.decode([i for i in beams.tokens[0] if i < V])
        assert write_by_beams(run, start, length_penalty=alpha, **how) == want
        assert len(want) > 2
        cut = write_by_beams(run, start, length_penalty=alpha, stop=(want[1:3],), **how)
        assert cut == want[: want.index(want[1:3])]
    with pytest.raises(InputError, match=r"^stop is ''"):
        write_by_beams(run, start, length_penalty=1.0, stop=('',), **how)
    plain = language()
    start = make_start(plain, prompt='a', source=None)
    with pytest.raises(InputError, match=r'^num_beams needs a model whose texts have an end'):
        write_by_beams(plain, start, length_penalty=1.0, **how)


def test_an_end_of_text_ends_it(tmp_path):
    tokenizer = pretrained_tokenizer((write_letters(tmp_path) / 'tokenizer.json').read_text())
    end = tokenizer.special['eos']
    config = lm.get_config('gru')
    run = untrained(config, Shape(tokenizer.vocab_size, 12), tokenizer=tokenizer)
    start = make_start(run, prompt='the cat', source=None)
    assert start.ends == (end,)
    bias = run.params['head']['bias']

    def leaning(shift):
        params = {**run.params, 'head': {**run.params['head'], 'bias': bias.at[end].add(shift)}}
        return run._replace(params=params)

    assert text(leaning(1e3), start) == ''
    never = leaning(-1e3)
    found = text(never, start, num_tokens=30)
    assert found == text(never, start._replace(ends=()), num_tokens=30) != ''
    # Of several any ends it.
    assert text(leaning(1e3), start._replace(ends=(end - 1, end))) == ''
    # Of a beam the end is no part, and the text goes on from the prompt.
    how: Any = dict(num_tokens=4, num_beams=2, length_penalty=1.0)
    assert write_by_beams(leaning(1e3), start, **how) == ''
    assert write_by_beams(never, start, **how) != ''


# The state.


@pytest.mark.parametrize('family', ['gru', 'transformer'])
def test_the_state_is_described(family):
    run = language(family)
    start = make_start(run, prompt='ab', source=None)
    sizes = set()
    for tokens in (3, 100):
        length = 2 + tokens if family == 'gru' else min(2 + tokens, 12)
        size = trees.num_bytes(run.model.start(run.params, 1, length))
        assert describe_state(run, start, tokens) == f'State for {length} tokens: {size:,} bytes'
        sizes.add(size)
    assert len(sizes) == (1 if family == 'gru' else 2)


def test_the_state_of_a_translator_holds_its_source():
    run = translator()
    size = [
        int(describe_state(run, make_start(run, prompt='', source=source), 5).split()[-2])
        for source in ('abcd', 'abcdef')
    ]
    assert size[1] - size[0] == 2 * (2 * 8 * 4 + 1)  # two vectors, and that they are there
