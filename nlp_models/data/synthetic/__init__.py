"""Sequence tasks drawn by a hash: what a model must remember, and for how long, is the setting.

`draws` has the randomness, the splits and the result's type, `Examples`. Each task is a file with
one function `(seed, index, *, split, …)`: `copying` (copy memory), `addition` (the adding problem),
`recalling` (associative recall), `parities`, `brackets` (Dyck-(k,m)) and `delays` (one symbol at a
distance). `tasks` lists them with their canonical settings and vocabularies.

The example at an index is a function of seed and index, whatever else is asked for in the same
call, so a batch of a step is a range of indices and there is nothing to save. An example is held
out by a hash of its content: no seed, index or length of training draws an example of another
split.

    examples = synthetic.copy(0, np.arange(64), delay=100)
"""

from nlp_models.data.synthetic.addition import ADDING_BASELINE, adding
from nlp_models.data.synthetic.brackets import dyck
from nlp_models.data.synthetic.copying import copy, copy_baseline
from nlp_models.data.synthetic.delays import delayed
from nlp_models.data.synthetic.draws import Examples
from nlp_models.data.synthetic.parities import parity
from nlp_models.data.synthetic.recalling import recall
from nlp_models.data.synthetic.tasks import SETTINGS, TASKS, vocab_size

__all__ = [
    'ADDING_BASELINE',
    'SETTINGS',
    'TASKS',
    'Examples',
    'adding',
    'copy',
    'copy_baseline',
    'delayed',
    'dyck',
    'parity',
    'recall',
    'vocab_size',
]
