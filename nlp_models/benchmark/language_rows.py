"""Rows: the transformer's train step against the peers, and its compile time."""

from functools import partial
from typing import Any

import jax

from nlp_models import timing
from nlp_models.benchmark import peers_huggingface, peers_torch, training_works
from nlp_models.benchmark.bench import Bench, at_least
from nlp_models.benchmark.peers import Peer
from nlp_models.benchmark.results import Row
from nlp_models.benchmark.works import Work
from nlp_models.errors import require

PEERS = {
    'torch_eager': 'the torch transformer, eager',
    'torch_compiled': 'the torch transformer, compiled',
    'huggingface': 'Hugging Face GPT-2',
}


def shape_of(run: Any) -> dict[str, int]:
    """The letters and sizes of a training config."""
    m = run.model
    return {
        'B': run.batch_size,
        'T': run.sequence_length,
        'D': m.hidden_size,
        'L': m.num_layers,
        'H': m.num_heads,
    }


def step_rows(bench: Bench) -> None:
    """The train step of every run of `config.train_step.runs` against every peer."""
    group = bench.config.train_step
    for peer in group.peers:
        require(peer in PEERS, 'train_step.peers', peer, f'must be one of {", ".join(PEERS)}')
        for name, run in group.runs.items():
            if peer == 'huggingface':
                run = with_biases(run)  # GPT-2 has them
            bench.pair(
                f'train step, {name} transformer, {run.model.dtype}',
                shape_of(run),
                PEERS[peer],
                run.to_dict(),
                ours=partial(training_works.train_step, run, bench.config.vocab_size),
                theirs=partial(step_peer, bench, peer, run),
                bar=group.peers[peer].get(name, 0.0),
                dtype=run.model.dtype,
            )


def with_biases(run: Any) -> Any:
    """The same config with biases in dense layers and LayerNorms."""
    run = run.copy_and_resolve_references()
    run.model.use_bias = True
    return run


def step_peer(bench: Bench, kind: str, run: Any) -> Peer | Work:
    """A peer's train step, on the tokens that ours has."""
    vocab_size = bench.config.vocab_size
    tokens = training_works.random_tokens(run, vocab_size, bench.config.seed)
    if kind == 'huggingface':
        return peers_huggingface.train_step(run, vocab_size, tokens)
    return peers_torch.train_step(run, vocab_size, tokens, compiled=kind == 'torch_compiled')


def dtype_rows(bench: Bench) -> None:
    """The train step in each dtype of `config.train_step.dtypes` against float32."""
    group = bench.config.train_step
    for name, run in group.runs.items():
        for dtype in group.dtypes:
            other = run.copy_and_resolve_references()
            other.model.dtype = dtype
            step = partial(training_works.train_step, vocab_size=bench.config.vocab_size)
            bench.pair(
                f'train step, {name} transformer, {dtype}',
                shape_of(run),
                'our float32',
                other.to_dict(),
                ours=partial(step, other),
                theirs=partial(step, run),
                dtype=dtype,
            )


def compile_rows(bench: Bench) -> None:
    """Compiling the train step of a deep transformer, its layers scanned or unrolled."""
    group = bench.config.compiling
    scanned = bench.config.train_step.runs[group.run].copy_and_resolve_references()
    scanned.model.update(num_layers=group.num_layers, scan_layers=True)
    unrolled = scanned.copy_and_resolve_references()
    unrolled.model.scan_layers = False

    def seconds(run: Any) -> float:
        jax.clear_caches()  # so that each traces everything anew
        return training_works.compile_step(run, bench.config.vocab_size, bench.config.seed)[3]

    def measure() -> Row:
        paired = timing.in_turn(
            partial(seconds, scanned), partial(seconds, unrolled), seconds=0.0, least=group.rounds
        )
        bars = at_least('ratio', paired.ratio, group.bar)
        return {**bench.times(paired), 'bars': bars}

    key = {
        'work': 'compiling the train step, layers scanned',
        'shape': shape_of(scanned),
        'peer': 'the same, unrolled',
    }
    bench.results.row('rows', key, [scanned.to_dict(), group.to_dict()], measure)
