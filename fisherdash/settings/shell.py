"""Settings in the shell: the options of a command, and the command that does what a page did."""

import argparse
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from fisherdash.settings.fields import Setting, Settings, shown

S = TypeVar("S", bound=Settings)
FEW = 6
"""So many choices stand in the usage of a command, more in the help of the option alone."""


def add_options(
    parser: "argparse._ActionsContainer",
    cls: type[Settings],
    *,
    without: tuple[str, ...] = (),
    only: tuple[str, ...] = (),
) -> None:
    """An option for every setting that has one; a refusal says what would be right."""
    for one in shown(cls, without):
        if one.flag is False or (only and one.name not in only):
            continue
        text = one.help.replace("%", "%%")
        if len(one.choices) > FEW:
            text += f" One of {', '.join(map(_hyphened, one.choices))}."
        if one.switch:
            words = f"{one.label}: {one.word(one.other).lower()}. {text}"
            parser.add_argument(option(one), action="store_true", help=words)
            continue
        if one.unset:
            text += f" (default: {one.unset})"
        parser.add_argument(
            option(one),
            type=converter(one),
            default=None if one.unset or one.required else one.default,
            required=one.required,
            metavar=_metavar(one),
            help=text,
        )


def from_arguments(cls: type[S], arguments: argparse.Namespace, **given: Any) -> S:
    """The settings that were asked for; ``given`` ones count instead of the options."""
    found = dict(given)
    for one in shown(cls):
        if one.flag is False:
            continue
        value = getattr(arguments, option(one)[2:].replace("-", "_"), None)
        if one.switch and value is not None:
            value = one.other if value else one.default
        if value is not None:
            found.setdefault(one.name, value)
    return cls(**found)


def option(one: Setting) -> str:
    """The option of a setting."""
    return one.flag or "--" + one.name.replace("_", "-")


def converter(one: Setting) -> Callable[[str], Any]:
    """The type of an option: from a word of the command line to a value that is allowed."""

    def convert(text: str) -> Any:
        """The value of a text; ArgumentTypeError for what is not allowed."""
        for value in _readings(one, text):
            if one.allows(value):
                return value
        raise argparse.ArgumentTypeError(f"must be {one.wanted}, not {text!r:.60}")

    return convert


def _readings(one: Setting, text: str) -> list[Any]:
    """What a word may mean, the likeliest first."""
    if one.kind is str:
        return [text]
    words = [choice for choice in one.choices if text in (choice, _hyphened(choice))]
    if not words and one.reads is not None:
        words = [one.reads(text)]
    if words or one.kind not in (int, float):
        return words
    try:
        return [one.kind(text)]
    except ValueError:
        return []


def _metavar(one: Setting) -> str | None:
    words = "|".join(map(_hyphened, one.choices)) if len(one.choices) <= FEW else ""
    if one.kind in (int, float) and words:
        return f"{words}|VALUE"
    return f"{{{words.replace('|', ',')}}}" if words else one.unit or None


def _hyphened(choice: Any) -> str:
    return str(choice).replace(" ", "-")


def shell_command(name: str, *arguments: object, **options: object) -> str:
    """One line for a POSIX shell.

    Settings become their options, without those that have their default; a Path below the working
    folder is written relative to it. ``out="x"`` becomes ``--out x``, True a bare option; None and
    False are left out.

    >>> shell_command("compare", Path("my runs/one"), json=True)
    "python -m fisherdash compare 'my runs/one' --json"
    """
    words = ["python", "-m", "fisherdash", name]
    words += [_word(one) for one in arguments if not isinstance(one, Settings)]
    for key, value in options.items():
        words += _option("--" + key.replace("_", "-"), value)
    for one in arguments:
        words += as_options(one) if isinstance(one, Settings) else []
    return shlex.join(words)


def as_options(settings: Settings) -> list[str]:
    """The options that ask for these settings; what has its default is left out."""
    words: list[str] = []
    for one in shown(type(settings)):
        value = getattr(settings, one.name)
        # Where the command decides what an option that is left out means, it has to be said.
        said = one.required or (bool(one.unset) and not one.optional)
        if one.flag is not False and (said or value != one.default):
            word = _hyphened(value) if value in one.choices else value
            words += _option(option(one), True if one.switch else word)
    return words


def _option(flag: str, value: object) -> list[str]:
    if value is None or value is False:
        return []
    return [flag] if value is True else [flag, _word(value)]


def _word(value: object) -> str:
    if isinstance(value, float):
        short = f"{value:.10g}"
        return short if float(short) == value else repr(value)
    if isinstance(value, Path) and value.is_absolute() and value.is_relative_to(Path.cwd()):
        return str(value.relative_to(Path.cwd()))
    return str(value)
