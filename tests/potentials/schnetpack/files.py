"""Small files as SchNetPack saves its models, with random weights, and their energy by definition.

:func:`painn` describes a model for :func:`tests.potentials.torchfile.saved`; :func:`energy` has its
energy from the same description with NumPy, pair by pair, as the paper defines it.
"""

import numpy as np

from tests.potentials.torchfile import Fn, Obj, listed, module

SILU = Fn("torch.nn.functional.silu")
SOFTPLUS = Fn("schnetpack.nn.activations.shifted_softplus")
IDENTITY = module("torch.nn.modules.linear.Identity")


class Maker:
    """Layers with random weights, of order one behind each layer."""

    def __init__(self, seed: int, dtype: str) -> None:
        self.rng, self.dtype = np.random.default_rng(seed), dtype

    def numbers(self, *shape: int, scale: float = 1.0) -> np.ndarray:
        return (scale * self.rng.normal(size=shape)).astype(self.dtype)

    def dense(self, inputs: int, outputs: int, activation=None, bias: bool = True) -> Obj:
        weight = self.numbers(outputs, inputs, scale=0.8 / np.sqrt(inputs))
        own = {"weight": weight, "bias": self.numbers(outputs, scale=0.3) if bias else None}
        if activation is None:
            return module("schnetpack.nn.base.Dense", own, parts={"activation": IDENTITY})
        return module("schnetpack.nn.base.Dense", own, activation=activation)


def painn(
    *,
    width: int = 5,
    rounds: int = 2,
    hidden: tuple[int, ...] = (4,),
    basis: str = "gaussian",
    shared_filters: bool = False,
    shared_rounds: bool = False,
    activation: Fn = SILU,
    cutoff: float = 3.0,
    seed: int = 0,
    dtype: str = "f8",
    offsets: dict | None = None,
) -> Obj:
    """A model of SchNetPack 2.1 with PaiNN."""
    make, k = Maker(seed, dtype), 6
    radial = {"freqs": np.arange(1, k + 1) * np.pi / cutoff}
    if basis == "gaussian":
        radial = {"offsets": np.linspace(0, cutoff, k), "widths": np.full(k, cutoff / (k - 1))}
    radial = {name: value.astype(dtype) for name, value in radial.items()}

    def message() -> Obj:
        net = listed(make.dense(width, width, activation), make.dense(width, 3 * width),
                     kind="Sequential")  # fmt: skip
        return module("schnetpack.representation.painn.PaiNNInteraction",
                      parts={"interatomic_context_net": net})  # fmt: skip

    def mixing() -> Obj:
        net = listed(make.dense(2 * width, width, activation), make.dense(width, 3 * width),
                     kind="Sequential")  # fmt: skip
        vectors = make.dense(width, 2 * width, bias=False)
        parts = {"intraatomic_context_net": net, "mu_channel_mix": vectors}
        return module("schnetpack.representation.painn.PaiNNMixing", parts=parts, epsilon=1e-8)

    filters = 3 * width * (1 if shared_filters else rounds)
    repeated = 1 if shared_rounds else rounds
    messages = [message() for _ in range(repeated)] * (rounds // repeated)
    mixings = [mixing() for _ in range(repeated)] * (rounds // repeated)
    name = {"gaussian": "GaussianRBF", "bessel": "BesselRBF"}[basis]
    parts = {
        "cutoff_fn": module("schnetpack.nn.cutoff.CosineCutoff",
                            buffers={"cutoff": np.array([cutoff], dtype)}),
        "radial_basis": module(f"schnetpack.nn.radial.{name}", buffers=radial, n_rbf=k),
        "embedding": module("torch.nn.modules.sparse.Embedding",
                            {"weight": make.numbers(10, width)}),
        "electronic_embeddings": listed(),
        "filter_net": make.dense(k, filters),
        "interactions": listed(*messages),
        "mixing": listed(*mixings),
    }  # fmt: skip
    representation = module("schnetpack.representation.painn.PaiNN", parts=parts,
                            share_filters=shared_filters)  # fmt: skip
    sizes = (width, *hidden)
    layers = [make.dense(*pair, activation) for pair in zip(sizes, hidden, strict=False)]
    return potential(representation, [*layers, make.dense(sizes[-1], 1)], offsets)


def potential(representation: Obj, layers: list[Obj], offsets: dict | None = None) -> Obj:
    """The model around a network: its output, its forces, and offsets of the energy."""
    atomwise = module("schnetpack.atomistic.atomwise.Atomwise", output_key="energy", n_out=1,
                      aggregation_mode="sum", parts={"outnet": listed(*layers, kind="Sequential")},
                      per_atom_output_key=None)  # fmt: skip
    forces = module("schnetpack.atomistic.response.Forces", energy_key="energy")
    after = [module("schnetpack.transform.casting.CastTo64")]
    if offsets:
        buffers = {"mean": np.array(offsets.get("mean", 0.0)),
                   "atomref": np.array(offsets.get("atomref", np.zeros(10)))}  # fmt: skip
        said = {"add_mean": "mean" in offsets, "add_atomrefs": "atomref" in offsets}
        after.append(module("schnetpack.transform.atomistic.AddOffsets", buffers=buffers,
                            _property="energy", is_extensive=True, **said))  # fmt: skip
    return module(
        "schnetpack.model.base.NeuralNetworkPotential",
        parts={
            "postprocessors": listed(*after),
            "representation": representation,
            "input_modules": listed(module("schnetpack.atomistic.distances.PairwiseDistances")),
            "output_modules": listed(atomwise, forces),
        },
        do_postprocessing=True,
    )


def inside(described: Obj, *path: object) -> Obj:
    """A part of a description, by the names on the way to it."""
    for name in path:
        described = described.state["_modules"][str(name)]
    return described


def changed(described: Obj, path: tuple, **attributes: object) -> Obj:
    """The description itself, with other attributes in one of its parts."""
    inside(described, *path).state.update(attributes)
    return described


def last_layer(described: Obj) -> Obj:
    """The layer whose weights are the head."""
    outnet = inside(described, "output_modules", 0, "outnet")
    return list(outnet.state["_modules"].values())[-1]


def energy(described: Obj, numbers: np.ndarray, x: np.ndarray) -> float:
    """The energy of one frame in the file's unit, without offsets, pair by pair."""
    net = inside(described, "representation")
    activations = {
        SILU: lambda v: v / (1 + np.exp(-v)),
        SOFTPLUS: lambda v: np.logaddexp(0, v) - np.log(2),
    }

    def dense(layer: Obj, v: np.ndarray) -> np.ndarray:
        own = layer.state["_parameters"]
        v = own["weight"].astype(float) @ v
        v = v if own["bias"] is None else v + own["bias"]
        return activations[layer.state["activation"]](v) if "activation" in layer.state else v

    def both(net: Obj, v: np.ndarray) -> list[np.ndarray]:
        for layer in net.state["_modules"].values():
            v = dense(layer, v)
        return np.split(v, 3)

    radial = inside(net, "radial_basis").state["_buffers"]
    cutoff = float(inside(net, "cutoff_fn").state["_buffers"]["cutoff"][0])
    table = inside(net, "embedding").state["_parameters"]["weight"].astype(float)
    atoms, width = len(numbers), table.shape[1]

    def filters(d: float, n: int) -> list[np.ndarray]:
        if "freqs" in radial:
            phi = np.sin(radial["freqs"] * d) / d
        else:
            phi = np.exp(-((d - radial["offsets"]) ** 2) / (2 * radial["widths"] ** 2))
        w = dense(inside(net, "filter_net"), phi) * (1 + np.cos(np.pi * d / cutoff)) / 2
        n = 0 if net.state["share_filters"] else n
        return np.split(w[3 * width * n : 3 * width * (n + 1)], 3)

    q = [table[z] for z in numbers]
    mu = [np.zeros((3, width)) for _ in numbers]
    rounds = zip(inside(net, "interactions").state["_modules"].values(),
                 inside(net, "mixing").state["_modules"].values(), strict=True)  # fmt: skip
    for n, (message, mixing) in enumerate(rounds):
        sent = [both(inside(message, "interatomic_context_net"), v) for v in q]
        dq, dmu = [np.zeros(width) for _ in q], [np.zeros((3, width)) for _ in q]
        for i in range(atoms):
            for j in range(atoms):
                r = x[j] - x[i]
                d = float(np.linalg.norm(r))
                if i != j and d < cutoff:
                    w = filters(d, n)
                    dq[i] += w[0] * sent[j][0]
                    dmu[i] += np.outer(r / d, w[1] * sent[j][1]) + w[2] * sent[j][2] * mu[j]
        for i in range(atoms):
            q[i], mu[i] = q[i] + dq[i], mu[i] + dmu[i]
            vectors = inside(mixing, "mu_channel_mix").state["_parameters"]["weight"]
            v, w = np.split(mu[i] @ vectors.T, 2, axis=1)
            length = np.sqrt(np.sum(v * v, axis=0) + 1e-8)
            net_mix = inside(mixing, "intraatomic_context_net")
            a, b, c = both(net_mix, np.concatenate([q[i], length]))
            q[i] = q[i] + a + c * np.sum(v * w, axis=0)
            mu[i] = mu[i] + b * w
    total = 0.0
    for v in q:
        for layer in inside(described, "output_modules", 0, "outnet").state["_modules"].values():
            v = dense(layer, v)
        total += float(v[0])
    return total
