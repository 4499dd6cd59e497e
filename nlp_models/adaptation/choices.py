"""What a model says of several possible answers to each question."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from nlp_models.adaptation.likelihood import score_pairs
from nlp_models.adaptation.pairs import encode_pair
from nlp_models.data.pieces import Tokenizer
from nlp_models.types import LanguageModel, Params


class Scores(NamedTuple):
    """What a model says of choices `[N, C]`; C is the most that any context has.

    Attributes:
      log_likelihoods: log p(choice | context) in nats, float64; −∞ past a context's own choices.
      tokens: how many tokens each was scored by; 0 past a context's own choices, as are the others.
      bytes: its length in UTF-8.
      characters: its length in Unicode characters.
      greedy: whether each of its tokens was the likeliest one.
      truncated: `[N]`, whether the context was cut on the left for one of its choices.
    """

    log_likelihoods: np.ndarray
    tokens: np.ndarray
    bytes: np.ndarray
    characters: np.ndarray
    greedy: np.ndarray
    truncated: np.ndarray


def score_choices(
    model: LanguageModel,
    params: Params,
    tokenizer: Tokenizer,
    contexts: Sequence[str],
    choices: Sequence[Sequence[str]],
) -> Scores:
    """Log p(choice | context) for several choices of each context.

    Args:
      model: any language model.
      params: its parameters.
      tokenizer: its tokenizer; `pairs.encode_pair` says where context and choice are parted.
      contexts: N texts.
      choices: of each, at least one text.

    Returns:
      The scores.

    Raises:
      InputError: for a choice without a token, or one longer than the model can read.
    """
    pairs = [
        encode_pair(tokenizer, context, choice)
        for context, several in zip(contexts, choices, strict=True)
        for choice in several
    ]
    scored = score_pairs(model, params, pairs)
    shape = len(contexts), max((len(several) for several in choices), default=0)
    place = np.arange(shape[1]) < np.array([len(several) for several in choices], int)[:, None]
    texts = [choice for several in choices for choice in several]

    def table(values: Sequence | np.ndarray, elsewhere: Any, dtype: type) -> np.ndarray:
        made = np.full(shape, elsewhere, dtype)
        made[place] = values
        return made

    truncated = np.any(table(scored.truncated, False, bool), axis=1)
    return Scores(
        log_likelihoods=table(scored.log_likelihoods, -np.inf, np.float64),
        tokens=table([len(pair.continuation) for pair in pairs], 0, np.int64),
        bytes=table([len(text.encode()) for text in texts], 0, np.int64),
        characters=table([len(text) for text in texts], 0, np.int64),
        greedy=table(scored.greedy, False, bool),
        truncated=truncated,
    )
