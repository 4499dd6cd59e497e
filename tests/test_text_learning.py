"""What models answer to rules of strings, and who guesses; what is trained on many functions."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from configs.studies import base
from nlp_models.adaptation.prompts import assemble, query_text
from nlp_models.analysis import in_context_learning, regressors, text_learning
from nlp_models.data.synthetic import text_prompts, text_rules
from nlp_models.data.synthetic.text_prompts import Form
from nlp_models.types import LanguageModel

FORM = Form('{input}>{output}', ';')
HOW: dict[str, Any] = dict(min_length=3, max_length=3, letters=10)
RULES = text_rules.all_rules(3, 3)


def scripted(answer) -> LanguageModel:
    """A model that is sure of the next byte that a function of the tokens so far says."""

    def apply(params, state, tokens, *, lengths=None, key=None):
        del params, lengths, key
        nexts = np.asarray(answer(np.asarray(tokens)))
        return state, jax.nn.one_hot(nexts, text_learning.VOCAB_SIZE)

    return LanguageModel(lambda key: {}, lambda params, b, n=0: None, apply, None)


def test_an_answer_is_right_if_all_of_it_is_the_likeliest():
    drawn = text_learning.held_out(RULES, (FORM,), 20, examples=3, **HOW)
    written = text_prompts.write_all(drawn, RULES, (FORM,))
    batch = text_prompts.as_batch(written, 60)
    right = batch['tokens'][:, 1:]
    model = scripted(lambda tokens: right)
    found = text_learning.answers(model, 3)({}, batch)
    assert np.asarray(found.there).all()
    assert np.asarray(found.exact).all()
    spoiled = right.copy()
    for row, (_, answers) in enumerate(written):
        spoiled[row, answers[1][0] - 1] += 1  # the first byte of the second answer
    found = text_learning.answers(scripted(lambda tokens: spoiled), 3)({}, batch)
    np.testing.assert_array_equal(found.exact, [[True, False, True]] * 20)
    sizes = [b - a for _, answers in written for a, b in answers[1:2]]
    np.testing.assert_allclose(found.characters[:, 1], 1 - 1 / np.array(sizes), rtol=1e-6)


def test_means_are_over_what_is_there():
    values = np.array([[[1.0, 5.0], [3.0, 7.0]]])
    there = np.array([[[True, False], [True, True]]])
    np.testing.assert_allclose(text_learning.by_examples(values, there), [[2.0, 7.0]])


def test_who_looks_up_the_best_fit_knows_the_trained_rules_and_no_others():
    parts = text_rules.partition(RULES, parts=('flop', 'hash'))
    drawn = text_learning.held_out(parts.trained, (FORM,), 100, examples=9, **HOW)
    assert text_learning.retrieve(drawn, parts.trained, parts.trained) > 0.97
    held = text_learning.held_out(parts.parts, (FORM,), 100, examples=9, **HOW)
    assert text_learning.retrieve(held, parts.parts, parts.trained) < 0.4
    same = [RULES[number](strings[-1]) == strings[-1]
            for strings, number in zip(drawn.strings, drawn.rule, strict=True)]  # fmt: skip
    assert text_learning.repeat_input(drawn, RULES) == np.mean(same)


def test_a_task_asks_what_no_example_shows():
    drawn = text_learning.held_out(RULES, (FORM,), 30, examples=9, **HOW)
    tasks = text_learning.as_tasks(drawn, RULES, FORM, 4, 5)
    assert len(tasks) == 4
    for i, (template, queries, pool) in enumerate(tasks):
        assert (len(queries), len(pool)) == (5, 8)
        assert not {q['input'] for q in queries} & {p['input'] for p in pool}
        for example in (*queries, *pool):
            assert example['output'] == RULES[i](example['input'])
        prompt = assemble(template, queries[0], pool[:2]).text
        assert prompt == (
            f'{pool[0]["input"]}>{pool[0]["output"]};{pool[1]["input"]}>{pool[1]["output"]};'
            + query_text(template, queries[0])
        )


def test_later_places_count_more():
    draw = in_context_learning.weighted(
        lambda seed, first, count: {'weights': np.ones((count, 2, 4), np.float32)}, 2.0
    )
    np.testing.assert_allclose(draw(0, 0, 3)['weights'][1, 1], [1 / 16, 1 / 4, 9 / 16, 1])


def test_estimators_are_those_of_regressors():
    settings = {'trained': dict(dimension=3, points=6, noise=0.25)}
    points = in_context_learning.points_of('trained', settings, 200)
    found = in_context_learning.known_estimators(points, 0.25)
    by_hand = regressors.ridge(points.x, points.y, 0.25)
    np.testing.assert_allclose(found['ridge'], ((by_hand - points.clean) ** 2).mean(axis=0))
    np.testing.assert_allclose(found['trivial'], (points.clean.astype(float) ** 2).mean(axis=0))


def test_a_trained_regressor_is_scored_where_it_is_asked():
    """Errors and the picked rate by a plain loop over the runs."""
    settings = {
        'trained': dict(dimension=2, points=5, noise=0.1),
        'larger': dict(dimension=2, points=5, noise=0.1, input_scale=2.0),
    }
    training = ConfigDict(
        dict(
            batch_size=16, steps=40, chunk=20, learning_rates=(1e-2, 1e-6), test_examples=50,
            optimizer=base.optimizer(),
        )
    )  # fmt: skip
    group = ConfigDict(base.model('gru', hidden_size=8))
    learned = in_context_learning.train_regressors(
        group, settings, training, layout='whole', power=1.0, seeds=(0, 1)
    )
    assert learned.outcome.learning_rate == 1e-2
    assert np.shape(learned.tested['trained']) == (2, 5)
    assert learned.outcome.swept['0.01'] < learned.outcome.swept['1e-06']
    assert np.mean(learned.tested['larger']) > np.mean(learned.tested['trained'])
    factor = np.arange(1, 6) / 5
    means = [np.average(row, weights=factor) for row in learned.tested['trained']]
    np.testing.assert_allclose(learned.outcome.scores, means, rtol=1e-6)


def test_recall_is_tested_with_fewer_and_more_pairs():
    training = ConfigDict(
        dict(
            batch_size=16, steps=20, chunk=10, learning_rates=(1e-2,), stop_below=0.0,
            test_examples=20, optimizer=base.optimizer(),
        )
    )  # fmt: skip
    group = ConfigDict(base.model('transformer', hidden_size=8, num_layers=1, num_heads=2))
    learned = in_context_learning.train_recallers(
        group, (1, 2, 4), 2, training, vocab_size=16, seeds=(0,)
    )
    assert list(learned.tested) == ['1', '2', '4']
    assert learned.tested['2'] == learned.outcome.scores
    assert all(0 <= share <= 1 for (share,) in learned.tested.values())
    assert jnp.isfinite(jnp.array(learned.outcome.losses)).all()
