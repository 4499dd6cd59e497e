"""The adapter for lm-evaluation-harness: the numbers of its own backend."""

import importlib.util
import json
import math
import subprocess
import sys
from functools import cache
from types import ModuleType, SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest

from nlp_models.adaptation import harness
from nlp_models.adaptation.harness import (
    generate_until,
    loglikelihood,
    loglikelihood_rolling,
    rolling_pairs,
)
from nlp_models.data.tokenizers import learn_tokenizer
from nlp_models.errors import InputError
from tests.generation_models import small
from tests.harness_models import (
    CONTEXT,
    NAMES,
    PAIRS,
    TEXTS,
    UNTIL,
    harness_folder,
    imported,
    merging_tokenizer,
)
from tests.pretrained_folders import GOLDEN

every_model = pytest.mark.parametrize('name', NAMES)


@pytest.fixture(scope='module')
def found(tmp_path_factory):
    """Name to model, parameters and tokenizer, written by `export` and read again."""
    folder = tmp_path_factory.mktemp('models')
    return {name: imported(harness_folder(folder, name)) for name in NAMES}


@cache
def golden(name):
    return json.loads((GOLDEN / 'harness.json').read_text())[name]


@every_model
def test_likelihoods_are_those_of_the_harness(found, name):
    wanted = golden(name)['loglikelihood']
    model, params, tokenizer = found[name]
    ours = loglikelihood(model, params, tokenizer, PAIRS)
    assert len(ours) == len(wanted)
    np.testing.assert_allclose([n for n, _ in ours], [n for n, _ in wanted], rtol=0, atol=1e-3)
    assert [greedy for _, greedy in ours] == [greedy for _, greedy in wanted]
    assert {greedy for _, greedy in ours} == {False, True}


@every_model
def test_likelihoods_of_whole_texts_are_those_of_the_harness(found, name):
    model, params, tokenizer = found[name]
    ours = loglikelihood_rolling(model, params, tokenizer, TEXTS)
    np.testing.assert_allclose(ours, golden(name)['loglikelihood_rolling'], rtol=0, atol=1e-3)
    assert len(tokenizer.encode(TEXTS[-1])) > 3 * CONTEXT  # several windows


@every_model
def test_texts_are_those_of_the_harness(found, name):
    model, params, tokenizer = found[name]
    written = generate_until(model, params, tokenizer, UNTIL)
    assert written == golden(name)['generate_until']


def test_windows_predict_every_token_once_from_all_that_fits():
    for length in (0, 1, 3, 4, 5, 8, 11):
        ids = np.arange(10, 10 + length, dtype=np.int32)
        for limit in (1, 4, None):
            pairs = rolling_pairs(ids, 7, limit)
            told = [token for pair in pairs for token in pair.continuation]
            assert told == ids.tolist()
            whole, predicted = [7, *ids.tolist()], 0
            for pair in pairs:
                read = [*pair.context, *pair.continuation][:-1]
                end = predicted + len(pair.continuation)
                size = end if limit is None else min(limit, end)  # what fits, as far as there is
                assert read == whole[end - size : end]
                predicted = end
            assert len(pairs) == (math.ceil(length / limit) if limit else int(length > 0))


def test_a_model_without_bound_reads_all_of_a_text():
    run = small('lstm', vocab_size=61)
    tokenizer = merging_tokenizer('llama')
    text = 'the cat of the house sat on the mat. ' * 4
    ids = tokenizer.frame(tokenizer.encode(text)).astype(np.int32)

    def predicted(read, wanted):
        state = run.model.start(run.params, 1)
        logits = run.model.apply(run.params, state, jnp.asarray([read], jnp.int32))[1]
        logits = np.asarray(logits, np.float64)[0]
        log_p = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        return log_p[np.arange(len(wanted)), wanted]

    wanted = predicted([1, *ids[:-1]], ids)  # 1 is <s>, which stands there twice, as with hf
    (whole,) = loglikelihood_rolling(*run, tokenizer, [text])
    assert whole == pytest.approx(wanted.sum(), rel=1e-5)
    # And the last words after the others, with the beginning's token before them once.
    context, rest = text.split('mat', 1)
    context += 'mat'
    cut = len(tokenizer.encode(context))
    assert tokenizer.encode(context).tolist() == ids[1 : cut + 1].tolist()
    wanted = predicted(ids[:-1], ids[1:])[cut:]
    ((nats, greedy),) = loglikelihood(*run, tokenizer, [(context, rest)])
    assert nats == pytest.approx(wanted.sum(), rel=1e-5)
    assert not greedy


def test_ways_of_going_on(found):
    model, params, tokenizer = found['gpt2']

    def write(**how):
        return generate_until(model, params, tokenizer, [('the cat', how), ('my', how)])

    greedy = write(max_gen_toks=6, until=[])
    assert greedy == write(max_new_tokens=6, do_sample=False, temperature=0.9)
    assert greedy == write(max_tokens=6, do_sample=True, temperature=1.0, top_k=1)
    drawn = write(max_gen_toks=6, do_sample=True, temperature=3.0)
    assert drawn == write(max_gen_toks=6, temperature=3.0)
    assert drawn != greedy
    with pytest.raises(InputError, match=r"generation setting is 'num_beams': it must be one of "):
        write(num_beams=2)
    with pytest.raises(InputError, match=r'^num_tokens is 256: it must leave room for a prompt: '):
        write(until='.')
    mixed = [UNTIL[0], ('my', dict(max_gen_toks=6)), UNTIL[1]]  # each in its own way
    assert generate_until(model, params, tokenizer, mixed) == [
        golden('gpt2')['generate_until'][0],
        greedy[1],
        golden('gpt2')['generate_until'][1],
    ]


def test_the_class_answers_requests_in_order_and_lets_them_be_kept(found, monkeypatch):
    """With a base class that has what the package's has: a hook for answers."""
    kept: list[tuple] = []
    hook = SimpleNamespace(add_partial=lambda *answer: kept.append(answer))

    class LM:
        def __init__(self):
            self.cache_hook = hook

    for name in ('lm_eval', 'lm_eval.api'):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    module = ModuleType('lm_eval.api.model')
    module.LM = LM  # pyright: ignore[reportAttributeAccessIssue]
    monkeypatch.setitem(sys.modules, 'lm_eval.api.model', module)
    harness._harness_class.cache_clear()
    wanted = golden('gpt2')
    ours = harness.HarnessLM(*found['gpt2'])
    harness._harness_class.cache_clear()
    assert isinstance(ours, LM)
    for method, arguments in (
        ('loglikelihood', PAIRS),
        ('loglikelihood_rolling', [(text,) for text in TEXTS]),
        ('generate_until', UNTIL),
    ):
        kept.clear()
        said = getattr(ours, method)([SimpleNamespace(args=each) for each in arguments])
        plain = [each[0] if isinstance(each, tuple) else each for each in said]
        theirs = [each[0] if isinstance(each, list) else each for each in wanted[method]]
        if method == 'generate_until':
            assert plain == theirs
        else:
            np.testing.assert_allclose(plain, theirs, rtol=0, atol=1e-3)
        assert kept == [(method, *pair) for pair in zip(arguments, said, strict=True)]
    model, params, tokenizer = found['gpt2']
    names = {
        type(ours)(model, params, each).tokenizer_name  # pyright: ignore
        for each in (tokenizer, tokenizer, *(learn_tokenizer('chars', t, 0) for t in ('ab', 'abc')))
    }
    assert len(names) == 3  # caches of two tokenizers of a kind are told apart


def test_without_the_package_one_line_says_so(monkeypatch):
    harness._harness_class.cache_clear()
    monkeypatch.setitem(sys.modules, 'lm_eval', None)
    monkeypatch.setitem(sys.modules, 'lm_eval.api.model', None)
    with pytest.raises(InputError, match=r'^HarnessLM needs the package lm_eval, .*\[harness\]'):
        from nlp_models.adaptation.harness import HarnessLM  # noqa: F401
    with pytest.raises(AttributeError, match='no attribute'):
        harness.HarnessML  # noqa: B018


def test_the_package_is_not_imported_before_it_is_asked_for():
    code = (
        'import sys, nlp_models.adaptation.harness\n'
        'print({"lm_eval", "torch", "datasets"} & {name.split(".")[0] for name in sys.modules})'
    )
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == 'set()'


# ---- with the package -----------------------------------------------------------------------

CHOICES = """\
task: choices_of_ours
dataset_path: json
dataset_kwargs:
  data_files:
    test: {folder}/choices.jsonl
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{question}}}}\\nanswer:"
doc_to_choice: "{{{{choices}}}}"
doc_to_target: "{{{{label}}}}"
num_fewshot: {shots}
fewshot_split: test
metric_list:
  - metric: acc
  - metric: acc_norm
"""
WHOLE = """\
task: texts_of_ours
dataset_path: json
dataset_kwargs:
  data_files:
    test: {folder}/texts.jsonl
test_split: test
output_type: loglikelihood_rolling
doc_to_text: ""
doc_to_target: "{{{{text}}}}"
metric_list:
  - metric: word_perplexity
  - metric: byte_perplexity
  - metric: bits_per_byte
"""
WRITTEN = """\
task: written_by_ours
dataset_path: json
dataset_kwargs:
  data_files:
    test: {folder}/written.jsonl
test_split: test
output_type: generate_until
doc_to_text: "{{{{question}}}}"
doc_to_target: "{{{{answer}}}}"
generation_kwargs:
  until: ["."]
  max_gen_toks: 24
metric_list:
  - metric: exact_match
"""


def write_tasks(folder, name):
    words = ['cat', 'dog', 'house', 'mat', 'sun', 'thing', 'ring', 'fish', 'star']
    random = np.random.default_rng(0)

    def some(n):
        return ' '.join(random.choice(words, size=n))

    rows = {
        'choices': [
            {'question': some(4), 'choices': [some(1), some(2), some(3)], 'label': i % 3}
            for i in range(12)
        ],
        'texts': [{'text': f'{some(n)}. {some(n)}.\n'} for n in (3, 20, 60)],
        'written': [
            {'question': context, 'answer': text}
            for (context, how), text in zip(UNTIL, golden(name)['generate_until'], strict=True)
            if how.get('until') == '.'
        ]
        + [{'question': some(3), 'answer': some(2)} for _ in range(3)],
    }
    for file, objects in rows.items():
        lines = ''.join(json.dumps(each) + '\n' for each in objects)
        (folder / f'{file}.jsonl').write_text(lines)
    tasks = {'choices': CHOICES, 'whole': WHOLE, 'written': WRITTEN}
    for file, text in tasks.items():
        (folder / f'{file}.yaml').write_text(text.format(folder=folder, shots=2))


missing = [
    each
    for each in ('lm_eval', 'torch', 'transformers', 'accelerate')
    if importlib.util.find_spec(each) is None
]


@pytest.mark.skipif(bool(missing), reason=f'not installed: {", ".join(missing)}')
@pytest.mark.filterwarnings('ignore')  # what the libraries say of each other
@every_model
def test_tasks_of_the_harness_come_out_as_with_its_own_backend(found, name, tmp_path, monkeypatch):
    monkeypatch.setenv('HF_DATASETS_CACHE', str(tmp_path / 'cache'))
    monkeypatch.setenv('HF_HUB_OFFLINE', '1')
    import lm_eval  # pyright: ignore[reportMissingImports]
    from lm_eval.tasks import TaskManager  # pyright: ignore[reportMissingImports]

    from nlp_models.adaptation.harness import HarnessLM
    from tests.golden.make_harness import answers, hugging_face

    folder = tmp_path / 'tasks'
    folder.mkdir()
    write_tasks(folder, name)
    manager = TaskManager(include_path=str(folder), include_defaults=False)
    backends = {'ours': HarnessLM(*found[name]), 'hf': hugging_face(harness_folder(tmp_path, name))}
    assert answers(backends['hf'])['generate_until'] == golden(name)['generate_until']
    results = {
        who: lm_eval.simple_evaluate(
            model=model,
            tasks=['choices_of_ours', 'texts_of_ours', 'written_by_ours'],
            task_manager=manager,
            bootstrap_iters=0,
            random_seed=0,
            fewshot_random_seed=0,
        )
        for who, model in backends.items()
    }
    numbers = {who: flat(each['results']) for who, each in results.items()}
    assert numbers['ours'].keys() == numbers['hf'].keys()
    assert {key.split(',')[0].split('/')[1] for key in numbers['hf']} >= {
        'acc',
        'acc_norm',
        'word_perplexity',
        'bits_per_byte',
        'exact_match',
    }
    for key, value in numbers['hf'].items():
        assert numbers['ours'][key] == pytest.approx(value, rel=1e-4), key
    written = [value for key, value in numbers['hf'].items() if '/exact_match,' in key]
    assert written == [0.25]  # one of four is what the model writes
    for task, theirs in results['hf']['samples'].items():
        for ours, other in zip(results['ours']['samples'][task], theirs, strict=True):
            assert ours['arguments'] == other['arguments']
            pairs = zip(*(plain(each['filtered_resps']) for each in (ours, other)), strict=True)
            for a, b in pairs:
                if isinstance(b, float):
                    assert a == pytest.approx(b, rel=0, abs=1e-3)
                else:  # texts, and whether they are the likeliest
                    assert a == b


def flat(results):
    """Numbers of a result by `task/metric,filter`."""
    return {
        f'{task}/{metric}': value
        for task, metrics in results.items()
        for metric, value in metrics.items()
        if isinstance(value, float)
    }


def plain(answers):
    """Nested answers as one list."""
    if isinstance(answers, list | tuple):
        return [each for answer in answers for each in plain(answer)]
    return [answers]
