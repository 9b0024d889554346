"""A head of any form on the library's own model, by the file that goes out with it."""

import dataclasses
import subprocess

import numpy as np
import pytest

from fisherdash import fisher
from fisherdash.__main__ import main
from fisherdash.dataset import Dataset, load
from fisherdash.errors import InputError
from fisherdash.potentials import checkpoint, native
from fisherdash.potentials.evaluate import predict
from fisherdash.potentials.head import HeadForm, rewritten
from fisherdash.potentials.worker import importing
from fisherdash.settings import Options
from tests.potentials.worker.conftest import BLANK, asked
from tests.randomised import ETHANOL, displaced_ethanol, random_checkpoint

IN_THEIR_CALCULATOR = """
import pickle, sys
import ase, numpy

folder, original = sys.argv[1:]
sys.path.insert(0, f"{folder}/head")
from fisherdash_head import attach

def calculator():
    if original:
        from mace.calculators import MACECalculator
        return MACECalculator(original, device="cpu", default_dtype="float64")
    from so3krates_torch.calculator.so3 import SO3LRCalculator
    return SO3LRCalculator(default_dtype="float64")

def results(calculator):
    found = []
    for positions in frame["positions"]:
        atoms = ase.Atoms(frame["numbers"], positions, calculator=calculator)
        found.append((atoms.get_potential_energy(), atoms.get_forces()))
    energies, forces = zip(*found)
    return numpy.array(energies), numpy.array(forces)

frame = numpy.load(f"{folder}/frames.npz")
before = calculator()
after = calculator()
assert attach(after.models[0], f"{folder}/head/head.npz") is after.models[0]
try:
    attach(after.models[0], f"{folder}/head/head.npz")
except ValueError as error:
    assert "has such a head" in str(error)
else:
    raise AssertionError("a head was put on twice")
energies, forces = results(after)
# What was attached goes with its model, and keeps its precision where the model loses its own.
after.models[0].float()
assert after.models[0].fisherdash_head.quadratic.dtype.itemsize == 8
after.models[0].double()
numpy.savez(f"{folder}/found.npz", energies=energies, forces=forces, before=results(before)[1])
if not original:
    frame = {"numbers": [1, 7], "positions": [[[0, 0, 0], [0, 0, 1]]]}
    try:
        results(after)
    except ValueError as error:
        assert "lack some of these elements" in str(error)
    else:
        raise AssertionError("an element without a head was taken")
"""
"""Their calculator with the head and without it, for some frames."""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("family", "form"),
    [
        ("mace", HeadForm("quadratic", (1, 6, 8))),
        ("so3lr", HeadForm("quadratic", (1, 6, 8), reduce=20)),
        ("so3lr", HeadForm("by element", (1, 6, 8))),
    ],
    ids=["mace, all products", "so3lr, reduced", "so3lr, by element"],
)
def test_the_librarys_calculator_has_the_forces_of_the_head(
    family, form, request, theirs, shared_models, shared_data, tmp_path
) -> None:
    start = request.getfixturevalue(family).checkpoint.by_element((1, 6, 8))
    data = load(shared_data / "rmd17_ethanol_train_01.npz", temperature=500.0)
    rng = np.random.default_rng(0)
    count = start.potential.num_features
    basis = np.linalg.qr(rng.normal(size=(count, form.reduce)))[0] if form.reduce else None
    head = rewritten(start.head, start.form, None, form, basis, count)
    head += 0.05 * np.std(start.head) * rng.normal(size=len(head))
    model = dataclasses.replace(start, form=form, head=head, head_basis=basis)
    assert native.write_torch_head(model, tmp_path / "head").force_difference <= 1e-8
    frames = data.subset(np.arange(900, 904))
    np.savez(tmp_path / "frames.npz", numbers=frames.atomic_numbers, positions=frames.positions)
    original = shared_models / "mace" / "ethanol_e14.model" if family == "mace" else ""
    words = [theirs, "-W", "ignore", "-c", IN_THEIR_CALCULATOR, tmp_path, original]
    subprocess.run(words, check=True)
    found = np.load(tmp_path / "found.npz")
    energies, forces = predict(model, frames)
    np.testing.assert_allclose(found["forces"], forces, rtol=0, atol=1e-7)
    np.testing.assert_allclose(found["energies"], energies, rtol=0, atol=1e-5)
    assert np.abs(found["before"] - forces).max() > 1e-3  # which are others without it


def test_what_has_no_such_head_is_refused(tmp_path, capsys) -> None:
    model = random_checkpoint()
    with pytest.raises(InputError, match="'random' is no model that a library of torch evaluates"):
        native.write_torch_head(model, tmp_path / "head")
    path = tmp_path / "model.safetensors"
    checkpoint.save(model, path)
    words = ["export", str(path), "--torch", "--out", str(tmp_path / "head")]
    assert main([*words, "--native", str(path)]) == 2
    assert "give --native or --torch" in capsys.readouterr().err
    assert main(words) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1 and not (tmp_path / "head").exists()


@pytest.mark.parametrize("answer", ["right", "wrong"])
def test_a_head_is_kept_only_if_the_library_has_its_forces(file, python, tmp_path, answer) -> None:
    start = importing.load(file(answer=answer), BLANK, asked(python), name="toy").checkpoint
    x = displaced_ethanol(60)
    forces = np.random.default_rng(2).normal(size=x.shape)
    data = Dataset(x, np.zeros(60), forces, ETHANOL, 500.0)
    options = Options(test_boltzmann=False, head="by element", metric="identity", ridge=1e-9)
    model, out = fisher.solve(start, data, options).checkpoint, tmp_path / "head"
    if answer == "wrong":
        with pytest.raises(InputError, match=r"head was not written: .* off by"):
            native.write_torch_head(model, out)
        assert not out.exists()
        return
    assert native.write_torch_head(model, out).force_difference <= 1e-10
    assert sorted(one.name for one in out.iterdir()) == ["fisherdash_head.py", "head.npz"]
    with np.load(out / "head.npz") as arrays:
        theta = start.head + arrays["linear"]
        assert arrays["row"].tolist() == [0, 1, 2] and arrays["quadratic"].shape == (3, 0, 0)
    np.testing.assert_allclose(theta.ravel(), model.head, rtol=1e-12)
