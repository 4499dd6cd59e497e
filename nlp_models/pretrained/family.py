"""What a family of pretrained models is made of: fields, and a table between two sets of names.

Hugging Face's dense layers keep torch's layout, `[out, in]` (GPT-2's apart), and queries, keys and
values in matrices of their own; here kernels are `[in, out]`, and those three lie side by side.
"""

from collections.abc import Callable, Collection
from typing import Any, NamedTuple

from nlp_models.pretrained.settings import Settings

ACTIVATIONS = {
    'gelu': 'gelu',
    'gelu_python': 'gelu',
    'gelu_new': 'gelu_tanh',
    'gelu_fast': 'gelu_tanh',
    'gelu_pytorch_tanh': 'gelu_tanh',
    'relu': 'relu',
    'silu': 'silu',
    'swish': 'silu',
}
"""Hugging Face's names of σ, and ours."""

ACTIVATION_NAMES = {'gelu': 'gelu', 'gelu_tanh': 'gelu_new', 'relu': 'relu', 'silu': 'silu'}
"""Our names of σ, and Hugging Face's."""

Fields = dict[str, Any]


class Leaf(NamedTuple):
    """One of our parameters, and the tensors it is made of.

    Attributes:
      path: ours, such as `body/layer_0/attention/qkv/kernel`.
      shape: ours.
      names: of the tensors that lie side by side along our last axis.
      sizes: how much of that axis each of them takes.
      transpose: whether theirs is `[out, in]` where ours is `[in, out]`.
    """

    path: str
    shape: tuple[int, ...]
    names: tuple[str, ...]
    sizes: tuple[int, ...]
    transpose: bool = False

    def tensor_shape(self, index: int) -> tuple[int, ...]:
        """The shape of one of the tensors."""
        shape = (*self.shape[:-1], self.sizes[index])
        return shape[::-1] if self.transpose else shape


class Family(NamedTuple):
    """A family.

    Attributes:
      read: `(settings, names) -> fields`: all architecture fields of a `model` group, from
        `config.json` and the names of the tensors.
      write: `(fields, vocab_size) -> config.json`, for the fields it can express.
      needs: `(fields) -> allowed`: the values that fields must have to be expressed; what is not
        named may have any.
      leaves: `(fields, vocab_size) -> leaves`: the table.
      prefix: what the names of all tensors but the head's begin with; a folder with the body alone
        may leave it out.
      head: what the names of the head's tensors begin with.
      ignored: a regular expression of whole names: what may be there and is not read.
      copies: `(fields) -> {name: name}`: tensors that may be there if they equal another.
      written_twice: `(fields) -> {name: name}`: tensors not read that are another's copy when
        written, because Hugging Face misses them otherwise.
    """

    read: Callable[[Settings, Collection[str]], Fields]
    write: Callable[[Fields, int], dict[str, Any]]
    needs: Callable[[Fields], dict[str, tuple[Any, ...]]]
    leaves: Callable[[Fields, int], list[Leaf]]
    prefix: str
    head: str
    ignored: str
    copies: Callable[[Fields], dict[str, str]]
    written_twice: Callable[[Fields], dict[str, str]] = lambda fields: {}

    def canonical(self, name: str) -> str:
        """A tensor's name as the table has it."""
        # The first BERTs, written by TensorFlow, have its names of γ and β.
        name = name.replace('LayerNorm.gamma', 'LayerNorm.weight')
        name = name.replace('LayerNorm.beta', 'LayerNorm.bias')
        return name if name.startswith((self.prefix, self.head)) else self.prefix + name


def architecture_fields(**fields: Any) -> Fields:
    """All architecture fields of a decoder's `model` group, some other than they are here."""
    return {
        **dict(
            family='transformer',
            architecture='decoder',
            norm='pre',
            skip_connections=True,
            norm_type='layer',
            gated=False,
            positions='learned',
            rotary_base=10000.0,
            rotary_scaling='none',
            rotary_factor=1.0,
            rotary_low_frequency=1.0,
            rotary_high_frequency=4.0,
            rotary_original_length=8192,
            use_bias=True,
            qkv_bias=False,
            num_kv_heads=0,
            head_size=0,
            embed_norm=False,
            head_bias=False,
            window=0,
        ),
        **fields,
    }


def explicit(fields: Fields) -> Fields:
    """The fields with the sizes put in that a 0 stands for."""
    width, heads = fields['hidden_size'], fields['num_heads']
    return {
        **fields,
        'num_kv_heads': fields['num_kv_heads'] or heads,
        'head_size': fields['head_size'] or width // heads,
        'feed_forward_size': fields['feed_forward_size'] or 4 * width,
    }


def qkv_sizes(fields: Fields) -> tuple[int, int, int]:
    """How wide the queries, keys and values of all heads are."""
    head, shared = fields['head_size'], fields['num_kv_heads']
    return fields['num_heads'] * head, shared * head, shared * head


def plain(path: str, name: str, *shape: int) -> Leaf:
    """A parameter that is a tensor as it stands."""
    return Leaf(path, shape, (name,), shape[-1:])


def dense(
    path: str, names: tuple[str, ...], inputs: int, outputs: tuple[int, ...], *, bias: bool
) -> list[Leaf]:
    """A dense layer of torch's `Linear` layers side by side.

    Args:
      path: of our layer.
      names: of theirs.
      inputs: how many.
      outputs: how many each of theirs has.
      bias: whether there are biases.

    Returns:
      The kernel and, where there is one, the bias.
    """
    total = sum(outputs)
    weights, biases = ([f'{name}.{kind}' for name in names] for kind in ('weight', 'bias'))
    leaves = [Leaf(f'{path}/kernel', (inputs, total), tuple(weights), outputs, transpose=True)]
    if bias:
        leaves.append(Leaf(f'{path}/bias', (total,), tuple(biases), outputs))
    return leaves


def layer_norm(path: str, name: str, width: int) -> list[Leaf]:
    """A LayerNorm with scale and bias."""
    return [
        plain(f'{path}/scale', f'{name}.weight', width),
        plain(f'{path}/bias', f'{name}.bias', width),
    ]
