"""Hugging Face's side of the rows: GPT-2 of equal shape, its training step and greedy decoding."""

from collections.abc import Callable
from typing import Any

import numpy as np

from nlp_models.benchmark.peers import Peer, fastest
from nlp_models.benchmark.peers_torch import load, optimizer_ways, tokens_and_targets


def make_gpt2(run: Any, vocab_size: int, length: int, seed: int) -> Any:
    """`GPT2LMHeadModel` as `run.model` describes it, with random weights and no dropout."""
    m = run.model
    return _make(
        dict(
            vocab_size=vocab_size,
            n_positions=length,
            n_embd=m.hidden_size,
            n_layer=m.num_layers,
            n_head=m.num_heads,
            n_inner=m.feed_forward_size or 4 * m.hidden_size,
        ),
        seed,
    )


def _make(shape: dict[str, Any], seed: int) -> Any:
    import torch  # pyright: ignore[reportMissingImports]
    from transformers import GPT2Config, GPT2LMHeadModel  # pyright: ignore[reportMissingImports]

    config = GPT2Config(
        **shape,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=None,
        eos_token_id=None,
    )
    config._attn_implementation = 'sdpa'  # its default where torch has it; stated, not hoped for
    torch.manual_seed(seed)
    return GPT2LMHeadModel(config)


def train_step(run: Any, vocab_size: int, tokens: np.ndarray, *, seed: int = 0) -> Peer:
    """A training step of GPT-2, eager.

    Args:
      run: our training config, of which the shape and the optimizer are taken.
      vocab_size: V.
      tokens: a batch `[B, T + 1]`.
      seed: of the parameters.

    Returns:
      The peer, with the faster of the fused and the default AdamW.
    """
    torch, device = load()
    inputs, targets = tokens_and_targets(tokens, device)
    model = make_gpt2(run, vocab_size, run.sequence_length, seed).to(device).train()

    def loss_of() -> Any:
        logits = model(input_ids=inputs, use_cache=False).logits
        return torch.nn.functional.cross_entropy(logits.view(-1, vocab_size), targets.reshape(-1))

    ways = optimizer_ways(model, loss_of, run, device)
    way = fastest(ways, seconds=1.0)
    return Peer(ways[way], way)


def make_gpt2_of(shape: Any, length: int, seed: int) -> Any:
    """GPT-2 with random weights, to write with.

    Args:
      shape: with `vocab_size`, `hidden_size`, `num_layers` and `num_heads`.
      length: positions.
      seed: of the weights.

    Returns:
      `GPT2LMHeadModel` on the device that is to be used.
    """
    _, device = load()
    return _make(
        dict(
            vocab_size=shape.vocab_size,
            n_positions=length,
            n_embd=shape.hidden_size,
            n_layer=shape.num_layers,
            n_head=shape.num_heads,
        ),
        seed,
    ).to(device)


def generate(model: Any, prompts: np.ndarray, new: int) -> Callable[[], np.ndarray]:
    """`generate`, greedily, with its key/value cache.

    Args:
      model: from `make_gpt2_of`.
      prompts: `[B, P]`.
      new: tokens to add.

    Returns:
      A call that gives `[B, P + new]`.
    """
    torch, device = load()
    model.eval()

    def call() -> np.ndarray:
        text = torch.from_numpy(prompts.astype(np.int64)).to(device)
        with torch.no_grad():
            out = model.generate(
                text,
                attention_mask=torch.ones_like(text),
                do_sample=False,
                max_new_tokens=new,
                min_new_tokens=new,
                pad_token_id=0,
            )
        if out.shape[1] != prompts.shape[1] + new:
            raise RuntimeError(f'{out.shape[1]} tokens came back')
        return out.cpu().numpy()

    return call
