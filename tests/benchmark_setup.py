"""Small benchmarks, for the tests."""

import time
from pathlib import Path
from typing import Any

from configs import benchmark as config_file
from nlp_models.benchmark import bench
from nlp_models.benchmark.results import Results


def tiny(*parts: str) -> Any:
    """A config of a few seconds."""
    config: Any = config_file.get_config('quick')
    config.parts = parts
    config.clock.update(seconds=0.0, least=2, pause=0.0, block_seconds=0.0)
    config.matmul.update(size=64, seconds=0.0)
    config.recurrent.shapes = ((2, 8, 4),)
    config.recurrent.pairs = (('gru', 'gru_autodiff', (0.5,)), ('gru', 'gru_reset_after', ()))
    return config


def start_results(folder, machine=None):
    lines: list[str] = []
    return Results(Path(folder), machine or {'name': 'a'}, lines.append), lines


def fake_bench(tmp_path, config=None) -> Any:
    results, lines = start_results(tmp_path)
    made = bench.Bench(config or tiny('recurrent'), results, lines.append)
    made.rates = {'float32': 1e9}
    return made


def sleeper(seconds):
    return lambda: time.sleep(seconds)
