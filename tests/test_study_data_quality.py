"""The study of data quality: verdicts both ways, texts that are what they say, a small run."""

import json
import math
from typing import Any

import numpy as np
import pytest
from ml_collections import ConfigDict

from configs.studies import data_quality as config_file
from experiments.studies import data_quality as study_file
from experiments.studies import data_quality_pictures, data_quality_verdicts
from experiments.studies.data_quality import FAMILIES, STUDY
from nlp_models import costs, models
from nlp_models.analysis import datasets, scaling, spoiled_text, study, text_models
from nlp_models.analysis.document import plain
from nlp_models.analysis.solving import Outcome
from nlp_models.analysis.spoiled_text import Pieces
from nlp_models.analysis.study import Evidence
from nlp_models.data import batches
from nlp_models.data.tokenizers import learn_tokenizer
from nlp_models.errors import InputError

SEEDS = 5
MAKING = ConfigDict({'originals': 5, 'filtered': 0.02, 'strict': 0.3})
NOISE = np.random.default_rng(0).normal(0, 2e-3, (100, SEEDS))


def made_up(
    size=0.4,
    compute=0.15,
    noise=1.0,
    filters=0.2,
    knows=0.3,
    copies=0.1,
    dedup=0.05,
    shared=0,
    small=(),
):
    """Evidence in which the large model has 3 bits on clean text.

    Args:
      size: bits that the small one has more, after as many tokens.
      compute: at equal operations.
      noise: bits that a text costs of which all is spoiled; half of it costs half.
      filters: bits that filtering gains of those.
      knows: bits that a filter would gain that knows what is spoiled.
      copies: bits that copies cost.
      dedup: bits that deduplication gains of those.
      shared: runs of words in both texts.
      small: cells (by text) in which the small model diverged in a seed.
    """
    config = config_file.get_config('standard')
    rows = []
    for i, cell in enumerate(STUDY.grid(config)):
        key = cell.key
        value: dict[str, Any] = {}
        if key['what'] == 'texts':
            value = {'shared': shared, 'left_out': 7, 'vocab_size': 100}
            value['held_out'] = {'validation': 1000, 'test': 1000}
            value['texts'] = [
                {
                    'text': text,
                    'share': share,
                    'pieces': 100,
                    'different': 90,
                    'characters': 1000,
                    'ways': {'': 60, 'random': 40},
                    'table': [['all', 100, 1000], ['kept', 90, 900]]
                    * (text in ('filtered', 'strict')),
                }
                for text, share in study_file._qualities(config)
            ]
        elif key['what'] == 'rate':
            value = {'learning_rate': 0.1, 'swept': {'0.1': 1.0}}
        else:
            share = key['share']
            costs_bits = {
                'clean': 0.0,
                'noisy': noise * share,
                'filtered': noise * share - filters,
                'strict': noise * share,
                'sorted': noise * share - knows,
                'duplicated': copies,
                'deduplicated': copies - dedup,
            }[key['text']]
            if key['size'] == 'small':
                costs_bits += compute if key['equal'] == 'compute' else size
            scores = (3 + costs_bits + NOISE[i]).tolist()
            if key['size'] == 'small' and key['text'] in small:
                scores[1] = math.nan
            value = {'scores': scores, 'parameters': 10_000, 'steps': 1200}
        rows.append({'key': key, 'value': value, 'seconds': 1.0})
    return Evidence('data_quality', json.loads(config.to_json()), rows, {})


def verdicts_of(**named):
    return [v['verdict'] for v in STUDY.judge(made_up(**named))]


def test_verdicts_can_go_either_way():
    yes, no, open_ = 'supported', 'refuted', 'inconclusive'
    # Any noise costs more than size gains, filters and deduplication pay.
    assert verdicts_of(size=0.05, compute=0.04, noise=1.0)[0] == yes
    assert verdicts_of(size=0.3, noise=1.0, filters=0.3) == ['qualified', yes, yes, no]
    assert verdicts_of(size=0.05, compute=0.04, filters=0.3) == [yes, yes, yes, yes]
    # Noise costs less than size gains, whatever its share; filters and deduplication do harm.
    found = verdicts_of(size=0.9, compute=0.6, noise=0.4, filters=-0.1, dedup=-0.1)
    assert found == [no, no, no, no]
    # Where noise or copies cost nothing, the instrument does not work.
    assert verdicts_of(noise=0.0)[1] == open_
    assert verdicts_of(knows=0.0)[1] == open_
    assert verdicts_of(copies=0.0)[2] == open_


def test_conditions_are_told():
    (found, *_) = STUDY.judge(made_up(size=0.4, compute=0.15, noise=1.0))
    assert found['verdict'] == 'qualified'
    for family in ('transformer', 'GRU'):
        for share, equal, holds in (
            ('25%', 'compute', True),
            ('25%', 'tokens', False),
            ('50%', 'tokens', True),
        ):
            text = f'{family}, {share} spoiled, equal {equal}'
            assert (text in found['condition'].split('not for')[0]) == holds
    head = found['criteria'][0]
    assert head['condition'] == 'transformer, 75% spoiled, equal compute'
    assert head['estimate'] == pytest.approx(0.75 - 0.15, abs=0.01)


def test_a_small_model_that_is_ahead_on_clean_text_says_nothing_of_data():
    (found, *_) = STUDY.judge(made_up(compute=-0.1))
    compute = [c for c in found['criteria'] if c['condition'].endswith('equal compute')]
    assert {c['outcome'] for c in compute} == {'open'}
    assert 'not ahead on clean text' in compute[0]['note']
    tokens = [c for c in found['criteria'] if c['condition'].endswith('equal tokens')]
    assert {c['outcome'] for c in tokens} == {'met', 'failed'}
    # After equally many tokens the larger model must be ahead, or nothing is asked at all.
    assert verdicts_of(size=-0.1)[0] == 'inconclusive'


def test_text_that_is_in_both_and_runs_that_diverged_leave_all_open():
    assert verdicts_of(shared=1) == ['inconclusive'] * 4
    found = STUDY.judge(made_up(small=('clean',)))
    assert found[0]['verdict'] == 'inconclusive'
    assert 'diverged: 1 of 5 runs' in found[0]['note']
    assert [v['verdict'] for v in found[1:]] == ['supported', 'supported', 'refuted']


def test_pictures_and_tables_tell_the_numbers(tmp_path):
    evidence = made_up()
    study.write(STUDY, evidence, tmp_path)
    shares, cleaning = STUDY.plot(evidence)
    assert 'transformer: large (10k parameters, 1200 steps) 3.00' in shares.caption
    assert 'at 0%, 3.24' in shares.caption or 'at 0%, 3.25' in shares.caption
    assert 'noise costs +0.50' in cleaning.caption or 'noise costs +0.49' in cleaning.caption
    assert len(cleaning.figure.axes[0].get_yticks()) == 9 * len(FAMILIES)
    texts, taken = STUDY.tables(evidence)
    assert len(texts.rows) == 9
    assert texts.rows[1] == ('noisy', '25%', '100', '90', '1,000', 'random 40')
    assert '7 pieces were left out' in plain(texts.caption)
    assert taken.rows == (('all', '100', '1,000'), ('kept', '90', '900'))
    study.write(STUDY, made_up(small=('clean', 'filtered')), tmp_path)


@pytest.mark.parametrize('size', ['quick', 'standard', 'full'])
def test_every_size_has_its_cells(size):
    config = config_file.get_config(size)
    cells = STUDY.grid(config)
    keys = [json.dumps(cell.key, sort_keys=True) for cell in cells]
    assert len(set(keys)) == len(keys) == 1 + len(FAMILIES) * (2 + 3 + 6 + len(config.shares))
    assert config.steps % config.training.chunk == 0
    config.share = 0.9
    with pytest.raises(InputError, match=r'share is 0\.9: it must be one of shares'):
        STUDY.grid(config)


# The texts.


def words(start, count):
    """Words that no other start has."""
    letters = 'abcdefghijklmnopqrstuvwxyz'
    return [
        letters[n // 676 % 26] + letters[n // 26 % 26] + letters[n % 26] + 'x'
        for n in range(start, start + count)
    ]


def made_pieces(count=200):
    train = [' '.join([*words(20 * i, 20), 'and the end.']) for i in range(count)]
    held_out = [' '.join(words(20 * i, 12) + words(9000 + i, 9)) for i in range(20)]
    tokenizer = learn_tokenizer('chars', train, 0)
    return Pieces(train, held_out[:10], held_out[10:], 0, tokenizer)


def test_a_text_is_cut_into_pieces_and_held_out_apart(monkeypatch):
    long = ' '.join(words(0, 40))
    texts = {
        'train': ['one\n\n' + long + '\n\ntwo\n\n', 'three\n\n\n\nfour\n\n'],
        'validation': [' '.join(words(10, 13)).upper() + '!\n\n' + ' '.join(words(900, 30))],
        'test': ['short\n\n' + ' '.join(words(10, 12) + words(500, 12))],
    }
    corpus = spoiled_text.corpora.Corpus('name', '1', lambda split: iter(texts[split]))
    monkeypatch.setattr(spoiled_text.corpora, 'open_corpus', lambda data: corpus)
    data = ConfigDict({'piece': 40, 'tokenizer': 'chars', 'vocab_size': 0})
    pieces = spoiled_text.open_pieces(data)
    assert pieces.train == [f'one\n\n{long}', 'two', 'three\n\nfour']
    # Thirteen words of the training text in a row; twelve are none of it.
    assert pieces.validation == [' '.join(words(900, 30))]
    assert pieces.test == texts['test']
    assert pieces.left_out == 1
    assert spoiled_text.shared_with(pieces, [pieces.train]) == 0
    assert spoiled_text.shared_with(pieces, [pieces.train, [pieces.test[0].upper()]]) == 13
    assert pieces.tokenizer.decode(pieces.tokenizer.encode(long)) == long


def test_texts_are_what_they_say():
    pieces = made_pieces()
    clean = spoiled_text.make(pieces, 'clean', 0.0, 3, MAKING)
    assert clean.pieces == pieces.train
    noisy = spoiled_text.make(pieces, 'noisy', 0.5, 3, MAKING)
    assert [text == way for text, way in zip(noisy.pieces, pieces.train, strict=True)] == [
        way == '' for way in noisy.ways
    ]
    assert sum(way != '' for way in noisy.ways) == 100
    filtered = spoiled_text.make(pieces, 'filtered', 0.5, 3, MAKING)
    strict = spoiled_text.make(pieces, 'strict', 0.5, 3, MAKING)
    assert set(strict.pieces) < set(filtered.pieces)
    unspoiled = spoiled_text.make(pieces, 'sorted', 0.5, 3, MAKING)
    assert len(unspoiled.pieces) == 100
    assert set(unspoiled.pieces) < set(pieces.train)
    assert filtered.table[0][:2] == ('all', 200)
    assert filtered.table[-1][:2] == ('kept', len(filtered.pieces))
    assert len(filtered.ways) == len(filtered.pieces)
    assert 'random' not in filtered.ways
    copies = spoiled_text.make(pieces, 'duplicated', 0.5, 3, MAKING)
    assert len(copies.pieces) == 200
    assert len(set(copies.pieces)) == 100
    fewer = spoiled_text.make(pieces, 'deduplicated', 0.5, 3, MAKING)
    assert sorted(fewer.pieces) == sorted(set(copies.pieces))
    with pytest.raises(InputError, match="kind of text is 'dirty': it must be one of clean, noisy"):
        spoiled_text.make(pieces, 'dirty', 0.5, 3, MAKING)


# Training.


def test_bits_are_those_of_all_characters_but_the_first():
    tokenizer = learn_tokenizer('bytes', [], 0)
    text = 'abcabcabé' * 7
    tokens = tokenizer.encode(text)
    group = ConfigDict(config_file.get_config('quick').models.gru)
    group.hidden_size = 4
    model = models.build_language_model(group, vocab_size=256, max_length=8)
    training = config_file.get_config('quick').training
    training.update(batch_size=2, chunk=1, learning_rates=(1e-9, 1e-8))
    outcome = text_models.solve(
        model,
        lambda seed: tokens,
        {split: text_models.Scored(tokens, len(text)) for split in ('validation', 'test')},
        training,
        length=8,
        steps=1,
        seeds=(0, 1),
    )
    # Nothing was learned: about 8 bits a byte, and there are 70 bytes of 63 characters.
    untrained = 8 * (len(tokens) - 1) / len(text)
    assert outcome.scores == pytest.approx([untrained] * 2, rel=0.05)
    data = text_models.windows(tokens, 2, 8)
    assert data['weights'].sum() == len(tokens) - 1
    assert np.isnan(outcome.exact).all()


def test_a_rate_is_picked_by_all_texts_together():
    def outcome(**swept):
        swept = {name.replace('_', '.'): value for name, value in swept.items()}
        return Outcome(0.1, [], [], [], 0, swept, 1, 1)

    found = text_models.pick_rate([
        outcome(**{'0_1': 3.0, '0_2': 2.0, '0_4': math.inf}),
        outcome(**{'0_1': 2.0, '0_2': 2.5, '0_4': 1.0}),
    ])  # fmt: skip
    assert found == (0.2, {'0.1': 2.5, '0.2': 2.25, '0.4': math.inf})


@pytest.fixture(scope='module')
def pieces():
    return made_pieces(120)


def test_a_small_study_from_end_to_end(tmp_path, monkeypatch, pieces):
    monkeypatch.setattr(datasets, '_opened', {})
    monkeypatch.setattr(spoiled_text, 'open_pieces', lambda data: pieces)
    config = config_file.get_config('quick')
    config.update(seeds=2, shares=(0.5,), steps=4, sequence_length=8)
    config.making.originals = 5
    config.widths.update(small=4, large=8)
    config.training.update(batch_size=4, chunk=2, learning_rates=(1e-2, 1e30))
    families = ('gru',)  # every training is compiled
    for file in (study_file, data_quality_verdicts):
        monkeypatch.setattr(file, 'FAMILIES', families)
    monkeypatch.setattr(data_quality_pictures, 'NAMES', {'gru': 'GRU'})
    evidence = study.run(STUDY, config, tmp_path)
    texts = evidence.value(what='texts')
    assert [text['text'] for text in texts['texts']] == [
        'clean', 'noisy', 'filtered', 'strict', 'sorted', 'duplicated', 'deduplicated'
    ]  # fmt: skip
    assert texts['shared'] == 0
    assert texts['texts'][1]['ways'][''] == 60
    for family in families:
        for size in ('small', 'large'):
            picked = evidence.value(what='rate', family=family, size=size)
            assert picked['learning_rate'] == 0.01
            assert picked['swept']['1e+30'] == math.inf
        spent = {
            (key['size'], key['equal']): value
            for key, value in evidence.select(what='train', family=family, text='clean')
        }
        large, small = spent['large', 'tokens'], spent['small', 'compute']
        assert spent['small', 'tokens']['steps'] == large['steps'] == 4
        # To the nearest chunk of two steps.
        one_step = small['flops'] / small['steps']
        assert abs(small['flops'] - large['flops']) <= one_step + 1e-6
        assert small['tokens'] == small['steps'] * 4 * 8
        length = len(spoiled_text.join(pieces.train))
        assert small['passes'] == pytest.approx(small['tokens'] / length)
    assert len(study.lines(tmp_path)) == len(STUDY.claims)
    assert (tmp_path / 'shares.png').exists()


def test_where_there_is_one_rate_none_is_picked(monkeypatch, pieces):
    monkeypatch.setattr(datasets, '_opened', {})
    monkeypatch.setattr(spoiled_text, 'open_pieces', lambda data: pieces)
    config = config_file.get_config('quick')
    key = {'what': 'rate', 'family': 'gru', 'size': 'small'}
    found = STUDY.measure(config, key, made_up())
    assert found == {'learning_rate': config.training.learning_rates[0], 'swept': {}}


def test_seeds_read_texts_of_their_own(monkeypatch, pieces):
    monkeypatch.setattr(datasets, '_opened', {})
    monkeypatch.setattr(spoiled_text, 'open_pieces', lambda data: pieces)
    data = config_file.get_config('quick').data

    def made(kind, seed):
        return spoiled_text.made_once(data, kind, 0.5, seed, MAKING)

    one, tokens = made('noisy', 0)
    assert made('noisy', 0)[1] is tokens  # made once
    assert made('noisy', 1)[0].pieces != one.pieces
    assert made('clean', 0)[1] is made('clean', 1)[1]
    expected = pieces.tokenizer.encode(spoiled_text.join(one.pieces))
    assert tokens.tolist() == expected.tolist()
    rows = batches.random_windows(tokens, batch_size=4, length=8, seed=0, step=0)
    assert rows.shape == (4, 9)


def test_operations_are_those_of_the_formula(monkeypatch, pieces):
    monkeypatch.setattr(datasets, '_opened', {})
    monkeypatch.setattr(spoiled_text, 'open_pieces', lambda data: pieces)
    config = config_file.get_config('quick')
    vocab = pieces.tokenizer.vocab_size
    group, flops = study_file._model(config, 'transformer', 'large')
    assert flops == costs.transformer_flops(
        config.training.batch_size,
        config.sequence_length,
        width=group.hidden_size,
        num_layers=2,
        vocab_size=vocab,
    )
    assert group.hidden_size == config.widths.large
    small, few = study_file._model(config, 'gru', 'small')
    parameters = [
        costs.count_parameters(models.build_language_model(g, vocab_size=vocab, max_length=64))
        for g in (small, study_file._model(config, 'transformer', 'small')[0])
    ]
    assert parameters[0] == pytest.approx(parameters[1], rel=0.1)
    assert few == scaling.training_flops(
        small, batch_size=config.training.batch_size, length=64, vocab_size=vocab
    )
    assert few < flops
