"""What a classifier says of texts, and how right it is."""

from typing import Any

import jax
import numpy as np

from nlp_models.adaptation.classifier import Classifier
from nlp_models.data.labelled import Labelled
from nlp_models.data.labelled_batches import labelled_evaluation_batches

BATCH_TOKENS = 4096  # read at once, about


def predict(
    model: Classifier, params: Any, texts: Labelled, *, length: int, rows: int = 0
) -> np.ndarray:
    """The probabilities of the classes of every text.

    Args:
      model: a classifier.
      params: its parameters.
      texts: in the order wanted.
      length: tokens that a text is cut to.
      rows: texts read at once; 0 for as many as have about 4096 tokens.

    Returns:
      `[N, C]` float32.
    """
    rows = rows or min(len(texts), max(1, BATCH_TOKENS // length))

    @jax.jit
    def probabilities(params: Any, batch: dict[str, Any]) -> jax.Array:
        logits = model.logits(
            params, batch['tokens'], lengths=batch['lengths'], segments=batch.get('segments')
        )
        return jax.nn.softmax(logits)

    read = [
        np.asarray(probabilities(params, {k: v for k, v in batch.items() if k not in _UNREAD}))
        for batch in labelled_evaluation_batches(texts, batch_size=rows, length=length)
    ]
    return np.concatenate(read)[: len(texts)]


_UNREAD = ('weights', 'targets')


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
