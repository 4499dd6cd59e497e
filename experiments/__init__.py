"""Commands, run from a checkout as `python -m experiments.X`: absl flags to one function call."""
