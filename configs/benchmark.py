"""The benchmark: `python -m experiments.benchmark --config=configs/benchmark.py:VARIANT`.

Variants: `cpu` is everything, with the win map, in at most 40 minutes on 2 cores; `table` the rows
against peers and the families alone, in at most 15; `quick` all kinds of rows at tiny sizes, in
about 2; `gpu` everything at a GPU's sizes, with bfloat16 and cuDNN. A row whose peer is missing
(`pip install -e '.[peers]'`) is left out with a line. A bar is the ratio, peer's time over ours,
that a row has to reach; 0 is none.

The row about training to a loss needs the text: --config.to_loss.text=FILE.
"""

from typing import Any

from ml_collections import ConfigDict

from configs import lm
from nlp_models.errors import InputError
from nlp_models.models import CELLS

_ROWS = (
    'recurrent',
    'train_step',
    'generate',
    'embed',
    'attention',
    'newton',
    'compiling',
    'loop',
    'to_loss',
)


def get_config(variant: str = 'cpu') -> Any:
    """The config of a variant.

    Raises:
      InputError: for a variant there is none of.
    """
    known = {'cpu': _cpu, 'table': _table, 'quick': _quick, 'gpu': _gpu}
    if variant not in known:
        raise InputError(
            f'configs/benchmark.py has no variant {variant!r}; it has {", ".join(known)}'
        )
    return known[variant]()


def _cpu() -> Any:
    """Everything, as `docs/benchmarks.md` shows it."""
    return ConfigDict(
        dict(
            parts=(*_ROWS, 'families', 'win_map'),  # see `nlp_models/benchmark/run.py`
            seed=0,  # of parameters, inputs and cotangents
            num_devices=0,  # 0: the most that divide the batch (on a CPU, at most one a core)
            as_found=('recurrent',),  # parts with the allocator as any process finds it, both sides
            keep_memory=('ours',),  # in the others, whose turns have that of our commands; or peers
            precision='highest',  # float32 products on a GPU, torch's too; or high, default
            vocab_size=65,  # of the language models, as tinyshakespeare's
            clock=dict(
                warm_up=10,  # calls of each before the clock starts
                seconds=3.0,  # to spend on the rounds of a row, about
                least=6,  # rounds at least: with fewer there is no interval of 95 %
                most=200,  # rounds at most
                block_seconds=0.05,  # what a turn takes at least: short calls are repeated
                pause=0.02,  # seconds before each turn, for the other's threads to come to rest
            ),
            matmul=dict(  # the yardstick: a large matrix product
                dtypes=('float32',),
                size=2048,  # n of the n × n matrices
                seconds=1.0,  # to spend on each dtype
            ),
            cells=_cells(),  # `model` groups, as in configs/lm.py
            transformer=lm.get_config('transformer').model,  # what families decode with
            recurrent=_recurrent(),
            train_step=_train_step(),
            generate=_generate(),
            generate_models=_generate_models(),
            embed=dict(
                model='',  # a folder of all-MiniLM-L6-v2; '': that of its package
                sentences=256,
                bar=1.0,
            ),
            attention=dict(
                batch_size=1,
                num_heads=4,
                head_size=64,
                length=16384,  # where memory is looked at
                lengths=(1024, 2048, 4096, 8192),  # time: the greatest where plain attention fits
                bytes_limit=8e9,  # what fits
                forms=dict(
                    chunked=dict(
                        implementation='chunked', dtype='float32', memory_bar=20.0, time_bar=1 / 1.3
                    )
                ),
            ),
            newton=dict(
                cells=('gru', 'lstm'),
                length=4096,
                width=16,  # N and D
                training_steps=300,  # of the trained weights: to recall the input of 2 steps ago
                value_bar=1e-5,  # greatest difference from the scan's values, with full Jacobians
                gradient_bar=1e-4,  # and from its gradients, over their greatest magnitude
            ),
            compiling=dict(run='4x128', num_layers=12, rounds=6, bar=3.0),
            loop=dict(
                run='4x128',
                steps=100,  # of each round
                rounds=8,
                characters=200_000,  # of the random text it trains on
                bar=1 / 1.05,
            ),
            to_loss=_to_loss(),
            families=dict(
                cells=tuple(_cells()),
                shapes=((16, 256, 128), (1, 4096, 16)),  # (B, T, D = N)
                dtypes=('float32',),
                attention=('plain', 'chunked'),  # implementations
                seconds=0.3,  # to spend on each pass
                bytes_limit=8e9,
                seconds_limit=2.0,  # what is expected to take more for one call is not run
            ),
            win_map=dict(
                lengths=(64, 256, 1024, 4096, 16384),
                widths=(8, 32, 128, 512),
                attention='auto',  # its implementation
                seconds=1.0,  # to spend on a point, beside compiling and what is slow
                rounds=3,  # at least
                bytes_limit=8e9,
                seconds_limit=20.0,
            ),
        )
    )


def _cells() -> dict:
    """Every cell in its own default form, and the GRU of torch, Flax and cuDNN."""
    cells = {family: lm.get_config(family).model for family in CELLS}
    cells['gru_reset_after'] = lm.get_config('gru').model
    cells['gru_reset_after'].reset_after = True
    return cells


def _recurrent() -> dict:
    """Cells over sequences: our forms, and which of them stands against whom."""

    def form(cell: str, evaluation: str = 'sequential', backward: str = 'custom') -> dict:
        return dict(cell=cell, evaluation=evaluation, backward=backward, dtype='float32')

    return dict(
        shapes=((32, 256, 256), (16, 512, 128)),  # (B, T, D = N)
        forms=dict(
            rnn=form('rnn'),
            lstm=form('lstm'),
            gru=form('gru'),
            gru_autodiff=form('gru', backward='autodiff'),
            gru_reset_after=form('gru_reset_after'),
        ),
        pairs=(  # (a form, against whom, one bar a shape or none)
            ('lstm', 'torch', (1.3, 1.5)),
            ('gru_reset_after', 'torch', (1.3, 1.5)),
            ('rnn', 'torch', (1.0, 1.0)),
            ('gru', 'gru_reset_after', (1 / 1.25, 1 / 1.25)),
            ('gru', 'gru_autodiff', (1.3, 1.3)),
            ('lstm', 'flax', (1.4, 2.0)),
            ('gru_reset_after', 'flax', (1.4, 2.0)),
            ('lstm', 'flax_shared_out', ()),
            ('gru_reset_after', 'flax_shared_out', ()),
        ),
    )


def _generate() -> dict:
    """Greedy continuation: which model, how many texts, tokens read and added, the bar."""

    def case(model: str, batch_size: int, prompt: int, new: int, bar: float) -> dict:
        # The share of tokens on which both sides must agree (random weights leave near ties).
        return dict(
            model=model, batch_size=batch_size, prompt=prompt, new=new, agreement=0.9, bar=bar
        )

    return dict(
        one=case('4x128', 1, 8, 56, 8.0),
        eight=case('4x128', 8, 8, 56, 5.0),
        large=case('12x768', 1, 8, 56, 1.3),
        large_long=case('12x768', 1, 512, 64, 1.2),
    )


def _generate_models() -> dict:
    """GPT-2's of two sizes; the second is the smallest that was published."""
    return {
        '4x128': dict(vocab_size=65, hidden_size=128, num_layers=4, num_heads=4),
        '12x768': dict(vocab_size=50257, hidden_size=768, num_layers=12, num_heads=12),
    }


def _train_step() -> dict:
    """Transformers at nanoGPT's two character-level sizes."""
    return dict(
        runs={
            '4x128': _run(12, 64, hidden_size=128, num_layers=4, num_heads=4),
            '6x384': _run(8, 256, hidden_size=384, num_layers=6, num_heads=6),
        },
        peers=dict(  # the bars, where there are any
            torch_eager={'4x128': 1.2, '6x384': 1.1},
            torch_compiled={'4x128': 1.1, '6x384': 1.0},
            huggingface={},
        ),
        dtypes=('bfloat16',),  # of part `dtypes`, against float32
    )


def _run(batch_size: int, length: int, **model: Any) -> Any:
    run = lm.get_config('shakespeare_nanogpt')
    run.update(batch_size=batch_size, sequence_length=length)
    run.model.update(model)
    return run


def _to_loss() -> dict:
    """Seconds to nanoGPT's loss, with our choices, against nanoGPT's steps in torch."""
    run = lm.get_config('shakespeare_cpu')
    run.steps = 800
    return dict(
        text='',  # the file of tinyshakespeare; '': the row is left out
        loss=1.88,  # of the whole validation split, windows side by side, in nats
        run=run,
        peer_run=_run(12, 64, hidden_size=128, num_layers=4, num_heads=4),
        peer_steps=2000,
        peer_seconds=3.0,  # to spend on timing its step, in each round
        rounds=2,  # each trains anew, from another seed
        bar=2.5,
    )


def _table() -> Any:
    """Everything but the map, the families at one shape."""
    config = _cpu()
    config.parts = (*_ROWS, 'families')
    config.families.shapes = config.families.shapes[:1]
    _without_shared_out(config)
    return config


def _without_shared_out(config: Any) -> None:
    """Leave out the rows of a peer that no bar is set for, to save time."""
    pairs = config.recurrent.pairs
    config.recurrent.pairs = tuple(pair for pair in pairs if pair[1] != 'flax_shared_out')


def _without_bars(config: Any) -> None:
    """Other sizes than the bars were set for."""
    config.recurrent.pairs = tuple((a, b, ()) for a, b, _ in config.recurrent.pairs)
    config.train_step.peers = ConfigDict({peer: {} for peer in config.train_step.peers})
    config.attention.forms.chunked.update(memory_bar=0.0, time_bar=0.0)
    for case in config.generate.values():
        case.bar = 0.0
    config.embed.bar = 0.0
    config.compiling.bar = config.loop.bar = config.to_loss.bar = 0.0


def _quick() -> Any:
    """All kinds of rows, tiny."""
    config = _cpu()
    _without_bars(config)
    config.parts = (*_ROWS, 'dtypes', 'families', 'win_map')
    config.clock.update(warm_up=1, seconds=0.05, block_seconds=0.01, pause=0.005)
    config.matmul.update(size=512, seconds=0.1)
    config.recurrent.shapes = ((4, 32, 16),)
    _without_shared_out(config)
    train_step = config.train_step
    train_step.runs = ConfigDict({'2x32': _run(4, 32, hidden_size=32, num_layers=2, num_heads=2)})
    del train_step.peers['torch_compiled']  # it alone would take half of the time
    one = config.generate.one
    one.update(model='2x32', prompt=4, new=8)
    config.generate = ConfigDict({'one': one})
    config.generate_models['2x32'] = ConfigDict(
        dict(vocab_size=65, hidden_size=32, num_layers=2, num_heads=2)
    )
    config.embed.sentences = 16
    config.attention.update(length=512, lengths=(128, 256))
    config.newton.update(cells=('gru',), length=64, width=8, training_steps=20)
    config.compiling.update(run='2x32', num_layers=2, rounds=1)
    config.loop.update(run='2x32', steps=30, rounds=2, characters=20_000)
    config.families.update(cells=('mingru',), shapes=((4, 64, 16),), seconds=0.02)
    config.families.attention = ('chunked',)
    config.win_map.update(lengths=(64,), widths=(8,), seconds=0.05)
    return config


def _gpu() -> Any:
    """A GPU's sizes; bfloat16 and cuDNN beside float32; no bar was set for it."""
    config = _cpu()
    _without_bars(config)
    config.parts = (*_ROWS, 'dtypes', 'families', 'win_map')
    config.num_devices = 1  # as the peers have
    for run in (*config.train_step.runs.values(), config.to_loss.run):
        run.num_devices = 1
    config.matmul.update(dtypes=('float32', 'bfloat16'), size=8192)
    recurrent = config.recurrent
    recurrent.shapes = ((32, 256, 256), (16, 512, 128), (128, 512, 512))
    for name in ('lstm', 'gru_reset_after'):
        half = f'{name}_bfloat16'
        recurrent.forms[half] = recurrent.forms[name].copy_and_resolve_references()
        recurrent.forms[half].dtype = 'bfloat16'
        recurrent.pairs += ((half, name, ()), (half, 'torch', ()))
    recurrent.forms.lstm_cudnn = recurrent.forms.lstm.copy_and_resolve_references()
    recurrent.forms.lstm_cudnn.evaluation = 'cudnn'
    recurrent.pairs += (('lstm_cudnn', 'lstm', ()), ('lstm_cudnn', 'torch', ()))
    large = _run(16, 1024, hidden_size=768, num_layers=12, num_heads=12)
    large.num_devices = 1
    config.train_step.runs['12x768'] = large
    config.attention.update(batch_size=4, num_heads=12, lengths=(1024, 2048, 4096, 8192, 16384))
    config.attention.bytes_limit = 40e9
    config.attention.forms.cudnn = ConfigDict(
        dict(implementation='cudnn', dtype='bfloat16', memory_bar=0.0, time_bar=0.0)
    )
    config.families.update(
        shapes=((32, 256, 256), (16, 4096, 64), (1, 65536, 32)),
        dtypes=('float32', 'bfloat16'),
        attention=('plain', 'chunked', 'cudnn'),
    )
    return config
