"""A queue in which everybody has a turn: one job of each user, then the next of each.

Whoever submits twenty jobs delays another user by one of them, not by twenty.
"""

import threading
from collections import deque
from typing import Generic, Protocol, TypeVar


class Waiting(Protocol):
    """What can wait: it belongs to somebody, and may have given up waiting."""

    @property
    def owner(self) -> str:
        """Whose turn it takes."""
        ...

    @property
    def active(self) -> bool:
        """False once it need not be done any more."""
        ...


Item = TypeVar("Item", bound=Waiting)


class Turns(Generic[Item]):
    """First come, first served within a user's lane; the lanes take turns."""

    def __init__(self) -> None:
        # In the order of their turns: whoever was served goes to the end.
        self._lanes: dict[str, deque[Item]] = {}
        self._changed = threading.Condition()

    def put(self, item: Item) -> None:
        """Let ``item`` wait at the end of its owner's lane."""
        with self._changed:
            self._lanes.setdefault(item.owner, deque()).append(item)
            self._changed.notify()

    def take(self) -> Item:
        """The next item; waits until there is one."""
        with self._changed:
            while True:
                order = self._order()
                if order:
                    break
                self._changed.wait()
            item = order[0]
            lane = self._lanes.pop(item.owner)
            rest = deque(other for other in lane if other is not item and other.active)
            if rest:
                self._lanes[item.owner] = rest
            return item

    def order(self) -> list[Item]:
        """What waits, in the order in which it would be taken if nothing else came."""
        with self._changed:
            return self._order()

    def _order(self) -> list[Item]:
        lanes = [[item for item in lane if item.active] for lane in self._lanes.values()]
        longest = max(map(len, lanes), default=0)
        return [lane[turn] for turn in range(longest) for lane in lanes if turn < len(lane)]
