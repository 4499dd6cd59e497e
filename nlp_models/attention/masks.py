"""Which keys a query may look at, told by its structure instead of a `[T, S]` array."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

from nlp_models.errors import require


@partial(
    jax.tree_util.register_dataclass,
    data_fields=['start', 'lengths', 'first'],
    meta_fields=['causal', 'window'],
)
@dataclass(frozen=True)
class Mask:
    """Who may look at whom; every implementation of attention reads it its own way.

    Query t of row b stands at position p = start_b + t, the keys at s = 0 … S−1. The query may look
    at key s where everything given here holds:

        causal     s ≤ p
        window     |p − s| < window
        lengths    s < lengths_b
        first      s ≥ first_b

    It goes through `jit` and `vmap` as a pytree of arrays; `causal` and `window` are static.

    Attributes:
      causal: whether a query sees nothing of what comes after it.
      window: of the sliding window, in tokens; 0 for none. A causal query sees `window` keys with
        its own, one that is not sees as many in either direction.
      start: position of each row's first query, `[B]` int32 (with a cache, the tokens held before);
        None for 0.
      lengths: real keys of each row `[B]` int32, what follows is padding; None where all are real.
      first: the first key of each row that is real `[B]` int32, what precedes it is none; None
        for 0.
    """

    causal: bool = False
    window: int = 0
    start: Any = None  # arrays, but JAX puts other things there while it rebuilds pytrees
    lengths: Any = None
    first: Any = None

    def __post_init__(self):
        require(self.window >= 0, 'window', self.window, 'must be at least 1, or 0 for none')

    @property
    def hides(self) -> bool:
        """Whether anything is hidden from anybody."""
        return self.causal or self.hides_begin or self.lengths is not None

    @property
    def hides_begin(self) -> bool:
        """Whether the first keys may be hidden, too."""
        return self.window > 0 or self.first is not None

    def reach(self, position: Any, length: Any) -> tuple[Any, Any]:
        """The keys that a query sees lie in one piece, [begin, end); empty where end ≤ begin.

        Both ends grow with the position, and the second with the length.

        Args:
          position: where the query stands, in tokens.
          length: real keys of its row; broadcasts with `position`.

        Returns:
          (begin, end), broadcast.
        """
        begin, end = 0, length
        if self.causal or self.window > 0:
            end = jnp.minimum(end, position + (1 if self.causal else self.window))
        if self.window > 0:
            begin = jnp.maximum(0, position - self.window + 1)
        return begin, end

    def _reach(self, queries: jax.Array, num_keys: int) -> tuple[Any, Any]:
        """`reach` of each row's queries, broadcast to `[B, T]`."""
        position = queries[None] if self.start is None else self.start[:, None] + queries
        real = jnp.full(1, num_keys) if self.lengths is None else self.lengths
        length = jnp.minimum(real, num_keys)[:, None]
        begin, end = self.reach(position, length)
        return begin if self.first is None else jnp.maximum(begin, self.first[:, None]), end

    def sees(self, num_queries: int, num_keys: int) -> Bool[Array, '_ _'] | None:
        """Whether a query may look at any key at all.

        Args:
          num_queries: T.
          num_keys: S.

        Returns:
          To be broadcast to `[B, T]`; None where the shapes alone say that all do.
        """
        beyond = self.start is not None or num_queries > num_keys
        if self.lengths is None and self.first is None and not (self.window > 0 and beyond):
            return None
        begin, end = self._reach(jnp.arange(num_queries), num_keys)
        return begin < end

    def allows(
        self, queries: Int[Array, 'T'], keys: Int[Array, 'S'], num_keys: int
    ) -> Bool[Array, '_ 1 T S'] | Bool[Array, '_ 1 1 S'] | None:
        """The mask of some of the queries and some of the keys.

        Args:
          queries: which queries `[T]`: t, counted from the row's first.
          keys: which keys `[S]`.
          num_keys: how many keys there are in all.

        Returns:
          True where the query may look at the key, to be broadcast to `[B, H, T, S]`; None where
          nothing is hidden.
        """
        if not self.hides:
            return None
        begin, end = self._reach(queries, num_keys)
        allowed = keys < end[:, None, :, None]
        return allowed & (keys >= begin[:, None, :, None]) if self.hides_begin else allowed

    def dense(
        self, num_queries: int, num_keys: int
    ) -> Bool[Array, '_ 1 T S'] | Bool[Array, '_ 1 1 S'] | None:
        """The whole mask of T queries and S keys, as `allows` gives it."""
        return self.allows(jnp.arange(num_queries), jnp.arange(num_keys), num_keys)
