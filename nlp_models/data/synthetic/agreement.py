"""Subjects and the number of their verbs: a task that every reader of English can do.

    {'text': 'The file', 'label': 'one'}        The file … is
    {'text': 'Its files', 'label': 'many'}      Its files … are

Language models are asked for agreement since Linzen et al. 2016, by which of two verbs they find
likelier; it takes no instruction, so that models of any size can be asked.
"""

from collections.abc import Sequence

from nlp_models.errors import require

_NOUNS = (
    'argument attribute button character command comment element error event example exception '
    'field file format function header item key label line list method module name node number '
    'object operator option package parameter path pattern program result section '
    'sequence server setting signal statement string table test thread token type user value '
    'variable version warning window word '
)
NOUNS = tuple(_NOUNS.split())
"""Nouns that documentation of programs is about; the plural of each is with an s."""

STARTS = ('The', 'Its')
"""What stands before nouns of either number."""

LABELS = ('one', 'many')

VERBS = (('is', 'are'), ('was', 'were'), ('has', 'have'), ('does', 'do'))
"""Verbs of one and of many."""


def agreement(nouns: Sequence[str] = NOUNS, starts: Sequence[str] = STARTS) -> list[dict[str, str]]:
    """Subjects with the number they call for, as many of one as of many.

    Args:
      nouns: in their singular.
      starts: each goes with every noun.

    Returns:
      Examples with `text` and `label`, all of a noun side by side.

    Raises:
      InputError: for no noun or start.
    """
    require(len(nouns) > 0, 'nouns', nouns, 'must be one or more')
    require(len(starts) > 0, 'starts', starts, 'must be one or more')
    return [
        {'text': f'{start} {noun}{ending}', 'label': label}
        for noun in nouns
        for start in starts
        for ending, label in zip(('', 's'), LABELS, strict=True)
    ]


def deal_nouns(every: int) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    """Examples of every so-manieth noun, to be shown, and of all others, to be asked about.

    Args:
      every: at least 2.

    Returns:
      (to show, to ask); no noun is in both.

    Raises:
      InputError: for a number below 2.
    """
    require(every >= 2, 'every', every, 'must be at least 2')
    shown = NOUNS[::every]
    return agreement(shown), agreement([noun for noun in NOUNS if noun not in shown])
