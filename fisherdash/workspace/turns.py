"""Whose turn it is: users share a device by the work that they ask for, not by the number of jobs.

Every user has an account of the seconds that were done for them. The next job is the one with which
its user's account stays the lowest, so that a short job need not wait for long ones of somebody
else, and who has many or long ones waits for those who have few and short ones. A job is charged
what it was estimated to take when it begins, and what it took when it has ended, whatever had been
estimated. Who comes anew, or comes back, begins where the others are: nobody saves up turns.
Within the jobs of one user it is first come, first served.
"""

import threading
from collections import deque
from typing import Generic, Protocol, TypeVar


class Waiting(Protocol):
    """What waits: whose it is, whether it still wants its turn, and the seconds it should take."""

    owner: str
    expected: float

    @property
    def active(self) -> bool:
        """Whether it was not cancelled meanwhile."""
        ...


Item = TypeVar("Item", bound=Waiting)


class FairQueue(Generic[Item]):
    """Equal shares of work for all users who wait; first in, first out within one user's."""

    def __init__(self) -> None:
        self._lanes: dict[str, deque[Item]] = {}
        self._accounts: dict[str, float] = {}
        self._now = 0.0
        self._changed = threading.Condition()

    def put(self, item: Item) -> None:
        """Append ``item`` to its owner's."""
        with self._changed:
            if not any(other.active for other in self._lanes.get(item.owner, ())):
                before = self._accounts.get(item.owner, 0.0)
                self._accounts[item.owner] = max(before, self._now)
                self._lanes.pop(item.owner, None)  # who comes back stands behind the others
            self._lanes.setdefault(item.owner, deque()).append(item)
            self._changed.notify()

    def take(self) -> Item:
        """The next item; waits until there is one."""
        with self._changed:
            while not (order := self._order()):
                self._changed.wait()
            item = order[0]
            rest = (other for other in self._lanes[item.owner] if other is not item)
            self._lanes[item.owner] = deque(other for other in rest if other.active)
            self._now = max(self._now, self._accounts[item.owner])
            self._accounts[item.owner] += item.expected
            self._forget()
            return item

    def settle(self, item: Item, seconds: float) -> None:
        """Charge an item that was taken and has ended what it really took."""
        with self._changed:
            if item.owner in self._accounts:
                self._accounts[item.owner] += seconds - item.expected

    def order(self) -> list[Item]:
        """The waiting items in the order in which they would be taken if no other came."""
        with self._changed:
            return self._order()

    def _order(self) -> list[Item]:
        lanes = {
            owner: deque(item for item in lane if item.active)
            for owner, lane in self._lanes.items()
        }
        accounts, found = dict(self._accounts), []
        while waiting := [owner for owner, lane in lanes.items() if lane]:
            owner = min(waiting, key=lambda one: accounts[one] + lanes[one][0].expected)
            item = lanes[owner].popleft()
            accounts[owner] += item.expected
            found.append(item)
        return found

    def _forget(self) -> None:
        """Drop the accounts of users who have nothing waiting and are behind the others."""
        for owner in [owner for owner, lane in self._lanes.items() if not lane]:
            if self._accounts[owner] <= self._now:
                del self._lanes[owner], self._accounts[owner]
