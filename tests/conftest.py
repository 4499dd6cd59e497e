"""Every test runs with the shapes of `nlp_models` checked, and on four CPU devices.

Compiling is four fifths of the tests' time, so most are compiled with few optimizations: what they
ask is whether the equations are right. The modules of `OPTIMIZED`, whose subject is what the
compiler makes of them, and the commands, which are processes of their own, are compiled as users'
programs are; with `--optimized` everything is.
"""

import os
import sys
from functools import cache
from pathlib import Path
from typing import Any

import jax
import pytest
from jax._src import compiler
from jaxtyping import install_import_hook

already = [name for name in sys.modules if name.split('.')[0] == 'nlp_models']
if already:
    raise RuntimeError(f'imported before the shape checks were installed: {", ".join(already)}')
install_import_hook('nlp_models', 'beartype.beartype')
jax.config.update('jax_num_cpu_devices', 4)  # before the first device is used

OPTIMIZED = ('test_through_time', 'test_operations', 'test_attention_implementations')

# Without optimizations XLA's older emitters, and one LLVM module instead of many, take a third of
# the time to compile a program.
CHEAP = (('xla_cpu_use_fusion_emitters', False), ('xla_cpu_parallel_codegen_split_count', 1))


@cache
def cheap() -> list[tuple[str, Any]]:
    """Those of CHEAP that this XLA has: such options come and go."""
    found = []
    for name, value in CHEAP:
        try:
            jax.jit(lambda x: x + 1, compiler_options={name: value})(0)
        except jax.errors.JaxRuntimeError:
            continue
        found.append((name, value))
    return found


def cheaply(*args, **kwargs):
    """`get_compile_options`, with CHEAP: JAX has no flag for options of every program."""
    options = plainly(*args, **kwargs)
    options.env_option_overrides = [*options.env_option_overrides, *cheap()]
    return options


# JAX's own, where this version still has it under this name.
plainly: Any = getattr(compiler, 'get_compile_options', None)


# What takes long beside others that ask nearly the same: run with `-m slow`.
SLOW = (
    'test_attention.py::test_scanned_layers_keep_no_scores_and_less_than_all',
    'test_attention_choice.py::test_a_model_has_forward_mode_by_its_config[transformer]',
    'test_benchmark.py::test_families_and_map_of_real_works',
    'test_benchmark.py::test_a_machine_with_jax_flax_optax_absl_and_ml_collections_alone',
    'test_benchmark_works.py::test_newton_rows_compare_and_count',
    'test_commands.py::test_evaluate_gives_the_numbers_of_training_under_their_names[ngram]',
    'test_commands.py::test_sample_goes_on_with_the_prompt_and_repeats_itself[ngram]',
    'test_comparison.py::test_a_family_that_diverges_does_not_end_the_comparison',
    'test_decoding.py::test_past_the_context_sampled_rows_are_as_if_alone',
    'test_decoding.py::test_sampled_rows_are_as_if_alone[transformer_learned]',
    'test_decoding.py::test_sampled_rows_are_as_if_alone[transformer_rotary]',
    'test_decoding.py::test_sampled_rows_are_as_if_alone[ngram]',
    'test_decoding.py::test_stop_sequences_end_their_rows[transformer_windowed-9]',
    'test_judging.py::test_greedy_texts_are_right_where_every_guess_with_the_right_past_is[luong-80]',
    'test_newton.py::test_weights_that_were_trained[full]',
    'test_operations.py::test_a_models_gradient_is_the_same_with_every_choice_and_with_none'
    '[transformer-fields1]',
)


@pytest.hookimpl(tryfirst=True)  # before tests are picked by their marks
def pytest_collection_modifyitems(items):
    for item in items:
        if item.nodeid.endswith(SLOW):
            item.add_marker(pytest.mark.slow)


def pytest_addoption(parser):
    parser.addoption('--optimized', action='store_true', help='compile as users do; slower')
    parser.addoption('--keep-compiled', metavar='FOLDER', help='read what an earlier run compiled')


def pytest_configure(config):
    kept = config.getoption('--keep-compiled')
    if kept:
        # A folder for each worker: JAX writes an entry while others may read it.
        folder = Path(kept).expanduser().resolve() / os.environ.get('PYTEST_XDIST_WORKER', 'gw0')
        jax.config.update('jax_compilation_cache_dir', str(folder))
        jax.config.update('jax_persistent_cache_min_compile_time_secs', 0)
        jax.config.update('jax_persistent_cache_min_entry_size_bytes', 0)


@pytest.fixture(autouse=True, scope='module')
def optimizations(request):
    module = request.module.__name__.split('.')[-1]
    if module not in OPTIMIZED and not request.config.getoption('--optimized'):
        cheap()
        jax.config.update('jax_disable_most_optimizations', True)
        if plainly is not None:
            compiler.get_compile_options = cheaply
    yield
    jax.config.update('jax_disable_most_optimizations', False)
    if plainly is not None:
        compiler.get_compile_options = plainly
    jax.clear_caches()  # thousands of programs are more memory maps than a process may have
