"""Torch's recurrent networks on small inputs, written to `torch_{rnn,lstm,gru}.npz` beside this.

Run from the repository's root, where the `peers` extra is installed (made with torch 2.13.0):

    python tests/golden/make_torch.py

Each file holds, in float64 and in torch's layout and names: the inputs `x` [B, T, D] and `h0`
(`c0`) [B, N], the weights, the outputs `y` [B, T, N] and the final `h` (`c`) [B, N], the weights
`cot_y`, `cot_h` (`cot_c`) of the loss Σ cot_y ⊙ y + Σ cot_h ⊙ h (+ Σ cot_c ⊙ c), and the gradient
of that loss with respect to each array NAME that went in as `grad_NAME`.
"""

import sys
from pathlib import Path

import numpy as np
import torch  # pyright: ignore[reportMissingImports]

NAMES = ('rnn', 'lstm', 'gru')
BATCH, STEPS, INPUTS, HIDDEN = 2, 5, 3, 4


def make(name: str) -> dict[str, np.ndarray]:
    """The contents of one file."""
    random = np.random.default_rng(NAMES.index(name))
    kind = {'rnn': torch.nn.RNN, 'lstm': torch.nn.LSTM, 'gru': torch.nn.GRU}[name]
    network = kind(INPUTS, HIDDEN, batch_first=True).double()
    arrays = {'x': random.normal(size=(BATCH, STEPS, INPUTS))}
    carries = ('h', 'c') if name == 'lstm' else ('h',)
    for carry in carries:
        arrays[f'{carry}0'] = random.normal(size=(BATCH, HIDDEN))
    for parameter, value in network.named_parameters():
        arrays[parameter] = random.normal(size=tuple(value.shape)) / 2
    cotangents = {'cot_y': random.normal(size=(BATCH, STEPS, HIDDEN))}
    for carry in carries:
        cotangents[f'cot_{carry}'] = random.normal(size=(BATCH, HIDDEN))

    tensors = {key: torch.tensor(array, requires_grad=True) for key, array in arrays.items()}
    start = tuple(tensors[f'{carry}0'][None] for carry in carries)
    parameters = {key: tensors[key] for key, _ in network.named_parameters()}
    call = (tensors['x'], start if name == 'lstm' else start[0])
    y, final = torch.func.functional_call(network, parameters, call)
    final = final if name == 'lstm' else (final,)
    results = {'y': y, **{c: state[0] for c, state in zip(carries, final, strict=True)}}
    terms = [torch.tensor(cotangents[f'cot_{key}']) * value for key, value in results.items()]
    torch.cat([term.flatten() for term in terms]).sum().backward()
    return {
        **arrays,
        **cotangents,
        **{key: value.detach().numpy() for key, value in results.items()},
        **{f'grad_{key}': tensor.grad.numpy() for key, tensor in tensors.items()},
    }


def main() -> int:
    """Write the three files."""
    for name in NAMES:
        np.savez(Path(__file__).parent / f'torch_{name}.npz', **make(name))  # pyright: ignore[reportArgumentType]
    return 0


if __name__ == '__main__':
    sys.exit(main())
