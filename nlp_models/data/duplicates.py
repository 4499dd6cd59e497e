"""What is in a text more than once: documents, parts of them, and what is nearly the same.

Equal texts are found by the hash of what is left when case, digits, punctuation and accents do not
count. Nearly equal ones are found by MinHash and locality-sensitive hashing, through the library
`datasketch`, and then compared in full.
"""

import hashlib
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from nlp_models.errors import InputError, require

SHINGLE = 5
"""Words of a shingle: Lee et al. 2022 ("Deduplicating Training Data Makes Language Models
Better", section 4.2) compare documents by their 5-grams, and call them duplicates at 0.8."""


PARTS = {'lines': '\n', 'paragraphs': '\n\n'}
"""Parts of a document and what stands between them."""


class _Normal(dict[int, str]):
    """What becomes of each character; told apart when it is first met."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        match unicodedata.category(character):
            case 'Nd':
                kept = '0'
            # Punctuation, symbols (which code has for punctuation) and accents.
            case category if category[0] in 'PS' or category == 'Mn':
                kept = ''
            case _:
                kept = character
        self[code] = kept
        return kept


_NORMAL = _Normal()


class NearDuplicates(NamedTuple):
    """Which documents are nearly the same as which.

    Attributes:
      first: `[documents]` int64: of each document the first of its cluster, which may be itself.
      pairs: (i, j, Jaccard similarity), i < j, of all pairs found at the threshold or above.
      candidates: pairs that were compared in full to find them.
    """

    first: np.ndarray
    pairs: list[tuple[int, int, float]]
    candidates: int


def normalized(text: str) -> str:
    """A text as it is compared: of two that are equal then, one is superfluous.

    Lower case, every digit 0, no punctuation, no accents (Wenzek et al. 2020, "CCNet", section
    3.1), and one blank for any run of blanks.

    Args:
      text: any.

    Returns:
      What is left of it.
    """
    apart = unicodedata.normalize('NFD', text.lower())
    return ' '.join(apart.translate(_NORMAL).split())


def exact_duplicates(documents: Sequence[str]) -> np.ndarray:
    """Of each document the first that is the same, normalized; a text of nothing is like no other.

    Args:
      documents: the texts.

    Returns:
      `[documents]` int64, the document's own number where it is the first.
    """
    seen: dict[bytes, int] = {}
    first = np.arange(len(documents))
    for number, document in enumerate(documents):
        if content := normalized(document):
            first[number] = seen.setdefault(_digest(content), number)
    return first


def drop_repeated(
    documents: Sequence[str], part: str = 'lines', *, shortest: int = 20
) -> list[str]:
    """Takes out every line, or paragraph, that has stood before, in the same document or earlier.

    Args:
      documents: the texts.
      part: of `PARTS`: lines, or paragraphs, which blank lines part.
      shortest: characters that a line or paragraph has, normalized, to be taken out: shorter ones,
        such as headings, are repeated for good reasons.

    Returns:
      As many texts; one of which nothing is left is ''.

    Raises:
      InputError: for another kind of part.
    """
    require(part in PARTS, 'part', part, f'must be one of {", ".join(PARTS)}')
    seen: set[bytes] = set()
    left = []
    for document in documents:
        parts = []
        for one in document.split(PARTS[part]):
            content = normalized(one)
            if len(content) >= shortest:
                digest = _digest(content)
                if digest in seen:
                    continue
                seen.add(digest)
            parts.append(one)
        text = PARTS[part].join(parts).strip('\n')
        left.append(text if text.strip() else '')
    return left


def shingles(text: str, size: int = SHINGLE) -> frozenset[str]:
    """The runs of words of a text, normalized; of a shorter text, all its words as one run.

    Args:
      text: the document.
      size: words of a run.

    Returns:
      The runs; none of a text without words.
    """
    words = normalized(text).split()
    runs = [' '.join(words[i : i + size]) for i in range(len(words) - size + 1)]
    return frozenset(runs or ([' '.join(words)] if words else []))


def jaccard(first: frozenset[Any], second: frozenset[Any]) -> float:
    """|A ∩ B| / |A ∪ B|, the Jaccard similarity; 0 of two empty sets, which say nothing."""
    union = len(first | second)
    return len(first & second) / union if union else 0.0


def signature(items: Iterable[str], permutations: int, seed: int = 1) -> Any:
    """The MinHash of a set: of each of many random orders the item that comes first (Broder 1997).

    The share of orders in which two sets agree estimates their Jaccard similarity J, with a
    standard deviation of √(J (1 − J) / permutations).

    Args:
      items: the set, not empty.
      permutations: orders.
      seed: of the orders.

    Returns:
      A `datasketch.MinHash`.

    Raises:
      InputError: where datasketch is not installed.
    """
    made = _datasketch().MinHash(num_perm=permutations, seed=seed)
    made.update_batch([item.encode() for item in items])
    return made


def near_duplicates(
    documents: Sequence[str],
    *,
    threshold: float = 0.8,
    size: int = SHINGLE,
    permutations: int = 128,
    bands: tuple[int, int] | None = None,
    seed: int = 1,
) -> NearDuplicates:
    """Finds documents that share most of their shingles.

    Signatures are cut into b bands of r rows; two documents that agree in any whole band become a
    candidate, which happens with a probability of 1 − (1 − J^r)^b (Leskovec et al. 2020, "Mining
    of Massive Datasets", section 3.4). Candidates are then compared by their shingles themselves,
    so no pair below the threshold is found; some above it may be missed. Pairs are joined to
    clusters: two documents of one may be less similar than the threshold, when others connect them.

    Args:
      documents: the texts; one without words is like no other.
      threshold: the Jaccard similarity, in (0, 1], from which two documents are nearly the same.
      size: words of a shingle.
      permutations: length of a signature.
      bands: (b, r), at most `permutations` in all; None for what misses few pairs at the threshold.
      seed: of the signatures.

    Returns:
      The clusters, by their first documents.

    Raises:
      InputError: for a threshold outside (0, 1], or where datasketch is not installed.
    """
    require(0 < threshold <= 1, 'threshold', threshold, 'must be above 0 and at most 1')
    library = _datasketch()
    # Candidates cost a comparison, while a pair that is missed stays: so misses weigh nine times.
    choice: dict[str, Any] = {'params': bands} if bands else {'weights': (0.1, 0.9)}
    index = library.MinHashLSH(threshold=threshold, num_perm=permutations, **choice)
    found, candidates = [], 0
    for number, document in enumerate(documents):
        mine = shingles(document, size)
        if not mine:
            continue
        made = signature(mine, permutations, seed)
        for other in sorted(map(int, index.query(made))):
            candidates += 1
            similarity = jaccard(mine, shingles(documents[other], size))
            if similarity >= threshold:
                found.append((other, number, similarity))
        index.insert(number, made)
    return NearDuplicates(join(len(documents), [pair[:2] for pair in found]), found, candidates)


def join(count: int, pairs: Iterable[tuple[int, int]]) -> np.ndarray:
    """Union-find: of each thing the first of all that pairs connect it with.

    Args:
      count: things.
      pairs: of their numbers.

    Returns:
      `[count]` int64, the smallest number of each cluster.
    """
    first = list(range(count))

    def root(number: int) -> int:
        while first[number] != number:
            first[number] = first[first[number]]  # halves the path for whoever comes next
            number = first[number]
        return number

    for a, b in pairs:
        low, high = sorted((root(a), root(b)))
        first[high] = low
    return np.array([root(number) for number in range(count)], np.int64)


def _digest(text: str) -> bytes:
    """Sixteen bytes that stand for a text."""
    return hashlib.sha256(text.encode('utf-8', errors='surrogatepass')).digest()[:16]


def _datasketch() -> Any:
    """The library, which is only needed here."""
    try:
        import datasketch  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise InputError(
            "near-duplicates need the package datasketch: pip install -e '.[quality]'"
        ) from None
    return datasketch
