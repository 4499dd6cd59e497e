"""The study of limitations: verdicts on made-up evidence either way, pictures, a tiny run."""

import json
import math

import numpy as np
import pytest

from configs.studies import limitations as configuration
from experiments.studies import limitations
from experiments.studies import limitations_costs as token_costs
from experiments.studies import limitations_rounding as numbers
from experiments.studies.limitations import STUDY
from nlp_models.analysis import questions, study
from nlp_models.analysis.study import Evidence

NOISE = np.random.default_rng(0).normal(0, 1e-3, 5)
KINDS = ('taught', 'untold', 'stranger')


def around(mean):
    return (mean + NOISE).tolist()


def an_answer(
    often, *, false=0.4, learned=1.0, rare=0.1, auroc=0.9, surest=0.05, ece=0.3, kept=0.5
):
    recall = {f: around(rare) for f in often} | {often[-1]: around(learned)}
    risk = [surest] * 5 + [0.7] * 15
    diagram = {
        'confidence': [[0.5] * 10] * 5,
        'accuracy': [[0.4] * 10] * 5,
        'count': [[9] * 10] * 5,
    }
    return {
        'recall': recall,
        'kind_recall': {kind: around(kept) for kind in KINDS},
        'surely_false': {kind: around(false) for kind in KINDS},
        'declined': {kind: around(0.2) for kind in KINDS},
        'auroc': around(auroc),
        'auroc_right': around(auroc),
        'risk': [risk] * 5,
        **{name: around(ece) for name in ('ece', 'ece_taught', 'ece_mass', 'ece_scaled')},
        **{name: around(0.2) for name in ('ece_taught_scaled', 'brier', 'brier_scaled')},
        'temperature': around(1.5),
        'bins': {'raw': diagram, 'scaled': diagram},
    }


def a_cost(config, family, *, by_width=2.0, by_context=1.0, carried=1.0, six=1.0):
    """Costs that grow as powers of width and context; of recurrent families not with context."""

    def row(width, context):
        recurrent = family != 'transformer'
        grown = width**by_width * context ** (0 if recurrent else by_context)
        state = 100 * context ** (0.0 if recurrent else carried)
        return {
            'width': width,
            'context': context,
            'flops': 6 * grown * six,
            'multiplied': grown,
            'price': 1e-6,
            'seconds': [1e-7 * grown * (1 + each) for each in NOISE],
            'num_bytes': 5000,
            'state_bytes': state,
            'parameters': width**2,
        }

    rows = [row(*size) for size in token_costs.sizes(config.costs)]
    return {'training': rows, 'generation': rows, 'where': '2 CPU cores'}


def a_design(task, *, spread=0.05, churn=0.3, wrong=0.2, texts=1.0, same=0.0):
    shares = {'churn_seeds': around(churn), 'churn_orders': around(churn)}
    losses = 1 + spread * np.random.default_rng(1).normal(size=(5, 5))
    value = {'losses': losses.tolist(), 'accuracies': losses.tolist(), **shares}
    if task == 'text':
        drawn = {'other_key': around(texts), 'same_key': [same] * 5, 'place': around(2.0)}
        return value | {'texts': drawn}
    untaught = {name.replace('churn', 'churn_untaught'): v for name, v in shares.items()}
    heated = {t: around(wrong) for t in ('0.5', '1.0', '1.5')}
    return value | untaught | {'wrong_draws': heated, 'draws_differ': heated}


def ways(*, again=0.0, bits=0.5, parted=0.0, devices=True):
    found = {}
    for name in numbers.WAYS:
        if name != 'devices' or devices:
            share = again if name in numbers.REPEATED else bits
            found[name] = {
                'bits': [share] * 5,
                'largest': [1e-5 * share] * 5,
                'parted': [again if name in numbers.REPEATED else parted] * 5,
                'place': [9.0] * 5,
            }
    return found


def made_up(*, plain=None, taught=None, measured=0.0, ngram=None, cost=None, design=None, way=None):
    """Evidence in which models are sure and false, costs grow, and seeds matter, or as is said."""
    config, rows = configuration.get_config('standard'), []
    often = [str(f) for f in config.world.frequencies]
    for cell in STUDY.grid(config):
        key = cell.key
        match key['what']:
            case 'instruments':
                names = ('calibrated', 'too_sure', 'brier', 'auroc')
                value = {name: {'measured': around(measured), 'expected': 0.0} for name in names}
            case 'questions':
                said = (taught or {'false': 0.2, 'kept': 0.5}) if key['lessons'] else (plain or {})
                if key['family'] == 'ngram':
                    said = ngram or said
                value = an_answer(often, **said)
            case 'cost' if key['family'] == 'ngram':
                row = {'seconds': [1e-6] * 5, 'flops': 0.0, 'price': 1e-9, 'num_bytes': 900}
                row |= {'parameters': 70, 'context': 64}
                value = {'training': [row], 'generation': [row], 'where': '2 CPU cores'}
            case 'cost':
                value = a_cost(config, key['family'], **(cost or {}))
            case 'crossed':
                value = a_design(key['task'], **(design or {}))
            case _:
                value = ways(**(way or {}))
        rows.append({'key': key, 'value': value, 'seconds': 1.0})
    return Evidence('limitations', json.loads(config.to_json()), rows, {})


def verdicts_of(**changed):
    return [verdict['verdict'] for verdict in STUDY.judge(made_up(**changed))]


def test_the_claims_are_those_of_the_tutorial():
    assert [claim.number for claim in STUDY.claims] == [38, 39, 40, 0, 0, 0, 0]
    assert {claim.section for claim in STUDY.claims} == {'11'}


def test_evidence_for_the_claims():
    found = STUDY.judge(made_up())
    assert [v['verdict'] for v in found] == [
        'supported',
        'qualified',  # what carries a state of one size costs no more after a longer text
        'qualified',  # the same program repeats itself
        *['supported'] * 4,
    ]
    assert 'not for training RNN, LSTM and GRU of a longer context' in found[1]['condition']
    assert 'not for texts drawn again with the same random key' in found[2]['condition']


def test_falsehoods_can_be_refuted_and_need_models_that_learned():
    honest = {'false': 0.02}
    assert verdicts_of(plain=honest, taught=honest)[0] == 'refuted'
    assert verdicts_of(ngram=honest)[0] == 'qualified'
    ignorant = STUDY.judge(made_up(plain={'learned': 0.5}))[0]
    assert ignorant['verdict'] == 'inconclusive'
    assert 'the instrument fails: a GRU, facts told most often' in ignorant['note']


def test_costs_can_be_refuted():
    alike = {'by_width': 0.3, 'by_context': 0.0, 'carried': 0.0, 'six': 2.0}
    assert verdicts_of(cost=alike)[1] == 'refuted'
    (found,) = [v for v in STUDY.judge(made_up(cost={'six': 1.3})) if v['claim'] == 39]
    assert 'operations of training any family as 6 N' in found['condition'].split('; ')[1]
    # Twice the width at a power of 0.9: 1.87 times the cost, less than twice.
    found = STUDY.judge(made_up(cost={'by_width': 0.9}))[1]
    twice = [row for row in found['criteria'] if 'twice the width' in row['condition']]
    assert [row['outcome'] for row in twice] == ['failed'] * len(twice)
    assert [row['estimate'] for row in twice] == pytest.approx([2**0.9] * len(twice))


def test_chance_can_be_refuted_and_supported():
    calm = {'spread': 1e-4, 'churn': 0.01, 'wrong': 0.01, 'texts': 0.0}
    assert verdicts_of(design=calm, way={'bits': 0.0})[2] == 'refuted'
    wild = {'again': 0.5, 'parted': 0.5}
    assert verdicts_of(design={'spread': 0.2, 'same': 1.0}, way=wild)[2] == 'supported'
    one = STUDY.judge(made_up(way={'devices': False}))[2]  # where there is but one device
    assert not any('devices' in row['condition'] for row in one['criteria'])


def test_no_runs_of_equal_loss_leave_churn_open():
    found = made_up()
    for _, value in found.select(what='crossed', task='facts'):
        value['churn_seeds'] = [math.nan, 0.3, 0.3, 0.3, 0.3]
    verdict = STUDY.judge(found)[2]
    (row,) = [
        row
        for row in verdict['criteria']
        if row['condition'] == 'predictions on facts with other seeds of parameters'
    ]
    assert (row['outcome'], 'come to an equal loss' in row['note']) == ('open', True)
    # A run that diverged is told as such.
    for _, value in found.select(what='crossed', task='facts'):
        value['losses'][0][0] = math.nan
    assert 'diverged' in STUDY.judge(found)[2]['note']


def test_findings_can_be_refuted():
    assert verdicts_of(plain={'rare': 0.9})[3] == 'refuted'
    useless = {'auroc': 0.5, 'surest': 0.6}
    assert verdicts_of(plain=useless)[4] == 'qualified'  # some are left
    # Nothing is left, and all were told apart.
    assert verdicts_of(plain={'surest': 0.0})[4] == 'qualified'
    assert verdicts_of(plain={'auroc': 0.5, 'surest': 0.0})[4] == 'qualified'
    assert verdicts_of(plain={'ece': 0.02})[5] == 'refuted'
    assert verdicts_of(taught={'false': 0.4, 'kept': 0.3})[6] == 'refuted'
    assert verdicts_of(taught={'false': 0.2, 'kept': 0.3})[6] == 'qualified'
    # Instruments that measure something else decide nothing.
    assert verdicts_of(measured=0.1)[4:6] == ['inconclusive'] * 2


def test_a_reader_that_diverged_is_told():
    found = made_up()
    value = found.value(what='questions', family='gru', lessons=False)
    for name in ('auroc', 'ece', 'ece_scaled', 'ece_taught'):
        value[name][2] = math.nan
    value['surely_false']['untold'][2] = math.nan
    verdicts = STUDY.judge(found)
    assert [v['verdict'] for v in verdicts[0::4]] == ['inconclusive'] * 2
    assert 'diverged: 1 of 5 runs' in verdicts[0]['note']


def test_pictures_tell_the_numbers():
    captions = {picture.name: picture.caption for picture in STUDY.plot(made_up())}
    assert list(captions) == [
        *('falsehoods', 'recall', 'risk', 'reliability'),
        *('cost_size', 'cost_context', 'cost_money', 'churn', 'draws', 'rounding'),
    ]
    assert 'transformer: never told 0.400' in captions['falsehoods']
    assert 'transformer 1: 0.10' in captions['recall']
    assert '0.050 among the surest 25%, 0.700 among all' in captions['risk']
    assert 'GRU 0.300 over all questions' in captions['reliability']
    assert 'transformer 16.0 and 16.0' in captions['cost_size']  # four times the width
    assert 'transformer: training 16.00 times the time' in captions['cost_context']
    assert 'n-gram of 70 grams: training 1 ms, 900 B, price 1.0e-09' in captions['cost_money']
    assert 'differing predictions 0.300 and 0.300' in captions['churn']
    assert '1.0: 0.200' in captions['draws']
    assert 'Not one bit differs: transformer computed again' in captions['rounding']


@pytest.mark.parametrize('size', ['quick', 'standard', 'full'])
def test_cells_are_distinct_and_what_is_judged_is_measured(size):
    config = configuration.get_config(size)
    keys = [cell.key for cell in STUDY.grid(config)]
    assert len({json.dumps(key) for key in keys}) == len(keys)
    assert {key['what'] for key in keys} == {
        *('instruments', 'questions', 'cost', 'crossed', 'rounding')
    }
    assert set(config.lessons) <= set(config.readers)
    assert config.coverage in questions.COVERAGES
    assert config.crossed.judged_temperature in config.crossed.temperatures
    assert config.costs.rounds >= 5
    assert len(config.seeds) >= (2 if size == 'quick' else 5)


def tiny():
    config = configuration.get_config('quick')
    small = dict(people=12, names=6, relations=3, untold=1, values=4, frequencies=(1, 8))
    config.world.update(small)
    config.crossed.facts.world.update(small)
    config.update(made_up=50, num_devices=1, lesson_mentions=2)
    config.readers.transformer.update(hidden_size=8, num_layers=1)
    config.readers.gru.hidden_size = 8
    config.reading.update(batch_size=8, chunk=1)
    config.costs.update(
        families=('gru',), widths=(4, 8), contexts=(40, 48), tokens=96, rounds=1, block_seconds=1e-4
    )
    config.crossed.models.gru.hidden_size = 8
    config.crossed.facts.update(batch_size=8, chunk=1)
    config.crossed.text.update(
        steps=2, chunk=2, batch_size=2, length=8, tested=2, prompts=2, prompt=4, written=3
    )
    config.rounding.update(steps=2, chunk=2, batch_size=2, length=8, prompts=2, prompt=6, written=3)
    config.rounding.models.mingru.update(hidden_size=8, num_layers=1)
    return config


def test_a_tiny_run_measures_and_writes_everything(tmp_path):
    def measure(config, key, evidence):  # compiling all takes long: one reader stands for others
        if key['what'] == 'questions' and key['family'] == 'transformer':
            return evidence.value(**{**key, 'family': 'gru'})
        return STUDY.measure(config, key, evidence)

    evidence = study.run(STUDY._replace(measure=measure), tiny(), tmp_path)
    written = {path.name for path in tmp_path.iterdir()}
    assert {'evidence.json', 'verdicts.json', 'falsehoods.png', 'cost_money.png'} <= written
    verdicts = json.loads((tmp_path / 'verdicts.json').read_text())
    assert [v['claim'] for v in verdicts] == [38, 39, 40, 0, 0, 0, 0]
    asked = evidence.value(what='questions', family='gru', lessons=True)
    assert all(0 <= share <= 1 for share in asked['surely_false']['stranger'])
    assert set(asked['recall']) == {'1', '8'}
    (cost,) = (value for _, value in evidence.select(what='cost'))
    rows = cost['generation']
    assert [(row['width'], row['context']) for row in rows] == [(4, 40), (8, 40), (4, 48)]
    assert rows[0]['price'] == pytest.approx(1000 * rows[0]['seconds'][0] / 3600)
    facts, text = (evidence.value(what='crossed', task=task) for task in ('facts', 'text'))
    assert np.shape(facts['losses']) == np.shape(text['losses']) == (2, 2)
    assert len(set(np.ravel(text['losses']))) == 4  # no seed and no order is another's
    assert text['texts']['same_key'] == [0.0, 0.0]
    ways_found = evidence.value(what='rounding', family='mingru')
    assert 'devices' not in ways_found  # one was asked for
    for name in numbers.REPEATED:
        assert ways_found[name]['bits'] == ways_found[name]['parted'] == [0.0, 0.0]
    assert all(0 < share <= 1 for share in ways_found['bfloat16']['bits'])
    assert evidence.study == limitations.NAME
