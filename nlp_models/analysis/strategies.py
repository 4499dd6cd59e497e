"""Ways to learn classes from labelled texts, from cheap to rich, behind one signature.

    fit(samples, …) -> tell        tell(i, texts) -> what sample i's model says of texts, [N, C]

A sample is what one seed has to learn from. A bag of words and a logistic regression on a
pretrained encoder's vectors have one setting, the strength of their examples against the penalty;
networks have a learning rate.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import jax
import numpy as np

from nlp_models.adaptation import building
from nlp_models.analysis import bag_of_words, fine_tuning, logistic
from nlp_models.data.labelled import Labelled
from nlp_models.data.labelled_batches import labelled_batch
from nlp_models.data.pairs import encode_texts
from nlp_models.data.tokenizers import Tokenizer
from nlp_models.training import classifying, runs
from nlp_models.training.tasks.classification import classification

Tell = Callable[[int, Sequence[str]], np.ndarray]
Vectors = Callable[[Sequence[str]], np.ndarray]


class Sample(NamedTuple):
    """Labelled texts.

    Attributes:
      texts: N of them.
      targets: their classes `[N]`.
    """

    texts: Sequence[str]
    targets: np.ndarray


def as_labelled(sample: Sample, tokenizer: Tokenizer) -> Labelled:
    """A sample in a tokenizer's ids."""
    texts = list(sample.texts)
    return Labelled(
        first=encode_texts(texts, tokenizer, 'text'),
        second=None,
        targets=np.asarray(sample.targets, np.int32),
        texts=texts,
        second_texts=None,
        tokenizer=tokenizer,
    )


def kept_vectors(embed: Vectors) -> Vectors:
    """The same vectors, those of a text that was asked for before from memory."""
    known: dict[str, np.ndarray] = {}

    def vectors(texts: Sequence[str]) -> np.ndarray:
        new = [text for text in dict.fromkeys(texts) if text not in known]
        if new:
            known.update(zip(new, embed(new), strict=True))
        return np.stack([known[text] for text in texts])

    return vectors


def fit_bag(samples: Sequence[Sample], *, num_classes: int, strength: float) -> Tell:
    """Logistic regression on the words of texts (`bag_of_words`)."""
    with _one_thread():
        made = [
            bag_of_words.fit(s.texts, s.targets, num_classes=num_classes, strength=strength)
            for s in samples
        ]
    return lambda i, texts: made[i](texts)


def fit_frozen(
    samples: Sequence[Sample], vectors: Vectors, *, num_classes: int, strength: float
) -> Tell:
    """Logistic regression on the vectors of an encoder that stays as it is.

    Args:
      samples: what to learn from.
      vectors: `(texts) -> [N, D]`.
      num_classes: C.
      strength: see `logistic.fit`.
    """
    features = [vectors(s.texts) for s in samples]
    with _one_thread():
        made = [
            logistic.fit(some, s.targets, num_classes=num_classes, strength=strength)
            for some, s in zip(features, samples, strict=True)
        ]
    return lambda i, texts: made[i](vectors(texts))


def _one_thread() -> AbstractContextManager[Any]:
    """Linear algebra on one thread: of problems this small several wait for each other for long."""
    from threadpoolctl import threadpool_limits  # scikit-learn stands on it

    return threadpool_limits(1)


class Network(NamedTuple):
    """A network that starts from nothing.

    Attributes:
      model: a `model` group.
      tokenizer: of its texts.
      training: `batch_size`, `sequence_length`, `pooling`, `chunk`, `optimizer`.
      num_devices: see `runs.train`.
    """

    model: Any
    tokenizer: Tokenizer
    training: Any
    num_devices: int = 0


def fit_network(
    samples: Sequence[Sample],
    network: Network,
    *,
    num_classes: int,
    steps: int,
    rate: float,
    first_seed: int = 0,
) -> tuple[Tell, np.ndarray]:
    """Train one network on each sample, all at once.

    Args:
      samples: what to learn from; sample i has seed first_seed + i.
      network: what is trained.
      num_classes: C.
      steps: of each.
      rate: the learning rate, at its peak.
      first_seed: of fresh parameters and of the order of the texts.

    Returns:
      (tell, which of them diverged `[samples]`).
    """
    training = network.training
    built = building.build(
        network.model,
        vocab_size=network.tokenizer.vocab_size,
        max_length=training.sequence_length,
        num_classes=num_classes,
        pooling=training.pooling,
    )
    texts = [as_labelled(sample, network.tokenizer) for sample in samples]

    def draw(seed: int, first: int, count: int) -> dict[str, np.ndarray]:
        mine = texts[seed - first_seed]
        size, length = training.batch_size, training.sequence_length
        rows = [
            labelled_batch(mine, batch_size=size, length=length, seed=seed, step=step)
            for step in range(first, first + count)
        ]
        return {name: np.stack([row[name] for row in rows]) for name in rows[0]}

    trained = runs.train(
        built.init,
        classification(built),
        training.optimizer,
        runs.grid(range(first_seed, first_seed + len(samples)), (rate,)),
        draw,
        steps=steps,
        chunk=training.chunk,
        num_devices=network.num_devices,
    )
    predict = classifying.make_predict(built)

    def tell(i: int, some: Sequence[str]) -> np.ndarray:
        params = jax.tree.map(lambda leaf: leaf[i], trained.params)
        asked = as_labelled(Sample(some, np.zeros(len(some))), network.tokenizer)
        return predict(params, asked, length=training.sequence_length)

    return tell, trained.diverged


def fit_full(
    samples: Sequence[Sample],
    method: fine_tuning.Method,
    tokenizer: Tokenizer,
    training: Any,
    *,
    steps: int,
    rate: float,
    first_seed: int = 0,
) -> tuple[Tell, np.ndarray]:
    """Fine-tune all parameters of a pretrained encoder on each sample, one after the other.

    Args:
      samples: what to learn from; sample i has seed first_seed + i.
      method: of `fine_tuning.prepare`.
      tokenizer: of the encoder.
      training: as there.
      steps: of each.
      rate: the learning rate, at its peak.
      first_seed: of the head's fresh parameters and of the order of the texts.

    Returns:
      (tell, which of them diverged `[samples]`).
    """
    fitted = [
        fine_tuning.fit(
            method, as_labelled(sample, tokenizer), training, seed=seed, steps=steps, rate=rate
        )
        for seed, sample in enumerate(samples, first_seed)
    ]

    def tell(i: int, some: Sequence[str]) -> np.ndarray:
        asked = as_labelled(Sample(some, np.zeros(len(some))), tokenizer)
        return method.predict(fitted[i].params, asked, length=training.sequence_length)

    return tell, np.array([each.diverged for each in fitted])


def pick_strength(
    fit: Callable[[float], Tell], held_out: Sample, strengths: Sequence[float]
) -> tuple[float, dict[str, float]]:
    """The strength with which a pilot sample's model is most accurate on held-out texts.

    Args:
      fit: `(strength) -> tell`, of one sample.
      held_out: texts that nothing else is decided by.
      strengths: the first of equals is taken.

    Returns:
      (strength, strength to accuracy).
    """
    picked = logistic.pick(
        lambda strength: lambda texts: fit(strength)(0, texts),
        held_out.texts,
        np.asarray(held_out.targets),
        strengths,
    )
    return picked.strength, picked.swept
