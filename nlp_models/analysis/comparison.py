"""The main job: every family on the same text, at the same size, for the same time.

The n-grams are counted; each neural family is given as many parameters as the transformer and as
many steps as fit its share of the time, by a timing of its own compiled step. What has been decided
and measured lies in the folder, so a comparison that was stopped goes on where it was.
"""

import copy
import itertools
import json
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from absl import logging

from nlp_models import costs, models, ngram
from nlp_models.analysis.throughput import decoding_cost, training_throughput
from nlp_models.data import store
from nlp_models.data.store import Dataset
from nlp_models.errors import InputError, RunError, require
from nlp_models.training import checkpoints, loop, parallel
from nlp_models.training.evaluation import evaluate_on_host
from nlp_models.training.program import build_program, time_step
from nlp_models.training.workdir import Workdir, read_metrics, write_json

REFERENCE = 'transformer'  # the family whose parameter count the others match
TOLERANCE = 0.02


def family_config(config: Any, family: str) -> Any:
    """The training config of one family: the common `run` with the family's own groups.

    What is decided here and not by the user is added: the steps and intervals, and the hidden size
    of all but the reference (see `match_parameters`).
    """
    run = copy.deepcopy(config.run)
    own = config.families[family]
    with run.unlocked():
        run.model = copy.deepcopy(own.model)
        run.optimizer.update(own.optimizer)
        run.update(steps=1, eval_every=1, log_every=50, checkpoint_every=1)
        with run.model.unlocked():
            run.model.hidden_size = run.model.get('hidden_size', 1)
    return run


def match_parameters(run: Any, target: int, vocab_size: int) -> int:
    """Set `model.hidden_size` so that the model has as many parameters as the reference.

    Args:
      run: a family's training config, changed in place.
      target: parameters of the reference.
      vocab_size: V.

    Returns:
      The parameters it has now.

    Raises:
      InputError: where no size comes within 2 %.
    """

    def count(size: int) -> int:
        run.model.hidden_size = size
        model = models.build(run.model, vocab_size=vocab_size, max_length=run.sequence_length)
        return costs.count_parameters(model)

    size = costs.closest_size(count, target)
    parameters = count(size)
    if abs(parameters / target - 1) > TOLERANCE:
        raise InputError(
            f'{run.model.family} cannot have {target} parameters: with hidden_size {size} it has '
            f'{parameters}'
        )
    return parameters


def compare(
    config: Any,
    workdir: str,
    *,
    say: Callable[[str], None] = logging.info,
    progress: Callable[[str], loop.Progress] = lambda family: lambda step, steps, line: None,
) -> dict[str, Any]:
    """Run the comparison, or go on with it.

    Args:
      config: `configs/compare.py` comments its fields.
      workdir: its folder; `results.json` is written there.
      say: told what is being done.
      progress: given a family's name, what shows its training.

    Returns:
      The results, as in `results.json`.

    Raises:
      InputError: for a config or data that is not right.
    """
    families = list(config.families)
    require(REFERENCE in families, 'families', families, f'must hold {REFERENCE}')
    check(config)
    folder = Workdir(workdir, config)
    try:
        done = folder.path / 'results.json'
        if done.exists():
            say(f'{done} is there already: use another workdir to compare anew')
            return json.loads(done.read_text())
        dataset = store.load_dataset(config.run.data)
        folder.begin(dataset, seed=config.run.seed)
        cache = Cache(folder.path / 'stages.json')
        stages = len(families) + 1
        say(f'[1/{stages}] n-grams of order {", ".join(map(str, config.ngram_orders))}')
        orders = cache.get('ngram', lambda: count_ngrams(config, dataset))
        results: dict[str, Any] = {
            'setting': describe(config, dataset),
            'budget_seconds': config.training_seconds / len(families),
            'ngram_orders': orders,
            'families': {'ngram': min(orders, key=lambda row: row['valid_bits_per_char'])},
        }
        target = match_parameters_of_reference(config, dataset)
        for index, family in enumerate(families):
            head = f'[{index + 2}/{stages}] {family}'
            run = family_config(config, family)
            if family != REFERENCE:
                match_parameters(run, target, dataset.tokenizer.vocab_size)
            work = FamilyWork(config, run, dataset, folder.path / family, cache)
            results['families'][family] = work.go(
                lambda what, head=head: say(f'{head}: {what}'), progress(family)
            )
        write_json(done, results)
        return results
    finally:
        folder.close()


def check(config: Any) -> None:
    """Check the fields that are the comparison's own.

    Raises:
      InputError: naming the first that is out of range.
    """
    for name in ('training_seconds', 'measuring_seconds', 'memory_fraction'):
        require(config[name] > 0, name, config[name], 'must be above 0')
    for name in ('evaluations', 'tokens_per_batch'):
        require(config[name] >= 1, name, config[name], 'must be at least 1')
    for name in ('lengths', 'ngram_orders'):
        values = config[name]
        rising = all(a < b for a, b in itertools.pairwise(values))
        right = len(values) > 0 and values[0] >= 1 and rising
        require(right, name, values, 'must be whole numbers from 1 upwards, ascending')


def available_memory() -> float:
    """Bytes that this machine can give without swapping (all it has, where that is not told)."""
    try:
        for line in Path('/proc/meminfo').read_text().splitlines():
            if line.startswith('MemAvailable:'):
                return 1024.0 * int(line.split()[1])
    except OSError:
        pass
    return float(os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE'))


def match_parameters_of_reference(config: Any, dataset: Dataset) -> int:
    """How many parameters the reference has."""
    run = family_config(config, REFERENCE)
    vocab_size = dataset.tokenizer.vocab_size
    model = models.build(run.model, vocab_size=vocab_size, max_length=run.sequence_length)
    return costs.count_parameters(model)


class Cache:
    """What has been measured already, by name, in one file."""

    def __init__(self, path: Path):
        """Read the file if it is there."""
        self._path = path
        self._values = json.loads(path.read_text()) if path.exists() else {}

    def get(self, name: str, measure: Callable[[], Any]) -> Any:
        """What was measured under a name, now or before."""
        if name not in self._values:
            self._values[name] = measure()
            write_json(self._path, self._values)
        return self._values[name]


def describe(config: Any, dataset: Dataset) -> dict[str, Any]:
    """What the numbers were measured on."""
    devices = parallel.choose(config.run.num_devices, config.run.batch_size)
    return {
        'sequence_length': config.run.sequence_length,
        'batch_size': config.run.batch_size,
        'corpus': f'{dataset.name} {dataset.version}',
        'fingerprint': dataset.fingerprint,
        'tokenizer': dataset.tokenizer.name,
        'train_tokens': len(dataset.train),
        'validation_tokens': len(dataset.validation),
        'seed': config.run.seed,
        'num_devices': len(devices.devices),
        'device': devices.devices[0].device_kind,
        'cores': parallel.num_cores(),
        'versions': {'python': platform.python_version(), 'jax': jax.__version__},
    }


def count_ngrams(config: Any, dataset: Dataset) -> list[dict[str, Any]]:
    """Count and score n-gram models of every order asked for, in the windows of the others."""
    rows = []
    for order in config.ngram_orders:
        started = time.perf_counter()
        vocab_size = dataset.tokenizer.vocab_size
        params = ngram.fit(dataset.train, order=order, vocab_size=vocab_size)
        seconds = time.perf_counter() - started
        score = evaluate_on_host(
            ngram.build(order=order, vocab_size=vocab_size),
            params,
            dataset.validation,
            dataset.tokenizer.characters,
            length=config.run.sequence_length,
            batch_size=max(1, 8192 // config.run.sequence_length),
        )
        rows.append(
            {
                'order': order,
                'parameters': ngram.num_parameters(params),
                'valid_loss': score.loss,
                'valid_bits_per_char': score.bits_per_char,
                'train_seconds': seconds,
                'compile_seconds': None,
                'steps': None,
                'step_seconds': None,
                'tokens_per_second': None,
                'learning_rate': None,
                'curve': None,
                'training': None,
                'decoding': None,
            }
        )
    return rows


class FamilyWork:
    """What is done for one neural family."""

    def __init__(self, config: Any, run: Any, dataset: Dataset, folder: Path, cache: Cache):
        """Note what is to be done; `run` is the family's training config."""
        self._config, self._run, self._dataset = config, run, dataset
        self._folder, self._cache = folder, cache

    def go(self, say: Callable[[str], None], progress: loop.Progress) -> dict[str, Any]:
        """Train within the budget, then measure; returns the family's entry in the results."""
        run, name = self._run, self._run.model.family
        say('compiling')
        program = build_program(run, self._dataset)
        budget = self._config.training_seconds / len(self._config.families)

        def plan():
            seconds = time_step(program)
            return {
                'steps': max(1, int(budget / seconds)),
                'step_seconds': seconds,
                'compile_seconds': program.compile_seconds,
            }

        planned = self._cache.get(f'{name}/plan', plan)
        run.steps = planned['steps']
        run.eval_every = -(-run.steps // self._config.evaluations)
        run.checkpoint_every = run.eval_every
        say(f'{run.steps} steps of {1000 * planned["step_seconds"]:.1f} ms')

        def on_line(line):
            if 'valid_bits_per_char' in line:
                bits = line['valid_bits_per_char']
                say(f'step {line["step"]} of {run.steps}: {bits:.3f} bits a character')

        try:
            result = loop.train(
                run, str(self._folder), program=program, progress=progress, on_line=on_line
            )
        except RunError as error:  # one family that diverges does not end the others'
            say(str(error))
            result = {'valid_loss': None, 'valid_bits_per_char': None, 'train_seconds': None}
        say('measuring speed')
        speed = self._cache.get(f'{name}/speed', self._measure)
        lines = read_metrics(self._folder / 'metrics.jsonl')
        tokens = run.batch_size * run.sequence_length
        seconds = result['train_seconds']
        return {
            'parameters': program.parameters,
            'valid_loss': result['valid_loss'],
            'valid_bits_per_char': result['valid_bits_per_char'],
            'train_seconds': seconds,
            'compile_seconds': planned['compile_seconds'],
            'steps': run.steps,
            'step_seconds': seconds and seconds / run.steps,
            'tokens_per_second': seconds and tokens * run.steps / seconds,
            'learning_rate': run.optimizer.learning_rate,
            'hidden_size': run.model.hidden_size,
            'curve': [
                {
                    'seconds': line['train_seconds'],
                    'step': line['step'],
                    'valid_bits_per_char': line['valid_bits_per_char'],
                }
                for line in lines
                if 'valid_bits_per_char' in line
            ],
            **speed,
        }

    def _measure(self) -> dict[str, Any]:
        """Speed against length, of the trained model (a bounded context made long enough)."""
        config, run = self._config, self._run
        vocab_size = self._dataset.tokenizer.vocab_size
        model = models.build(run.model, vocab_size=vocab_size, max_length=max(config.lengths))
        saved = checkpoints.load_newest(self._folder / 'checkpoints')
        params = model.init(jax.random.key(run.seed))
        if saved is not None:
            trained = jax.tree.map(jnp.asarray, saved.tree['params'])
            # Learned positions have been trained for a shorter text than is measured.
            fits = jax.tree.map(jnp.shape, trained) == jax.tree.map(jnp.shape, params)
            params = trained if fits else params
        common = dict(
            lengths=config.lengths,
            vocab_size=vocab_size,
            seconds=config.measuring_seconds,
            seed=run.seed,
        )
        return {
            'training': training_throughput(
                model,
                params,
                tokens_per_batch=config.tokens_per_batch,
                memory_limit=config.memory_fraction * available_memory(),
                **common,
            ),
            'decoding': decoding_cost(model, params, **common),
        }
