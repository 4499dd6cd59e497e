"""What waits for what: recurrences, recurrences in parallel over time, and attention."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
from ml_collections import ConfigDict

from experiments.studies.parallelism_claims import CLAIMS, PAIR, RECURRENT, SOLVED
from experiments.studies.parallelism_pictures import plot
from nlp_models import costs, models
from nlp_models.analysis import cell_costs, parallel_time, throughput, verdicts
from nlp_models.analysis.study import Cell, Evidence, Study
from nlp_models.analysis.verdicts import Criterion


def grid(config: Any) -> list[Cell]:
    """Counts, clocks over lengths, parallel evaluations, and the two language models."""
    found = [Cell({'what': 'depth'}, 3)]
    found += [
        Cell({'what': 'growth', 'family': name, 'kept': kept}, 4)
        for name in config.families
        for kept in ('sequence', 'tokens')
    ]
    found += [Cell({'what': 'solved', 'case': case}, 15) for case in config.cases]
    return [*found, Cell({'what': 'training'}, 20), Cell({'what': 'decoding'}, 20)]


def measure(config: Any, key: dict, evidence: Evidence) -> Any:
    """One cell: see the function of its name."""
    del evidence
    match key['what']:
        case 'depth':
            return _depth(config)
        case 'growth':
            return _growth(config, key['family'], key['kept'])
        case 'solved':
            return _solved(config, config.solved[key['case']])
    return _language(config, key['what'])


def _depth(config: Any) -> Any:
    """By family: forward, and forward with backward, by length."""
    lengths, found = sorted({*config.lengths, *config.solved_lengths}), {}
    for name in config.families:
        model = config.models[name]
        body = models.build_body(model, max_length=max(lengths))
        count = partial(parallel_time.program_depth, body, width=model.hidden_size)
        found[name] = {
            passes: {str(t): count(length=t, backward=passes == 'both') for t in lengths}
            for passes in ('forward', 'both')
        }
    return found


def _growth(config: Any, family: str, kept: str) -> Any:
    """Seconds of one layer: for each length, one number a round."""
    model = config.models[family]
    batch = {
        length: max(1, config.tokens // length) if kept == 'tokens' else 1
        for length in config.lengths
    }
    seconds = parallel_time.growth(
        models.build_body(model, max_length=max(config.lengths)),
        width=model.hidden_size,
        shapes=[(size, length) for length, size in batch.items()],
        seed=config.seeds[0],
        rounds=config.rounds,
        block_seconds=config.block_seconds,
    )
    return {'seconds': seconds, 'where': cell_costs.place()}


def _solved(config: Any, ask: Any) -> Any:
    """By length: one value a seed of everything that is compared."""
    cell, found = models.find_cell(ask.model), {}
    params, scores = None, None
    if ask.get('trained', False):
        params, scores = parallel_time.learn(ask.model, config.task, config.seeds)
    for length in config.solved_lengths:
        if params is not None:
            draws = parallel_time.trained_draws(params, config.task, length=length)
        else:
            size = ask.model.hidden_size
            draws = parallel_time.random_draws(
                cell, config.seeds, length=length, size=size, gain=ask.gain
            )
        compared = parallel_time.compare(
            cell, draws, rounds=config.solved_rounds, block_seconds=config.block_seconds
        )
        found[str(length)] = compared._asdict()
    return {'lengths': found, 'scores': scores, 'where': cell_costs.place()}


def language_models(config: Any) -> dict[str, Any]:
    """The two configs, the GRU with about as many parameters as the transformer."""
    ask = config.language
    gru, transformer = (ConfigDict(ask[name].to_dict()) for name in PAIR)

    def count(model: Any) -> int:
        built = models.build_language_model(model, vocab_size=ask.vocab_size, max_length=8)
        return costs.count_parameters(built)

    def grown(size: int) -> int:
        gru.hidden_size = size
        return count(gru)

    gru.hidden_size = costs.closest_size(grown, count(transformer))
    return {'gru': gru, 'transformer': transformer}


def _language(config: Any, what: str) -> Any:
    """Both models at all lengths in turn: seconds of a token, one number a round."""
    ask, rows, draws = config.language, [], []
    lengths = ask[f'{what}_lengths']
    for name, model in language_models(config).items():
        built = models.build_language_model(
            model, vocab_size=ask.vocab_size, max_length=max(lengths)
        )
        prepare = _prepare_training if what == 'training' else _prepare_decoding
        init = jax.jit(built.init)
        params, parameters = init(jax.random.key(config.seeds[0])), costs.count_parameters(built)
        for length in lengths:
            draw, facts = prepare(config, built, params, length)
            rows.append({'family': name, 'length': length, 'parameters': parameters, **facts})
            draws.append((init, draw))

    def calls(seed: int) -> list[Callable[[], Any]]:
        return [draw(init(jax.random.key(seed)), seed) for init, draw in draws]

    seconds = parallel_time.afresh(calls, _rounds(config), block_seconds=config.block_seconds)
    for row, mine in zip(rows, seconds, strict=True):
        row['seconds_per_token'] = [second / row['tokens'] for second in mine]
    return {'rows': rows, 'where': cell_costs.place()}


def _rounds(config: Any) -> range:
    """Seeds of the rounds, which have parameters and inputs of their own, as in `growth`."""
    return range(config.seeds[0], config.seeds[0] + config.rounds)


def _prepare_training(config: Any, model: Any, params: Any, length: int) -> tuple[Any, dict]:
    """`(params, seed) -> call`, and what is known of it."""
    ask = config.language
    ready = throughput.prepare_training(
        model,
        params,
        length=length,
        longest=max(ask.training_lengths),
        tokens_per_batch=ask.tokens,
        vocab_size=ask.vocab_size,
        seed=config.seeds[0],
    )
    return ready.draw, {'tokens': ready.batch_size * length}


def _prepare_decoding(config: Any, model: Any, params: Any, length: int) -> tuple[Any, dict]:
    """`(params, seed) -> call`, and what is known of it."""
    ready = partial(
        throughput.prepare_decoding, model, length=length, vocab_size=config.language.vocab_size
    )

    def draw(params: Any, seed: int) -> Callable[[], Any]:
        return ready(params, seed=seed).call

    state_bytes = ready(params, seed=config.seeds[0]).state_bytes
    return draw, {'tokens': throughput.DECODED_TOKENS, 'state_bytes': state_bytes}


def judge(evidence: Evidence) -> list[dict[str, Any]]:
    """A verdict for each claim."""
    criteria = (_same(evidence), _growing(evidence), _prohibited(evidence), _attention(evidence))
    return [
        verdicts.judge(claim, each, evidence.thresholds, study='parallelism')
        for claim, each in zip(CLAIMS, criteria, strict=True)
    ]


def _longest(evidence: Evidence) -> list[tuple[str, dict, str]]:
    """(case, what was compared at the longest T, where) of everything solved in parallel."""
    length = str(max(evidence.config['solved_lengths']))
    cells = evidence.select(what='solved')
    return [(key['case'], value['lengths'][length], value['where']) for key, value in cells]


def _same(evidence: Evidence) -> list[Criterion]:
    limit = evidence.thresholds['same']
    measure = 'largest difference of any output'
    return [
        Criterion(SOLVED[case], measure, tuple(value['errors']), limit, 'below')
        for case, value, _ in _longest(evidence)
    ]


def _growing(evidence: Evidence) -> list[Criterion]:
    limits, lengths, found = evidence.thresholds, evidence.config['lengths'], []
    depths = evidence.value(what='depth')
    families = {k: v for k, v in RECURRENT.items() if k in depths}
    for name, text in families.items():
        slope = parallel_time.exponents(lengths, [[depths[name]['both'][str(t)]] for t in lengths])
        measure = 'exponent of T in the operations that wait'
        condition = f'sequential operations of {text} step by step'
        limit = limits['proportional']
        found.append(Criterion(condition, measure, tuple(slope), limit, exact=True))
    for kept, text, limit in (
        ('sequence', 'one sequence of', 'proportional'),
        ('tokens', 'the same tokens in longer sequences of', 'grows'),
    ):
        for name, whose in families.items():
            value = evidence.value(what='growth', family=name, kept=kept)
            slopes = parallel_time.exponents(lengths, value['seconds'])
            condition = f'{text} {whose} by the clock on {value["where"]}'
            measure = 'exponent of T in seconds, one fit a draw of parameters and inputs'
            found.append(Criterion(condition, measure, tuple(slopes), limits[limit]))
    # Hardware that does many steps at once is hardware too, and takes what is shorter.
    for key, value in evidence.select(what='solved'):
        rows = value['lengths']
        depth = [[min(pair) for pair in row['depth']] for row in rows.values()]
        slopes = parallel_time.exponents([int(length) for length in rows], depth)
        condition = f'sequential operations of {SOLVED[key["case"]]}'
        measure = 'exponent of T in the operations that wait, by steps or at once, whichever are '
        measure += 'fewer, one fit a seed'
        found.append(Criterion(condition, measure, tuple(slopes), limits['proportional']))
    return found


def gains(value: dict, what: str, same: float) -> list[float]:
    """The scan's depth or seconds over those in parallel, 1 where the values are not the same."""
    return [
        scan / parallel if error <= same else 1.0
        for (scan, parallel), error in zip(value[what], value['errors'], strict=True)
    ]


def _prohibited(evidence: Evidence) -> list[Criterion]:
    limits, found = evidence.thresholds, []
    for case, value, _ in _longest(evidence):
        values = tuple(gains(value, 'depth', limits['same']))
        measure = 'operations that wait by the scan over those in parallel'
        condition = f'sequential operations of {SOLVED[case]}'
        found.append(Criterion(condition, measure, values, limits['at_once'], 'below'))
    for case, value, where in _longest(evidence):
        values = tuple(gains(value, 'seconds', limits['same']))
        measure = 'seconds by the scan over those in parallel'
        condition = f'{SOLVED[case]} by the clock on {where}'
        found.append(Criterion(condition, measure, values, limits['faster'], 'below'))
    return found


def times_gru(value: dict, what: str) -> dict[int, Any]:
    """By length: the transformer's number over the GRU's, of each round where there are rounds."""
    by = {(row['family'], row['length']): row[what] for row in value['rows']}
    found = {}
    for length in sorted({length for _, length in by}):
        gru, transformer = (by[name, length] for name in PAIR)
        if isinstance(gru, list):
            found[length] = [b / a for a, b in zip(gru, transformer, strict=True)]
        else:
            found[length] = transformer / gru
    return found


def _attention(evidence: Evidence) -> list[Criterion]:
    limits, depths = evidence.thresholds, evidence.value(what='depth')
    length = max(evidence.config['lengths'])
    less = depths['gru']['both'][str(length)] / depths['transformer']['both'][str(length)]
    condition = f'sequential operations of training at T = {length}'
    measure = "those of a GRU's layer over those of a transformer's"
    found = [Criterion(condition, measure, (less,), limits['at_once'], exact=True)]
    training, decoding = evidence.value(what='training'), evidence.value(what='decoding')
    for length, ratios in times_gru(training, 'seconds_per_token').items():
        condition = f'speed of training on {training["where"]} at T = {length}'
        measure = "tokens a second over a GRU's"
        speeds = tuple(1 / ratio for ratio in ratios)
        found.append(Criterion(condition, measure, speeds, limits['equal']))
    slower = times_gru(decoding, 'seconds_per_token')
    larger = times_gru(decoding, 'state_bytes')
    for length in (min(slower), max(slower)):
        condition = f'cost of a decoded token on {decoding["where"]} after {length} tokens'
        values = tuple(slower[length])
        found.append(Criterion(condition, "seconds over a GRU's", values, limits['equal']))
    text = "exponent of length in seconds a decoded token over a GRU's, one fit a draw"
    values = tuple(parallel_time.exponents(list(slower), list(slower.values())))
    condition = f'growth of that cost with length on {decoding["where"]}'
    found.append(Criterion(condition, text, values, limits['grows']))
    (slope,) = parallel_time.exponents(list(larger), [[ratio] for ratio in larger.values()])
    text = "exponent of length in bytes of state over a GRU's"
    limit = limits['proportional']
    found.append(Criterion('growth of the state with length', text, (slope,), limit, exact=True))
    return found


STUDY = Study(
    'parallelism',
    'What can be computed at once',
    'Operations that must wait for one another are counted on the programs themselves, and the '
    'same programs are timed. Recurrences run step by step, and then for all steps at once: by an '
    "associative scan where they are linear in their state, by Newton's method where they are not. "
    'If they give the same values with far fewer operations that wait, recurrence does not '
    'prohibit parallelization; whether time is gained depends on the cores there are for the extra '
    'work. A transformer and a GRU of equal size are then trained and made to decode.',
    CLAIMS,
    grid,
    measure,
    judge,
    plot,
)
