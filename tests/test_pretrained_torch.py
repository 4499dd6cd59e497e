"""Beside Hugging Face's models themselves, where torch and transformers are installed."""

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nlp_models import models
from nlp_models.pretrained.export import export
from nlp_models.pretrained.load import load
from tests.pretrained_folders import write_folder
from tests.test_pretrained import write_tokenizer
from tests.test_pretrained_export import (
    CONTEXT,
    LENGTHS,
    OURS,
    TOKENS,
    VOCAB,
    our_model,
    output,
    real,
)

missing = [name for name in ('torch', 'transformers') if importlib.util.find_spec(name) is None]
pytestmark = [
    pytest.mark.skipif(bool(missing), reason=f'not installed: {", ".join(missing)}'),
    pytest.mark.filterwarnings('ignore'),  # what the libraries say of each other
]

SMALL = dict(
    vocab_size=VOCAB,
    hidden_size=16,
    intermediate_size=12,
    num_hidden_layers=2,
    num_attention_heads=4,
    max_position_embeddings=CONTEXT,
)
SMALL_GPT2 = dict(vocab_size=VOCAB, n_embd=16, n_layer=2, n_head=4, n_positions=CONTEXT)
LINEAR = dict(rope_type='linear', rope_theta=100.0, factor=3.0)

# Name: (the name of Hugging Face's classes, settings of its config).
THEIRS: dict[str, tuple[str, dict[str, Any]]] = {
    'gpt2': ('GPT2', SMALL_GPT2),
    'gpt2_untied': ('GPT2', dict(SMALL_GPT2, tie_word_embeddings=False, n_inner=20)),
    'gpt2_relu': ('GPT2', dict(SMALL_GPT2, activation_function='relu', layer_norm_epsilon=0.1)),
    'llama': ('Llama', SMALL),
    'llama_biases': ('Llama', dict(SMALL, attention_bias=True, mlp_bias=True, head_dim=6)),
    'llama_linear': ('Llama', dict(SMALL, rope_parameters=LINEAR, num_key_value_heads=1)),
    'llama_tied': ('Llama', dict(SMALL, tie_word_embeddings=True, hidden_act='gelu')),
    'mistral': ('Mistral', dict(SMALL, num_key_value_heads=2, sliding_window=3)),
    'mistral_whole': ('Mistral', dict(SMALL, num_key_value_heads=4, sliding_window=None)),
    'qwen2': ('Qwen2', dict(SMALL, num_key_value_heads=2, rms_norm_eps=0.1)),
    'bert': ('Bert', SMALL),
    'bert_untied': ('Bert', dict(SMALL, tie_word_embeddings=False, hidden_act='gelu_new')),
    'bert_relu': ('Bert', dict(SMALL, hidden_act='relu', type_vocab_size=1, layer_norm_eps=0.1)),
}


def their_output(model: Any) -> np.ndarray:
    """What Hugging Face's model makes of the texts, in the shape of `output`."""
    import torch  # pyright: ignore[reportMissingImports]

    mask = np.arange(CONTEXT) < np.array(LENGTHS)[:, None]
    inputs = dict(input_ids=torch.tensor(TOKENS), attention_mask=torch.tensor(mask).long())
    with torch.no_grad():
        out = model.eval()(**inputs)
    return real(out.logits if hasattr(out, 'logits') else out.last_hidden_state)


def their_model(name: str) -> Any:
    """A model of Hugging Face's with weights far from those it starts with."""
    import torch  # pyright: ignore[reportMissingImports]
    import transformers  # pyright: ignore[reportMissingImports]

    kind, settings = THEIRS[name]
    head = {'GPT2': 'LMHeadModel', 'Bert': 'ForMaskedLM'}.get(kind, 'ForCausalLM')
    config = getattr(transformers, f'{kind}Config')(**settings)
    config._attn_implementation = 'eager'
    model = getattr(transformers, f'{kind}{head}')(config)
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.4 * torch.randn_like(parameter)
    return model


@pytest.mark.parametrize('name', THEIRS)
def test_their_models_are_ours(tmp_path, name):
    theirs = their_model(name)
    theirs.save_pretrained(tmp_path, max_shard_size='8KB')
    assert len(list(tmp_path.glob('*.safetensors'))) > 1
    imported = load(tmp_path)
    ours = models.build(imported.model, vocab_size=VOCAB, max_length=CONTEXT)
    wanted = their_output(theirs)
    assert wanted.std() > 0.3
    np.testing.assert_allclose(output(ours, imported.params), wanted, rtol=0, atol=1e-4)


@pytest.mark.parametrize('name', OURS)
def test_our_models_are_theirs(tmp_path, name):
    import transformers  # pyright: ignore[reportMissingImports]

    group, model, params = our_model(name)
    kind = export(tmp_path, group, params, vocab_size=VOCAB, context=CONTEXT)
    auto = 'AutoModelForCausalLM'
    if kind == 'bert':
        auto = 'AutoModelForMaskedLM' if group.masked_head else 'AutoModel'
    extra: dict[str, Any] = dict(add_pooling_layer=False) if auto == 'AutoModel' else {}
    theirs, info = getattr(transformers, auto).from_pretrained(
        tmp_path, attn_implementation='eager', output_loading_info=True, **extra
    )
    assert not any(info[fault] for fault in ('missing_keys', 'unexpected_keys', 'mismatched_keys'))
    wanted = output(model, params)
    assert wanted.std() > 0.3
    np.testing.assert_allclose(their_output(theirs), wanted, rtol=0, atol=1e-4)


def test_their_tokenizer_is_ours(tmp_path):
    import transformers  # pyright: ignore[reportMissingImports]

    folder = write_folder(tmp_path / 'in', 'llama', pad_token_id=0, eos_token_id=4)
    write_tokenizer(folder)
    first, out = load(folder), tmp_path / 'out'
    sizes: dict[str, Any] = dict(vocab_size=61, context=96)
    export(out, first.model, first.params, **sizes, tokenizer=first.tokenizer)
    theirs = transformers.AutoTokenizer.from_pretrained(out)
    assert first.tokenizer is not None
    assert theirs('a b [UNK] b').input_ids == first.tokenizer.encode('a b [UNK] b').tolist()
    assert (theirs.eos_token_id, theirs.pad_token_id, theirs.model_max_length) == (4, 0, 96)
    assert Path(theirs.name_or_path) == out
