"""The house: who may import whom and at what cost, how long files are, which fields are read."""

import ast
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import pytest
from ml_collections import ConfigDict

from configs import encoder, few_shot, finetune, lm, pretrained, seq2seq
from nlp_models import models
from nlp_models.adaptation import building, rules
from nlp_models.data import corpora, labelled, pairs, store
from nlp_models.errors import InputError
from nlp_models.training import adapting, loop, sources
from nlp_models.training import few_shot as evaluation
from nlp_models.training.tasks.build import build_task
from tests import task_configs
from tests.pretrained_folders import write_folder, write_letters

ROOT = Path(__file__).parent.parent
LIBRARY = ROOT / 'nlp_models'

# From top to bottom: a module imports from its own line's package or from lines below.
LAYERS = (
    {'benchmark'},
    {'analysis'},
    {'training'},
    {'adaptation'},
    {'embedding'},
    {'pretrained'},
    {'generation'},
    {'models'},
    {'heads'},
    {'ngram'},
    {'recurrent'},
    {'attention'},
    {'data'},
    {'operations'},
    {'costs', 'timing', 'platforms', 'allocator'},
    {'trees'},
    {'types'},
    {'errors'},
)
DEPTH = {part: depth for depth, parts in enumerate(LAYERS) for part in parts}

# Those above the library, and what of it they may import: None is all of it.
ABOVE = {'experiments': None, 'configs': {'models', 'errors'}}


def module_names(folder: Path) -> dict[str, Path]:
    """Dotted name to file, of every module of a package."""
    names = {}
    for path in sorted(folder.rglob('*.py')):
        parts = path.relative_to(folder.parent).with_suffix('').parts
        names['.'.join(parts[:-1] if parts[-1] == '__init__' else parts)] = path
    return names


def imports(name: str, source: str, known: set[str]) -> set[str]:
    """What a module imports anywhere in it, functions included; submodules by their full names."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f'{name} has a relative import'
            for alias in node.names:
                full = f'{node.module}.{alias.name}'
                found.add(full if full in known else str(node.module))
    return found


def upward(name: str, imported: set[str]) -> list[str]:
    """What a module of the library imports that is not below it."""
    part = name.split('.')[1]

    def is_below(other: str) -> bool:
        top, *rest = other.split('.')
        if top != 'nlp_models' or not rest:
            return top not in (*ABOVE, 'tests')
        return rest[0] == part or DEPTH[rest[0]] > DEPTH[part]

    return sorted(other for other in imported if not is_below(other))


def find_circle(graph: dict[str, set[str]]) -> list[str]:
    """Modules that import one another in a circle, or nothing."""
    done: set[str] = set()

    def walk(name: str, path: list[str]) -> list[str]:
        if name in path:
            return [*path[path.index(name) :], name]
        if name in done:
            return []
        for other in sorted(graph.get(name, ())):
            if circle := walk(other, [*path, name]):
                return circle
        done.add(name)
        return []

    return next((circle for name in sorted(graph) if (circle := walk(name, []))), [])


def library_graph() -> dict[str, set[str]]:
    names = module_names(LIBRARY)
    return {name: imports(name, path.read_text(), set(names)) for name, path in names.items()}


def test_every_module_has_a_layer():
    parts = {name.split('.')[1] for name in module_names(LIBRARY) if '.' in name}
    assert {'models', 'training', 'recurrent', 'errors'} <= parts
    assert parts <= set(DEPTH), 'say in LAYERS where the new ones belong'


def test_imports_run_downwards():
    graph = library_graph()
    bad = {name: upward(name, found) for name, found in graph.items() if '.' in name}
    assert {name: found for name, found in bad.items() if found} == {}
    assert not [name for name in graph['nlp_models'] if name.startswith('nlp_models')]


def test_imports_have_no_circle():
    graph = library_graph()
    assert sum(map(len, graph.values())) > len(graph)
    assert find_circle(graph) == []


def test_configs_and_experiments_stand_above():
    known = set(module_names(LIBRARY))
    for package, allowed in ABOVE.items():
        names = module_names(ROOT / package)
        assert names
        for name, path in names.items():
            found = imports(name, path.read_text(), known | set(names))
            parts = {other.split('.')[1] for other in found if other.startswith('nlp_models.')}
            assert allowed is None or parts <= allowed, name
            assert 'tests' not in {other.split('.')[0] for other in found}
            assert package == 'experiments' or not any(o.startswith('experiments') for o in found)


def test_these_checks_can_fail():
    known = {'nlp_models.data', 'nlp_models.data.store', 'nlp_models.models'}
    source = (
        'def f():\n    from nlp_models import models\n    from nlp_models.data import store, x\n'
    )
    found = imports('nlp_models.data.store', source, known)
    assert found == {'nlp_models.models', 'nlp_models.data.store', 'nlp_models.data'}
    assert upward('nlp_models.data.store', found) == ['nlp_models.models']
    assert upward('nlp_models.training.loop', found) == []
    assert upward('nlp_models.timing', {'nlp_models.costs', 'configs.lm'}) == [
        'configs.lm',
        'nlp_models.costs',
    ]
    assert find_circle({'a': {'b'}, 'b': {'c'}, 'c': {'b'}, 'd': set()}) == ['b', 'c', 'b']
    assert find_circle({'a': {'b', 'c'}, 'b': {'c'}, 'c': {'d'}}) == []


def test_no_file_is_longer_than_350_lines():
    lengths = {
        str(path.relative_to(ROOT)): len(path.read_text().splitlines())
        for path in module_names(LIBRARY).values()
    }
    assert {path: length for path, length in lengths.items() if length > 350} == {}


def test_importing_the_library_imports_no_heavy_library():
    code = (
        'import sys\n'
        'import nlp_models, nlp_models.models, nlp_models.training.loop\n'
        'print(*sorted({name.split(".")[0] for name in sys.modules}))\n'
    )
    done = subprocess.run(
        [sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    loaded = set(done.stdout.split())
    assert {'jax', 'nlp_models'} <= loaded
    assert loaded.isdisjoint({'orbax', 'tensorflow_datasets', 'matplotlib', 'tensorflow', 'torch'})


# Every field of a config is read.


class Recording(ConfigDict):
    """A config that notes the fields which the library's own code reads, by dotted name.

    What is read by others on the way, such as ConfigDict itself writing JSON, does not count.
    """

    def __init__(self, config: ConfigDict, reads: set[str], prefix: str = ''):
        super().__init__()
        for name in config:
            value = config[name]
            if isinstance(value, ConfigDict):
                value = Recording(value, reads, f'{prefix}{name}.')
            super().__setattr__(name, value)
        object.__setattr__(self, '_note', (reads, prefix))

    def copy_and_resolve_references(self, visit_map: Any = None) -> ConfigDict:
        """A copy that notes nothing."""
        del visit_map
        return ConfigDict(self.to_dict())

    def _read(self, name: str) -> None:
        caller = sys._getframe(2).f_code.co_filename
        if Path(caller).is_relative_to(LIBRARY) and name in self.keys():
            reads, prefix = object.__getattribute__(self, '_note')
            reads.add(prefix + name)

    def __getattr__(self, name: str) -> Any:
        self._read(name)
        return super().__getattr__(name)

    def __getitem__(self, name: str) -> Any:
        self._read(name)
        return super().__getitem__(name)

    def get(self, name: str, default: Any = None) -> Any:
        self._read(name)
        return super().get(name, default)


def field_names(config: Any, prefix: str = '') -> set[str]:
    """Every field that is not a group, by dotted name."""
    names: set[str] = set()
    for name in config:
        value = config[name]
        if isinstance(value, ConfigDict):
            names |= field_names(value, f'{prefix}{name}.')
        else:
            names.add(prefix + name)
    return names


class Opening(Exception):
    """A TFDS set would be opened now."""


def opening(*args: Any) -> None:
    raise Opening(args)


def build_model(config: Recording) -> None:
    """Build the model and trace its parameters, where fields are read too."""
    model = models.build(config.model, vocab_size=5, max_length=4)
    jax.eval_shape(model.init, jax.random.key(0))


SEQ2SEQ = [f'{data}_{model}' for data in seq2seq.DATA for model in seq2seq.MODELS]
VARIANTS: list[tuple[Any, str]] = [
    *((lm, name) for name in ('ngram', *models.CELLS, 'transformer', 'gpt2', 'llama')),
    *((lm, name) for name in lm._SHAKESPEARE),
    *((seq2seq, name) for name in SEQ2SEQ if name.startswith(('reverse', 'scan_length', 'tsv'))),
    *((file, name) for file in (encoder, pretrained, few_shot) for name in file.VARIANTS),
    *((finetune, name + end) for name in finetune.METHODS for end in ('', '_lm')),
]
every_variant = pytest.mark.parametrize(
    ('file', 'variant'), [pytest.param(*v, id=f'{v[0].__name__[8:]}:{v[1]}') for v in VARIANTS]
)


# Tasks on sets of TFDS: what reads a file, and what opens a set.
NAMED = {
    'language_modelling': (store.load_dataset, corpora.open_corpus),
    'masked_language_modelling': (store.load_dataset, corpora.open_corpus),
    'classification': (labelled.load_labelled, labelled.load_labelled),
}


def read_by_task(config: Any) -> set[str]:
    """What making a task, one batch and one to evaluate reads."""
    reads: set[str] = set()
    source = sources.load_source(config.init_from) if config.init_from else None
    config = sources.resolve(config)
    task = build_task(
        Recording(config, reads),
        tokenizer=source and source.tokenizer,
        vocab_size=source.shape.vocab_size if source else 0,
    )
    task.batch(0)
    task.objective(None, False)
    next(task.eval_batches(task.dataset.validation, 2))
    return reads


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp('run')
    for name in ('llama', 'bert'):
        write_letters(write_folder(folder / name, name), framed=name == 'bert')
    return folder


@pytest.fixture(scope='module')
def read_by_adapting(folder) -> set[str]:
    """What is read of what is added to a model, where all of it is."""
    reads: set[str] = set()
    config = task_configs.fine_tune(folder / 'llama', folder, 'lora_lm')
    config.adaptation.remember = str(task_configs.text_file(folder))
    config.model.update(adapter_size=2, prefix_length=2)
    adapting.check(Recording(config, reads))
    model = Recording(sources.resolve(config), reads).model
    built = building.build(model, vocab_size=61, max_length=16)
    shapes = jax.eval_shape(built.init, jax.random.key(0))
    rules.make_plan(Recording(config, reads).adaptation, shapes)
    return reads


def read_by_few_shot(config: Any, folder: Path) -> set[str]:
    """What a small evaluation reads, its examples of the questions' file or of another."""
    reads: set[str] = set()
    rows = [{'text': word, 'label': word[0]} for word in ('aa', 'ab', 'ba', 'bb') * 4]
    path = folder / 'questions.jsonl'
    path.write_text(''.join(json.dumps(row) + '\n' for row in rows))
    config.update(init_from=str(folder / 'llama'), words=('a= a', 'b= b'), shots=(1,), seeds=(0,))
    for config.data.examples in ('', str(path)):
        config.data.path = str(path)
        list(evaluation.run(Recording(config, reads)))
    return reads | {'task'}  # by which the command knows it


@pytest.fixture(scope='module')
def read_by_tasks(folder):
    """Task to what a small run of it reads besides its model, and opening other kinds of data."""
    text = task_configs.language_model(folder, 'gru', steps=2, num_devices=1)
    tsv = task_configs.pair_file(folder)
    configs: dict[str, list[Any]] = {
        'language_modelling': [text],
        'masked_language_modelling': [task_configs.masked(folder, 'mlm_gru')],
        'sequence_to_sequence': [task_configs.reverse(), task_configs.pairs(tsv, 'luong')],
        'contrastive': [task_configs.contrastive(tsv, 'contrastive_gru')],
        'classification': [task_configs.fine_tune(folder / 'bert', folder)],
    }
    found = {task: set().union(*map(read_by_task, each)) for task, each in configs.items()}
    # What the loop and the step read of every config; not what each task has to read itself.
    whole: set[str] = set()
    loop.train(Recording(text, whole), str(folder / 'run'))
    shared = {n for n in whole if '.' not in n or n.startswith('optimizer.')}
    shared -= found['language_modelling']
    for task, (config, *_) in configs.items():
        with config.data.unlocked():  # where the tokens are those of a source
            config.data.update(tokenizer='bpe', vocab_size=300)
        if task in NAMED:
            load, open_named = NAMED[task]
            load(Recording(config, found[task]).data)
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(corpora.named_sets, 'open_named_set', opening)
                config.data.update(path='', name='a set')
                with pytest.raises(Opening):
                    open_named(Recording(config, found[task]).data)
        else:
            config.data.update(path=str(tsv), pairs='')
            pairs.load_pairs(Recording(config, found[task]).data)
    drawn = task_configs.reverse()
    for task in ('sequence_to_sequence', 'contrastive'):
        pairs.load_pairs(Recording(drawn, found[task]).data)
    return {task: shared | reads for task, reads in found.items()}


@every_variant
def test_every_field_is_read(file, variant, read_by_tasks, read_by_adapting, folder):
    config = file.get_config(variant)
    if file is few_shot:
        assert field_names(config) - read_by_few_shot(config, folder) == set()
        return
    reads = {name for name in read_by_tasks[config.task] if not name.startswith('model.')}
    if file in (pretrained, finetune):
        config.init_from = str(folder / ('llama' if variant.split('_')[-1] == 'lm' else 'bert'))
        resolved = sources.resolve(Recording(config, reads))
        assert set(config.model) < set(resolved.model)
        reads |= read_by_adapting if file is finetune else set()
    else:
        build_model(Recording(config, reads))
    assert field_names(config) - reads == set()


@pytest.mark.parametrize('file', [lm, seq2seq, encoder, pretrained, finetune, few_shot])
def test_an_unknown_variant_is_told(file):
    for variant in ('nonsense', '', 'reverse', 'transformers'):
        wanted = rf'^configs/\w+\.py has no variant {variant!r}; it has '
        with pytest.raises(InputError, match=wanted):
            file.get_config(variant)
    assert file.get_config().task


@pytest.mark.parametrize('variant', SEQ2SEQ)
def test_every_pair_of_data_and_model_is_a_variant(variant):
    config = seq2seq.get_config(variant)
    assert (config.data.pairs or 'tsv') + '_' == variant[: len(config.data.pairs or 'tsv') + 1]
    attention = config.model.get('cross_attention', 'transformer')
    assert variant.endswith({'none': 'recurrent'}.get(attention, attention))
    assert config.data.tokenizer == ('words' if 'scan' in variant else 'chars')


def test_a_field_nobody_reads_is_found():
    config: Any = lm.get_config('lstm')
    with config.unlocked():
        config.model.checkpoint_color = 'red'
    reads: set[str] = set()
    recording = Recording(config, reads)
    build_model(recording)
    assert recording.to_json()
    model_fields = {name for name in field_names(config) if name.startswith('model.')}
    assert model_fields - reads == {'model.checkpoint_color'}
