"""Costs of encoders and decoders against products counted one by one."""

import jax
import pytest
from ml_collections import ConfigDict

from configs.studies import architectures as config_file
from nlp_models import costs, models, trees
from nlp_models.analysis import architecture_costs, embedders, strings
from nlp_models.analysis.architecture_costs import Stack

S, T, D, F, L, V = 5, 4, 8, 20, 3, 11
STACK = Stack(D, F, L)


def product(rows, inner, columns):
    """A matrix product, 2 for a multiplication and its addition."""
    return 2 * rows * inner * columns


def layer(tokens, seen):
    """Queries, keys, values and what follows them; `seen[i]` keys of token i; feed-forward."""
    attention = product(tokens, D, 3 * D) + product(tokens, D, D)
    scores = sum(product(1, D, n) + product(1, n, D) for n in seen)
    return attention + scores + product(tokens, D, F) + product(tokens, F, D)


def cross(tokens):
    """Queries and what follows them, and the attention to S places."""
    return 2 * product(tokens, D, D) + product(tokens, D, S) + product(tokens, S, D)


ENCODER = L * layer(S, [S] * S)
MEMORY = L * product(S, D, 2 * D)


def test_layers_by_hand():
    assert architecture_costs.encoder_flops(STACK, S) == ENCODER
    assert architecture_costs.decoder_flops(STACK, T) == L * layer(T, range(1, T + 1))
    assert architecture_costs.memory_flops(STACK, S) == MEMORY
    assert architecture_costs.cross_flops(STACK, T, S) == L * cross(T)
    both = ENCODER + MEMORY + L * (layer(T, range(1, T + 1)) + cross(T))
    assert architecture_costs.conditioned_flops(STACK, STACK, S, T) == both
    whole = costs.transformer_flops(1, S + T, width=D, num_layers=L, vocab_size=V)
    of_four = Stack(D, 4 * D, L)
    mine = architecture_costs.decoder_flops(of_four, S + T) + product(S + T, D, V)
    assert whole == costs.FORWARD_BACKWARD * mine


def group(architecture):
    return ConfigDict(
        dict(architecture=architecture, hidden_size=D, feed_forward_size=F, num_layers=L)
    )


def test_writing_by_hand():
    sizes = dict(source=S, target=T, vocab_size=V)
    decoder = architecture_costs.writing(group('decoder'), **sizes)
    reading = L * layer(S, range(1, S + 1))
    written = L * sum(layer(1, [S + 1 + t]) for t in range(T)) + T * product(1, D, V)
    assert decoder.reading == reading
    assert decoder.writing == pytest.approx(written / T, rel=1e-12)
    assert decoder.training == pytest.approx(3 * (reading + written), rel=1e-12)
    assert decoder.state_bytes == 4 * 2 * D * L * (S + T)
    both = architecture_costs.writing(group('encoder_decoder'), **sizes)
    written = L * sum(layer(1, [1 + t]) + cross(1) for t in range(T)) + T * product(1, D, V)
    assert both.reading == ENCODER + MEMORY
    assert both.writing == pytest.approx(written / T, rel=1e-12)
    assert both.training == pytest.approx(3 * (both.reading + written), rel=1e-12)
    assert both.state_bytes == decoder.state_bytes


def test_texts_are_counted_by_what_embeds_them():
    model = group('decoder')
    assert embedders.flops(model, 'encoder', S) == 3 * ENCODER
    assert embedders.flops(model, 'decoder', S) == 3 * L * layer(S, range(1, S + 1))
    one = L * (layer(1, [1]) + cross(1))
    assert embedders.flops(model, 'encoder_decoder', S) == 3 * (ENCODER + MEMORY + one)


def test_steps_come_to_the_same_operations():
    assert architecture_costs.equal_steps(10.0, 5.0, 100, 20) == 200
    assert architecture_costs.equal_steps(10.0, 30.0, 100, 20) == 40
    assert architecture_costs.equal_steps(1.0, 1000.0, 100, 20) == 20


def test_the_studys_models_are_as_large_as_it_says():
    config = config_file.get_config('standard')
    task = strings.Task('reverse', **config.strings)

    def build(name):
        length = task.joined_length if name == 'decoder' else task.target_length
        return models.build(
            config.writers[name],
            vocab_size=strings.VOCAB_SIZE,
            max_length=length,
            source_length=task.max_length,
        )

    built = {name: build(name) for name in config.writers}
    counts = {name: costs.count_parameters(one) for name, one in built.items()}
    assert abs(counts['halves'] / counts['decoder'] - 1) < 0.02
    assert 1.8 < counts['layers'] / counts['decoder'] < 2.4
    vectors = {
        kind: costs.count_parameters(
            embedders.build(config.embedders[kind], kind, vocab_size=64, max_length=8)
        )
        for kind in embedders.KINDS
    }
    assert vectors['encoder'] == vectors['decoder']
    assert abs(vectors['encoder_decoder'] / vectors['decoder'] - 1) < 0.02
    kinds = {name: architecture_costs.kinds(one) for name, one in built.items()}
    assert kinds['halves'] == kinds['layers']
    # Every layer has 12 arrays, and embedding, positions, final norm (2) and head are beside them.
    assert len(kinds['decoder']) == 17
    leaves = trees.count(jax.eval_shape(built['decoder'].init, jax.random.key(0)))
    assert leaves == counts['decoder']
