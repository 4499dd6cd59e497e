"""The training loop: `train(config, workdir)` from nothing, or on from where it was stopped."""

import json
import math
import signal
import time
from collections.abc import Callable
from typing import Any, NoReturn

import flax.serialization
import jax
import numpy as np
from absl import logging

from nlp_models.errors import InputError, RunError
from nlp_models.training import adapting, checkpoints, sources
from nlp_models.training.counting import train_by_counting
from nlp_models.training.parallel import Pipeline
from nlp_models.training.program import Program, build_program
from nlp_models.training.step import TrainState
from nlp_models.training.workdir import MetricsFile, Workdir, read_metrics

Progress = Callable[[int, int, dict[str, float]], None]


class Stopped(SystemExit):
    """A signal ended the run after it was saved; exits with 128 + the signal's number."""


class StopSignal:
    """Remembers that the run was asked to stop; used as a context, and asked by calling it."""

    def __init__(self):
        """Nothing was asked for yet."""
        self.number: int | None = None
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> 'StopSignal':
        for number in (signal.SIGTERM, signal.SIGINT):
            try:
                self._previous[number] = signal.signal(number, self._remember)
            except ValueError:  # not in the main thread: whoever started it handles signals
                break
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def __call__(self) -> bool:
        """Whether the run was asked to stop."""
        return self.number is not None

    def exit(self, step: int, folder: Workdir) -> NoReturn:
        """Say what was saved, and end the process as the signal asked."""
        number = self.number or signal.SIGTERM
        name = signal.Signals(number).name
        logging.warning('%s: saved step %d in %s; exiting', name, step, folder.checkpoints)
        raise Stopped(128 + number)

    def _remember(self, number: int, _: object) -> None:
        self.number = number


def train(
    config: Any,
    workdir: str,
    *,
    program: Program | None = None,
    progress: Progress = lambda step, steps, line: None,
    on_line: Callable[[dict[str, Any]], None] = lambda line: None,
) -> dict[str, Any]:
    """Train a model, or go on training it, until `config.steps`.

    Started again on the same folder it goes on from the newest intact checkpoint and ends with the
    parameters and metrics it would have had, bit for bit, at the same number of devices.

    Args:
      config: the whole config.
      workdir: the run's folder.
      program: where it has been compiled already, for this config but for `steps`.
      progress: called with (step, steps, last metrics) after every step; for showing.
      on_line: called with every line of the metrics that this call writes.

    Returns:
      The last line of the metrics, with `parameters` and `compile_seconds`. A line's
      `train_seconds` is the time spent in training steps, over all processes of the run.

    Raises:
      InputError: for a config, data or folder that is not right.
      RunError: where the loss is no longer finite, or no checkpoint is intact.
      Stopped: on SIGTERM or SIGINT, after saving.
    """
    config = sources.resolve(config)
    with StopSignal() as stop:
        folder = Workdir(workdir, config)
        try:
            if config.model.family == 'ngram':
                result = train_by_counting(config, folder, on_line)
                if stop():  # it takes seconds: it was finished first
                    stop.exit(1, folder)
                return result
            if 'adaptation' in config:
                adapting.check(config)
            program = program or build_program(config)
            run = _Run(program, config, folder, stop, progress, on_line)
            try:
                return run.go()
            finally:
                run.writer.wait()  # before another may take the folder
        finally:
            folder.close()


class _Run:
    """One call of `train`: what the steps share."""

    def __init__(
        self,
        program: Program,
        config: Any,
        folder: Workdir,
        stop: StopSignal,
        progress: Progress,
        on_line: Callable[[dict[str, Any]], None],
    ):
        self.program, self.config, self.folder = program, config, folder
        self.stop, self.progress, self.on_line = stop, progress, on_line
        self.metrics = MetricsFile(folder.path)
        self.writer = checkpoints.Writer(folder.checkpoints, config.keep_checkpoints)
        self.line: dict[str, Any] = {}

    def go(self) -> dict[str, Any]:
        program, config, folder = self.program, self.config, self.folder
        restored = checkpoints.load_newest(folder.checkpoints)
        if restored is not None and restored.step > config.steps:
            raise InputError(f'steps is {config.steps}: the run has done {restored.step} already')
        folder.begin(
            program.task.dataset,
            seed=config.seed,
            num_devices=len(program.devices.devices),
            parameters=program.parameters,
            trained_parameters=program.trained,
            shape=program.task.shape.to_json(),
        )
        logging.info('Compiled the training step in %.1f s', program.compile_seconds)
        state: Any = program.init()
        step, logged = 0, True
        if restored is not None:
            state = flax.serialization.from_state_dict(state, restored.tree)
            state = state._replace(total_steps=np.asarray(config.steps, np.int32))
            step, logged = restored.step, restored.info['logged']
            self.writer.delete_after(step)
            logging.info('Going on from %s', restored.path)
        if step > 0 and step == config.steps:
            # Stopped at what has become the last step, which may only have been logged there.
            measured = (x for x in read_metrics(self.metrics.path) if x['step'] == step)
            logged = logged and any('valid_loss' in x for x in measured)
        self.metrics.cut(step if logged else step - 1)
        lines = read_metrics(self.metrics.path)
        self.best = min((x['valid_loss'] for x in lines if 'valid_loss' in x), default=math.inf)
        self.line = lines[-1] if lines else {}
        self.tell_compile_seconds = True
        self.train_seconds = self.line.get('train_seconds', 0.0)
        self.clock = time.perf_counter()
        self.clock_step = step
        state = program.place(state)
        pipeline = Pipeline()
        if not logged:
            self.at_boundary(state, step)
        while step < config.steps:
            if self.stop():
                self.end_stopped(state, step, logged=True)
            state, sums = program.train_step(state, program.batch(step))
            pipeline.add(sums)
            step += 1
            self.progress(step, config.steps, self.line)
            intervals = (config.log_every, config.eval_every, config.checkpoint_every, config.steps)
            if any(step % every == 0 for every in intervals):
                self.at_boundary(state, step)
        self.writer.wait()
        if 'adaptation' in config:
            adapting.write_results(program, folder.path, self.line)
        return {
            **self.line,
            'parameters': program.parameters,
            'trained_parameters': program.trained,
            'compile_seconds': program.compile_seconds,
        }

    def at_boundary(self, state: TrainState, step: int) -> None:
        """Log, evaluate and save, whichever is due after this step."""
        config = self.config
        last = step == config.steps
        jax.block_until_ready(state)
        elapsed = time.perf_counter() - self.clock
        self.train_seconds += elapsed
        self.check_finite(state, step)
        evaluating = last or step % config.eval_every == 0
        line: dict[str, Any] = {}
        if evaluating or step % config.log_every == 0:
            line = self.measure(state, step, elapsed)
        if evaluating:
            validation = self.program.task.dataset.validation
            score = self.program.evaluate(state.params, validation, stop=self.stop)
            if score is None:
                self.end_stopped(state, step, logged=False)
            else:
                line.update({f'valid_{name}': value for name, value in score.items()})
                if not math.isfinite(score['loss']):
                    self.fail(f'the validation loss is {score["loss"]} at step {step}')
        if line:
            self.metrics.write(line)
            self.on_line(line)
            self.line = line
            logging.info('%s', json.dumps(line))
        best = line.get('valid_loss', math.inf) < self.best
        if best:
            self.best = line['valid_loss']
        if last or best or step % config.checkpoint_every == 0:
            self.save(state, step, line.get('valid_loss'), logged=True)
        self.clock, self.clock_step = time.perf_counter(), step

    def measure(self, state: TrainState, step: int, elapsed: float) -> dict[str, Any]:
        """What is known without evaluating; times are since the last boundary."""
        devices, config = self.program.devices, self.config
        sums, norm = devices.first((state.sums, state.grad_norm))
        line: dict[str, Any] = {
            'step': step,
            'train_loss': float(sums.loss) / float(sums.weight),
            'grad_norm': float(norm),
            'learning_rate': float(self.program.schedule(step - 1, config.steps)),
        }
        if self.tell_compile_seconds:  # with the first line of this process
            line['compile_seconds'] = self.program.compile_seconds
            self.tell_compile_seconds = False
        if step > self.clock_step:
            line['step_seconds'] = elapsed / (step - self.clock_step)
            line['tokens_per_second'] = self.program.task.tokens_per_batch / line['step_seconds']
        line['train_seconds'] = self.train_seconds
        memory = [d.memory_stats() for d in devices.devices]
        peaks = [m['peak_bytes_in_use'] for m in memory if m and 'peak_bytes_in_use' in m]
        if peaks:  # the CPU backend does not tell
            line['peak_memory_bytes'] = max(peaks)
        return line

    def check_finite(self, state: TrainState, step: int) -> None:
        """Stop the run before a state that is not finite is looked at by anything else."""
        bad = int(self.program.devices.first(state.bad_step))
        if bad >= 0:
            self.fail(f'the loss, its gradient or the parameters are not finite since step {bad}')

    def fail(self, what: str) -> None:
        self.writer.wait()
        saved = checkpoints.steps(self.folder.checkpoints)
        good = f'the last good checkpoint is that of step {saved[-1]}' if saved else 'none is saved'
        raise RunError(f'{what}; {good} in {self.folder.checkpoints}')

    def save(self, state: TrainState, step: int, loss: float | None, *, logged: bool) -> None:
        """Hand a state to the writer; `logged` false: what is due at this step is still to do."""
        tree = flax.serialization.to_state_dict(self.program.fetch(state))
        self.writer.save(step, tree, {'valid_loss': loss, 'logged': logged})

    def end_stopped(self, state: TrainState, step: int, *, logged: bool) -> NoReturn:
        """Save and end, as a signal asked."""
        jax.block_until_ready(state)
        self.check_finite(state, step)
        # A step that already has its checkpoint keeps it: it knows its validation loss.
        self.writer.wait()
        if step not in checkpoints.steps(self.folder.checkpoints):
            self.save(state, step, None, logged=logged)
            self.writer.wait()
        self.stop.exit(step, self.folder)
