"""ANI: what surrounds an atom, as symmetry functions, and a network for each element.

J. S. Smith, O. Isayev, A. E. Roitberg, Chem. Sci. 8, 3192 (2017). With f(d) = (1 + cos(πd/r_c)) / 2
below a cutoff r_c and zero beyond, d the distances from atom i, and θ_jk = arccos(0.95 cos ∠jik):

    radial    Σ_{j of s}       ¼ exp(−η_R (d_ij − R_k)²) f_R(d_ij)
    angular   Σ_{j<k of s, t}  2 ((1 + cos(θ_jk − θ_l)) / 2)^ζ
                               exp(−η_A ((d_ij + d_ik)/2 − R_m)²) f_A(d_ij) f_A(d_ik)

for every element s, and every pair of elements s, t. All of them are the input of the network of
the element of i, whose layers have the activation CELU with α = 0.1. The features h are the input
of the last, linear layer; every element has its own, so that the head is one by element. Layers of
different widths are filled up with zeros, which changes nothing: CELU(0) = 0. Members of an
ensemble have the symmetry functions in common; their features stand side by side, and its energy,
the mean of theirs, is as linear in them.

A folder that NeuroChem wrote becomes a potential, its weights and its head, and takes another head
back. One trained network is a folder (``train0``) with

    inputtrain.ipt      names of the other files, and layers of the network of every element
    rHCNO-….params      constants of the symmetry functions
    sae_linfit.dat      energies of single atoms
    networks/ANN-X.nnf-lN.wparam, .bparam
                        weights (outputs × inputs) and biases of layer N of element X, as float32

An ensemble is several such folders in one, ``train0``, ``train1`` and so on, of the same layers and
constants. Its energy is their mean: the last layers stand side by side, divided by their number.
"""

import dataclasses
import itertools
import math
import re
from collections.abc import Mapping
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from ase.data import atomic_numbers
from jaxtyping import Array, Float

from fisherdash.errors import InputError
from fisherdash.potentials.head import HeadForm
from fisherdash.potentials.origin import Found
from fisherdash.potentials.potential import (
    EXACT,
    Parameters,
    PerAtom,
    WithoutNeighbours,
    as_shapes,
    cosine_cutoff,
    displacements,
)
from fisherdash.settings import MAX_ATOMIC_NUMBER, Settings, setting
from fisherdash.text import joined

ALPHA = 0.1
"""Of CELU."""
TRIPLE_NUMBERS = 400_000
"""Numbers of all triples of a block of frames that stay in a CPU's cache."""


@dataclasses.dataclass(frozen=True)
class Ani(WithoutNeighbours, Settings):
    """The networks of one configuration, a :class:`~fisherdash.potentials.potential.Potential`.

    Attributes:
        species: atomic numbers in the order of the symmetry functions.
        widths: of the layers before the last one, the widest of all elements.
        radial_cutoff, angular_cutoff: in Å.
        radial_eta, angular_eta: η in Å⁻².
        zeta: ζ, a whole number.
        radial_shifts, angular_shifts, angles: how many R_k, R_m and θ_l there are.
        members: networks of the ensemble.
    """

    species: tuple[int, ...] = (1, 6, 7, 8)
    widths: tuple[int, ...] = (160, 128, 96)
    radial_cutoff: float = setting(5.2, low=0.5, high=50)
    angular_cutoff: float = setting(3.5, low=0.5, high=50)
    radial_eta: float = setting(16.0, above=0, high=1e4)
    angular_eta: float = setting(8.0, above=0, high=1e4)
    zeta: int = setting(32, low=1, high=1024)
    radial_shifts: int = setting(16, low=1, high=256)
    angular_shifts: int = setting(4, low=1, high=64)
    angles: int = setting(8, low=1, high=64)
    members: int = setting(1, low=1, high=64)

    FIELDS: ClassVar[str] = "an ANI configuration has the fields"
    FLOATS: ClassVar[bool] = True
    family = "ani"

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, most, highest in (("species", 16, MAX_ATOMIC_NUMBER), ("widths", 8, 2048)):
            value = getattr(self, name)
            whole = isinstance(value, (list, tuple)) and 1 <= len(value) <= most
            if not whole or not all(type(n) is int and 1 <= n <= highest for n in value):
                raise InputError(
                    f"{name} must be up to {most} whole numbers from 1 to {highest}, received "
                    f"{value!r:.60}"
                )
            object.__setattr__(self, name, tuple(value))
        if len(set(self.species)) < len(self.species):
            raise InputError(f"species must be different elements, received {self.species}")

    @property
    def num_features(self) -> int:
        """Number of features F: the widest input of a last layer, of every member."""
        return self.members * self.widths[-1]

    @property
    def cutoff(self) -> float:
        """The larger of the two cutoffs, Å."""
        return max(self.radial_cutoff, self.angular_cutoff)

    @property
    def elements(self) -> tuple[int, ...]:
        """Elements that have a network."""
        return tuple(sorted(self.species))

    @property
    def inputs(self) -> int:
        """Number of symmetry functions."""
        s = len(self.species)
        angular = s * (s + 1) // 2 * self.angular_shifts * self.angles
        return s * self.radial_shifts + angular

    def shapes(self) -> Parameters:
        """Shapes of the weights, (members · species, inputs, outputs), and of the shifts."""
        count, sizes = self.members * len(self.species), (self.inputs, *self.widths)
        shapes = {
            f"layer_{n}": {"weight": (count, *pair), "bias": (count, pair[1])}
            for n, pair in enumerate(itertools.pairwise(sizes))
        }
        shapes["symmetry"] = {
            "radial_shifts": (self.radial_shifts,),
            "angular_shifts": (self.angular_shifts,),
            "angles": (self.angles,),
        }
        return as_shapes(shapes)

    def per_atom(self, params: Parameters, atomic_numbers: Array, positions: Array) -> PerAtom:
        """h of every atom; there is no fixed part."""
        of = jnp.asarray(self.species)[None] == atomic_numbers[:, None]
        species = jnp.argmax(of, axis=1)
        x = self._symmetry(params["symmetry"], of, positions, params["layer_0"]["weight"].dtype)
        members = range(0, self.members * len(self.species), len(self.species))
        h = [self._layers(params, first + species, x) for first in members]
        return PerAtom(jnp.concatenate(h, -1))

    def _layers(
        self, params: Parameters, networks: Array, x: Float[Array, "frames atoms inputs"]
    ) -> Float[Array, "frames atoms width"]:
        """h of one member; ``networks`` (atoms,) says which layers are whose."""
        for n in range(len(self.widths)):
            layer = params[f"layer_{n}"]
            weight, bias = layer["weight"][networks], layer["bias"][networks]
            x = jax.nn.celu(jnp.einsum("nai,aio->nao", x, weight, precision=EXACT) + bias, ALPHA)
        return x

    def _symmetry(
        self, shifts: Any, of: Array, positions: Array, dtype: Any
    ) -> Float[Array, "frames atoms inputs"]:
        """All symmetry functions; ``of`` (atoms, species) says which atom is of which element."""
        frames, atoms = positions.shape[:2]
        r, d = displacements(positions, self.cutoff, dtype)
        radial = jnp.exp(-self.radial_eta * (d[..., None] - shifts["radial_shifts"]) ** 2)
        radial = 0.25 * radial * cosine_cutoff(d, self.radial_cutoff)[..., None]
        members = of.astype(dtype)
        radial = jnp.einsum("nijk,js->nisk", radial, members, precision=EXACT)
        found = [radial.reshape(frames, atoms, -1)]
        if atoms > 2:
            found.append(self._angular(shifts, members, r, d))
        else:
            s = len(self.species)
            size = s * (s + 1) // 2 * self.angular_shifts * self.angles
            found.append(jnp.zeros((frames, atoms, size), dtype))
        return jnp.concatenate(found, axis=-1)

    def _angular(self, shifts: Any, members: Array, r: Array, d: Array) -> Array:
        frames, atoms = d.shape[:2]
        first, second = np.triu_indices(atoms, 1)  # every pair of other atoms once
        near = cosine_cutoff(d, self.angular_cutoff)
        weight = 2 * near[..., first] * near[..., second]
        unit = r / d[..., None]
        cosine = 0.95 * jnp.sum(unit[:, :, first] * unit[:, :, second], axis=-1)
        sine = jnp.sqrt(1 - cosine * cosine)  # of angles from 0 to π
        angles = shifts["angles"]
        turned = cosine[..., None] * jnp.cos(angles) + sine[..., None] * jnp.sin(angles)
        bent = (0.5 * (1 + turned)) ** self.zeta
        middle = 0.5 * (d[..., first] + d[..., second])
        away = jnp.exp(-self.angular_eta * (middle[..., None] - shifts["angular_shifts"]) ** 2)
        terms = (weight[..., None] * away)[..., :, None] * bent[..., None, :]
        terms = terms.reshape(*terms.shape[:3], -1)
        s, t = np.triu_indices(len(self.species))
        one, other = members[first], members[second]
        kinds = jnp.where(
            s == t, one[:, s] * other[:, t], one[:, s] * other[:, t] + one[:, t] * other[:, s]
        )
        found = jnp.einsum("nipk,pt->nitk", terms, kinds, precision=EXACT)
        return found.reshape(frames, atoms, -1)

    @property
    def numbers_of_a_triple(self) -> int:
        """Angular terms of an atom and two others."""
        return self.angular_shifts * self.angles

    def frames_per_block(self, atoms: int) -> int:
        """As many as keep the terms of all triples in the cache."""
        triples = max(1, atoms * atoms * (atoms - 1) // 2)
        return max(1, TRIPLE_NUMBERS // (triples * self.numbers_of_a_triple))


MAIN = "inputtrain.ipt"
LONGEST_TEXT = 20_000
"""Bytes, so that a search in it ends soon whatever it holds; they have some thousand."""
FILLED = 4
"""Times the numbers of its files that a network of more than a few may have."""
LITTLE = 1_000_000
_CELU, _LINEAR = "9", "6"
"""NeuroChem's numbers of activations."""
_ONE = ("Rcr", "Rca", "EtaR", "Zeta", "EtaA")
_SEVERAL = ("ShfR", "ShfZ", "ShfA")
Layers = dict[str, list[int]]


def read(files: Mapping[str, bytes], source: str) -> Found:
    """The potential; InputError, with the reason, for what is not supported.

    Args:
        files: content of the files by their names within the folder, "networks/…" included, or
            "train0/networks/…" of an ensemble.
        source: what the folder is called, for sentences.
    """
    networks = folders(files, source)
    found = [_one(inside, f"{source}/{name}" if name else source) for name, inside in networks]
    first = found[0]
    for (name, _), other in zip(networks[1:], found[1:], strict=True):
        if other.potential != first.potential or not _same_shifts(other, first):
            raise InputError(
                f"{source} is no ensemble: layers or symmetry functions of {networks[0][0]} and "
                f"{name} differ; give one of the folders"
            )
    if len(found) == 1:
        return first
    assert isinstance(first.potential, Ani)
    body: Parameters = {
        name: {part: np.concatenate([other.body[name][part] for other in found]) for part in layer}
        for name, layer in first.body.items()
        if name != "symmetry"
    }
    rows = [other.head.reshape(len(first.potential.elements), -1) for other in found]
    return dataclasses.replace(
        first,
        potential=dataclasses.replace(first.potential, members=len(found)),
        body=body | {"symmetry": first.body["symmetry"]},
        head=np.concatenate(rows, axis=1).ravel() / len(found),
        element_bias=np.mean([other.element_bias for other in found], axis=0),
        parameters=sum(other.parameters for other in found),
        readout=f"mean of {len(found)} networks, each a {first.readout}",
    )


def folders(files: Mapping[str, bytes], source: str) -> list[tuple[str, dict[str, bytes]]]:
    """Names of the folders of networks and their files, one of the name "" if it is the whole.

    The folder of an ensemble may itself have a main file, without networks.
    """
    inside = {name.rpartition(MAIN)[0] for name in files if name.rpartition("/")[2] == MAIN}
    whole = {one for one in inside if any(name.startswith(f"{one}networks/") for name in files)}
    if len({one.rstrip("/").rpartition("/")[0] for one in whole}) > 1:
        raise InputError(
            f"{source} holds networks in several places, {joined(sorted(whole)[:4])}; give the "
            "folder of one ensemble"
        )
    found = []
    for one in sorted(whole, key=lambda name: (len(name), name)) or [""]:  # train2, then train10
        data = {name[len(one) :]: data for name, data in files.items() if name.startswith(one)}
        found.append((one.rstrip("/"), data))
    return found


def _same_shifts(one: Found, other: Found) -> bool:
    first, second = one.body["symmetry"], other.body["symmetry"]
    return all(np.array_equal(first[name], second[name]) for name in first)


def _one(files: Mapping[str, bytes], source: str) -> Found:
    """One network."""
    main, layers = _text(files, MAIN, source), layers_of(files, source)
    constants = _constants(_text(files, _named(main, "sflparamsfile"), source), source)
    symbols = constants.pop("Atyp")
    if set(symbols) != set(layers):
        raise InputError(
            f"{source} has symmetry functions for {', '.join(symbols)} and networks for "
            f"{', '.join(layers)}"
        )
    widths = tuple(max(layers[one][n] for one in symbols) for n in range(_depth(layers, source)))
    potential = Ani(
        species=tuple(atomic_numbers[one] for one in symbols),
        widths=widths,
        radial_cutoff=constants["Rcr"][0],
        angular_cutoff=constants["Rca"][0],
        radial_eta=constants["EtaR"][0],
        angular_eta=constants["EtaA"][0],
        zeta=_whole(constants["Zeta"][0], source),
        radial_shifts=len(constants["ShfR"]),
        angular_shifts=len(constants["ShfA"]),
        angles=len(constants["ShfZ"]),
    )
    _check_filling(potential, layers, source)
    body, last, biases, parameters = _weights(files, potential, symbols, layers, source)
    body["symmetry"] = {
        name: np.array(constants[short], np.float32)
        for name, short in (
            ("radial_shifts", "ShfR"), ("angular_shifts", "ShfA"), ("angles", "ShfZ")
        )
    }  # fmt: skip
    bias = np.zeros(MAX_ATOMIC_NUMBER + 1)
    atoms = _atom_energies(_text(files, energies_file(files, source), source), symbols, source)
    order = np.argsort(potential.species)
    for one, z, constant in zip(symbols, potential.species, biases, strict=True):
        bias[z] = atoms[one] + constant
    said = ", ".join(f"{one} {' → '.join(map(str, layers[one]))} → 1" for one in symbols)
    return Found(
        library="ANI (NeuroChem)",
        potential=potential,
        body=body,
        head=last[order].astype(np.float64).ravel(),
        form=HeadForm("by element", potential.elements),
        element_bias=bias,
        elements=potential.elements,
        parameters=parameters,
        precision="float32",
        readout=f"sum over atoms of a network for each element ({said}), linear at its end",
        hint="ANI models: hartree",
    )


def _check_filling(potential: Ani, layers: Layers, source: str) -> None:
    """InputError where layers filled up to the widest take far more numbers than the files hold."""
    filled = sum(math.prod(one.shape) for one in jax.tree.leaves(potential.shapes()))
    held = sum(
        inputs * outputs
        for widths in layers.values()
        for inputs, outputs in itertools.pairwise((potential.inputs, *widths))
    )
    if filled > max(FILLED * held, LITTLE):
        raise InputError(
            f"the networks of {source} are of so different widths that the {held} numbers of their "
            f"layers would become {filled}; at most {FILLED} times as many are made"
        )


def layers_of(files: Mapping[str, bytes], source: str) -> Layers:
    """Symbol → widths of the layers before the last one; InputError for what is not read."""
    main = _text(files, MAIN, source)
    found: Layers = {}
    for symbol, inside in re.findall(r"atom_net\s+([A-Z][a-z]?)\s*\$(.*?)\$", main, re.S):
        sizes: list[tuple[int, str]] = []
        for layer in re.findall(r"layer\s*\[(.*?)\]", inside, re.S):
            pairs = (part.partition("=") for part in layer.split(";"))
            said = {key.strip(): value.strip() for key, _, value in pairs}
            nodes = said.get("nodes", "")
            if not re.fullmatch(r"[0-9]{1,6}", nodes) or said.get("type", "0") != "0":
                raise InputError(f"{source} has a layer of {symbol} that is not read: {said}")
            sizes.append((int(nodes), said.get("activation", "")))
        hidden = [activation for _, activation in sizes[:-1]]
        if len(sizes) < 2 or sizes[-1] != (1, _LINEAR) or set(hidden) != {_CELU}:
            raise InputError(
                f"the network of {symbol} in {source} has the layers (nodes, activation) "
                f"{sizes[:8]}; layers of CELU (9) are read that end in one linear output (6)"
            )
        found[symbol] = [size for size, _ in sizes[:-1]]
    if not found or any(one not in atomic_numbers for one in found):
        raise InputError(f"{source} describes no networks of elements")
    return found


def energies_file(files: Mapping[str, bytes], source: str) -> str:
    """Name of the file with the energies of single atoms."""
    return _named(_text(files, MAIN, source), "atomEnergyFile")


def _text(files: Mapping[str, bytes], name: str, source: str) -> str:
    if name not in files:
        raise InputError(f"{source} has no file {name[:100]!r}, which a folder of NeuroChem has")
    if len(files[name]) > LONGEST_TEXT:
        raise InputError(
            f"{name[:100]!r} of {source} has {len(files[name])} bytes; at most {LONGEST_TEXT} are "
            "read"
        )
    return files[name].decode("utf-8", "replace")


def _named(main: str, key: str) -> str:
    """The file that the main one names, by the last part of its name: it is in the folder."""
    found = re.search(rf"^{key}=([^\s!]+)", main, re.M)
    return found.group(1).rpartition("/")[2] if found else key


def _depth(layers: Layers, source: str) -> int:
    depths = {len(one) for one in layers.values()}
    if len(depths) != 1:
        raise InputError(f"the networks of {source} have different numbers of layers, {depths}")
    return depths.pop()


def _constants(text: str, source: str) -> dict[str, list]:
    """Numbers by their names, and the symbols of ``Atyp``."""
    found: dict[str, list] = {}
    for line in text.splitlines():
        name, _, value = (part.strip() for part in line.partition("="))
        words = value.strip("[]").split(",")
        if name == "Atyp":
            found[name] = [word.strip() for word in words]
        elif name in (*_ONE, *_SEVERAL):
            found[name] = [_number(word, source) for word in words]
    counts = {name: len(found.get(name, [])) for name in (*_ONE, *_SEVERAL, "Atyp")}
    if any(counts[name] != 1 for name in _ONE) or not all(counts.values()):
        raise InputError(
            f"the symmetry functions of {source} have these numbers of constants: {counts}; one of "
            f"{', '.join(_ONE)} and some of the others are read"
        )
    return found


def _number(word: str, source: str) -> float:
    try:
        value = float(word)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InputError(f"{source} has {word[:40]!r} in place of a number")
    return value


def _whole(value: float, source: str) -> int:
    if value != round(value):
        raise InputError(f"the exponent ζ of {source} is {value}; whole numbers are read")
    return round(value)


def _atom_energies(text: str, symbols: list[str], source: str) -> dict[str, float]:
    found = re.findall(r"^([A-Z][a-z]?)\s*,\s*\d+\s*=\s*(\S+)", text, re.M)
    energies = {symbol: _number(value, source) for symbol, value in found}
    missing = [one for one in symbols if one not in energies]
    if missing:
        raise InputError(f"{source} has no energy of the single atoms {', '.join(missing)}")
    return energies


def _weights(
    files: Mapping[str, bytes], potential: Ani, symbols: list[str], layers: Layers, source: str
) -> tuple[Parameters, np.ndarray, np.ndarray, int]:
    """Layers filled up to the widest, weights and biases of the last ones, and their number."""
    count, depth = len(symbols), len(potential.widths)
    body: Parameters = {
        name: {part: np.zeros(shape.shape, np.float32) for part, shape in inner.items()}
        for name, inner in potential.shapes().items()
    }
    last = np.zeros((count, potential.num_features), np.float32)
    biases = np.zeros(count)
    parameters = 0
    for s, symbol in enumerate(symbols):
        sizes = [potential.inputs, *layers[symbol], 1]
        for n in range(depth + 1):
            stem = f"networks/ANN-{symbol}.nnf-l{n + 1}"
            inputs, outputs = sizes[n], sizes[n + 1]
            weight = _floats(files, f"{stem}.wparam", inputs * outputs, source)
            bias = _floats(files, f"{stem}.bparam", outputs, source)
            weight = weight.reshape(outputs, inputs).T
            parameters += weight.size + bias.size
            if n < depth:
                body[f"layer_{n}"]["weight"][s, :inputs, :outputs] = weight
                body[f"layer_{n}"]["bias"][s, :outputs] = bias
            else:
                last[s, :inputs], biases[s] = weight[:, 0], float(bias[0])
    return body, last, biases, parameters


def _floats(
    files: Mapping[str, bytes], name: str, count: int, source: str
) -> Float[np.ndarray, " n"]:
    data = files.get(name, b"")
    if len(data) != 4 * count:
        raise InputError(
            f"{name[:100]!r} of {source} has {len(data)} bytes; {count} numbers take {4 * count}"
        )
    values = np.frombuffer(data, "<f4")
    if not np.isfinite(values).all():
        raise InputError(f"the numbers in {name[:100]!r} of {source} are not all finite")
    return values


def with_head(
    files: Mapping[str, bytes],
    source: str,
    potential: Ani,
    head: Float[np.ndarray, " weights"],
    change: Float[np.ndarray, " elements"],
) -> dict[str, bytes]:
    """The files with another last layer of every element, and other constants of the energy.

    Args:
        files: content of the folder's files by their names in it.
        source: what the folder is called, for sentences.
        potential: of the folder.
        head: θ of every element, in the order of their atomic numbers, in the folder's unit.
        change: what is added to the constants by atomic number, in the folder's unit.
    """
    found = dict(files)
    networks = folders(files, source)
    rows = head.reshape(len(potential.elements), len(networks), -1) * len(networks)
    for n, (folder, inside) in enumerate(networks):
        new = _network(inside, source, potential, rows[:, n], change)
        found |= {f"{folder}/{name}" if folder else name: data for name, data in new.items()}
    return found


def _network(
    files: Mapping[str, bytes],
    source: str,
    potential: Ani,
    rows: Float[np.ndarray, "elements width"],
    change: Float[np.ndarray, " elements"],
) -> dict[str, bytes]:
    """The files of one network that change."""
    layers, found = layers_of(files, source), {}
    for symbol in layers:
        z = atomic_numbers[symbol]
        stem = f"networks/ANN-{symbol}.nnf-l{len(layers[symbol]) + 1}"
        weights = rows[potential.elements.index(z), : layers[symbol][-1]]
        found[f"{stem}.wparam"] = weights.astype("<f4").tobytes()
    # Constants of some thousand eV go where they are written with all digits.
    name = energies_file(files, source)

    def moved(line: re.Match[str]) -> str:
        """A line with the energy of a single atom, changed."""
        energy = float(line[3]) + float(change[atomic_numbers[line[1]]])
        return f"{line[1]}{line[2]}{energy!r}"

    text = files[name].decode("utf-8", "replace")
    found[name] = re.sub(r"(?m)^([A-Z][a-z]?)(\s*,\s*\d+\s*=\s*)(\S+)", moved, text).encode()
    return found
