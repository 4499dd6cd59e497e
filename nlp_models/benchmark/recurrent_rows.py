"""Rows: a cell over a sequence, forward and backward, against torch, Flax and our other forms."""

from functools import partial
from typing import Any

from nlp_models import costs
from nlp_models.benchmark import peers_flax, peers_torch, works
from nlp_models.benchmark.bench import Bench
from nlp_models.benchmark.peers import Peer
from nlp_models.benchmark.works import Setting, Work
from nlp_models.errors import InputError, require

PEERS = {
    'torch': lambda cell: f'torch.nn.{peers_torch.LAYERS[cell]}',
    'flax': lambda cell: 'flax.linen.RNN',
    'flax_shared_out': lambda cell: 'flax.linen.RNN, batch shared out over the cores',
}


def rows(bench: Bench) -> None:
    """Every pair of `config.recurrent.pairs` at every shape of `config.recurrent.shapes`."""
    group = bench.config.recurrent
    for ours, against, bars in group.pairs:
        require(
            len(bars) in (0, len(group.shapes)),
            'recurrent.pairs',
            (ours, against, bars),
            f'must have one bar a shape, {len(group.shapes)}, or none',
        )
        for index, shape in enumerate(group.shapes):
            _row(bench, ours, against, tuple(shape), bars[index] if bars else 0.0)


def form(bench: Bench, name: str, shape: tuple[int, int, int]) -> tuple[Any, Setting]:
    """One of our forms by its name in `config.recurrent.forms`: the cell's group, how it is run."""
    group = bench.config.recurrent
    if name not in group.forms:
        known = ', '.join((*group.forms, *PEERS))
        raise InputError(f'recurrent.pairs names {name!r}: it must be one of {known}')
    entry = group.forms[name]
    setting = Setting(*shape, entry.evaluation, entry.backward, entry.dtype)
    return bench.config.cells[entry.cell], setting


def make(bench: Bench, name: str, shape: tuple[int, int, int]) -> Work:
    """Our work, of one of the forms."""
    model, setting = form(bench, name, shape)
    return works.recurrent(
        model,
        setting,
        passes=costs.FORWARD_BACKWARD,
        seed=bench.config.seed,
        num_devices=bench.config.num_devices,
    )


def make_peer(bench: Bench, kind: str, name: str, shape: tuple[int, int, int]) -> Peer:
    """A peer's work of the same cell, shape and dtype as one of our forms."""
    entry, seed = bench.config.recurrent.forms[name], bench.config.seed
    if kind == 'torch':
        return peers_torch.recurrent(entry.cell, *shape, dtype=entry.dtype, seed=seed)
    number = bench.config.num_devices if kind == 'flax_shared_out' else 1
    return peers_flax.recurrent(
        entry.cell, *shape, dtype=entry.dtype, num_devices=number, seed=seed
    )


def _row(bench: Bench, ours: str, against: str, shape: tuple[int, int, int], bar: float) -> None:
    forms = bench.config.recurrent.forms
    model, setting = form(bench, ours, shape)
    settings = [model.to_dict(), forms[ours].to_dict(), bench.config.num_devices]
    if against in PEERS:
        cell = forms[ours].cell
        known = peers_torch.LAYERS if against == 'torch' else peers_flax.CELLS
        if cell not in known:
            raise InputError(f'recurrent.pairs has {cell} against {against}: it has no such cell')
        peer, theirs = PEERS[against](cell), partial(make_peer, bench, against, ours, shape)
    else:
        form(bench, against, shape)  # says if there is none
        peer, theirs = f'our {against}', partial(make, bench, against, shape)
        settings.append(forms[against].to_dict())
    bench.pair(
        f'{ours}, forward and backward',
        dict(zip('BTD', shape, strict=True)),
        peer,
        settings,
        ours=partial(make, bench, ours, shape),
        theirs=theirs,
        bar=bar,
        dtype=setting.dtype,
    )
