"""Benchmarks: each one runs its peer in the same process (or back to back), on the same input.

``fisherdash bench`` runs them and prints one key a benchmark. The peers are what the public E3x
tutorial and the published report do: E3x's own modules, ASE's integrator, a plain training step.
Every benchmark is a function without arguments that returns a :class:`Result`.
"""

from collections.abc import Callable
from importlib import import_module

from fisherdash.bench.inputs import Result

_PLACES = {
    "forces_batch64": "network.batch64",
    "forces_single": "network.single",
    "forces_large": "network.large",
    "train_step": "network.train_step",
    "solve_forces": "network.solve_forces",
    "solve_laplacian": "network.solve_laplacian",
    "solve_quadratic": "network.solve_quadratic",
    "nve_ase": "dynamics.nve_ase",
    "nve_jax_md": "dynamics.nve_jax_md",
    "nve_overhead": "dynamics.nve_overhead",
    "nve_quadratic": "dynamics.nve_quadratic",
    "warm_start": "network.warm_start",
    "matrix_product": "inputs.matrix_product",
}

WANTED = {
    "forces_batch64": 6.0,
    "forces_single": 4.0,
    "train_step": 4.0,
    "nve_ase": 10.0,
    "nve_jax_md": 4.0,
    "nve_overhead": 1.03,
    "nve_quadratic": 1.10,
    "solve_quadratic": 8.0,
    "warm_start": 5.0,
}
"""Ratios to be reached on two CPU cores: at most where the ratio is that of times (the overhead and
the quadratic head), at least the others."""

NAMES = tuple(_PLACES)
"""The benchmarks, in the order in which they run."""


def benchmark(name: str) -> Callable[[], Result]:
    """The benchmark of this name; KeyError for a name that is not among NAMES."""
    module, function = _PLACES[name].split(".")
    return getattr(import_module(f"fisherdash.bench.{module}"), function)
