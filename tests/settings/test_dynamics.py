"""What settings refuse."""

import dataclasses

import pytest

from fisherdash.errors import InputError
from fisherdash.md import MDSettings


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("replicas", 0, "replicas must be a whole number from 1 to 1000000, received 0"),
        ("steps", 2.5, "steps must be a whole number"),
        ("record_every", True, "record_every must be a whole number"),
        ("seed", -1, "seed must be a whole number from 0 to"),
        ("timestep", 0.0, "timestep must be from 1e-06 to 100 fs"),
        ("timestep", float("nan"), "timestep must be from 1e-06"),
        ("timestep", 5e-324, "timestep must be from 1e-06"),
        ("temperature", -3, "temperature must be above 0"),
        ("temperature", "hot", "received 'hot'"),
        ("precision", "float16", "precision must be one of 'float32', 'float64'"),
        ("start", "elsewhere", "start must be one of 'data', 'relaxed'"),
    ],
)
def test_nonsense_is_refused_with_what_was_received(field, value, message):
    with pytest.raises(InputError, match=message):
        dataclasses.replace(MDSettings(), **{field: value})


def test_there_and_back_through_json():
    settings = MDSettings(replicas=3, timestep=1, start="relaxed")
    assert MDSettings.from_json(settings.to_json()) == settings
    with pytest.raises(InputError, match="MD settings have the fields"):
        MDSettings.from_json({"steps": 5})


def test_where_a_run_settles_follows_from_equipartition():
    hot = MDSettings(temperature=1500.0)
    assert "near 1e+03 K" not in hot.settling(500.0) and "near 1000 K" in hot.settling(500.0)
    assert hot.settling(1500.0) == hot.settling(None) == ""
    relaxed = MDSettings(temperature=600.0, start="relaxed")
    assert "near 300 K" in relaxed.settling(None) == relaxed.settling(300.0)
