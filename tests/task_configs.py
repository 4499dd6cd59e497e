"""Small runs of every task, for the tests: their configs and the files they read."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from configs import encoder, finetune, lm, seq2seq
from tests.commands import text_file

WORDS = ['cat', 'dog', 'sun', 'sea', 'red', 'old', 'big', 'ant', 'owl', 'ice', 'egg', 'oak']


def pair_file(folder: Path, number: int = 120) -> Path:
    """Pairs of three words and the same in capitals, the other way round."""
    random = np.random.default_rng(0)
    lines = []
    for _ in range(number):
        words = random.choice(WORDS, size=3)
        lines.append(f'{" ".join(words)}\t{" ".join(words[::-1]).upper()}\n')
    path = folder / 'pairs.tsv'
    path.write_text(''.join(lines))
    return path


def letter_file(folder: Path) -> Path:
    """All strings of one to three letters of six, each its own target."""
    path = folder / 'letters.tsv'
    letters, texts = 'abcdef', ['']
    for _ in range(3):
        texts += [text + letter for text in texts for letter in letters]
    path.write_text(''.join(f'{text}\t{text}\n' for text in sorted({*texts} - {''})))
    return path


PLAIN = ['the', 'sat', 'on', 'mat', 'saw', 'run', 'after', 'sun']  # of `text_file`
ANIMALS = ['cat', 'dog']


def labelled_file(folder: Path, number: int = 90, *, pairs: bool = False) -> Path:
    """Texts of three words, and whether there is an animal; or pairs, and whether both are one."""
    random = np.random.default_rng(0)
    lines = []
    for _ in range(number):
        words = random.choice(PLAIN, size=3)
        if random.random() < 0.5:
            words[random.integers(3)] = random.choice(ANIMALS)
        text = ' '.join(words)
        if pairs:
            same = random.random() < 0.5
            other = text if same else ' '.join(random.choice(PLAIN, size=3))
            lines.append(f'{text}\t{other}\t{"same" if same else "other"}\n')
        else:
            lines.append(f'{text}\t{"animal" if {*words} & {*ANIMALS} else "none"}\n')
    path = folder / ('labelled_pairs.tsv' if pairs else 'labelled.tsv')
    path.write_text(''.join(lines))
    return path


def as_json_lines(path: Path, *fields: str) -> Path:
    """The same texts as a file of JSON objects with these fields."""
    lines = [line.split('\t') for line in path.read_text().splitlines()]
    target = path.with_suffix('.jsonl')
    target.write_text(
        ''.join(json.dumps(dict(zip(fields, line, strict=True))) + '\n' for line in lines)
    )
    return target


def shrink(config: Any, **fields: Any) -> Any:
    """Steps of milliseconds."""
    config.update(steps=40, batch_size=8, eval_every=10, log_every=10, checkpoint_every=20)
    config.optimizer.update(warmup_steps=5, learning_rate=0.01)
    config.model.update(hidden_size=16, num_layers=1, dropout_rate=0.0)
    if config.model.family == 'transformer':
        config.model.num_heads = 2
    elif 'embed_size' in config.model:
        config.model.embed_size = 16
    config.update(fields)
    return config


def language_model(folder: Path, family: str = 'transformer', **fields: Any) -> Any:
    """A language model of a text."""
    config: Any = lm.get_config(family)
    config.data.update(path=str(text_file(folder)), cache_dir=str(folder / 'cache'))
    config.data.update(splits=(0.8, 0.1, 0.1), tokenizer='chars')
    return shrink(config, sequence_length=16, **fields)


def masked(folder: Path, variant: str = 'mlm', **fields: Any) -> Any:
    """Hidden characters of a text."""
    config: Any = encoder.get_config(variant)
    config.data.update(path=str(text_file(folder)), cache_dir=str(folder / 'cache'))
    config.data.update(splits=(0.8, 0.1, 0.1), tokenizer='chars')
    return shrink(config, **{'sequence_length': 16, 'mask_rate': 0.3, **fields})


def reverse(model: str = 'luong', **fields: Any) -> Any:
    """Short strings reversed."""
    config: Any = seq2seq.get_config(f'reverse_{model}')
    config.data.update(max_length=4)
    return shrink(config, **fields)


def pairs(path: Path, model: str = 'transformer', **fields: Any) -> Any:
    """The targets of a file's sources."""
    config: Any = seq2seq.get_config(f'tsv_{model}')
    config.data.update(path=str(path), splits=(0.7, 0.15, 0.15))
    return shrink(config, **fields)


def contrastive(path: Path, variant: str = 'contrastive', **fields: Any) -> Any:
    """Which target belongs to which source of a file."""
    config: Any = encoder.get_config(variant)
    config.data.update(pairs='', path=str(path), splits=(0.6, 0.2, 0.2), tokenizer='chars')
    return shrink(config, **{'sequence_length': 12, 'temperature': 0.1, **fields})


def fine_tune(source: Any, folder: Path, variant: str = 'full', **fields: Any) -> Any:
    """A model adapted: to the classes of `labelled_file`, or with `_lm` to `text_file`."""
    config: Any = finetune.get_config(variant)
    if variant.endswith('_lm'):
        config.data.update(path=str(text_file(folder)), cache_dir=str(folder / 'cache'))
    else:
        config.data.update(labelled='', path=str(labelled_file(folder)))
    config.data.splits = (0.7, 0.15, 0.15)
    config.update(steps=6, batch_size=8, sequence_length=16, num_devices=1)
    config.update(eval_every=3, log_every=3, checkpoint_every=3, init_from=str(source))
    config.optimizer.learning_rate = 0.01
    if config.optimizer.schedule != 'slanted_triangular':
        config.optimizer.warmup_steps = 1
    for field, size in dict(adapter_size=4, lora_rank=2, prefix_length=3).items():
        config.model[field] = min(config.model[field], size)  # where there is any
    config.update(fields)
    return config
