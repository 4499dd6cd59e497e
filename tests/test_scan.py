"""SCAN: every command of the published set, what it means, and how the splits part."""

import hashlib
from collections import Counter
from itertools import product

import pytest

from nlp_models.data.scan import scan_examples, scan_splits

ALL = dict(scan_examples())

# Of the published file's lines, `IN: <command> OUT: <actions>`, sorted by command.
PUBLISHED = '345bff3c25864652f326ba1960aa515d156b63f45067ea57268f71d7362a2440'


def interpret(words):
    """What a command means, read from its words without knowing how they were put together."""
    for joint in ('and', 'after'):
        if joint in words:
            place = words.index(joint)
            first, second = interpret(words[:place]), interpret(words[place + 1 :])
            return first + second if joint == 'and' else second + first
    if words[-1] in ('twice', 'thrice'):
        return interpret(words[:-1]) * (2 if words[-1] == 'twice' else 3)
    act = [] if words[0] == 'turn' else ['I_' + words[0].upper()]
    if len(words) == 1:
        return act
    turn = ['I_TURN_' + words[-1].upper()]
    if 'around' in words:
        return turn + act + turn + act + turn + act + turn + act
    return turn + turn + act if 'opposite' in words else turn + act


def test_every_command_is_there_once_and_means_what_it_says():
    examples = scan_examples()
    assert len(examples) == len(ALL) == 20_910
    for command, actions in examples:
        assert actions.split() == interpret(command.split()), command
    # The commands themselves, put together word by word.
    sides = [f'{m} {s}'.strip() for m, s in product(('', 'opposite', 'around'), ('left', 'right'))]
    verbs = [f'{v} {s}'.strip() for v in ('walk', 'look', 'run', 'jump') for s in ('', *sides)]
    verbs += [f'turn {side}' for side in sides]
    sentences = [f'{v} {n}'.strip() for v in verbs for n in ('', 'twice', 'thrice')]
    joined = {f'{x} {j} {y}' for x in sentences for j in ('and', 'after') for y in sentences}
    assert set(ALL) == {*sentences, *joined}


def test_the_set_is_the_published_one():
    lines = '\n'.join(f'IN: {command} OUT: {actions}' for command, actions in sorted(ALL.items()))
    assert hashlib.sha256(lines.encode()).hexdigest() == PUBLISHED


@pytest.mark.parametrize(
    ('command', 'actions'),
    [
        ('jump', 'I_JUMP'),
        ('turn left', 'I_TURN_LEFT'),
        ('jump left', 'I_TURN_LEFT I_JUMP'),
        ('jump thrice', 'I_JUMP I_JUMP I_JUMP'),
        ('turn opposite right', 'I_TURN_RIGHT I_TURN_RIGHT'),
        ('jump around right', 'I_TURN_RIGHT I_JUMP ' * 4),
        ('turn around left', 'I_TURN_LEFT ' * 4),
        (
            'turn left twice after walk opposite right',
            'I_TURN_RIGHT I_TURN_RIGHT I_WALK I_TURN_LEFT I_TURN_LEFT',
        ),
        (
            'jump opposite left after walk around left',
            'I_TURN_LEFT I_WALK ' * 4 + 'I_TURN_LEFT I_TURN_LEFT I_JUMP',
        ),
        ('look thrice and run right', 'I_LOOK I_LOOK I_LOOK I_TURN_RIGHT I_RUN'),
    ],
)
def test_by_hand(command, actions):
    assert ALL[command] == actions.strip()


@pytest.mark.parametrize(
    ('name', 'train', 'test'),
    [('simple', 16_728, 4182), ('length', 16_990, 3920), ('add_jump', 14_670, 7706)],
)
def test_the_splits_have_the_published_sizes(name, train, test):
    splits = scan_splits(name, validation=0.0)
    assert {split: len(part) for split, part in splits.items()} == {
        'train': train,
        'validation': 0,
        'test': test,
    }
    everything = {*splits['train'], *splits['test']}
    assert everything == set(ALL.items())
    assert len(set(splits['train'])) + len(set(splits['test'])) == len(ALL)


def test_length_parts_at_22_actions():
    splits = scan_splits('length')
    lengths = {k: [len(actions.split()) for _, actions in v] for k, v in splits.items()}
    assert max(lengths['train']) == max(lengths['validation']) == 22
    assert (min(lengths['test']), max(lengths['test'])) == (24, 48)


def test_add_jump_trains_on_the_bare_jump_alone():
    splits = scan_splits('add_jump', validation=0.0)
    counts = Counter(command for command, _ in splits['train'])
    assert counts['jump'] == 1467  # a tenth, as in the published file
    assert [c for c in counts if 'jump' in c.split()] == ['jump']
    assert {n for command, n in counts.items() if command != 'jump'} == {1}
    assert all('jump' in command.split() for command, _ in splits['test'])


@pytest.mark.parametrize('name', ['simple', 'length', 'add_jump'])
def test_the_validation_part_is_cut_from_the_training_part(name):
    whole, cut = scan_splits(name, validation=0.0), scan_splits(name)
    assert cut['test'] == whole['test']
    train, validation = set(cut['train']), set(cut['validation'])
    assert not train & validation
    assert train | validation == set(whole['train'])
    others = [example for example in whole['train'] if example[0] != 'jump']
    assert abs(len(validation) - 0.05 * len(others)) < 2
    if name == 'add_jump':
        commands = [command for command, _ in cut['train']]
        assert abs(commands.count('jump') / len(commands) - 0.1) < 1e-4
        assert 'jump' not in {command for command, _ in validation}


def test_the_simple_split_is_random_and_always_the_same():
    test = scan_splits('simple')['test']
    assert test == scan_splits('simple', validation=0.3)['test']
    digest = hashlib.sha256('\n'.join(command for command, _ in test).encode()).hexdigest()
    assert digest.startswith('ec1b8a314623ecdf')
    # A fifth of whatever one looks at.
    for word in ('jump', 'around', 'thrice', 'after', 'left'):
        of_all = sum(word in command.split() for command in ALL)
        of_test = sum(word in command.split() for command, _ in test)
        assert 0.18 < of_test / of_all < 0.22


def test_an_unknown_split_is_told():
    with pytest.raises(ValueError, match='simple, length or add_jump'):
        scan_splits('turn_left')
