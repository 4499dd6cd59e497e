"""A run made to write: from a prompt, or from a source and its own first token."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from nlp_models.adaptation.classifier import Classifier
from nlp_models.data.pairs import begin_id, end_id
from nlp_models.errors import InputError, require
from nlp_models.generation.beam_search import beam_search
from nlp_models.generation.decoding import stream
from nlp_models.generation.prompts import state_bytes
from nlp_models.generation.sampling import Sampling
from nlp_models.generation.text import pieces_of_text
from nlp_models.training.trained import Trained
from nlp_models.types import Key, LanguageModel, Seq2Seq


class Start(NamedTuple):
    """Where writing begins.

    Attributes:
      prompt: token ids.
      condition: what the model is conditioned on besides.
      ends: the tokens any of which ends a text.
      shown: what the user is shown before the text.
    """

    prompt: np.ndarray
    condition: dict[str, np.ndarray]
    ends: tuple[int, ...]
    shown: str


def make_start(run: Trained, *, prompt: str, source: str | None) -> Start:
    """Turn what the user gave into tokens.

    Args:
      run: the model.
      prompt: of a language model.
      source: of a sequence-to-sequence model.

    Returns:
      The start.

    Raises:
      InputError: for a model that does not write, a source that is missing or that there is no use
        for, or one that is empty or too long.
    """
    model, tokenizer = run.model, run.tokenizer
    if isinstance(model, LanguageModel):
        require(source is None, 'source', source, 'is for sequence-to-sequence models')
        ids = tokenizer.frame(tokenizer.encode(prompt))
        return Start(np.asarray(ids, np.int32), {}, tokenizer.ends, prompt)
    if not isinstance(model, Seq2Seq):
        kind = 'a classifier' if isinstance(model, Classifier) else 'an encoder'
        raise InputError(f'the model is {kind}: it reads, and does not write')
    if source is None:
        raise InputError('source is missing: the model needs a text to read')
    ids = np.asarray(tokenizer.encode(source), np.int32)
    require(len(ids) > 0, 'source', source, 'must hold at least one token')
    limit = model.source_context
    if limit is not None:
        require(
            len(ids) <= limit,
            'source',
            source[:40],
            f'has {len(ids)} tokens: the model reads at most {limit}',
        )
    condition = {'source': ids[None], 'source_lengths': np.array([len(ids)], np.int32)}
    prompt_ids = np.array([begin_id(tokenizer)], np.int32)
    return Start(prompt_ids, condition, (end_id(tokenizer),), '')


def describe_state(run: Trained, start: Start, num_tokens: int) -> str:
    """How much the model keeps of the text."""
    length = len(start.prompt) + max(num_tokens, 0)  # `write` refuses fewer
    if run.model.context is not None:
        length = min(length, run.model.context)
    size = state_bytes(run.model, run.params, 1, length, start.condition)
    return f'State for {length} tokens: {size:,} bytes'


def write(
    run: Trained,
    start: Start,
    *,
    num_tokens: int,
    key: Key,
    sampling: Sampling,
    stop: Sequence[str] = (),
    every: int = 8,
) -> Iterator[str]:
    """The text, in pieces as it comes.

    Args:
      run: the model.
      start: where it begins.
      num_tokens: how many to add, at most.
      key: random key.
      sampling: how tokens are drawn.
      stop: texts that end it.
      every: tokens between two pieces.

    Returns:
      The pieces.

    Raises:
      InputError: for a prompt that is empty or too long, or a setting out of range; at once.
    """
    _check_stop(stop)
    tokens = stream(
        run.model,
        run.params,
        start.prompt,
        num_tokens=num_tokens,
        every=every,
        key=key,
        sampling=sampling,
        stop=tuple((end,) for end in start.ends),
        condition=start.condition,
    )
    return pieces_of_text(tokens, run.tokenizer, stop, before=start.prompt)


def write_by_beams(
    run: Trained,
    start: Start,
    *,
    num_tokens: int,
    num_beams: int,
    length_penalty: float,
    stop: Sequence[str] = (),
) -> str:
    """The likeliest text that beam search finds.

    Args:
      run: the model.
      start: where it begins.
      num_tokens: how many to add, at most.
      num_beams: how many texts are kept at a time.
      length_penalty: α.
      stop: texts before which what is found is cut off.

    Returns:
      The text; of several ends that a model knows, beams end with the first.

    Raises:
      InputError: for a model whose texts have no end, and as `write`.
    """
    _check_stop(stop)
    if not start.ends:
        raise InputError('num_beams needs a model whose texts have an end: this one has no such')
    (found,) = beam_search(
        run.model,
        run.params,
        [start.prompt],
        num_beams=num_beams,
        num_tokens=num_tokens,
        end=start.ends[0],
        length_penalty=length_penalty,
        condition=start.condition,
    )
    return ''.join(pieces_of_text(found.tokens[:1], run.tokenizer, stop, before=start.prompt))


def _check_stop(stop: Sequence[str]) -> None:
    for text in stop:
        require(len(text) > 0, 'stop', text, 'must not be empty')
