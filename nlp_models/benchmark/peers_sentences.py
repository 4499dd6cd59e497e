"""sentence-transformers' side of the row about vectors."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from nlp_models.benchmark.peers_torch import load


def encode(folder: Path, texts: list[str]) -> Callable[[], np.ndarray]:
    """`SentenceTransformer.encode` in its default batches, sorted by length as it does itself.

    Args:
      folder: of the model.
      texts: to turn into vectors.

    Returns:
      A call that gives `[N, D]`.
    """
    _, device = load()
    from sentence_transformers import SentenceTransformer  # pyright: ignore[reportMissingImports]

    model = SentenceTransformer(str(folder), device=device, local_files_only=True)

    def call() -> np.ndarray:
        return model.encode(texts, convert_to_numpy=True, show_progress_bar=False)

    return call
