"""Every test runs with the shapes of `nlp_models` checked, and on four CPU devices."""

import sys

import jax
from jaxtyping import install_import_hook

already = [name for name in sys.modules if name.split('.')[0] == 'nlp_models']
if already:
    raise RuntimeError(f'imported before the shape checks were installed: {", ".join(already)}')
install_import_hook('nlp_models', 'beartype.beartype')
jax.config.update('jax_num_cpu_devices', 4)  # before the first device is used
