"""Any language model of ours for EleutherAI's `lm-evaluation-harness` (the extra `harness`).

    from nlp_models.adaptation.harness import HarnessLM

    results = lm_eval.simple_evaluate(HarnessLM(model, params, tokenizer), tasks=['lambada_openai'])

What is computed are the three functions here, which need nothing of that package; the class, which
is made when it is first asked for, hands its requests to them. The numbers are those that the
package's own `hf` backend has for the same weights and the same tokenizer, its conventions with
them: how texts are parted into tokens (`pairs.encode_pair`), what is cut off, and that a text that
is scored whole begins with the token that texts begin with even where the tokenizer puts one there.
"""

import functools
import hashlib
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from nlp_models.adaptation.completions import complete
from nlp_models.adaptation.likelihood import score_pairs
from nlp_models.adaptation.pairs import Pair, encode, encode_pair, first_token
from nlp_models.data.pieces import Tokenizer
from nlp_models.errors import InputError, require
from nlp_models.generation.sampling import Sampling
from nlp_models.types import LanguageModel, Params

MOST_TOKENS = 256  # that are written where a task does not say it, as with the `hf` backend
_MOST = ('max_gen_toks', 'max_new_tokens', 'max_tokens', 'max_completion_tokens')
_SAMPLING = ('top_k', 'top_p', 'min_p', 'repetition_penalty')


def loglikelihood(
    model: LanguageModel,
    params: Params,
    tokenizer: Tokenizer,
    requests: Sequence[tuple[str, str]],
    *,
    first: int | None = None,
) -> list[tuple[float, bool]]:
    """The probability of continuations, and whether greedy decoding would give them.

    Args:
      model: the model.
      params: its parameters.
      tokenizer: its tokenizer.
      requests: contexts and continuations.
      first: the token that stands before a continuation without a context; `pairs.first_token` by
        default.

    Returns:
      For each, log p(continuation | context) in nats, and whether every token was the likeliest.
    """
    pairs = [encode_pair(tokenizer, *request, first) for request in requests]
    scored = score_pairs(model, params, pairs)
    return [
        (float(nats), bool(greedy))
        for nats, greedy in zip(scored.log_likelihoods, scored.greedy, strict=True)
    ]


def loglikelihood_rolling(
    model: LanguageModel,
    params: Params,
    tokenizer: Tokenizer,
    texts: Sequence[str],
    *,
    first: int | None = None,
) -> list[float]:
    """The probability of whole texts, every token predicted once, from all that fits before it.

    Args:
      model: the model.
      params: its parameters.
      tokenizer: its tokenizer.
      texts: any.
      first: the token that stands before a text; `pairs.first_token` by default.

    Returns:
      For each, log p in nats; 0 for a text without a token.
    """
    first = first_token(tokenizer) if first is None else first
    windows = [rolling_pairs(encode(tokenizer, text), first, model.context) for text in texts]
    scored = score_pairs(model, params, [pair for each in windows for pair in each])
    ends = np.cumsum([0, *map(len, windows)])
    nats = scored.log_likelihoods
    return [float(nats[a:b].sum()) for a, b in itertools.pairwise(ends)]


def rolling_pairs(ids: np.ndarray, first: int, limit: int | None) -> list[Pair]:
    """Cut a text into windows, of which each scores what the one before it has not.

    The first window predicts as many tokens as the model can read, the next ones as many again;
    the last one is as long as the others and so has more to predict its tokens from.

    Args:
      ids: the text's tokens.
      first: the token before it.
      limit: tokens that the model reads; None for no bound, and one window.

    Returns:
      Contexts and continuations; the continuations together are the text.
    """
    size = len(ids) if limit is None else limit
    whole = np.concatenate([[first], ids]).astype(np.int32)
    pairs = []
    for begin in range(0, len(ids), max(1, size)):
        end = min(begin + size, len(ids))  # of what is predicted
        start = max(0, end - size)  # of what is read; in `whole`, a token further on
        pairs.append(Pair(whole[start : begin + 1], whole[begin + 1 : end + 1]))
    return pairs


def generate_until(
    model: LanguageModel,
    params: Params,
    tokenizer: Tokenizer,
    requests: Sequence[tuple[str, Mapping[str, Any]]],
    *,
    seed: int = 0,
) -> list[str]:
    """What the model writes behind contexts, up to a stop text.

    Args:
      model: the model.
      params: its parameters.
      tokenizer: its tokenizer.
      requests: contexts, and how to go on: `until`, a text or several; `max_gen_toks`, 256 by
        default; `do_sample` and `temperature` (greedy without them), `top_k`, `top_p`, `min_p`,
        `repetition_penalty`.
      seed: of what is drawn.

    Returns:
      The texts, without the stop text.

    Raises:
      InputError: for a setting of another name, and as `completions.complete`.
    """
    texts = [''] * len(requests)
    settings = [_how(how) for _, how in requests]
    for how in dict.fromkeys(settings):
        rows = [row for row, other in enumerate(settings) if other == how]
        stop, num_tokens, sampling = how
        written = complete(
            model,
            params,
            tokenizer,
            [requests[row][0] for row in rows],
            num_tokens=num_tokens,
            stop=stop,
            sampling=sampling,
            key=None if sampling.greedy else jax.random.key(seed),
        )
        for row, text in zip(rows, written.texts, strict=True):
            texts[row] = text
    return texts


def _how(given: Mapping[str, Any]) -> tuple[tuple[str, ...], int, Sampling]:
    """Stop texts, the most tokens, and how they are drawn."""
    known = ('until', 'do_sample', 'temperature', *_MOST, *_SAMPLING)
    for name in given:
        require(name in known, 'generation setting', name, f'must be one of {", ".join(known)}')
    until = given.get('until') or []
    stop = tuple(text for text in ([until] if isinstance(until, str) else until) if text)
    most = next((int(given[name]) for name in _MOST if given.get(name) is not None), MOST_TOKENS)
    heat = float(given.get('temperature') or 0.0)
    if given.get('do_sample') is False:
        heat = 0.0
    others = {name: given[name] for name in _SAMPLING if given.get(name) is not None}
    return stop, most, Sampling(temperature=heat, **others)


@functools.cache
def _harness_class() -> type:
    """The class, where the package is installed."""
    try:
        from lm_eval.api.model import LM  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise InputError(
            'HarnessLM needs the package lm_eval, which is not installed: '
            "pip install -e '.[harness]'"
        ) from error

    class HarnessLM(LM):
        """A language model of ours as the harness wants it."""

        def __init__(
            self,
            model: LanguageModel,
            params: Params,
            tokenizer: Tokenizer,
            *,
            first: int | None = None,
            seed: int = 0,
        ):
            """Keep the model.

            Args:
              model: the model.
              params: its parameters.
              tokenizer: its tokenizer.
              first: the token before a text or a continuation that nothing stands before;
                `pairs.first_token` by default.
              seed: of what is drawn, where a task draws.
            """
            super().__init__()
            self.model, self.params, self.tokenizer = model, params, tokenizer
            self.first, self.seed = first, seed

        def loglikelihood(self, requests: Any) -> list[tuple[float, bool]]:
            """`harness.loglikelihood` of the requests' arguments."""
            asked = [request.args for request in requests]
            return self._kept('loglikelihood', asked, loglikelihood(*self._ours, asked, **self._at))

        def loglikelihood_rolling(self, requests: Any) -> list[float]:
            """`harness.loglikelihood_rolling` of the requests' texts."""
            asked = [request.args for request in requests]
            texts = [text for (text,) in asked]
            found = loglikelihood_rolling(*self._ours, texts, **self._at)
            return self._kept('loglikelihood_rolling', asked, found)

        def generate_until(self, requests: Any) -> list[str]:
            """`harness.generate_until` of the requests' arguments."""
            asked = [request.args for request in requests]
            found = generate_until(*self._ours, asked, seed=self.seed)
            return self._kept('generate_until', asked, found)

        @property
        def tokenizer_name(self) -> str:
            """What the harness tells caches of different tokenizers apart by: kind and digest."""
            digest = hashlib.sha256(self.tokenizer.to_json().encode()).hexdigest()
            return f'{self.tokenizer.name}-{digest[:12]}'

        @property
        def _ours(self) -> tuple[LanguageModel, Params, Tokenizer]:
            return self.model, self.params, self.tokenizer

        @property
        def _at(self) -> dict[str, int | None]:
            return {'first': self.first}

        def _kept(self, name: str, asked: list, found: list) -> list:
            """The answers, which the harness may want to keep."""
            for arguments, answer in zip(asked, found, strict=True):
                self.cache_hook.add_partial(name, arguments, answer)
            return found

    return HarnessLM


def __getattr__(name: str) -> Any:
    """`HarnessLM`, when it is asked for."""
    if name == 'HarnessLM':
        return _harness_class()
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
