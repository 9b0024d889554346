"""A study's specification: what it means, and one sentence for everything it cannot mean."""

import tracemalloc
from pathlib import Path

import pytest

from fisherdash.errors import InputError
from fisherdash.study import read_spec

WHOLE = """
title = "Two networks"
sharpness = 0.05
together = 3
[[data]]
name = "ethanol"
file = "ethanol.npz"
valid = 20
test = 40
[[models]]
frames = [30, 60]
seed = [0, 1, 2]
features = 8
recipe = ["plain", "calm"]
epochs = 100
[recipe.calm]
average = 0.99
epochs_factor = 0.5
[heads.plain]
ridge = 0
[heads.force-free]
method = "laplacian"
[stability]
replicas = 4
[dynamics]
temperature = [300, 600]
timestep = [0.5, 1.0]
picoseconds = 2
frames = 50
"""


def test_every_combination_is_a_model(tmp_path: Path) -> None:
    spec = read_spec(WHOLE, tmp_path)
    assert len(spec.models) == 12
    assert {(m.frames, m.train.seed, m.recipe) for m in spec.models} == {
        (frames, seed, recipe)
        for frames in (30, 60)
        for seed in (0, 1, 2)
        for recipe in ("plain", "calm")
    }
    assert spec.data["ethanol"].file == (tmp_path / "ethanol.npz").resolve()
    assert spec.text == WHOLE and spec.sharpness == 0.05 and spec.together == 3


def test_a_recipe_changes_the_training_and_nothing_else(tmp_path: Path) -> None:
    spec = read_spec(WHOLE, tmp_path)
    plain, calm = (next(m for m in spec.models if m.recipe == r) for r in ("plain", "calm"))
    assert (calm.train.average, calm.train.epochs) == (0.99, 50)
    assert (plain.train.average, plain.train.epochs) == (0.0, 100)
    assert plain.config == calm.config and plain.train.learning_rate == calm.train.learning_rate


def test_runs_of_one_length_in_picoseconds(tmp_path: Path) -> None:
    runs = read_spec(WHOLE, tmp_path).dynamics
    assert [(r.temperature, r.timestep) for r in runs] == [
        (300.0, 0.5), (300.0, 1.0), (600.0, 0.5), (600.0, 1.0)
    ]  # fmt: skip
    assert all(r.steps * r.timestep == 2000 for r in runs)
    assert all(r.steps // r.record_every == 50 for r in runs)


def test_re_fits_have_the_defaults_of_solve_without_its_slow_test(tmp_path: Path) -> None:
    heads = read_spec(WHOLE, tmp_path).heads
    assert heads["plain"].ridge == 0 and heads["plain"].method == "forces"
    assert heads["force-free"].method == "laplacian" and heads["force-free"].ridge == "auto"
    assert not heads["plain"].test_boltzmann and heads["plain"].stability.replicas == 4


def changed(old: str, new: str) -> str:
    assert old in WHOLE
    return WHOLE.replace(old, new)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("title = ", "not TOML"),
        ("\x00", "not TOML"),
        ("a = " + "[" * 5000, "not TOML"),
        ("x" * 2_000_000, "at most 1000000 characters"),
        ("colour = 1", "the specification knows title, sharpness, together, data"),
        ("title = 'empty'", r"at least one \[\[data\]\]"),
        (changed("[[data]]", "[data]"), "two brackets"),
        (changed("[[models]]", "[models]"), "two brackets"),
        (changed("frames = [30, 60]\n", ""), '"frames"'),
        (changed("frames = [30, 60]", "frames = []"), "makes from 1 to 5000 models"),
        (changed("frames = [30, 60]", "frames = [0]"), "frames must be a whole number from 1"),
        (changed("seed = [0, 1, 2]", "seed = [[0]]"), "numbers or words"),
        (changed("seed = [0, 1, 2]", f"seed = {list(range(3000))}"), "from 1 to 5000 models"),
        (changed("features = 8", "features = 8.5"), "features must be a whole number"),
        (changed("features = 8", "feature = 8"), "received 'feature'"),
        (changed('["plain", "calm"]', '["wild"]'), "no recipe 'wild'; there are plain, calm"),
        (changed("epochs_factor = 0.5", "epochs_factor = -1"), "epochs_factor must be above 0"),
        (changed("average = 0.99", "average = 2"), "'calm': average must be from 0"),
        (changed("average = 0.99", "seed = 3"), "received 'seed'"),
        (changed("[heads.plain]", "[heads.default]"), "is the trained head itself"),
        (changed("ridge = 0", "ridge = 'best'"), r"\[heads.plain\]: ridge must be one of"),
        (
            changed("replicas = 4", "replicas = 1"),
            r"\[stability\]: replicas must be a whole number",
        ),
        (changed("[300, 600]", "[300, 300.0]"), None),
        (
            changed("[300, 600]", str(list(range(1, 30001)))).replace(
                "[0.5, 1.0]", str([n / 1e4 for n in range(1, 30001)])
            ),
            r"up to 100 different temperatures and time steps, received 30000 × 30000",
        ),
        (
            changed("[heads.plain]", "".join(f"[heads.h{n}]\n" for n in range(200)) + "[heads.p]"),
            "at most 100 re-fits",
        ),
        (changed("[300, 600]", "'hot'"), r"\[dynamics\]: temperature must be above 0"),
        (changed("picoseconds = 2", "picoseconds = 0"), "picoseconds must be above 0"),
        (
            changed("[0.5, 1.0]", "[0.0]"),
            "timestep must be from 1e-06 to 100 fs, received",
        ),
        # No number of steps: 1 ps divided by it is infinite.
        (changed("[0.5, 1.0]", "[1e-320]"), r"\[dynamics\]: timestep must be from 1e-06"),
        (
            changed("replicas = 4", "timestep = 1e-320"),
            r"\[stability\]: timestep must be from 1e-06",
        ),
        # A whole number of more digits than Python writes, so that no refusal could quote it.
        (changed("epochs = 100", "epochs = 0x1" + 5000 * "f"), "a number of more than 64 bits"),
        (
            changed("[0, 1, 2]", "[[{ x = 0o1" + 8000 * "7" + " }]]"),
            "a number of more than 64 bits",
        ),
        (changed("valid = 20", "valid = true"), "valid must be a whole number"),
        (changed('file = "ethanol.npz"', "file = 3"), "file must be text in quotes, received 3"),
        (changed('file = "ethanol.npz"', 'file = "a\\u0000b"'), "is not the name of a file"),
        (changed("sharpness = 0.05", "sharpness = 0"), "sharpness must be above 0"),
        (changed("[heads.plain]", "[heads.'=HYPERLINK(1)']"), "would be a formula"),
        (changed('name = "ethanol"', 'name = "+cmd|x!A"'), "is no name"),
        (changed("together = 3", "together = 0"), "together must be a whole number from 1"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_sentence(
    tmp_path: Path, text: str, said: str | None
) -> None:
    if said is None:  # the same temperature twice is one temperature
        assert len(read_spec(text, tmp_path).dynamics) == 2
        return
    with pytest.raises(InputError, match=said) as caught:
        read_spec(text, tmp_path)
    assert "\n" not in str(caught.value).strip() or "TOML" in said


@pytest.mark.parametrize("form", ["{} = 1", "[{}]", "[[{}]]", "x = {{ y = 1, {} = 2 }}"])
def test_a_name_of_thousands_of_parts_takes_no_memory(tmp_path: Path, form: str) -> None:
    tracemalloc.start()
    with pytest.raises(InputError, match="more than 20 dots"):
        read_spec(form.format(".".join("a" * 3000)), tmp_path)
    assert tracemalloc.get_traced_memory()[1] < 2_000_000
    tracemalloc.stop()


@pytest.mark.parametrize("file", ["../secret.npz", "/etc/passwd", "a/../../b.npz"])
def test_data_can_be_held_inside_a_folder(tmp_path: Path, file: str) -> None:
    home = tmp_path / "home"
    text = changed('file = "ethanol.npz"', f'file = "{file}"')
    with pytest.raises(InputError, match="outside of the folder of the data"):
        read_spec(text, home, inside=home)
    assert read_spec(WHOLE, home, inside=home).data["ethanol"].file.parent == home.resolve()
