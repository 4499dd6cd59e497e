"""Whether anybody answers at the other end, known within seconds."""

import queue
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Sequence

_HOSTS = 8  # asked at most


def unreachable_hosts(urls: Sequence[str], seconds: float = 8.0) -> list[str]:
    """Asks the hosts of some downloads, all at once, until one answers.

    Args:
      urls: one for each host is asked, through the proxy that the environment names if any.
      seconds: how long they may take together, looking up their names included.

    Returns:
      The hosts asked, if none of them answered in time; nothing if one did or there are none.
    """
    asked = {urllib.parse.urlsplit(url).netloc: url for url in reversed(urls)}
    asked = dict(list(asked.items())[:_HOSTS])
    answers: queue.SimpleQueue[bool] = queue.SimpleQueue()

    def ask(url: str) -> None:
        answers.put(_answers(url, seconds))

    # Threads, as looking a name up has no time limit of its own; daemons, as they may outlive it.
    for url in asked.values():
        threading.Thread(target=ask, args=(url,), daemon=True).start()
    deadline = time.monotonic() + seconds
    for _ in asked:
        try:
            if answers.get(timeout=max(deadline - time.monotonic(), 0.0)):
                return []
        except queue.Empty:
            break
    return list(asked)


def _answers(url: str, seconds: float) -> bool:
    """Whether a host gives any answer; the page itself may be missing or forbidden."""
    try:
        request = urllib.request.Request(url, method='HEAD')
        with urllib.request.urlopen(request, timeout=seconds):
            return True
    except urllib.error.HTTPError as error:
        return error.code not in (502, 503, 504)  # a proxy's way to say that nobody answers
    except (OSError, ValueError):
        return False
