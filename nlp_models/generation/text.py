"""Text that comes as it is drawn: tokens to characters, cut where a stop text begins."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from nlp_models.data.tokenizers import Tokenizer

UNFINISHED = '\ufffd'  # what bytes that are no character (yet) decode to


def pieces_of_text(
    tokens: Iterable[np.ndarray],
    tokenizer: Tokenizer,
    stop: Sequence[str] = (),
    before: Sequence[int] | np.ndarray = (),
) -> Iterator[str]:
    """The text of tokens that come in pieces.

    A character whose bytes have not all come is held back, and so is what may be the beginning of
    a stop text.

    Args:
      tokens: pieces of token ids, as `decoding.stream` gives them.
      tokenizer: decodes them.
      stop: texts that end it; neither they nor what follows is given.
      before: token ids of the text that this one goes on from: a tokenizer may put a blank between
        two tokens, or leave one out where a text begins.

    Yields:
      Pieces, none of them empty; together they are the text.
    """
    ids, told = np.asarray(before, np.int32), 0
    begin, text = len(_decode(tokenizer, ids)), ''
    for piece in tokens:
        ids = np.concatenate([ids, piece])
        text = _decode(tokenizer, ids)[begin:]
        ends = [at for each in stop if (at := text.find(each)) >= 0]
        if ends:
            if min(ends) > told:
                yield text[told : min(ends)]
            return
        whole = text.rstrip(UNFINISHED)
        sure = max(told, len(whole) - max((_begun(whole, each) for each in stop), default=0))
        if sure > told:
            yield text[told:sure]
            told = sure
    if len(text) > told:
        yield text[told:]


def _decode(tokenizer: Tokenizer, ids: np.ndarray) -> str:
    """The text of those tokens that the tokenizer has: a model's vocabulary may be larger."""
    return tokenizer.decode(ids[ids < tokenizer.vocab_size])


def _begun(text: str, stop: str) -> int:
    """How many characters at the end of a text a stop text begins with."""
    return next((n for n in range(len(stop) - 1, 0, -1) if text.endswith(stop[:n])), 0)
