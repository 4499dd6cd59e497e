"""torch's side of the rows: its recurrent layers, and a decoder-only transformer of equal shape.

torch is imported where it is needed. It runs on all cores, or on the GPU where there is one for
both. Where it has several ways to do the same (layout, fused optimizer), the fastest is its entry.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import numpy as np

from nlp_models.benchmark.peers import Peer, fastest
from nlp_models.training import parallel

LAYERS = {'rnn': 'RNN', 'lstm': 'LSTM', 'gru_reset_after': 'GRU'}


def load() -> tuple[Any, str]:
    """torch, on all cores, and the device it is to use."""
    import torch  # pyright: ignore[reportMissingImports]

    torch.set_num_threads(parallel.num_cores())
    # The same float32 as ours: cuDNN's layers would else round to TF32, linear layers not.
    precision: Any = jax.config.jax_default_matmul_precision  # pyright: ignore[reportAttributeAccessIssue]
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision != 'highest'
    gpu = jax.default_backend() == 'gpu' and torch.cuda.is_available()
    return torch, 'cuda' if gpu else 'cpu'


def to_the_end(function: Callable[[], Any], device: str) -> Callable[[], None]:
    """A call that returns when the device is done."""
    import torch  # pyright: ignore[reportMissingImports]

    def call() -> None:
        function()
        if device == 'cuda':
            torch.cuda.synchronize()

    return call


def recurrent(
    cell: str, batch_size: int, length: int, width: int, *, dtype: str, seed: int = 0
) -> Peer:
    """`torch.nn.RNN`, `LSTM` or `GRU`, forward and backward: gradients of parameters and inputs.

    Args:
      cell: 'rnn' (tanh), 'lstm' or 'gru_reset_after'.
      batch_size: B.
      length: T.
      width: D and N.
      dtype: of everything.
      seed: of parameters, inputs and cotangent.

    Returns:
      The peer, in the faster of the layouts [B, T, D] and [T, B, D].
    """
    torch, device = load()
    torch.manual_seed(seed)
    layer_of = getattr(torch.nn, LAYERS[cell])
    type_of = getattr(torch, dtype)

    def make(batch_first: bool) -> Callable[[], None]:
        layer = layer_of(width, width, batch_first=batch_first).to(device, type_of)
        shape = (batch_size, length) if batch_first else (length, batch_size)
        x = torch.randn(*shape, width, device=device, dtype=type_of, requires_grad=True)
        cotangent = torch.randn(*shape, width, device=device, dtype=type_of)

        def step() -> None:
            x.grad = None
            layer.zero_grad(set_to_none=True)
            y, _ = layer(x)
            y.backward(cotangent)

        return to_the_end(step, device)

    ways = {'batch first': make(True), 'time first': make(False)}
    way = fastest(ways)
    return Peer(ways[way], way)


def make_transformer(run: Any, vocab_size: int) -> Any:
    """A decoder-only transformer as `run.model` describes it, without a line of ours in it.

    Learned positions, pre-LN, GELU in its tanh form, `scaled_dot_product_attention`, the head tied
    to the embedding where ours is.
    """
    import torch  # pyright: ignore[reportMissingImports]
    from torch import nn  # pyright: ignore[reportMissingImports]
    from torch.nn import functional  # pyright: ignore[reportMissingImports]

    m = run.model
    width, heads, bias = m.hidden_size, m.num_heads, m.use_bias
    feed_forward_size = m.feed_forward_size or 4 * width

    class Layer(nn.Module):
        def __init__(self):
            super().__init__()
            self.norms = nn.ModuleList(nn.LayerNorm(width, bias=bias) for _ in range(2))
            self.qkv = nn.Linear(width, 3 * width, bias=bias)
            self.out = nn.Linear(width, width, bias=bias)
            self.up = nn.Linear(width, feed_forward_size, bias=bias)
            self.down = nn.Linear(feed_forward_size, width, bias=bias)

        def forward(self, x):
            batch_size, length, _ = x.shape
            q, k, v = (
                part.view(batch_size, length, heads, width // heads).transpose(1, 2)
                for part in self.qkv(self.norms[0](x)).split(width, dim=2)
            )
            y = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + self.out(y.transpose(1, 2).reshape(batch_size, length, width))
            hidden = functional.gelu(self.up(self.norms[1](x)), approximate='tanh')
            return x + self.down(hidden)

    class Transformer(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(vocab_size, width)
            self.positions = nn.Embedding(run.sequence_length, width)
            self.layers = nn.ModuleList(Layer() for _ in range(m.num_layers))
            self.norm = nn.LayerNorm(width, bias=bias)
            self.head = nn.Linear(width, vocab_size, bias=False)
            for parameter in self.parameters():
                if parameter.ndim >= 2:
                    nn.init.normal_(parameter, std=0.02)
            if m.tie_embeddings:
                self.head.weight = self.embedding.weight

        def forward(self, tokens, targets):
            where = torch.arange(tokens.shape[1], device=tokens.device)
            x = self.embedding(tokens) + self.positions(where)
            for layer in self.layers:
                x = layer(x)
            logits = self.head(self.norm(x))
            return functional.cross_entropy(logits.view(-1, vocab_size), targets.reshape(-1))

    return Transformer()


def make_step(
    model: Any, loss_of: Callable[[], Any], run: Any, device: str, *, fused: bool
) -> Callable[[], None]:
    """A training step: loss, backward pass, clipping, AdamW with decay on matrices alone."""
    import torch  # pyright: ignore[reportMissingImports]

    o = run.optimizer
    parameters = list(model.parameters())
    groups = [
        {'params': [p for p in parameters if p.ndim >= 2], 'weight_decay': o.weight_decay},
        {'params': [p for p in parameters if p.ndim < 2], 'weight_decay': 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=o.learning_rate, betas=(o.b1, o.b2), fused=fused)

    def step() -> None:
        loss = loss_of()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, o.clip_norm)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return to_the_end(step, device)


def optimizer_ways(
    model: Any, loss_of: Callable[[], Any], run: Any, device: str
) -> dict[str, Callable[[], None]]:
    """The training step of one model with each of torch's forms of AdamW."""
    forms = {'fused AdamW': True, 'AdamW': False}
    return {
        name: make_step(model, loss_of, run, device, fused=fused) for name, fused in forms.items()
    }


def tokens_and_targets(tokens: np.ndarray, device: str) -> tuple[Any, Any]:
    """A batch `[B, T + 1]` as torch has it."""
    import torch  # pyright: ignore[reportMissingImports]

    batch = torch.from_numpy(tokens.astype(np.int64)).to(device)
    return batch[:, :-1].contiguous(), batch[:, 1:].contiguous()


def train_step(
    run: Any, vocab_size: int, tokens: np.ndarray, *, compiled: bool, seed: int = 0
) -> Peer:
    """A training step of the transformer, eager or through `torch.compile`.

    Args:
      run: our training config, of which the shape and the optimizer are taken.
      vocab_size: V.
      tokens: a batch `[B, T + 1]`.
      compiled: whether forward and backward pass are compiled.
      seed: of the parameters.

    Returns:
      The peer, with the faster of the fused and the default AdamW.
    """
    torch, device = load()
    batch = tokens_and_targets(tokens, device)
    torch.manual_seed(seed)
    model = make_transformer(run, vocab_size).to(device)
    forward = torch.compile(model) if compiled else model
    ways = optimizer_ways(model, partial(forward, *batch), run, device)
    way = fastest(ways, seconds=1.0)
    return Peer(ways[way], way)
