"""Texts that a model writes behind prompts, up to where a stop text begins."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from nlp_models.adaptation.likelihood import STATE_BYTES
from nlp_models.adaptation.pairs import encode, first_token
from nlp_models.data.pieces import Tokenizer
from nlp_models.embedding import BATCH_TOKENS
from nlp_models.errors import require
from nlp_models.generation.decoding import generate
from nlp_models.generation.prompts import state_bytes
from nlp_models.generation.sampling import Sampling
from nlp_models.types import Key, LanguageModel, Params

GREEDY = Sampling(temperature=0.0)


class Completions(NamedTuple):
    """What a model wrote.

    Attributes:
      texts: one for each prompt, without the stop text.
      truncated: which prompts were cut on the left, so that there was room to write `[N]`.
    """

    texts: list[str]
    truncated: np.ndarray


def complete(
    model: LanguageModel,
    params: Params,
    tokenizer: Tokenizer,
    prompts: Sequence[str],
    *,
    num_tokens: int,
    stop: Sequence[str] = (),
    sampling: Sampling = GREEDY,
    key: Key | None = None,
) -> Completions:
    """Go on with texts; prompts of similar length are read together.

    A text ends with `num_tokens` tokens, a token that the tokenizer says ends texts, or a stop
    text. Stop texts are looked for in the text, one after the other, so it does not matter how the
    model spells them.

    Args:
      model: any language model.
      params: its parameters.
      tokenizer: its tokenizer; prompts begin with the special tokens that it has.
      prompts: any texts.
      num_tokens: how many tokens to write, at most.
      stop: texts before which what is written is cut off.
      sampling: how tokens are drawn; the likeliest by default.
      key: random key, where anything is random; the same prompts are then drawn the same texts.

    Returns:
      The texts, in the order of the prompts.

    Raises:
      InputError: for a stop text that is empty or that the tokenizer cannot write, and more tokens
        than leave the model room for a prompt.
    """
    for text in stop:
        fine = text and len(tokenizer.encode(text))
        require(bool(fine), 'stop', text, f'must be a text that a {tokenizer.name} tokenizer has')
    limit = None
    if model.context is not None:
        limit = model.context - num_tokens
        should = f'must leave room for a prompt: the model reads at most {model.context} tokens'
        require(limit >= 1, 'num_tokens', num_tokens, should)
    ids = [encode(tokenizer, prompt) for prompt in prompts]
    ids = [each if len(each) else np.array([first_token(tokenizer)], np.int32) for each in ids]
    truncated = np.array([limit is not None and len(each) > limit for each in ids], bool)
    if limit is not None:
        ids = [each[-limit:] for each in ids]
    stops = [(end,) for end in tokenizer.ends]
    stops += [(*map(int, tokenizer.encode(text)),) for text in stop if ends_alone(text, stop)]

    texts = [''] * len(ids)
    order = np.argsort([-len(each) for each in ids], kind='stable')
    first = 0
    while first < len(order):
        longest = len(ids[order[first]]) + num_tokens
        fit = STATE_BYTES // max(1, state_bytes(model, params, 1, longest))
        fit = max(1, min(fit, BATCH_TOKENS // longest))
        rows = order[first : first + fit]
        filled = np.resize(rows, min(fit, 1 << (len(rows) - 1).bit_length()))  # few shapes
        written = generate(
            model,
            params,
            [ids[row] for row in filled],
            num_tokens=num_tokens,
            key=key,
            sampling=sampling,
            stop=stops,
            first_row=first,
        )
        for row, drawn in zip(rows, written, strict=False):
            known = drawn[drawn < tokenizer.vocab_size]  # a model's vocabulary may be larger
            texts[row] = cut(tokenizer.decode(known), stop)
        first += len(rows)
    return Completions(texts, truncated)


def cut(text: str, stop: Sequence[str]) -> str:
    """A text up to the first stop text, then up to the second, and so on."""
    for each in stop:
        text = text.split(each)[0]
    return text


def ends_alone(text: str, stop: Sequence[str]) -> bool:
    """Whether a stop text's tokens may end a text as soon as they are drawn.

    Not where another stop text, or the same once more, could share characters with it: then what is
    cut off hangs on what stands around these tokens.

    Args:
      text: one of the stop texts.
      stop: all of them.
    """
    for other in stop:
        if other != text and (other in text or text in other):
            return False
        for size in range(1, min(len(text), len(other))):
            if other.endswith(text[:size]) or text.endswith(other[:size]):
                return False
    return True
