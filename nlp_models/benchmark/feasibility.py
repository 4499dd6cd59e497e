"""What will not fit in memory or end in time, told by formula before anything is compiled.

Each function returns the reason in a few words, or nothing where a work may be tried. Its `limits`
are a config's group with `bytes_limit` and `seconds_limit`.
"""

from typing import Any

from nlp_models import costs

# Of the matmul rate: what works reach that have not been measured yet. Those that reach less are
# found out by their first call, those that reach more by none.
EXPECTED_FRACTION = 0.1
EXPECTED_ITERATIONS = 8  # of Newton's, on inputs and weights drawn at random


def too_large(planned: float | None, limits: Any) -> str:
    """The reason for a number of bytes."""
    if planned is None or planned <= limits.bytes_limit:
        return ''
    return f'needs {planned / 1e9:.3g} GB'


def too_slow(seconds: float, limits: Any) -> str:
    """The reason for a number of seconds."""
    return f'needs {seconds:.3g} s' if seconds > limits.seconds_limit else ''


def recurrent_flops(r: costs.Recurrence, evaluation: str) -> float:
    """Both passes of a recurrence as it is evaluated, with a guess at Newton's iterations."""
    passes = costs.FORWARD_BACKWARD
    if evaluation == 'associative':
        return costs.associative_flops(r, passes)
    if evaluation in ('newton', 'quasi_newton'):
        diagonal = evaluation == 'quasi_newton'
        return costs.newton_flops(r, EXPECTED_ITERATIONS, diagonal=diagonal, passes=passes)
    return costs.sequential_flops(r, passes)


def recurrent_bytes(r: costs.Recurrence, evaluation: str) -> float:
    """Both passes of a recurrence as it is evaluated."""
    if evaluation == 'associative':
        return costs.associative_bytes(r)
    if evaluation in ('newton', 'quasi_newton'):
        return costs.newton_bytes(r, diagonal=evaluation == 'quasi_newton')
    return costs.sequential_bytes(r)


def recurrent(r: costs.Recurrence, evaluation: str, rate: float, limits: Any) -> str:
    """Why a recurrence cannot be measured.

    Args:
      r: the recurrence.
      evaluation: how it is evaluated.
      rate: FLOP/s of a matrix product here.
      limits: see above.

    Returns:
      The reason, or nothing.
    """
    seconds = recurrent_flops(r, evaluation) / (EXPECTED_FRACTION * rate)
    return too_large(recurrent_bytes(r, evaluation), limits) or too_slow(seconds, limits)


def attention(
    batch_size: int, length: int, width: int, num_heads: int, plain: bool, limits: Any
) -> str:
    """Why a layer of attention cannot be measured: its memory alone, its work is small."""
    planned = costs.attention_bytes(batch_size, length, width, num_heads, plain=plain)
    return too_large(planned, limits)
