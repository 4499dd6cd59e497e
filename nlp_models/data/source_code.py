"""Python code without its English: the standard library's sources, comments and docstrings gone."""

import ast
import hashlib
import sysconfig
import warnings
from pathlib import Path

from nlp_models.data.pydoc_text import SPLITS, list_sources
from nlp_models.errors import InputError

# A split is of at least so many files, if they are not shorter than this: one file that is unlike
# all others must not decide what held-out code is.
_FILES, _SHORTEST = 16, 1000
_ENGLISH = 'pydoc_data/'  # documents in strings


def read_code(sizes: dict[str, int], root: Path | None = None) -> dict[str, str]:
    """Gathers code from files, dealt out to the splits by a hash of their names.

    A file is in one split only, and with a sixteenth of its characters at most: of a longer one the
    middle is taken, where there is more than imports. Each file is parsed and written anew, which
    leaves out comments, and its docstrings are dropped; so what is read nowhere tells in English
    what the code does, but for names and messages.

    Args:
      sizes: characters wanted of `train`, `validation` and `test`; files are read in the order of
        the hash until all have as many.
      root: the folder of the sources; the standard library's unless given.

    Returns:
      Split to its text, exactly as long as asked for.

    Raises:
      InputError: if there is not as much code.
    """
    root = Path(sysconfig.get_paths()['stdlib']) if root is None else root
    names = {path: path.relative_to(root).as_posix() for path in list_sources(root)}
    names = {path: name for path, name in names.items() if not name.startswith(_ENGLISH)}
    ordered = sorted(names, key=lambda path: hashlib.sha256(names[path].encode()).digest())
    found: dict[str, list[str]] = {split: [] for split in SPLITS}
    missing = {split: sizes.get(split, 0) for split in SPLITS}
    for path in ordered:
        if all(left <= 0 for left in missing.values()):
            break
        # The share of the split that is still furthest from full.
        split = max(missing, key=lambda name: missing[name] / max(sizes.get(name, 0), 1))
        if text := _middle(strip_english(path), max(sizes.get(split, 0) // _FILES, _SHORTEST)):
            missing[split] -= len(text) + 2 * bool(found[split])
            found[split].append(text)
    short = [split for split, left in missing.items() if left > 0]
    if short:
        raise InputError(f'there is too little code in {str(root)!r} for the {short[0]} split')
    return {split: '\n\n'.join(texts)[: sizes.get(split, 0)] for split, texts in found.items()}


def _middle(text: str, most: int) -> str:
    """At most so many characters, from a line's beginning near the middle if there are more."""
    if len(text) <= most:
        return text
    start = text.rfind('\n', 0, (len(text) - most) // 2 + 1) + 1
    return text[start : start + most]


def strip_english(path: Path) -> str:
    """The code of a source file without comments and docstrings; '' for one that does not parse."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')  # of escapes in old sources that newer parsers have
            tree = ast.parse(path.read_text(encoding='utf-8'))
    except (OSError, ValueError, SyntaxError, RecursionError):
        return ''
    for node in ast.walk(tree):
        if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:] or ([] if isinstance(node, ast.Module) else [ast.Pass()])
    return ast.unparse(tree)
