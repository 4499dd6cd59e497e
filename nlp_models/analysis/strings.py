"""Strings to be reversed or sorted, for models that read them either way, and training on them.

An encoder-decoder reads the source with its encoder; a decoder reads `source BEGIN target END` as
one text, of which the loss counts the target alone. Held-out strings are those of
`data.procedural`: no seed, step or length of training draws one.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from nlp_models.analysis import solving
from nlp_models.data import procedural
from nlp_models.training import objectives, runs
from nlp_models.types import LanguageModel, Seq2Seq

BEGIN = len(procedural.ALPHABET) + 1
END = BEGIN + 1
VOCAB_SIZE = END + 1  # 0 is what follows the end


class Task(NamedTuple):
    """What is done to which strings.

    Attributes:
      rule: of `procedural.RULES`.
      min_length: letters.
      max_length: letters.
    """

    rule: str
    min_length: int
    max_length: int

    @property
    def target_length(self) -> int:
        """Tokens of the longest target with its END."""
        return self.max_length + 1

    @property
    def joined_length(self) -> int:
        """Tokens that a decoder reads: source, BEGIN and the target without its END."""
        return 2 * self.max_length + 1


def pairs(rule: str, strings: np.ndarray) -> dict[str, np.ndarray]:
    """A batch for an encoder-decoder.

    Args:
      rule: of `procedural.RULES`.
      strings: `[B, L]`, 1 to 26, 0 behind their ends.

    Returns:
      `source` int32 `[B, L]`, `source_lengths` int32 `[B]`, `tokens` int32 `[B, L + 2]` (BEGIN,
      target, END) and `weights` float32 `[B, L + 1]`, as `objectives.sequence_to_sequence` wants.
    """
    lengths = (strings > 0).sum(axis=1)
    tokens = np.zeros((len(strings), strings.shape[1] + 2), np.int32)
    tokens[:, 0] = BEGIN
    tokens[:, 1:-1] = procedural.apply_rule(rule, strings)
    tokens[np.arange(len(strings)), lengths + 1] = END
    weights = np.arange(strings.shape[1] + 1) <= lengths[:, None]
    return {
        'source': strings.astype(np.int32),
        'source_lengths': lengths.astype(np.int32),
        'tokens': tokens,
        'weights': weights.astype(np.float32),
    }


def joined(rule: str, strings: np.ndarray) -> dict[str, np.ndarray]:
    """A batch for a decoder: the target follows its source with nothing between but BEGIN.

    Args:
      rule: of `procedural.RULES`.
      strings: `[B, L]`, 1 to 26, 0 behind their ends.

    Returns:
      `tokens` int32 `[B, 2 L + 2]` and `weights` float32 `[B, 2 L + 1]`, 1 where the target or END
      is predicted, as `objectives.language_modelling` wants.
    """
    rows, size = strings.shape
    lengths = (strings > 0).sum(axis=1)[:, None]
    apart = pairs(rule, strings)
    tokens = np.zeros((rows, 2 * size + 2), np.int32)
    tokens[:, :size] = strings
    # BEGIN, target, END, and zeros that are overwritten or belong there, from each source's end on.
    places = lengths + np.arange(size + 2)
    np.put_along_axis(tokens, places, apart['tokens'], axis=1)
    read = np.arange(2 * size + 1)
    weights = (read >= lengths) & (read <= 2 * lengths)
    return {'tokens': tokens, 'weights': weights.astype(np.float32)}


def _count_text(model: LanguageModel) -> Callable[[Any, Any], objectives.Hits]:
    def hits(params: Any, batch: Any) -> objectives.Hits:
        tokens = batch['tokens']
        _, logits = model.apply(params, model.start(params, len(tokens)), tokens[:, :-1])
        return objectives.count_hits(logits, tokens[:, 1:], batch['weights'])

    return hits


def solve(
    model: LanguageModel | Seq2Seq,
    task: Task,
    training: Any,
    *,
    steps: int,
    seeds: Sequence[int],
    num_devices: int = 0,
) -> solving.Outcome:
    """Train a model on strings with every learning rate and seed, and test the best rate's runs.

    Args:
      model: an encoder-decoder, or a decoder.
      task: the strings.
      training: `batch_size`, `chunk`, `learning_rates`, `test_examples` (held-out strings of each
        split) and `optimizer`.
      steps: of each run; a multiple of `chunk`.
      seeds: of parameters and strings.
      num_devices: see `runs.train`.

    Returns:
      The outcome: `scores` are shares of right letters and ENDs, each given the right ones before
      it, and `exact` the shares of strings that are right as a whole, which greedy decoding writes.
    """
    apart = isinstance(model, Seq2Seq)
    form = pairs if apart else joined
    if apart:
        objective = objectives.sequence_to_sequence(model)
        counting = objectives.sequence_to_sequence(model, count=True)

        def count_pairs(params: Any, batch: Any) -> Any:
            return counting(params, None, batch)[0]

        hits = count_pairs
    else:
        objective = objectives.language_modelling(model)
        hits = _count_text(model)
    lengths = {'min_length': task.min_length, 'max_length': task.max_length}

    def batches(seed: int, first: int, count: int) -> dict[str, np.ndarray]:
        made = [
            form(
                task.rule,
                procedural.training_strings(
                    batch_size=training.batch_size, seed=seed, step=step, **lengths
                ),
            )
            for step in range(first, first + count)
        ]
        return {name: np.stack([each[name] for each in made]) for name in made[0]}

    def score(params: Any, split: str) -> tuple[np.ndarray, np.ndarray]:
        strings = procedural.held_out_strings(split, number=training.test_examples, **lengths)
        found = runs.evaluate(hits, params, form(task.rule, strings), num_devices=num_devices)
        return found.correct / found.weight, found.exact / found.rows

    outcome, _ = solving.train_and_test(
        model,
        objective,
        batches,
        score,
        training,
        steps=steps,
        seeds=seeds,
        num_devices=num_devices,
    )
    return outcome
