"""The whole benchmark, in order: rows against peers, families, the win map, the report."""

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
from absl import logging

from nlp_models.benchmark import (
    families,
    generation_rows,
    language_rows,
    loop_rows,
    parallel_rows,
    recurrent_rows,
    report,
    win_map,
)
from nlp_models.benchmark.bench import Bench
from nlp_models.benchmark.results import Results
from nlp_models.errors import RunError, require
from nlp_models.training import machine

# What a config's `parts` may name, in the order in which it is done.
PARTS: dict[str, Callable[[Bench], None]] = {
    'recurrent': recurrent_rows.rows,
    'train_step': language_rows.step_rows,
    'dtypes': language_rows.dtype_rows,
    'generate': generation_rows.generate_rows,
    'embed': generation_rows.embed_rows,
    'attention': parallel_rows.attention_rows,
    'newton': parallel_rows.newton_rows,
    'compiling': language_rows.compile_rows,
    'loop': loop_rows.loop_row,
    'to_loss': loop_rows.to_loss_row,
    'families': families.rows,
    'win_map': win_map.rows,
}
PEERS = ('torch', 'transformers', 'sentence_transformers')
# What all rows depend on.
COMMON = (
    'seed',
    'num_devices',
    'vocab_size',
    'precision',
    'as_found',
    'keep_memory',
    'cells',
    'transformer',
)


def check(config: Any) -> None:
    """Check the fields that all parts share.

    Raises:
      InputError: naming the first that is out of range.
    """
    require(len(config.parts) > 0, 'parts', config.parts, 'must name at least one part')
    for part in config.parts:
        require(part in PARTS, 'parts', part, f'must be one of {", ".join(PARTS)}')
    clock = config.clock
    known = ('highest', 'high', 'default')
    require(
        config.precision in known,
        'precision',
        config.precision,
        f'must be one of {", ".join(known)}',
    )
    for side in config.keep_memory:
        require(side in ('ours', 'peers'), 'keep_memory', side, 'must be ours or peers')
    for part in config.as_found:
        require(part in PARTS, 'as_found', part, f'must be one of {", ".join(PARTS)}')
    untouched = [part in config.as_found for part in PARTS if part in config.parts]
    require(  # thresholds once set, the C library's own rule is off for the rest of the process
        untouched == sorted(untouched, reverse=True),
        'as_found',
        config.as_found,
        f'must name the first of the parts, which are done in the order {", ".join(PARTS)}',
    )
    for name in ('warm_up', 'least', 'most'):
        require(clock[name] >= 1, f'clock.{name}', clock[name], 'must be at least 1')
    for name in ('seconds', 'block_seconds', 'pause'):
        require(clock[name] >= 0, f'clock.{name}', clock[name], 'must be at least 0')
    require(config.vocab_size >= 2, 'vocab_size', config.vocab_size, 'must be at least 2')
    require(config.num_devices >= 0, 'num_devices', config.num_devices, 'must be at least 0')
    for part in ('families', 'newton'):
        for name in config[part].cells:
            known = ', '.join(config.cells)
            require(name in config.cells, f'{part}.cells', name, f'must be one of {known}')
    for dtype in ('float32', *config.families.dtypes):
        known = config.matmul.dtypes
        require(dtype in known, 'matmul.dtypes', known, f'must hold {dtype}')


def benchmark(
    config: Any, workdir: str, *, say: Callable[[str], None] = logging.info
) -> dict[str, Any]:
    """Run the benchmark, or go on with it.

    Args:
      config: `configs/benchmark.py` comments its fields.
      workdir: its folder: `results.json`, `tables.md` and `win_map.png` are written there.
      say: told what is being done, a line a row.

    Returns:
      The results, as in `results.json`.

    Raises:
      InputError: for a config or a folder that is not right.
      RunError: where rows failed; the others are written.
    """
    check(config)
    everything = json.loads(config.to_json())
    common = {name: everything[name] for name in COMMON} | {'code': machine.code()}
    results = Results(Path(workdir), machine.describe(), say, common)
    results.values['commit'] = machine.commit()
    results.values['config'] = everything
    for name in PEERS:
        if importlib.util.find_spec(name) is None:
            say(f'{name} is not installed: its rows are left out')
    bench = Bench(config, results, say)
    with jax.default_matmul_precision(config.precision):
        for part, measure in PARTS.items():
            if part in config.parts:
                bench.as_found = part in config.as_found
                bench.allocate(peer=False)
                measure(bench)
    for section, parts in SECTION_PARTS.items():
        if parts & set(config.parts):
            results.forget_others(section)
    results.write()
    report.write(results.values, Path(workdir), say)
    if results.failed:
        raise RunError(f'{len(results.failed)} rows failed: {"; ".join(results.failed)}')
    return results.values


SECTION_PARTS = {
    'rows': set(PARTS) - {'families', 'win_map'},
    'families': {'families'},
    'win_map': {'win_map'},
}
