"""Folders, and what is asked of their models, for the tests beside `lm-evaluation-harness`."""

from pathlib import Path
from typing import Any

from tokenizers import Tokenizer as HuggingFaceTokenizer
from tokenizers import decoders, processors
from tokenizers import models as kinds

from nlp_models.data.pieces import Tokenizer
from nlp_models.data.pretrained_tokenizer import pretrained_tokenizer
from nlp_models.pretrained.export import export
from nlp_models.pretrained.load import Imported, load
from tests.pretrained_folders import write_folder

NAMES = ('gpt2', 'llama')
CONTEXT = 96  # of the golden files' models
SPECIAL = ('<unk>', '<s>', '</s>', '<pad>')
LETTERS = '\n .:abcdefghijklmnopqrstuvwxyz'
# 61 tokens in all, as the models have; some are of several words, so that they reach over borders.
MERGES = [
    *[(a, b) for a, b in ('th', 'an', 'in', 'er', 'on', 're', 'at', 'en', 'ou')],
    *[('th', 'e'), ('an', 'd'), ('in', 'g'), ('at', ' '), ('the', ' '), (' ', 'the'), ('on', ' ')],
    *[('s', ' '), ('e', ' '), ('.', '\n'), (':', ' '), ('ou', 'r'), ('s', 't'), ('l', 'l')],
    *[('o', 'f'), ('i', 's'), ('\n', '\n')],
]


def merging_tokenizer(name: str) -> Tokenizer:
    """Pairs of letters merged without regard to words; for `llama` with <s> before a text."""
    tokens = [*SPECIAL, *LETTERS, *(a + b for a, b in MERGES)]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    library = HuggingFaceTokenizer(kinds.BPE(vocab=vocabulary, merges=MERGES, unk_token='<unk>'))
    library.decoder = decoders.Fuse()
    library.add_special_tokens([*SPECIAL])
    if name == 'llama':
        library.post_processor = processors.TemplateProcessing(
            single='<s> $A', special_tokens=[('<s>', 1)]
        )
    # As with GPT-2, one token both begins and ends texts where nothing is put before them.
    special = {'bos': '<s>' if name == 'llama' else '</s>', 'eos': '</s>', 'pad': '<pad>'}
    return pretrained_tokenizer(library.to_str(), special)


def harness_folder(folder: Path, name: str) -> Path:
    """A golden model's weights and the tokenizer, written by `export`."""
    imported = load(write_folder(folder / 'golden', name))
    export(
        folder / name,
        imported.model,
        imported.params,
        vocab_size=imported.architecture.vocab_size,
        context=CONTEXT,
        tokenizer=merging_tokenizer(name),
    )
    return folder / name


def imported(folder: Path) -> tuple[Any, Any, Tokenizer]:
    """Model, parameters and tokenizer of a folder."""
    from nlp_models import models

    found: Imported = load(folder)
    sizes = dict(vocab_size=found.architecture.vocab_size, max_length=found.architecture.context)
    assert found.tokenizer is not None
    return models.build(found.model, **sizes), found.params, found.tokenizer


LONG = 'the cat of the house sat on the mat and sang. ' * 9  # beyond what the models read

PAIRS: list[tuple[str, str]] = [
    ('the cat sat on', ' the mat'),
    ('the cat sat on', ' the hat and sang'),
    ('the cat sat on', ' a mat'),
    ('the cat sat on ', 'the mat'),  # a blank that is moved
    ('the cat\n ', 'is out'),
    ('the cat sat on', 'thu'),  # what gpt2 and
    ('the cat sat on', 'enth'),  # llama write greedily
    ('answer:', 'yes'),
    ('answer:', ' our ring'),
    ('ca', 'the sun'),
    ('sat', 'her'),  # at + h and not a + th, and the border within ther
    ('', 'the beginning of a text'),
    ('', '.\nand so on'),
    (LONG, ' the end.'),  # cut on the left
    (LONG + 'it is', ' a very long way to the other house of the cat'),
]
TEXTS = ['the cat sat.\n', 'of', 'a thing\n\nand another: ' * 3, LONG, LONG + LONG]
UNTIL: list[tuple[str, dict[str, Any]]] = [
    ('the cat sat on', dict(until=['uo', 'rat'], max_gen_toks=24)),
    ('the cat', dict(until='.', max_gen_toks=24)),
    ('answer:', dict(until=['\n\n'], max_gen_toks=24)),
    ('and so the house', dict(until=['ll', 'of'], max_gen_toks=24)),
    (LONG, dict(until=['zz'], max_gen_toks=24)),
    ('my', dict(until=[], max_gen_toks=24)),
]
