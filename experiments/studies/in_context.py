"""Tasks that a model was not trained on, by an instruction or by examples."""

import copy
from typing import Any

import jax
import numpy as np

from experiments.studies.in_context_pictures import plot, tables
from experiments.studies.in_context_verdicts import CLAIMS, NAME, judge
from nlp_models import costs, models
from nlp_models.adaptation import in_context
from nlp_models.adaptation.in_context import Setting, Task
from nlp_models.adaptation.prompts import Template
from nlp_models.analysis import (
    datasets,
    in_context_learning,
    moving,
    regressors,
    solving,
    text_learning,
)
from nlp_models.analysis.study import Cell, Evidence, Study
from nlp_models.data import store
from nlp_models.data.synthetic import agreement, text_rules
from nlp_models.data.synthetic.text_prompts import Form
from nlp_models.training import objectives
from nlp_models.types import LanguageModel

# How prompts are written, of `text_prompts.write_all`: an instruction or none, which examples.
PROMPTS: dict[str, dict[str, Any]] = {
    'untold': {},
    'told': {'told': 1.0},
    'told_other': {'told': 'other'},
    'misled': {'misled': True},
}


def grid(config: Any) -> list[Cell]:
    """Functions, pairs, rules; then plain language models."""
    cells = [Cell({'what': 'estimators'}, 2.0), Cell({'what': 'guessers'}, 2.0)]
    for what, cost in (('regression', 120.0), ('recall', 30.0), ('rules', 200.0), ('plain', 100.0)):
        cells += [Cell({'what': what, 'family': f}, cost) for f in config[what].models]
    return cells


def measure(config: Any, key: dict, evidence: Evidence) -> dict[str, Any]:
    """One cell."""
    del evidence
    match key['what']:
        case 'estimators':
            return _estimators(config)
        case 'guessers':
            return _guessers(config)
        case 'regression':
            return _regression(config, key['family'])
        case 'recall':
            return _recall(config, key['family'])
        case 'rules':
            return _rules(config, key['family'])
    return _plain(config, key['family'])


# Linear functions.


def _settings(config: Any) -> dict[str, dict[str, Any]]:
    """Those of functions, that which is trained on first."""
    given = config.regression.settings.to_dict()
    return {name: given[name] for name in sorted(given, key=lambda name: name != 'trained')}


def _estimators(config: Any) -> dict[str, Any]:
    """Ridge regression that knows each setting, least squares, and who always says 0."""
    settings, number = _settings(config), config.regression.training.test_examples
    found = {}
    for name, setting in settings.items():
        points = in_context_learning.points_of(name, settings, number)
        penalty = setting['noise'] / setting.get('weight_scale', 1.0) ** 2
        found[name] = in_context_learning.known_estimators(points, penalty)
    return found


def _alike(part: Any, family: str, build: Any) -> Any:
    """A family's `model` group with as many parameters as the transformer has."""
    group = copy.deepcopy(part.models[family])
    if family == 'transformer' or 'transformer' not in part.models:
        return group
    wanted = costs.count_parameters(build(part.models.transformer))

    def count(units: int) -> int:
        group.hidden_size = units
        return costs.count_parameters(build(group))

    group.hidden_size = costs.closest_size(count, wanted)
    return group


def _regression(config: Any, family: str) -> dict[str, Any]:
    part, settings = config.regression, _settings(config)
    problem = regressors.problem(settings['trained'], part.layout)
    group = _alike(part, family, lambda group: solving.build(group, problem))
    learned = in_context_learning.train_regressors(
        group,
        settings,
        part.training,
        layout=part.layout,
        power=part.power,
        seeds=range(config.seeds),
        num_devices=config.num_devices,
    )
    width = {'hidden_size': group.hidden_size}
    return learned.outcome._asdict() | {'errors': learned.tested} | width


# Pairs of keys and values.


def _recall(config: Any, family: str) -> dict[str, Any]:
    part = config.recall
    problem = in_context_learning.recall_problem(max(part.pairs), part.vocab_size)
    group = _alike(part, family, lambda group: solving.build(group, problem))
    learned = in_context_learning.train_recallers(
        group,
        part.pairs,
        part.trained,
        part.training,
        vocab_size=part.vocab_size,
        seeds=range(config.seeds),
        num_devices=config.num_devices,
    )
    width = {'hidden_size': group.hidden_size}
    return learned.outcome._asdict() | {'right': learned.tested} | width


# Rules that make one string of another.


def _partition(config: Any) -> text_rules.Partition:
    part = config.rules
    strings = part.strings
    every = text_rules.all_rules(strings.min_length, strings.max_length)
    return text_rules.partition(every, parts=tuple(part.held), share=part.share)


def _drawn(config: Any, rules: Any) -> Any:
    part = config.rules
    forms = (Form(**part.form),)
    how = dict(examples=part.examples, **part.strings)
    return text_learning.held_out(rules, forms, part.prompts, **how), forms


def _guessers(config: Any) -> dict[str, Any]:
    """Who answers what was asked, and who looks up the trained rule that fits the examples best."""
    partition = _partition(config)
    found = {}
    for name, rules in partition._asdict().items():
        drawn, _ = _drawn(config, rules)
        found[name] = {
            'rules': len(rules),
            'repeat': text_learning.repeat_input(drawn, rules),
            'retrieve': text_learning.retrieve(drawn, rules, partition.trained),
        }
    return found


def _rules(config: Any, family: str) -> dict[str, Any]:
    """Exact answers by examples read before `[seeds][K]`, by kind of rule and of prompt."""
    part, partition = config.rules, _partition(config)
    forms = (Form(**part.form),)

    def build(group: Any) -> LanguageModel:
        sizes = {'vocab_size': text_learning.VOCAB_SIZE, 'max_length': part.asked_length}
        return models.build_language_model(group, **sizes)

    model = build(_alike(part, family, build))
    trained = text_learning.train(
        model,
        part.optimizer,
        text_learning.batches(
            partition.trained,
            forms,
            size=part.batch_size,
            length=part.length,
            told=part.told,
            examples=part.examples,
            **part.strings,
        ),
        objectives.language_modelling(model),
        seeds=range(config.seeds),
        steps=part.steps,
        chunk=part.chunk,
        num_devices=config.num_devices,
    )
    exact: dict[str, dict[str, list]] = {}
    for name, rules in partition._asdict().items():
        drawn, forms = _drawn(config, rules)
        exact[name] = {}
        for kind, how in PROMPTS.items():
            written = text_learning.text_prompts.write_all(drawn, rules, forms, **how)
            right, _ = text_learning.ask(
                model,
                trained.params,
                written,
                length=part.asked_length,
                num_devices=config.num_devices,
            )
            exact[name][kind] = np.where(trained.diverged[:, None], np.nan, right).tolist()
    return {
        'exact': exact,
        'losses': trained.losses[:, -1].tolist(),
        'parameters': costs.count_parameters(model),
    }


# Plain language models.


def _plain(config: Any, family: str) -> dict[str, Any]:
    """What models that have only read prose make of both, by the number of examples shown."""
    part = config.plain
    dataset = datasets.load_once(store.load_dataset, part.data)
    sizes = {'vocab_size': dataset.tokenizer.vocab_size, 'max_length': part.context}
    group, seeds = part.models[family], range(config.seeds)
    params = moving.pretrain(group, sizes, dataset.train, part.training, seeds)
    model = models.build_language_model(group, **sizes)
    shown, asked = agreement.deal_nouns(part.every)
    verbs = Template(part.template, words=part.words.to_dict(), separator=part.separator)
    rules = _partition(config).compositions
    drawn, (form,) = _drawn(config, rules)
    strings = text_learning.as_tasks(drawn, rules, form, part.rules, part.questions)
    found: dict[str, dict[str, list]] = {'agreement': {}, 'rules': {}}
    of_seed = [jax.tree.map(lambda leaf, i=seed: leaf[i], params) for seed in seeds]
    for k in part.shots:
        choose = Setting(shots=k, normalization=part.normalization)
        write = Setting(shots=k, method='generation', num_tokens=8, stop=(form.separator,))
        for name in found:
            found[name][str(k)] = []
        for seed in seeds:
            ours = model, of_seed[seed], dataset.tokenizer
            result = in_context.evaluate(*ours, Task(verbs, asked, shown), choose)
            found['agreement'][str(k)].append(result.accuracy)
            rights = [in_context.evaluate(*ours, task, write).accuracy for task in strings]
            found['rules'][str(k)].append(float(np.mean(rights)))
    return found


STUDY = Study(
    NAME,
    'Tasks that a model was not trained on',
    'Small models are trained on many tasks of a kind, each told by a few examples in the text or '
    'by a word, and are asked about tasks that no training had: new linear functions, new pairs of '
    'keys and values, rules of strings that were held out. What examples could teach is known for '
    'functions, where ridge regression is the best there is; for rules it is set beside looking up '
    'the trained rule that fits best. Instructions and examples of another rule must not help. '
    'Plain language models are asked, too, and may well be at chance.',
    CLAIMS,
    grid,
    measure,
    judge,
    plot,
    tables,
)
