"""Commands: absl flags to one function call each, run from a checkout as `python -m experiments.X`."""
