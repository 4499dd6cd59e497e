"""What a classifier says of texts, and how right it is."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from nlp_models.adaptation.classifier import Classifier
from nlp_models.data.labelled import Labelled
from nlp_models.data.labelled_batches import labelled_evaluation_batches

BATCH_TOKENS = 4096  # read at once, about


Predict = Callable[..., np.ndarray]


def make_predict(model: Classifier) -> Predict:
    """Make `(params, texts, *, length, rows=0) -> probabilities`, compiled once for a width.

    Args:
      model: a classifier.

    Returns:
      A function of its parameters, the texts (`Labelled`), how many tokens a text is cut to, and
      how many are read at once (0: as many as have about 4096 tokens), to the probabilities of the
      classes of every text in their order, `[N, C]` float32.
    """

    @jax.jit
    def probabilities(params: Any, batch: dict[str, Any]) -> jax.Array:
        logits = model.logits(
            params, batch['tokens'], lengths=batch['lengths'], segments=batch.get('segments')
        )
        return jax.nn.softmax(logits)

    def predict(params: Any, texts: Labelled, *, length: int, rows: int = 0) -> np.ndarray:
        rows = rows or max(1, BATCH_TOKENS // length)
        read = [
            np.asarray(probabilities(params, {k: v for k, v in batch.items() if k in _READ}))
            for batch in labelled_evaluation_batches(texts, batch_size=rows, length=length)
        ]
        return np.concatenate(read)[: len(texts)]

    return predict


def log_loss(probabilities: np.ndarray, targets: np.ndarray) -> float:
    """−log p(right class), the mean over texts, in nats."""
    right = probabilities[np.arange(len(targets)), targets]
    return float(-np.log(np.maximum(right, np.finfo(np.float32).tiny)).mean())


_READ = ('tokens', 'lengths', 'segments')


def scores(targets: np.ndarray, predicted: np.ndarray, num_classes: int) -> dict[str, float]:
    """How right predictions are.

        F1_c = 2 TP / (2 TP + FP + FN),   macro F1 = mean over the classes there are

    Args:
      targets: the right classes `[N]`.
      predicted: those said `[N]`.
      num_classes: C.

    Returns:
      `accuracy`; `macro_f1`, over the classes that are right or said somewhere (0 for one of which
      none was found); `majority`, the share of the commonest right class; `examples`, N.
    """
    table = np.zeros((num_classes, num_classes), np.int64)
    np.add.at(table, (targets, predicted), 1)
    hits, right, said = np.diagonal(table), table.sum(axis=1), table.sum(axis=0)
    present = right + said > 0
    f1 = 2 * hits[present] / (right + said)[present]
    return {
        'accuracy': float(hits.sum() / len(targets)),
        'macro_f1': float(f1.mean()),
        'majority': float(right.max() / len(targets)),
        'examples': len(targets),
    }
