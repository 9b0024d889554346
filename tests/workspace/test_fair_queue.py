"""The fair queue: everybody has a turn, whoever came first and however much they ask for."""

import dataclasses

from hypothesis import given
from hypothesis import strategies as st

from fisherdash.workspace.jobs import FairQueue


@dataclasses.dataclass(eq=False)
class Item:
    owner: str
    name: str = ""
    active: bool = True


def filled(owners: str) -> tuple[FairQueue, list[Item]]:
    queue = FairQueue()
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


def test_who_comes_later_waits_for_one_of_the_others_and_not_for_all():
    queue, _ = filled("aaaa")
    assert queue.take().name == "a0"
    queue.put(Item("b", "b"))
    assert names(queue.order()) == "a1 b a2 a3"


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
