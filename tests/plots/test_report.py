"""What is taken away stands on its own: the page's numbers, nothing loaded from elsewhere."""

import dataclasses
import re
import xml.etree.ElementTree as ET

import pytest

from fisherdash.analysis import compare
from fisherdash.errors import InputError
from fisherdash.plots import report
from fisherdash.plots import report as tables
from fisherdash.plots.chart import DEFAULT, FISHER, chart, one_browser, picture
from fisherdash.workspace.headers import RunHeader
from tests.browser import chromium
from tests.plots.planted import trajectories
from tests.workspace.recorded import SETTINGS

NASTY = "</title><script>alert(1)</script>"


@pytest.fixture
def header():
    return RunHeader(
        title=NASTY,
        names=("a", "b"),
        roles=("default", "fisher"),
        atomic_numbers=(8, 1, 1),
        settings=SETTINGS,
        notes=("started <here>",),
    )


def test_the_report_has_the_numbers_and_the_commands_and_needs_nothing(header):
    traj = trajectories()
    text = report.html_report(header, traj, ("python -m fisherdash compare 'a run'",))
    assert text.count("plotly.js v") == 1 and text.count("Plotly.newPlot(") >= 2
    text = re.sub("<script.*?</script>", "", text, flags=re.S)  # Plotly.js and the charts' numbers
    found = compare(traj)
    assert "<td>H2O</td>" in text
    assert "4 of 5" in text and found.drift["b"].text(sign=True) in text
    assert found.sentence.split(":")[0] in text
    assert "python -m fisherdash compare &#x27;a run&#x27;" in text
    assert "started &lt;here&gt;" in text
    assert not re.search(r"(src|href|url\()\s*=?\s*[\"']?https?:", text)


def test_a_head_with_markup_for_a_name_stays_text(header):
    traj = dataclasses.replace(trajectories(), names=(NASTY, "b"))
    text = report.html_report(dataclasses.replace(header, names=(NASTY, "b")), traj, (NASTY,))
    assert NASTY not in text and "<script>alert" not in text


@chromium.needed
@pytest.mark.slow
def test_the_picture_draws_every_replica_and_the_same_run_gives_the_same_bytes(header):
    with one_browser():
        one, other = (report.run_picture(trajectories(), header.roles) for _ in range(2))
    assert one == other
    parts = list(ET.fromstring(one))
    assert [int(part.get("y")) for part in parts] == [0, 448]
    texts = {node.text for part in parts for node in part.iter()}
    lines = [
        (*re.search(r"stroke: rgb\((.*?)\).*stroke-width: ([\d.]+)px", node.get("style")).groups(),
         node.get("d"))
        for node in parts[0].iter() if node.get("class") == "js-line"
    ]  # fmt: skip
    heads = [
        ", ".join(str(int(c.colour[k : k + 2], 16)) for k in (1, 3, 5)) for c in (DEFAULT, FISHER)
    ]
    replicas = [colour for colour, width, _ in lines if width == "0.8"]
    assert sorted(replicas) == sorted(5 * heads), "a thin line for each of five replicas"
    drawn = {colour for colour, width, _ in lines if float(width)}
    assert drawn == {*heads, "127, 133, 142"}, "and the key of the thin lines, grey"
    survivors = [re.fullmatch(r"M[\d.]+,[\d.]+(?:[HV][\d.]+)*", d) for *_, d in lines if "H" in d]
    assert len(survivors) == 2 and all(survivors), "survivors are drawn in steps"
    levels = re.findall(r"V([\d.]+)", survivors[1][0])
    assert len({survivors[1][0].split(",")[1].partition("H")[0], *levels}) == 2
    assert {"time (ps)", "ΔE total (meV/atom)", "survivors", "kinetic temperature (K)"} <= texts


@chromium.needed
@pytest.mark.slow
def test_charts_stand_row_by_row_and_no_two_share_a_name():
    charts = [chart([{"type": "scatter", "y": [k, 1]}], "", height=100 + k) for k in range(3)]
    root = ET.fromstring(picture(charts, columns=2, width=600))
    places = [(part.get("x"), part.get("y"), part.get("height")) for part in root]
    assert places == [("0", "0", "100"), ("300", "0", "101"), ("0", "101", "102")]
    assert root.get("width") == "600" and root.get("height") == "203"
    names = [node.get("id") for node in root.iter() if node.get("id")]
    assert len(names) == len(set(names)) >= 3


def test_without_a_chromium_a_picture_is_refused_in_a_sentence(monkeypatch, header):
    monkeypatch.setattr("fisherdash.plots.chart.available", lambda: False)
    with pytest.raises(InputError, match="drawn by Chromium, and there is none"):
        report.run_picture(trajectories(), header.roles)


def test_the_table_for_other_programs_keeps_every_digit():
    found = compare(trajectories())
    table = tables.comparison_numbers(found).set_index("head")
    assert table.loc["b", "survivors"] == 4 and table.loc["b", "replicas"] == 5
    assert table.loc["a", "drift_meV_per_atom_per_ps"] == found.drift["a"].value
    # planted: 1 and 2 meV per atom in every frame of 10 fs
    assert table["drift_meV_per_atom_per_ps"].tolist() == pytest.approx([100.0, 200.0])
    shown = tables.comparison_table(found)
    assert shown["survivors"].tolist() == ["5 of 5", "4 of 5"]
