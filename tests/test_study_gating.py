"""Verdicts on gates and sums can go either way, and a small study runs from end to end."""

import json

import numpy as np
import pytest

from configs.studies import gating as config_file
from experiments.studies.gating import GATES, STUDY, SUMS
from nlp_models.analysis import skill
from nlp_models.analysis.study import Evidence
from nlp_models.errors import InputError


def made_up(**skills):
    """Evidence in which every family has full skill but those named."""
    config, rows = config_file.get_config('standard'), []
    noise = np.random.default_rng(0)
    for task in config.tasks:
        for family in config.models:
            values = skills.get(family, 1.0) + noise.normal(0, 0.01, 5)
            key = {'task': task, 'family': family}
            rows.append({'key': key, 'value': {'skill': values.tolist()}, 'seconds': 1.0})
    return Evidence('gating', json.loads(config.to_json()), rows, {})


def verdicts_of(**skills):
    return [v['verdict'] for v in STUDY.judge(made_up(**skills))]


def test_parts_that_matter_support_the_claims_and_others_refute_them():
    without = {less: 0.2 for _, less, _ in (*GATES, *SUMS)}
    lost = {**without, 'rnn': 0.0, 'rnn_residual': 0.5}
    assert verdicts_of(**lost) == ['supported', 'supported']
    assert verdicts_of() == ['refuted', 'refuted']


def test_one_part_that_matters_qualifies_the_claim():
    gates, sums = STUDY.judge(made_up(lstm_without_input=0.1))
    assert (gates['verdict'], sums['verdict']) == ('qualified', 'refuted')
    assert gates['condition'].startswith(
        'holds for the input gate on a delayed symbol, the input gate on adding; not for'
    )


def test_the_picture_tells_its_numbers():
    (picture,) = STUDY.plot(made_up(rnn=0.0))
    assert 'RNN 0.0' in picture.caption.replace('-0.0', '0.0')
    assert 'RNN with a sum 1.0' in picture.caption or 'RNN with a sum 0.99' in picture.caption


def test_skill_is_zero_for_a_guesser_and_one_for_who_knows():
    assert skill.skill('adding', {'length': 9}, [1 / 6, 0.0]) == pytest.approx([0, 1])
    assert skill.skill('delayed', {'alphabet': 5}, [0.2, 1.0, 0.6]) == pytest.approx([0, 1, 0.5])
    assert skill.skill('copy', {}, [1 / 8, 1.0]) == pytest.approx([0, 1])
    with pytest.raises(InputError, match="task is 'parity'"):
        skill.skill('parity', {}, [1.0])


def test_small_cells_are_measured_at_equal_size():
    config = config_file.get_config('quick')
    config.update(num_devices=1, hidden_size=4)
    for family in list(config.models):
        if family not in ('lstm', 'lstm_not_additive', 'rnn', 'rnn_residual'):
            del config.models[family]
    config.tasks.delayed.setting.distance = 3
    config.tasks.delayed.setting.fillers = 40
    config.tasks.adding.setting.length = 4
    for task in config.tasks.values():
        task.training.update(steps=2, chunk=2, batch_size=4, test_examples=20)
    evidence = Evidence('gating', {}, [], {})
    found: dict[str, list] = {}
    for cell in STUDY.grid(config):
        value = STUDY.measure(config, dict(cell.key), evidence)
        assert len(value['skill']) == 2
        found.setdefault(cell.key['task'], []).append(value['parameters'])
    for counts in found.values():
        # As many parameters each; with so few a width more is no fine step.
        assert len(counts) == 4
        assert max(counts) / min(counts) < 1.2


@pytest.mark.parametrize('size', ['quick', 'standard', 'full'])
def test_every_size_has_its_cells(size):
    cells = STUDY.grid(config_file.get_config(size))
    assert len({json.dumps(cell.key) for cell in cells}) == len(cells) == 18
