"""The safetensors format: a header that says where each tensor lies, and their bytes.

Eight bytes hold the header's length N as a little-endian integer; N bytes of JSON give each
tensor's dtype, shape and place after the header; then the tensors follow without gaps.

The bytes are read from their offsets, a block at a time, straight into the parameters. The library
`safetensors` maps the file into memory instead, where what has been read counts as the process's
own until the map is dropped, and copies each tensor before it can be transposed.
"""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from nlp_models.errors import InputError
from nlp_models.pretrained.files import read_json

FLOATS = {
    'F64': np.dtype('<f8'),
    'F32': np.dtype('<f4'),
    'F16': np.dtype('<f2'),
    'BF16': np.dtype(jnp.bfloat16),
}
"""The dtypes that parameters may have."""

WHOLE = 'model.safetensors'
INDEX = 'model.safetensors.index.json'

_SIZES = {'BOOL': 1, 'U8': 1, 'I8': 1, 'I16': 2, 'U16': 2, 'I32': 4, 'U32': 4, 'I64': 8, 'U64': 8}
_HEADER_LIMIT = 100_000_000  # bytes, as the format has it
_BLOCK = 1 << 20  # bytes read at a time: few enough to stay in the processor's cache
_PICKLES = ('.bin', '.pt', '.pth', '.ckpt', '.pkl')


class Tensor(NamedTuple):
    """Where a tensor lies.

    Attributes:
      path: of the file.
      dtype: as the format calls it, such as 'BF16'.
      shape: of it.
      offset: bytes before it in the file.
    """

    path: Path
    dtype: str
    shape: tuple[int, ...]
    offset: int


def open_tensors(folder: Path) -> dict[str, Tensor]:
    """Finds the tensors of a model, whether in one file or in several.

    Args:
      folder: with `model.safetensors`; or `model.safetensors.index.json` and the files it names; or
        one file of any other name that ends in `.safetensors`.

    Returns:
      Name to tensor; nothing but headers is read.

    Raises:
      InputError: if a file is missing, cut off or not of this format, or there are pickles alone.
    """
    if (folder / WHOLE).is_file():
        return read_header(folder / WHOLE)
    if (folder / INDEX).is_file():
        return _open_shards(folder)
    found = sorted(folder.glob('*.safetensors'))
    if len(found) == 1:
        return read_header(found[0])
    if found:
        raise InputError(f'{str(folder)!r} has {len(found)} safetensors files, but no {INDEX}')
    pickles = sorted(path.name for path in folder.glob('*') if path.suffix in _PICKLES)
    if pickles:
        raise InputError(
            f'{str(folder)!r} holds its weights in {pickles[0]} alone, a pickle, which can run any '
            'code when it is opened: convert it once, where that is safe, with '
            'save_pretrained(FOLDER, safe_serialization=True)'
        )
    raise InputError(f'{str(folder)!r} has no {WHOLE}: only safetensors are read, never pickles')


def _open_shards(folder: Path) -> dict[str, Tensor]:
    """The tensors of all files that an index names."""
    index = read_json(folder / INDEX).get('weight_map')
    names = sorted(set(map(str, index.values()))) if isinstance(index, dict) else []
    if not names or any(Path(name).name != name for name in names):
        raise InputError(
            f'{str(folder / INDEX)!r} must have a weight_map from tensors to files beside it'
        )
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise InputError(f'{str(folder)!r} lacks {", ".join(missing)}, named in its {INDEX}')
    tensors: dict[str, Tensor] = {}
    for name in names:
        shard = read_header(folder / name)
        twice = sorted(tensors.keys() & shard.keys())
        if twice:
            raise InputError(f'{twice[0]} is in two files of {str(folder)!r}, one of them {name}')
        tensors.update(shard)
    return tensors


def read_header(path: Path) -> dict[str, Tensor]:
    """Reads where a file's tensors lie.

    Args:
      path: of a safetensors file.

    Returns:
      Name to tensor.

    Raises:
      InputError: if the file cannot be read, is cut off, or is not of this format.
    """
    try:
        size = path.stat().st_size
        with path.open('rb') as file:
            length = int.from_bytes(file.read(8), 'little')
            header = file.read(length) if length <= min(_HEADER_LIMIT, size - 8) else b''
    except OSError as error:
        raise InputError(f'{str(path)!r} cannot be read: {error.strerror or error}') from error
    try:
        entries = json.loads(header)
        entries.pop('__metadata__', None)
        places = sorted(
            (_place(path, entry, 8 + length) for entry in entries.items()), key=lambda p: p[1:]
        )
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(
            f'{str(path)!r} is no safetensors file, or its beginning is damaged or cut off '
            f'({size} bytes)'
        ) from error
    end = 8 + length
    for name, start, stop, _ in places:
        if start != end:
            raise InputError(f'{str(path)!r} is damaged: {name} does not begin where it should')
        end = stop
    if end != size:
        what = 'is cut off' if size < end else 'is damaged'
        raise InputError(f'{str(path)!r} {what}: it has {size} bytes, its header says {end}')
    return {name: tensor for name, _, _, tensor in places}


def _place(path: Path, entry: tuple[str, Any], base: int) -> tuple[str, int, int, Tensor]:
    """(name, first byte, byte after the last, tensor) of an entry of the header."""
    name, values = entry
    start, stop = (base + int(offset) for offset in values['data_offsets'])
    shape, dtype = tuple(int(n) for n in values['shape']), str(values['dtype'])
    size = FLOATS[dtype].itemsize if dtype in FLOATS else _SIZES.get(dtype)
    if min(shape, default=0) < 0 or (size is not None and stop - start != size * math.prod(shape)):
        raise ValueError(name)
    return name, start, stop, Tensor(path, dtype, shape, start)


def read_into(tensor: Tensor, out: np.ndarray) -> None:
    """Reads a tensor of floats.

    Args:
      tensor: which.
      out: an array or a view of one, of its shape and at least one axis, written to.

    Raises:
      InputError: if the file cannot be read any more.
    """
    start = 0
    for rows in _blocks(tensor, _rows_at_once(tensor)):
        out[start : start + len(rows)] = rows
        start += len(rows)


def equal(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors of floats hold the same numbers.

    Raises:
      InputError: if a file cannot be read any more.
    """
    if a.shape != b.shape:
        return False
    at_once = min(_rows_at_once(a), _rows_at_once(b))
    pairs = zip(_blocks(a, at_once), _blocks(b, at_once), strict=True)
    return all(np.array_equal(x, y, equal_nan=True) for x, y in pairs)


def _row_bytes(tensor: Tensor) -> int:
    return FLOATS[tensor.dtype].itemsize * math.prod(tensor.shape[1:])


def _rows_at_once(tensor: Tensor) -> int:
    return max(1, _BLOCK // max(1, _row_bytes(tensor)))


def _blocks(tensor: Tensor, at_once: int) -> Iterator[np.ndarray]:
    """The tensor's rows, so many at a time, each time in the same memory."""
    dtype, rows = FLOATS[tensor.dtype], tensor.shape[0]
    buffer = np.empty(min(at_once, rows) * _row_bytes(tensor), np.uint8)
    try:
        with tensor.path.open('rb', buffering=0) as file:
            file.seek(tensor.offset)
            for start in range(0, rows, at_once):
                number = min(at_once, rows - start)
                part = buffer[: number * _row_bytes(tensor)]
                _fill(file, part.data)
                yield part.view(dtype).reshape(number, *tensor.shape[1:])
    except OSError as error:
        raise InputError(f'{str(tensor.path)!r} cannot be read: {error}') from error


def _fill(file: Any, buffer: memoryview) -> None:
    """Reads as many bytes as the buffer has."""
    while buffer:
        count = file.readinto(buffer)
        if not count:
            raise OSError('it ends too soon')
        buffer = buffer[count:]
