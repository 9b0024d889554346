"""Small files as SchNetPack saves its models, with random weights, and their energy by definition.

:func:`painn` describes a model for :func:`tests.potentials.torchfile.saved`; :func:`energy` has its
energy from the same description with NumPy, pair by pair, as the paper defines it.
"""

import numpy as np

from tests.potentials.torchfile import Fn, Obj, listed, module

SILU = Fn("torch.nn.functional.silu")
SOFTPLUS = Fn("schnetpack.nn.activations.shifted_softplus")
RADIAL = 6
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

    def common(self, width: int, cutoff: float, basis: str) -> dict[str, Obj]:
        """Embedding, radial functions and cutoff."""
        radial = {"freqs": np.arange(1, RADIAL + 1) * np.pi / cutoff}
        if basis == "gaussian":
            widths = np.full(RADIAL, cutoff / (RADIAL - 1))
            radial = {"offsets": np.linspace(0, cutoff, RADIAL), "widths": widths}
        radial = {name: value.astype(self.dtype) for name, value in radial.items()}
        name = {"gaussian": "GaussianRBF", "bessel": "BesselRBF"}[basis]
        table = {"weight": self.numbers(10, width)}
        return {
            "cutoff_fn": module("schnetpack.nn.cutoff.CosineCutoff",
                                buffers={"cutoff": np.array([cutoff], self.dtype)}),
            "radial_basis": module(f"schnetpack.nn.radial.{name}", buffers=radial, n_rbf=RADIAL),
            "embedding": module("torch.nn.modules.sparse.Embedding", table),
            "electronic_embeddings": listed(),
        }  # fmt: skip

    def output(self, width: int, hidden: tuple[int, ...], activation: Fn) -> list[Obj]:
        """The layers that make the energy of an atom."""
        sizes = (width, *hidden)
        layers = [self.dense(*pair, activation) for pair in zip(sizes, hidden, strict=False)]
        return [*layers, self.dense(sizes[-1], 1)]


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
    make = Maker(seed, dtype)

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
    parts = {
        **make.common(width, cutoff, basis),
        "filter_net": make.dense(RADIAL, filters),
        "interactions": listed(*messages),
        "mixing": listed(*mixings),
    }
    representation = module("schnetpack.representation.painn.PaiNN", parts=parts,
                            share_filters=shared_filters)  # fmt: skip
    return potential(representation, make.output(width, hidden, activation), offsets)


def schnet(
    *,
    width: int = 5,
    filters: int = 6,
    rounds: int = 2,
    hidden: tuple[int, ...] = (4,),
    basis: str = "gaussian",
    activation: Fn | None = None,
    cutoff: float = 3.0,
    seed: int = 0,
    dtype: str = "f8",
    offsets: dict | None = None,
) -> Obj:
    """A model of SchNetPack 2.1 with SchNet; its output has silu, so that has all of it here."""
    make, activation = Maker(seed, dtype), activation or SOFTPLUS

    def two(inputs: int, outputs: int) -> Obj:
        layers = make.dense(inputs, outputs, activation), make.dense(outputs, outputs)
        return listed(*layers, kind="Sequential")

    messages = [
        module("schnetpack.representation.schnet.SchNetInteraction", parts={
            "in2f": make.dense(width, filters, bias=False),
            "f2out": two(filters, width),
            "filter_network": two(RADIAL, filters),
        }) for _ in range(rounds)
    ]  # fmt: skip
    parts = {**make.common(width, cutoff, basis), "interactions": listed(*messages)}
    representation = module("schnetpack.representation.schnet.SchNet", parts=parts)
    return potential(representation, make.output(width, hidden, activation), offsets)


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

    def through(net: Obj, v: np.ndarray) -> np.ndarray:
        for layer in net.state["_modules"].values():
            v = dense(layer, v)
        return v

    radial = inside(net, "radial_basis").state["_buffers"]
    cutoff = float(inside(net, "cutoff_fn").state["_buffers"]["cutoff"][0])
    table = inside(net, "embedding").state["_parameters"]["weight"].astype(float)

    def phi(d: float) -> np.ndarray:
        if "freqs" in radial:
            return np.sin(radial["freqs"] * d) / d
        return np.exp(-((d - radial["offsets"]) ** 2) / (2 * radial["widths"] ** 2))

    pairs = [
        (i, j, (x[j] - x[i]) / d, phi(d), (1 + np.cos(np.pi * d / cutoff)) / 2)
        for i, j in np.ndindex(len(numbers), len(numbers))
        if i != j and (d := float(np.linalg.norm(x[j] - x[i]))) < cutoff
    ]
    q = [table[z] for z in numbers]
    of_kind = _painn if net.name.endswith("PaiNN") else _schnet
    q = of_kind(net, dense, through, pairs, q)
    outnet = inside(described, "output_modules", 0, "outnet")
    return sum(float(through(outnet, v)[0]) for v in q)


def _painn(net: Obj, dense, through, pairs, q: list[np.ndarray]) -> list[np.ndarray]:
    width = len(q[0])
    mu = [np.zeros((3, width)) for _ in q]
    rounds = zip(inside(net, "interactions").state["_modules"].values(),
                 inside(net, "mixing").state["_modules"].values(), strict=True)  # fmt: skip
    for n, (message, mixing) in enumerate(rounds):
        context = inside(message, "interatomic_context_net")
        sent = [np.split(through(context, v), 3) for v in q]
        dq, dmu = [np.zeros(width) for _ in q], [np.zeros((3, width)) for _ in q]
        first = 0 if net.state["share_filters"] else 3 * width * n
        for i, j, along, phi, near in pairs:
            w = dense(inside(net, "filter_net"), phi)[first : first + 3 * width] * near
            w = np.split(w, 3)
            dq[i] += w[0] * sent[j][0]
            dmu[i] += np.outer(along, w[1] * sent[j][1]) + w[2] * sent[j][2] * mu[j]
        for i in range(len(q)):
            q[i], mu[i] = q[i] + dq[i], mu[i] + dmu[i]
            vectors = inside(mixing, "mu_channel_mix").state["_parameters"]["weight"]
            v, w = np.split(mu[i] @ vectors.T, 2, axis=1)
            length = np.sqrt(np.sum(v * v, axis=0) + 1e-8)
            net_mix = inside(mixing, "intraatomic_context_net")
            a, b, c = np.split(through(net_mix, np.concatenate([q[i], length])), 3)
            q[i] = q[i] + a + c * np.sum(v * w, axis=0)
            mu[i] = mu[i] + b * w
    return q


def _schnet(net: Obj, dense, through, pairs, q: list[np.ndarray]) -> list[np.ndarray]:
    for message in inside(net, "interactions").state["_modules"].values():
        sent = [dense(inside(message, "in2f"), v) for v in q]
        arrived = [np.zeros_like(sent[0]) for _ in q]
        for i, j, _, phi, near in pairs:
            arrived[i] += through(inside(message, "filter_network"), phi) * near * sent[j]
        q = [v + through(inside(message, "f2out"), a) for v, a in zip(q, arrived, strict=True)]
    return q
