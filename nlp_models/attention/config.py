"""What a transformer layer has to know, and what it may be made of."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from nlp_models import operations

# σ of the feed-forward layer. The gate of a gated one is σ(x W_gate), so SwiGLU is a gated `silu`.
ACTIVATIONS = {
    'gelu': lambda x, *, backward: operations.gelu(x, approximate=False, backward=backward),
    'gelu_tanh': lambda x, *, backward: operations.gelu(x, backward=backward),
    'relu': lambda x, *, backward: jax.nn.relu(x),
    'silu': lambda x, *, backward: jax.nn.silu(x),
}
NORMS = ('pre', 'post', 'none')
NORM_TYPES = ('layer', 'rms')
ROTARY_SCALINGS = ('none', 'linear', 'llama3')


@dataclass(frozen=True)
class Rotary:
    """How positions turn queries and keys: see `positions.rotary_frequencies`.

    Attributes:
      base: 10000 in the paper.
      scaling: 'none', 'linear' or 'llama3'.
      factor: by how much longer texts are than those trained on.
      low_frequency: of llama3: fewer turns than this over the original length, and a frequency is
        divided by the factor.
      high_frequency: of llama3: with more turns than this it is left alone.
      original_length: of llama3: the length trained on, in tokens.
    """

    base: float = 10000.0
    scaling: str = 'none'
    factor: float = 1.0
    low_frequency: float = 1.0
    high_frequency: float = 4.0
    original_length: int = 8192


@dataclass(frozen=True)
class BlockConfig:
    """What a transformer layer has to know.

    Attributes:
      width: D.
      num_heads: H, of the queries.
      feed_forward_size: F.
      num_layers: L of the whole stack: what is added to the residual starts 1/√(2L) smaller
        (GPT-2, section 2.3), where there is one.
      num_kv_heads: heads of keys and values, each shared by H / num_kv_heads queries' heads
        (Ainslie et al. 2023); 0 for H.
      head_size: K; 0 for D / H.
      norm: 'pre', x + f(LN(x)); 'post', LN(x + f(x)), as in Vaswani et al. 2017; or 'none',
        x + f(x), to see what norms are for.
      skip_connections: whether x is added to f(x); without it a layer is f alone, to see what that
        is for.
      norm_type: 'layer', or 'rms' (Zhang & Sennrich 2019).
      norm_epsilon: ε under the root.
      activation: σ, a key of `ACTIVATIONS`; GPT-2 has 'gelu_tanh', the 2017 paper 'relu'.
      gated: FFN(x) = (σ(x W_gate) ⊙ x W_up) W_down (Shazeer 2020), and not σ(x W_up) W_down.
      use_bias: whether dense layers and LayerNorms have biases.
      qkv_bias: whether queries, keys and values have biases even where the rest has none.
      rotary: how queries and keys are turned by their positions; None where they are not.
      causal: whether a token sees nothing of what comes after it.
      cross: whether each layer also attends to the memory of an encoder.
      dropout_rate: of what each part adds to the residual.
      init_std: standard deviation of the initial weights; 0 for 1/√(fan in).
      attention: which implementation (`attend.IMPLEMENTATIONS`), or 'auto'.
      window: how many tokens a token sees with itself; 0 for all before it (and after it, where
        attention is not causal).
      backward: of dense layers, GELU and LayerNorm, 'custom' where ours is faster; 'autodiff' for
        JAX's, which forward-mode derivatives need (and 'plain' attention).
      adapter_size: units between the two layers of the adapters (`bottleneck`); 0 for none.
      adapter_placement: 'houlsby' or 'pfeiffer' (`bottleneck.has`).
      dtype: compute dtype; parameters are float32.
    """

    width: int
    num_heads: int
    feed_forward_size: int
    num_layers: int
    num_kv_heads: int = 0
    head_size: int = 0
    norm: str = 'pre'
    skip_connections: bool = True
    norm_type: str = 'layer'
    norm_epsilon: float = 1e-5
    activation: str = 'gelu_tanh'
    gated: bool = False
    use_bias: bool = True
    qkv_bias: bool = False
    rotary: Rotary | None = None
    causal: bool = True
    cross: bool = False
    dropout_rate: float = 0.0
    init_std: float = 0.02
    attention: str = 'auto'
    window: int = 0
    backward: str = 'custom'
    adapter_size: int = 0
    adapter_placement: str = 'houlsby'
    dtype: Any = jnp.float32

    @property
    def kv_heads(self) -> int:
        """Heads of keys and values."""
        return self.num_kv_heads or self.num_heads

    @property
    def head(self) -> int:
        """K."""
        return self.head_size or self.width // self.num_heads
