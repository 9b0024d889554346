"""Numbers, durations and lists as the shell, the documents and the pages write them."""

import re
import unicodedata
from collections.abc import Iterable
from typing import Final

NOTHING: Final = "–"
"""What stands where there is no number."""

_FORMULA: Final = re.compile(r"[=@\t\r\n]|[+-](?![\d.]+ ?%?(?: \([\d. +\-−–%to]*\))?$)")
_ORDERS: Final = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
"""Categories of characters that are not shown, and that a terminal may obey."""
_HOUR: Final = 3600.0
_DAY: Final = 24 * _HOUR


def number(value: float | None, spec: str = ".3g", *, sign: bool = False, unit: str = "") -> str:
    """A number with a typographic minus; without exponent from 1 on, a dash for None.

    Args:
        value: the number.
        spec: how Python's ``format`` writes it.
        sign: whether positive numbers have a plus.
        unit: set behind it.

    >>> number(0.12345), number(-2.0, sign=True), number(None), number(1234.5)
    ('0.123', '−2', '–', '1230')
    >>> number(3.14, ".1f", sign=True, unit="%")
    '+3.1 %'
    """
    if value is None:
        return NOTHING
    plain = format(value, spec)
    if "e" in plain and abs(value) >= 1:
        plain = f"{float(plain):.0f}"
    plain = ("+" if sign and value > 0 else "") + plain.replace("-", "−")
    return f"{plain} {unit}" if unit else plain


def cell(value: object) -> object:
    """A cell of a CSV that no spreadsheet takes for a formula.

    >>> cell("=HYPERLINK(0)"), cell("+1+cmd|x!A"), cell("+3.1 %"), cell("ethanol"), cell(-2.0)
    ("'=HYPERLINK(0)", "'+1+cmd|x!A", '+3.1 %', 'ethanol', -2.0)
    """
    return f"'{value}" if isinstance(value, str) and _FORMULA.match(value) else value


def harmless(text: str) -> str:
    """What a terminal shows and does not obey: names come from files of strangers.

    >>> harmless("a\\x1b[31mb\\n\\u202ec\\udcff é")
    'a?[31mb\\n?c? é'
    """
    return "".join(
        "?" if unicodedata.category(one) in _ORDERS and one != "\n" else one for one in text
    )


def duration(seconds: float, *, exact: bool = False) -> str:
    """Seconds as people say them; exactly for what is measured or counts down.

    >>> duration(30), duration(7200), duration(200_000), duration(3e10)
    ('30 s', '2 h', '2.3 days', '950 years')
    >>> duration(30, exact=True), duration(754, exact=True), duration(7500, exact=True)
    ('30 s', '12 min 34 s', '2 h 05 min')
    """
    if exact:
        minutes, rest = divmod(round(seconds), 60)
        if seconds < 100:
            return f"{seconds:.0f} s"
        if minutes < 100:
            return f"{minutes} min {rest:02d} s"
        return f"{minutes // 60} h {minutes % 60:02d} min"
    for unit, length in (("years", 365.25 * _DAY), ("days", _DAY), ("h", _HOUR), ("min", 60.0)):
        if seconds >= 1.5 * length:
            return f"{float(f'{seconds / length:.2g}'):g} {unit}"
    return f"{seconds:.2g} s"


def in_bytes(count: float) -> str:
    """A number of bytes as people say it.

    >>> in_bytes(999), in_bytes(1500), in_bytes(2e9), in_bytes(3e15)
    ('999 B', '1.5 kB', '2 GB', '3e+03 TB')
    """
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 999.5:
            return f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:.3g} TB"


def joined(names: Iterable[str]) -> str:
    """Names as people list them.

    >>> joined(["a", "b", "c"]), joined(["a"]), joined([])
    ('a, b and c', 'a', 'none')
    """
    words = list(names)
    if len(words) < 2:
        return words[0] if words else "none"
    return f"{', '.join(words[:-1])} and {words[-1]}"
