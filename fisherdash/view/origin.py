"""The parts of a drift as a table and in words."""

import pandas as pd

from fisherdash.analyse.origin import Origin
from fisherdash.view.tables import spread

_FINER = {"time step": "at half the time step", "round-off": "in double precision"}
_LEFT = {"time step": "left at Δt → 0", "round-off": "left without round-off"}


def origin_table(found: Origin) -> pd.DataFrame:
    """A row a head; slopes in meV/atom/ps, medians with their 95 % intervals."""
    rows = []
    for name in found.names:
        jitter, order = found.fluctuation[name], found.order[name]
        row = {
            "head": name,
            "pairs of survivors": found.pairs[name],
            "drift (meV/atom/ps)": spread(found.coarse[name]),
            _FINER[found.cause]: spread(found.fine[name]),
            f"due to the {found.cause}": spread(found.due[name]),
            _LEFT[found.cause]: spread(found.left[name]),
            "fluctuation (meV/atom)": _pair(jitter),
        }
        if found.cause == "time step":
            row["order in Δt"] = "–" if order is None else f"{order:.2f}"
        rows.append(row)
    return pd.DataFrame(rows)


def _pair(values: tuple[float, float] | None) -> str:
    return "–" if values is None else f"{values[0]:.3g} → {values[1]:.3g}"


def origin_sentences(found: Origin) -> list[str]:
    """What the numbers say of each head, one sentence each."""
    return [f"{name}: {_sentence(found, name)}" for name in found.names]


def _sentence(found: Origin, name: str) -> str:
    due, left, pairs = found.due[name], found.left[name], found.pairs[name]
    if due is None or left is None or due.low is None:
        return f"too few replicas ({pairs}) survive both runs to tell."
    cause = f"the {found.cause}"
    if due.sign:
        words = f"{spread(due)} meV/atom/ps of its drift is due to {cause}"
    else:
        words = f"no drift due to {cause} can be seen in {pairs} pairs ({spread(due)} meV/atom/ps)"
    if left.low is not None and left.high is not None and left.low <= 0 <= left.high:
        words += ", and what is left cannot be told from none"
    else:
        words += f", and {left.median:+.3g} is left"
    order, jitter = found.order[name], found.fluctuation[name]
    if order is not None and jitter is not None:
        verdict = (
            "as a time step small enough makes it"
            if 1.5 <= order <= 2.5
            else "while Verlet would make it 4 times smaller: the time step is too long for these "
            "numbers, or something else fluctuates"
        )
        words += (
            f". Its fluctuation becomes {jitter[0] / jitter[1]:.2g} times smaller with half the "
            f"step, {verdict}"
        )
    return f"{words}."
