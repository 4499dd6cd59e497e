"""What every command shares: flags in, one line and an exit status out."""

import os
import re
import signal
import sys
from collections.abc import Callable

from absl import app, flags, logging
from tqdm import tqdm

from nlp_models.errors import InputError, RunError


def run(main: Callable[[], None]) -> None:
    """Parse the flags and call `main`.

    Exit statuses: 0 when done, 2 with one line for an input that cannot be used, 1 with one line
    for a run that cannot go on, 128 + n when stopped by signal n. A traceback is a bug.

    Args:
      main: the command; reads absl's FLAGS.
    """
    name = os.path.splitext(os.path.basename(sys.argv[0]))[0]

    def fail(error: object, status: int) -> None:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        print(f'{name}: {" ".join(lines)}', file=sys.stderr)
        sys.exit(status)

    def parse(argv: list[str]) -> list[str]:
        try:
            left = flags.FLAGS(argv)
            for name in flags.FLAGS:  # a config file that is not there shows only when it is used
                getattr(flags.FLAGS[name].value, 'keys', None)
        except Exception as error:
            # Unknown variants, fields and wrong types surface as many kinds of exception here, and
            # nothing but the command line and the config file it names has been read yet.
            fail(_about_flags(error), 2)
            raise
        if len(left) > 1:
            fail(f'{left[1]!r} is not a flag: write --flag=value', 2)
        return left

    def guarded(argv: list[str]) -> None:
        del argv
        _log_only_ours()
        try:
            main()
        except InputError as error:
            fail(error, 2)
        except RunError as error:
            fail(error, 1)
        except KeyboardInterrupt:
            fail('interrupted; the same command goes on from what is saved', 130)

    def stop(number: int, _: object) -> None:
        print(f'{name}: SIGTERM: ended; the same command goes on', file=sys.stderr, flush=True)
        sys.stdout.flush()
        os._exit(128 + number)  # an exception out of a half-done import can crash the interpreter

    signal.signal(signal.SIGTERM, stop)  # until the training loop handles it, and after
    app.run(guarded, flags_parser=parse)


def _about_flags(error: BaseException) -> str:
    """The one line that says what is wrong with the command line."""
    text = str(error.args[0]) if error.args else type(error).__name__
    if 'InputError: ' in text:  # raised by the config file itself, quoted with its traceback
        return text.rpartition('InputError: ')[2]
    if isinstance(error, KeyError | AttributeError):
        field = re.search(r"'(\w+)", text)
        close = re.search(r'Did you mean "(\w+)"', text)
        return f'the config has no field {field[1] if field else text}' + (
            f': did you mean {close[1]}?' if close else ''
        )
    if isinstance(error, OSError):
        return f'the config file cannot be read: {text.splitlines()[-1].strip()}'
    if 'must have a value other than None' in text:
        return f'flag --{text.split("Flag --")[-1].split()[0]} is missing'
    return text


def _log_only_ours() -> None:
    """Show this project's log lines, and only warnings of the libraries it uses."""
    here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    ours = (os.path.join(here, 'nlp_models'), os.path.join(here, 'experiments'))
    handler = logging.get_absl_handler()
    handler.addFilter(
        lambda record: record.levelno > 20 or record.pathname.startswith(ours)  # 20 is INFO
    )
    logging.set_verbosity(logging.WARNING if sys.stderr.isatty() else logging.INFO)


class ProgressBar:
    """A bar on a terminal, nothing elsewhere (the log lines say it there)."""

    def __init__(self, label: str = ''):
        """Nothing is shown until the first call."""
        self._label, self._bar = label, None

    def __call__(self, step: int, steps: int, line: dict) -> None:
        """Show that `step` of `steps` are done, and the last losses."""
        if self._bar is None:
            self._bar = tqdm(
                total=steps, desc=self._label, unit='step', disable=not sys.stderr.isatty()
            )
            self._bar.n = step - 1
        shown = {k: f'{line[k]:.3f}' for k in ('train_loss', 'valid_loss') if k in line}
        self._bar.set_postfix(shown, refresh=False)
        self._bar.update(step - self._bar.n)
        if step == steps:
            self._bar.close()
