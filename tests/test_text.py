"""How numbers, durations and lists are written."""

import doctest

import pytest

from fisherdash import text


def test_examples_in_the_docstrings_are_true():
    assert doctest.testmod(text).failed == 0


@pytest.mark.parametrize(
    ("value", "options", "written"),
    [
        (0.0, {"sign": True}, "0"),
        (1e-6, {}, "1e−06"),
        (-1.5e7, {}, "−15000000"),
        (-0.04, {"spec": ".1f", "sign": True, "unit": "%"}, "−0.0 %"),
        (None, {"unit": "ps"}, "–"),
    ],
)
def test_numbers(value, options, written):
    assert text.number(value, **options) == written


@pytest.mark.parametrize(
    ("seconds", "about", "exactly"),
    [
        (0.4, "0.4 s", "0 s"),
        (89.0, "89 s", "89 s"),
        (99.7, "1.7 min", "100 s"),
        (5999.0, "1.7 h", "99 min 59 s"),
        (6001.0, "1.7 h", "1 h 40 min"),
        (86_400.0, "24 h", "24 h 00 min"),
    ],
)
def test_durations(seconds, about, exactly):
    assert (text.duration(seconds), text.duration(seconds, exact=True)) == (about, exactly)


@pytest.mark.parametrize(
    "value",
    ["=1+1", "@SUM(A1)", "+1+cmd|' /C calc'!A0", "-2+3+HYPERLINK(A1)", "-cmd", "+1 +cmd|x!A",
     "\t=1", "+3.1 % (cmd|x!A)"],
)  # fmt: skip
def test_no_cell_is_a_formula(value):
    """A spreadsheet once ran ``=HYPERLINK(…)`` out of a name in a CSV."""
    assert text.cell(value) == f"'{value}"


@pytest.mark.parametrize(
    "value", ["+3.1 %", "-0.2", "+3.1 % (-1 to +2)", "−2", "ethanol", "a=b", ""]
)
def test_a_cell_of_numbers_stays_as_it_is(value):
    assert text.cell(value) == value
