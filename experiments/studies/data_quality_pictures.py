"""What the evidence on data quality looks like."""

from typing import Any

import numpy as np

from experiments.studies.data_quality_verdicts import FAMILIES
from nlp_models.analysis import drawing
from nlp_models.analysis.document import Table
from nlp_models.analysis.study import Evidence, Picture

NAMES = {family: drawing.label(family) for family in FAMILIES}
# Size and text to how they are written.
ROWS = {
    ('large', 'clean'): 'large, clean',
    ('large', 'noisy'): 'large, noisy',
    ('large', 'filtered'): 'large, filtered',
    ('large', 'strict'): 'large, strictly filtered',
    ('large', 'sorted'): 'large, unspoiled pieces',
    ('large', 'duplicated'): 'large, with copies',
    ('large', 'deduplicated'): 'large, without copies',
    ('small', 'clean'): 'small, clean',
    ('small', 'filtered'): 'small, filtered',
}


def plot(evidence: Evidence) -> list[Picture]:
    """A large model against the share of noise, beside small ones; then what cleaning gains."""
    return [_plot_shares(evidence), _plot_cleaning(evidence)]


def tables(evidence: Evidence) -> list[Table]:
    """What the training texts are, and what the filters took out of the noisy one."""
    value = evidence.value(what='texts')
    rows = [
        (
            text['text'],
            f'{text["share"]:.0%}',
            f'{text["pieces"]:,}',
            f'{text["different"]:,}',
            f'{text["characters"]:,}',
            _ways(text['ways']),
        )
        for text in value['texts']
    ]
    held = value['held_out']
    caption = (
        f'The training texts, of the first seed. Held out: {held["validation"]:,} characters for '
        f'validation and {held["test"]:,} for the test, after {value["left_out"]} pieces were left '
        f'out as the training text has 13 of their words in a row.'
    )
    header = ('text', 'spoiled or copies', 'pieces', 'different', 'characters', 'spoiled pieces')
    found = [Table(header, tuple(rows), caption)]
    (filtered,) = [text for text in value['texts'] if text['text'] == 'filtered']
    taken = tuple((n, f'{pieces:,}', f'{chars:,}') for n, pieces, chars in filtered['table'])
    caption = 'What the filters took out of the noisy text, in the order they were asked.'
    return [*found, Table(('why', 'pieces', 'characters'), taken, caption)]


def _ways(ways: dict[str, int]) -> str:
    told = ', '.join(f'{way} {number:,}' for way, number in sorted(ways.items()) if way)
    return told or '–'


def _value(evidence: Evidence, family: str, size: str, text: str, **key: Any) -> dict[str, Any]:
    key = {'equal': 'tokens', **key}
    if 'share' not in key:
        key['share'] = 0.0 if text == 'clean' else evidence.config['share']
    return evidence.value(what='train', family=family, size=size, text=text, **key)


def _plot_shares(evidence: Evidence) -> Picture:
    shares = [0.0, *evidence.config['shares']]
    figure, panels = drawing.figure(len(NAMES))
    told = []
    for axes, (family, name) in zip(panels, NAMES.items(), strict=True):
        large = {
            share: _value(evidence, family, 'large', 'noisy' if share else 'clean', share=share)
            for share in shares
        }
        small = {
            equal: _value(evidence, family, 'small', 'clean', equal=equal)
            for equal in ('tokens', 'compute')
        }
        lines: dict[str, dict] = {family: {s: v['scores'] for s, v in large.items()}}
        for equal, value in small.items():
            lines[equal] = {share: value['scores'] for share in (shares[0], shares[-1])}
        names = {
            family: 'large',
            'tokens': 'small, clean,\nequal tokens',
            'compute': 'small, clean,\nequal compute',
        }
        drawing.against(
            axes, lines, names=names, dashed=tuple(small), ylabel=f'{name},\nbits a character'
        )
        parts = ', '.join(f'{np.nanmean(v["scores"]):.3f} at {s:.0%}' for s, v in large.items())
        one = large[0.0]
        told.append(
            f'{name}: large ({drawing.in_counts(float(one["parameters"]))} parameters, '
            f'{one["steps"]} steps) {parts}; small of clean text '
            f'({drawing.in_counts(float(small["tokens"]["parameters"]))}) '
            f'{np.nanmean(small["tokens"]["scores"]):.3f} after as many steps, '
            f'{np.nanmean(small["compute"]["scores"]):.3f} after {small["compute"]["steps"]}, '
            f'which cost as much'
        )
    panels[-1].set_xticks(shares, labels=[f'{share:.0%}' for share in shares])
    panels[-1].set_xlabel('pieces of the large model’s text that are spoiled')
    caption = (
        'Bits a character of clean text that is held out: a large model of text that was spoiled '
        f'more and more, beside a small one of clean text (dashed). {"; ".join(told)}.'
    )
    return Picture('shares', (37,), caption, figure)


def _plot_cleaning(evidence: Evidence) -> Picture:
    figure, (axes,) = drawing.figure(1)
    figure.set_figheight(1.5 * drawing.HEIGHT)
    rows = {
        f'{name}: {text}': _value(evidence, family, *which)['scores']
        for family, name in NAMES.items()
        for which, text in ROWS.items()
    }
    drawing.dots(axes, rows, xlabel='bits a character, test')
    told = []
    for family, name in NAMES.items():
        bits = {
            text: np.nanmean(_value(evidence, family, 'large', text)['scores']) for _, text in ROWS
        }
        more = {text: f'{value - bits["clean"]:+.3f}' for text, value in bits.items()}
        told.append(
            f'{name}: noise costs {more["noisy"]} bits, filtered {more["filtered"]}, strictly '
            f'{more["strict"]}, unspoiled pieces alone {more["sorted"]}; copies cost '
            f'{more["duplicated"]}, without them {more["deduplicated"]}'
        )
    caption = (
        'The same training on one text in several qualities, '
        f'{evidence.config["share"]:.0%} of its pieces spoiled or copies of a few, and on what '
        'cleaning leaves of it; each seed a dot. '
        f'{"; ".join(told)}.'
    )
    return Picture('cleaning', (37, 0), caption, figure)
