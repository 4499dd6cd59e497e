"""What claims 3 to 8 say, and the criteria that decide them (`gradient_flow` measures)."""

import math
from typing import Any

import numpy as np

from nlp_models.analysis import decay, trainability, verdicts
from nlp_models.analysis.intervals import differences
from nlp_models.analysis.study import Evidence
from nlp_models.analysis.verdicts import Claim, Criterion

RNNS = {'rnn_tanh': 'tanh', 'rnn_sigmoid': 'sigmoid'}
GATED = {'lstm': 'LSTM', 'gru': 'GRU'}
PARTS = {
    'attention': 'attention with all parts',
    'attention_no_skips': 'attention without skip connections',
    'attention_no_norms': 'attention without norms',
    'attention_bare': 'attention without either',
}
RESIDUAL = {
    'rnn_residual': 'RNN in the same blocks',
    'lstm_residual': 'LSTM in the same blocks',
    'gru_residual': 'GRU in the same blocks',
}
BARE = {'rnn': 'bare RNN', 'lstm': 'bare LSTM', 'gru': 'bare GRU'}
STACKS = {**PARTS, **RESIDUAL, **BARE}

INSTRUMENT, VANISH, EXPLODE, ALONE, GATES, ATTENTION, DEPTH = CLAIMS = (
    Claim(
        number=0,
        section='3.1',
        statement='The instrument: in a linear RNN measured gradients equal their closed form',
        measured='relative error of Jacobian products against ‖W^k‖, ρ^k of an orthogonal W times '
        'ρ, and of gradients through the whole scan against ‖g W^k U‖',
        equation='∂h_T/∂h_{T−k} = W^k  where h_t = W h_{t−1} + U x_t + b',
        file='nlp_models/analysis/jacobians.py',
    ),
    Claim(
        number=3,
        section='3.1',
        statement='Gradients of sigmoid and tanh RNNs vanish exponentially with distance',
        measured='slope of log ‖∂h_T/∂h_{T−k}‖ against k, and how straight that line is, by '
        'activation, spectral radius and size of the inputs, fresh and trained',
        equation='∂h_T/∂h_{T−k} = ∏ diag(f′) W',
        file='nlp_models/recurrent/cells.py',
    ),
    Claim(
        number=4,
        section='3.1',
        statement='Gradients explode where recurrent weights are large; clipping tames the update, '
        'not the cause',
        measured='slope of log ‖∂h_T/∂h_{T−k}‖ at large spectral radius; losses, and gradient '
        'norms before clipping, of trainings with and without clipping',
        equation='g ← g · min(1, c / ‖g‖)',
        file='nlp_models/training/optimizers.py',
    ),
    Claim(
        number=5,
        section='3.1',
        statement='The product of activation derivatives alone predicts how gradients decay',
        measured='rate of ∏ f′ (of the largest unit or of a typical one, whichever is closer) '
        'against the measured rate: difference over the larger of the two',
        equation='∂h_T/∂h_t = ∏ f′(…), as printed, for ∏ diag(f′) W',
        file='nlp_models/analysis/jacobians.py',
    ),
    Claim(
        number=6,
        section='4.4',
        statement='Gradients of LSTM and GRU vanish too, only later than the RNN’s',
        measured='slope of log ‖∂c_T/∂c_{T−k}‖, c being all that is carried, and its difference '
        'from that of a tanh RNN of the same seed',
        equation='C_t = f ⊙ C_{t−1} + i ⊙ C̃;  h_t = (1 − z) ⊙ h_{t−1} + z ⊙ h̃',
        file='nlp_models/recurrent/cells.py',
    ),
    Claim(
        number=7,
        section='6.1',
        statement='Attention is spared because it is not recurrent, not for its skip connections '
        'or norms',
        measured='slope of log ‖∂y_T/∂x_t‖ against T − t, with and without skip connections and '
        'norms, and of recurrent layers that have both',
        equation='y = softmax(Q Kᵀ / √d_k) V,  x ← x + f(LN(x))',
        file='nlp_models/attention/blocks.py',
    ),
    Claim(
        number=8,
        section='6.1',
        statement='Attention allows deeper stacks than recurrence',
        measured='log₂ of the deepest stack that learns in a fixed number of steps, attention’s '
        'minus the other’s of the same seed',
        equation='x ← f_L(… f_2(f_1(x)))',
        file='nlp_models/recurrent/stack.py',
    ),
)


def judge(evidence: Evidence) -> list[dict[str, Any]]:
    """Claims 0 and 3 to 8."""
    criteria = {
        INSTRUMENT: [
            Criterion(
                f'{key["weights"]} weights',
                'largest relative error',
                tuple(value['errors']),
                evidence.thresholds['instrument'],
                'below',
            )
            for key, value in evidence.select(what='instrument')
        ],
        VANISH: _vanishing(evidence),
        EXPLODE: _exploding(evidence),
        ALONE: _derivatives_alone(evidence),
        GATES: _gates(evidence),
        ATTENTION: _attention(evidence),
        DEPTH: _deeper(evidence),
    }
    return [
        verdicts.judge(claim, found, evidence.thresholds, study='gradient_flow')
        for claim, found in criteria.items()
    ]


SLOPE = 'nats a step'


def _vanishing(evidence: Evidence) -> list[Criterion]:
    limits, found, straight = evidence.thresholds, [], []
    for family, activation in RNNS.items():
        for std in stds(evidence):
            for radius in evidence.config['vanishing_radii']:
                rate = tuple(step(evidence, family, std, radius)['rate'])
                condition = f'{activation} at {_at(radius, std)}'
                found.append(Criterion(condition, SLOPE, rate, limits['vanishing'], 'below'))
        trained = evidence.value(what='trained', family=family)['after']['steps']
        rate = tuple(trained['rate'])
        condition = f'trained {activation}'
        found.append(Criterion(condition, SLOPE, rate, limits['vanishing'], 'below'))
        # Where theory has them vanish: at radii up to 1.
        low = [r for r in evidence.config['radii'] if r <= 1]
        cells = [step(evidence, family, std, r) for std in stds(evidence) for r in low]
        fits = [np.min([cell['fit'] for cell in cells], axis=0)]
        fits += [np.min([np.subtract(c['fit'], c['power_fit']) for c in cells], axis=0)]
        for name, fit, limit in (
            (f'{activation} falling in straight lines up to radius 1', fits[0], limits['straight']),
            (f'{activation} closer to lines than to power laws', fits[1], limits['straighter']),
        ):
            straight.append(Criterion(name, 'R², the least of all radii', tuple(fit), limit))
    return found + straight


def _exploding(evidence: Evidence) -> list[Criterion]:
    limits, found = evidence.thresholds, []
    for family, activation in RNNS.items():
        for std in stds(evidence):
            for radius in evidence.config['exploding_radii']:
                rate = tuple(step(evidence, family, std, radius)['rate'])
                condition = f'{activation} at {_at(radius, std)}'
                found.append(Criterion(condition, SLOPE, rate, limits['exploding']))
    runs = {clip: by_rate(evidence, clip) for clip in (False, True)}
    largest = max(runs[True])
    best = {
        clip: min(rates.values(), key=lambda value: float(np.mean(value['losses'])))
        for clip, rates in runs.items()
    }
    at_largest = {clip: rates[largest] for clip, rates in runs.items()}
    for name, pair in (
        (f'clipping tames training at rate {largest:g}', at_largest),
        ('clipping tames training at each one’s best rate', best),
    ):
        gain = differences(pair[False]['losses'], pair[True]['losses'])
        found.append(Criterion(name, 'nats gained', gain, limits['clipping_gain']))
    clip_norm = evidence.config['clipping']['clip_norm']
    over = tuple(np.subtract(best[True]['first_norms'], math.log10(clip_norm)))
    name = 'raw gradients under clipping stay large in the first tenth of training'
    found.append(Criterion(name, 'log10 over the clip norm', over, limits['cut_off']))
    rate = tuple(best[True]['rate'])
    name = 'growth with distance stays when clipped training ends'
    found.append(Criterion(name, SLOPE, rate, limits['exploding']))
    return found


def _derivatives_alone(evidence: Evidence) -> list[Criterion]:
    found = []
    for family, activation in RNNS.items():
        for std in stds(evidence):
            for radius in evidence.config['vanishing_radii']:
                cell = step(evidence, family, std, radius)
                measured = np.array(cell['rate'])
                errors = [
                    decay.relative_difference(np.array(cell['predicted'][name]['rate']), measured)
                    for name in ('largest', 'typical')
                ]
                closer = min(errors, key=lambda error: float(error.mean()))
                condition = f'{activation} at {_at(radius, std)}'
                limit = evidence.thresholds['prediction']
                kind = 'relative difference of rates'
                found.append(Criterion(condition, kind, tuple(closer), limit, 'below'))
    return found


def _gates(evidence: Evidence) -> list[Criterion]:
    limits, vanish, later = evidence.thresholds, [], []
    for family, name in GATED.items():
        places = {
            f'{"small " if std < 1 else "unit "}inputs': (
                step(evidence, family, std, 1.0)['rate'],
                step(evidence, 'rnn_tanh', std, 1.0)['rate'],
            )
            for std in stds(evidence)
        }
        ours, theirs = (
            evidence.value(what='trained', family=one)['after']['steps']['rate']
            for one in (family, 'rnn_tanh')
        )
        places['trained'] = (ours, theirs)
        for place, (rate, rnn) in places.items():
            condition = f'{name} vanishing ({place})'
            vanish.append(Criterion(condition, SLOPE, tuple(rate), limits['vanishing'], 'below'))
            gain = differences(rate, rnn)
            condition = f'{name} later than RNN ({place})'
            later.append(Criterion(condition, f'{SLOPE} above the RNN', gain, limits['later']))
    return vanish + later


def _attention(evidence: Evidence) -> list[Criterion]:
    limits = evidence.thresholds
    rates = {key['stack']: value['rate'] for key, value in evidence.select(what='reach')}
    found = [
        Criterion(name, SLOPE, tuple(rates[stack]), limits['flat'])
        for stack, name in PARTS.items()
        if stack in rates
    ]
    trained = evidence.value(what='trained', family='transformer')['after']['loss']['rate']
    found.append(Criterion('trained attention', SLOPE, tuple(trained), limits['flat']))
    for stack in ('rnn_residual', 'gru_residual'):
        gain = differences(rates['attention_bare'], rates[stack])
        condition = f'attention without either against {STACKS[stack]} with both'
        kind = f'{SLOPE} above'
        found.append(Criterion(condition, kind, gain, -limits['vanishing']))
    return found


def _deeper(evidence: Evidence) -> list[Criterion]:
    found_depths = deepest(evidence)
    limit, found = evidence.thresholds['deeper'], []
    for ours in ('attention', 'attention_bare'):
        for other in (*BARE, *RESIDUAL):
            alike = (ours == 'attention') or other in BARE
            if ours in found_depths and other in found_depths and alike:
                gain = differences(found_depths[ours], found_depths[other])
                condition = f'{STACKS[ours]} against {STACKS[other]}'
                found.append(Criterion(condition, 'doublings of depth', gain, limit))
    return found


def deepest(evidence: Evidence) -> dict[str, list[float]]:
    """log₂ of the deepest stack that learned, one a seed, by stack."""
    chance = math.log(evidence.config['depth']['setting']['alphabet'])
    losses: dict[str, dict[int, list[float]]] = {}
    for key, value in evidence.select(what='depth'):
        losses.setdefault(key['stack'], {})[key['layers']] = value['losses']
    enough = evidence.thresholds['trained'] * chance
    return {stack: trainability.doublings(found, enough) for stack, found in losses.items()}


def step(evidence: Evidence, family: str, std: float, radius: float) -> dict[str, Any]:
    """Fits of fresh cells: the whole product's, with the others' under `predicted`."""
    fits = evidence.value(what='steps', family=family)[f'{std:g}'][f'{radius:g}']
    return {**fits[''], 'predicted': {name: fit for name, fit in fits.items() if name}}


def by_rate(evidence: Evidence, clipped: bool) -> dict[float, dict[str, Any]]:
    """Trainings with or without clipping, by learning rate."""
    return {
        key['learning_rate']: value
        for key, value in evidence.select(what='clipping')
        if (key['clip'] > 0) == clipped
    }


def stds(evidence: Evidence) -> list[float]:
    """Standard deviations of the inputs."""
    return list(evidence.config['input_stds'])


def _at(radius: float, std: float) -> str:
    return f'radius {radius:g}' + (' (small inputs)' if std < 1 else '')
