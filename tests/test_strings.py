"""Batches of strings by hand, for both kinds of readers, and training on them."""

import numpy as np
import pytest
from ml_collections import ConfigDict

from configs.studies import architectures as config_file
from nlp_models import models
from nlp_models.analysis import strings
from nlp_models.analysis.strings import BEGIN, END

ROWS = np.array([[3, 1, 2, 0], [5, 4, 9, 7]])


def test_apart_and_joined_by_hand():
    apart = strings.pairs('sort', ROWS)
    np.testing.assert_array_equal(apart['source'], ROWS)
    np.testing.assert_array_equal(apart['source_lengths'], [3, 4])
    np.testing.assert_array_equal(
        apart['tokens'], [[BEGIN, 1, 2, 3, END, 0], [BEGIN, 4, 5, 7, 9, END]]
    )
    np.testing.assert_array_equal(apart['weights'], [[1, 1, 1, 1, 0], [1, 1, 1, 1, 1]])
    joined = strings.joined('reverse', ROWS)
    np.testing.assert_array_equal(
        joined['tokens'],
        [[3, 1, 2, BEGIN, 2, 1, 3, END, 0, 0], [5, 4, 9, 7, BEGIN, 7, 9, 4, 5, END]],
    )
    # Weights stand where the target or END comes next: from BEGIN on.
    np.testing.assert_array_equal(
        joined['weights'], [[0, 0, 0, 1, 1, 1, 1, 0, 0], [0, 0, 0, 0, 1, 1, 1, 1, 1]]
    )


@pytest.mark.parametrize('name', ['decoder', 'halves'])
def test_both_kinds_learn(name):
    config = config_file.get_config('quick')
    task = strings.Task('sort', 2, 3)
    group = config.writers[name]
    group.update(hidden_size=16, feed_forward_size=16, num_layers=1)
    length = task.joined_length if name == 'decoder' else task.target_length
    model = models.build(
        group, vocab_size=strings.VOCAB_SIZE, max_length=length, source_length=task.max_length
    )
    training = ConfigDict({**config.writing, 'chunk': 60, 'learning_rates': (2e-2,)})
    training.test_examples = 50
    found = strings.solve(model, task, training, steps=60, seeds=(0, 1), num_devices=1)
    assert found.steps == 60
    assert found.diverged == 0
    # Guessing letters comes to 1/26; END alone, which is a quarter of the tokens, to 0.3.
    assert min(found.scores) > 0.35
    assert all(e <= s for e, s in zip(found.exact, found.scores, strict=True))
