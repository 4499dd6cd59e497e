"""LoRA: its formula, what it changes, and that the merged model is the same model."""

import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import finetune
from nlp_models import trees
from nlp_models.adaptation import building, lora
from nlp_models.errors import InputError
from tests.adapted_models import (
    SOURCE,
    Built,
    adapted,
    base,
    group_of,
    grown,
    outputs,
    sizes_of,
    tokens_of,
)

RANK, ALPHA = 2, 6.0
CHANGES = re.compile('^lora/')
FIELDS: dict[str, Any] = dict(lora_rank=RANK, lora_alpha=ALPHA, lora_targets=lora.TARGETS)

GRU = ('U', 'W', 'W_h')

# What is changed in each, by layer.
TARGETS = {
    'rotary': ['attention/qkv/kernel', 'attention/out/kernel'],
    'encoder': ['attention/qkv/kernel', 'attention/out/kernel'],
    'gru': [*GRU],
    'lstm': ['U', 'W'],
    'mingru': ['cell/U'],
    'encoder_gru': [f'{way}/{name}' for way in ('forward', 'backward') for name in GRU],
}
MODELS = (*TARGETS, 'scanned', 'seq2seq', 'luong')


def made(path):
    """As if trained: numbers in A and B."""
    before, after = adapted(path, **FIELDS)
    return before, after, after._replace(params=grown(after.params, CHANGES))


def merged(built):
    group, params = building.merged(built.group, built.params)
    model = building.build(group, **sizes_of_group(group))
    return Built(group, model, params)


def sizes_of_group(group):
    return sizes_of('seq2seq' if group.get('architecture') == 'encoder_decoder' else '')


def test_the_formula():
    random = np.random.default_rng(0)
    shapes = {'W': (5, 4), 'b': (4,), 'layers': {'kernel': (3, 5, 4)}}
    params = jax.tree.map(
        lambda s: random.normal(size=s), shapes, is_leaf=lambda s: isinstance(s, tuple)
    )
    changes = {
        'W': {'a': random.normal(size=(5, 2)), 'b': random.normal(size=(2, 4))},
        'layers': {
            'kernel': {'a': random.normal(size=(3, 5, 2)), 'b': random.normal(size=(3, 2, 4))}
        },
    }
    whole = {**params, 'lora': changes}
    found = lora.merge(jax.tree.map(lambda a: jnp.asarray(a, jnp.float32), whole), alpha=ALPHA)
    assert jax.tree.structure(found) == jax.tree.structure(params)
    want = params['W'] + ALPHA / 2 * changes['W']['a'] @ changes['W']['b']
    np.testing.assert_allclose(found['W'], want, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(found['b'], np.float32(params['b']))
    for layer in range(3):
        a, b = (changes['layers']['kernel'][name][layer] for name in 'ab')
        want = params['layers']['kernel'][layer] + ALPHA / 2 * a @ b
        np.testing.assert_allclose(found['layers']['kernel'][layer], want, rtol=1e-5, atol=1e-5)
    assert lora.merge(found, alpha=ALPHA) is found


def test_a_starts_normal_and_b_at_zero():
    params = {'cell': {'W': jnp.zeros((400, 30))}, 'layers': {'W': jnp.zeros((3, 400, 30))}}
    found = lora.init(params, jax.random.key(0), rank=8)
    assert jax.tree.map(jnp.shape, found) == {
        'cell': {'W': {'a': (400, 8), 'b': (8, 30)}},
        'layers': {'W': {'a': (3, 400, 8), 'b': (3, 8, 30)}},
    }
    a = np.asarray(found['layers']['W']['a'])
    assert a.std() == pytest.approx(1 / np.sqrt(400), rel=0.05)
    assert abs(a.mean()) < 0.002
    assert np.abs(a[0] - a[1]).min() > 0
    assert not any(np.any(each['b']) for each in (found['cell']['W'], found['layers']['W']))


@pytest.mark.parametrize('name', TARGETS)
def test_what_is_changed(name):
    before, after = adapted(name, **FIELDS)
    flat, layers = trees.flatten(before.params), before.group.num_layers
    new = {path: leaf.shape for path, leaf in trees.flatten(after.params).items()}
    for path, leaf in flat.items():
        assert new.pop(path) == leaf.shape
        np.testing.assert_array_equal(trees.flatten(after.params)[path], leaf)
    want = {}
    for layer in range(layers):
        for target in TARGETS[name]:
            rows, columns = flat[f'body/layer_{layer}/{target}'].shape
            want[f'lora/body/layer_{layer}/{target}/a'] = (rows, RANK)
            want[f'lora/body/layer_{layer}/{target}/b'] = (RANK, columns)
    assert new == want
    assert all(building.ADDED.search(path) for path in new)


@pytest.mark.parametrize('name', MODELS)
def test_at_first_nothing_is_changed_and_merged_it_is_the_same_model(name):
    before, fresh, trained = made(name)
    tokens = tokens_of(length=SOURCE - 2)
    np.testing.assert_array_equal(outputs(fresh, tokens), outputs(before, tokens))
    found = outputs(trained, tokens)
    assert np.abs(found - outputs(before, tokens)).max() > 0.01
    plain = merged(trained)
    assert jax.tree.structure(plain.params) == jax.tree.structure(before.params)
    np.testing.assert_allclose(outputs(plain, tokens), found, rtol=1e-5, atol=1e-5)
    assert plain.group.lora_rank == 0


def test_of_a_seq2seq_model_both_halves_are_changed():
    before, after = adapted('seq2seq', **FIELDS)
    new = set(trees.flatten(after.params)) - set(trees.flatten(before.params))
    assert {path.split('/')[1] for path in new} == {'encoder', 'decoder'}
    tokens = tokens_of()
    for half in ('encoder', 'decoder'):
        pattern = re.compile(f'^lora/{half}/')
        changed = after._replace(params=grown(after.params, pattern))
        assert np.abs(outputs(changed, tokens) - outputs(after, tokens)).max() > 1e-3


def test_a_classifier_and_a_prefix_are_left_as_they_are():
    _, after = adapted(
        'gru', sizes=dict(num_classes=3, pooling='last'), prefix_length=2, **FIELDS,
    )  # fmt: skip
    changed = set(trees.flatten(after.params['lora']))
    assert {path.split('/')[0] for path in changed} == {'body'}
    with pytest.raises(InputError, match=r'it finds no parameter'):
        adapted('gru', sizes=dict(num_classes=3, pooling='last'), **{
            **FIELDS, 'lora_targets': '^classifier/kernel'})  # fmt: skip


@pytest.mark.parametrize('name', ['rotary', 'gru'])
def test_gradients_are_those_of_the_formula(name):
    """dA = (α/r) dW Bᵀ, dB = (α/r) Aᵀ dW, dW being the merged model's."""
    _, _, trained = made(name)
    plain, tokens = merged(trained), tokens_of()

    def loss(model):
        def of(params):
            _, logits = model.apply(params, model.start(params, 2), tokens)
            return jnp.mean(jax.nn.logsumexp(logits, axis=-1) - logits[..., 3])

        return jax.jit(jax.grad(of))

    found = trees.flatten(loss(trained.model)(trained.params))
    whole = trees.flatten(loss(plain.model)(plain.params))
    values = {p: np.asarray(v, np.float64) for p, v in trees.flatten(trained.params).items()}
    changes = [path[:-2] for path in found if path.startswith('lora/') and path.endswith('/a')]
    assert changes
    for change in changes:
        path = change.removeprefix('lora/')
        weight = np.asarray(whole[path], np.float64)
        a, b = values[f'{change}/a'], values[f'{change}/b']
        scale = ALPHA / RANK
        np.testing.assert_allclose(found[f'{change}/a'], scale * weight @ b.T, atol=1e-5)
        np.testing.assert_allclose(found[f'{change}/b'], scale * a.T @ weight, atol=1e-5)
        assert np.abs(found[f'{change}/a']).max() > 1e-4
        np.testing.assert_allclose(found[path], weight, atol=1e-5)


@pytest.mark.parametrize(
    ('name', 'fields', 'message'),
    [
        ('rotary', dict(lora_rank=9), r'^model\.lora_rank is 9: it must be in \[1, 8\] for body/'),
        ('rotary', dict(lora_rank=-1), r'^model\.lora_rank is -1: it must be at least 1, or 0'),
        ('rotary', dict(lora_alpha=0.0), r'^model\.lora_alpha is 0\.0: it must be above 0'),
        (
            'rotary',
            dict(lora_targets='nonsense'),
            r"^model\.lora_targets is 'nonsense': it finds no parameter; they are such as body/",
        ),
        ('rotary', dict(lora_targets='('), r"^model\.lora_targets is '\(': "),
        (
            'rotary',
            dict(lora_targets='attention/qkv'),
            r'it finds body/layer_0/attention/qkv/bias, which is no matrix',
        ),
        (
            'scanned',
            dict(lora_targets='attention/qkv'),
            r'it finds body/layers/attention/qkv/bias, which is no matrix',
        ),
        ('ngram', {}, r'it finds no parameter'),
    ],
)
def test_what_cannot_be_is_told(name, fields, message):
    group = group_of(name, **{**FIELDS, **fields})

    def begin():
        model = building.build(group, **sizes_of(name))
        return jax.eval_shape(model.init, jax.random.key(0))

    with pytest.raises(InputError, match=message) as error:
        begin()
    assert '\n' not in str(error.value)


def test_a_base_that_is_not_merged_is_told():
    _, after = adapted('gru', **FIELDS)
    of = sizes_of('gru')
    with pytest.raises(InputError, match=r'^init_from: its LoRA is to be merged first'):
        building.init_from(after.group, after.model, after.params, jax.random.key(0), **of)
    plain = merged(after)
    found = building.init_from(after.group, after.model, plain.params, jax.random.key(0), **of)
    assert set(found) == {'embed', 'body', 'head', 'lora'}


def test_without_it_nothing_is_merged():
    built = base('gru')
    group, params = building.merged(built.group, built.params)
    assert group is built.group
    assert params is built.params


def test_the_configs_targets_are_the_librarys():
    assert finetune.LORA_TARGETS == lora.TARGETS
