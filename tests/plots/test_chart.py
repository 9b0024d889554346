"""The visual language: what can be told apart, by everybody, on both backgrounds."""

import json
import tomllib
from pathlib import Path

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest

from fisherdash.plots.chart import (
    DEFAULT,
    FAILED,
    FISHER,
    INKS,
    NEUTRAL,
    OTHERS,
    Chart,
    axis,
    chart,
    guide,
    line,
    panels,
    styles,
    template,
)

ROOT = Path(__file__).resolve().parents[2]
CONFIG = tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text())["theme"]


def luminance(colour: str) -> float:
    """Relative luminance of #rrggbb after WCAG 2."""
    parts = np.array([int(colour[k : k + 2], 16) for k in (1, 3, 5)]) / 255
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def contrast(one: str, other: str) -> float:
    """Contrast of two colours after WCAG 2, from 1 to 21."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def over(colour: str, ground: str, share: float) -> str:
    """A colour of that opacity on a ground."""
    pairs = [(int(colour[k : k + 2], 16), int(ground[k : k + 2], 16)) for k in (1, 3, 5)]
    return "#" + "".join(f"{round(a * share + b * (1 - share)):02x}" for a, b in pairs)


def test_the_formula_of_contrast_knows_its_ends():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_series_and_text_stand_out_from_every_ground(scheme):
    shown = CONFIG[scheme]
    grounds = shown["backgroundColor"], shown["secondaryBackgroundColor"]
    series = [one.colour for one in (DEFAULT, FISHER, *OTHERS)] + [NEUTRAL, FAILED]
    for ground in grounds:
        assert min(contrast(one, ground) for one in series) >= 3
        ink = INKS[scheme]
        assert min(contrast(one, ground) for one in (ink.text, ink.quiet)) >= 4.5
        caption = over(shown["textColor"], ground, 0.6)  # what Streamlit makes of a caption
        assert contrast(caption, ground) >= 4.5


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_charts_have_the_colours_of_the_page(scheme):
    ink, shown = INKS[scheme], CONFIG[scheme]
    assert (ink.background, ink.text) == (shown["backgroundColor"], shown["textColor"])
    assert shown["chartCategoricalColors"] == [one.colour for one in (DEFAULT, FISHER, *OTHERS[:4])]
    made = template(scheme)
    assert made.layout.paper_bgcolor == made.layout.plot_bgcolor == ink.background
    assert made.layout.font.color == ink.text


def test_heads_differ_in_colour_and_main_ones_in_dash_and_lightness_too():
    looks = styles(["default", "fisher", "fisher", "default", "other", "other", "other", "other"])
    assert looks[:2] == (DEFAULT, FISHER)
    assert len({one.colour for one in looks}) == len(set(looks)) == 8
    assert len({one.dash for one in looks[:6]}) == 6
    assert DEFAULT.dash != FISHER.dash and DEFAULT.border != FISHER.border


def test_a_projector_gets_larger_letters_and_thicker_lines():
    near, far = template("light"), template("projector")
    assert far.layout.font.size >= 1.3 * near.layout.font.size
    assert far.data.scatter[0].line.width >= 1.5 * near.data.scatter[0].line.width


def test_a_chart_is_a_plotly_figure_with_its_sentence_and_its_table():
    x = np.arange(3.0)
    table = pd.DataFrame({"time (ps)": x})
    made = chart(
        [line("a", x, x, FISHER)], "A rising line", table, x="time (ps)", y=axis("E", (0, 2))
    )
    assert isinstance(made, go.Figure) and made.alt == "A rising line" and made.table is table
    assert (made.data[0].line.color, made.data[0].line.dash) == (FISHER.colour, FISHER.dash)
    assert made.layout.xaxis.title.text == "time (ps)" and made.layout.yaxis.range == (0, 2)
    guide(made, "here", x=1.0)
    assert made.layout.shapes[0].x0 == 1.0 and made.layout.annotations[0].text == "here"
    assert Chart().alt == "" and json.loads(made.to_json())["data"]


def test_panels_share_the_template():
    made = panels(2, 1, height=300, shared_xaxes=True)
    assert isinstance(made, Chart) and made.layout.height == 300
    assert made.layout.template.layout.font.size == template().layout.font.size
