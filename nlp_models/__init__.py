"""From RNNs to LLMs: language models as pure functions, sequential and parallel, in JAX.

Import what you need from the modules; nothing is re-exported here, so that importing the package
costs nothing. Start reading at `types.py` (the letters and the three functions every model is made
of), then `recurrent/cells.py` and `attention/dot_product.py`.
"""
