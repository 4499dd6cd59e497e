"""A document (`document`) as Markdown of the kind that GitHub shows."""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nlp_models.analysis import document
from nlp_models.analysis.document import Text

_SPECIAL = re.compile(r'([\\`*_\[\]|$~])')


class Writer:
    """Writes blocks for one file, whose place decides how others are linked to."""

    def __init__(self, folder: Path, root: Path | None):
        """Say where the file will be.

        Args:
          folder: of the file.
          root: of the repository; files in it are links where `folder` is in it too.
        """
        self.folder = folder.resolve()
        self.root = root.resolve() if root and self.folder.is_relative_to(root.resolve()) else None

    def write(self, blocks: Sequence[Any]) -> str:
        """Returns the text of a file that holds the blocks."""
        return self._blocks(blocks) + '\n'

    def _blocks(self, blocks: Sequence[Any]) -> str:
        return '\n\n'.join(text for block in blocks if (text := self._block(block)))

    def _block(self, block: Any) -> str:
        match block:
            case document.Heading(level, text, anchor):
                target = f'<a id="{anchor}"></a>' if anchor else ''
                return f'{"#" * level} {target}{self.inline(text)}'
            case document.Paragraph(text, kind):
                return f'> **{self.inline(text)}**' if kind == 'notice' else self.inline(text)
            case document.Table():
                return self._table(block)
            case document.Figure(file, caption, alt):
                said = self.inline(alt or document.plain(caption))
                return f'![{said}]({self._address(file)})\n\n*{self.inline(caption)}*'
            case document.Definitions(pairs):
                return '\n'.join(f'- {escape(name)}: {self.inline(text)}' for name, text in pairs)
            case document.Command(text):
                fence = '`' * max(3, 1 + _longest_ticks(text))
                return f'{fence}\n{text}\n{fence}'
            case document.Details(summary, inner):
                head = f'<summary>{self.inline(summary)}</summary>'
                return f'<details>{head}\n\n{self._blocks(inner)}\n\n</details>'
            case document.Group(anchor, _, inner):
                target = f'<a id="{anchor}"></a>\n\n' if anchor else ''
                return target + self._blocks(inner)
        raise TypeError(f'{block!r} is no block of a document')

    def _table(self, block: document.Table) -> str:
        rows = [
            [escape(name) for name in block.header],
            ['---'] * len(block.header),
            *([self.inline(cell, in_table=True) for cell in row] for row in block.rows),
        ]
        caption = f'{self.inline(block.caption)}\n\n' if block.caption else ''
        return caption + '\n'.join(f'| {" | ".join(row)} |' for row in rows)

    def inline(self, text: Text, in_table: bool = False) -> str:
        """Text of a document as Markdown."""
        match text:
            case str():
                return escape(text)
            case tuple():
                return ''.join(self.inline(each, in_table) for each in text)
            case document.Code(code):
                return _code(code, in_table)
            case document.File(path):
                if self.root and (self.root / path).exists():
                    return f'[{_code(path, in_table)}]({self._address(self.root / path)})'
                return _code(path, in_table)
            case document.Link(inner, to):
                return f'[{self.inline(inner, in_table)}](#{to})'
            case document.Strong(inner):
                return f'**{escape(inner)}**'
            case document.Small(inner):
                return self.inline(inner, in_table)
            case document.Break():
                return '<br>'
            case document.Number(_, written):
                return escape(written)
            case document.Mark(word):
                return f'{document.SIGNS[word]} **{word}**'.replace('~', r'\~')
        raise TypeError(f'{text!r} is no text of a document')

    def _address(self, file: Path) -> str:
        relative = os.path.relpath(file.resolve(), self.folder)
        return relative.replace(os.sep, '/').replace(' ', '%20')


def escape(text: str) -> str:
    """Text such that Markdown shows it as it is, on one line."""
    text = ' '.join(text.split('\n'))
    text = _SPECIAL.sub(r'\\\1', text)
    return text.replace('&', '&amp;').replace('<', '&lt;').replace('>', '&gt;')


def _code(text: str, in_table: bool) -> str:
    """Code as it stands: only a bar in a table, and ticks, need care."""
    text = text.replace('|', r'\|') if in_table else text
    ticks = '`' * (1 + _longest_ticks(text))
    edge = ' ' if text.startswith('`') or text.endswith('`') else ''
    return f'{ticks}{edge}{text}{edge}{ticks}'


def _longest_ticks(text: str) -> int:
    return max((len(found) for found in re.findall('`+', text)), default=0)
