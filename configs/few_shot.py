r"""Zero-, one- and few-shot evaluation of a language model: `get_config(variant)`.

`likelihood` takes the likeliest of the possible answers, `generation` compares what the model
writes, and `search` tries several prompts by likelihood and scores the best on questions that it
was not chosen by. The model is a run's or a pretrained one, any that predicts the next token.

    python -m experiments.evaluate --config=configs/few_shot.py --config.init_from=FOLDER \
        --config.data.path=reviews.jsonl --config.words="('1=good', '0=bad')" \
        --config.template='Review: {text}\nLabel: {label}'

In templates and the other texts here, \n is a line break and \t a tab.
"""

from typing import Any

from ml_collections import ConfigDict

from nlp_models.errors import InputError

VARIANTS = ('likelihood', 'generation', 'search')


def base() -> Any:
    """What every variant has."""
    return ConfigDict(
        dict(
            task='few_shot',
            init_from='',  # a run's folder, a folder with safetensors, or a name of the hub
            model=dict(  # how it is run; what it is, init_from says
                dtype='float32',  # or bfloat16, to compute in
                attention='auto',  # plain, chunked, cudnn, pallas_tpu; auto: by device and length
                scan_layers=False,  # of a pretrained folder: compile one block for all layers
            ),
            data=dict(
                path='',  # answered questions: FILE.jsonl, an object a line, or FILE.tsv, a header
                examples='',  # a file of examples to show; '': a part of path
                share=0.5,  # of path that is that part, by a hash of everything but the answer
                split_seed=0,  # another one is another part
                max_examples=0,  # questions asked at most, drawn by split_seed; 0: all
            ),
            answer='label',  # the field of the template that is answered
            words=(),  # 'LABEL=WORD' of every label, in the order of the choices
            choices='',  # without words: the field with a question's own list of possible answers
            separator='\n\n',  # between examples, and behind the instruction
            instruction='',  # a text before the examples
            shots=(0, 1, 4),  # k, how many examples are shown; each is evaluated
            seeds=(0,),  # of the draws of the examples; each is evaluated
            embedder='',  # of the selection nearest: an encoder, as init_from
            normalization='none',  # tokens, bytes or characters of a choice, or unconditional
            calibration=(),  # content-free texts, such as ('N/A', '', '[MASK]'); (): none
            overflow='drop',  # examples that do not fit; or keep, cut on the left; or refuse
            predictions='',  # a file.jsonl for every answer; '': none is written
        )
    )


def get_config(variant: str = 'likelihood') -> Any:
    """The config of a variant.

    Raises:
      InputError: for a variant there is none of.
    """
    if variant not in VARIANTS:
        raise InputError(
            f'configs/few_shot.py has no variant {variant!r}; it has {", ".join(VARIANTS)}'
        )
    config = base()
    config.method = 'generation' if variant == 'generation' else 'likelihood'
    if variant == 'generation':
        config.num_tokens = 32  # written at most
        config.stop = ('\n',)  # texts that end what is written
        del config.normalization, config.calibration, config.choices
    if variant == 'search':
        config.templates = ('{text}\nLabel: {label}', '{text}\nThis is {label}')  # each is tried
        config.selections = ('random', 'balanced')  # each is tried; or nearest
        config.orders = (0, 1)  # of the examples, each is tried: 0 as drawn, n > 0 another
        config.search_share = 0.5  # of the questions; the others are held out
        config.seeds = (0, 1, 2)
        config.shots = (4,)
    else:
        config.template = '{text}\nLabel: {label}'  # one example, its fields in braces
        config.selection = 'random'  # of the examples: random, balanced or nearest
        config.order = 0  # of the examples: 0 as drawn, n > 0 another; the first k! all differ
    return config
