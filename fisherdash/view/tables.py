"""A comparison as tables: one to be read, one whose numbers go on to other programs."""

import pandas as pd

from fisherdash.analyse import Comparison, Interval, Versus


def spread(value: Interval | None) -> str:
    """A median with its 95 % interval, three significant digits."""
    if value is None:
        return "no survivors"
    if value.low is None or value.high is None:
        return f"{value.median:+.3g}"
    return f"{value.median:+.3g}  [{value.low:+.3g}, {value.high:+.3g}]"


def comparison_table(found: Comparison) -> pd.DataFrame:
    """A row a head, in words and rounded numbers, the units in the names of the columns."""
    rows = []
    for name in found.names:
        half, jitter = found.time_to_failure[name], found.fluctuation[name]
        rows.append(
            {
                "head": name,
                "alive": f"{found.survivors[name]} of {found.replicas}",
                "drift (meV/atom/ps), median [95 %]": spread(found.drift[name]),
                "fluctuation (meV/atom)": "–" if jitter is None else f"{jitter:.3g}",
                "half are dead after (ps)": "more than half live"
                if half is None
                else f"{half:.3g}",
            }
        )
    return pd.DataFrame(rows)


def comparison_numbers(found: Comparison) -> pd.DataFrame:
    """The same in full precision, empty where there is no value."""
    rows = []
    for name in found.names:
        drift = found.drift[name]
        rows.append(
            {
                "head": name,
                "replicas": found.replicas,
                "survivors": found.survivors[name],
                "duration_ps": found.duration,
                "drift_meV_per_atom_per_ps": drift.median if drift else None,
                "drift_low": drift.low if drift else None,
                "drift_high": drift.high if drift else None,
                "fluctuation_meV_per_atom": found.fluctuation[name],
                "time_to_failure_ps": found.time_to_failure[name],
            }
        )
    return pd.DataFrame(rows)


def tests_in_words(found: Comparison) -> str:
    """The statistical tests in words, for each later head; empty where none can be made."""
    return " ".join(filter(None, map(_tests, found.against)))


def _tests(one: Versus) -> str:
    words = []
    if one.difference is not None:
        p_value = one.difference.p_value
        words.append(
            f"Paired difference of |drift|, {one.second} minus {one.first}, over {one.pairs} pairs "
            f"of survivors: {spread(one.difference)} meV/atom/ps"
            + (f" (signed-rank p = {p_value:.2g})" if p_value is not None else "")
        )
    if one.logrank_p_value is not None:
        words.append(
            f"equal survival of {one.first} and {one.second}: log-rank p = "
            f"{one.logrank_p_value:.2g}"
        )
    return "; ".join(words) + "." if words else ""
