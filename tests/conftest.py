"""Every test runs with the shapes of `nlp_models` checked, and on four CPU devices.

Compiling is four fifths of the tests' time, so most are compiled with few optimizations: what they
ask is whether the equations are right. The modules of `OPTIMIZED`, whose subject is what the
compiler makes of them, and the commands, which are processes of their own, are compiled as users'
programs are; with `--optimized` everything is.
"""

import os
import re
import shutil
import sys
import tempfile
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
    'test_adapters.py::test_put_onto_its_base_it_is_the_run_bit_for_bit[lora]',
    'test_attention.py::test_scanned_layers_keep_no_scores_and_less_than_all',
    'test_attention_choice.py::test_a_model_has_forward_mode_by_its_config[mingru]',
    'test_attention_choice.py::test_a_model_has_forward_mode_by_its_config[transformer]',
    'test_attention_choice.py::test_an_encoder_and_its_head_have_forward_mode_by_their_config[mlm]',
    'test_attention_implementations.py::test_vmap_and_several_devices[all]',
    'test_attention_implementations.py::test_vmap_and_several_devices[window past the end]',
    'test_benchmark.py::test_a_machine_with_jax_flax_optax_absl_and_ml_collections_alone',
    'test_benchmark.py::test_families_and_map_of_real_works',
    'test_benchmark_works.py::test_newton_rows_compare_and_count',
    'test_classification_runs.py::test_pairs_are_told_apart_from_a_table_or_from_json',
    'test_commands.py::test_evaluate_gives_the_numbers_of_training_under_their_names[ngram]',
    'test_commands.py::test_sample_goes_on_with_the_prompt_and_repeats_itself[ngram]',
    'test_commands_of_tasks.py::'
    'test_a_pretrained_folder_writes_and_goes_on_writing_where_it_was_trained_on',
    'test_comparison.py::test_a_comparison_from_beginning_to_end_and_on_from_the_middle',
    'test_comparison.py::test_a_family_that_diverges_does_not_end_the_comparison',
    'test_decoding.py::test_a_stream_is_what_generate_gives[transformer_learned-8-sampling1]',
    'test_decoding.py::test_past_the_context_sampled_rows_are_as_if_alone',
    'test_decoding.py::test_sampled_rows_are_as_if_alone[ngram]',
    'test_decoding.py::test_sampled_rows_are_as_if_alone[transformer_learned]',
    'test_decoding.py::test_sampled_rows_are_as_if_alone[transformer_rotary]',
    'test_decoding.py::test_stop_sequences_end_their_rows[transformer_windowed-9]',
    'test_duplicates.py::test_near_duplicates_are_those_of_brute_force[0.8]',
    'test_embedding.py::test_together_is_one_by_one_in_the_order_given[transformer-mean-True]',
    'test_evidence.py::test_the_report_is_that_of_the_evidence',
    'test_finetune_command.py::test_every_method_trains_and_tells_what_came_of_it[adapter_lm]',
    'test_finetune_command.py::test_every_method_trains_and_tells_what_came_of_it[bitfit]',
    'test_finetune_command.py::test_every_method_trains_and_tells_what_came_of_it[gradual_lm]',
    'test_forgetting.py::test_a_base_whose_text_is_gone_is_adapted_all_the_same',
    'test_forgetting.py::test_an_encoder_is_asked_for_hidden_tokens_of_a_text',
    'test_forgetting.py::test_an_encoder_without_a_head_is_asked_for_partners',
    'test_in_context.py::test_texts_are_what_goes_on_greedily[gpt2]',
    'test_interruption.py::test_sigterm_before_anything_is_begun_is_one_line_too',
    'test_judging.py::test_greedy_texts_are_right_where_every_guess_with_the_right_past_is'
    '[luong-80]',
    'test_newton.py::test_long_sequences_are_the_scans[lstm-3.0-full-20]',
    'test_newton.py::test_weights_that_were_trained[full]',
    'test_operations.py::test_a_models_gradient_is_the_same_with_every_choice_and_with_none'
    '[transformer-fields1]',
    'test_operations.py::test_a_models_gradient_is_the_same_with_every_choice_and_with_none'
    '[transformer-fields2]',
    'test_operations.py::test_a_models_gradient_is_the_same_with_every_choice_and_with_none'
    '[transformer-fields3]',
    'test_pairs.py::test_a_docstring_is_where_its_file_is_in_pydoc',
    'test_pydoc.py::test_pydoc_is_prepared_once_and_holds_the_documents',
    'test_sources.py::test_a_pretrained_folder_is_trained_on[contrastive-bert-numbers2]',
    'test_sources.py::test_a_pretrained_folder_is_trained_on[lm-llama-numbers0]',
    'test_sources.py::test_a_pretrained_folder_is_trained_on[mlm-bert-numbers1]',
    'test_strings.py::test_both_kinds_learn[halves]',
    'test_study_architectures.py::test_strings_are_measured_at_equal_operations',
    'test_study_architectures.py::test_vectors_are_measured_on_real_pairs',
    'test_study_command.py::test_a_killed_study_goes_on_and_repeats_nothing',
    'test_study_data_quality.py::test_a_small_study_from_end_to_end',
    'test_study_fine_tuning.py::test_code_is_measured',
    'test_study_finite_context.py::test_a_small_study_runs_to_its_end',
    'test_study_gating.py::test_small_cells_are_measured_at_equal_size',
    'test_study_gradient_flow.py::test_trained_networks_are_measured_before_and_after[transformer]',
    'test_study_in_context.py::test_small_cells_are_measured',
    'test_study_limitations.py::test_a_tiny_run_measures_and_writes_everything',
    'test_study_parallelism.py::test_tiny_cells_are_measured',
    'test_study_prompting.py::test_a_tiny_study_from_end_to_end',
    'test_task_steps.py::test_devices_agree[<lambda>1]',
    'test_task_steps.py::test_stopped_and_started_again_it_ends_the_same',
)


# Likewise cases of a test whose other cases have the same code to go through: file and test to what
# is found in the names of such cases.
SLOW_CASES = {
    'test_attention.py::test_in_pieces_with_a_cache_as_at_once': '^3-0|^5-1-plain',
    'test_attention.py::test_remat_and_scan_layers_change_nothing': 'post',
    'test_attention_implementations.py::test_bfloat16': 'all',
    'test_attention_implementations.py::test_blocks_hidden_whole_are_not_computed': 'start|: 10',
    'test_attention_implementations.py::test_the_whole_batch_at_once_as_elsewhere_than_on_a_cpu': (
        'all|padding'
    ),
    'test_attention_implementations.py::test_values_and_gradients': (
        '^(?!chunked).*-(whole blocks|nothing hidden|wide window|window of one|window past the end|'
        'window both ways|start|window|causal, whole blocks)$'
    ),
    'test_attention_implementations.py::test_what_is_hidden_cannot_change_a_bit': (
        '-(causal|causal, more queries|causal, whole blocks|one token|padding|start|wide window|'
        'window|window both ways|window of one|window past the end|window, padding)$'
    ),
    'test_attention_implementations.py::test_two_devices_take_their_rows_one_after_the_other': (
        'window'
    ),
    'test_beam_search.py::test_a_batch_is_each_prompt_searched_by_hand': 'scanned',
    'test_beam_search.py::test_full_width_is_all_sequences': '^0',
    'test_bottleneck.py::test_a_model_with_fresh_adapters_computes_what_it_did': 'mingru|rotary',
    'test_bottleneck.py::test_forward_mode_is_there_where_the_config_asks_for_it': 'rotary',
    'test_classifier.py::test_the_logits_are_of_the_pooled_vectors': 'mingru|rotary',
    'test_decoding.py::test_a_condition_belongs_to_its_row_and_the_context_ends_the_text': '12',
    'test_decoding.py::test_past_the_context_each_row_goes_on_from_its_last_half': 'learned|rotary',
    'test_decoding.py::test_sampled_rows_are_as_if_alone': '^rnn$|windowed',
    'test_embedding.py::test_together_is_one_by_one_in_the_order_given': 'gru',
    'test_encoders.py::test_the_first_loss_is_that_of_guessing': 'gru',
    'test_finetuning.py::test_before_the_first_step_it_says_what_the_base_says': 'pfeiffer|lowest',
    'test_in_context.py::test_what_contexts_share_is_read_once_and_changes_nothing': 'rotary',
    'test_lora.py::test_at_first_nothing_is_changed_and_merged_it_is_the_same_model': (
        'encoder|luong|rotary'
    ),
    'test_models.py::test_the_first_loss_is_that_of_guessing': 'residual|none|remat|sinusoidal_p',
    'test_models.py::test_tied_embeddings_are_one_matrix': 'none',
    'test_newton.py::test_long_sequences_are_the_scans': 'lstm',
    'test_operations.py::test_a_models_gradient_is_the_same_with_every_choice_and_with_none': (
        'mingru|rnn'
    ),
    'test_prefix.py::test_at_first_it_is_as_if_the_drawn_tokens_had_been_read': 'sinus|scanned',
    'test_prefix.py::test_at_once_token_by_token_and_in_pieces_it_is_the_same': 'sinus|scanned',
    'test_pretrained_export.py::test_a_model_of_ours_comes_back_as_what_it_computes': (
        'scanned|some_biases'
    ),
    'test_pretrained_memory.py::test_reading_peaks_below_1_3_times_the_size': '16-True|32-False',
    'test_seq2seq.py::test_at_once_is_token_by_token_is_two_halves': 'none|gru_luong|lstm|post',
    'test_tasks.py::test_hidden_tokens_are_the_same_for_any_number_of_devices': '1|2',
    'test_through_time.py::test_bfloat16_is_no_further_off_than_autodiff': 'tanh|reset',
    'test_through_time.py::test_devices_share_the_rows_and_sum_the_gradients_of_the_weights': (
        'gru-4|reset_after-4|lstm-2|sigmoid'
    ),
    'test_through_time.py::test_float32_compiled_as_users_programs_are': 'rnn|reset',
    'test_through_time.py::test_forward_mode_is_for_autodiff_alone': 'tanh',
    'test_through_time.py::test_it_is_the_gradient_of_the_plain_scan': '^two steps',
    'test_through_time.py::test_second_derivatives': 'rnn|reset',
    'test_through_time.py::test_vmap_over_seeds': 'tanh|reset',
    'test_through_time.py::test_without_jit': 'lstm',
    'test_training.py::test_devices_agree_with_sgd': '2-rnn|2-gru',
    'test_training.py::test_what_is_donated_is_gone_and_changes_nothing': '1',
}


@pytest.hookimpl(tryfirst=True)  # before tests are picked by their marks
def pytest_collection_modifyitems(items):
    for item in items:
        test, _, case = item.nodeid.partition('/')[2].partition('[')
        cases = SLOW_CASES.get(test)
        if item.nodeid.endswith(SLOW) or (cases and re.search(cases, case.removesuffix(']'))):
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
    # Commands, which are processes of their own and run the same programs again and again, share
    # what they have compiled.
    commands = tempfile.mkdtemp(prefix='compiled_')
    config.add_cleanup(lambda: shutil.rmtree(commands, ignore_errors=True))
    os.environ['JAX_COMPILATION_CACHE_DIR'] = commands
    os.environ['JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS'] = '0.3'


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
