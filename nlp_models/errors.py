"""The two ways a run can fail that are not bugs; the commands turn each into one line."""


class InputError(ValueError):
    """What the user asked for cannot be done: names the input, its value, and what would be right.

    The commands print it as one line and exit with status 2.
    """


class RunError(RuntimeError):
    """A run that was properly asked for cannot go on (NaN loss, no intact checkpoint left).

    The commands print it as one line and exit with status 1.
    """
