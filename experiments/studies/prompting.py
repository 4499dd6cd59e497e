"""The same model and the same questions, asked in several ways."""

from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from experiments.studies.prompting_pictures import plot, tables
from experiments.studies.prompting_verdicts import CLAIMS, FACTORS, NAME, judge
from nlp_models import models
from nlp_models.adaptation import prompt_search
from nlp_models.adaptation.examples import split_examples
from nlp_models.adaptation.in_context import Setting
from nlp_models.adaptation.prompts import Template
from nlp_models.analysis import datasets, moving, prompt_spread
from nlp_models.analysis.study import Cell, Evidence, Study
from nlp_models.data import store
from nlp_models.data.synthetic import agreement


def grid(config: Any) -> list[Cell]:
    """Of each family the models; every factor with every scoring; a search."""
    cells = []
    for family in config.models:
        cells.append(Cell({'what': 'model', 'family': family}, 120.0))
        cells += [
            Cell({'what': 'ask', 'family': family, 'factor': factor, 'scoring': scoring}, 8.0)
            for factor in FACTORS
            for scoring in config.scorings
        ]
        cells.append(Cell({'what': 'search', 'family': family}, 20.0))
    return cells


def measure(config: Any, key: dict, evidence: Evidence) -> dict[str, Any]:
    """One cell."""
    del evidence
    match key['what']:
        case 'model':
            return _describe(config, key['family'])
        case 'ask':
            return _ask(config, key['family'], key['factor'], key['scoring'])
    return _search(config, key['family'])


_trained: dict[str, tuple[Any, Any]] = {}


def _sizes(config: Any) -> dict[str, int]:
    dataset = datasets.load_once(store.load_dataset, config.data)
    return {'vocab_size': dataset.tokenizer.vocab_size, 'max_length': config.context}


def _models(config: Any, family: str) -> tuple[Any, Any]:
    """A family's model and its parameters, leaves `[seeds, …]`; those of one family are kept.

    What is compiled for a model is compiled for this very object, so that it is kept, too.
    """
    name = f'{family} {config.to_json()}'
    if name not in _trained:
        _trained.clear()
        dataset = datasets.load_once(store.load_dataset, config.data)
        group, sizes = config.models[family], _sizes(config)
        training = {**config.training, 'pretrain_steps': config.pretrain_steps[family]}
        params = moving.pretrain(
            group, sizes, dataset.train, ConfigDict(training), range(config.seeds)
        )
        _trained[name] = models.build_language_model(group, **sizes), params
    return _trained[name]


def _ours(config: Any, family: str, seed: int) -> tuple[Any, Any, Any]:
    """Model, parameters and tokenizer."""
    dataset = datasets.load_once(store.load_dataset, config.data)
    model, params = _models(config, family)
    return model, jax.tree.map(lambda leaf: leaf[seed], params), dataset.tokenizer


def _describe(config: Any, family: str) -> dict[str, Any]:
    """How well the models predict text of the kind they were trained on, nats a byte."""
    dataset = datasets.load_once(store.load_dataset, config.data)
    rows = moving.windows(dataset.validation, 8, 16, config.training.sequence_length)
    _, params = _models(config, family)
    shown, asked = agreement.deal_nouns(config.every)
    return {
        'loss': moving.score(config.models[family], _sizes(config), params, rows),
        'shown': len(shown),
        'asked': len(asked),
    }


def _setting(config: Any, scoring: str) -> Setting:
    return Setting(
        shots=config.shots,
        normalization='unconditional' if scoring == 'unconditional' else 'none',
        content_free=tuple(config.content_free) if scoring == 'calibrated' else (),
    )


def _words() -> list[dict[str, str]]:
    return [dict(zip(agreement.LABELS, verbs, strict=True)) for verbs in agreement.VERBS]


def _ask(config: Any, family: str, factor: str, scoring: str) -> dict[str, Any]:
    ways = prompt_spread.ways_by_factor(
        config.templates,
        _words(),
        _setting(config, scoring),
        separator=config.separator,
        orders=config.orders,
        draws=config.draws,
    )[factor]
    shown, asked = agreement.deal_nouns(config.every)
    return prompt_spread.over_models(
        lambda seed: prompt_spread.ask(*_ours(config, family, seed), ways, asked, shown),
        config.seeds,
    )


def _search(config: Any, family: str) -> dict[str, Any]:
    """All templates with all verbs, by likelihood alone, as somebody would who knows no better."""
    shown, asked = agreement.deal_nouns(config.every)
    setting = _setting(config, 'none')
    templates = {
        f'{words["one"]}: {text}': Template(text, words=words, separator=config.separator)
        for words in _words()
        for text in config.templates
    }
    first = prompt_spread.Way(next(iter(templates.values())), setting)
    found: dict[str, list] = {
        name: [] for name in ('searched', 'held_out', 'first', 'least', 'median', 'chosen')
    }
    for seed in range(config.seeds):
        ours = _ours(config, family, seed)
        search = prompt_search.search_prompts(
            *ours, templates, asked, shown, [setting], share=config.search_share, seed=seed
        )
        found['searched'].append(search.searched.accuracy)
        found['held_out'].append(search.held_out.accuracy)
        found['least'].append(search.spread.least)
        found['median'].append(search.spread.median)
        found['chosen'].append(search.candidates[search.chosen].template)
        _, held_out = split_examples(
            asked, config.search_share, ignore=(first.template.answer,), seed=seed
        )
        answers = prompt_spread.ask(*ours, [first], held_out, shown)
        found['first'].append(float(np.mean(answers.right)))
    return found


STUDY = Study(
    NAME,
    'How much hangs on the prompt',
    'Language models that have read documentation are asked whether “is” or “are” goes with a '
    'noun, which that text has taught them. The same model is asked the same questions with other '
    'words around them, with other verbs, with the same examples in every order and with other '
    'examples. Best and worst way are chosen on one half of the questions and compared on the '
    'other, so that ways which are alike show no gap; a model that knew the task by heart would '
    'show none either.',
    CLAIMS,
    grid,
    measure,
    judge,
    plot,
    tables,
)
