"""Whose turn it is on a device: by the work that users ask for."""

import dataclasses

from hypothesis import given
from hypothesis import strategies as st

from fisherdash.workspace.turns import FairQueue


@dataclasses.dataclass(eq=False)
class Item:
    owner: str
    name: str = ""
    active: bool = True
    expected: float = 1.0


def filled(owners: str) -> tuple[FairQueue[Item], list[Item]]:
    queue: FairQueue[Item] = FairQueue()
    items = [Item(owner, f"{owner}{number}") for number, owner in enumerate(owners)]
    for item in items:
        queue.put(item)
    return queue, items


def names(items) -> str:
    return " ".join(item.name for item in items)


def test_one_of_each_then_the_next_of_each():
    queue, _ = filled("aaabbc")
    assert names(queue.order()) == "a0 b3 c5 a1 b4 a2"
    assert names(queue.take() for _ in range(6)) == "a0 b3 c5 a1 b4 a2"


def test_alone_it_is_first_come_first_served():
    queue, items = filled("aaaa")
    assert queue.order() == items


def test_who_comes_later_waits_for_what_is_at_work_and_not_for_all():
    queue, _ = filled("aaaa")
    assert queue.take().name == "a0"
    queue.put(Item("b", "b"))
    assert names(queue.order()) == "b a1 a2 a3"


def test_turns_follow_the_work_that_was_asked_for_and_not_the_number_of_jobs():
    queue: FairQueue[Item] = FairQueue()
    for item in (Item("a", "a-long", expected=3600.0), Item("a", "a-short", expected=10.0)):
        queue.put(item)
    for number in range(3):
        queue.put(Item("b", f"b{number}", expected=60.0))
    assert names(queue.order()) == "b0 b1 b2 a-long a-short"
    for number in range(100):  # many short ones end up waiting too
        queue.put(Item("b", f"later{number}", expected=60.0))
    place = [item.name for item in queue.order()].index("a-long")
    assert place == 3600 / 60 - 1


def test_who_asked_for_little_and_took_much_waits_for_the_others():
    queue: FairQueue[Item] = FairQueue()
    liar, other = Item("a", "a0", expected=1.0), Item("b", "b0", expected=50.0)
    for item in (liar, Item("a", "a1", expected=1.0), other):
        queue.put(item)
    assert queue.take() is liar
    queue.settle(liar, 1000.0)
    assert names(queue.order()) == "b0 a1"


def test_nobody_saves_up_turns_by_staying_away():
    queue: FairQueue[Item] = FairQueue()
    for number in range(3):
        queue.put(Item("a", f"a{number}", expected=100.0))
        queue.take()
    queue.put(Item("a", "a3", expected=100.0))
    for number in range(3):
        queue.put(Item("b", f"b{number}", expected=100.0))
    assert names(queue.order()) == "b0 a3 b1 b2"


def test_what_was_cancelled_takes_no_turn():
    queue, items = filled("aab")
    items[0].active = False
    assert names(queue.order()) == "a1 b2"
    assert queue.take() is items[1] and queue.take() is items[2]
    assert queue.order() == []


@given(owners=st.text("abcd", max_size=30), gone=st.sets(st.integers(0, 29)))
def test_the_order_that_is_shown_is_the_order_that_comes(owners, gone):
    queue, items = filled(owners)
    for number in gone & set(range(len(items))):
        items[number].active = False
    shown = queue.order()
    assert [queue.take() for _ in shown] == shown
    assert sorted(names(shown).split()) == sorted(item.name for item in items if item.active)
    for owner in set(owners):  # within a lane nobody overtakes
        lane = [item for item in shown if item.owner == owner]
        assert lane == [item for item in items if item.owner == owner and item.active]
