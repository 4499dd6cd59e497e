"""What models answer to questions about a world whose facts are known, and how sure they are.

`learn` has a family read the text of a world, one a seed; `answer` asks; `examine` turns what was
said into numbers. A word is the answer where it is the likeliest of the whole vocabulary, its
probability is how sure the model is, and the answer 'unknown' is none.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy import special

from nlp_models import costs, models, ngram
from nlp_models.analysis import calibration
from nlp_models.data.synthetic import telling
from nlp_models.data.synthetic.telling import KINDS, Questions
from nlp_models.data.synthetic.world import UNKNOWN, World
from nlp_models.errors import require
from nlp_models.training import objectives, runs

TAUGHT, UNTOLD, STRANGER = range(len(KINDS))
COVERAGES = tuple(i / 20 for i in range(1, 21))


class Text(NamedTuple):
    """What is read.

    Attributes:
      world: of each seed.
      lesson_mentions: as in `telling.statements`: the text has these sentences in any case.
      lessons: whether they count; where they do not, they are read and nothing is learned of them,
        so that both ways of reading have the same facts in the same order and as many steps.
    """

    world: dict[int, World]
    lesson_mentions: int
    lessons: bool


class Learned(NamedTuple):
    """A family that has read its texts.

    Attributes:
      logits: `(split) -> [R, Q, V]`, what comes next after each question, one row a seed.
      diverged: which runs did `[R]`.
      learning_rate: the best by the validation questions; 0 where there is none.
      swept: learning rate to the share of taught validation questions answered right.
      steps: taken.
      parameters: of the model.
      params: of the best rate's runs, leaves `[R, …]`; of an n-gram a list.
    """

    logits: Callable[[str], np.ndarray]
    diverged: np.ndarray
    learning_rate: float
    swept: dict[str, float]
    steps: int
    parameters: int
    params: Any


def batches(text: Text, batch_size: int) -> runs.Batches:
    """The text's sentences in their order, as `runs.train` wants them; each seed has its own."""
    said = {
        seed: telling.statements(world, order=seed, lesson_mentions=text.lesson_mentions)
        for seed, world in text.world.items()
    }

    def draw(seed: int, first: int, count: int) -> dict[str, np.ndarray]:
        rows = said[seed][first * batch_size : (first + count) * batch_size]
        read = telling.sentences(text.world[seed], rows)
        weights = read.weights * (1.0 if text.lessons else ~read.lessons[:, None])
        return {
            'tokens': read.tokens.reshape(count, batch_size, -1),
            'weights': weights.astype(np.float32).reshape(count, batch_size, -1),
        }

    return draw


def num_steps(text: Text, batch_size: int, chunk: int) -> int:
    """Steps that read the shortest text once, to the last whole chunk.

    Raises:
      InputError: where there is no whole one.
    """
    lengths = [
        len(telling.statements(world, order=seed, lesson_mentions=text.lesson_mentions))
        for seed, world in text.world.items()
    ]
    steps = min(lengths) // (batch_size * chunk) * chunk
    most = f'must be at most {min(lengths) // batch_size}, the batches there are'
    require(steps > 0, 'chunk', chunk, most)
    return steps


def at_last(model: Any) -> Callable[[Any, Any], jax.Array]:
    """`(params, {'tokens': [Q, T], 'last': [Q]}) -> logits [Q, V]` of what follows each row."""

    def ask(params: Any, asked: Any) -> jax.Array:
        tokens = asked['tokens']
        _, logits = model.apply(params, model.start(params, tokens.shape[0]), tokens)
        return jnp.take_along_axis(logits, asked['last'][:, None, None], axis=1)[:, 0]

    return ask


def learn(group: Any, text: Text, training: Any, *, num_devices: int = 0) -> Learned:
    """Train a model on the text of every seed with every learning rate; each sentence is read once.

    Args:
      group: a config's `model` group.
      text: what is read.
      training: `batch_size`, `chunk`, `learning_rates`, `optimizer`.
      num_devices: as in `runs.train`.

    Returns:
      The runs of the learning rate with the most right answers to taught validation questions.
    """
    seeds = list(text.world)
    first = text.world[seeds[0]]
    if group.family == 'ngram':
        return _count(group, text)
    length = telling.sentences(first, np.zeros(1, np.int64)).tokens.shape[1] - 1
    model = models.build_language_model(group, vocab_size=first.vocab_size, max_length=length)
    rates, ask = training.learning_rates, at_last(model)
    steps = num_steps(text, training.batch_size, training.chunk)
    trained = runs.train(
        model.init,
        objectives.language_modelling(model),
        training.optimizer,
        runs.grid(seeds, rates),
        batches(text, training.batch_size),
        steps=steps,
        chunk=training.chunk,
        num_devices=num_devices,
    )

    def logits(params: Any, split: str) -> np.ndarray:
        asked = [telling.questions(text.world[seed], split) for seed in seeds]
        number = len(jax.tree.leaves(params)[0])  # of runs, the seeds of one rate side by side
        mine = {
            name: np.stack([getattr(asked[i % len(seeds)], name) for i in range(number)])
            for name in ('tokens', 'last')
        }
        # Each run is asked about its own world, so questions are shared out like parameters.
        return runs.evaluate(
            lambda both, _: ask(both['params'], both['asked']),
            {'params': params, 'asked': mine},
            {},
            num_devices=num_devices,
        )

    held = [telling.questions(text.world[seed], 'validation') for seed in seeds]
    scores = [
        _right(answers, held[i % len(seeds)])[held[i % len(seeds)].kinds == TAUGHT].mean()
        for i, answers in enumerate(logits(trained.params, 'validation').argmax(axis=-1))
    ]
    best = runs.pick(trained, np.array(scores), rates, worst=0.0)
    params = best.of(trained.params)
    return Learned(
        logits=lambda split: logits(params, split),
        diverged=best.diverged,
        learning_rate=best.learning_rate,
        swept=best.swept,
        steps=trained.steps,
        parameters=costs.count_parameters(model),
        params=params,
    )


def _count(group: Any, text: Text) -> Learned:
    """An n-gram that has counted the whole text, one a seed."""
    model, fitted, asked_of = None, [], []
    for seed, world in text.world.items():
        said = telling.statements(world, order=seed, lesson_mentions=text.lesson_mentions)
        read = telling.sentences(world, said[(said >= 0) | text.lessons])
        # Sentences one behind the other, each without the stop before it, which ends the last one.
        tokens = read.tokens[:, 1:][read.weights > 0]
        model = models.build_language_model(group, vocab_size=world.vocab_size, max_length=1)
        fitted.append(ngram.fit(tokens, order=group.order, vocab_size=world.vocab_size))
        asked_of.append(world)
    assert model is not None
    ask = jax.jit(at_last(model))

    def logits(split: str) -> np.ndarray:
        found = []
        for params, world in zip(fitted, asked_of, strict=True):
            asked = telling.questions(world, split)
            found.append(np.asarray(ask(params, {'tokens': asked.tokens, 'last': asked.last})))
        return np.stack(found)

    return Learned(
        logits=logits,
        diverged=np.zeros(len(fitted), bool),
        learning_rate=0.0,
        swept={},
        steps=0,
        parameters=max(ngram.num_parameters(params) for params in fitted),
        params=fitted,
    )


def _right(answers: np.ndarray, asked: Questions) -> np.ndarray:
    """Whether each answer `[Q]` is the true one; of strangers none is."""
    return answers == asked.answers


def examine(
    logits: np.ndarray,
    asked: Questions,
    held_logits: np.ndarray,
    held: Questions,
    *,
    confident: float,
    bins: int,
) -> dict[str, Any]:
    """What a model's answers come to.

    The temperature is fitted on those validation questions that have a true answer. 'Sure' is an
    answer of a probability of at least `confident`; 'false' one that is neither true nor 'unknown'.

    Args:
      logits: to the test questions `[Q, V]`.
      asked: these.
      held_logits: to the validation questions.
      held: these.
      confident: a probability.
      bins: of calibration errors.

    Returns:
      `recall`: frequency to the share of facts told so often that are answered right;
      `confidence`: likewise, mean probability of the answer; of each kind `kind_recall`,
      `kind_confidence`, `surely_false` (share of all its questions), `false`, `declined` (share
      answered 'unknown'); `auroc`: of the probability, for taught against other questions;
      `auroc_right`: for right against other answers; `risk`: share of false answers at
      `COVERAGES`, the surest first; of the answers that are not 'unknown' `ece`, `ece_taught`,
      `ece_mass` (bins of equal mass) and `brier`, and with the `temperature` `ece_scaled`,
      `ece_taught_scaled`, `brier_scaled`; `bins`: of the reliability diagram, `raw` and `scaled`,
      ten of equal width: `confidence`, `accuracy`, `count`. NaN where there is nothing to measure.
    """
    answers, sure = said(logits)
    right = _right(answers, asked)
    declined = answers == UNKNOWN
    false = ~right & ~declined
    taught = asked.kinds == TAUGHT
    answerable = held.kinds != STRANGER
    temperature = calibration.fit_temperature(held_logits[answerable], held.answers[answerable])
    scaled = said(logits / temperature)[1]
    curve = calibration.risk_coverage(sure, right | declined)
    told = [int(f) for f in np.unique(asked.mentions[taught])]

    def by_kind(values: np.ndarray) -> dict[str, float]:
        return {kind: float(values[asked.kinds == i].mean()) for i, kind in enumerate(KINDS)}

    def by_frequency(values: np.ndarray) -> dict[str, float]:
        return {str(f): float(values[taught & (asked.mentions == f)].mean()) for f in told}

    def told_apart(positive: np.ndarray) -> float:
        mixed = 0 < positive.sum() < len(positive)
        return calibration.auroc(sure, positive) if mixed else float('nan')

    def over(measure: Callable[..., Any], p: np.ndarray, some: Any = True, **options: Any) -> Any:
        given = some & ~declined
        return measure(p[given], right[given], **options) if given.any() else float('nan')

    def errors(p: np.ndarray, some: Any = True, equal_mass: bool = False) -> float:
        ece = calibration.expected_calibration_error
        return over(ece, p, some, bins=bins, equal_mass=equal_mass)

    def diagram(p: np.ndarray) -> dict[str, list]:
        given = ~declined
        if not given.any():
            return {'confidence': [], 'accuracy': [], 'count': []}
        found = calibration.reliability(p[given], right[given], bins=10)
        return {name: getattr(found, name).tolist() for name in ('confidence', 'accuracy', 'count')}

    return {
        'recall': by_frequency(right),
        'confidence': by_frequency(sure),
        'kind_recall': by_kind(right),
        'kind_confidence': by_kind(sure),
        'surely_false': by_kind(false & (sure >= confident)),
        'false': by_kind(false),
        'declined': by_kind(declined),
        'auroc': told_apart(taught),
        'auroc_right': told_apart(right),
        'risk': [calibration.risk_at(curve, c) for c in COVERAGES],
        'ece': errors(sure),
        'ece_taught': errors(sure, taught),
        'ece_mass': errors(sure, equal_mass=True),
        'brier': over(calibration.brier_score, sure),
        'temperature': temperature,
        'ece_scaled': errors(scaled),
        'ece_taught_scaled': errors(scaled, taught),
        'brier_scaled': over(calibration.brier_score, scaled),
        'bins': {'raw': diagram(sure), 'scaled': diagram(scaled)},
    }


def said(logits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The likeliest word of each row `[Q]` and its probability `[Q]`, of logits `[Q, V]`."""
    p = special.softmax(np.asarray(logits, np.float64), axis=-1)
    return p.argmax(axis=-1), p.max(axis=-1)


def by_seed(examined: Sequence[dict[str, Any]], diverged: Sequence[bool]) -> dict[str, Any]:
    """Values of several seeds as lists, name by name; NaN of a run that diverged, or has none."""

    def join(values: list) -> Any:
        if isinstance(values[0], dict):
            names = dict.fromkeys(name for value in values for name in value)
            return {name: join([v.get(name, float('nan')) for v in values]) for name in names}
        if isinstance(values[0], list):
            return values
        return [float('nan') if d else v for v, d in zip(values, diverged, strict=True)]

    return join(list(examined))
