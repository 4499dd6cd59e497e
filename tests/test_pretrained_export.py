"""The way back: what was imported is written as it was, and what is ours as what it computes."""

import json
from typing import Any

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict
from safetensors.numpy import load_file

from configs import lm
from nlp_models import models, trees
from nlp_models.data.tokenizers import learn_tokenizer
from nlp_models.errors import InputError
from nlp_models.pretrained.export import export
from nlp_models.pretrained.family import explicit
from nlp_models.pretrained.load import load
from tests.pretrained_folders import NAMES, golden, tensors_of, write_folder
from tests.test_pretrained import write_tokenizer

VOCAB, CONTEXT, LENGTHS = 11, 12, (12, 5, 1)
TOKENS = np.random.default_rng(0).integers(0, VOCAB, (3, CONTEXT)).astype(np.int32)

GPT2: dict[str, Any] = dict(positions='learned')
LLAMA: dict[str, Any] = dict(norm_type='rms', gated=True, activation='silu', use_bias=False)
BERT: dict[str, Any] = dict(
    architecture='encoder',
    positions='learned',
    norm='post',
    embed_norm=True,
    masked_head=True,
    num_segments=2,
    tie_embeddings=True,
    head_bias=True,
)

# Name: (the architecture it must be exported as, fields of a `model` group).
OURS: dict[str, tuple[str, dict[str, Any]]] = {
    'gpt2': ('gpt2', dict(GPT2, tie_embeddings=True, activation='gelu')),
    'gpt2_untied': ('gpt2', dict(GPT2, feed_forward_size=20, activation='relu')),
    'gpt2_no_biases': ('gpt2', dict(GPT2, use_bias=False, num_kv_heads=2, head_size=4)),
    'gpt2_some_biases': ('gpt2', dict(GPT2, use_bias=False, qkv_bias=True, dropout_rate=0.1)),
    'gpt2_scanned': ('gpt2', dict(GPT2, scan_layers=True)),
    'llama': ('llama', LLAMA),
    'llama_biases': ('llama', dict(LLAMA, use_bias=True, num_kv_heads=1, head_size=6)),
    'llama_linear': ('llama', dict(LLAMA, rotary_scaling='linear', rotary_factor=3.0)),
    'llama_llama3': (
        'llama',
        dict(LLAMA, rotary_scaling='llama3', rotary_factor=8.0, rotary_original_length=16),
    ),
    'llama_gelu': ('llama', dict(LLAMA, activation='gelu_tanh', tie_embeddings=True)),
    'llama_scanned': ('llama', dict(LLAMA, scan_layers=True, norm_epsilon=1e-3)),
    'mistral': ('mistral', dict(LLAMA, window=4, num_kv_heads=1)),
    'qwen2': ('qwen2', dict(LLAMA, qkv_bias=True, rotary_base=500.0)),
    'bert': ('bert', BERT),
    'bert_body': ('bert', dict(BERT, masked_head=False, head_bias=False)),
    'bert_untied': ('bert', dict(BERT, tie_embeddings=False, activation='relu')),
    'bert_no_biases': ('bert', dict(BERT, use_bias=False, head_bias=False, num_segments=0)),
    'bert_scanned': ('bert', dict(BERT, scan_layers=True, num_segments=3)),
}


def our_group(name: str) -> Any:
    """A `model` group of ours."""
    group = lm.transformer(num_layers=2, num_heads=2, hidden_size=8)
    return ConfigDict({**group, **OURS[name][1]})


def our_model(name: str) -> tuple[Any, Any, Any]:
    """A model of ours with parameters far from those it starts with, none of them the same."""
    group = our_group(name)
    model: Any = models.build(group, vocab_size=VOCAB, max_length=CONTEXT)
    leaves, tree = jax.tree.flatten(model.init(jax.random.key(0)))
    random = np.random.default_rng(0)
    drawn = [leaf + 0.5 * random.normal(size=leaf.shape).astype(np.float32) for leaf in leaves]
    return group, model, jax.tree.unflatten(tree, drawn)


def output(model: Any, params: Any) -> np.ndarray:
    """What a model makes of the texts: logits, or vectors where there are no logits."""
    lengths = np.array(LENGTHS)
    if hasattr(model, 'encode'):
        y = jax.jit(model.encode)(params, TOKENS, lengths=lengths)
        y = y if model.logits is None else model.logits(params, y)
    else:
        _, y = jax.jit(model.apply)(params, None, TOKENS, lengths=lengths)
    return real(y)


def real(y: Any) -> np.ndarray:
    """The output with zeros where there is no token."""
    return np.asarray(y) * (np.arange(CONTEXT) < np.array(LENGTHS)[:, None])[..., None]


@pytest.mark.parametrize('name', NAMES)
def test_what_was_imported_is_written_as_it_was(tmp_path, name):
    folder = write_folder(tmp_path / 'in', name)
    imported = load(folder)
    sizes: dict[str, Any] = dict(vocab_size=imported.architecture.vocab_size, context=96)
    kind = export(tmp_path / 'out', imported.model, imported.params, **sizes)
    assert kind == name
    ours, theirs = load_file(tmp_path / 'out' / 'model.safetensors'), tensors_of(golden(name))
    assert ours.keys() == theirs.keys()
    for tensor, value in theirs.items():
        np.testing.assert_array_equal(ours[tensor], value)
    again = load(tmp_path / 'out').model
    assert explicit(again.to_dict()) == explicit(imported.model.to_dict())
    config = json.loads((tmp_path / 'out' / 'config.json').read_text())
    original = json.loads((folder / 'config.json').read_text())
    assert config['architectures'] == original['architectures']
    for field in {'vocab_size', 'n_positions', 'sliding_window', 'head_dim'} & original.keys():
        assert config.get(field) == original[field], field


@pytest.mark.parametrize('name', OURS)
def test_a_model_of_ours_comes_back_as_what_it_computes(tmp_path, name):
    group, model, params = our_model(name)
    wanted = output(model, params)
    kind = export(tmp_path, group, params, vocab_size=VOCAB, context=CONTEXT)
    assert kind == OURS[name][0]
    back = load(tmp_path)
    again = models.build(back.model, vocab_size=VOCAB, max_length=CONTEXT)
    np.testing.assert_allclose(output(again, back.params), wanted, rtol=0, atol=2e-5)
    if not name.endswith(('biases', 'scanned')):
        assert trees.digests(back.params) == trees.digests(params)


@pytest.mark.parametrize(
    ('fields', 'said'),
    [
        (dict(GPT2, norm='post'), "gpt2, would need model.norm='pre' (it is 'post')"),
        (dict(GPT2, norm='none'), "gpt2, would need model.norm='pre' (it is 'none')"),
        (dict(GPT2, skip_connections=False), 'model.skip_connections=True (it is False)'),
        (dict(LLAMA, skip_connections=False), 'model.skip_connections=True (it is False)'),
        (dict(BERT, skip_connections=False), 'model.skip_connections=True (it is False)'),
        (dict(positions='sinusoidal'), "model.positions='learned' (it is 'sinusoidal')"),
        (dict(LLAMA, qkv_bias=True, window=4), 'model.'),
        (dict(LLAMA, embed_norm=True), 'model.embed_norm=False (it is True)'),
        (dict(LLAMA, head_bias=True), 'model.head_bias=False (it is True)'),
        (dict(GPT2, num_kv_heads=1), 'model.num_kv_heads=2 (it is 1)'),
        (dict(BERT, window=3), 'bert, would need model.window=0 (it is 3)'),
        (dict(BERT, architecture='encoder_decoder'), "'encoder_decoder'"),
        (dict(family='gru'), 'transformers alone'),
    ],
)
def test_what_no_architecture_computes(tmp_path, fields, said):
    group = ConfigDict({**lm.transformer(num_layers=1, num_heads=2, hidden_size=8), **fields})
    with pytest.raises(InputError) as error:
        export(tmp_path / 'out', group, {}, vocab_size=VOCAB, context=CONTEXT)
    assert said in str(error.value)
    assert '\n' not in str(error.value)
    assert not (tmp_path / 'out').exists()


def test_parameters_of_another_model(tmp_path):
    group, _, params = our_model('gpt2')
    del params['body']['layer_0']['attention']['out']['kernel']
    params['body']['layer_1']['adapter'] = {'kernel': np.zeros((8, 2), np.float32)}
    with pytest.raises(InputError) as error:
        export(tmp_path, group, params, vocab_size=VOCAB + 1, context=CONTEXT)
    for fault in (
        'embed/embedding is [11, 8], not [12, 8]',
        'body/layer_0/attention/out/kernel is missing',
        'body/layer_1/adapter/kernel is there, but has no place',
    ):
        assert fault in str(error.value)


def test_a_tokenizer_goes_along(tmp_path):
    folder = write_folder(tmp_path / 'in', 'llama', pad_token_id=0, eos_token_id=4)
    write_tokenizer(folder)
    first = load(folder)
    sizes: dict[str, Any] = dict(vocab_size=61, context=96)
    export(tmp_path / 'out', first.model, first.params, **sizes, tokenizer=first.tokenizer)
    again = load(tmp_path / 'out')
    assert first.tokenizer is not None
    assert again.tokenizer is not None
    assert again.tokenizer.special == first.tokenizer.special == {'eos': 4, 'pad': 0}
    assert again.tokenizer.to_json() == first.tokenizer.to_json()
    assert again.architecture.special == {'eos': 4, 'pad': 0}
    several = first.tokenizer._replace(ends=(4, 5))
    export(tmp_path / 'several', first.model, first.params, **sizes, tokenizer=several)
    assert load(tmp_path / 'several').architecture.ends == (4, 5)
    config = json.loads((tmp_path / 'out' / 'tokenizer_config.json').read_text())
    assert (config['eos_token'], config['model_max_length']) == ('</s>', 96)


def test_a_tokenizer_of_our_own_goes_along(tmp_path):
    group, _, params = our_model('gpt2')
    sizes: dict[str, Any] = dict(vocab_size=VOCAB, context=CONTEXT)
    mine = learn_tokenizer('chars', ['to be or not to be'], 0)
    export(tmp_path, group, params, **sizes, tokenizer=mine)
    theirs = load(tmp_path).tokenizer
    assert theirs is not None
    assert list(theirs.encode('to be, bee')) == list(mine.encode('to be, bee'))


def test_a_tokenizer_of_another_model(tmp_path):
    group, _, params = our_model('gpt2')
    sizes: dict[str, Any] = dict(vocab_size=VOCAB, context=CONTEXT)
    with pytest.raises(InputError, match=f'has 256 tokens, the model {VOCAB}'):
        export(tmp_path, group, params, **sizes, tokenizer=learn_tokenizer('bytes', [], 0))
