"""From files and a source to results: `experiments.evaluate --config=configs/few_shot.py`."""

import functools
import json
import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nlp_models.adaptation import prompt_search
from nlp_models.adaptation.examples import read_examples, split_examples
from nlp_models.adaptation.in_context import Result, Setting, Task, evaluate
from nlp_models.adaptation.prompt_search import Candidate
from nlp_models.adaptation.prompts import Example, Template, check_examples
from nlp_models.adaptation.selection import Embed
from nlp_models.data.pieces import Tokenizer
from nlp_models.errors import InputError, require
from nlp_models.training.sentences import embed_lines
from nlp_models.training.sources import Source, load_source
from nlp_models.types import LanguageModel, Params

Line = dict[str, Any]
"""What is told as one JSON object."""

_Model = tuple[LanguageModel, Params, Tokenizer]


class _Asked(NamedTuple):
    """What the model is asked.

    Attributes:
      templates: by what they are called.
      queries: the questions.
      pool: the examples to show.
    """

    templates: dict[str, Template]
    queries: list[Example]
    pool: list[Example]


def run(config: Any) -> Iterator[Line]:
    """Evaluate the model that `init_from` names.

    Args:
      config: of `configs/few_shot.py`.

    Yields:
      A result for every number of shots and every draw, and the spread over several draws; of a
      search, a result for every candidate, and what was chosen.

    Raises:
      InputError: for a source that is no language model, files that cannot be used, and settings
        that `in_context.evaluate` refuses.
    """
    require(bool(config.init_from), 'init_from', config.init_from, 'must name a model')
    require(len(config.shots) > 0, 'shots', config.shots, 'must be one number or more')
    require(len(config.seeds) > 0, 'seeds', config.seeds, 'must be one number or more')
    asked = _read(config)  # before the model, which takes longer
    write = _writer(config.predictions)
    source, model = load_language_model(config.init_from, config.model)
    ours = model, source.params, source.tokenizer
    embed = None if not config.embedder else _embedder(config.embedder)
    if 'templates' in config:
        yield from _search(config, asked, ours, embed, write)
        return
    (template,) = asked.templates.values()
    task = Task(template, asked.queries, asked.pool)
    for shots in config.shots:
        # Where nothing is drawn, there is one draw.
        one = shots == 0 or config.selection == 'nearest'
        results = []
        for seed in config.seeds[:1] if one else config.seeds:
            setting = _setting(config, shots, config.selection, seed, config.order)
            results.append(evaluate(*ours, task, setting, embed=embed))
            write(dict(shots=shots, seed=seed), results[-1])
            yield _line(config, dict(shots=shots, seed=seed), results[-1])
        if len(results) > 1:
            spread = prompt_search.spread([result.accuracy for result in results])
            mean = float(np.mean([result.accuracy for result in results]))
            yield dict(shots=shots, seeds=len(results), mean=mean, **spread._asdict())


def load_language_model(name: str, model: Any = None) -> tuple[Source, LanguageModel]:
    """A source whose model predicts the next token.

    Args:
      name: as in `sources.load_source`.
      model: likewise.

    Returns:
      The source, and the model built.

    Raises:
      InputError: for a model of another kind, and as `load_source`.
    """
    source = load_source(name, model)
    built = source.build()
    if not isinstance(built, LanguageModel):
        raise InputError(
            f'init_from is {name!r}: it must be a model that predicts the next token, and is a '
            f'{type(built).__name__}'
        )
    return source, built


def load_harness(name: str, model: Any = None) -> Any:
    """A source as a model of `lm-evaluation-harness` (`adaptation.harness`).

    Args:
      name: as in `sources.load_source`.
      model: likewise.

    Returns:
      A `HarnessLM`.

    Raises:
      InputError: as `load_language_model`, and where the package is not installed.
    """
    from nlp_models.adaptation.harness import HarnessLM

    source, built = load_language_model(name, model)
    return HarnessLM(built, source.params, source.tokenizer)


def _read(config: Any) -> _Asked:
    """Templates, questions and examples."""
    texts = config.templates if 'templates' in config else (config.template,)
    require(len(texts) > 0, 'templates', texts, 'must be one or more')
    templates = {text: _template(config, text) for text in map(_unescape, texts)}
    data = config.data
    require(bool(data.path), 'data.path', data.path, 'must name a .jsonl or .tsv file')
    rows = _rows(data.path, templates)
    if data.examples:
        pool, queries = _rows(data.examples, templates), rows
    elif max(config.shots) > 0:
        pool, queries = split_examples(
            rows, data.share, ignore=(config.answer,), seed=data.split_seed
        )
        if not queries:
            raise InputError(
                f'data.share is {data.share}: of {len(rows)} examples in {data.path!r} it leaves '
                'no question'
            )
    else:
        pool, queries = [], rows  # nothing is shown
    most = data.max_examples
    require(most >= 0, 'data.max_examples', most, 'must be at least 1, or 0 for all')
    if most:
        drawn = np.random.default_rng(data.split_seed).permutation(len(queries))[:most]
        queries = [queries[i] for i in sorted(drawn)]
    return _Asked(templates, queries, pool)


def _template(config: Any, text: str) -> Template:
    return Template(
        text,
        answer=config.answer,
        words=_words(config.words),
        choices=config.get('choices', ''),
        separator=_unescape(config.separator),
        instruction=_unescape(config.instruction),
    )


def _words(given: Sequence[str]) -> dict[str, str]:
    """Label to label word, of 'LABEL=WORD'."""
    words = {}
    for each in given:
        label, equals, word = str(each).partition('=')
        require(bool(equals), 'words', each, "must be 'LABEL=WORD' for every label")
        require(label not in words, 'words', each, f'must be the only one for label {label!r}')
        words[label] = word
    return words


def _unescape(text: str) -> str:
    r"""A text with its \n, \t and \\ read, which a shell does not."""
    return re.sub(r'\\([nt\\])', lambda m: {'n': '\n', 't': '\t'}.get(m[1], '\\'), text)


def _rows(path: str, templates: dict[str, Template]) -> list[Example]:
    """A file's examples, with all that the templates need."""
    rows = read_examples(path, ())
    first = 1 if path.endswith('.jsonl') else 2  # behind a header
    for template in templates.values():
        check_examples(template, rows, what=f'{path!r}, line', first=first)
    return [*rows]


def _setting(config: Any, shots: int, selection: str, seed: int, order: int) -> Setting:
    """How the model is asked."""
    written: dict[str, Any]
    if 'num_tokens' in config:
        stop = tuple(_unescape(text) for text in config.stop)
        written = dict(num_tokens=config.num_tokens, stop=stop)
    else:
        written = dict(normalization=config.normalization, content_free=tuple(config.calibration))
    return Setting(
        shots=shots,
        selection=selection,
        seed=seed,
        order=order,
        method=config.method,
        overflow=config.overflow,
        **written,
    )


def _embedder(name: str) -> Embed:
    """Vectors of an encoder, made once for the same texts."""
    vectors = functools.lru_cache(maxsize=8)(lambda texts: embed_lines(name, [*texts]))
    return lambda texts: vectors(tuple(texts))


def _line(config: Any, which: Line, result: Result) -> Line:
    """A result as it is told."""
    score = 'exact_match' if config.method == 'generation' else 'accuracy'
    margin = None if math.isnan(result.margin) else result.margin
    counts = {name: getattr(result, name) for name in ('examples', 'fewer', 'truncated')}
    return {
        **which,
        score: result.accuracy,
        'low': result.low,
        'high': result.high,
        'margin': margin,
        **counts,
    }


def _search(
    config: Any, asked: _Asked, ours: _Model, embed: Embed | None, write: Any
) -> Iterator[Line]:
    """Candidate by candidate, and what was chosen."""
    settings = [
        setting
        for shots in config.shots
        for setting in prompt_search.variants(
            _setting(config, shots, config.selections[0], config.seeds[0], 0),
            selections=config.selections,
            seeds=config.seeds,
            orders=config.orders,
        )
    ]
    found = prompt_search.search_prompts(
        *ours,
        asked.templates,
        asked.queries,
        asked.pool,
        settings,
        share=config.search_share,
        seed=config.data.split_seed,
        embed=embed,
    )
    for candidate, result in zip(found.candidates, found.results, strict=True):
        yield _line(config, {'split': 'search', **_candidate(candidate)}, result)
    yield dict(candidates=len(found.candidates), **found.spread._asdict())
    chosen = _candidate(found.candidates[found.chosen])
    yield _line(config, {'split': 'search', 'chosen': True, **chosen}, found.searched)
    write({'split': 'held_out', **chosen}, found.held_out)
    yield _line(config, {'split': 'held_out', 'chosen': True, **chosen}, found.held_out)


def _candidate(candidate: Candidate) -> Line:
    setting = candidate.setting
    names = ('shots', 'selection', 'seed', 'order')
    return dict(template=candidate.template, **{name: getattr(setting, name) for name in names})


def _writer(path: str) -> Any:
    """What writes a result's answers to a file, and nothing without one."""
    if not path:
        return lambda which, result: None
    target = Path(path)
    require(target.suffix == '.jsonl', 'predictions', path, 'must end in .jsonl')
    try:
        target.write_text('')
    except OSError as error:
        raise InputError(f'predictions {path} cannot be written: {error.strerror}') from error

    def write(which: Line, result: Result) -> None:
        found = result.scores
        scores: list[Any] = [None] * result.examples if found is None else found.tolist()
        rows = zip(result.predictions, result.answers, result.right.tolist(), scores, strict=True)
        with target.open('a', encoding='utf-8') as file:
            for number, (prediction, answer, right, several) in enumerate(rows, 1):
                line: Line = dict(question=number, prediction=prediction, answer=answer)
                line['right'] = right
                if several is not None:
                    line['scores'] = [each for each in several if math.isfinite(each)]
                file.write(json.dumps({**which, **line}, ensure_ascii=False) + '\n')

    return write
