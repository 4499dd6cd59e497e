"""Every model family, from a config: one table of cells and one explicit match.

A new recurrent cell is one function in `recurrent/cells.py` and one line in `CELLS`.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from nlp_models import ngram
from nlp_models.attention.attend import IMPLEMENTATIONS
from nlp_models.attention.blocks import ACTIVATIONS, BlockConfig
from nlp_models.attention.decoder import POSITIONS, make_decoder
from nlp_models.errors import InputError, require
from nlp_models.recurrent import adjoints, cells, diagonals, linear
from nlp_models.recurrent.cells import Cell
from nlp_models.recurrent.evaluation import make_evaluation
from nlp_models.recurrent.residual import make_residual_stack
from nlp_models.recurrent.sequential import BACKWARDS
from nlp_models.recurrent.stack import make_stack
from nlp_models.types import Key, LanguageModel, Params, SequenceModel, State

RNN_ACTIVATIONS = {'tanh': jnp.tanh, 'sigmoid': jax.nn.sigmoid}
DTYPES = {'float32': jnp.float32, 'bfloat16': jnp.bfloat16}

# Family to cell, given the config's `model` group.
CELLS: dict[str, Callable[[Any], Cell]] = {
    'rnn': lambda m: Cell(
        partial(cells.rnn, activation=_choose(m, 'activation')),
        gates=1,
        adjoint=adjoints.RNN[m.activation],
        diagonal=partial(diagonals.rnn, activation=_choose(m, 'activation')),
    ),
    'lstm': lambda m: Cell(
        cells.lstm,
        gates=4,
        carries=2,
        forget_gate=0,
        adjoint=adjoints.LSTM,
        diagonal=diagonals.lstm,
    ),
    'gru': lambda m: _gru_reset_after() if m.reset_after else _gru(),
    'mingru': lambda m: Cell(linear.mingru, gates=2, terms=linear.mingru_terms, log_space=True),
    'minlstm': lambda m: Cell(
        linear.minlstm, gates=3, forget_gate=0, terms=linear.minlstm_terms, log_space=True
    ),
    'linear': lambda m: Cell(linear.linear, gates=1, terms=linear.linear_terms, decay=True),
}


def _gru() -> Cell:
    return Cell(
        cells.gru,
        gates=3,
        own_candidate=True,
        adjoint=adjoints.GRU,
        diagonal=diagonals.gru,
    )


def _gru_reset_after() -> Cell:
    return Cell(
        cells.gru_reset_after,
        gates=3,
        reset_bias=True,
        adjoint=adjoints.GRU_RESET_AFTER,
        diagonal=diagonals.gru_reset_after,
    )


def _choose(model: Any, field: str, choices: dict | None = None) -> Any:
    """The entry of a table that a config field names."""
    choices = RNN_ACTIVATIONS if choices is None else choices
    name = model[field]
    require(name in choices, f'model.{field}', name, f'must be one of {", ".join(choices)}')
    return choices[name]


def build(model: Any, *, vocab_size: int, max_length: int) -> LanguageModel:
    """Build the language model that a config's `model` group describes.

    Args:
      model: the group, a ConfigDict; which fields it has depends on `model.family`
        (`configs/lm.py` lists and explains them).
      vocab_size: V.
      max_length: tokens a transformer can be given in all; the length it is trained at.

    Returns:
      The model.

    Raises:
      InputError: for a value that is out of range or that no choice has.
    """
    try:
        return _build(model, vocab_size, max_length)
    except (AttributeError, KeyError) as error:  # a ConfigDict's, for a field it does not have
        raise InputError(
            f'model.family is {model.family!r}, but the config was made for another family: '
            f'start from --config=configs/lm.py:{model.family}'
        ) from error


def _build(model: Any, vocab_size: int, max_length: int) -> LanguageModel:
    match model.family:
        case 'ngram':
            require(model.order >= 1, 'model.order', model.order, 'must be at least 1')
            return ngram.build(order=model.order, vocab_size=vocab_size)
        case 'transformer':
            return _language_model(model, _transformer(model, max_length), vocab_size, max_length)
        case family if family in CELLS:
            return _language_model(model, _recurrent(model), vocab_size, None)
        case family:
            known = ', '.join(('ngram', *CELLS, 'transformer'))
            raise InputError(f'model.family is {family!r}: it must be one of {known}')


def _recurrent(model: Any) -> SequenceModel:
    cell = CELLS[model.family](model)
    size, embed_size = model.hidden_size, _embed_size(model)
    common = dict(
        num_layers=model.num_layers,
        hidden_size=size,
        dropout_rate=model.dropout_rate,
        orthogonal=cell.terms is None and model.orthogonal,
        forget_bias=0.0 if cell.forget_gate is None else model.forget_bias,
        evaluate=make_evaluation(cell, model.evaluation, model.backward),
    )
    if not model.residual:
        return make_stack(cell, input_size=embed_size, **common)
    require(
        embed_size == size,
        'model.embed_size',
        embed_size,
        f'must equal hidden_size, {size}, or be 0, where layers are residual',
    )
    return make_residual_stack(cell, **common, backward=model.backward)


def _transformer(model: Any, max_length: int) -> SequenceModel:
    width, heads = model.hidden_size, model.num_heads
    require(heads >= 1, 'model.num_heads', heads, 'must be at least 1')
    require(width % heads == 0, 'model.num_heads', heads, f'must divide hidden_size, {width}')
    require(model.norm in ('pre', 'post'), 'model.norm', model.norm, 'must be pre or post')
    require(
        model.positions in POSITIONS,
        'model.positions',
        model.positions,
        f'must be one of {", ".join(POSITIONS)}',
    )
    rotary = model.positions == 'rotary'
    require(
        not rotary or (width // heads) % 2 == 0,
        'model.positions',
        model.positions,
        f'needs heads of even width, not {width // heads}',
    )
    require(
        model.positions != 'sinusoidal' or width % 2 == 0,
        'model.positions',
        model.positions,
        f'needs an even hidden_size, not {width}',
    )
    _choose(model, 'activation', ACTIVATIONS)
    require(
        model.feed_forward_size >= 0,
        'model.feed_forward_size',
        model.feed_forward_size,
        'must be at least 1, or 0 for 4 × hidden_size',
    )
    require(model.init_std >= 0, 'model.init_std', model.init_std, 'must be at least 0')
    require(
        model.attention in ('auto', *IMPLEMENTATIONS),
        'model.attention',
        model.attention,
        f'must be one of {", ".join(("auto", *IMPLEMENTATIONS))}',
    )
    require(
        model.backward in BACKWARDS,
        'model.backward',
        model.backward,
        f'must be one of {", ".join(BACKWARDS)}',
    )
    require(
        model.backward == 'custom' or model.attention in ('auto', 'plain'),
        'model.backward',
        model.backward,
        f'must be custom where model.attention is {model.attention}',
    )
    require(model.window >= 0, 'model.window', model.window, 'must be at least 1, or 0 for none')
    config = BlockConfig(
        width=width,
        num_heads=heads,
        feed_forward_size=model.feed_forward_size or 4 * width,
        num_layers=model.num_layers,
        norm=model.norm,
        activation=model.activation,
        use_bias=model.use_bias,
        rotary=rotary,
        dropout_rate=model.dropout_rate,
        init_std=model.init_std,
        attention='plain' if model.backward == 'autodiff' else model.attention,
        window=model.window,
        backward=model.backward,
        dtype=_choose(model, 'dtype', DTYPES),
    )
    return make_decoder(
        config,
        max_length=max_length,
        positions=model.positions,
        remat=model.remat,
        scan_layers=model.scan_layers,
    )


def _embed_size(model: Any) -> int:
    return model.get('embed_size', 0) or model.hidden_size


def _language_model(
    model: Any, body: SequenceModel, vocab_size: int, context: int | None
) -> LanguageModel:
    """Tokens to vectors, the sequence model, vectors to logits: o_t = y_t V + b_o."""
    for name in ('hidden_size', 'num_layers'):
        require(model[name] >= 1, f'model.{name}', model[name], 'must be at least 1')
    rate = model.dropout_rate
    require(0 <= rate < 1, 'model.dropout_rate', rate, 'must be at least 0 and below 1')
    require(model.embed_std > 0, 'model.embed_std', model.embed_std, 'must be above 0')
    width, embed_size = model.hidden_size, _embed_size(model)
    require(embed_size >= 1, 'model.embed_size', embed_size, 'must be at least 1, or 0')
    require(
        not model.tie_embeddings or embed_size == width,
        'model.embed_size',
        embed_size,
        f'must equal hidden_size, {width}, where embeddings are tied',
    )
    dtype = _choose(model, 'dtype', DTYPES)

    def init(key: Key) -> Params:
        key_embed, key_body, key_head = jax.random.split(key, 3)
        embedding = model.embed_std * jax.random.normal(key_embed, (vocab_size, embed_size))
        params: dict[str, Any] = {'embed': {'embedding': embedding}, 'body': body.init(key_body)}
        head = {}
        if not model.tie_embeddings:
            # Small, so that training starts near the uniform distribution.
            head['kernel'] = 0.02 * jax.random.normal(key_head, (width, vocab_size))
        if model.head_bias:
            head['bias'] = jnp.zeros(vocab_size)
        return {**params, 'head': head} if head else params

    def start(params: Params, batch_size: int, max_length: int = 0) -> State:
        return body.start(params['body'], batch_size, max_length)

    def apply(
        params: Params,
        state: State,
        tokens: Int[Array, 'B T'],
        *,
        lengths: Int[Array, 'B'] | None = None,
        key: Key | None = None,
    ) -> tuple[State, Float[Array, 'B T V']]:
        x = params['embed']['embedding'][tokens].astype(dtype)  # [B, T, D]
        state, y = body.apply(params['body'], state, x, lengths=lengths, key=key)
        kernel = (
            params['embed']['embedding'].T if model.tie_embeddings else params['head']['kernel']
        )
        logits = jnp.matmul(y, kernel.astype(dtype), preferred_element_type=jnp.float32)
        return state, logits + params['head']['bias'] if model.head_bias else logits

    return LanguageModel(init, start, apply, context)
