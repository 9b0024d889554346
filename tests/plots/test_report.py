"""What is taken away stands on its own: the page's numbers, nothing loaded from elsewhere."""

import dataclasses
import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from fisherdash.analysis import compare
from fisherdash.plots import report
from fisherdash.plots import report as tables
from fisherdash.plots.theme import DEFAULT, FISHER
from fisherdash.workspace.headers import RunHeader
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


def curves_of(picture):
    """The curves of each chart by its name: the attributes of their paths."""
    found, space = {}, "{http://www.w3.org/2000/svg}"
    for group in ET.fromstring(picture).iter(f"{space}g"):
        name = group.get("id", "").partition(" ")[0]
        if name in ("drift", "survivors", "temperature"):
            found.setdefault(name, []).extend(path.attrib for path in group.iter(f"{space}path"))
    return found


def test_the_picture_is_well_formed_and_draws_every_replica(header):
    found = curves_of(report.run_picture(trajectories(), header.roles))
    # drift: 2 × 5 replicas and 2 medians; survivors and temperature: 2 each
    assert {name: len(paths) for name, paths in found.items()} == {
        "drift": 12,
        "survivors": 2,
        "temperature": 2,
    }
    colours = {re.search("stroke: (#.{6})", one["style"])[1] for one in found["drift"]}
    assert colours == {DEFAULT.colour, FISHER.colour}


def test_survivors_are_drawn_in_steps_and_the_same_run_gives_the_same_bytes(header):
    one, other = (report.run_picture(trajectories(), header.roles) for _ in range(2))
    assert one == other
    points = re.findall(r"[\d.]+ [\d.]+", curves_of(one)["survivors"][1]["d"])
    x, y = np.array([point.split() for point in points], float).T
    assert np.all((np.diff(x) == 0) | (np.diff(y) == 0)) and len(set(y)) == 2


def test_the_table_for_other_programs_keeps_every_digit():
    found = compare(trajectories())
    table = tables.comparison_numbers(found).set_index("head")
    assert table.loc["b", "survivors"] == 4 and table.loc["b", "replicas"] == 5
    assert table.loc["a", "drift_meV_per_atom_per_ps"] == found.drift["a"].value
    # planted: 1 and 2 meV per atom in every frame of 10 fs
    assert table["drift_meV_per_atom_per_ps"].tolist() == pytest.approx([100.0, 200.0])
    shown = tables.comparison_table(found)
    assert shown["survivors"].tolist() == ["5 of 5", "4 of 5"]
