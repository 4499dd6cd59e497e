"""Fine-tuning: `get_config(variant)`, with --config.init_from=FOLDER_OR_NAME_OR_RUN.

A variant is METHOD, for classes of texts or of pairs of texts, or METHOD_lm, to go on predicting
the next token of another text. METHOD is

- `full`: all parameters;
- `freeze`: all layers frozen, the head trained (of `freeze_lm`, all but the lowest layer);
- `gradual`: one layer more after every tenth of the steps, or sooner for all to have their turn,
  from the top (Howard & Ruder 2018);
- `layerwise`: each layer's rate that of the layer above it divided by 2.6 (the same);
- `adapter`: bottleneck adapters, LayerNorms and head (Houlsby et al. 2019);
- `lora`: changes of low rank (Hu et al. 2022);
- `prefix`: a learned initial state (Li & Liang 2021); no encoder has one;
- `bitfit`: biases (Ben Zaken et al. 2022).

Without data of your own the classes are the packages of the standard library: which is this
docstring of? What is reported stands in the run's `results.json`.

    python -m experiments.train --config=configs/finetune.py:lora --config.init_from=FOLDER \
        --workdir=runs/lora
"""

from typing import Any

from ml_collections import ConfigDict

from configs import pretrained
from nlp_models.errors import InputError

LORA_TARGETS = r'(attention/(qkv|out)/kernel|/(W|W_h|U))$'

# Of each method: what is trained beside a head of classes ('' for all), the learning rate, and
# other fields. The rates are those of papers for models of some hundred million parameters, ten
# times as high where little is trained; yours may want others.
METHODS: dict[str, dict[str, Any]] = {
    'full': dict(trained='', learning_rate=5e-5),
    'freeze': dict(trained='', learning_rate=1e-3),
    'gradual': dict(trained='', learning_rate=1e-4, adaptation=dict(gradual=0.1)),
    'layerwise': dict(trained='', learning_rate=1e-4, adaptation=dict(layer_decay=1 / 2.6)),
    'adapter': dict(trained='adapter/|norm/', learning_rate=1e-3, model=dict(adapter_size=32)),
    'lora': dict(trained='^lora/', learning_rate=1e-3, model=dict(lora_rank=8)),
    'prefix': dict(trained='^prefix/', learning_rate=3e-3, model=dict(prefix_length=8)),
    'bitfit': dict(trained='/(bias|b|b_r)$', learning_rate=1e-3),
}


def get_config(variant: str = 'full') -> Any:
    """The config of a variant.

    Raises:
      InputError: for a variant there is none of.
    """
    method, lm_ = variant.removesuffix('_lm'), variant.endswith('_lm')
    if method not in METHODS:
        raise InputError(
            f'configs/finetune.py has no variant {variant!r}; it has METHOD or METHOD_lm with '
            f'METHOD one of {", ".join(METHODS)}'
        )
    how = METHODS[method]
    trained = [how['trained']] if how['trained'] else []
    if not lm_ and (trained or method == 'freeze'):
        trained.insert(0, '^classifier/')
    config = pretrained.get_config('lm')
    added = dict(
        rules=_rules(trained),
        freeze_layers=0,  # how many of the lowest layers, embeddings with them
        layer_decay=1.0,  # a layer's rate over that of the layer above it
        gradual=0.0,  # share of the steps between the beginning of a layer and of the one below it
        remember='',  # text whose loss is told before and after: a file, or a name of TFDS, or for
        #   encoders without masked-token head a file of pairs, source TAB target a line, or a name
        #   of pairs; '': that of the run in init_from, where it is one
    )
    config.adaptation = ConfigDict(added)
    config.model.update(
        adapter_size=0,  # units of each adapter; 0: none
        adapter_placement='houlsby',  # behind attention and feed-forward; pfeiffer: only the latter
        lora_rank=0,  # 0: no LoRA
        lora_alpha=16.0,  # W + (α / rank) A B
        lora_targets=LORA_TARGETS,  # which matrices: a regular expression found in their paths
        prefix_length=0,  # tokens of the learned state; 0: none
    )
    config.optimizer.learning_rate = how['learning_rate']
    if method in ('gradual', 'layerwise'):
        config.optimizer.update(schedule='slanted_triangular', warmup_steps=0)
        config.optimizer.final_learning_rate_ratio = 1 / 32
    config.adaptation.update(how.get('adaptation', {}))
    config.model.update(how.get('model', {}))
    if method == 'freeze' and lm_:
        config.adaptation.freeze_layers = 1
    if not lm_:
        config.task = 'classification'
        config.pooling = 'mean'  # of the tokens' vectors; or cls, last
        config.batch_size, config.sequence_length = 32, 64  # what is longer is cut off
        config.data = labelled_data()
    return config


def _rules(trained: list[str]) -> tuple[tuple[str, float], ...]:
    """Regular expressions, and what the rate of the parameters they are found in is multiplied by.

    The first that is found in a path decides; 0 freezes. The head has a rule of its own: a model
    that has none of a method's parameters is refused, and not its head trained alone.
    """
    return (*((one, 1.0) for one in trained), ('.*', 0.0)) if trained else (('.*', 1.0),)


def labelled_data() -> Any:
    """The `data` group of texts with labels."""
    return ConfigDict(
        dict(
            labelled='docstring_packages',  # a set made here; '': that of path or name
            path='',  # a file: text TAB label, or text TAB text TAB label a line; or .jsonl
            name='',  # a TFDS name; read where labelled and path are empty
            splits=(0.8, 0.1, 0.1),  # train, validation, test shares of a path's texts
            text_field='text',  # of .jsonl and TFDS
            second_field='',  # of pairs
            label_field='label',
            labels=(),  # what there may be, in the order of the classes; (): what there is
            lower=False,  # texts in lower case, as some pretrained models have read them
            train_size=0,  # so many texts of the training split, by label; 0: all
            sample_seed=0,  # which of them
            tfds_dir='',  # '': TFDS's own folder
        )
    )
