"""Every model family, from a config: one table of cells and one explicit match.

A new recurrent cell is one function in `recurrent/cells.py` and one line in `CELLS`.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from nlp_models import heads, ngram
from nlp_models.attention.decoder import make_decoder
from nlp_models.attention.encoder import make_encoder
from nlp_models.attention.encoder_decoder import make_conditioned_decoder
from nlp_models.attention.fields import (
    DTYPES,
    adapter_options,
    block_config,
    choose,
    layer_options,
)
from nlp_models.errors import InputError, require
from nlp_models.recurrent import ablations, adjoints, cells, diagonals, linear
from nlp_models.recurrent.cells import Cell
from nlp_models.recurrent.conditioned import ATTENTIONS, make_conditioned_stack
from nlp_models.recurrent.encoder import make_encoder as make_recurrent_encoder
from nlp_models.recurrent.evaluation import make_evaluation
from nlp_models.recurrent.residual import make_residual_stack
from nlp_models.recurrent.stack import make_stack
from nlp_models.types import LanguageModel, SequenceModel

RNN_ACTIVATIONS = {'tanh': jnp.tanh, 'sigmoid': jax.nn.sigmoid}
ARCHITECTURES = ('decoder', 'encoder', 'encoder_decoder')

# Family to cell, given the config's `model` group.
CELLS: dict[str, Callable[[Any], Cell]] = {
    'rnn': lambda m: Cell(
        partial(cells.rnn, activation=choose(m, 'activation', RNN_ACTIVATIONS)),
        gates=1,
        adjoint=adjoints.RNN[m.activation],
        diagonal=partial(diagonals.rnn, activation=choose(m, 'activation', RNN_ACTIVATIONS)),
    ),
    'lstm': lambda m: Cell(
        cells.lstm,
        gates=4,
        carries=2,
        memory_gates=(0,),
        adjoint=adjoints.LSTM,
        diagonal=diagonals.lstm,
    ),
    'gru': lambda m: _gru_reset_after() if m.reset_after else _gru(),
    'mingru': lambda m: Cell(linear.mingru, gates=2, terms=linear.mingru_terms, log_space=True),
    'minlstm': lambda m: Cell(
        linear.minlstm, gates=3, memory_gates=(0,), terms=linear.minlstm_terms, log_space=True
    ),
    'linear': lambda m: Cell(linear.linear, gates=1, terms=linear.linear_terms, decay=True),
}


# Cells with a part taken out, for studies; families too, but listed apart.
ABLATED: dict[str, Cell] = ablations.CELLS


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


def build(model: Any, *, vocab_size: int, max_length: int, source_length: int = 0) -> Any:
    """Build the model that a config's `model` group describes.

    Args:
      model: the group, a ConfigDict; which fields it has depends on `model.family` and
        `model.architecture` (`configs/lm.py` lists and explains them).
      vocab_size: V.
      max_length: tokens a transformer can be given in all, unless `model.max_positions` says it;
        the length it is trained at.
      source_length: of an encoder-decoder, tokens of the longest source; likewise.

    Returns:
      A `LanguageModel` for the architecture 'decoder', a `TextEncoder` for 'encoder', a `Seq2Seq`
      for 'encoder_decoder'.

    Raises:
      InputError: for a value that is out of range or that no choice has.
    """
    try:
        return _build(model, vocab_size, max_length, source_length or max_length)
    except (AttributeError, KeyError) as error:  # a ConfigDict's, for a field it does not have
        places = {'encoder': 'encoder.py', 'encoder_decoder': 'seq2seq.py'}
        place = places.get(model.get('architecture', ''), f'lm.py:{model.family}')
        raise InputError(
            f'model.family is {model.family!r}, but the config was made for another family or '
            f'architecture: start from --config=configs/{place}'
        ) from error


def build_language_model(model: Any, *, vocab_size: int, max_length: int) -> LanguageModel:
    """`build` where nothing but a language model will do.

    Raises:
      InputError: for another architecture, too.
    """
    built = build(model, vocab_size=vocab_size, max_length=max_length)
    if not isinstance(built, LanguageModel):
        raise InputError(
            f'model.architecture is {model.architecture!r}: only decoder predicts the next token'
        )
    return built


def build_body(model: Any, *, max_length: int) -> SequenceModel:
    """The stack of a decoder alone, without embedding and head: vectors to vectors.

    Args:
      model: a config's `model` group, of the architecture 'decoder' and no n-gram.
      max_length: as in `build`.

    Returns:
      A `SequenceModel` from x `[B, T, D]`, D being `embed_size` or else `hidden_size`, to y
      `[B, T, hidden_size]`.

    Raises:
      InputError: as `build`, and for an n-gram or another architecture.
    """
    known = (*CELLS, *ABLATED, 'transformer')
    require(model.family in known, 'model.family', model.family, f'must be one of {known}')
    require(
        model.architecture == 'decoder',
        'model.architecture',
        model.architecture,
        'must be decoder',
    )
    if model.family == 'transformer':
        options = layer_options(model)
        context = model.max_positions or max_length
        return make_decoder(block_config(model), max_length=context, **options)
    cell = find_cell(model)
    width = model.get('embed_size', 0) or model.hidden_size
    return _recurrent_decoder(model, cell, width, _stack_options(model, cell))


def build_vector_model(
    model: Any, *, input_size: int, output_size: int, max_length: int
) -> SequenceModel:
    """`build_body` with a linear layer before it and one behind it (`heads.vector_model`).

    Args:
      model: as in `build_body`.
      input_size: C, of the vectors read.
      output_size: O, of the vectors given.
      max_length: as in `build`.

    Returns:
      A `SequenceModel` from x `[B, T, C]` to y `[B, T, O]`.

    Raises:
      InputError: as `build_body`.
    """
    return heads.vector_model(
        build_body(model, max_length=max_length),
        input_size=input_size,
        width=model.get('embed_size', 0) or model.hidden_size,
        output_width=model.hidden_size,
        output_size=output_size,
    )


def find_cell(model: Any) -> Cell:
    """The cell of a recurrent family, one of `CELLS` or `ABLATED`."""
    name = model.family
    return ABLATED[name] if name in ABLATED else CELLS[name](model)


def _build(model: Any, vocab_size: int, max_length: int, source_length: int) -> Any:
    match model.family:
        case 'ngram':
            require(model.order >= 1, 'model.order', model.order, 'must be at least 1')
            return ngram.build(order=model.order, vocab_size=vocab_size)
        case 'transformer':
            make = _transformer
        case family if family in CELLS or family in ABLATED:
            make = _recurrent
        case family:
            known = ', '.join(('ngram', *CELLS, 'transformer'))
            raise InputError(f'model.family is {family!r}: it must be one of {known}')
    for name in ('hidden_size', 'num_layers'):
        require(model[name] >= 1, f'model.{name}', model[name], 'must be at least 1')
    rate = model.dropout_rate
    require(0 <= rate < 1, 'model.dropout_rate', rate, 'must be at least 0 and below 1')
    require(model.embed_std > 0, 'model.embed_std', model.embed_std, 'must be above 0')
    choose(model, 'architecture', ARCHITECTURES)
    return make(model, vocab_size, max_length, source_length)


def build_ends(model: Any, vocab_size: int, width: int) -> heads.Ends:
    """Embedding and head of a config's `model` group; the head reads vectors of `width`.

    Raises:
      InputError: for sizes that do not go together.
    """
    embed_size = model.get('embed_size', 0) or model.hidden_size
    require(embed_size >= 1, 'model.embed_size', embed_size, 'must be at least 1, or 0')
    tied = model.tie_embeddings
    require(
        not tied or embed_size == width or model.architecture == 'encoder',
        'model.embed_size',
        embed_size,
        f'must equal hidden_size, {width}, where embeddings are tied',
    )
    return heads.Ends(
        vocab_size=vocab_size,
        embed_size=embed_size,
        width=width,
        tie_embeddings=tied,
        head_bias=model.head_bias,
        embed_std=model.embed_std,
        dtype=choose(model, 'dtype', DTYPES),
    )


def _transformer(model: Any, vocab_size: int, max_length: int, source_length: int) -> Any:
    config, options = block_config(model), layer_options(model)
    ends = build_ends(model, vocab_size, config.width)
    context = model.max_positions or max_length
    match model.architecture:
        case 'decoder':
            body = make_decoder(config, max_length=context, **options)
            return heads.language_model(ends, body, context)
        case 'encoder':
            return heads.text_encoder(
                ends,
                make_encoder(config, max_length=context, **options),
                num_segments=model.num_segments,
                context=context,
                masked_head=model.activation if model.masked_head else None,
                norm_epsilon=config.norm_epsilon,
                backward=model.backward,
            )
    source_context = model.max_positions or source_length
    return heads.seq2seq(
        ends,
        make_encoder(config, max_length=source_context, **options),
        make_conditioned_decoder(config, max_length=context, **options),
        shared_embeddings=model.shared_embeddings,
        context=context,
        source_context=source_context,
    )


def _recurrent(model: Any, vocab_size: int, max_length: int, source_length: int) -> Any:
    del max_length, source_length  # a state of constant size reads texts of any length
    cell = find_cell(model)
    size, decoding = model.hidden_size, model.architecture == 'decoder'
    ends = build_ends(model, vocab_size, size if model.architecture != 'encoder' else 2 * size)
    common = _stack_options(model, cell)
    if decoding:
        body = _recurrent_decoder(model, cell, ends.embed_size, common)
        return heads.language_model(ends, body, None)
    require(
        not model.residual,
        'model.residual',
        True,
        f'must be False where architecture is {model.architecture}',
    )
    size = adapter_options(model)['adapter_size']
    require(size == 0, 'model.adapter_size', size, 'must be 0: adapters are for recurrent decoders')
    encoder = make_recurrent_encoder(cell, input_size=ends.embed_size, **common)
    if model.architecture == 'encoder':
        return heads.text_encoder(
            ends,
            encoder,
            num_segments=0,
            context=None,
            masked_head='gelu' if model.masked_head else None,
            backward=model.backward,
        )
    decoder = make_conditioned_stack(
        cell,
        attention=choose(model, 'cross_attention', ATTENTIONS),
        input_size=ends.embed_size,
        memory_size=encoder.width,
        **common,
    )
    return heads.seq2seq(
        ends,
        encoder,
        decoder,
        shared_embeddings=model.shared_embeddings,
        context=None,
        source_context=None,
    )


def _stack_options(model: Any, cell: Cell) -> dict[str, Any]:
    """The arguments that all stacks of a cell have in common."""
    return dict(
        num_layers=model.num_layers,
        hidden_size=model.hidden_size,
        dropout_rate=model.dropout_rate,
        orthogonal=cell.terms is None and model.orthogonal,
        forget_bias=model.forget_bias if cell.memory_gates else 0.0,
        evaluate=make_evaluation(cell, model.evaluation, model.backward),
    )


def _recurrent_decoder(model: Any, cell: Cell, input_size: int, common: dict) -> SequenceModel:
    adapters = adapter_options(model)
    if not model.residual:
        return make_stack(
            cell,
            input_size=input_size,
            adapter_size=adapters['adapter_size'],
            backward=model.backward,
            **common,
        )
    require(
        input_size == model.hidden_size,
        'model.embed_size',
        input_size,
        f'must equal hidden_size, {model.hidden_size}, or be 0, where layers are residual',
    )
    return make_residual_stack(cell, **common, **adapters, backward=model.backward)
