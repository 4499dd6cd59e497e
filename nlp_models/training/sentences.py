"""Lines of a file to vectors in a file: what `experiments.embed` does."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from nlp_models.embedding import embed_texts
from nlp_models.errors import InputError
from nlp_models.pretrained.sentences import Sentences
from nlp_models.training.sources import load_source
from nlp_models.types import TextEncoder

DEFAULT = Sentences(pooling='mean', normalize=True, max_length=None)


def read_lines(path: str) -> list[str]:
    """The lines of a text file.

    Raises:
      InputError: where it cannot be read, is not UTF-8, has no line or an empty one.
    """
    try:
        text = Path(path).read_text(encoding='utf-8-sig')
    except OSError as error:
        raise InputError(f'input {path} cannot be read: {error.strerror}') from error
    except UnicodeDecodeError as error:
        raise InputError(f'input {path} is not UTF-8: byte {error.start}') from error
    if not text:
        raise InputError(f'input {path} is empty: it needs a sentence a line')
    lines = text.removesuffix('\n').split('\n')  # not at what else may end a line on a screen
    for number, line in enumerate(lines, 1):
        if not line.strip():
            raise InputError(f'input {path}, line {number} is empty: it needs a sentence a line')
    return lines


def writer(path: str) -> Callable[[list[str], np.ndarray], None]:
    """What writes texts and their vectors to a file, by the end of its name.

    Args:
      path: FILE.npy for one array `[N, D]`, FILE.jsonl for an object with `text` and `vector` a
        line.

    Returns:
      `(texts, vectors) -> None`.

    Raises:
      InputError: for another ending, or a place that cannot be written.
    """
    target = Path(path)
    if target.suffix not in ('.npy', '.jsonl'):
        raise InputError(f'output is {path!r}: it must end in .npy or .jsonl')
    if not target.parent.is_dir():
        raise InputError(f'output {path} cannot be written: there is no folder {target.parent}')
    if target.is_dir() or not os.access(target.parent, os.W_OK):
        raise InputError(
            f'output {path} cannot be written: it is a folder, or its folder is locked'
        )

    def write(texts: list[str], vectors: np.ndarray) -> None:
        partial = target.with_name(target.name + '.partial')
        with partial.open('wb') as file:
            if target.suffix == '.npy':
                np.save(file, vectors)
            else:
                for text, vector in zip(texts, vectors.tolist(), strict=True):
                    line = json.dumps({'text': text, 'vector': vector}, ensure_ascii=False)
                    file.write(line.encode() + b'\n')
        partial.replace(target)

    return write


def embed_lines(
    model: str, lines: list[str], *, pooling: str | None = None, normalize: bool | None = None
) -> np.ndarray:
    """Vectors of lines by a pretrained or trained encoder.

    Args:
      model: what `sources.load_source` reads.
      lines: texts.
      pooling: None for what the model says, or 'mean'.
      normalize: None for what the model says, or True.

    Returns:
      `[N, D]` float32.

    Raises:
      InputError: for a model that is none or no encoder, and as `embed_texts`.
    """
    source = load_source(model)
    built = source.build()
    if not isinstance(built, TextEncoder):
        raise InputError(f'model {model} is no encoder: it has no vectors for whole sentences')
    said = source.sentences or DEFAULT
    return embed_texts(
        built,
        source.params,
        source.tokenizer,
        lines,
        pooling=pooling or said.pooling,
        normalize=said.normalize if normalize is None else normalize,
        max_length=said.max_length,
        lower=said.lower,
    )
