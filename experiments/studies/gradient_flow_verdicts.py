"""The criteria that decide claims 3 to 8 (`gradient_flow` measures)."""

import math
from typing import Any

import numpy as np

from experiments.studies.gradient_flow_claims import (
    ALONE,
    ATTENTION,
    BARE,
    DEPTH,
    EXPLODE,
    GATED,
    GATES,
    INSTRUMENT,
    PARTS,
    PATHS,
    RESIDUAL,
    RNNS,
    STACKS,
    TRAINED,
    VANISH,
)
from nlp_models.analysis import decay, trainability, verdicts
from nlp_models.analysis.intervals import differences
from nlp_models.analysis.study import Evidence
from nlp_models.analysis.verdicts import Criterion


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
        rate = tuple(evidence.value(what='trained', family=family)['after']['steps']['rate'])
        found.append(
            Criterion(
                f'trained {activation} ({score(evidence, family)})',
                SLOPE,
                rate,
                limits['vanishing'],
                'below',
                unless=unlearned(evidence, family),
            )
        )
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
        measure = 'nats gained; a run that diverged counts as guessing'
        found.append(Criterion(name, measure, gain, limits['clipping_gain']))
    clip_norm = evidence.config['clipping']['clip_norm']
    over = tuple(np.subtract(best[True]['first_norms'], math.log10(clip_norm)))
    name = 'raw gradients under clipping stay large in the first tenth of training'
    found.append(Criterion(name, 'log10 over the clip norm', over, limits['cut_off']))
    rate = tuple(best[True]['rate'])
    name = 'growth with distance stays when clipped training ends'
    found.append(Criterion(name, SLOPE, rate, limits['exploding']))
    return found


def _derivatives_alone(evidence: Evidence) -> list[Criterion]:
    limits, found = evidence.thresholds, []
    for family in RNNS:
        cells = _fresh(evidence, family, evidence.config['vanishing_radii'])
        for condition, cell in cells.items():
            measured = np.array(cell['rate'])
            errors = [
                decay.relative_difference(np.array(cell['predicted'][name]['rate']), measured)
                for name in ('largest', 'typical')
            ]
            closer = min(errors, key=lambda error: float(error.mean()))
            kind = 'relative difference of rates'
            found.append(Criterion(condition, kind, tuple(closer), limits['prediction'], 'below'))
    return found + [
        Criterion(
            f'∏ diag(f′) W of {activation} gives the measured rate',
            f'{SLOPE}, the largest difference of all radii, inputs and kinds of weights',
            chain_rule(evidence, family),
            0.0,
            'within',
            limits['chain_rule'],
            control=True,
        )
        for family, activation in RNNS.items()
    ]


def _fresh(evidence: Evidence, family: str, radii: Any) -> dict[str, Any]:
    """By condition: orthogonal weights at some radii, Gaussian ones at those that were measured."""
    found = {}
    for words, tried in (('', radii), (', Gaussian weights', evidence.config['gaussian_radii'])):
        for std in stds(evidence):
            for radius in tried:
                condition = f'{RNNS[family]} at {_at(radius, std)}{words}'
                found[condition] = step(evidence, family, std, radius, gaussian=bool(words))
    return found


def chain_rule(evidence: Evidence, family: str) -> tuple[float, ...]:
    """How far the rate of ∏ diag(f′) W is from the measured one, at worst, one a seed."""
    cells = _fresh(evidence, family, evidence.config['radii']).values()
    errors = [np.subtract(c['predicted']['with_weights']['rate'], c['rate']) for c in cells]
    return tuple(np.abs(errors).max(axis=0).tolist())


def _gates(evidence: Evidence) -> list[Criterion]:
    """At radius 1; of an LSTM both ways through it, of a GRU and an RNN the only one."""
    limits, vanish, later = evidence.thresholds, [], []
    for family in GATED:
        for path, name in PATHS[family].items():
            for place, (rate, rnn, no) in _places(evidence, family, path).items():
                condition = f'{name} vanishing ({place})'
                limit, reason = limits['vanishing'], no[0]
                vanish.append(
                    Criterion(condition, SLOPE, tuple(rate), limit, 'below', unless=reason)
                )
                condition, gain = f'{name} later than RNN ({place})', differences(rate, rnn)
                reason = '; '.join(part for part in no if part)
                kind = f'{SLOPE} above the RNN'
                later.append(Criterion(condition, kind, gain, limits['later'], unless=reason))
    return vanish + later


def _places(evidence: Evidence, family: str, path: str) -> dict[str, tuple]:
    """By where it was measured: rates of a gated cell, of the tanh RNN, and why neither counts."""
    found: dict[str, tuple] = {
        f'{"small " if std < 1 else "unit "}inputs': (
            step(evidence, family, std, 1.0, path)['rate'],
            step(evidence, 'rnn_tanh', std, 1.0)['rate'],
            ('', ''),
        )
        for std in stds(evidence)
    }
    ours, theirs = (
        evidence.value(what='trained', family=one)['after'] for one in (family, 'rnn_tanh')
    )
    no = unlearned(evidence, family), unlearned(evidence, 'rnn_tanh')
    place = f'trained, {score(evidence, family)}'
    return {**found, place: (ours[path or 'steps']['rate'], theirs['steps']['rate'], no)}


def score(evidence: Evidence, family: str) -> str:
    """How right a trained family is in the worst of its seeds."""
    scores = evidence.value(what='trained', family=family)['scores']
    return f'worst test accuracy {min(scores):.2f}'


def unlearned(evidence: Evidence, family: str) -> str:
    """Why a family's gradients are not those of a trained one; empty where they are.

    A run that diverged is no reason here: its values say so themselves.
    """
    scores = evidence.value(what='trained', family=family)['scores']
    least, known = evidence.thresholds['learned'], [s for s in scores if math.isfinite(s)]
    failed = sum(s <= least for s in known)
    if len(known) < len(scores) or not failed:
        return ''
    return (
        f'{failed} of {len(scores)} seeds of {TRAINED[family]} have not learned the task (test '
        f'accuracy {min(known):.2f} to {max(known):.2f})'
    )


def _attention(evidence: Evidence) -> list[Criterion]:
    limits = evidence.thresholds
    rates = {key['stack']: value['rate'] for key, value in evidence.select(what='reach')}
    found = [
        Criterion(name, SLOPE, tuple(rates[stack]), limits['flat'])
        for stack, name in PARTS.items()
        if stack in rates
    ]
    trained = evidence.value(what='trained', family='transformer')['after']['reach']['rate']
    condition = f'trained attention ({score(evidence, "transformer")})'
    no = unlearned(evidence, 'transformer')
    found.append(Criterion(condition, SLOPE, tuple(trained), limits['flat'], unless=no))
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
                condition = f'{STACKS[ours]} against {STACKS[other]}'
                top = math.log2(max(evidence.config['depth']['layers']))
                found.append(_gain(condition, found_depths[ours], found_depths[other], top, limit))
    return found


def _gain(
    condition: str, ours: list[float], theirs: list[float], top: float, limit: float
) -> Criterion:
    """Ours minus theirs where neither, one or both may be more than could be measured.

    Ours at the deepest that was asked makes the gain a lower bound; theirs there, or ours at no
    depth, an upper one. Where theirs trains at no depth there is nothing to be deeper than.
    """
    gain, nothing = differences(ours, theirs), theirs.count(trainability.NOWHERE)
    return Criterion(
        condition,
        'doublings of depth',
        gain,
        limit,
        at_least=max(ours) >= top,
        at_most=max(theirs) >= top or trainability.NOWHERE in ours,
        unless=f'{nothing} of {len(gain)} seeds of the other train at no depth' if nothing else '',
    )


def deepest(evidence: Evidence) -> dict[str, list[float]]:
    """log₂ of the deepest stack that learned, one a seed, by stack."""
    chance = math.log(evidence.config['depth']['setting']['alphabet'])
    losses: dict[str, dict[int, list[float]]] = {}
    for key, value in evidence.select(what='depth'):
        losses.setdefault(key['stack'], {})[key['layers']] = value['losses']
    enough = evidence.thresholds['trained'] * chance
    return {stack: trainability.doublings(found, enough) for stack, found in losses.items()}


def step(
    evidence: Evidence,
    family: str,
    std: float,
    radius: float,
    path: str = '',
    *,
    gaussian: bool = False,
) -> dict[str, Any]:
    """Fits of fresh cells: the whole product's or a block's, with all others under `predicted`."""
    what = 'gaussian' if gaussian else 'steps'
    fits = evidence.value(what=what, family=family)[f'{std:g}'][f'{radius:g}']
    return {**fits[path], 'predicted': {name: fit for name, fit in fits.items() if name}}


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
