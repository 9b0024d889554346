"""What is taken away stands on its own: the page's numbers, nothing loaded, nothing that runs."""

import dataclasses
import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from fisherdash import viewer
from fisherdash.analysis import compare
from fisherdash.plots import report, svg
from fisherdash.plots import report as tables
from fisherdash.plots.figure import DEFAULT, FISHER
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
    found = compare(traj)
    assert "<td>H2O</td>" in text
    assert "4 of 5" in text and found.drift["b"].text(sign=True) in text
    assert found.sentence.split(":")[0] in text
    assert "python -m fisherdash compare &#x27;a run&#x27;" in text
    assert "<script" not in text and "started &lt;here&gt;" in text
    assert not re.search(r"(src|href|url\()\s*=?\s*[\"']?https?:", text)


def curves_of(picture):
    tree = ET.fromstring(picture)
    space = "{http://www.w3.org/2000/svg}"
    return [path for group in tree.iter(f"{space}g") for path in group.iter(f"{space}path")]


def test_the_picture_is_well_formed_and_draws_every_replica(header):
    paths = curves_of(report.run_picture(trajectories(), header.roles))
    # drift: 2 × 5 replicas and 2 medians; alive and temperature: 2 each
    assert len(paths) == 12 + 2 + 2
    colours = {path.get("stroke") for path in paths}
    assert colours == {DEFAULT.colour, FISHER.colour}


def test_the_picture_puts_a_value_where_its_axis_says():
    times = np.array([0.0, 1.0, 2.0])
    line = viewer.Line(0, -1, "a", DEFAULT, np.array([0.0, np.nan, 10.0]))
    chart = viewer.Chart("one", "what (eV)", "eV", 100, (line,), (0.0, 10.0))
    (path,) = curves_of(svg.picture(times, [chart], ["a"], end=float(times[-1]), width=290))
    # 200 pixels for 2 ps from x = 70, 100 for 10 eV from y = 34; the gap starts a new stroke
    assert path.get("d") == "M70.0 134.0M270.0 34.0"
    stepped = dataclasses.replace(
        chart, step=True, lines=(dataclasses.replace(line, values=np.array([0.0, 5.0, 10.0])),)
    )
    (path,) = curves_of(svg.picture(times, [stepped], ["a"], end=float(times[-1]), width=290))
    assert path.get("d") == "M70.0 134.0L170.0 134.0L170.0 84.0L270.0 84.0L270.0 34.0"


@pytest.mark.parametrize(("low", "high"), [(-0.6, 1.8), (0.0, 16.0), (3e-7, 9e-7), (600, 1400)])
def test_ticks_are_round_and_inside(low, high):
    found = svg.ticks(low, high, 5)
    assert 2 <= len(found) <= 8
    assert all(low <= value <= high for value in found)
    steps = np.diff(found)
    np.testing.assert_allclose(steps, steps[0], rtol=1e-6)
    assert float(f"{steps[0]:.1g}") == pytest.approx(steps[0], rel=1e-6)


def test_the_table_for_other_programs_keeps_every_digit():
    found = compare(trajectories())
    table = tables.comparison_numbers(found).set_index("head")
    assert table.loc["b", "survivors"] == 4 and table.loc["b", "replicas"] == 5
    assert table.loc["a", "drift_meV_per_atom_per_ps"] == found.drift["a"].value
    # planted: 1 and 2 meV per atom in every frame of 10 fs
    assert table["drift_meV_per_atom_per_ps"].tolist() == pytest.approx([100.0, 200.0])
    shown = tables.comparison_table(found)
    assert shown["alive"].tolist() == ["5 of 5", "4 of 5"]
