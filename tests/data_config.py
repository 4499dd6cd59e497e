"""For the tests of `nlp_models.data`: the `data` group of a config, a user without rights."""

import contextlib
import os

from ml_collections import ConfigDict

from configs import lm


def settings(**changes):
    """The group as `configs/lm.py` has it, with some fields changed."""
    return ConfigDict({**lm.base().data.to_dict(), 'vocab_size': 300, **changes})


@contextlib.contextmanager
def ordinary_user():
    """Takes the superuser's right to read and write everything away."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)
