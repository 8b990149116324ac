"""How often a visitor may ask."""

import threading
import time
from collections.abc import Callable

MAX_CLIENTS = 10_000  # remembered, lest memory grow with every address


class RateLimit:
    """A token bucket for each client: so many requests a minute, evenly or at once.

    Args:
        per_minute: requests that a client may make in a minute.
        clock: seconds, rising.
    """

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic):
        self._per_minute = per_minute
        self._clock = clock
        self._buckets: dict[str, tuple[float, float]] = {}  # tokens left, at a time
        self._lock = threading.Lock()

    def allows(self, client: str) -> bool:
        """Whether the client may ask now; counts it if so."""
        with self._lock:
            now = self._clock()
            tokens, then = self._buckets.pop(client, (self._per_minute, now))
            refill = (now - then) * self._per_minute / 60
            tokens = min(self._per_minute, tokens + refill)
            allowed = tokens >= 1
            self._buckets[client] = (tokens - allowed, now)  # now the youngest
            if len(self._buckets) > MAX_CLIENTS:
                del self._buckets[next(iter(self._buckets))]
        return allowed
