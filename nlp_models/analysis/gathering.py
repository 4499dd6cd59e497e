"""What a folder holds of studies: their evidence, judged and drawn anew."""

import json
import math
import os
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from nlp_models.analysis import study as studies
from nlp_models.analysis.document import Table
from nlp_models.analysis.journal import infinite
from nlp_models.analysis.study import Evidence, Picture, Study
from nlp_models.analysis.verdicts import Claim
from nlp_models.errors import InputError

COMMAND = 'python -m experiments.study'


class Drawn(NamedTuple):
    """A picture on disk: `study.Picture` with its file instead of the figure."""

    claims: tuple[int, ...]
    caption: str
    file: Path


class Entry(NamedTuple):
    """A claim and what became of it.

    Attributes:
      claim: the claim.
      study: which tests it.
      anchor: where a report has it.
      command: that tests it, again or for the first time.
      evidence: None where the study was not run; the next two are then empty.
      verdict: as judged from the evidence now.
      written: in what the verdict kept in `verdicts.json` differs from that; '' for nothing.
      pictures: of this claim.
      tables: of the study, with the first of its claims.
    """

    claim: Claim
    study: Study
    anchor: str
    command: str
    evidence: Evidence | None
    verdict: dict[str, Any]
    written: str
    pictures: tuple[Drawn, ...]
    tables: tuple[Table, ...] = ()

    @property
    def word(self) -> str:
        """The verdict in a word, or 'not run'."""
        return self.verdict['verdict'] if self.verdict else 'not run'


def folders(workdir: Path, name: str) -> Iterator[Path]:
    """The folder itself and those up to two levels below it that hold a file of this name."""
    for pattern in ('', '*/', '*/*/'):
        yield from sorted(path.parent for path in workdir.glob(pattern + name))


def find(known: Sequence[Study], workdir: Path) -> dict[str, tuple[Path, Evidence]]:
    """Study to its folder and its evidence.

    Args:
      known: the studies there are.
      workdir: where to look.

    Returns:
      Those that were run to their end.

    Raises:
      InputError: for evidence that cannot be read, of a study there is none of, or of the same one
        twice.
    """
    found: dict[str, tuple[Path, Evidence]] = {}
    names = {study.name for study in known}
    for folder in folders(workdir, 'evidence.json'):
        path = folder / 'evidence.json'
        evidence = Evidence.read(path)
        if evidence.study not in names:
            raise InputError(f'{path} is of the study {evidence.study!r}, which there is none of')
        if evidence.study in found:
            before = found[evidence.study][0]
            raise InputError(
                f'{before} and {folder} both hold evidence of {evidence.study}: '
                'a report is of one of them'
            )
        found[evidence.study] = folder, evidence
    return found


def gather(known: Sequence[Study], workdir: Path, output: Path) -> list[Entry]:
    """Every claim of the known studies, with the evidence that a folder has for it.

    Verdicts and pictures are made again from the evidence, by the studies as they are now.

    Args:
      known: the studies.
      workdir: where to look for evidence.
      output: where the report will be; a picture is written to its study's folder where that is in
        there, else to a new one of the study's name.

    Returns:
      One entry a claim, in the order of the studies and their claims.

    Raises:
      InputError: as `find`, and where a study cannot make anything of its evidence.
    """
    found = find(known, workdir)
    entries = []
    for study in known:
        if study.name not in found:
            command = f'{COMMAND} --config=configs/studies/{study.name}.py'
            command += f' --workdir={os.path.join("runs", study.name)}'
            nothing: tuple[dict, str] = ({}, '')
            for i, claim in enumerate(study.claims):
                at = anchor(study, i)
                entries.append(Entry(claim, study, at, command, None, *nothing, ()))
            continue
        folder, evidence = found[study.name]
        try:
            verdicts = study.judge(evidence)
            drawn = study.plot(evidence)
            tables = tuple(study.tables(evidence))
            command = repeat(study.name, evidence.config['size'], evidence.manifest['command'])
            asked = [claim.number for claim in study.claims]
            if asked != (judged := [verdict['claim'] for verdict in verdicts]):
                raise ValueError(f'claims {judged} instead of {asked}')
        except (LookupError, TypeError, ValueError, ArithmeticError) as error:
            raise InputError(
                f'{folder / "evidence.json"} is not what {study.name} measures now '
                f'({error!r}): run the study again'
            ) from error
        inside = folder.resolve().is_relative_to(output.resolve())
        pictures = _save(drawn, folder if inside else output / study.name)
        kept = _kept(folder / 'verdicts.json')
        for i, (claim, verdict) in enumerate(zip(study.claims, verdicts, strict=True)):
            own = tuple(picture for picture in pictures if claim.number in picture.claims)
            differs = _difference(kept, i, verdict)
            at = anchor(study, i)
            beside = tables if i == 0 else ()
            entries.append(
                Entry(claim, study, at, command, evidence, verdict, differs, own, beside)
            )
    return entries


def anchor(study: Study, index: int) -> str:
    """Where a report has a study's claim: by its number, or by its place where it has none."""
    number = study.claims[index].number
    return f'claim-{number}' if number else f'finding-{study.name}-{index + 1}'


def repeat(name: str, size: str, asked: str) -> str:
    """The command that repeats one study, of the one that measured it or it and others.

    Args:
      name: of the study.
      size: of its config.
      asked: the command that was typed; '' where it is not known.

    Returns:
      A command with the same overrides, into a folder named by the study.
    """
    overrides, words = [], shlex.split(asked)
    for i, word in enumerate(words):
        if not word.startswith('--config.'):
            continue
        if '=' not in word and i + 1 < len(words) and not words[i + 1].startswith('--'):
            word = f'{word}={words[i + 1]}'
        own = f'--config.studies.{name}.'
        if word.startswith(own):
            overrides.append(f'--config.{word.removeprefix(own)}')
        elif not word.startswith('--config.studies.'):
            overrides.append(word)
    flags = [f'--config=configs/studies/{name}.py:{size}', *overrides, f'--workdir=runs/{name}']
    return f'{COMMAND} {shlex.join(flags)}'


def _save(pictures: Sequence[Picture], folder: Path) -> list[Drawn]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return [Drawn(p.claims, p.caption, studies.save(p, folder)) for p in pictures]
    except OSError as error:
        raise InputError(f'output {folder} cannot be written: {error.strerror}') from error


def _kept(path: Path) -> list[dict[str, Any]] | None:
    """The verdicts written when the study ended; None where there are none."""
    try:
        kept = infinite(json.loads(path.read_text()))
        if not all(isinstance(verdict, dict) for verdict in kept):
            raise TypeError('it holds no list of verdicts')
        return kept
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f'{path} cannot be read: {error}') from error


def _difference(kept: list[dict[str, Any]] | None, index: int, verdict: dict[str, Any]) -> str:
    if kept is None:
        return 'No verdict was kept beside the evidence.'
    if index >= len(kept):
        return 'verdicts.json has no verdict on this claim.'
    before = kept[index].get('verdict')
    if before != verdict['verdict']:
        return (
            f'verdicts.json says {before}; judged again from the same evidence the verdict is '
            f'{verdict["verdict"]}.'
        )
    if other := sorted(k for k in {*verdict, *kept[index]} if not _same(verdict, kept[index], k)):
        return f'verdicts.json differs from what the evidence gives now in: {", ".join(other)}.'
    return ''


def _same(one: dict[str, Any], other: dict[str, Any], key: str) -> bool:
    return key in one and key in other and _alike(one[key], other[key])


def _alike(one: Any, other: Any) -> bool:
    """Whether two JSON-able values are the same, but for the last digits of numbers."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_alike(one[k], other[k]) for k in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(_alike, one, other))
    if isinstance(one, int | float) and isinstance(other, int | float):
        return bool(one == other) or math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-12)
    return one == other
