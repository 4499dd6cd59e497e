"""Studies of nothing, whose evidence is written by hand: every verdict there is, and some traps."""

import functools
import io
import json
import math
from pathlib import Path
from typing import Any

from nlp_models.analysis import drawing, study, verdicts
from nlp_models.analysis.study import Evidence, Picture, Study
from nlp_models.analysis.verdicts import Claim, Criterion

FILE = 'nlp_models/recurrent/cells.py'
TRAP = 'An RNN with W < 1 & f′ ≤ 1 forgets <b>all</b> of |x|, *at once*, for $1'
MACHINE = {'processor': 'A <fast> processor', 'cores': 2, 'memory_bytes': 25e9, 'platform': 'cpu'}
MACHINE |= {'versions': {'python': '3.11.7', 'jax': '0.10.2'}}
COMMIT = '0123456789abcdef0123456789abcdef01234567'


def claim(number: int, section: str, statement: str) -> Claim:
    return Claim(number, section, statement, f'what decides {number} & more', 'h_t = σ(W h)', FILE)


# Study to its claims; the last was never run.
CLAIMS = {
    'memory': (
        claim(9, '3.2', TRAP),
        claim(10, '3.2', 'RNNs fail at long tasks'),
        claim(13, '6.1', 'Attention retains more than any of them'),
    ),
    'flow': (
        claim(3, '3.1', 'Gradients vanish'),
        claim(4, '3.1', 'Gradients explode'),
        claim(6, '4.4', 'LSTM and GRU still vanish, only later'),
        claim(7, '9.2', 'A claim of a section the argument does not know'),
    ),
    'scaling': (
        claim(0, '6', 'Loss falls as a power of compute'),
        claim(0, '6', 'One is ahead of the other'),
    ),
    'gating': (claim(14, '4.3', 'Gates are the reason'), claim(15, '4.3', 'So is addition')),
}
NEAR = [0.1, 0.12, 0.11, 0.13, 0.09]
FAR = [0.9, 0.93, 0.91, 0.87, 0.95]
# Study, claim's place, condition to the values; each must lie above 0.5 unless it is said here.
VALUES = {
    'memory': {
        (0, 'copy, T = 64'): FAR,
        (0, 'adding'): [0.6123456, 0.6234567, 0.6345678, 0.6, 0.61],
        (1, 'copy'): NEAR,
        (2, 'at <equal> parameters'): FAR,
        (2, 'at equal state'): NEAR,
        (2, 'untrained'): [0.2, 0.9, 0.4, 0.6, 0.5],
    },
    'flow': {
        (0, 'sigmoid'): [0.1, 0.9, 0.4, 0.6, 0.5],
        (1, 'tanh'): [0.9, math.nan, 0.8, 0.7, 0.9],
        (2, 'exact'): [3.0],
        (3, 'alike'): [1.5e-7] * 5,
    },
    'scaling': {(0, 'exponent'): FAR, (1, 'small'): [0.9, 0.8]},
}
VERDICTS = {
    'claim-9': 'supported',
    'claim-10': 'refuted',
    'claim-13': 'qualified',
    'claim-3': 'inconclusive',
    'claim-4': 'inconclusive',
    'claim-6': 'supported',
    'claim-7': 'refuted',
    'finding-scaling-1': 'supported',
    'finding-scaling-2': 'inconclusive',
    'claim-14': 'not run',
    'claim-15': 'not run',
}


@functools.cache
def png() -> bytes:
    figure, (axes,) = drawing.figure(1)
    points = {1.0: NEAR, 2.0: FAR}
    drawing.against(axes, {'rnn': points}, xlabel='distance, tokens', ylabel='share')
    file = io.BytesIO()
    figure.savefig(file, dpi=120, bbox_inches='tight')
    return file.getvalue()


class Drawing:
    """Stands for a figure, and is drawn once: that takes longer than the rest of a report."""

    def savefig(self, path: Path, **_: Any) -> None:
        path.write_bytes(png())


def make(name: str) -> Study:
    """One of the studies."""

    def judge(evidence: Evidence) -> list[dict[str, Any]]:
        found = []
        for i, one in enumerate(CLAIMS[name]):
            criteria = [
                Criterion(
                    key['condition'],
                    f'share of {key["condition"]}' if i % 2 else 'share that is right',
                    tuple(value),
                    evidence.thresholds['share'],
                    exact=key['condition'] == 'exact',
                )
                for key, value in evidence.select(claim=i)
            ]
            found.append(verdicts.judge(one, criteria, evidence.thresholds, study=name))
        return found

    def plot(evidence: Evidence) -> list[Picture]:
        del evidence
        numbers = tuple(one.number for one in CLAIMS[name])
        drawn: Any = Drawing()
        return [Picture(f'{name}_shares', numbers, f'Shares of {name}, n < 3 & more.', drawn)]

    def nothing(*_: Any) -> Any:
        raise AssertionError('a report measures nothing')

    text = f'What {name} does, and why it could come out against the claims: seeds < 5 & more.'
    title = f'About {name} & co'
    return Study(name, title, text, CLAIMS[name], nothing, nothing, judge, plot)


STUDIES = [make(name) for name in CLAIMS]


def evidence(name: str) -> Evidence:
    """What was never measured."""
    rows = [
        {'key': {'claim': i, 'condition': condition}, 'value': values, 'seconds': 61.0}
        for (i, condition), values in VALUES[name].items()
    ]
    config = {'study': name, 'size': 'quick', 'num_devices': 0, 'seeds': 5, 'lengths': [8, 16]}
    config |= {'thresholds': {'share': 0.5}, 'models': {'rnn': {'width': 16, 'kind': '<tanh>'}}}
    command = f'python -m experiments.study --config=configs/studies/{name}.py:quick'
    manifest = {
        'commit': COMMIT + '+' * (name == 'memory'),
        'machine': MACHINE,
        'command': f"{command} --config.lengths='(8, 16)' --workdir=/somewhere/else",
        'seconds': 61.0 * len(rows),
    }
    if name == 'flow':  # one measurement was made elsewhere
        other = {'machine': MACHINE | {'cores': 1}, 'commit': 'fedcba9876543210'}
        most = [0, *range(2, len(rows))]
        manifest['runs'] = [
            {'machine': MACHINE, 'commit': COMMIT, 'cells': len(most), 'rows': most},
            {**other, 'cells': 1, 'rows': [1]},
        ]
    return Evidence(name, config, rows, manifest)


def write(folder: Path) -> None:
    """Their folders, as `study.run` leaves them."""
    for one in STUDIES:
        if one.name in VALUES:
            own = folder / one.name
            own.mkdir(parents=True)
            (own / 'config.json').write_text(json.dumps(evidence(one.name).config))
            study.write(one, evidence(one.name), own)
