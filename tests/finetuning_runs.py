"""Bases to adapt, small, and what a run that adapts one leaves; for the tests."""

from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from nlp_models.data import store
from nlp_models.training import adapting, checkpoints, loop
from tests.pretrained_folders import write_folder, write_letters
from tests.task_configs import language_model, text_file


def make_bases(folder: Path, *families: str) -> Path:
    """A folder with a base of each family, a pretrained one of `bert`, runs of the others.

    Beside them is the text that the runs were trained on.
    """
    text_file(folder)
    with pytest.MonkeyPatch.context() as patch:
        leave_results_out(patch)
        for family in families:
            if family == 'bert':
                write_letters(write_folder(folder / 'bert', 'bert'), framed=True)
                continue
            config = language_model(folder, family, steps=4, eval_every=2, checkpoint_every=2)
            config.model.num_layers = 2
            config.num_devices = 1
            loop.train(config, str(folder / family))
    return folder


def leave_results_out(patch: pytest.MonkeyPatch) -> None:
    """Do not score what has been trained: it has tests of its own."""
    patch.setattr(adapting, 'write_results', lambda *_: None)


def newest(workdir: Path) -> Any:
    """The newest checkpoint of a run."""
    found = checkpoints.load_newest(workdir / 'checkpoints')
    assert found is not None
    return found


def log_softmax(logits):
    logits = np.asarray(logits, np.float64)
    logits = logits - logits.max(axis=-1, keepdims=True)
    return logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))


def text_loss(model, params, text, length=16):
    """Nats a token in windows side by side, in float64."""
    apply = jax.jit(lambda p, tokens: model.apply(p, model.start(p, len(tokens)), tokens)[1])
    windows = [text[i : i + length + 1] for i in range(0, len(text) - 1, length)]
    padded = np.stack([np.pad(w, (0, length + 1 - len(w))) for w in windows]).astype(np.int32)
    said = log_softmax(apply(params, padded[:, :-1]))
    nats = [said[i, t, w[t + 1]] for i, w in enumerate(windows) for t in range(len(w) - 1)]
    return -np.mean(nats), len(nats)


def validation_of(run):
    return store.load_dataset(run.config.data, run.tokenizer).validation
