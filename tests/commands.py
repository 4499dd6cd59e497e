"""Running the commands as a user does, for the tests."""

import contextlib
import importlib
import io
import os
import re
import subprocess
import sys
import warnings
from pathlib import Path

from absl.flags import FLAGS

ROOT = Path(__file__).resolve().parent.parent


def text_file(folder, characters=6000):
    """A text with something to learn, and its path."""
    path = Path(folder) / 'text.txt'
    words = [
        'the',
        'cat',
        'sat',
        'on',
        'a',
        'mat',
        'and',
        'saw',
        'a',
        'dog',
        'run',
        'after',
        'the',
        'sun',
    ]
    lines, state = [], 7
    while sum(map(len, lines)) < characters:
        line = []
        for _ in range(8):
            state = (state * 1103515245 + 12345) % 2**31
            line.append(words[state // 65536 % len(words)])
        lines.append(' '.join(line) + '.\n')
    path.write_text(''.join(lines))
    return path


def small(folder, family='gru', **fields):
    """The flags of a run of a second or two."""
    flags = {
        'data.path': text_file(folder),
        'data.cache_dir': Path(folder) / 'cache',
        'data.splits': '(0.8, 0.1, 0.1)',
        'data.tokenizer': 'chars',
        'steps': 40,
        'batch_size': 4,
        'sequence_length': 16,
        'eval_every': 10,
        'checkpoint_every': 5,
        'log_every': 5,
        'model.hidden_size': 16,
        'optimizer.warmup_steps': 5,
        **fields,
    }
    if family == 'ngram':
        flags = {k: v for k, v in flags.items() if k != 'model.hidden_size'}
    return [f'--config=configs/lm.py:{family}', *(f'--config.{k}={v}' for k, v in flags.items())]


def start(module, *flags, **options):
    """Start `python -m experiments.MODULE FLAGS` from the checkout."""
    environment = {**os.environ, 'PYTHONUNBUFFERED': '1', **options.pop('env', {})}
    return subprocess.Popen(
        [sys.executable, '-m', f'experiments.{module}', *map(str, flags)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        **options,
    )


def run(module, *flags, **options):
    """Run a command to its end; returns (exit status, stdout, stderr)."""
    process = start(module, *flags, **options)
    out, err = process.communicate(timeout=300)
    return process.returncode, out, err


def not_told(folder, cases):
    """Those inputs that are not answered with one line and status 2.

    Args:
      folder: HERE in a flag is a new path in it.
      cases: name to (what the line must match, command, flags).

    Returns:
      (name, status, stdout, last lines of stderr) of each that is answered otherwise.
    """
    left, failures = list(cases.items()), []
    while left:  # a few at a time: most of each is start-up
        together = []
        for case in left[:3]:
            name, (_, command, flags) = case
            here = [flag.replace('HERE', f'{folder}/run-{name}') for flag in flags]
            together.append((case, start(command, *here)))
        left = left[3:]
        for (name, (pattern, _, _)), process in together:
            out, err = process.communicate(timeout=120)
            lines = [line for line in err.splitlines() if not re.match(r'[IW]\d{4} ', line)]
            right = process.returncode == 2 and out == '' and len(lines) == 1
            if not right or not re.search(pattern, lines[0]):
                failures.append((name, process.returncode, out, lines[-3:]))
    return failures


def inside(module, *argv):
    """Run a command in this process, and see its errors raised; returns stdout.

    It takes none of the seconds in which a process starts and compiles as users' programs are.
    """
    others = {
        name: FLAGS[name]
        for name in [*FLAGS]
        if str(FLAGS.find_module_defining_flag(name)).startswith('experiments.')
    }
    for name in others:
        delattr(FLAGS, name)
    before, out, arguments = {*FLAGS}, io.StringIO(), sys.argv
    sys.modules.pop(f'experiments.{module}', None)  # what it holds are flags of another call
    try:
        with contextlib.chdir(ROOT), contextlib.redirect_stdout(out):
            command = importlib.import_module(f'experiments.{module}')
            with warnings.catch_warnings():  # of how the flag reads a config file
                warnings.filterwarnings('ignore', 'the load_module', DeprecationWarning)
                sys.argv = [module, *map(str, argv)]
                FLAGS(sys.argv)
            command.main()
    finally:
        sys.argv = arguments
        for name in {*FLAGS} - before:
            delattr(FLAGS, name)
        FLAGS.unparse_flags()
        sys.modules.pop(f'experiments.{module}', None)
        for name, flag in others.items():
            FLAGS[name] = flag
    return out.getvalue()
