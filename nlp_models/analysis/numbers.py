"""How measured numbers are written: as many digits as their intervals allow, no more."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

_RAISED = str.maketrans('-0123456789', '⁻⁰¹²³⁴⁵⁶⁷⁸⁹')


def last_digit(values: Sequence[float | int], resolution: float = 0.0) -> int:
    """The power of ten of the last digit worth writing.

    Args:
      values: that will stand together, finite.
      resolution: what they are uncertain by, such as half an interval; 0 where it is not known.

    Returns:
      Of the resolution's second digit, but at most nine and at least two digits of the largest
      value; without a resolution its fourth.
    """
    largest = max(map(abs, values), default=0.0)
    if largest == 0:
        return 0 if resolution <= 0 else math.floor(math.log10(resolution)) - 1
    first = math.floor(math.log10(largest))
    if resolution <= 0:
        return first - 3
    return min(max(math.floor(math.log10(resolution)) - 1, first - 8), first - 1)


def write(value: float | int, last: int | None = None) -> str:
    """A number in words that a reader compares by eye.

    Args:
      value: the number; what is not finite is written as such.
      last: the power of ten of the last digit to write (`last_digit`); None: four digits, and no
        zeros at the end.

    Returns:
      Such as '0.0312', '−12,345' or '1.5 × 10⁻⁷'.
    """
    if not math.isfinite(value):
        return 'NaN' if math.isnan(value) else '∞' if value > 0 else '−∞'
    strip = last is None
    last = last_digit([value]) if last is None else last
    if value == 0 and last < -6:
        text = '0'
    elif strip and value == int(value) and abs(value) < 1e6:
        text = f'{value:,.0f}'
    elif value == 0 or 1e-4 <= abs(value) < 1e6:
        text = f'{value:,.{min(max(-last, 0), 12)}f}'
        text = text.rstrip('0').rstrip('.') if strip and '.' in text else text
    else:
        power = math.floor(math.log10(abs(value)))
        mantissa, exponent = f'{value:.{max(power - last, 0)}e}'.split('e')
        mantissa = mantissa.rstrip('0').rstrip('.') if strip and '.' in mantissa else mantissa
        text = f'{mantissa} × 10{str(int(exponent)).translate(_RAISED)}'
    return text.replace('-', '−')


def duration(seconds: float | int) -> str:
    """A time as '42 s', '6.3 min' or '2.5 h'."""
    if seconds < 90:
        return f'{seconds:.0f} s'
    return f'{seconds / 60:.1f} min' if seconds < 5400 else f'{seconds / 3600:.1f} h'


def picked(value: float, tried: Mapping[str, Any]) -> str:
    """A setting that a sweep has picked, such as '0.003*', the * where it is at the sweep's edge.

    Args:
      value: the setting.
      tried: what came of each, by the setting as text.
    """
    settings = [float(each) for each in tried]
    edge = len(settings) > 1 and value in (min(settings), max(settings))
    return f'{value:g}{"*" if edge else ""}'
