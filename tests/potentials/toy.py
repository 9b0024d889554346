"""A small smooth potential of random weights: nothing in common with the network but the seam."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from fisherdash.potentials.head import SHARED, HeadForm
from fisherdash.potentials.potential import PerAtom

FEATURES = 5
BASIS = np.linalg.qr(np.random.default_rng(1).normal(size=(FEATURES, 3)))[0]
FORMS = {
    "shared": (SHARED, None),
    "by element": (HeadForm("by element", (1, 6, 8)), None),
    "quadratic": (HeadForm("quadratic", (1, 6, 8)), None),
    "reduced": (HeadForm("quadratic", (1, 6, 8), 3), BASIS),
}


@dataclasses.dataclass(frozen=True)
class Toy:
    """Two rounds of messages with Gaussians of the distance; springs as a fixed part on demand."""

    num_features: int = 5
    springs: bool = False
    family = "toy"
    cutoff = 50.0
    elements = (1, 6, 8)
    precisions = ("float32", "float64")
    taylor: bool = True

    def to_json(self):
        return dataclasses.asdict(self)

    def shapes(self):
        size = self.num_features
        shapes = {"embedding": (9, size), "first": (3, size, size), "second": (3, size, size)}
        return {name: jax.ShapeDtypeStruct(shape, jnp.float32) for name, shape in shapes.items()}

    def init(self, seed):
        rng = np.random.default_rng(seed)
        return {name: rng.normal(size=leaf.shape) / 3 for name, leaf in self.shapes().items()}

    def features(self, params, atomic_numbers, positions, *, neighbours=None, forward_mode=False):
        del neighbours, forward_mode
        x = positions.astype(params["embedding"].dtype)
        squared = jnp.sum((x[:, :, None] - x[:, None]) ** 2, axis=-1)
        others = 1 - jnp.eye(x.shape[1], dtype=x.dtype)
        near = jnp.stack([jnp.exp(-squared / width) * others for width in (1.0, 2.0, 4.0)])
        h = jnp.broadcast_to(params["embedding"][jnp.asarray(atomic_numbers)], (*x.shape[:2], 5))
        for name in ("first", "second"):
            h = jnp.tanh(h + jnp.einsum("knij,njf,kfg->nig", near, h, params[name]))
        if not self.springs:
            return PerAtom(h)
        return PerAtom(h, 0.005 * jnp.sum(squared, axis=(1, 2)) + h[:, 0, 0])

    def with_neighbours(self, evaluate, positions):
        return evaluate(positions, None)

    def frames_per_block(self, atoms):
        return 300 // atoms
