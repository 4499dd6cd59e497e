"""Which criteria decide the claims about fine-tuning."""

from typing import Any

import numpy as np

from experiments.studies.fine_tuning_pictures import METHODS, SCRATCH, size_name
from nlp_models.analysis import verdicts
from nlp_models.analysis.intervals import differences
from nlp_models.analysis.study import Evidence
from nlp_models.analysis.verdicts import Claim, Criterion

FILE = 'nlp_models/adaptation/rules.py'
CLAIMS = (
    Claim(
        30,
        '9',
        'Fine-tuning a pretrained model beats training from nothing on the same data',
        'score of full fine-tuning minus that of the same architecture from nothing, and of a bag '
        'of words, by seed',
        'θ ← θ − η ∇L(θ), from θ_pretrained',
        'nlp_models/training/step.py',
    ),
    Claim(
        31,
        '9',
        'Freezing layers reduces overfitting when data is small',
        'held-out minus training loss, of full fine-tuning minus that of freezing; and held-out '
        'scores',
        'θ_frozen ← θ_frozen',
        FILE,
    ),
    Claim(
        32,
        '9',
        'Smaller learning rates for lower layers help',
        'score with each layer’s rate that of the layer above over 2.6, minus that with one rate '
        'for all, each the best of a sweep',
        'η_{l−1} = η_l / 2.6',
        FILE,
    ),
    Claim(
        33,
        '9',
        'Adapters match full fine-tuning with a few percent of the parameters and leave the base '
        'unharmed',
        'score of adapters minus that of full fine-tuning, share of parameters trained, and what '
        'is forgotten',
        'x ← x + σ(x W_down + b_down) W_up + b_up',
        'nlp_models/attention/bottleneck.py',
    ),
)
LIGHT = ('adapter', 'lora')  # small sets of parameters beside a base that stays


def _docs(evidence: Evidence, method: str, size: int) -> dict[str, Any]:
    return evidence.value(what='docstrings', method=method, size=size)


def _code(evidence: Evidence, method: str, size: int) -> dict[str, Any]:
    return evidence.value(what='code', method=method, size=size)


def _doc_sizes(evidence: Evidence) -> list[int]:
    return list(evidence.config['docstrings']['sizes'])


def _code_sizes(evidence: Evidence) -> list[int]:
    return list(evidence.config['code']['sizes'])


def bits(nats: list[float]) -> np.ndarray:
    """Bits a byte, which is a character here, of nats a token."""
    return np.asarray(nats, float) / np.log(2)


def _ahead(
    evidence: Evidence, ours: str, other: str, *, threshold: str, code: str
) -> list[Criterion]:
    """One method's score minus another's at every size, on docstrings and on code."""
    limits, found = evidence.thresholds, []
    for n in _doc_sizes(evidence):
        one, two = (_docs(evidence, name, n)['accuracy'] for name in (ours, other))
        found.append(
            Criterion(
                f'docstrings, {size_name(n)} texts',
                f'accuracy, minus {METHODS[other]}',
                differences(one, two),
                limits[threshold],
            )
        )
    for n in _code_sizes(evidence):
        one, two = (bits(_code(evidence, name, n)['new']).tolist() for name in (ours, other))
        found.append(
            Criterion(
                f'code, {size_name(n)} characters',
                f'bits a character of {METHODS[other]}, minus ours',
                differences(two, one),
                limits[code],
            )
        )
    return found


def _judge_pretraining(evidence: Evidence) -> list[Criterion]:
    found = _ahead(evidence, 'full', SCRATCH, threshold='gain', code='bits')
    for n in _doc_sizes(evidence):
        bag = evidence.value(what='bag', size=n)['accuracy']
        found.append(
            Criterion(
                f'docstrings, {size_name(n)} texts, against a bag of words',
                'accuracy, minus a bag of words',
                differences(_docs(evidence, 'full', n)['accuracy'], bag),
                evidence.thresholds['gain'],
            )
        )
    majority = evidence.value(what='base')['majority']
    most = _doc_sizes(evidence)[-1]
    found.append(
        Criterion(
            'full fine-tuning has learned something',
            'accuracy minus the share of the commonest class',
            tuple(a - majority for a in _docs(evidence, 'full', most)['accuracy']),
            0.0,
            control=True,
        )
    )
    return found


def _gap(value: dict[str, Any], held: str, train: str) -> np.ndarray:
    return np.asarray(value[held], float) - np.asarray(value[train], float)


def _judge_freezing(evidence: Evidence) -> list[Criterion]:
    """At the smallest size of both: the gap, and what it does to the score."""
    limits = evidence.thresholds
    docs, code = _doc_sizes(evidence)[0], _code_sizes(evidence)[0]
    of_docs = {m: _docs(evidence, m, docs) for m in ('full', 'freeze')}
    of_code = {m: _code(evidence, m, code) for m in ('full', 'freeze')}
    gaps = {m: _gap(value, 'loss', 'train_loss') for m, value in of_docs.items()}
    code_gaps = {m: _gap(value, 'new', 'train') for m, value in of_code.items()}
    where = f'docstrings, {size_name(docs)} texts', f'code, {size_name(code)} characters'
    return [
        Criterion(
            f'{where[0]}: gap',
            'held-out minus training loss of full, minus that of freezing, nats',
            differences(gaps['full'].tolist(), gaps['freeze'].tolist()),
            limits['gap'],
        ),
        Criterion(
            f'{where[0]}: accuracy',
            'accuracy of freezing minus that of full',
            differences(of_docs['freeze']['accuracy'], of_docs['full']['accuracy']),
            limits['accuracy'],
        ),
        Criterion(
            f'{where[1]}: gap',
            'held-out minus training loss of full, minus that of freezing, nats',
            differences(code_gaps['full'].tolist(), code_gaps['freeze'].tolist()),
            limits['gap'],
        ),
        Criterion(
            f'{where[1]}: held-out loss',
            'bits a character of full minus those of freezing',
            differences(*(bits(of_code[m]['new']).tolist() for m in ('full', 'freeze'))),
            limits['accuracy'],
        ),
    ]


def _judge_layerwise(evidence: Evidence) -> list[Criterion]:
    return _ahead(evidence, 'layerwise', 'full', threshold='gain', code='bits')


def _judge_adapters(evidence: Evidence) -> list[Criterion]:
    limits, found = evidence.thresholds, []
    docs, code = _doc_sizes(evidence)[-1], _code_sizes(evidence)[-1]
    for method in LIGHT:
        ours, full = (_docs(evidence, m, docs) for m in (method, 'full'))
        found.append(
            Criterion(
                f'{METHODS[method]}, docstrings, {size_name(docs)} texts',
                'accuracy minus that of full',
                differences(ours['accuracy'], full['accuracy']),
                limits['within'],
            )
        )
        mine, theirs = (_code(evidence, m, code) for m in (method, 'full'))
        found.append(
            Criterion(
                f'{METHODS[method]}, code, {size_name(code)} characters',
                'bits a character of full minus ours',
                differences(bits(theirs['new']).tolist(), bits(mine['new']).tolist()),
                -limits['bits'],
            )
        )
        for name, value in (('docstrings', ours), ('code', mine)):
            found.append(
                Criterion(
                    f'{METHODS[method]}, {name}: share trained',
                    'parameters trained, over all',
                    (value['trained'] / value['parameters'],),
                    limits['share'],
                    'below',
                    exact=True,
                )
            )
        before = evidence.value(what='base')['remembered']
        prose = evidence.value(what='prose')['old']
        found.append(
            Criterion(
                f'{METHODS[method]}, docstrings: forgets less than full',
                'loss on pairs of halves after full fine-tuning minus that after ours, nats',
                differences(full['remembered'], ours['remembered']),
                limits['forgetting'],
            )
        )
        found.append(
            Criterion(
                f'{METHODS[method]}, docstrings: unharmed with it in place',
                'loss on pairs of halves, after minus before, nats',
                tuple(after - before for after in ours['remembered']),
                limits['harm'],
                'below',
            )
        )
        found.append(
            Criterion(
                f'{METHODS[method]}, code: unharmed with it in place',
                'loss on prose, after minus before, nats',
                differences(mine['old'], prose),
                limits['harm'],
                'below',
            )
        )
    # Adapters train the norms too, so taking them out does not undo all.
    whole = [_docs(evidence, 'lora', n)['untouched'] for n in _doc_sizes(evidence)]
    whole += [_code(evidence, 'lora', n)['untouched'] for n in _code_sizes(evidence)]
    found.append(
        Criterion(
            'LoRA: the base without it is bit for bit what it was',
            'sizes at which a parameter of the base has changed',
            (float(len(whole) - sum(whole)),),
            0.0,
            'below',
            exact=True,
        )
    )
    return found


def judge(evidence: Evidence) -> list[dict[str, Any]]:
    """What became of the claims."""
    rules = (_judge_pretraining, _judge_freezing, _judge_layerwise, _judge_adapters)
    return [
        verdicts.judge(claim, rule(evidence), evidence.thresholds, study='fine_tuning')
        for claim, rule in zip(CLAIMS, rules, strict=True)
    ]
