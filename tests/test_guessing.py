"""What a guesser's loss is, in closed form and on examples."""

import math

import numpy as np
import pytest

from nlp_models.analysis import guessing
from nlp_models.data import synthetic
from nlp_models.errors import InputError


def guess(task, number=2000, **setting):
    examples = synthetic.TASKS[task](0, np.arange(number), split='test', **setting)
    return guessing.guess(task, setting, examples)


def test_adding_is_a_sixth_within_sampling_error():
    found = guess('adding', number=8000, length=10)
    assert found.expected == 1 / 6
    # Var (u + v − 1)² of a triangular distribution: E x⁴ − (E x²)² = 1/15 − 1/36.
    assert found.error == pytest.approx(math.sqrt((1 / 15 - 1 / 36) / 8000), rel=0.05)
    assert abs(found.measured - 1 / 6) < 4 * found.error


@pytest.mark.parametrize('delay', [1, 100])
def test_copy_is_ten_letters_of_eight_over_all_tokens(delay):
    found = guess('copy', number=300, delay=delay, symbols=10, alphabet=8)
    assert found.expected == pytest.approx(10 * math.log(8) / (delay + 20), rel=1e-12)
    assert found.measured == pytest.approx(found.expected, rel=1e-6)


@pytest.mark.parametrize(
    ('task', 'setting', 'answers'),
    [
        ('recall', {'length': 16, 'pairs': 2, 'vocab_size': 20}, 10),
        ('recall', {'length': 16, 'pairs': 2, 'vocab_size': 21}, 11),
        ('parity', {'max_length': 12, 'every_step': True}, 2),
        ('dyck', {'length': 16, 'kinds': 3, 'depth': 3}, 3),
        ('delayed', {'distance': 9, 'alphabet': 7, 'fillers': 4}, 7),
    ],
)
def test_of_the_others_every_answer_is_as_likely(task, setting, answers):
    found = guess(task, number=500, **setting)
    assert found.expected == math.log(answers)
    assert found.measured == pytest.approx(found.expected, rel=1e-6)


def test_what_a_guesser_holds_impossible_is_infinitely_wrong():
    setting = {'length': 16, 'kinds': 2, 'depth': 3}
    examples = synthetic.dyck(0, np.arange(20), split='test', **setting)
    wrong = examples._replace(targets=np.zeros_like(examples.targets))
    assert guessing.guess('dyck', setting, wrong).measured == math.inf


def test_another_task_is_refused():
    examples = synthetic.delayed(0, np.arange(2), distance=4, alphabet=8)
    with pytest.raises(InputError, match='task'):
        guessing.guess('reverse', {'distance': 4, 'alphabet': 8}, examples)
