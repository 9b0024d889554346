"""Every setting is declared once: the check, the shell, TOML, the page and JSON follow from it."""

import argparse
import dataclasses
import json
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from typing import Any, Literal

import pytest
from streamlit.testing.v1 import AppTest

from fisherdash import settings
from fisherdash.errors import InputError
from fisherdash.settings import (
    MDSettings,
    ModelConfig,
    Options,
    SampleSettings,
    Settings,
    StabilitySettings,
    TrainSettings,
    add_options,
    as_options,
    from_arguments,
    option,
    setting,
    settings_of,
    shell_command,
    shown,
)
from fisherdash.settings import fields as toml
from fisherdash.settings.fields import Setting
from fisherdash.study.spec import Dynamics, Recipe

CLASSES = sorted(
    (one for one in vars(settings).values() if isinstance(one, type) and issubclass(one, Settings)),
    key=lambda one: one.__name__,
)
CLASSES.remove(Settings)
CLASSES += [Dynamics, Recipe]
DECLARED = [(cls, one) for cls in CLASSES for one in settings_of(cls)]
SHOWN = [(cls, one) for cls in CLASSES for one in shown(cls)]
NUMBERS = [(cls, one) for cls, one in DECLARED if one.kind in (int, float)]


def named(pairs: list[tuple[type, Setting]]) -> list[Any]:
    return [pytest.param(cls, one, id=f"{cls.__name__}.{one.name}") for cls, one in pairs]


def others(one: Setting) -> Iterator[Any]:
    """Allowed values that are not the default."""
    yield from (choice for choice in one.choices if choice != one.default)
    if one.kind is str:
        yield "other words"
    if one.kind in (int, float):
        base = one.default if isinstance(one.default, (int, float)) else 3
        for number in (2 * base, base / 2, base + 1, base + 0.25):
            value = one.kind(number)
            if value != one.default and one.allows(value):
                yield value


def wrong(one: Setting) -> Iterator[Any]:
    """Numbers outside of the limits."""
    if one.above is not None or one.low:
        yield one.kind(one.above if one.above is not None else one.low - 1)
    else:
        yield one.kind(-1)
    limit = one.below if one.below is not None else one.high
    yield one.kind(limit if one.below is not None else 2 * limit + 1)


def changed(cls: type, one: Setting) -> Settings:
    return cls(**{one.name: next(others(one))})


def parser_of(*classes: type) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(exit_on_error=False)
    for cls in classes:
        add_options(parser, cls)
    return parser


def draw(where: str, cls: str, keep: dict) -> None:
    """A page of these settings."""
    import importlib

    from pages.ui.widgets import widgets

    keep["found"] = widgets(getattr(importlib.import_module(where), cls))


def page_of(cls: type) -> tuple[AppTest, dict[str, Any]]:
    keep: dict[str, Any] = {}
    app = AppTest.from_function(draw, args=(cls.__module__, cls.__qualname__, keep))
    app.run()
    assert not app.exception, app.exception
    return app, keep


def elements(app: AppTest) -> list[Any]:
    kinds = ("number_input", "selectbox", "segmented_control", "toggle", "text_input", "slider")
    return [item for kind in kinds for item in app.get(kind)]


@pytest.mark.parametrize(("cls", "one"), named(DECLARED))
def test_a_setting_says_what_it_is(cls, one):
    assert one.kind or one.choices or one.omitted
    if one.label:
        assert len(one.help) > 20 and one.help.endswith(".")
        assert one.label[0].isupper() and one.label[-1] not in ".:"
    assert cls().__class__ is cls


@pytest.mark.parametrize(("cls", "one"), named(NUMBERS))
def test_a_number_has_two_limits_and_is_refused_outside_in_one_sentence(cls, one):
    assert (one.low is None) != (one.above is None)
    assert (one.high is None) != (one.below is None)
    for value in (*wrong(one), "x", float("nan"), True, [1]):
        with pytest.raises(InputError) as refusal:
            cls(**{one.name: value})
        sentence = str(refusal.value)
        assert sentence == f"{one.name} must be {one.wanted}, received {value!r}"
        with pytest.raises(InputError, match=r"^\[table\]: "):
            toml.build(cls, {one.name: value}, "[table]")
    if one.label and one.flag is not False:
        for value in wrong(one):
            words = [f"{option(one)}={value}"]
            for needed in shown(cls):
                words += [option(needed), "1"] if needed.required and needed is not one else []
            with pytest.raises(argparse.ArgumentError) as told:
                parser_of(cls).parse_args(words)
            assert f"must be {one.wanted}, not {str(value)!r}" in str(told.value)


@pytest.mark.parametrize(("cls", "one"), named(SHOWN))
def test_the_shell_reads_what_a_command_says(cls, one):
    wanted = changed(cls, one)
    if one.flag is False:
        assert as_options(wanted) == as_options(cls())
        return
    words = shlex.split(shell_command("command", wanted))[4:]
    assert option(one) in words
    assert from_arguments(cls, parser_of(cls).parse_args(words)) == wanted


@pytest.mark.parametrize("cls", CLASSES)
def test_what_has_its_default_is_left_out_of_a_command(cls):
    needed = [one for one in shown(cls) if one.required or (one.unset and not one.optional)]
    words = as_options(cls())
    assert len(words) == 2 * len(needed)
    assert from_arguments(cls, parser_of(cls).parse_args(words)) == cls()


@pytest.mark.parametrize("cls", CLASSES)
def test_help_names_every_option_with_its_help(cls):
    text = " ".join(parser_of(cls).format_help().split())
    for one in shown(cls):
        if one.flag is not False:
            assert option(one) in text
    assert "%%" not in text


@pytest.mark.parametrize(("cls", "one"), named(SHOWN))
def test_a_toml_file_is_read_back(cls, one):
    wanted = changed(cls, one)
    value = getattr(wanted, one.name)
    table = tomllib.loads(f"{one.name} = {json.dumps(value)}")
    assert one.name in toml.names(cls)
    assert toml.build(cls, toml.part(cls, table), "[table]") == wanted


@pytest.mark.parametrize(("cls", "one"), named(DECLARED))
def test_json_is_read_back(cls, one):
    wanted = changed(cls, one) if one.kind or one.choices else cls()
    fields = json.loads(json.dumps(wanted.to_json()))
    assert cls.from_json(fields) == wanted
    with pytest.raises(InputError, match="the fields"):
        cls.from_json({**fields, "unknown": 1})
    for other in settings_of(cls):
        fewer = {name: value for name, value in fields.items() if name != other.name}
        if other.later or other.omitted:
            assert isinstance(cls.from_json(fewer), cls)
        else:
            with pytest.raises(InputError, match="the fields"):
                cls.from_json(fewer)


@pytest.mark.parametrize("cls", CLASSES)
def test_a_page_asks_for_every_setting_and_begins_with_the_defaults(cls):
    app, keep = page_of(cls)
    assert cls(**keep["found"]) == cls()
    found = elements(app)
    for one in shown(cls):
        (widget,) = [item for item in found if item.label == one.title]
        assert widget.help == one.help


@pytest.mark.parametrize("cls", CLASSES)
def test_a_page_gives_what_was_chosen(cls):
    app, keep = page_of(cls)
    for one in shown(cls):
        if cls is Options and one.name == "method":
            continue  # another method forbids an energy weight
        (widget,) = [item for item in elements(app) if item.label == one.title]
        value = next(others(one))
        widget.set_value(value)
        app.run()
        assert not app.exception
        assert keep["found"][one.name] == value
        if one.name != "interval_fs":
            cls(**keep["found"])


def test_a_number_beside_words_is_a_power_of_ten():
    app, keep = page_of(Options)
    next(item for item in app.segmented_control).set_value("by hand").run()
    assert keep["found"]["ridge"] == pytest.approx(1e-6)
    app.slider[0].set_value(-2.5).run()
    assert keep["found"]["ridge"] == pytest.approx(10**-2.5)


@dataclasses.dataclass(frozen=True)
class MadeUp(Settings):
    """What the next person adds: one line, and everything knows it."""

    friction: float = setting(
        2.5, label="Friction", unit="1/ps", low=0, high=20, step=0.5, omitted=True,
        help="Strength of the thermostat, usually 1 to 10.",
    )  # fmt: skip


def test_a_made_up_setting_is_known_everywhere(capsys):
    with pytest.raises(InputError, match=r"^friction must be from 0 to 20 1/ps, received 21$"):
        MadeUp(friction=21)
    parser = parser_of(MadeUp)
    assert from_arguments(MadeUp, parser.parse_args(["--friction", "4"])) == MadeUp(4.0)
    assert "Strength of the thermostat" in parser.format_help()
    assert shell_command("simulate", MadeUp(4.0)) == "python -m fisherdash simulate --friction 4"
    table = tomllib.loads("friction = 4.0")
    toml.only(table, "[dynamics]", toml.names(MadeUp))
    assert toml.build(MadeUp, table, "[dynamics]") == MadeUp(4.0)
    app, keep = page_of(MadeUp)
    assert app.number_input[0].label == "Friction (1/ps)"
    app.number_input[0].set_value(4.0).run()
    assert MadeUp(**keep["found"]) == MadeUp(4.0)
    # Older files lack it, and what they say is written as before.
    assert MadeUp.from_json({}) == MadeUp() and MadeUp().to_json() == {}
    assert MadeUp.from_json(MadeUp(4.0).to_json()) == MadeUp(4.0)


def test_words_with_a_space_are_hyphened_in_the_shell():
    words = as_options(Options(head="by element"))
    assert words == ["--head", "by-element"]
    assert from_arguments(Options, parser_of(Options).parse_args(words)).head == "by element"


def test_text_is_a_setting_too():
    @dataclasses.dataclass(frozen=True)
    class Text(Settings):
        name: str | None = setting(None, label="Name", help="What it is called.")
        kind: Literal["a", "b"] = setting("a", label="Kind", help="Which kind.")

    assert as_options(Text("two words")) == ["--name", "two words"]
    with pytest.raises(InputError, match="name must be text in quotes, received 3"):
        Text(3)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="kind must be one of 'a', 'b', received 'c'"):
        Text(kind="c")  # type: ignore[arg-type]


def test_numbers_stay_what_they_were_where_digests_depend_on_it():
    assert type(Options(ridge=0).ridge) is int and type(TrainSettings(clip=1).clip) is int
    assert type(MDSettings(timestep=1).timestep) is float
    assert type(ModelConfig(cutoff=4).cutoff) is float


def test_older_trainings_lack_what_came_later():
    fields = TrainSettings().to_json()
    for name in ("average", "clip", "sharpness_radius"):
        del fields[name]
    assert TrainSettings.from_json(fields) == TrainSettings()


def test_a_command_keeps_every_digit():
    for value in (0.1, 1e-6, 10**-6.5, 1 / 3, 412.5):
        words = as_options(Options(ridge=value))
        assert from_arguments(Options, parser_of(Options).parse_args(words)).ridge == value


def test_settings_of_a_sample_fit_together():
    with pytest.raises(InputError, match=r"interval_fs must be a multiple of timestep_fs \(0.5"):
        SampleSettings(interval_fs=0.7)
    assert SampleSettings(interval_fs=50.0, equilibration_ps=5.0).before == 100


def test_a_re_fit_and_its_dynamics_share_a_command_line():
    parser = parser_of(Options, StabilitySettings)
    dynamics = StabilitySettings(replicas=8, timestep=0.25, temperature=900.0)
    wanted = Options(ridge="stable", temperature=300.0, seed=4, stability=dynamics)
    words = shlex.split(shell_command("solve", wanted, dynamics))[4:]
    found = parser.parse_args(words)
    stability = from_arguments(StabilitySettings, found)
    assert from_arguments(Options, found, stability=stability) == wanted


def test_neither_jax_nor_streamlit_is_imported():
    code = (
        "import sys, fisherdash.settings; "
        "print([m for m in ('jax', 'numpy', 'streamlit') if m in sys.modules])"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "[]"
