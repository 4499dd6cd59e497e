"""Language models on real text: `get_config(variant)`.

Variants: `ngram`, `transformer`, `gpt2` and `llama` (whose parts are those of GPT-2 and Llama, so
that what is trained can be exported) and every recurrent cell (`rnn`, `lstm`, `gru`, `mingru`,
`minlstm`, `linear`) on the embedded corpus `pydoc`; `shakespeare_*` below. A variant's `model`
group has the fields its family reads and no others.

    python -m experiments.train --config=configs/lm.py:gru --workdir=runs/gru
"""

from typing import Any

from ml_collections import ConfigDict

from nlp_models.errors import InputError
from nlp_models.models import ABLATED, CELLS

LINEAR = ('mingru', 'minlstm', 'linear')  # the cells that are linear in their carry, without a W


def base() -> Any:
    """What every run has."""
    return ConfigDict(
        dict(
            task='language_modelling',  # the next token; other tasks have config files of their own
            init_from='',  # a folder with safetensors, a name of the hub, or a run's folder
            seed=0,  # of parameters, batches and dropout
            steps=1000,  # in all; may change on resuming (the schedule stretches to the new end)
            batch_size=32,  # windows a step, over all devices
            sequence_length=64,  # tokens a window predicts; a transformer's context
            accumulate=1,  # microbatches a step is cut into, to save memory
            carry_state=False,  # recurrent families: truncated BPTT that carries the state across
            #   batches, each row of the batch reading a stream of its own
            eval_every=250,  # steps between evaluations of the whole validation split
            log_every=50,  # steps between lines of the metrics
            checkpoint_every=250,  # steps between checkpoints; the best is kept besides
            keep_checkpoints=2,  # how many of the newest are kept
            num_devices=0,  # 0: the most that divide the batch (on a CPU, at most one a core)
            data=dict(
                name='pydoc',  # a TFDS name; read where path is empty
                path='',  # a text file, or a folder of them
                splits=(0.9, 0.05, 0.05),  # train, validation, test shares of a path's text
                text_feature='text',  # which feature of the TFDS set is the text
                tokenizer='bytes',  # bytes, chars, words or bpe
                vocab_size=2048,  # of bpe
                cache_dir='',  # tokens; '': $NLP_MODELS_CACHE, or ~/.cache/nlp_models
                tfds_dir='',  # '': TFDS's own folder, and for pydoc one in the cache
            ),
            optimizer=dict(
                name='adamw',  # or sgd (b1 is its momentum)
                learning_rate=3e-3,  # at the peak
                schedule='cosine',  # cosine, linear, slanted_triangular or constant
                warmup_steps=50,  # steps of linear rise
                final_learning_rate_ratio=0.0,  # the last step's rate over the peak's
                b1=0.9,
                b2=0.99,
                weight_decay=0.1,  # on matrices alone
                clip_norm=1.0,  # of the gradient's global norm; 0: no clipping
            ),
        )
    )


def _neural() -> dict:
    """What every neural family has."""
    return dict(
        hidden_size=128,  # N of a cell, D of a transformer
        num_layers=1,
        dropout_rate=0.0,
        tie_embeddings=False,  # the head's matrix is the embedding's
        head_bias=True,  # b_o of o_t = V h_t + b_o
        embed_std=1.0,  # of the initial embedding
        architecture='decoder',  # predicts the next token (configs/encoder.py, configs/seq2seq.py)
        dtype='float32',  # or bfloat16, to compute in; parameters stay float32
    )


def _model(family: str) -> dict:
    """The `model` group of a family."""
    if family == 'ngram':
        return dict(family=family, order=5)  # n: the longest gram
    if family == 'transformer':
        return transformer()
    return recurrent(family)


def recurrent(family: str) -> dict:
    """The `model` group of a cell's family, an ablated one (`recurrent/ablations.py`) included."""
    extra = {
        'rnn': dict(activation='tanh'),  # σ: tanh or sigmoid
        'lstm': dict(forget_bias=1.0),  # where the forget gate's bias starts
        'gru': dict(reset_after=False),  # reset after the product (cuDNN's, torch's), not before
        'minlstm': dict(forget_bias=1.0),
    }.get(family, {})
    if family in ABLATED and ABLATED[family].memory_gates:
        extra.update(forget_bias=1.0)
    if family in LINEAR:
        # Their gates see x_t alone: one layer by itself remembers little of what it has read.
        extra.update(residual=True, num_layers=2)
    else:
        extra.update(orthogonal=True)  # W starts orthogonal
    return {
        **_neural(),
        **dict(
            family=family,
            hidden_size=256,
            embed_size=0,  # D; 0: hidden_size
            residual=False,  # x ← x + Cell(LN(x)), then a feed-forward layer so; not bare layers
            evaluation='auto',  # sequential, associative (linear cells), newton, quasi_newton or
            #   cudnn (lstm); auto: by cell and device. All compute the same function
            backward='custom',  # or autodiff, which forward-mode differentiation needs; of
            #   sequential and associative evaluation
        ),
        **extra,
    }


def transformer(**fields: Any) -> dict:
    """The `model` group of a transformer, with some fields other than they are here."""
    return {
        **_neural(),
        **dict(
            family='transformer',
            num_layers=4,
            num_heads=4,
            num_kv_heads=0,  # heads of keys and values, shared by several queries'; 0: num_heads
            head_size=0,  # 0: hidden_size / num_heads
            feed_forward_size=0,  # 0: 4 × hidden_size
            norm='pre',  # post, as in the 2017 paper; or none at all, an ablation
            skip_connections=True,  # x + f(x), and not f(x) alone, an ablation
            norm_type='layer',  # or rms
            norm_epsilon=1e-5,
            activation='gelu_tanh',  # gelu, gelu_tanh, relu or silu
            gated=False,  # (σ(x W_gate) ⊙ x W_up) W_down; with silu: SwiGLU
            positions='rotary',  # learned, sinusoidal, rotary or none
            max_positions=0,  # tokens it can be given in all; 0: sequence_length
            rotary_base=10000.0,
            rotary_scaling='none',  # linear or llama3: for texts longer than those trained on
            rotary_factor=1.0,  # by how much longer
            rotary_low_frequency=1.0,  # the rest is llama3's
            rotary_high_frequency=4.0,
            rotary_original_length=8192,
            use_bias=True,  # in dense layers and LayerNorms
            qkv_bias=False,  # in queries, keys and values even so
            embed_norm=False,  # a norm after embedding and positions
            init_std=0.02,  # of the initial weights; 0: 1/√(fan in)
            attention='auto',  # plain, chunked, cudnn, pallas_tpu; auto: by device and length
            window=0,  # tokens a token sees with itself; 0: all before it
            backward='custom',  # or autodiff, which forward-mode differentiation needs
            remat=False,  # recompute the blocks in the backward pass, to save memory
            scan_layers=False,  # compile one block, not num_layers; parameters lie stacked
            head_bias=False,
            embed_std=0.02,
        ),
        **fields,
    }


def get_config(variant: str = 'gru') -> Any:
    """The config of a variant.

    Raises:
      InputError: for a variant there is none of.
    """
    families = ('ngram', *CELLS, 'transformer')
    if variant in families:
        config = base()
        config.model = _model(variant)
        if variant in CELLS:
            config.optimizer.weight_decay = 0.0
        return config
    if variant in ('gpt2', 'llama'):
        return _gpt2() if variant == 'gpt2' else _llama()
    if variant in _SHAKESPEARE:
        return _SHAKESPEARE[variant]()
    known = ', '.join((*families, 'gpt2', 'llama', *_SHAKESPEARE))
    raise InputError(f'configs/lm.py has no variant {variant!r}; it has {known}')


def _gpt2() -> Any:
    """GPT-2's parts (Radford et al. 2019), small: learned positions, tied embeddings, BPE."""
    config = get_config('transformer')
    config.model.update(positions='learned', tie_embeddings=True)
    config.sequence_length = 128
    config.data.tokenizer = 'bpe'
    return config


def _llama() -> Any:
    """Llama's parts (Touvron et al. 2023), small: RMSNorm, SwiGLU, rotary, grouped queries, BPE."""
    config = get_config('transformer')
    config.model.update(
        norm_type='rms', activation='silu', gated=True, use_bias=False, num_kv_heads=2
    )
    config.model.feed_forward_size = 344  # 8/3 of the width, to have as many as ungated
    config.sequence_length = 128
    config.data.tokenizer = 'bpe'
    return config


def _shakespeare(family: str) -> Any:
    """NanoGPT's smallest setting: 12 windows of 64 characters, 2000 steps, 10 % to validate.

    Give the text with --config.data.path=FILE. Without it TFDS's tiny_shakespeare is read, which
    has splits of its own.
    """
    config = get_config(family)
    config.batch_size, config.sequence_length, config.steps = 12, 64, 2000
    config.data.update(name='tiny_shakespeare', tokenizer='chars', splits=(0.9, 0.1, 0.0))
    config.optimizer.warmup_steps = 100
    return config


def _shakespeare_nanogpt() -> Any:
    """NanoGPT's own choices for a CPU: learned positions, no biases, AdamW at 1e-3 to 1e-4."""
    config = _shakespeare('transformer')
    config.model.update(positions='learned', use_bias=False, tie_embeddings=True)
    config.optimizer.update(learning_rate=1e-3, final_learning_rate_ratio=0.1)
    return config


def _shakespeare_cpu() -> Any:
    """The same size, window, batch and steps with better choices.

    Rotary positions, weights that start at 1/√(fan in), a shorter memory of squared gradients,
    strong decay and a rate that falls in a line to zero: each gained by itself.
    """
    config = _shakespeare('transformer')
    config.model.update(positions='rotary', use_bias=False, init_std=0.0)
    config.optimizer.update(learning_rate=4e-3, schedule='linear', b2=0.95, weight_decay=0.3)
    return config


def _shakespeare_recurrent(family: str, hidden_size: int, learning_rate: float) -> Any:
    """A recurrent family with the parameters (804,480 ± 0.2 %), text and steps of the above.

    The learning rates are the best of these, by validation loss (nats) after 2000 steps, seed 0:

        rate   1e-3     2e-3     4e-3     8e-3     1.6e-2
        rnn    1.6381   1.6053   1.6325
        lstm                     1.5756   1.5633   1.5926
        gru             1.5629   1.5387   1.5924
    """
    config = _shakespeare(family)
    config.model.update(hidden_size=hidden_size, embed_size=128)
    config.optimizer.update(learning_rate=learning_rate, schedule='linear', b2=0.95)
    return config


def _shakespeare_gpu(family: str = 'transformer') -> Any:
    """NanoGPT's choices for a GPU: 64 windows of 256 characters, 5000 steps, dropout 0.2.

    The transformer has 6 layers of 6 heads, 384 wide; the minimal cells have 3 layers of that width
    and the same choices otherwise. NanoGPT drops attention weights and embeddings too; here dropout
    is of what blocks add to the residual alone, and all is float32. Published, in nats a character:
    nanoGPT 1.4697 on one A100, minGRU 1.548 and minLSTM 1.555 (Feng et al. 2024).
    """
    if family == 'transformer':
        config = _shakespeare_nanogpt()
        config.model.update(num_layers=6, num_heads=6)
    else:
        config = _shakespeare(family)
        config.model.num_layers = 3
    config.model.update(hidden_size=384, dropout_rate=0.2)
    config.batch_size, config.sequence_length, config.steps = 64, 256, 5000
    config.optimizer.update(
        learning_rate=1e-3, final_learning_rate_ratio=0.1, warmup_steps=100, b2=0.99
    )
    return config


_SHAKESPEARE = {
    'shakespeare_nanogpt': _shakespeare_nanogpt,
    'shakespeare_cpu': _shakespeare_cpu,
    'shakespeare_rnn': lambda: _shakespeare_recurrent('rnn', 800, 2e-3),
    'shakespeare_lstm': lambda: _shakespeare_recurrent('lstm', 379, 8e-3),
    'shakespeare_gru': lambda: _shakespeare_recurrent('gru', 445, 4e-3),
    'shakespeare_gpu': _shakespeare_gpu,
    'shakespeare_mingru': lambda: _shakespeare_gpu('mingru'),
    'shakespeare_minlstm': lambda: _shakespeare_gpu('minlstm'),
}
