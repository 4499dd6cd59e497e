"""What every row needs: the config, the clock's settings, where results go, the yardstick."""

from collections.abc import Callable
from typing import Any

from nlp_models import allocator, timing
from nlp_models.benchmark.peers import Peer
from nlp_models.benchmark.results import Results, Row
from nlp_models.benchmark.works import Work
from nlp_models.training import machine


def at_least(quantity: str, value: float | None, bar: float) -> list[Row]:
    """A bar that a quantity has to reach, judged; nothing where the bar is 0."""
    return _judged(quantity, 'at_least', value, bar, lambda v: v >= bar)


def at_most(quantity: str, value: float | None, bar: float) -> list[Row]:
    """A bar that a quantity must not pass, judged; nothing where the bar is 0."""
    return _judged(quantity, 'at_most', value, bar, lambda v: v <= bar)


def _judged(
    quantity: str, kind: str, value: float | None, bar: float, meets: Callable[[float], bool]
) -> list[Row]:
    if bar == 0:
        return []
    met = value is not None and bool(meets(value))  # NaN meets nothing
    return [{'quantity': quantity, kind: bar, 'value': value, 'met': met}]


class Bench:
    """One benchmark under way."""

    def __init__(self, config: Any, results: Results, say: Callable[[str], None]):
        """Note what is to be done, and measure what a matrix product reaches here."""
        self.config, self.results, self.say = config, results, say
        self.as_found = True  # whether the part under way leaves the allocator as it is
        matmul = config.matmul
        self.rates: dict[str, float] = results.fact(
            'matmul', matmul.to_dict(), lambda: machine.matmul_rates(matmul)
        )

    def speed(self, work: Work, seconds: float, dtype: str = 'float32') -> Row:
        """What is said of a work beside its time."""
        rate = self.rates.get(dtype)
        return {
            'compile_seconds': work.compile_seconds,
            'peak_memory': work.peak_memory,
            'flops': work.flops,
            'flops_per_second': work.flops / seconds,
            'fraction_of_matmul': rate and work.flops / seconds / rate,
        }

    def paired(
        self, ours: Callable[[], Any], theirs: Callable[[], Any], peer: bool
    ) -> timing.Paired:
        """Time two works in turn, each with its side's allocator (`allocate`).

        Args:
          ours: our work.
          theirs: the other.
          peer: whether the other is somebody else's.
        """

        def side(call: Callable[[], Any], peer: bool) -> Callable[[], Any]:
            def run() -> Any:
                self.allocate(peer)
                return call()

            return run

        return timing.paired(side(ours, False), side(theirs, peer), **self.config.clock)

    def allocate(self, peer: bool) -> None:
        """Give our turn or the peer's the allocator that `as_found` and `keep_memory` say."""
        if not self.as_found:
            allocator.keep_memory(('peers' if peer else 'ours') in self.config.keep_memory)

    def times(self, paired: timing.Paired) -> Row:
        """The fields of a row that two works' times make."""
        return {
            'seconds': paired.seconds,
            'peer_seconds': paired.peer_seconds,
            'ratio': paired.ratio,
            'ratio_interval': list(paired.ratio_interval),
            'coverage': paired.coverage,
            'rounds': paired.rounds,
        }

    def pair(
        self,
        work: str,
        shape: dict[str, int],
        peer: str,
        settings: Any,
        *,
        ours: Callable[[], Work],
        theirs: Callable[[], Work | Peer],
        bar: float = 0.0,
        dtype: str = 'float32',
        more: Callable[[], Row] | None = None,
    ) -> None:
        """A row of two works timed in turn.

        Args:
          work: what is done.
          shape: axis letters to sizes.
          peer: against whom.
          settings: whatever of the config the row depends on.
          ours: makes our work.
          theirs: makes the peer's.
          bar: what the ratio has to be at least; 0 for no bar.
          dtype: whose matrix products the speed is compared with.
          more: measures further fields, `bars` among them; before the clock starts.
        """
        clock = self.config.clock.to_dict()

        def measure() -> Row:
            self.allocate(peer=True)  # it may time its ways, to take the fastest
            other = theirs()  # first: a peer that is missing should cost nothing
            mine = ours()
            extra = more() if more is not None else {}
            paired = self.paired(mine.call, other.call, not isinstance(other, Work))
            bars = at_least('ratio', paired.ratio, bar) + extra.pop('bars', [])
            row = {**self.times(paired), **self.speed(mine, paired.seconds, dtype), **extra}
            if isinstance(other, Work):
                row['peer_peak_memory'] = other.peak_memory
                row['peer_compile_seconds'] = other.compile_seconds
            elif other.detail:
                row['peer_detail'] = other.detail
            return {**row, 'bars': bars}

        key = {'work': work, 'shape': shape, 'peer': peer}
        self.results.row('rows', key, [settings, clock, bar, dtype, self.config.seed], measure)
