"""What reading a model takes, measured in a process of its own."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

ROOT = Path(__file__).parent.parent

# The largest amount of memory the process has held by now is asked for before and after, so what
# the libraries take does not count. The high-water mark is this process's own: `ru_maxrss` starts
# at that of the process it was forked from.
CODE = """
import sys
import jax, jax.numpy as jnp
from pathlib import Path
from nlp_models.pretrained.load import load

def high_water():
    line = next(l for l in Path('/proc/self/status').read_text().splitlines() if 'VmHWM' in l)
    return int(line.split()[1]) * 1024

jax.block_until_ready(jnp.zeros(8) + 1)
small, large, scan_layers = sys.argv[1:]
group = {'scan_layers': scan_layers == 'True'}
load(small, group)
before = high_water()
imported = load(large, group)
size = sum(leaf.nbytes for leaf in jax.tree.leaves(imported.params))
print(high_water() - before, size)
"""


def write_llama(folder: Path, width: int, layers: int, dtype: type) -> None:
    """A Llama of random weights."""
    random = np.random.default_rng(0)
    inner, vocab = 3 * width, 8 * width
    folder.mkdir()

    def draw(*shape):
        return random.random(shape, np.float32).astype(dtype)

    tensors = {
        'model.embed_tokens.weight': draw(vocab, width),
        'lm_head.weight': draw(vocab, width),
        'model.norm.weight': draw(width),
    }
    shapes = {f'self_attn.{part}_proj': (width, width) for part in 'qkvo'}
    shapes |= {f'mlp.{part}_proj': (inner, width) for part in ('gate', 'up')}
    shapes |= {'mlp.down_proj': (width, inner)}
    shapes |= {'input_layernorm': (width,), 'post_attention_layernorm': (width,)}
    for i in range(layers):
        for name, shape in shapes.items():
            tensors[f'model.layers.{i}.{name}.weight'] = draw(*shape)
    save_file(tensors, folder / 'model.safetensors')
    config = dict(
        model_type='llama',
        vocab_size=vocab,
        hidden_size=width,
        intermediate_size=inner,
        num_hidden_layers=layers,
        num_attention_heads=4,
        max_position_embeddings=64,
    )
    (folder / 'config.json').write_text(json.dumps(config))


@pytest.mark.skipif(not Path('/proc/self/status').exists(), reason='no /proc to ask')
@pytest.mark.parametrize('scan_layers', [False, True])
@pytest.mark.parametrize('dtype', [np.float32, np.float16])
def test_reading_peaks_below_1_3_times_the_size(tmp_path, dtype, scan_layers):
    write_llama(tmp_path / 'small', 8, 2, dtype)
    write_llama(tmp_path / 'large', 512, 10, dtype)
    command = [sys.executable, '-c', CODE]
    command += [str(tmp_path / name) for name in ('small', 'large')]
    done = subprocess.run(
        [*command, str(scan_layers)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    grown, size = map(int, done.stdout.split())
    assert size > 150e6
    assert size < grown + 20e6  # it is measured at all
    assert grown < 1.3 * size
    print(f'{grown / size:.3f}')
