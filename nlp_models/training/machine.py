"""What the numbers were measured on."""

import hashlib
import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

import jax

from nlp_models import models, timing
from nlp_models.training import parallel

PACKAGES = ('jax', 'jaxlib', 'flax', 'optax', 'numpy', 'torch', 'transformers')


def versions() -> dict[str, str]:
    """Of Python and of whatever takes part in a measurement and is installed."""
    found = {'python': platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def describe() -> dict[str, Any]:
    """The machine, as far as its speed depends on it: all of it JSON-able."""
    devices = jax.local_devices()
    return {
        'processor': processor(),
        'cores': parallel.num_cores(),
        'memory_bytes': os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE'),
        'system': platform.platform(terse=True),
        'platform': devices[0].platform,
        'device': devices[0].device_kind,
        'devices': len(devices),
        'versions': versions(),
    }


# Of `describe`, what may change a number: a value in its last digits, or how long it took.
DECISIVE = ('processor', 'cores', 'platform', 'device', 'devices')
# Of the packages, those that no measurement of this package's own code goes through.
PEERS = ('torch', 'transformers')


def decisive() -> dict[str, Any]:
    """What of the machine may change a number: not its memory, its kernel, or what peers it has."""
    machine = describe()
    ours = {name: v for name, v in machine['versions'].items() if name not in PEERS}
    return {name: machine[name] for name in DECISIVE} | {'versions': ours}


def processor() -> str:
    """The processor's name, where the system tells it."""
    try:
        for line in Path('/proc/cpuinfo').read_text().splitlines():
            if line.startswith('model name'):
                return line.partition(':')[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def commit() -> str | None:
    """The commit of this checkout, with `+` where files differ from it; None outside of one."""
    root = Path(__file__).resolve().parents[2]

    def git(*arguments: str) -> str:
        done = subprocess.run(
            ['git', *arguments], cwd=root, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    try:
        if Path(git('rev-parse', '--show-toplevel')) != root:
            return None
        changed = git('status', '--porcelain', '--untracked-files=no')
        return git('rev-parse', 'HEAD') + ('+' if changed else '')
    except (OSError, subprocess.CalledProcessError):
        return None


def code(*others: Path) -> str:
    """A digest of the package's source: what was measured belongs to it.

    Args:
      *others: files outside of the package that take part.

    Returns:
      64 hex digits.
    """
    package, digest = Path(__file__).resolve().parents[1], hashlib.sha256()
    for path in others:
        digest.update(f'{path.name}\n'.encode() + path.read_bytes())
    for path in sorted(package.rglob('*.py')):
        digest.update(f'{path.relative_to(package)}\n'.encode() + path.read_bytes())
    return digest.hexdigest()


def matmul_rates(config: Any) -> dict[str, float]:
    """FLOP/s of a large matrix product in each dtype the benchmark uses.

    Args:
      config: `dtypes`, `size`, `seconds`.

    Returns:
      dtype to FLOP/s, with all cores.
    """
    return {
        name: timing.matmul_rate(models.DTYPES[name], size=config.size, seconds=config.seconds)
        for name in config.dtypes
    }
