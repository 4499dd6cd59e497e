"""One text in several qualities: clean, noisy, filtered, full of copies, without them.

What is held out is never spoiled, and has nothing in common with what is trained on.
"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from ml_collections import ConfigDict

from nlp_models.analysis import datasets
from nlp_models.data import cleaning, corpora, duplicates, noise, quality
from nlp_models.data.corpora import SPLITS
from nlp_models.data.tokenizers import Tokenizer, learn_tokenizer
from nlp_models.errors import require

KINDS = ('clean', 'noisy', 'filtered', 'strict', 'sorted', 'duplicated', 'deduplicated')
"""The qualities of a text."""

SHARED = 13
"""Words in a row by which a text is known to be in another one, too: Brown et al. 2020, appendix C,
look for benchmarks in their training text by 13-grams."""

_SEPARATOR = '\n\n'


class Pieces(NamedTuple):
    """A text in pieces of some paragraphs.

    Attributes:
      train: to be trained on, in the order of the text.
      validation: held out.
      test: held out, too.
      left_out: pieces of validation and test that were left out, as the training text has `SHARED`
        of their words in a row.
      tokenizer: learned on the training text as it is, and the same for all that is made of it.
    """

    train: list[str]
    validation: list[str]
    test: list[str]
    left_out: int
    tokenizer: Tokenizer


class Made(NamedTuple):
    """A training text of some quality.

    Attributes:
      pieces: its pieces.
      ways: in which each was spoiled, '' where it was not; of copies, '' for all.
      table: of what cleaning did (`cleaning.Report.table`); empty where nothing was cleaned.
    """

    pieces: list[str]
    ways: list[str]
    table: list[tuple[str, int, int]]


def open_pieces(data: Any) -> Pieces:
    """Opens a text and cuts it into pieces.

    Args:
      data: with the fields that `corpora.open_corpus` reads, `tokenizer` and `vocab_size` (as
        `learn_tokenizer` takes them), and `piece`: the characters that a piece has at least, unless
        the document ends.

    Returns:
      The pieces; held-out ones that share `SHARED` words in a row with the training text are left
      out, and so are those with fewer words, of which nothing of the kind can be said.
    """
    corpus = corpora.open_corpus(data)
    cut = {split: _cut(corpus.stream(split), data.piece) for split in SPLITS}
    known = word_runs(cut['train'])
    kept = {
        split: [piece for piece in cut[split] if (own := word_runs([piece])) and not own & known]
        for split in ('validation', 'test')
    }
    held_out = len(cut['validation']) + len(cut['test'])
    return Pieces(
        cut['train'],
        **kept,
        left_out=held_out - sum(map(len, kept.values())),
        tokenizer=learn_tokenizer(data.tokenizer, cut['train'], data.vocab_size),
    )


def word_runs(texts: Iterable[str], size: int = SHARED) -> frozenset[int]:
    """All runs of words of some texts, normalized, by their hashes.

    Args:
      texts: pieces; no run goes on from one to the next.
      size: words of a run.

    Returns:
      64-bit hashes of the runs, alike within a process.
    """
    runs: set[int] = set()
    for text in texts:
        words = duplicates.normalized(text).split()
        runs.update(hash(tuple(words[i : i + size])) for i in range(len(words) - size + 1))
    return frozenset(runs)


def make(pieces: Pieces, kind: str, share: float, seed: int, making: Any) -> Made:
    """Makes a training text of some quality.

    - clean: as it is.
    - noisy: a share of the pieces is spoiled, in all the ways of `noise.NOISES`.
    - filtered: the noisy text without pieces and lines that are there before, and without pieces of
      too many words, or pairs of words, that the validation text has not.
    - strict: likewise, with a lower limit.
    - sorted: what of the noisy text is not spoiled, as if a filter knew.
    - duplicated: a share of the pieces are copies of a few.
    - deduplicated: the duplicated text, of each piece the first.

    Args:
      pieces: the text.
      kind: of `KINDS`.
      share: of the pieces that are spoiled, or copies.
      seed: which ones.
      making: `originals`, the pieces that are copied, and of each filter the share of trusted text
        that its limits would turn away (`quality.reference_rules`).

    Returns:
      The text.
    """
    require(kind in KINDS, 'kind of text', kind, f'must be one of {", ".join(KINDS)}')
    if kind == 'clean':
        return Made(pieces.train, [''] * len(pieces.train), [])
    if kind in ('duplicated', 'deduplicated'):
        made = noise.duplicate(pieces.train, share, seed, making.originals)
        ways = [''] * len(made)
        if kind == 'duplicated':
            return Made(made, ways, [])
        kept, report = cleaning.clean(made, rules=(), repeated='none', near=0.0)
    else:
        made, ways = noise.spoil(pieces.train, share, seed)
        if kind == 'noisy':
            return Made(made, ways, [])
        if kind == 'sorted':
            kept = [piece for piece, way in zip(made, ways, strict=True) if not way]
            return Made(kept, [''] * len(kept), [])
        rules = quality.reference_rules(pieces.validation, making[kind])
        kept, report = cleaning.clean(made, rules=rules, near=0.0)
    return Made(kept, [ways[number] for number in report.kept], report.table())


def join(texts: Sequence[str]) -> str:
    """Pieces as one text, blank lines between."""
    return _SEPARATOR.join(texts)


def made_once(
    data: Any, kind: str, share: float, seed: int, making: Any
) -> tuple[Made, np.ndarray]:
    """What `make` makes of a text, and its tokens, now or the first time it was asked for.

    Args:
      data: as in `open_pieces`.
      kind: as in `make`.
      share: likewise; of the clean text, which does not depend on it, 0.
      seed: likewise; of the clean text any.
      making: likewise.

    Returns:
      (the text, its tokens `[M]`).
    """
    seed = 0 if kind == 'clean' else seed
    group = dict(data=data, kind=kind, share=share, seed=seed, making=making)
    return datasets.load_once(_make, ConfigDict(group))


def shared_with(pieces: Pieces, texts: Iterable[Sequence[str]]) -> int:
    """How many runs of `SHARED` words of the held-out text are in any of some texts, too.

    Args:
      pieces: the text that is held out.
      texts: in pieces; those that they have in common are looked at once.

    Returns:
      A count, 0 where nothing is in both.
    """
    trained = word_runs(set().union(*texts))
    return len(word_runs([*pieces.validation, *pieces.test]) & trained)


def _make(group: Any) -> tuple[Made, np.ndarray]:
    pieces = datasets.load_once(open_pieces, group.data)
    made = make(pieces, group.kind, group.share, group.seed, group.making)
    return made, pieces.tokenizer.encode(join(made.pieces))


def _cut(texts: Iterable[str], shortest: int) -> list[str]:
    """Paragraphs put together until they are long enough; the end of a text ends a piece."""
    pieces = []
    for text in texts:
        held: list[str] = []
        for paragraph in filter(str.strip, text.split(_SEPARATOR)):
            held.append(paragraph.strip('\n'))
            if sum(map(len, held)) >= shortest:
                pieces.append(_SEPARATOR.join(held))
                held = []
        if held:
            pieces.append(_SEPARATOR.join(held))
    return pieces
