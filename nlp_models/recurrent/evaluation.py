"""How a cell is run over a sequence: by name, or by what the cell and the device allow.

Every way computes the same function and has the signature of `sequential.scan`; they differ in time
and memory alone.
"""

from collections.abc import Callable
from functools import partial

from nlp_models import platforms
from nlp_models.errors import require
from nlp_models.recurrent import associative, cudnn, newton, sequential
from nlp_models.recurrent.cells import Cell

EVALUATIONS = ('auto', 'sequential', 'associative', 'newton', 'quasi_newton', 'cudnn')


def make_evaluation(cell: Cell, name: str = 'auto', backward: str = 'custom') -> Callable:
    """The function that runs a cell over a sequence.

    'auto' is 'associative' for a cell that is linear in its carry, but on a CPU; 'cudnn' for an
    LSTM on an NVIDIA GPU; and 'sequential' otherwise. A single step (decoding) is the cell itself.

    Args:
      cell: the cell.
      name: one of `EVALUATIONS`.
      backward: 'custom', the hand-written backward passes; or 'autodiff', which forward-mode
        differentiation (`jvp`, `jacfwd`, `hessian`) needs and which only 'sequential' and
        'associative' have.

    Returns:
      A function with the signature and the results of `sequential.scan`.

    Raises:
      InputError: for a name there is none of, or one that this cell, this device or that backward
        pass does not allow.
    """
    field = 'model.evaluation'
    require(name in EVALUATIONS, field, name, f'must be one of {", ".join(EVALUATIONS)}')
    require(
        backward in sequential.BACKWARDS,
        'model.backward',
        backward,
        f'must be one of {", ".join(sequential.BACKWARDS)}',
    )
    require(
        backward == 'custom' or name in ('auto', 'sequential', 'associative'),
        'model.backward',
        backward,
        f'must be custom where {field} is {name}',
    )
    plain = partial(sequential.scan, backward=backward)
    match name:
        case 'associative':
            require(
                cell.terms is not None,
                field,
                name,
                'needs a cell that is linear in its carry (mingru, minlstm, linear); '
                'newton evaluates the others in parallel',
            )
            return partial(associative.scan, backward=backward)
        case 'newton':
            return partial(newton.scan, jacobian='full')
        case 'quasi_newton':
            return partial(newton.scan, jacobian='diagonal')
        case 'cudnn':
            require(cudnn.is_lstm(cell), field, name, 'needs the family lstm')
            require(cudnn.available(), field, name, 'needs an NVIDIA GPU; auto uses one if it can')
            return cudnn.scan
        case 'sequential':
            return plain

    def scan(cell, params, carry, x, **kwargs):
        # Asked while the model is traced: it may be built in one place and run in another.
        if cell.terms is not None and platforms.choices().parallel_in_time:
            return associative.scan(cell, params, carry, x, backward=backward, **kwargs)
        if backward == 'custom' and cudnn.is_lstm(cell) and cudnn.takes(x):
            return cudnn.scan(cell, params, carry, x, **kwargs)
        return plain(cell, params, carry, x, **kwargs)

    return scan
