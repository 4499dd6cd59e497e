"""How a page looks, and a document (`document`) as one: a single file that needs no network."""

import base64
import html
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from nlp_models.analysis import document
from nlp_models.analysis.document import Text

STYLE = """
:root { color-scheme: light dark; --ink: #1d1f23; --soft: #5a6069; --line: #d9dce1; --page: #fff; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e4e6ea; --soft: #a2a9b4; --line: #3a3f47; --page: #16181c; }
}
body { margin: 0 auto; padding: 2rem 1rem 4rem; max-width: 44rem; color: var(--ink);
  background: var(--page); font: 1rem/1.55 system-ui, sans-serif; overflow-wrap: break-word; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 1rem; }
h2 { font-size: 1.2rem; margin: 2.5rem 0 .5rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1.25rem; margin: 0; }
dt { color: var(--soft); }
dd { margin: 0; overflow-wrap: anywhere; }
.wide { overflow-x: auto; margin: 1rem 0; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .5rem; text-align: right; white-space: nowrap; font-weight: normal;
  border-bottom: 1px solid var(--line); }
th:first-child { text-align: left; padding-left: 0; }
thead th { color: var(--soft); font-size: .9em; }
figure { margin: 0; }
@media (max-width: 34rem) {
  table { font-size: .76rem; }
  th, td { padding: .3rem .2rem; }
  th { white-space: normal; }
}
img { display: block; width: 100%; height: auto; background: #fff; border-radius: 6px; }
figcaption { margin-top: .6rem; }
pre { overflow-x: auto; padding: .7rem 1rem; border: 1px solid var(--line); border-radius: 6px; }
"""
# A document's own: verdicts as words in colours, claims as cards, and tables whose rows become
# blocks where a line is too short for them.
DOCUMENT_STYLE = """
:root { --link: #0a58a8; --card: #f7f8fa; --yes: #0b6b3a; --no: #a3172a; --partly: #7d4a00;
  --unsure: #4b5563; }
@media (prefers-color-scheme: dark) {
  :root { --link: #86b9f3; --card: #1e2126; --yes: #6fd39b; --no: #ff9a9f; --partly: #f0bd63;
    --unsure: #b3bcc9; }
}
body { max-width: 52rem; }
a { color: var(--link); }
h2 { font-size: 1.4rem; margin-top: 3rem; }
h3 { font-size: 1.15rem; margin: 2.2rem 0 .4rem; }
h4 { font-size: 1rem; margin: 0 0 .6rem; }
code { font: .88em/1.4 ui-monospace, monospace; overflow-wrap: anywhere; }
p { margin: .6rem 0; }
:target { scroll-margin-top: .5rem; outline: 2px solid var(--link); outline-offset: 4px; }
.mark { display: inline-block; padding: 0 .5em; border: 1px solid; border-radius: 1em;
  font-size: .86em; line-height: 1.5; white-space: nowrap; }
.supported, .met { color: var(--yes); }
.refuted, .failed { color: var(--no); }
.qualified, .diverged { color: var(--partly); }
.inconclusive, .open { color: var(--unsure); }
.not-run { color: var(--unsure); border-style: dashed; }
.small, small { font-size: .86em; color: var(--soft); }
.contents { line-height: 2; }
.claim { margin: 1.2rem 0; padding: 1rem; background: var(--card); border-radius: 8px;
  border: 1px solid var(--line); }
.notice { padding: .5rem .8rem; border-left: 4px solid var(--no); background: var(--card); }
.claim .notice { padding-left: .8rem; }
figure { margin: 1rem 0; }
figcaption { font-size: .92em; }
details { margin: .8rem 0; }
summary { cursor: pointer; color: var(--link); }
pre { white-space: pre-wrap; overflow-wrap: anywhere; margin: .6rem 0; font-size: .88em; }
pre code { font-size: 1em; }
.flag { display: inline-block; max-width: 100%; }
.rows { margin: 1rem 0; overflow-x: auto; }
.rows table { width: 100%; }
.rows caption { text-align: left; color: var(--soft); font-size: .9em; padding-bottom: .3rem; }
.rows th, .rows td { text-align: left; vertical-align: top; white-space: normal; }
.rows td:last-child { padding-right: 0; }
.rows data { white-space: nowrap; }
#summary table, #map table { font-size: .92rem; }
#summary th:first-child { min-width: 12rem; }
#map th:first-child { width: 7.5rem; }
@media (max-width: 34rem) {
  dl { grid-template-columns: 1fr; gap: 0; }
  dd { margin-bottom: .4rem; }
  .claim { padding: .8rem; }
  .claim img { width: calc(100% + 1.4rem); margin: 0 -.7rem; border-radius: 0; }
}
@media (max-width: 50rem) {
  .rows table, .rows caption, .rows tbody, .rows tr, .rows th, .rows td { display: block; }
  .rows table { font-size: .9rem; }
  .rows thead { position: absolute; width: 1px; height: 1px; overflow: hidden;
    clip-path: inset(50%); }
  .rows tr { padding: .5rem 0; border-bottom: 1px solid var(--line); }
  .rows th, .rows td { border: 0; padding: .1rem 0; }
  .rows td { display: inline-block; max-width: 100%; margin-right: .8rem; }
  .rows td::before { content: attr(data-label) ": "; color: var(--soft); }
}
"""
PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<main>
{body}
</main>
</body>
</html>
"""


def page(title: str, body: str, style: str = STYLE) -> str:
    """A whole page.

    Args:
      title: plain text.
      body: HTML.
      style: CSS.

    Returns:
      The page's text.
    """
    return PAGE.format(title=html.escape(title), style=style, body=body)


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of plain text that scrolls sideways where it is too wide."""
    head = ''.join(f'<th scope="col">{html.escape(cell)}</th>' for cell in header)
    body = ''.join(
        f'<tr><th scope="row">{html.escape(first)}</th>'
        + ''.join(f'<td>{html.escape(cell)}</td>' for cell in rest)
        + '</tr>\n'
        for first, *rest in rows
    )
    filled = f'<thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody>'
    return f'<div class="wide" tabindex="0"><table>\n{filled}\n</table></div>'


def definitions(pairs: Iterable[tuple[str, str]]) -> str:
    """A list of names and what they are, both HTML."""
    lines = (f'<dt>{name}</dt><dd>{text}</dd>' for name, text in pairs)
    return '<dl>\n' + '\n'.join(lines) + '\n</dl>'


def image_address(file: Path) -> str:
    """A PNG file as an address that holds all of it."""
    return f'data:image/png;base64,{base64.b64encode(file.read_bytes()).decode("ascii")}'


def render(title: str, blocks: Sequence[Any]) -> str:
    """A document as a page.

    Args:
      title: of the page, plain text.
      blocks: of `document`.

    Returns:
      HTML in which every picture is contained and nothing is fetched.
    """
    return page(title, _blocks(blocks), STYLE + DOCUMENT_STYLE)


def _blocks(blocks: Sequence[Any]) -> str:
    return '\n'.join(_block(block) for block in blocks)


def _block(block: Any) -> str:
    match block:
        case document.Heading(level, text, anchor):
            return f'<h{level}{_id(anchor)}>{inline(text)}</h{level}>'
        case document.Paragraph(text, kind):
            return f'<p{_class(kind)}>{inline(text)}</p>'
        case document.Table():
            return _rows(block)
        case document.Figure(file, caption, alt):
            said = html.escape(alt or document.plain(caption))
            return (
                f'<figure>\n<img alt="{said}" src="{image_address(file)}">\n'
                f'<figcaption>{inline(caption)}</figcaption>\n</figure>'
            )
        case document.Definitions(pairs):
            return definitions((html.escape(name), inline(text)) for name, text in pairs)
        case document.Command(text):
            return f'<pre><code>{_code(text)}</code></pre>'
        case document.Details(summary, inner):
            return f'<details>\n<summary>{inline(summary)}</summary>\n{_blocks(inner)}\n</details>'
        case document.Group(anchor, kind, inner):
            tag = 'article' if kind == 'claim' else 'section'
            return f'<{tag}{_id(anchor)}{_class(kind)}>\n{_blocks(inner)}\n</{tag}>'
    raise TypeError(f'{block!r} is no block of a document')


def _rows(block: document.Table) -> str:
    head = ''.join(f'<th scope="col">{html.escape(cell)}</th>' for cell in block.header)
    lines = []
    for first, *rest in block.rows:
        cells = [f'<th scope="row" role="rowheader">{inline(first)}</th>']
        for name, cell in zip(block.header[1:], rest, strict=True):
            cells.append(f'<td role="cell" data-label="{html.escape(name)}">{inline(cell)}</td>')
        lines.append(f'<tr role="row">{"".join(cells)}</tr>')
    caption = f'<caption>{inline(block.caption)}</caption>\n' if block.caption else ''
    # The roles stay when a short line's style makes blocks of the rows.
    return (
        f'<div class="rows" tabindex="0"><table role="table">\n{caption}'
        f'<thead><tr>{head}</tr></thead>\n<tbody role="rowgroup">\n'
        + '\n'.join(lines)
        + '\n</tbody>\n</table></div>'
    )


def inline(text: Text) -> str:
    """Text of a document as HTML."""
    if isinstance(text, tuple):
        return ''.join(inline(part) for part in text)
    match text:
        case str():
            return html.escape(text)
        case document.Code(code) | document.File(code):
            return f'<code>{_code(code)}</code>'
        case document.Link(inner, to):
            return f'<a href="#{html.escape(to)}">{inline(inner)}</a>'
        case document.Strong(inner):
            return f'<strong>{html.escape(inner)}</strong>'
        case document.Small(inner):
            return f'<small>{inline(inner)}</small>'
        case document.Break():
            return '<br>'
        case document.Number(value, written):
            return f'<data value="{value!r}">{html.escape(written)}</data>'
        case document.Mark(word):
            name = word.replace(' ', '-')
            sign = document.SIGNS[word]
            return f'<span class="mark {name}"><span aria-hidden="true">{sign} </span>{word}</span>'
    raise TypeError(f'{text!r} is no text of a document')


def _code(text: str) -> str:
    """Code whose lines end, where they must, before a flag or after a slash."""
    parts = re.split(r"(?<= )(?='?--)", text)
    first, *flags = (html.escape(part).replace('/', '/<wbr>') for part in parts)
    return first + ''.join(f'<span class="flag">{flag}</span>' for flag in flags)


def _id(anchor: str) -> str:
    return f' id="{html.escape(anchor)}"' if anchor else ''


def _class(kind: str) -> str:
    return f' class="{html.escape(kind)}"' if kind else ''
