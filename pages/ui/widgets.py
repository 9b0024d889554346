"""The widgets of settings, as they were declared, and the switch between views of a page."""

import contextlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from fisherdash.settings import Settings, shown
from fisherdash.settings.fields import Setting
from fisherdash.settings.shell import option

BY_HAND = "by hand"


def widgets(
    cls: type[Settings],
    values: Settings | None = None,
    *,
    only: tuple[str, ...] = (),
    without: tuple[str, ...] = (),
    columns: int = 4,
    key: str | None = None,
    **changed: Mapping[str, Any],
) -> dict[str, Any]:
    """A widget for every setting, the advanced ones folded away; what was chosen, by name.

    Args:
        cls: of the settings.
        values: what they show to begin with; their defaults otherwise.
        only: these settings alone, if any are given.
        without: settings that are left out.
        columns: of the grid that is made for them; 0 where the caller has made one.
        key: begins the keys of the widgets, for settings that a page asks for twice.
        changed: for one setting each, what its widget gets beside what was declared: ``value``
            to begin with, ``disabled``, ``help``, …
    """
    chosen = [one for one in shown(cls, without) if not only or one.name in only]
    found: dict[str, Any] = {}

    def draw(one: Setting) -> None:
        """One widget and its value."""
        value = getattr(values, one.name, one.default)
        more = {"value": value, **changed.get(one.name, {})}
        if key is not None:
            more["key"] = f"{key} {one.name}"
        found[one.name] = widget(one, **more)

    plain = [one for one in chosen if not one.advanced]
    advanced = [one for one in chosen if one.advanced]
    if plain:
        with st.grid(columns, min_column_width=140) if columns else contextlib.nullcontext():
            for one in plain:
                draw(one)
    if advanced:
        folded = st.expander("More settings", icon=":material/tune:")
        with folded.grid(min(columns or 4, len(advanced)), min_column_width=140):
            for one in advanced:
                draw(one)
    return found


def in_words_of_the_page(sentence: str, cls: type[Settings]) -> str:
    """A sentence in which the options of these settings are called as their widgets are."""
    labels = {option(one): one.label for one in shown(cls)}
    return re.sub(r"--[a-z-]+", lambda found: f"“{labels.get(found[0], found[0])}”", sentence)


def switch(label: str, options: Sequence[str], key: str | None = None) -> str:
    """One of a few views, the first to begin with."""
    return st.segmented_control(
        label, options, default=options[0], required=True, key=key, label_visibility="collapsed"
    )


def widget(one: Setting, value: Any, **more: Any) -> Any:
    """The widget of one setting; ``more`` goes to Streamlit."""
    more = {"help": one.help, **more}
    if one.kind is bool:
        return st.toggle(one.title, value=value, **more)
    if one.kind is str and "options" in more:  # what there is, and anything else
        more = {"index": None, "placeholder": one.unset, "accept_new_options": True, **more}
        return st.selectbox(one.title, **more)
    if one.kind is str:
        return st.text_input(one.title, value=value, placeholder=one.unset, **more) or None
    if one.choices and one.kind is not None:
        return _word_or_power(one, value, **more)
    if one.choices:
        index = None if value is None else one.choices.index(value)
        more["placeholder"] = one.unset or None
        return st.selectbox(one.title, one.choices, index, format_func=one.word, **more)
    return _number(one, value, **more)


def _number(one: Setting, value: Any, **more: Any) -> Any:
    kind = one.kind or float
    limits = [one.low if one.above is None else one.above, one.high or one.below]
    low, high = (None if limit is None else kind(limit) for limit in limits)
    if value is not None:
        value = kind(value)
        value = value if low is None else max(low, value)
        value = value if high is None else min(high, value)
    number = st.number_input(
        one.title,
        min_value=low,
        max_value=high,
        value=value,
        step=None if one.step is None else kind(one.step),
        format="%g" if kind is float else None,
        placeholder=one.unset if one.optional else None,
        **more,
    )
    return None if number is None else kind(number)


def _word_or_power(one: Setting, value: Any, **more: Any) -> Any:
    assert one.power is not None, f"{one.name} has words and a number: declare its power"
    chosen = st.segmented_control(
        one.title,
        [*(one.words or one.choices), BY_HAND],
        format_func=one.word,
        default=value if isinstance(value, str) else BY_HAND,
        required=True,
        **more,
    )
    if chosen != BY_HAND:
        return chosen
    power = st.slider(
        one.power.label,
        min_value=float(one.power.low),
        max_value=float(one.power.high),
        value=float(one.power.usual),
        step=0.5,
        help=one.power.help,
    )
    return 10.0**power
