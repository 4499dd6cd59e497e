"""What measurements show: plots, tables, and sentences computed from a results file.

Everything here reads a dict of numbers and knows nothing of models or devices, so that a result can
be looked at again wherever its file is. Experiments and reports call it; nothing below imports it.
"""
