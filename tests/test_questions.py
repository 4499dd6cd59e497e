"""What models answer: numbers from made-up logits, and small models that read a small world."""

import math
from typing import Any

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict

from configs.studies import base
from nlp_models import ngram
from nlp_models.analysis import calibration, questions
from nlp_models.data.synthetic import telling, world
from nlp_models.data.synthetic.telling import KINDS
from nlp_models.errors import InputError

SMALL: dict[str, Any] = dict(
    people=12, names=6, relations=3, untold=1, values=4, frequencies=(1, 4)
)
V = 6


def asked(answers, kinds, mentions):
    rows = len(answers)
    return telling.Questions(
        np.zeros((rows, 3), np.int32),
        np.full(rows, 2, np.int32),
        np.array(answers, np.int32),
        np.array(kinds, np.int32),
        np.array(mentions, np.int32),
    )


def logits_of(words, probabilities):
    """Each word with its probability, the rest shared out over the others."""
    p = np.array([[(1 - each) / (V - 1)] * V for each in probabilities])
    p[np.arange(len(words)), words] = probabilities
    return np.log(p)


# Six questions: three taught (told once, once, four times), one untold, two of strangers.
ASKED = asked([2, 3, 4, 5, -1, -1], [0, 0, 0, 1, 2, 2], [1, 1, 4, 0, 0, 0])
# Right; wrong and sure; right and sure; wrong, not sure; wrong and sure; 'unknown'.
WORDS, SURE = [2, 4, 4, 2, 3, world.UNKNOWN], [0.45, 0.8, 0.9, 0.3, 0.6, 0.7]


def test_numbers_of_made_up_answers():
    said = logits_of(WORDS, SURE)
    found = questions.examine(said, ASKED, said, ASKED, confident=0.5, bins=2)
    assert found['recall'] == {'1': 0.5, '4': 1.0}
    assert found['confidence']['1'] == pytest.approx(0.625)
    assert found['kind_recall'] == pytest.approx({'taught': 2 / 3, 'untold': 0, 'stranger': 0})
    assert found['surely_false'] == pytest.approx({'taught': 1 / 3, 'untold': 0, 'stranger': 0.5})
    assert found['false'] == pytest.approx({'taught': 1 / 3, 'untold': 1, 'stranger': 0.5})
    assert found['declined'] == {'taught': 0, 'untold': 0, 'stranger': 0.5}
    # Taught 0.45, 0.8, 0.9 against 0.3, 0.6, 0.7: 1 + 3 + 3 pairs of 9.
    assert found['auroc'] == pytest.approx(7 / 9)
    # Right 0.45 and 0.9 against 0.8, 0.3, 0.6, 0.7: 1 + 4 pairs of 8.
    assert found['auroc_right'] == pytest.approx(5 / 8)
    # The surest half are 0.9 right, 0.8 false, 0.7 'unknown', which is no falsehood.
    assert found['risk'][questions.COVERAGES.index(0.5)] == pytest.approx(1 / 3)
    assert found['risk'][-1] == pytest.approx(3 / 6)
    # Without 'unknown': (0.45, 0.3) one right of two, (0.8, 0.9, 0.6) one right of three.
    ece = 2 / 5 * (0.5 - 0.375) + 3 / 5 * (2.3 / 3 - 1 / 3)
    assert found['ece'] == pytest.approx(ece)
    right = [0.55**2, 0.8**2, 0.1**2, 0.3**2, 0.6**2]
    assert found['brier'] == pytest.approx(np.mean(right))
    answerable = ASKED.answers >= 0
    temperature = calibration.fit_temperature(said[answerable], ASKED.answers[answerable])
    assert found['temperature'] == pytest.approx(temperature)
    counts = found['bins']['raw']['count']
    assert (sum(counts), len(counts)) == (5, 10)


def test_one_temperature_is_of_the_validation_questions():
    said = logits_of(WORDS, SURE)
    hot = questions.examine(said, ASKED, 5 * said, ASKED, confident=0.5, bins=2)
    plain = questions.examine(said, ASKED, said, ASKED, confident=0.5, bins=2)
    assert hot['temperature'] == pytest.approx(5 * plain['temperature'], rel=1e-3)
    assert hot['ece'] == plain['ece']
    assert hot['ece_scaled'] != pytest.approx(plain['ece_scaled'], rel=1e-3)


def test_where_nothing_can_be_told_there_is_no_number():
    wrong = logits_of([5, 5, 5, 2, 2, 2], SURE)
    found = questions.examine(wrong, ASKED, wrong, ASKED, confident=0.5, bins=2)
    assert math.isnan(found['auroc_right'])
    silent = logits_of([world.UNKNOWN] * 6, SURE)
    found = questions.examine(silent, ASKED, silent, ASKED, confident=0.5, bins=2)
    assert math.isnan(found['ece'])
    assert math.isnan(found['brier'])
    assert found['declined'] == dict.fromkeys(KINDS, 1.0)


def test_seeds_are_put_side_by_side():
    ones = [{'a': 1.0, 'b': {'c': 2.0}, 'd': [1]}, {'a': 3.0, 'b': {'c': 4.0}, 'd': [2]}]
    assert questions.by_seed(ones, [False, False]) == {
        'a': [1.0, 3.0],
        'b': {'c': [2.0, 4.0]},
        'd': [[1], [2]],
    }
    assert math.isnan(questions.by_seed(ones, [False, True])['b']['c'][1])


def text(**changed):
    worlds = {seed: world.make(seed, **SMALL) for seed in (0, 1)}
    return questions.Text(**{'world': worlds, 'lesson_mentions': 2, 'lessons': False, **changed})


def training(**changed):
    fields = dict(batch_size=4, chunk=2, learning_rates=(1e-3, 1e-2), optimizer=base.optimizer())
    return ConfigDict({**fields, **changed})


def test_a_text_is_read_once_and_lessons_count_where_they_should():
    rows = {}
    for lessons in (False, True):
        one = text(lessons=lessons)
        steps = questions.num_steps(one, 4, 2)
        rows[lessons] = questions.batches(one, 4)(1, 0, steps)
        said = telling.statements(one.world[1], order=1, lesson_mentions=2)
        assert steps % 2 == 0
        assert steps <= len(said) / 4 < steps + 3
        read = telling.sentences(one.world[1], said[: 4 * steps])
        assert (rows[lessons]['tokens'] == read.tokens.reshape(steps, 4, -1)).all()
    weights = rows[False]['weights'].reshape(len(read.lessons), -1)
    assert (weights[read.lessons] == 0).all()
    assert (weights[~read.lessons] == read.weights[~read.lessons]).all()
    assert (rows[True]['weights'].reshape(weights.shape) == read.weights).all()
    assert read.lessons.any()
    with pytest.raises(InputError, match=r'^chunk is 1000'):
        questions.num_steps(text(), 4, 1000)


def test_a_small_model_is_asked_about_its_own_world():
    group = ConfigDict(base.model('rnn', hidden_size=8))
    one = text()
    found = questions.learn(group, one, training(), num_devices=1)
    assert found.steps == questions.num_steps(one, 4, 2)
    assert set(found.swept) == {'0.001', '0.01'}
    assert found.learning_rate == max(map(float, found.swept), key=lambda r: found.swept[str(r)])
    logits = found.logits('test')
    model = questions.models.build_language_model(
        group, vocab_size=one.world[0].vocab_size, max_length=1
    )
    for i, seed in enumerate((0, 1)):
        tests = telling.questions(one.world[seed], 'test')
        params = jax.tree.map(lambda a, i=i: jax.numpy.asarray(a[i]), found.params)
        assert logits[i].shape == (len(tests.last), one.world[seed].vocab_size)
        # One question alone, without what it is filled up with.
        row = tests.tokens[3, : tests.last[3] + 1]
        _, alone = jax.jit(model.apply)(params, model.start(params, 1), row[None])
        np.testing.assert_allclose(logits[i][3], alone[0, -1], rtol=1e-4, atol=1e-5)


def test_an_ngram_knows_what_it_counted():
    group = ConfigDict(dict(family='ngram', order=9))
    one = text()
    found = questions.learn(group, one, training())
    said = telling.statements(one.world[0], order=0)
    words = [w for row in _plain(one.world[0], said) for w in row]
    counted = ngram.fit(np.array(words), order=9, vocab_size=one.world[0].vocab_size)
    for name, level in counted.items():
        for part, array in level.items():
            np.testing.assert_array_equal(array, found.params[0][name][part])
    tests = telling.questions(one.world[0], 'test')
    answers = found.logits('test')[0].argmax(axis=-1)
    often = (tests.kinds == questions.TAUGHT) & (tests.mentions == 4)
    assert often.any()
    # Told four times, in a phrasing or two of three: mostly also in the one that is asked.
    assert (answers == tests.answers)[often].mean() >= 0.5


def _plain(one, said):
    """Sentences as lists of tokens with the stop at their end."""
    tokens = {word: token for token, word in enumerate(one.words)}
    for sentence in telling.as_text(one, telling.sentences(one, said).tokens):
        yield [tokens[word] for word in sentence.split()] + [world.STOP]
