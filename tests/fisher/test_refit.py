"""The shipped ethanol set and its trained model: the temperature, and the fit without forces."""

from pathlib import Path

import pytest

from fisherdash import dataset, fisher
from fisherdash.potentials import checkpoint


@pytest.mark.validate
def test_the_shipped_sample_shows_its_temperature_and_gives_the_head_without_forces(
    root: Path,
) -> None:
    samples = root / "sample_models"
    model = checkpoint.load(samples / "ethanol-report.safetensors")
    data = dataset.load(samples / "ethanol_500K.npz")
    explicit = fisher.solve(model, data)
    implicit = fisher.solve(model, data, fisher.Options(method="laplacian"))
    test = explicit.boltzmann
    assert test is not None and test.consistent
    print(test.verdict)
    print(f"forces {explicit.force_rmse}, Laplacians {implicit.force_rmse} eV/Å")
    assert abs(test.temperature - 500.0) < 2 * test.stderr < 30.0
    assert implicit.force_rmse["fisher"] < 1.15 * explicit.force_rmse["fisher"]
