"""A small smooth model with analytic derivatives, in NumPy: the other end needs nothing more.

    a_ik = b_k(z_i) + Σ_j s(z_j) exp(−r_ij² / w_k),    h_ik = tanh a_ik,    U₀ = c Σ_{i<j} r_ij²

The same as a potential in JAX is :class:`Inside`.
"""

import json
from pathlib import Path

import numpy as np

WIDTHS = np.array([0.8, 1.5, 3.0, 6.0])
ELEMENTS = (1, 6, 8)
SPRING = 0.004
THETA = np.array([0.8, -0.5, 0.3, 0.6])

ONES = [1.0] * 3

_rng = np.random.default_rng(5)
BIAS = np.zeros((119, len(WIDTHS)))
BIAS[list(ELEMENTS)] = _rng.normal(size=(3, len(WIDTHS))) / 2
STRENGTH = np.zeros(119)
STRENGTH[list(ELEMENTS)] = [0.4, 0.7, -0.6]
CONSTANTS = np.zeros(119)
CONSTANTS[list(ELEMENTS)] = [-13.0, -1030.0, -2040.0]


class Toy:
    """What ``worker.py`` asks of a model."""

    precision, parameters = "float64", 19
    share = 1.0

    def __init__(self, springs=True):
        self.theta, self.constants, self.springs = THETA.copy(), CONSTANTS, springs
        self.facts = {
            "library": "toy 1", "features": len(WIDTHS), "elements": list(ELEMENTS),
            "trained": list(ELEMENTS), "cutoff": 50.0, "readout": "sum over atoms",
            "fixed_terms": ["springs"] if springs else [], "energy_unit": "eV", "notes": [],
        }  # fmt: skip

    def per_atom(self, numbers, x):
        return self._named(np.tanh(self._inner(numbers, x)[0]), SPRING * self._squared(x) / 2)

    def pull(self, numbers, x, cotangents):
        a, slopes = self._inner(numbers, x)
        pairs = np.einsum("mik,mijk->mij", cotangents[0] / np.cosh(a) ** 2, slopes)
        gradient = self._along(pairs + pairs.swapaxes(1, 2), x)
        if self.springs:
            gradient += cotangents[1][:, None, None] * 2 * SPRING * self._centred(x)
        return {"x": gradient}

    def push(self, numbers, x, tangent):
        a, slopes = self._inner(numbers, x)
        change = np.sum(self._apart(x) * self._apart(tangent), axis=-1)
        h = np.einsum("mij,mijk->mik", change, slopes) / np.cosh(a) ** 2
        return self._named(h, 2 * SPRING * np.sum(self._centred(x) * tangent, axis=(1, 2)))

    def energy_and_forces(self, numbers, x, theta):
        theta = self.theta if theta is None else theta
        found = self.per_atom(numbers, x)
        energy = found["h"].sum(axis=1) @ theta + self.constants[numbers].sum()
        cotangents = [np.broadcast_to(theta, found["h"].shape), np.ones(len(x))]
        return {
            "energy": energy + found.get("fixed", 0.0),
            "forces": -self.pull(numbers, x, cotangents)["x"],
        }

    def seam(self):
        fields = {"layers": ["last"], "chosen": [[0, 1, 2, 3]], "column": 0}
        return fields | {"scale": ONES, "stretch": ONES, "types": list(ELEMENTS)}

    def attached(self, numbers, x, folder):
        """With a head that is linear in the features; a file of another answer is a library's."""
        with np.load(Path(folder) / "head.npz") as head:
            linear, row = head["linear"], head["row"]
        theta = self.theta + linear[row[np.searchsorted(ELEMENTS, numbers)]] * self.share
        cotangents = [np.broadcast_to(theta, (len(x), *theta.shape)), np.ones(len(x))]
        forces = -self.pull(numbers, x, cotangents)["x"]
        return {"energy": np.zeros(len(x)), "forces": forces}

    def _named(self, h, fixed):
        return {"h": h, "fixed": fixed} if self.springs else {"h": h}

    def _inner(self, numbers, x):
        """a, and 2 ∂a_i/∂(r_ij²) of each pair."""
        squared = np.sum(self._apart(x) ** 2, axis=-1)[..., None]
        near = STRENGTH[numbers][:, None] * np.exp(-squared / WIDTHS)
        near = near * ~np.eye(x.shape[1], dtype=bool)[..., None]
        return BIAS[numbers] + near.sum(axis=2), -2 / WIDTHS * near

    def _along(self, pairs, x):
        return np.sum(pairs[..., None] * self._apart(x), axis=2)

    def _apart(self, x):
        return x[:, :, None] - x[:, None]

    def write(self, theta, change, path):
        said = {"springs": self.springs, "theta": theta.tolist()}
        constants = (self.constants + change).tolist()
        Path(path).write_text(json.dumps(said | {"constants": constants}))

    def _squared(self, x):
        return np.sum(self._apart(x) ** 2, axis=(1, 2, 3))

    def _centred(self, x):
        return x.shape[1] * (x - x.mean(axis=1, keepdims=True))
