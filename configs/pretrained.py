"""Pretrained models: `get_config(variant)`, with --config.init_from=FOLDER_OR_NAME.

`lm` predicts the next token (GPT-2, Llama, Mistral, Qwen2), `mlm` hidden tokens (BERT),
`contrastive` makes vectors for sentences (BERT, MiniLM). The folder's config.json decides the
architecture and its tokenizer.json makes the tokens; what stands here is how the model is run and
trained on.

    python -m experiments.sample --config=configs/pretrained.py --config.init_from=FOLDER
"""

from typing import Any

from configs import encoder, lm
from nlp_models.errors import InputError

VARIANTS = ('lm', 'mlm', 'contrastive')


def get_config(variant: str = 'lm') -> Any:
    """The config of a variant.

    Raises:
      InputError: for a variant there is none of.
    """
    if variant not in VARIANTS:
        raise InputError(
            f'configs/pretrained.py has no variant {variant!r}; it has {", ".join(VARIANTS)}'
        )
    config = lm.get_config('transformer') if variant == 'lm' else encoder.get_config(variant)
    config.model = dict(
        dropout_rate=0.0,
        dtype='float32',  # or bfloat16, to compute in; parameters stay float32
        attention='auto',  # plain, chunked, cudnn, pallas_tpu; auto: by device and length
        backward='custom',  # or autodiff, which forward-mode differentiation needs
        remat=False,  # recompute the blocks in the backward pass, to save memory
        scan_layers=False,  # compile one block for all layers; parameters lie stacked
    )
    config.update(steps=200, batch_size=8, sequence_length=128, eval_every=100, log_every=10)
    config.update(checkpoint_every=100)
    config.optimizer.update(learning_rate=5e-5, warmup_steps=20, weight_decay=0.01, b2=0.999)
    for field in ('tokenizer', 'vocab_size'):  # the folder's own
        del config.data[field]
    return config
