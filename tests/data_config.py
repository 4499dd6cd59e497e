"""The `data` group of a config, for the tests of `nlp_models.data`."""

from ml_collections import ConfigDict

from configs import lm


def settings(**changes):
    """The group as `configs/lm.py` has it, with some fields changed."""
    return ConfigDict({**lm.base().data.to_dict(), 'vocab_size': 300, **changes})
