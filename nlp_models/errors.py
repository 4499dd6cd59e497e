"""The two ways a run can fail that are not bugs; the commands turn each into one line."""


class InputError(ValueError):
    """What the user asked for cannot be done: names the input, its value, and what would be right.

    The commands print it as one line and exit with status 2.
    """


class RunError(RuntimeError):
    """A run that was properly asked for cannot go on (NaN loss, no intact checkpoint left).

    The commands print it as one line and exit with status 1.
    """


def require(condition: bool, name: str, value: object, should: str) -> None:
    """Raise an InputError that names a config field, its value and what would be right.

    Args:
      condition: whether the value is right.
      name: the field, such as `model.num_heads`.
      value: what it was given.
      should: the end of a sentence, such as 'must be at least 1'.

    Raises:
      InputError: where the condition does not hold.
    """
    if not condition:
        raise InputError(f'{name} is {value!r}: it {should}')
