"""Imported models compute what Hugging Face's do: golden files of it, and whatever folder it is."""

import json
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import lm
from nlp_models import models, trees
from nlp_models.data.pieces import Tokenizer
from nlp_models.data.tokenizers import tokenizer_from_json
from nlp_models.generation.decoding import generate, stream
from nlp_models.generation.sampling import Sampling
from nlp_models.pretrained.load import HOW_TO_RUN, Imported, load, resolve
from nlp_models.pretrained.sentences import read_sentences
from nlp_models.types import LanguageModel, TextEncoder
from tests.pretrained_folders import DECODERS, NAMES, golden, tensors_of, write_folder

every_model = pytest.mark.parametrize('name', NAMES)


def build(imported: Imported) -> Any:
    architecture = imported.architecture
    sizes = dict(vocab_size=architecture.vocab_size, max_length=architecture.context)
    return models.build(imported.model, **sizes)


def logits(imported: Imported, arrays: dict[str, np.ndarray]) -> np.ndarray:
    """Of a golden file's tokens, zero where there are none."""
    model, tokens, lengths = build(imported), arrays['tokens'], arrays['lengths']
    if isinstance(model, TextEncoder):
        assert model.logits is not None
        encode = jax.jit(model.encode)
        y = encode(imported.params, tokens, lengths=lengths, segments=arrays['segments'])
        found = model.logits(imported.params, y)
    else:
        _, found = jax.jit(model.apply)(imported.params, None, tokens, lengths=lengths)
    real = np.arange(tokens.shape[1]) < lengths[:, None]
    return np.asarray(found) * real[..., None]


@every_model
@pytest.mark.parametrize('scan_layers', [False, True])
def test_logits_are_those_of_hugging_face(tmp_path, name, scan_layers):
    group = lm.get_config('transformer').model
    group.scan_layers = scan_layers
    imported = load(write_folder(tmp_path, name), group)
    arrays = golden(name)
    assert np.abs(arrays['logits']).max() > 3
    np.testing.assert_allclose(logits(imported, arrays), arrays['logits'], rtol=0, atol=1e-4)


@every_model
def test_parameters_are_those_of_the_model(tmp_path, name):
    imported = load(write_folder(tmp_path, name))
    wanted = jax.eval_shape(build(imported).init, jax.random.key(0))
    for tree in (wanted, imported.params):
        assert jax.tree.structure(tree) == jax.tree.structure(wanted)
    shapes = [(leaf.shape, leaf.dtype) for leaf in jax.tree.leaves(imported.params)]
    assert shapes == [(leaf.shape, leaf.dtype) for leaf in jax.tree.leaves(wanted)]


@pytest.mark.parametrize('name', DECODERS)
def test_greedy_generation_is_that_of_hugging_face(tmp_path, name):
    imported, arrays = load(write_folder(tmp_path, name)), golden(name)
    model: LanguageModel = build(imported)
    lengths, generated = arrays['prompt_lengths'], arrays['generated']
    assert generated.shape[1] == 64
    prompts = [row[:n] for row, n in zip(arrays['tokens'], lengths, strict=True)]
    how: Any = dict(num_tokens=64, sampling=Sampling(temperature=0.0))
    np.testing.assert_array_equal(generate(model, imported.params, prompts, **how), generated)
    row = int(lengths.argmax())
    pieces = stream(model, imported.params, prompts[row], every=16, **how)
    np.testing.assert_array_equal(np.concatenate(list(pieces)), generated[row])


def test_a_state_carries_on_with_an_imported_model(tmp_path):
    imported, arrays = load(write_folder(tmp_path, 'mistral')), golden('mistral')
    model: LanguageModel = build(imported)
    state, found, apply = model.start(imported.params, 1, 24), [], jax.jit(model.apply)
    for token in arrays['tokens'][:1].T:
        state, y = apply(imported.params, state, token[None])
        found.append(np.asarray(y)[0, 0])
    np.testing.assert_allclose(found, arrays['logits'][0], rtol=0, atol=1e-4)


def test_bert_without_its_head(tmp_path):
    def body(tensors):
        found = {t.removeprefix('bert.'): v for t, v in tensors.items() if t.startswith('bert.')}
        pooler = {'pooler.dense.weight': np.eye(32), 'pooler.dense.bias': np.zeros(32)}
        return {**found, **pooler, 'embeddings.position_ids': np.arange(96)[None]}

    folder = write_folder(tmp_path, 'bert', change=body, architectures=['BertModel'])
    imported, arrays = load(folder), golden('bert')
    model = build(imported)
    assert isinstance(model, TextEncoder)
    assert model.logits is None
    y = jax.jit(model.encode)(
        imported.params, arrays['tokens'], lengths=arrays['lengths'], segments=arrays['segments']
    )
    for row, wanted, length in zip(y, arrays['hidden'], arrays['lengths'], strict=True):
        np.testing.assert_allclose(row[:length], wanted[:length], rtol=0, atol=1e-4)


# ---- the same model, whatever the folder ----------------------------------------------------


def no_prefix(tensors):
    return {t.removeprefix('transformer.').removeprefix('model.'): v for t, v in tensors.items()}


def with_masks(tensors):
    masks = {'transformer.h.0.attn.bias': np.tril(np.ones((1, 1, 96, 96), bool))}
    return {**tensors, **masks, 'transformer.h.1.attn.masked_bias': np.array(-1e4)}


def with_frequencies(tensors):
    return {**tensors, 'model.layers.1.self_attn.rotary_emb.inv_freq': np.ones(8, np.float32)}


def tied_head(tensors):
    embedding = next(v for t, v in tensors.items() if 'wte' in t or 'embed_tokens' in t)
    return {**tensors, 'lm_head.weight': embedding.copy()}


def first_names(tensors):
    renamed = {
        t.replace('LayerNorm.weight', 'LayerNorm.gamma').replace(
            'LayerNorm.bias', 'LayerNorm.beta'
        ): v
        for t, v in tensors.items()
    }
    return {**renamed, 'cls.seq_relationship.bias': np.zeros(2)}


def tied_decoder(tensors):
    return {
        **tensors,
        'cls.predictions.decoder.weight': tensors['bert.embeddings.word_embeddings.weight'].copy(),
        'cls.predictions.decoder.bias': tensors['cls.predictions.bias'].copy(),
    }


@pytest.mark.parametrize(
    ('name', 'change'),
    [
        ('gpt2', no_prefix),
        ('gpt2', with_masks),
        ('gpt2', tied_head),
        ('llama', no_prefix),
        ('llama', with_frequencies),
        ('qwen2', tied_head),
        ('bert', first_names),
        ('bert', tied_decoder),
    ],
)
def test_other_names_and_what_is_not_read(tmp_path, name, change):
    plain = load(write_folder(tmp_path / 'plain', name))
    other = load(write_folder(tmp_path / 'other', name, change=change))
    assert trees.digests(plain.params) == trees.digests(other.params)
    assert plain.model == other.model


@every_model
def test_shards_are_one_model(tmp_path, name):
    one = load(write_folder(tmp_path / 'one', name))
    three = load(write_folder(tmp_path / 'three', name, shards=3))
    assert len(list((tmp_path / 'three').glob('*.safetensors'))) == 3
    assert trees.digests(one.params) == trees.digests(three.params)


@pytest.mark.parametrize('dtype', [np.float16, jnp.bfloat16, np.float64])
def test_every_dtype_becomes_float32(tmp_path, dtype):
    folder = write_folder(
        tmp_path, 'llama', change=lambda ts: {t: v.astype(dtype) for t, v in ts.items()}
    )
    params, tensors = load(folder).params, tensors_of(golden('llama'))
    for ours, theirs in [
        (params['embed']['embedding'], tensors['model.embed_tokens.weight']),
        (params['head']['kernel'], tensors['lm_head.weight'].T),
        (
            params['body']['layer_1']['feed_forward']['down']['kernel'],
            tensors['model.layers.1.mlp.down_proj.weight'].T,
        ),
    ]:
        assert ours.dtype == np.float32
        np.testing.assert_array_equal(ours, theirs.astype(dtype).astype(np.float32))


def test_large_tensors_are_read_in_blocks(tmp_path, monkeypatch):
    folder = write_folder(tmp_path, 'llama')
    whole = trees.digests(load(folder).params)
    monkeypatch.setattr('nlp_models.pretrained.tensors._BLOCK', 300)  # of rows of 128 bytes
    assert trees.digests(load(folder).params) == whole


# ---- what config.json says ------------------------------------------------------------------


def test_how_to_run_is_left_as_it_is(tmp_path):
    group: Any = lm.get_config('transformer').model
    group.update(dropout_rate=0.25, dtype='bfloat16', remat=True, attention='plain')
    filled = resolve(group, write_folder(tmp_path, 'qwen2'))
    assert {k: filled[k] for k in HOW_TO_RUN} == {k: group[k] for k in HOW_TO_RUN}
    assert set(filled) == set(group)
    assert (filled.norm_type, filled.num_kv_heads, filled.qkv_bias) == ('rms', 2, True)
    assert group.norm_type == 'layer'
    assert resolve(group, tmp_path) == load(tmp_path, group).model


OLD_LLAMA3: dict[str, Any] = dict(
    rope_parameters=None,
    rope_theta=10000.0,
    rope_scaling=dict(
        rope_type='llama3',
        factor=4.0,
        low_freq_factor=1.0,
        high_freq_factor=4.0,
        original_max_position_embeddings=24,
    ),
)


def test_rotary_positions_as_older_versions_write_them(tmp_path):
    new = load(write_folder(tmp_path / 'new', 'llama'))
    old = load(write_folder(tmp_path / 'old', 'llama', **OLD_LLAMA3))
    assert old.model == new.model
    assert old.model.rotary_scaling == 'llama3'
    assert (old.model.rotary_factor, old.model.rotary_original_length) == (4.0, 24)
    linear: dict[str, Any] = dict(
        rope_parameters=None, rope_theta=500000, rope_scaling=dict(type='linear', factor=2)
    )
    older = load(write_folder(tmp_path / 'older', 'llama', **linear)).model
    assert (older.rotary_scaling, older.rotary_factor) == ('linear', 2.0)
    assert older.rotary_base == 500000.0
    bare = load(write_folder(tmp_path / 'bare', 'llama', rope_parameters=None)).model
    assert (bare.rotary_scaling, bare.rotary_base) == ('none', 10000.0)


def test_what_config_json_does_not_say(tmp_path):
    folder = write_folder(tmp_path, 'mistral')
    config = json.loads((folder / 'config.json').read_text())
    for field in ('sliding_window', 'head_dim', 'rms_norm_eps', 'tie_word_embeddings'):
        del config[field]
    (folder / 'config.json').write_text(json.dumps({**config, 'num_key_value_heads': None}))
    group = resolve(None, folder)
    assert (group.window, group.norm_epsilon, group.tie_embeddings) == (4096, 1e-6, False)
    assert (group.head_size, group.num_kv_heads) == (0, 0)
    (folder / 'config.json').write_text(json.dumps({**config, 'sliding_window': None}))
    assert resolve(None, folder).window == 0


# ---- tokenizers and sentences ---------------------------------------------------------------


def write_tokenizer(folder, words=('[PAD]', '[UNK]', 'a', 'b', '</s>', '<s>'), special=()):
    from tokenizers import Tokenizer as HuggingFaceTokenizer
    from tokenizers import models as kinds
    from tokenizers import pre_tokenizers

    vocabulary = {word: number for number, word in enumerate(words)}
    tokenizer = HuggingFaceTokenizer(kinds.WordLevel(vocabulary, unk_token='[UNK]'))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.add_special_tokens([*special])
    tokenizer.save(str(folder / 'tokenizer.json'))


def test_a_folder_with_a_tokenizer(tmp_path):
    # Of several ends the first is eos; 3 is a plain token; and there is none of id 60.
    ids: dict[str, Any] = dict(eos_token_id=[4, 3], pad_token_id=60)
    folder = write_folder(tmp_path, 'llama', **ids)
    assert load(folder).tokenizer is None
    write_tokenizer(folder, special=('</s>', '<s>'))
    (folder / 'special_tokens_map.json').write_text('{"bos_token": {"content": "<s>"}}')
    imported = load(folder)
    assert isinstance(imported.tokenizer, Tokenizer)
    assert imported.tokenizer.vocab_size == 6
    assert imported.tokenizer.encode('a b b').tolist() == [2, 3, 3]
    assert imported.tokenizer.special == {'bos': 5, 'eos': 4}
    assert imported.tokenizer.ends == (4,)
    (folder / 'generation_config.json').write_text('{"eos_token_id": [5, 4]}')
    again = load(folder).tokenizer
    assert again is not None
    assert tokenizer_from_json(again.to_json()).ends == again.ends == (4, 5)
    assert imported.architecture.special == {'eos': 4, 'pad': 60}


def test_a_tokenizer_whose_vocabulary_is_a_list(tmp_path):
    from tokenizers import Tokenizer as HuggingFaceTokenizer
    from tokenizers.models import Unigram

    folder = write_folder(tmp_path, 'llama', eos_token_id=2, pad_token_id=3)
    pieces = [('<unk>', 0.0), ('a', -1.0), ('</s>', -2.0)]
    HuggingFaceTokenizer(Unigram(pieces, unk_id=0)).save(str(folder / 'tokenizer.json'))
    tokenizer = load(folder).tokenizer
    assert tokenizer is not None
    assert tokenizer.vocab_size == 3
    assert tokenizer.special == {'eos': 2}  # there is no token 3


@pytest.mark.parametrize(
    ('pooling', 'wanted'),
    [
        ({'pooling_mode_cls_token': True, 'pooling_mode_mean_tokens': False}, 'cls'),
        ({'pooling_mode_mean_tokens': True, 'word_embedding_dimension': 32}, 'mean'),
        ({'pooling_mode': 'lasttoken'}, 'last'),
        ({}, 'mean'),
    ],
)
def test_a_folder_of_sentence_transformers(tmp_path, pooling, wanted):
    assert read_sentences(tmp_path) is None
    modules = [('Transformer', '0_Transformer'), ('Pooling', '1_Pooling')]
    (tmp_path / '1_Pooling').mkdir()
    (tmp_path / '1_Pooling' / 'config.json').write_text(json.dumps(pooling))
    write_folder(tmp_path / '0_Transformer', 'bert')

    def write_modules():
        entries = [
            {'path': path, 'type': f'sentence_transformers.{kind}'} for kind, path in modules
        ]
        (tmp_path / 'modules.json').write_text(json.dumps(entries))

    write_modules()
    sentences = load(tmp_path).sentences
    assert sentences is not None
    assert (sentences.pooling, sentences.normalize, sentences.max_length) == (wanted, False, None)
    modules.append(('Normalize', '2_Normalize'))
    write_modules()
    limit = {'model_max_length': 10**30}
    (tmp_path / '0_Transformer' / 'tokenizer_config.json').write_text(json.dumps(limit))
    assert load(tmp_path).sentences == sentences._replace(normalize=True)
    (tmp_path / '0_Transformer' / 'tokenizer_config.json').write_text('{"model_max_length": 40}')
    assert load(tmp_path).sentences == sentences._replace(normalize=True, max_length=40)
    (tmp_path / '0_Transformer' / 'sentence_bert_config.json').write_text('{"max_seq_length": 20}')
    assert load(tmp_path).sentences == sentences._replace(normalize=True, max_length=20)
