"""What is said of a comparison is true of its numbers, and the page holds all of it."""

import base64
import copy
import json
import math
import re

import pytest

from nlp_models.analysis import drawing, page
from nlp_models.analysis.sentences import sentences
from tests.html_pages import read

LENGTHS = (64, 256, 1024, 4096)
BITS = {'rnn': 2.402, 'lstm': 2.113, 'gru': 2.120, 'transformer': 2.205}
RATES = {'rnn': 52000.0, 'lstm': 31000.0, 'gru': 34000.0, 'transformer': 61000.0}
PNG = b'\x89PNG\r\n\x1a\n'


def neural(bits, rate, *, falls=0.0, grows=0.0):
    """One family: throughput goes as length^-falls, decoding as 1 + grows · length."""
    return {
        'parameters': 412_000,
        'valid_bits_per_char': bits,
        'valid_loss': bits * math.log(2),
        'train_seconds': 60.2,
        'compile_seconds': 2.31,
        'steps': 1200,
        'step_seconds': 0.0502,
        'tokens_per_second': rate,
        'learning_rate': 1e-3,
        'curve': [
            {'seconds': second, 'step': 20 * second, 'valid_bits_per_char': bits + above}
            for second, above in ((12, 2.0), (24, 0.5), (36, 0.15), (60, 0.0))
        ],
        'training': [
            {'length': n, 'batch_size': 8192 // n, 'tokens_per_second': rate * (n / 64) ** -falls}
            for n in LENGTHS
        ],
        'decoding': [
            {
                'length': n,
                'seconds_per_token': 10 / rate * (1 + grows * n),
                'tokens_per_second': rate / 10 / (1 + grows * n),
                'state_bytes': 2048 * (n if grows else 1),
            }
            for n in LENGTHS
        ],
    }


@pytest.fixture
def results():
    orders = [
        {'order': i + 1, 'parameters': 100 * 5**i, 'valid_bits_per_char': bits}
        for i, bits in enumerate((4.31, 3.4, 2.8, 2.45, 2.31, 2.34))
    ]
    nothing = dict.fromkeys(set(neural(0, 1)) - set(orders[4]))
    ngram = {**nothing, **orders[4], 'valid_loss': 1.6, 'train_seconds': 3.0}
    families = {name: neural(BITS[name], RATES[name]) for name in BITS}
    families['transformer'] = neural(2.205, 61000.0, falls=0.25, grows=0.001)
    setting = {'sequence_length': 128, 'batch_size': 64, 'corpus': '<pydoc> & co', 'seed': 1234}
    setting |= {'tokenizer': 'bytes', 'train_tokens': 4123456, 'validation_tokens': 212345}
    setting |= {'num_devices': 1, 'device': 'cpu', 'cores': 2, 'versions': {'jax': '0.10.2'}}
    families = {'ngram': ngram, **families}
    return dict(families=families, ngram_orders=orders, budget_seconds=60.0, setting=setting)


def swap(results, one, other, *fields):
    """The results with some of two families' numbers exchanged."""
    swapped = copy.deepcopy(results)
    for field in fields:
        swapped['families'][one][field] = results['families'][other][field]
        swapped['families'][other][field] = results['families'][one][field]
    return swapped


def test_table_is_sorted_and_fits_a_terminal(results):
    results['families']['rnn']['valid_bits_per_char'] = math.nan
    results['families']['a_family_with_a_name_as_long_as_a_line_of_text'] = neural(2.0, 1.234e8)
    lines = page.format_table(results).splitlines()
    assert max(map(len, lines)) <= 80
    assert len({len(line) for line in lines}) == 1
    names = [row[0].split(',')[0] for row in page.table(results)]
    assert names[1:] == ['LSTM', 'GRU', 'transformer', 'n-gram', 'RNN']
    lstm = next(row for row in page.table(results) if row[0] == 'LSTM')
    assert lstm == ('LSTM', '412,000', '2.113', '31,000', '50.20', '2.3')
    assert page.table(results)[-2] == ('n-gram, order 5', '62,500', '2.310', '–', '–', '–')


def test_lowest(results):
    assert sentences(results)['table'] == (
        'LSTM has the lowest bits per character, 2.113, 0.007 below GRU.'
    )
    swapped = sentences(swap(results, 'lstm', 'rnn', 'valid_bits_per_char'))
    assert swapped['table'] == 'RNN has the lowest bits per character, 2.113, 0.007 below GRU.'
    results['families']['gru']['valid_bits_per_char'] = 2.1132  # written the same: a tie
    results['families']['rnn']['valid_bits_per_char'] = math.inf
    assert sentences(results)['table'] == (
        'LSTM and GRU share the lowest bits per character, 2.113, 0.092 below transformer. '
        'Without a finite value: RNN.'
    )


def test_who_beats_the_ngram(results):
    said = sentences(results)
    assert said['baseline'] == (
        'In 60 s of training each, LSTM (by 0.197), GRU (by 0.190) and transformer (by 0.105) beat '
        'the best n-gram (5-gram, 2.310 bits per character); RNN (0.092 above) does not.'
    )
    swapped = sentences(swap(results, 'lstm', 'rnn', 'valid_bits_per_char'))['baseline']
    assert 'RNN (by 0.197)' in swapped
    assert 'LSTM (0.092 above) does not' in swapped
    results['families']['gru']['valid_bits_per_char'] = 2.3101
    results['families']['lstm']['valid_bits_per_char'] = math.nan
    said = sentences(results)['baseline']
    assert ', transformer (by 0.105) beats the best n-gram' in said
    assert '; RNN (0.092 above) does not; GRU equals it to three decimals; LSTM ended' in said


@pytest.mark.parametrize(('best', 'expected'), [(1.9, 'no'), (2.5, 'every')])
def test_nobody_or_everybody_beats_the_ngram(results, tmp_path, best, expected):
    results['families']['ngram']['valid_bits_per_char'] = best
    said = sentences(results)
    assert f'In 60 s of training each, {expected} neural family beats' in said['baseline']
    for name, bits in BITS.items():
        gap = f'by {best - bits:.3f}' if expected == 'every' else f'{bits - best:.3f} above'
        assert f'{drawing.label(name)} ({gap})' in said['baseline']
    assert 'do not' not in said['baseline']
    assert ('First below' in said['learning']) == (expected == 'every')
    assert ('At no moment below' in said['learning']) == (expected == 'no')
    assert said['baseline'] in read(page.write_page(results, tmp_path)).text


def test_each_against_the_unigram(results):
    results['families']['rnn']['valid_bits_per_char'] = 4.5
    results['families']['gru']['valid_bits_per_char'] = 4.31
    assert sentences(results)['unigram'] == (
        'The unigram needs 4.310 bits per character; below it: LSTM by 2.197, transformer by 2.105 '
        'and n-gram by 2.000; above it: RNN by 0.190; equal to it: GRU.'
    )


def test_when_each_curve_passes_the_ngram(results):
    lstm = results['families']['lstm']['curve']
    lstm[1]['valid_bits_per_char'], lstm[3]['valid_bits_per_char'] = 2.2, 2.4
    said = sentences(results)['learning']
    assert 'LSTM between 12 and 24 s, but not at the end; GRU between 24 and 36 s' in said
    assert 'transformer between 36 and 60 s' in said
    assert 'At no moment below the best n-gram: RNN.' in said
    assert 'RNN −0.150, LSTM +0.137' in said
    for family in results['families'].values():
        family['curve'] = family['curve'] and family['curve'][-1:]
    assert 'GRU by 60 s' in sentences(results)['learning']


def test_throughput(results):
    said = sentences(results)['throughput']
    assert 'sequences in a batch: 2 to 128' in said
    assert 'At length 64 transformer is fastest: 61,000 tokens/s, then RNN: 52,000 t' in said
    assert 'At length 4,096 RNN is fastest: 52,000 tokens/s, then GRU: 34,000 tokens/s.' in said
    assert 'RNN, LSTM and GRU are constant; transformer (×0.35) falls.' in said
    swapped = sentences(swap(results, 'rnn', 'transformer', 'training'))['throughput']
    assert 'At length 64 RNN is fastest' in swapped
    assert 'At length 4,096 transformer is fastest' in swapped
    assert 'RNN (×0.35) falls' in swapped


@pytest.mark.parametrize(
    ('values', 'expected'),
    [
        ((100, 100, 100, 100), 'LSTM is constant'),
        ((100, 95, 100, 91), 'LSTM (×0.91) stays the same within 10 %'),
        ((100, 150, 100, 104), 'LSTM (×1.04, varying ×1.50 between) ends within 10 % of its start'),
        ((100, 100, 100, 111), 'LSTM (×1.11) rises'),
        ((111, 100, 100, 100), 'LSTM (×0.90) falls'),
        ((1, 10, 1e3, 1e5), 'LSTM (×100,000) rises'),
    ],
)
def test_change_with_length(results, values, expected):
    results['families'] = {name: results['families'][name] for name in ('ngram', 'lstm')}
    rows = results['families']['lstm']['training']
    for row, value in zip(rows, values, strict=True):
        row['tokens_per_second'] = value
    rows.reverse()  # the order of the rows says nothing
    said = sentences(results)['throughput']
    assert said.endswith(f'From length 64 to 4,096: {expected}.')
    assert 'At length 64 only LSTM was measured' in said


def test_decoding(results):
    said = sentences(results)['decoding']
    time, state = said.split(' Decoding, state carried. ')
    assert 'RNN, LSTM and GRU are constant; transformer (×4.79) rises.' in time
    assert 'At length 4,096 RNN is cheapest: 192 µs, then GRU: 294 µs.' in time
    assert 'RNN, LSTM and GRU are constant; transformer (×64) rises.' in state
    assert '4,096 RNN, LSTM and GRU are smallest: 2.05 kB, then transformer: 8.39 MB' in state
    swapped = sentences(swap(results, 'rnn', 'transformer', 'decoding'))['decoding']
    assert 'transformer is cheapest' in swapped
    assert 'RNN (×4.79) rises' in swapped


def test_points_missing_at_long_lengths(results, tmp_path):
    del results['families']['transformer']['training'][2:]
    del results['families']['gru']['training'][1:]
    results['families']['lstm']['training'] = None
    said = sentences(results)['throughput']
    assert 'At length 4,096 only RNN was measured: 52,000 tokens/s.' in said
    assert 'transformer (×0.71, 64 to 256) falls' in said
    assert 'GRU (64) has one length only' in said
    assert said.endswith('Not measured: LSTM.')
    results['families']['lstm'] = neural(2.1, 31000.0)
    said = sentences(results)['throughput']
    assert 'then LSTM: 31,000 tokens/s (not measured there: GRU and transformer).' in said
    assert len(read(page.write_page(results, tmp_path)).all('img')) == 3


def test_single_length_and_nothing_measured(results, tmp_path):
    for name in BITS:
        for study in ('training', 'decoding'):
            del results['families'][name][study][1:]
    said = sentences(results)
    assert 'Only length 64 was measured' in said['throughput']
    assert not re.search('rise|fall|constant|within', said['throughput'] + said['decoding'])
    assert said['throughput'].count('At length 64') == 1
    page.write_page(results, tmp_path / 'single')
    for name in BITS:
        results['families'][name] |= {'training': None, 'decoding': [], 'curve': None}
    said = sentences(results)
    assert said['decoding'] == 'No decoding was measured.'
    assert said['throughput'] == 'No training throughput was measured.'
    page.write_page(results, tmp_path / 'nothing')


def test_a_new_family_gets_its_own_style(results):
    before = drawing.styles(results['families'])
    results['families']['mgu'] = neural(2.27, 40000.0)
    after = drawing.styles(results['families'])
    assert all(after[name] == style for name, style in before.items())
    assert len({style.color for style in after.values()}) == len(after)
    many = drawing.styles([f'cell_{i}' for i in range(40)])
    assert len(set(many.values())) == len(many)
    assert 'MGU (by 0.040)' in sentences(results)['baseline']


def test_page_is_whole(results, tmp_path):
    results['families']['mgu'] = neural(2.27, 40000.0)
    results['families']['<b>$x^'] = neural(2.28, 41000.0)
    reader = read(page.write_page(json.loads(json.dumps(results)), tmp_path))
    for name in results['families']:
        assert drawing.label(name) in reader.text
    for wanted in ('<pydoc> & co', '1234', '4,123,456', '<b>$x^', page.COMMAND):
        assert wanted in reader.text
    assert all(sentence in reader.text for sentence in sentences(results).values())
    assert len(reader.all('tr')) == 1 + len(results['families']) + 1 + 6
    assert reader.all('html') == [{'lang': 'en'}]
    assert any(tag.get('name') == 'viewport' for tag in reader.all('meta'))
    assert 'b' not in [tag for tag, _ in reader.found]
    images = reader.all('img')
    assert len(images) == 3
    for image in images:
        head, data = image['src'].split(',')
        assert head == 'data:image/png;base64'
        assert base64.b64decode(data, validate=True).startswith(PNG)
        assert len(image['alt']) > 50
    for name in ('throughput', 'decoding', 'learning'):
        assert (tmp_path / f'{name}.png').read_bytes().startswith(PNG)
    links = [value for _, a in reader.found for key, value in a.items() if key in ('src', 'href')]
    assert len(links) == 3  # the images: nothing is fetched
    assert 'url(' not in (tmp_path / 'index.html').read_text(encoding='utf-8')
