"""SCAN: navigation commands and the actions they mean, all 20,910 of them, from the grammar.

Lake & Baroni 2018, "Generalization without systematicity: on the compositional skills of
sequence-to-sequence recurrent networks": the grammar and the interpretation function of its
appendix, the splits of its experiments 1 to 3. Made here from the grammar, not downloaded.
"""

import hashlib
from itertools import product

Example = tuple[str, str]
"""A command, such as `jump left twice`, and its actions, such as `I_TURN_LEFT I_JUMP …`."""

LONGEST_TRAINING_ACTIONS = 22
"""The length split trains on what takes at most this many actions."""

_SIMPLE_TEST = 4182  # a fifth of all
_TIMES = {'': 1, 'twice': 2, 'thrice': 3}


def scan_examples() -> list[Example]:
    """All commands of the grammar and what they mean.

    C → S and S | S after S | S;  S → V twice | V thrice | V;  V → D | U, where D has its direction
    plain, `opposite` or `around`, and U is one of walk, look, run, jump. `x after y` is y, then x.

    Returns:
      20,910 examples, in an order that depends on nothing.
    """
    sentences = [
        (f'{verb} {times}'.strip(), actions * _TIMES[times])
        for (verb, actions), times in product(_verbs(), _TIMES)
    ]
    pairs = list(product(sentences, sentences))
    commands = [
        *sentences,
        *((f'{x} and {y}', first + second) for (x, first), (y, second) in pairs),
        *((f'{x} after {y}', second + first) for (x, first), (y, second) in pairs),
    ]
    return [(command, ' '.join(actions)) for command, actions in commands]


def scan_splits(name: str, validation: float = 0.05) -> dict[str, list[Example]]:
    """A split of SCAN, with a validation part cut from what is published as its training part.

    - `simple`: a random fifth is the test part. The published one was drawn by chance; this one is
      drawn by a hash of the command, so its figures compare, its commands differ.
    - `length`: tested on all commands that take more than 22 actions, as published.
    - `add_jump`: tested on all commands that have `jump` in them but for the bare one, as
      published. The bare one is repeated in the training part until it is a tenth of it, which
      (before a validation part is cut from it) is the number of times it is in the published file.

    Args:
      name: simple, length or add_jump.
      validation: share of the training part's commands that become the validation part, chosen by
        a hash of the command; 0 leaves the published sizes: 16,728 and 4,182, 16,990 and 3,920,
        14,670 (of them 1,467 times `jump`) and 7,706.

    Returns:
      Examples of `train`, `validation` and `test`.

    Raises:
      ValueError: for any other name.
    """
    examples = scan_examples()
    if name == 'simple':
        ordered = _shuffle(examples, 'simple')
        test, rest = ordered[:_SIMPLE_TEST], ordered[_SIMPLE_TEST:]
    elif name == 'length':
        test = [e for e in examples if len(e[1].split()) > LONGEST_TRAINING_ACTIONS]
        rest = [e for e in examples if len(e[1].split()) <= LONGEST_TRAINING_ACTIONS]
    elif name == 'add_jump':
        test = [e for e in examples if 'jump' in e[0].split() and e[0] != 'jump']
        rest = [e for e in examples if 'jump' not in e[0].split()]
    else:
        raise ValueError(f'name={name!r} must be simple, length or add_jump')
    ordered = _shuffle(rest, 'validation')
    held = round(validation * len(ordered))
    train = ordered[held:]
    if name == 'add_jump':
        train += [('jump', 'I_JUMP')] * round(len(train) / 9)
    return {'train': train, 'validation': ordered[:held], 'test': test}


def _verbs() -> list[tuple[str, list[str]]]:
    """The 34 verbs with or without a direction, and their actions."""
    bare = [(verb, [f'I_{verb.upper()}']) for verb in ('walk', 'look', 'run', 'jump')]
    verbs = list(bare)
    for (verb, act), side in product([('turn', []), *bare], ('left', 'right')):
        turn = [f'I_TURN_{side.upper()}']
        verbs += [
            (f'{verb} {side}', turn + act),
            (f'{verb} opposite {side}', turn * 2 + act),
            (f'{verb} around {side}', (turn + act) * 4),
        ]
    return verbs


def _shuffle(examples: list[Example], key: str) -> list[Example]:
    """The examples in an order that looks random and depends on the key and each command alone."""
    return sorted(examples, key=lambda e: hashlib.sha256(f'{key} {e[0]}'.encode()).digest())
