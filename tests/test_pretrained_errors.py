"""Folders that cannot be read: one line each, which says what is wrong and with which file."""

import json
import struct
import sys
import types
from pathlib import Path

import numpy as np
import pytest

from nlp_models.errors import InputError
from nlp_models.pretrained import files
from nlp_models.pretrained.load import load, resolve
from nlp_models.pretrained.tokens import require_tokenizer
from tests.pretrained_folders import write_folder
from tests.test_pretrained import write_tokenizer


def message(call, *args) -> str:
    """What an InputError says, which must be one line."""
    with pytest.raises(InputError) as error:
        call(*args)
    assert '\n' not in str(error.value)
    return str(error.value)


# ---- files ----------------------------------------------------------------------------------


@pytest.mark.parametrize('name', ['pytorch_model.bin', 'model.pt', 'last.ckpt'])
def test_pickles_are_refused(tmp_path, name):
    folder = write_folder(tmp_path, 'gpt2')
    (folder / 'model.safetensors').rename(folder / name)
    said = message(load, folder)
    assert name in said
    assert 'pickle, which can run any code' in said
    assert 'safe_serialization=True' in said


def test_a_folder_without_weights(tmp_path):
    (write_folder(tmp_path, 'gpt2') / 'model.safetensors').unlink()
    assert 'has no model.safetensors' in message(load, tmp_path)


def test_a_folder_without_config(tmp_path):
    (write_folder(tmp_path, 'gpt2') / 'config.json').unlink()
    assert 'config.json' in message(load, tmp_path)


@pytest.mark.parametrize(
    ('text', 'said'),
    [
        (b'{"model_type": "gpt2"', 'is not JSON'),
        (b'["gpt2"]', 'must hold a JSON object'),
        (b'\xff\xfe', 'it is not UTF-8'),
    ],
)
def test_a_config_that_is_none(tmp_path, text, said):
    (write_folder(tmp_path, 'gpt2') / 'config.json').write_bytes(text)
    assert said in message(load, tmp_path)


@pytest.mark.parametrize('kept', [0, 5, 8, 300, 0.5, -1])
def test_safetensors_that_are_cut_off(tmp_path, kept):
    path = write_folder(tmp_path, 'gpt2') / 'model.safetensors'
    whole = path.read_bytes()
    path.write_bytes(whole[: int(kept * len(whole)) if isinstance(kept, float) else kept])
    said = message(load, tmp_path)
    assert str(path) in said
    assert 'cut off' in said


def header(**tensors) -> bytes:
    text = json.dumps(tensors).encode()
    return struct.pack('<Q', len(text)) + text


def entry(start, stop, shape=(2,), dtype='F32'):
    return dict(dtype=dtype, shape=shape, data_offsets=(start, stop))


@pytest.mark.parametrize(
    'data',
    [
        b'version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n',
        struct.pack('<Q', 5) + b'[1,2]',
        struct.pack('<Q', 2) + b'{}' + bytes(4),  # bytes that belong to nothing
        header(a=entry(0, 8)) + bytes(12),
        header(a=entry(4, 12)) + bytes(12),  # a gap
        header(a=entry(0, 8), b=entry(4, 12)) + bytes(12),  # one over the other
        header(a=entry(0, 8, shape=(3,))) + bytes(8),
        header(a=entry(0, 8, shape=(-1, -2))) + bytes(8),
        header(a=entry(8, 0)) + bytes(8),
        header(a={'dtype': 'F32', 'shape': [2]}) + bytes(8),
        header(a=3),
    ],
)
def test_safetensors_that_are_damaged(tmp_path, data):
    path = write_folder(tmp_path, 'gpt2') / 'model.safetensors'
    path.write_bytes(data)
    said = message(load, tmp_path)
    assert str(path) in said
    assert 'damaged' in said


def test_a_missing_shard_is_named(tmp_path):
    write_folder(tmp_path, 'gpt2', shards=3)
    (tmp_path / 'model-00002-of-00003.safetensors').unlink()
    said = message(load, tmp_path)
    assert 'lacks model-00002-of-00003.safetensors' in said
    assert '00001' not in said


def test_shards_that_do_not_belong_together(tmp_path):
    write_folder(tmp_path, 'gpt2', shards=2)
    one, two = sorted(tmp_path.glob('*.safetensors'))
    index = tmp_path / 'model.safetensors.index.json'
    whole = two.read_bytes()
    two.write_bytes(one.read_bytes())
    assert 'is in two files' in message(load, tmp_path)
    two.write_bytes(whole)
    load(tmp_path)
    for wrong in ({'weight_map': {'a': '../a.safetensors'}}, {'weight_map': {}}, {}):
        index.write_text(json.dumps(wrong))
        assert 'weight_map' in message(load, tmp_path)
    index.unlink()
    assert '2 safetensors files, but no model.safetensors.index.json' in message(load, tmp_path)
    two.unlink()
    assert 'is missing' in message(load, tmp_path)


# ---- tensors --------------------------------------------------------------------------------


def test_all_that_is_wrong_with_the_tensors_is_one_error(tmp_path):
    def spoil(tensors):
        tensors['transformer.h.0.attn.c_attn.weight'] = np.zeros((32, 95), np.float32)
        tensors['transformer.h.1.mlp.c_fc.bias'] = np.zeros(128, np.int32)
        tensors['score.weight'] = np.zeros((2, 32), np.float32)
        tensors['lm_head.weight'] = np.zeros((61, 32), np.float32)
        del tensors['transformer.ln_f.weight'], tensors['transformer.h.1.ln_1.bias']
        return tensors

    said = message(load, write_folder(tmp_path, 'gpt2', change=spoil))
    for fault in (
        'transformer.ln_f.weight is missing',
        'transformer.h.1.ln_1.bias is missing',
        'transformer.h.0.attn.c_attn.weight is [32, 95], not [32, 96]',
        'transformer.h.1.mlp.c_fc.bias is I32',
        'score.weight is there, but has no place',
        'lm_head.weight is not equal to transformer.wte.weight',
    ):
        assert fault in said
    assert said.count(';') == 5
    assert 'more' not in said


def test_of_many_faults_all_are_named_those_of_layers_together(tmp_path):
    said = message(load, write_folder(tmp_path, 'llama', num_hidden_layers=12))
    layers = '{' + ','.join(map(str, range(2, 12))) + '}'
    assert said.count(f'model.layers.{layers}.') == said.count('is missing') == 9
    assert f'model.layers.{layers}.mlp.up_proj.weight is missing' in said


def test_the_head_that_config_json_promises(tmp_path):
    def body(tensors):
        return {name: v for name, v in tensors.items() if not name.startswith('cls.')}

    said = message(load, write_folder(tmp_path / 'bert', 'bert', change=body))
    assert 'cls.predictions.bias is missing' in said
    said = message(load, write_folder(tmp_path / 'qwen2', 'qwen2', tie_word_embeddings=False))
    assert 'lm_head.weight is missing' in said


def test_a_tensor_by_two_names(tmp_path):
    def twice(tensors):
        return {**tensors, 'norm.weight': tensors['model.norm.weight'].copy()}

    assert 'twice' in message(load, write_folder(tmp_path, 'llama', change=twice))


# ---- config.json ----------------------------------------------------------------------------


@pytest.mark.parametrize('kind', ['t5', None, ['gpt2'], ''])
def test_an_unknown_architecture_says_which_are_known(tmp_path, kind):
    said = message(load, write_folder(tmp_path, 'gpt2', model_type=kind))
    assert f'is {kind if kind is not None else ""!r}' in said
    assert 'one of gpt2, llama, mistral, qwen2, bert' in said


@pytest.mark.parametrize(
    ('name', 'settings', 'said'),
    [
        ('gpt2', {'scale_attn_by_inverse_layer_idx': True}, 'scale_attn_by_inverse_layer_idx'),
        ('gpt2', {'scale_attn_weights': False}, 'scale_attn_weights'),
        ('gpt2', {'add_cross_attention': True}, 'add_cross_attention'),
        ('gpt2', {'activation_function': 'tanh'}, 'activation_function'),
        ('gpt2', {'n_embd': '32'}, 'n_embd'),
        ('gpt2', {'n_layer': 0}, 'n_layer'),
        ('bert', {'architectures': 5}, 'architectures'),
        ('mistral', {'layer_types': 5}, 'layer_types'),
        ('mistral', {'layer_types': [5]}, 'layer_types'),
        ('gpt2', {'layer_norm_epsilon': -1}, 'layer_norm_epsilon'),
        ('gpt2', {'tie_word_embeddings': 1}, 'tie_word_embeddings'),
        ('gpt2', {'quantization_config': {'bits': 4}}, 'quantization_config'),
        ('gpt2', {'auto_map': {'AutoModel': 'code.Model'}}, 'auto_map'),
        ('gpt2', {'pruned_heads': {'0': [1]}}, 'pruned_heads'),
        ('llama', {'mlp_bias': True}, 'mlp_bias'),
        ('llama', {'attention_bias': True}, 'mlp_bias'),
        ('llama', {'partial_rotary_factor': 0.5}, 'partial_rotary_factor'),
        ('llama', {'rope_scaling': {'type': 'yarn', 'factor': 2.0}}, "'yarn'"),
        ('llama', {'rope_scaling': {'rope_type': 'linear'}}, 'has no factor'),
        ('llama', {'rope_scaling': 'linear'}, 'must be an object'),
        ('llama', {'rope_parameters': {'full_attention': {'a': 1}}}, 'full_attention'),
        ('qwen2', {'use_sliding_window': True}, 'use_sliding_window'),
        ('qwen2', {'layer_types': ['full_attention', 'sliding_attention']}, 'layer_types'),
        ('mistral', {'layer_types': ['full_attention', 'sliding_attention']}, 'layer_types'),
        ('bert', {'is_decoder': True}, 'is_decoder'),
        ('bert', {'add_cross_attention': True}, 'add_cross_attention'),
        ('bert', {'position_embedding_type': 'relative_key'}, 'position_embedding_type'),
        ('bert', {'vocab_size': None}, 'has no vocab_size'),
    ],
)
def test_settings_that_make_another_function_are_named(tmp_path, name, settings, said):
    found = message(resolve, None, write_folder(tmp_path, name, **settings))
    assert said in found
    assert 'config.json' in found


# ---- tokenizers -----------------------------------------------------------------------------


def test_a_tokenizer_of_another_model(tmp_path):
    folder = write_folder(tmp_path, 'llama')
    write_tokenizer(folder, ['[UNK]', *map(str, range(61))])
    said = message(load, folder)
    assert 'tokenizer.json' in said
    assert '62 tokens' in said
    assert 'only 61' in said
    write_tokenizer(folder, ['[UNK]', *map(str, range(60))])
    assert load(folder).tokenizer is not None


def test_a_tokenizer_that_is_none(tmp_path):
    folder = write_folder(tmp_path, 'llama')
    (folder / 'tokenizer.json').write_text('{}')
    assert 'tokenizer.json' in message(load, folder)


def test_a_folder_without_a_tokenizer(tmp_path):
    imported = load(write_folder(tmp_path, 'llama'))
    said = message(require_tokenizer, imported.tokenizer, imported.folder)
    assert str(tmp_path) in said
    assert 'only fast tokenizers are read' in said


PLACES = {'Transformer': '', 'Pooling': '1_Pooling', 'Dense': '2_Dense'}


@pytest.mark.parametrize(
    ('modules', 'pooling', 'said'),
    [
        (['Transformer', 'Pooling', 'Dense'], {}, 'Dense'),
        (['Transformer'], {}, 'no Pooling'),
        (['Transformer', 'Pooling'], {'pooling_mode': 'max'}, 'max'),
        (['Transformer', 'Pooling'], {'pooling_mode': ['mean', 'cls']}, 'mean, cls'),
        (['Transformer', 'Pooling'], {'pooling_mode_max_tokens': True}, 'max'),
        (3, {}, 'must be a list'),
    ],
)
def test_sentences_made_in_another_way(tmp_path, modules, pooling, said):
    folder = write_folder(tmp_path, 'bert')
    if isinstance(modules, list):
        modules = [{'type': f'x.{kind}', 'path': PLACES[kind]} for kind in modules]
    (folder / 'modules.json').write_text(json.dumps(modules))
    (folder / '1_Pooling').mkdir()
    (folder / '1_Pooling' / 'config.json').write_text(json.dumps(pooling))
    assert said in message(load, folder)


def test_a_prompt_before_every_sentence(tmp_path):
    folder = write_folder(tmp_path, 'bert')
    modules = [{'type': kind, 'path': PLACES[kind]} for kind in ('Transformer', 'Pooling')]
    (folder / 'modules.json').write_text(json.dumps(modules))
    prompts = {'prompts': {'query': 'find: ', 'document': ''}, 'default_prompt_name': 'document'}
    path = folder / 'config_sentence_transformers.json'
    path.write_text(json.dumps(prompts))
    assert load(folder).sentences is not None
    path.write_text(json.dumps({**prompts, 'default_prompt_name': 'query'}))
    assert "the prompt 'find: '" in message(load, folder)


# ---- names of the hub -----------------------------------------------------------------------


@pytest.mark.parametrize('name', ['./nowhere', '/no/where', '~/nowhere/at/all', 'a/b/c', ''])
def test_a_folder_that_is_not_there(name):
    assert 'there is no folder' in message(files.find_folder, name)


def test_a_file_for_a_folder(tmp_path):
    (tmp_path / 'config.json').write_text('{}')
    assert 'give the folder' in message(files.find_folder, tmp_path / 'config.json')


def test_a_name_without_the_hub_library(monkeypatch):
    monkeypatch.setitem(sys.modules, 'huggingface_hub', None)
    assert 'pip install huggingface_hub' in message(files.find_folder, 'nobody/nothing')


class Hub(types.ModuleType):
    """The library of the hub, with a folder it has or will have, or none."""

    def __init__(self, *, answers: bool, cached: Path | None = None, found: Path | None = None):
        super().__init__('huggingface_hub')
        self.answers, self.cached, self.found = answers, cached, found
        self.calls: list[dict] = []

    def HfApi(self):
        return self

    def repo_info(self, name, timeout):
        self.calls.append({'timeout': timeout})
        if not self.answers:
            raise ConnectionError(f'no way to {name}\nsecond line')

    def snapshot_download(self, name, allow_patterns, local_files_only=False, etag_timeout=10.0):
        self.calls.append({'patterns': allow_patterns, 'local': local_files_only})
        folder = self.cached if local_files_only else self.found
        if folder is None:
            raise FileNotFoundError(name)
        return str(folder)


def test_a_name_of_the_hub(tmp_path, monkeypatch):
    hub = Hub(answers=True, found=tmp_path)
    monkeypatch.setitem(sys.modules, 'huggingface_hub', hub)
    assert files.find_folder('some/model') == tmp_path
    assert hub.calls[0]['timeout'] <= 10
    assert hub.calls[1:] == [{'patterns': ['*.json', '*.safetensors', '*.txt'], 'local': False}]


def test_a_name_that_was_fetched_earlier(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'huggingface_hub', Hub(answers=False, cached=tmp_path))
    assert files.find_folder('some/model') == tmp_path


def test_a_name_without_a_network(monkeypatch):
    monkeypatch.setitem(sys.modules, 'huggingface_hub', Hub(answers=False))
    said = message(files.find_folder, 'some/model')
    assert "'some/model'" in said
    assert said.endswith('ConnectionError: no way to some/model')


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    path = tmp_path / 'tokenizer.json'
    with pytest.raises(InputError, match=r'tokenizer\.json.* cannot be read: No such file'):
        files.read_text(path)
    path.write_bytes(b'\xff{}')
    with pytest.raises(InputError, match=r'tokenizer\.json.* cannot be read: it is not UTF-8'):
        files.read_text(path)
