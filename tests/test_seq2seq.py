"""Encoder-decoders of every family behind the same functions: what must hold for each of them."""

from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from configs import seq2seq
from nlp_models import models, trees
from nlp_models.errors import InputError
from nlp_models.generation.decoding import generate
from nlp_models.generation.sampling import Sampling
from nlp_models.types import Seq2Seq
from tests.generation_models import Run, plainly, random_params, row_of

B, T, S, V = 3, 8, 6, 11
HALF = T // 2
ROOM, SOURCE_ROOM = 20, 9  # what a transformer is built for
SOURCE_LENGTHS = np.array([4, 6, 1], np.int32)

# Name: (what `configs/seq2seq.py` makes the group of, what differs, small).
FAMILIES: dict[str, tuple[Any, dict]] = {
    'pre_learned': (
        'transformer',
        dict(positions='learned', scan_layers=True, max_positions=0),
    ),
    'post_sinusoidal': (
        'transformer',
        dict(
            num_layers=1,
            norm='post',
            positions='sinusoidal',
            activation='relu',
            shared_embeddings=False,
            max_positions=0,
        ),
    ),
    'pre_rotary': (
        'transformer',
        dict(
            num_layers=1,
            positions='rotary',
            norm_type='rms',
            gated=True,
            activation='silu',
            num_kv_heads=1,
            use_bias=False,
            tie_embeddings=True,
            max_positions=0,
        ),
    ),
    'windowed': ('transformer', dict(window=3, positions='none', max_positions=0)),
    'gru_none': (('gru', 'none'), dict(num_layers=2)),
    'gru_luong': (('gru', 'luong'), dict(shared_embeddings=False)),
    'gru_bahdanau': (('gru', 'bahdanau'), dict(tie_embeddings=True, embed_size=0)),
    'lstm_bahdanau': (('lstm', 'bahdanau'), dict(num_layers=2)),
    'mingru_luong': (('mingru', 'luong'), dict(evaluation='associative', num_layers=2)),
}
TRANSFORMERS = [name for name, (kind, _) in FAMILIES.items() if kind == 'transformer']
RECURRENT = [name for name in FAMILIES if name not in TRANSFORMERS]

every_family = pytest.mark.parametrize('name', FAMILIES)


def group(name: str, **changes: Any) -> Any:
    """The `model` group of a family, made small."""
    kind, fields = FAMILIES[name]
    if kind == 'transformer':
        config = ConfigDict(seq2seq.transformer())
        config.update(hidden_size=8, num_layers=2, num_heads=2)
    else:
        config = ConfigDict(seq2seq.recurrent(*kind))
        config.update(hidden_size=8, embed_size=5)
    config.update({**fields, **changes})
    return config


def build(name: str, **changes: Any) -> Seq2Seq:
    return models.build(
        group(name, **changes), vocab_size=V, max_length=ROOM, source_length=SOURCE_ROOM
    )


class Compiled:
    """A model with parameters, its functions compiled once a shape."""

    def __init__(self, model: Seq2Seq, params: Any):
        self.model, self.params = model, params
        self._apply, self._start = jax.jit(model.apply), jax.jit(model.start, static_argnums=(1, 2))

    def start(self, source: Any, lengths: Any = None, room: int = 0, **kwargs: Any) -> Any:
        lengths = None if lengths is None else jnp.asarray(lengths, jnp.int32)
        return self._start(
            self.params, len(source), room, source=source, source_lengths=lengths, **kwargs
        )

    def apply(self, state: Any, tokens: Any, lengths: Any = None, **kwargs: Any) -> Any:
        lengths = None if lengths is None else jnp.asarray(lengths, jnp.int32)
        tokens = jnp.asarray(tokens, jnp.int32)
        state, logits = self._apply(self.params, state, tokens, lengths=lengths, **kwargs)
        return state, np.asarray(logits)

    def read(self, source: Any, lengths: Any, tokens: Any) -> np.ndarray:
        return self.apply(self.start(source, lengths), tokens)[1]

    def token_by_token(self, state: Any, tokens: np.ndarray) -> np.ndarray:
        logits = []
        for t in range(tokens.shape[1]):
            state, one = self.apply(state, tokens[:, t : t + 1])
            logits.append(one)
        return np.concatenate(logits, axis=1)


@cache
def compiled(name: str) -> Compiled:
    model = build(name)
    return Compiled(model, random_params(model, seed=0))


def random_tokens(rows: int, length: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng([seed, length]).integers(V, size=(rows, length)).astype(np.int32)


SOURCE, TOKENS = random_tokens(B, S, seed=1), random_tokens(B, T)


def assert_close(actual, desired, tolerance=2e-5):
    np.testing.assert_allclose(actual, desired, rtol=tolerance, atol=tolerance)


# At once, token by token, in halves, ragged.


@every_family
def test_at_once_is_token_by_token_is_two_halves(name):
    run = compiled(name)
    # Without room, as in training: it hands on a state that has none either.
    without = run.start(SOURCE, SOURCE_LENGTHS)
    state, at_once = run.apply(without, TOKENS)
    assert jax.tree.structure(state) == jax.tree.structure(without)
    assert at_once.shape == (B, T, V)
    assert at_once.dtype == np.float32
    assert at_once.std() > 0.1  # it does say something
    begin = run.start(SOURCE, SOURCE_LENGTHS, ROOM)
    assert_close(run.token_by_token(begin, TOKENS), at_once)
    state, first = run.apply(begin, TOKENS[:, :HALF], [HALF] * B)
    _, second = run.apply(state, TOKENS[:, HALF:], [HALF] * B)
    assert_close(np.concatenate([first, second], axis=1), at_once)


@every_family
def test_ragged_rows_read_on_as_if_alone(name):
    run, random = compiled(name), np.random.default_rng(1)
    pieces = [[4, 3, 1], [1, 4, 0], [2, 0, 4]]  # how much of each row is real
    texts: list[np.ndarray] = [np.zeros(0, np.int32)] * B
    read: list[np.ndarray] = [np.zeros((0, V))] * B
    begin = state = run.start(SOURCE, SOURCE_LENGTHS, ROOM)
    for lengths in pieces:
        tokens = random.integers(V, size=(B, HALF))
        state, logits = run.apply(state, tokens, lengths)
        for row, length in enumerate(lengths):
            texts[row] = np.concatenate([texts[row], tokens[row, :length]])
            read[row] = np.concatenate([read[row], logits[row, :length]])
    longest = max(map(len, texts))
    whole = np.stack([np.pad(text, (0, longest - len(text))) for text in texts])
    want = run.token_by_token(begin, whole)
    for row in range(B):
        assert len(read[row]) > 0
        assert_close(read[row], want[row, : len(read[row])])


@every_family
def test_the_future_changes_no_bit_of_the_past(name):
    run = compiled(name)
    state = run.start(SOURCE, SOURCE_LENGTHS)
    _, before = run.apply(state, TOKENS)
    for t in range(T):
        changed = TOKENS.copy()
        changed[:, t] = (changed[:, t] + 1 + np.arange(B)) % V
        _, after = run.apply(state, changed)
        np.testing.assert_array_equal(after[:, :t], before[:, :t])
        assert np.all(np.any(after[:, t] != before[:, t], axis=-1))


@every_family
def test_rows_are_independent(name):
    run = compiled(name)
    before = run.read(SOURCE, SOURCE_LENGTHS, TOKENS)
    source, tokens = SOURCE.copy(), TOKENS.copy()
    source[1], tokens[0] = (source[1] + 1) % V, (tokens[0] + 1) % V
    after = run.read(source, SOURCE_LENGTHS, tokens)
    np.testing.assert_array_equal(after[2], before[2])
    assert np.all(np.any(after[:2] != before[:2], axis=(1, 2)))


# The source.


@every_family
def test_what_lies_past_a_sources_end_changes_no_bit(name):
    run = compiled(name)
    before = run.read(SOURCE, SOURCE_LENGTHS, TOKENS)
    real = np.arange(S) < SOURCE_LENGTHS[:, None]
    other = np.where(real, SOURCE, (SOURCE + 3) % V)
    np.testing.assert_array_equal(run.read(other, SOURCE_LENGTHS, TOKENS), before)
    # As if there were nothing there.
    length = SOURCE_LENGTHS[0]
    alone = run.read(SOURCE[:, :length], None, TOKENS)
    assert_close(alone[0], before[0])
    assert np.abs(alone[1] - before[1]).max() > 1e-3  # which lost two tokens


@every_family
def test_every_real_source_token_matters_to_every_row_of_it(name):
    run = compiled(name)
    before = run.read(SOURCE, SOURCE_LENGTHS, TOKENS)
    for place in range(S):
        changed = SOURCE.copy()
        changed[:, place] = (changed[:, place] + 1) % V
        after = run.read(changed, SOURCE_LENGTHS, TOKENS)
        moved = np.any(after != before, axis=-1)  # [B, T]
        np.testing.assert_array_equal(moved.all(axis=1), place < SOURCE_LENGTHS)
        np.testing.assert_array_equal(moved.any(axis=1), place < SOURCE_LENGTHS)


@every_family
def test_the_order_of_the_source_matters_where_it_can_be_told(name):
    run = compiled(name)
    before = run.read(SOURCE, [S] * B, TOKENS)
    after = run.read(SOURCE[:, ::-1], [S] * B, TOKENS)
    far = np.abs(after - before).max() > 1e-3
    assert far or name == 'windowed'  # which has no positions: a window is all the order it sees


# The state.


def leaves(tree):
    return [np.shape(leaf) for leaf in jax.tree.leaves(tree)]


@every_family
def test_every_leaf_of_a_state_begins_with_the_batch(name):
    run = compiled(name)
    state = run.start(SOURCE, SOURCE_LENGTHS, ROOM)
    assert {shape[0] for shape in leaves(state)} == {B}
    after, _ = run.apply(state, TOKENS[:, :HALF], [HALF] * B)
    assert leaves(after) == leaves(state)
    assert jax.tree.structure(after) == jax.tree.structure(state)


@pytest.mark.parametrize('name', RECURRENT)
def test_a_recurrent_state_has_one_size(name):
    run = compiled(name)
    assert run.model.context is run.model.source_context is None
    sizes = {trees.num_bytes(run.start(SOURCE, SOURCE_LENGTHS, room)) for room in (0, 1, 20)}
    config, float32 = group(name), 4
    carries = {'lstm': 2}.get(config.family, 1) * config.num_layers * 8 * float32
    memory = S * (2 * 8 * float32 + 1)  # both ways, and whether it is real
    projected = S * 8 * float32
    attention = config.cross_attention
    want = carries + (attention != 'none') * memory + (attention == 'bahdanau') * projected
    assert sizes == {B * want}


@pytest.mark.parametrize('name', TRANSFORMERS)
def test_a_transformers_state_grows_with_the_text(name):
    run, config = compiled(name), group(name)
    assert (run.model.context, run.model.source_context) == (ROOM, SOURCE_ROOM)
    layers, int32 = config.num_layers, 4
    token = layers * 2 * (config.num_kv_heads or 2) * 4 * 4  # a key and a value of each head
    memory = S * token + layers * int32
    for room in (0, 4, 20):
        held = min(room, config.window or room)
        cache = held * token + layers * int32 if room else 0
        size = trees.num_bytes(run.start(SOURCE, SOURCE_LENGTHS, room))
        if room > held:  # what else a rolling cache needs is its own affair
            assert memory + cache <= size // B < memory + room * token
        else:
            assert size == B * (memory + cache)


def test_positions_are_made_for_both_lengths():
    shapes = jax.eval_shape(build('pre_learned').init, jax.random.key(0))
    assert shapes['encoder']['positions'].shape == (SOURCE_ROOM, 8)
    assert shapes['decoder']['positions'].shape == (ROOM, 8)
    model = build('pre_learned', max_positions=7)
    assert (model.context, model.source_context) == (7, 7)
    short = models.build(group('pre_learned'), vocab_size=V, max_length=5)
    assert (short.context, short.source_context) == (5, 5)


# Embeddings.


@pytest.mark.parametrize('name', ['pre_learned', 'gru_bahdanau'])
def test_shared_embeddings_are_two_that_happen_to_be_equal(name):
    run = compiled(name)
    assert 'source_embed' not in run.params
    apart = build(name, shared_embeddings=False)
    assert 'source_embed' in jax.eval_shape(apart.init, jax.random.key(0))
    two = Compiled(apart, {**run.params, 'source_embed': run.params['embed']})
    want = run.read(SOURCE, SOURCE_LENGTHS, TOKENS)
    np.testing.assert_array_equal(two.read(SOURCE, SOURCE_LENGTHS, TOKENS), want)
    # The source's is read by the encoder alone, the target's by the decoder (and the tied head).
    embedding = run.params['embed']['embedding']
    other = Compiled(apart, {**two.params, 'source_embed': {'embedding': embedding[::-1]}})
    reversed_source = (V - 1 - SOURCE) % V
    np.testing.assert_array_equal(other.read(reversed_source, SOURCE_LENGTHS, TOKENS), want)


# Dropout.


@pytest.mark.parametrize('name', ['pre_learned', 'lstm_bahdanau'])
def test_keys_turn_dropout_on_in_both_halves(name):
    run = compiled(name)
    assert group(name).num_layers == 2
    dropped = Compiled(build(name, dropout_rate=0.5), run.params)
    plain, key = run.start(SOURCE, SOURCE_LENGTHS), jax.random.key(0)
    for a, b in ((dropped, None), (run, key)):  # no key, or no rate
        state = a.start(SOURCE, SOURCE_LENGTHS, key=b)
        jax.tree.map(np.testing.assert_array_equal, state, plain)
    states = [dropped.start(SOURCE, SOURCE_LENGTHS, key=jax.random.key(i)) for i in (0, 0, 1)]
    jax.tree.map(np.testing.assert_array_equal, states[0], states[1])
    for other in (plain, states[2]):
        same = jax.tree.map(np.array_equal, states[0], other)
        assert not all(jax.tree.leaves(same))
    _, want = run.apply(plain, TOKENS)
    np.testing.assert_array_equal(dropped.apply(plain, TOKENS)[1], want)
    one, again, two = (dropped.apply(plain, TOKENS, key=jax.random.key(i))[1] for i in (0, 0, 1))
    np.testing.assert_array_equal(one, again)
    assert np.any(one != want)
    assert np.any(one != two)


# Writing.


@pytest.mark.parametrize('name', ['windowed', 'gru_bahdanau'])
def test_ragged_sources_are_written_of_as_if_alone(name):
    run = Run(compiled(name).model, compiled(name).params)
    condition = {'source': SOURCE, 'source_lengths': SOURCE_LENGTHS}
    prompts = [TOKENS[row, : row + 1] for row in range(B)]
    written = generate(
        run.model,
        run.params,
        prompts,
        num_tokens=6,
        sampling=Sampling(temperature=0.0),
        condition=condition,
    )
    for row, prompt in enumerate(prompts):
        want = plainly(run, prompt, 6, condition=row_of(condition, row))
        assert written[row].tolist() == want


# What a config may say, and the start of training.


@pytest.mark.parametrize(
    ('name', 'field', 'value'),
    [
        ('gru_luong', 'cross_attention', 'general'),
        ('gru_luong', 'residual', True),
        ('gru_luong', 'num_layers', 0),
        ('pre_learned', 'num_heads', 3),
        ('pre_learned', 'norm', 'sandwich'),
    ],
)
def test_a_bad_value_is_named(name, field, value):
    with pytest.raises(InputError) as error:
        build(name, **{field: value})
    assert str(error.value).startswith(f'model.{field} is {value!r}: ')


@pytest.mark.parametrize('name', ['post_sinusoidal', 'gru_bahdanau'])
def test_the_first_loss_is_that_of_guessing(name):
    model = build(name, embed_std=0.02, tie_embeddings=False)

    @jax.jit
    def log_p(tokens):
        params = model.init(jax.random.key(0))
        state = model.start(params, B, source=jnp.asarray(SOURCE))
        return jax.nn.log_softmax(model.apply(params, state, tokens)[1])

    tokens = random_tokens(B, T + 1)
    found = np.asarray(log_p(tokens[:, :-1]))
    loss = -np.take_along_axis(found, tokens[:, 1:, None], axis=-1).mean()
    assert abs(loss - np.log(V)) < 0.05


@pytest.mark.parametrize('name', ['pre_rotary', 'gru_bahdanau'])
def test_bfloat16_computes_on_float32_parameters(name):
    run, model = compiled(name), build(name, dtype='bfloat16')
    shapes = jax.eval_shape(model.init, jax.random.key(0))
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(shapes))
    low = Compiled(model, run.params)
    begin = low.start(SOURCE, SOURCE_LENGTHS, T)
    after, logits = low.apply(begin, TOKENS)
    want = run.read(SOURCE, SOURCE_LENGTHS, TOKENS)
    assert logits.dtype == np.float32
    assert 0 < np.abs(logits - want).mean() < 0.05 * np.abs(want).mean()
    dtypes = [[leaf.dtype for leaf in jax.tree.leaves(state)] for state in (begin, after)]
    assert dtypes[0] == dtypes[1]  # so that it can be carried through a loop
