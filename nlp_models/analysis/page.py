"""A comparison of language models as a table, as sentences, and as one page of HTML.

Every sentence is computed from the numbers it stands beside. Two values that are written alike are
called equal, so no sentence claims a difference that its own digits do not show.
"""

import html
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nlp_models.analysis import html as pages
from nlp_models.analysis import plots
from nlp_models.analysis.drawing import in_seconds, is_number, label
from nlp_models.analysis.plots import Results
from nlp_models.analysis.sentences import sentences

COMMAND = 'python -m experiments.compare'
HEADER = ('family', 'parameters', 'bits/char', 'tokens/s', 'step, ms', 'compile, s')
NONE = '–'
FIGURES = {  # heading, and what a reader who cannot see the picture is told first
    'learning': ('Learning', 'Line plot of bits per character against seconds of training.'),
    'throughput': ('Training speed', 'Line plot of tokens per second against sequence length.'),
    'decoding': ('Decoding', 'Line plots of time per token and state against length of text.'),
}
BODY = """<h1>Language models compared</h1>
<p><strong>{table}</strong> {baseline}</p>
<h2>What was run</h2>
{setting}
<h2>Families</h2>
{families}
<p>{unigram}</p>
<h2>N-grams</h2>
{orders}
{figures}
<h2>Run it again</h2>
<pre><code>{command}</code></pre>"""


def table(results: Results) -> list[tuple[str, ...]]:
    """Lists the families, fewest bits per character first; what has none comes last.

    Args:
      results: what the comparison wrote to `results.json`.

    Returns:
      One row a family, its cells written out in the order of `HEADER`.
    """
    rows = []
    for name, family in results['families'].items():
        bits, step = family.get('valid_bits_per_char'), family.get('step_seconds')
        order = f', order {family["order"]}' if family.get('order') else ''
        cells = (
            label(name) + order,
            _number(family.get('parameters'), ',.0f'),
            _number(bits, '.3f'),
            _number(family.get('tokens_per_second'), ',.0f'),
            _number(step * 1000 if is_number(step) else None, '.2f'),
            _number(family.get('compile_seconds'), '.1f'),
        )
        rows.append((not is_number(bits), bits if is_number(bits) else 0, cells))
    return [cells for _, _, cells in sorted(rows)]


def format_table(results: Results) -> str:
    """Returns the table as plain text of at most 80 columns, without a final newline."""
    rows = [HEADER, *table(results)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(HEADER))]
    widths[0] = max(6, min(widths[0], 80 - sum(widths[1:]) - 2 * (len(widths) - 1)))
    lines = []
    for name, *cells in rows:
        name = name if len(name) <= widths[0] else name[: widths[0] - 1] + '…'
        right = (cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=True))
        lines.append('  '.join([name.ljust(widths[0]), *right]))
    lines.insert(1, '  '.join('─' * width for width in widths))
    return '\n'.join(lines)


def write_page(results: Results, folder: str | Path) -> Path:
    """Writes the plots as PNG files and one page that holds everything and needs no network.

    Args:
      results: what the comparison wrote to `results.json`.
      folder: where to; made if it is not there.

    Returns:
      The page's file, `index.html`.
    """
    said = {name: html.escape(text) for name, text in sentences(results).items()}
    figures = []
    for name, file in plots.write_plots(results, folder).items():
        title, alt = FIGURES[name]
        figures.append(
            f'<h2>{title}</h2>\n<figure>\n<img alt="{alt} {said[name]}" '
            f'src="{pages.image_address(file)}">\n<figcaption>{said[name]}</figcaption>\n</figure>'
        )
    orders = [
        (str(row['order']), f'{row["parameters"]:,}', _number(row['valid_bits_per_char'], '.3f'))
        for row in results['ngram_orders']
    ]
    body = BODY.format(
        setting=_html_setting(results),
        families=pages.table(HEADER, table(results)),
        orders=pages.table(('n-gram order', 'parameters', 'bits/char'), orders),
        figures='\n'.join(figures),
        command=html.escape(COMMAND),
        **{name: said[name] for name in ('table', 'baseline', 'unigram')},
    )
    path = Path(folder) / 'index.html'
    path.write_text(pages.page('Language models compared', body), encoding='utf-8')
    return path


def _html_setting(results: Results) -> str:
    def write(name: str, value: Any) -> str:
        if isinstance(value, Mapping):
            return ', '.join(f'{key} {part}' for key, part in value.items())
        return f'{value:,}' if isinstance(value, int) and name != 'seed' else str(value)

    budget = f'{in_seconds(results["budget_seconds"])} for each neural family'
    pairs = [('training', budget)] + [
        (name.replace('_', ' ').replace('num ', ''), write(name, value))
        for name, value in results['setting'].items()
    ]
    return pages.definitions((html.escape(name), html.escape(text)) for name, text in pairs)


def _number(value: Any, form: str) -> str:
    return format(value, form) if is_number(value) else NONE
