"""The tutorial's line of argument, section by section, in our own words.

What it says here is what the tutorial argues, not what was found: that is said by the verdicts.
"""

from typing import NamedTuple


class Section(NamedTuple):
    """A section of the tutorial.

    Attributes:
      number: such as '3.1'.
      title: a heading.
      text: how the argument goes on from the section before.
    """

    number: str
    title: str
    text: str


ARGUMENT = (
    Section(
        '2',
        'From counting to a state',
        'A language model says how likely each next token is, given those before. The oldest way '
        'is to count: an n-gram looks at the last n − 1 tokens and at nothing else, so whatever '
        'depends on an earlier token is out of its reach, however much text was counted. A '
        'recurrent network does not look back at all. It carries a state from token to token, and '
        'since every state is made from the one before, no fixed window bounds what it can depend '
        'on.',
    ),
    Section(
        '3.1',
        'Gradients through time',
        'What a state can carry is one thing, and what training can teach it to carry another. '
        'The error at one step reaches an earlier one through a product of as many factors as '
        'there are steps between, each the derivative of one state by the one before. Factors '
        'below one make the product vanish exponentially with distance, factors above one make it '
        'explode. Then nothing is learned of what lies far back, or training is thrown off.',
    ),
    Section(
        '3.2',
        'Forgetting',
        'The same holds in the forward direction: each step writes over the state, so that what '
        'was read early leaves less and less of a trace. A plain recurrent network could reach '
        'back arbitrarily far in principle, and fails at tasks where it has to.',
    ),
    Section(
        '3.3',
        'One step after another',
        'A third limit is not about learning but about time. The state of a step needs the state '
        'before it, so the steps of a sequence have to be done in order, and a machine that could '
        'do many things at once is left idle, all the more the longer the sequence is.',
    ),
    Section(
        '4.1',
        'LSTM: a memory that is added to',
        'The long short-term memory answers the first two limits. Beside its state it keeps a '
        'cell, C_t = f ⊙ C_{t−1} + i ⊙ C̃, which is added to rather than written over; a gate '
        'says how much of the old is kept, another how much of the new goes in, a third how much '
        'is shown. It should then remember for longer than a plain network can.',
    ),
    Section(
        '4.2',
        'GRU: the same with less',
        'The gated recurrent unit has one vector instead of two and two gates instead of three: '
        'what is forgotten is what is written, h_t = (1 − z) ⊙ h_{t−1} + z ⊙ h̃. It is smaller, '
        'and should reach as far.',
    ),
    Section(
        '4.3',
        'Why they work',
        'Two things are named as the reason: gates, by which the network itself decides what to '
        'keep, and the additive update, through which a gradient passes without being multiplied '
        'by a matrix. Each can be taken out by itself, to see what is left.',
    ),
    Section(
        '4.4',
        'What they do not solve',
        'The forget gate is a factor too, and mostly one below one: gradients of gated networks '
        'still vanish, only later. And every gate has weights of its own, which have to be '
        'computed with at each step, still one step after another.',
    ),
    Section(
        '4.5',
        'What they cost',
        'The price can be counted. A network of n inputs and h units has weights in proportion to '
        'nh + h²; an LSTM has four times as many, a GRU three times, and computation and memory '
        'are said to grow alike.',
    ),
    Section(
        '5',
        'Attention',
        'Attention gives up the state. Each position looks at all the others at once and takes a '
        'weighted mean of them, softmax(Q Kᵀ / √d_k) V. Several heads look for different things, '
        'a mask keeps a language model from seeing what it is to predict, and attention from one '
        'sequence to another lets a decoder read the whole source rather than a summary of it. '
        'Stacked with small feed-forward networks this is the transformer.',
    ),
    Section(
        '6.1',
        'Attention instead of recurrence',
        'Every limit above is then met at once: between any two positions lies one step and no '
        'product over time, so gradients do not vanish with distance and stacks can be deeper; '
        'what was read is kept rather than compressed; and all positions of a training sequence '
        'are computed together. What is paid for that shows when text is generated, where each '
        'new token looks at all before it.',
    ),
    Section(
        '6.2',
        'Encoders',
        'Of the two halves of the first transformer each can stand alone. An encoder reads in '
        'both directions, which suits whoever wants a vector for a whole text rather than its '
        'continuation.',
    ),
    Section(
        '6.3',
        'Decoders',
        'A decoder reads in one direction, and so each position of a text is a training example '
        'and generation can go on from what was computed. One stack does the work of two: this is '
        'the form that large language models have taken.',
    ),
    Section(
        '7',
        'In context',
        'A language model trained on enough text is said to do what it was never trained to do. '
        'Asked in words it answers (zero-shot); shown a few examples of a task within its context '
        'it goes on with them (few-shot). No parameter changes: what is learned is learned from '
        'the text that is read.',
    ),
    Section(
        '8',
        'Prompting',
        'If the context decides what a model does, then so does how the context is written. The '
        'same question in another form, the same examples in another order, the same labels under '
        'other words can bring another answer.',
    ),
    Section(
        '9',
        'Fine-tuning',
        'The other way is to go on training, on little data of the task at hand, from what '
        'pretraining has learned. All parameters can be trained, or lower layers be frozen, which '
        'leaves less to overfit with; layers can have rates of their own, since what lower ones '
        'have learned is more general; or nothing is trained but small networks put between the '
        'layers, so that one base serves many tasks.',
    ),
    Section(
        '9.2',
        'Fine-tuning is not trivial',
        'Which of these is right depends on how much data there is. Little of it is soon learned '
        'by heart; and data that is wrong, lopsided or tampered with teaches just that.',
    ),
    Section(
        '10',
        'The data',
        'What was learned came from the text. The same computation spent on cleaner text should '
        'give the better model, and a small model on good text be ahead of a larger one on bad.',
    ),
    Section(
        '11',
        'Limitations',
        'Such models state what is false as fluently as what is true. They are costly, to train '
        'and to run. And what they say is hard to foresee: it changes with the seed, with the '
        'order of the data, and from one draw to the next.',
    ),
)
