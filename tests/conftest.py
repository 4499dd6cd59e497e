"""Every test runs with the shapes of `nlp_models` checked, and on four CPU devices.

Compiling is four fifths of the tests' time, so most are compiled with few optimizations: what they
ask is whether the equations are right. The modules of `OPTIMIZED`, whose subject is what the
compiler makes of them, and the commands, which are processes of their own, are compiled as users'
programs are; with `--optimized` everything is.
"""

import sys

import jax
import pytest
from jaxtyping import install_import_hook

already = [name for name in sys.modules if name.split('.')[0] == 'nlp_models']
if already:
    raise RuntimeError(f'imported before the shape checks were installed: {", ".join(already)}')
install_import_hook('nlp_models', 'beartype.beartype')
jax.config.update('jax_num_cpu_devices', 4)  # before the first device is used

OPTIMIZED = ('test_through_time', 'test_operations', 'test_attention_implementations')


def pytest_addoption(parser):
    parser.addoption('--optimized', action='store_true', help='compile as users do; slower')


@pytest.fixture(autouse=True, scope='module')
def optimizations(request):
    module = request.module.__name__.split('.')[-1]
    wanted = module in OPTIMIZED or request.config.getoption('--optimized')
    jax.config.update('jax_disable_most_optimizations', not wanted)
    yield
    jax.config.update('jax_disable_most_optimizations', False)
