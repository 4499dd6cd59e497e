"""Rows: what the real training loop adds to its compiled step, and the seconds to a loss."""

import statistics
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

from nlp_models import timing
from nlp_models.benchmark import peers_torch, training_works
from nlp_models.benchmark.bench import Bench, at_least, at_most
from nlp_models.benchmark.language_rows import shape_of
from nlp_models.benchmark.results import Row
from nlp_models.errors import require
from nlp_models.training import parallel

ALPHABET = 65  # characters, as tinyshakespeare has
FIRST = 10  # steps of the loop before its clock starts


def loop_row(bench: Bench) -> None:
    """The loop's wall time a step, its logging included, against the compiled step alone."""
    group, seed = bench.config.loop, bench.config.seed
    require(group.steps > 2 * FIRST, 'loop.steps', group.steps, f'must be above {2 * FIRST}')
    run = bench.config.train_step.runs[group.run].copy_and_resolve_references()
    run.update(steps=group.steps, eval_every=group.steps, checkpoint_every=group.steps)

    def measure() -> Row:
        from nlp_models.data import store
        from nlp_models.training import program

        with tempfile.TemporaryDirectory() as folder:
            text = Path(folder) / 'text.txt'
            text.write_text(random_text(group.characters, seed))
            run.data.update(path=str(text), cache_dir=folder, tokenizer='chars')
            compiled = program.build_program(run, store.load_dataset(run.data))
            folders = (str(Path(folder) / f'run_{i}') for i in range(10**6))
            paired = timing.in_turn(
                lambda: loop_seconds(run, next(folders), compiled),
                lambda: step_seconds(compiled, group.steps),
                seconds=0.0,
                least=group.rounds,
            )
        bars = at_least('ratio', paired.ratio, group.bar)
        flops = training_works.step_flops(run, compiled.task.dataset.tokenizer.vocab_size)
        row = {**bench.times(paired), 'compile_seconds': compiled.compile_seconds, 'flops': flops}
        return {**row, 'flops_per_second': flops / paired.seconds, 'bars': bars}

    key = {
        'work': 'a step of the loop, wall time with its logging',
        'shape': shape_of(run),
        'peer': 'the compiled step, back to back',
    }
    bench.results.row('rows', key, [run.to_dict(), group.to_dict()], measure)


def random_text(characters: int, seed: int) -> str:
    """Characters of an alphabet as large as tinyshakespeare's, uniform."""
    letters = np.array([chr(ord('!') + i) for i in range(ALPHABET)])
    return ''.join(letters[np.random.default_rng(seed).integers(ALPHABET, size=characters)])


def loop_seconds(run: Any, folder: str, program: Any) -> float:
    """Wall time a step of `loop.train`, from its tenth step to its last, logging included.

    The last step's evaluation and checkpoint come after the clock has stopped.
    """
    from nlp_models.training import loop

    at: dict[int, float] = {}

    def progress(step: int, steps: int, line: Any) -> None:
        at[step] = time.perf_counter()

    loop.train(run, folder, program=program, progress=progress)
    return (at[run.steps] - at[FIRST]) / (run.steps - FIRST)


def step_seconds(program: Any, steps: int) -> float:
    """Time of the compiled step alone, called again and again on the same batch."""
    state, batch = program.place(program.init()), program.batch(0)
    pipeline = parallel.Pipeline()
    started = 0.0
    for step in range(steps):
        state, sums = program.train_step(state, batch)
        pipeline.add(sums)
        if step + 1 == FIRST:
            started = time.perf_counter()
    elapsed = time.perf_counter() - started
    jax.block_until_ready(state)
    return elapsed / (steps - FIRST)


def to_loss_row(bench: Bench) -> None:
    """Seconds of training to a whole-split loss, against the peer's 2000 steps."""
    group = bench.config.to_loss
    if not group.text:
        bench.say('training to a loss: left out, to_loss.text names no file')
        return
    require(Path(group.text).is_file(), 'to_loss.text', group.text, 'must be a text file')
    run = group.run.copy_and_resolve_references()
    run.data.path = group.text
    run.update(eval_every=run.steps, checkpoint_every=run.steps)

    def measure() -> Row:
        from nlp_models.data import store
        from nlp_models.training import loop, program

        vocab_size = store.load_dataset(run.data).tokenizer.vocab_size
        tokens = training_works.random_tokens(run, vocab_size, bench.config.seed)
        names = {'compiled': True, 'eager': False}
        bench.allocate(peer=True)
        peers = {
            name: peers_torch.train_step(group.peer_run, vocab_size, tokens, compiled=compiled)
            for name, compiled in names.items()
        }
        losses, compiling = [], []

        def train() -> float:
            bench.allocate(peer=False)
            run.seed = len(losses)  # another start and other batches in every round
            with tempfile.TemporaryDirectory() as folder:
                made = program.build_program(run)
                line = loop.train(run, str(Path(folder) / 'run'), program=made)
            losses.append(line['valid_loss'])
            compiling.append(line['compile_seconds'])
            return line['train_seconds']

        def peer() -> float:
            bench.allocate(peer=True)
            times = {
                name: timing.median_seconds(p.call, seconds=group.peer_seconds, warm_up=3)
                for name, p in peers.items()
            }
            return group.peer_steps * min(times.values())

        paired = timing.in_turn(train, peer, seconds=0.0, least=group.rounds)
        bars = at_least('ratio', paired.ratio, group.bar)
        return {
            **bench.times(paired),
            'compile_seconds': statistics.median(compiling),
            'loss': max(losses),
            'losses': losses,
            'steps': run.steps,
            'bars': bars + at_most('loss', max(losses), group.loss),
        }

    key = {
        'work': f'training to whole-split loss {group.loss:g}',
        'shape': shape_of(run),
        'peer': f'{group.peer_steps} steps of the torch transformer, the faster of its two ways',
    }
    bench.results.row('rows', key, [group.to_dict()], partial(measure))
