"""Models of other libraries, each as what ``worker.py`` asks of one.

With h_i the features of atom i, the input of the last linear layers one behind the other, and θ
their weights, the library's energy is

    U(x) = U₀(x) + θ·Σ_i h_i + Σ_i c_z(i),

U₀ what no last layer changes (repulsion, charges, dispersion) and c_z constants of the elements.
Everything is in double precision, in the library's units.
"""

# It runs in Python 3.9 and newer, and imports the library by name, once it is known which one.
from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import io
import os
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

_NUMBERS = 119


class Refusal(Exception):
    """What is told as one sentence: the model or the request cannot be used."""


class TorchModel:
    """A model of torch: derivatives of what :meth:`evaluate` computes, by automatic reverse mode.

    The graph of the last frames is kept: values, the derivative pulled back and many derivatives
    pushed forward at one geometry take one evaluation.

    Attributes:
        facts: what ``hello`` answers, JSON-able.
        theta: θ, (features,).
        constants: c by atomic number, (119,).
        layer, scales: where there is one last layer, it and what its output is multiplied by, by
            atomic number.
    """

    package = ""
    facts: dict
    theta: np.ndarray
    constants: np.ndarray
    layer: Any
    scales: np.ndarray

    def __init__(self, data: bytes, options: dict) -> None:
        self.torch = torch = importlib.import_module("torch")
        importlib.import_module(self.package)
        torch.set_default_dtype(torch.float64)
        if "OMP_NUM_THREADS" not in os.environ:
            # A molecule is small: two threads that wait for each other on a busy machine took
            # fifteen times as long as one.
            torch.set_num_threads(1)
        self.options = options
        self.data = data
        self.model = self._load()
        if not isinstance(self.model, torch.nn.Module):
            raise Refusal(
                f"holds a {type(self.model).__name__} and no model: weights without their model, "
                "or the state of a training; give the file that holds the model itself"
            )
        if isinstance(self.model, torch.jit.ScriptModule):
            raise Refusal("holds a compiled model, whose last layer cannot be seen")
        self.precision = str(next(self.model.parameters()).dtype).replace("torch.", "")
        self.parameters = sum(one.numel() for one in self.model.parameters())
        self.model = self.model.double().eval()
        for one in self.model.parameters():
            one.requires_grad_(False)
        self._graph: Any = None
        self._dual: Any = None
        self.open()

    def _load(self) -> Any:
        """The model as it is in the file: this runs what is written there, as its owner allowed."""
        return self.torch.load(io.BytesIO(self.data), map_location="cpu", weights_only=False)

    def open(self) -> None:
        """Set ``facts``, ``theta`` and ``constants``; :class:`Refusal` for what is not linear."""
        raise NotImplementedError

    def evaluate(self, numbers: np.ndarray, x: Any) -> tuple[Any, Any]:
        """h, (frames, atoms, features), and U₀, (frames,) or None where it is zero."""
        raise NotImplementedError

    def library(self, numbers: np.ndarray, x: Any) -> tuple[Any, Any]:
        """Energies and forces as the model's own forward gives them."""
        found = self.model(self.input(numbers, x), compute_force=True)
        return found["energy"], found["forces"].reshape(x.shape)

    def input(self, numbers: np.ndarray, x: Any) -> dict:
        """What the model's own forward takes."""
        raise NotImplementedError

    def split(self, numbers: np.ndarray, h: Any, energy: Any) -> tuple[Any, Any]:
        """h, and what is left of the energy as U₀: None where no term is fixed."""
        if not self.facts["fixed_terms"]:
            return h, None
        linear = h.sum(dim=1) @ self._tensor(self.theta)
        return h, energy - linear - float(self.constants[numbers].sum())

    def put(self, theta: np.ndarray) -> None:
        """Write θ into the library's own layers."""
        raise NotImplementedError

    def shift(self, change: np.ndarray) -> None:
        """Add to the constants of the elements, (119,)."""
        raise NotImplementedError

    def write(self, theta: np.ndarray, change: np.ndarray, path: str) -> None:
        """The library's own file with another θ and other constants.

        Only the numbers that these change are others; all keep the precision that they had.
        """
        torch = self.torch
        before = {name: one.clone() for name, one in self.model.state_dict().items()}
        try:
            self.put(theta)
            self.shift(change)
            after = {name: one.clone() for name, one in self.model.state_dict().items()}
        finally:
            self.model.load_state_dict(before)
        fresh = self._load()
        with torch.no_grad():
            for name, one in fresh.state_dict().items():
                if not torch.equal(before[name], after[name]):
                    one.copy_(after[name])
        torch.save(fresh, path)

    def seam(self) -> dict:
        """Where the last layers are, what a head on them needs to know; for ``torch_head.py``.

        ``layers`` by their names in the model, which of their inputs are ``chosen`` as features,
        the ``column`` of the last one's output, and for each element what the library multiplies
        that output by, ``scale``, and the features here those inputs by, ``stretch``. ``types`` are
        the elements in the order in which the model counts them. Here: of one layer, whose output
        is scaled by element.
        """
        scales = self.scales[self.facts["elements"]].tolist()
        return {
            "layers": [self.name_of(self.layer)],
            "chosen": [list(range(len(self.theta)))],
            "column": 0,
            "scale": scales,
            "stretch": scales,
            "types": self.facts["elements"],
        }

    def inputs(self, layers: list, run: Callable[[], Any]) -> tuple[list, Any]:
        """What layers are given while a function runs, and what it returns."""
        seen: list = []
        hooks = [
            layer.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
            for layer in layers
        ]
        try:
            return seen, run()
        finally:
            for hook in hooks:
                hook.remove()

    def scaled(self, numbers: np.ndarray, x: Any, run: Callable[[], Any], energy: str) -> Any:
        """h and U₀ of a model of one last layer, whose output is scaled by element."""
        seen, found = self.inputs([self.layer], run)
        scale = self._tensor(self.scales[numbers])[:, None]
        return self.split(numbers, seen[0].reshape(*x.shape[:2], -1) * scale, found[energy].ravel())

    def name_of(self, layer: Any) -> str:
        """The name of a layer in the model."""
        return next(name for name, one in self.model.named_modules() if one is layer)

    def attached(self, numbers: np.ndarray, positions: np.ndarray, folder: str) -> dict:
        """Energies and forces of the library with the head that was written into a folder."""
        path = Path(folder)
        spec = importlib.util.spec_from_file_location(
            "fisherdash_head", path / "fisherdash_head.py"
        )
        assert spec and spec.loader
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        fresh = type(self)(self.data, self.options)
        module.attach(fresh.model, path / "head.npz")
        return fresh.energy_and_forces(numbers, positions, None)

    def per_atom(self, numbers: np.ndarray, positions: np.ndarray) -> dict:
        """h and U₀."""
        _, outputs = self._at(numbers, positions)
        return self._named([one.detach() for one in outputs])

    def pull(self, numbers: np.ndarray, positions: np.ndarray, cotangents: list) -> dict:
        """Σ cotangent·output, differentiated by positions."""
        x, outputs = self._at(numbers, positions)
        weights = [self._tensor(one) for one in cotangents]
        (gradient,) = self.torch.autograd.grad(outputs, x, weights, retain_graph=True)
        return {"x": gradient.numpy()}

    def push(self, numbers: np.ndarray, positions: np.ndarray, tangent: np.ndarray) -> dict:
        """Derivatives of h and U₀ along a direction: what is pulled back is linear in cotangents.

        A tangent that is missing raises, and is never zero: ``allow_unused`` is left out.
        """
        x, outputs = self._at(numbers, positions)
        if self._dual is None:
            weights = [self.torch.zeros_like(one).requires_grad_() for one in outputs]
            grad = self.torch.autograd.grad
            self._dual = weights, *grad(outputs, x, weights, create_graph=True)
        weights, pulled = self._dual
        found = self.torch.autograd.grad(pulled, weights, self._tensor(tangent), retain_graph=True)
        return self._named(found)

    def _named(self, outputs: Any) -> dict:
        return {("h", "fixed")[number]: one.numpy() for number, one in enumerate(outputs)}

    def energy_and_forces(
        self, numbers: np.ndarray, positions: np.ndarray, theta: np.ndarray | None
    ) -> dict:
        """The library's own, with θ written into its model for this time where one is given."""
        self._graph = self._dual = None
        if theta is not None:
            self.put(theta)
        try:
            energy, forces = self.library(numbers, self._tensor(positions).requires_grad_())
        finally:
            if theta is not None:
                self.put(self.theta)
        return {"energy": energy.detach().numpy(), "forces": forces.detach().numpy()}

    def _at(self, numbers: np.ndarray, positions: np.ndarray) -> tuple[Any, list]:
        """Positions and outputs in one graph."""
        key = numbers.tobytes(), positions.shape, positions.tobytes()
        if self._graph is None or self._graph[0] != key:
            self._graph = self._dual = None
            x = self._tensor(positions).requires_grad_()
            h, fixed = self.evaluate(numbers, x)
            self._graph = key, x, [h] if fixed is None else [h, fixed]
        return self._graph[1:]

    def _tensor(self, array: np.ndarray) -> Any:
        return self.torch.from_numpy(np.array(array, np.float64))

    def rows(self, numbers: np.ndarray) -> np.ndarray:
        """Which element of the model each atom is of."""
        known = list(self.facts["elements"])
        missing = sorted({int(z) for z in numbers} - set(known))
        if missing:
            raise Refusal(f"knows no elements with the atomic numbers {missing}")
        return np.array([known.index(z) for z in numbers])

    def graph(self, x: Any, row: np.ndarray, elements: int) -> dict:
        """What MACE and So3krates take for a batch of molecules, without its edges."""
        torch = self.torch
        frames, atoms = x.shape[:2]
        one_hot = np.tile(np.eye(elements)[row], (frames, 1))
        return {
            "positions": x.reshape(-1, 3),
            "node_attrs": torch.from_numpy(one_hot),
            "batch": torch.arange(frames).repeat_interleave(atoms),
            "ptr": torch.arange(0, frames * atoms + 1, atoms),
            "cell": torch.zeros(3 * frames, 3),
            "head": torch.zeros(frames, dtype=torch.int64),
        }

    def edges(self, x: Any, cutoff: float, suffix: str = "") -> dict:
        """All pairs of a molecule below a distance, in both directions."""
        at = x.detach().numpy()
        squared = np.sum((at[:, :, None] - at[:, None]) ** 2, axis=-1)
        near = (squared <= cutoff**2) & ~np.eye(at.shape[1], dtype=bool)
        frame, i, j = np.nonzero(near)
        pairs = np.stack([i, j]) + frame * at.shape[1]
        zeros = self.torch.zeros(pairs.shape[1], 3)
        return {
            "edge_index" + suffix: self.torch.from_numpy(pairs),
            "shifts" + suffix: zeros,
            "unit_shifts" + suffix: zeros,
        }


class Mace(TorchModel):
    """MACE: the scalars that each linear readout takes, and what the last layer of another takes.

    Scale and shift, energies of isolated atoms and biases are constants; the repulsion of Ziegler,
    Biersack and Littmark is U₀.
    """

    package = "mace"

    def open(self) -> None:
        """Find the last layers."""
        model, kind = self.model, type(self.model).__name__
        if kind not in ("MACE", "ScaleShiftMACE"):
            raise Refusal(f"holds a {kind}; of MACE, the models MACE and ScaleShiftMACE are taken")
        if hasattr(model, "joint_embedding"):
            raise Refusal("has inputs beside positions and elements (an embedding of its own)")
        heads = list(getattr(model, "heads", None) or ["Default"])
        asked = self.options.get("mace_head") or (heads[0] if len(heads) == 1 else "")
        if asked not in heads:
            raise Refusal(f"has the heads {', '.join(heads)}; give one of them with --mace-head")
        self.head = heads.index(asked)
        scale, shift = 1.0, 0.0
        if kind == "ScaleShiftMACE":
            scale, shift = (
                np.atleast_1d(one.numpy())[self.head]
                for one in (model.scale_shift.scale, model.scale_shift.shift)
            )
        self.layers, words, bias = [], [], 0.0
        for readout in model.readouts:
            layer, chosen, told = self._last_layer(readout, len(heads))
            probe = self.torch.eye(layer.irreps_in.dim)
            none = float(layer(0 * probe[:1])[0, self.head])
            weights = (layer(probe)[:, self.head].numpy() - none)[chosen] * scale
            rest = np.delete(layer(probe)[:, self.head].numpy() - none, chosen)
            if rest.any() and len(heads) == 1:
                raise Refusal("has a readout of more than scalars")
            self.layers.append((layer, chosen, weights))
            words.append(told)
            bias += none * scale
        self.scale = scale
        self.theta = np.concatenate([weights for *_, weights in self.layers])
        elements = [int(z) for z in model.atomic_numbers]
        alone = np.atleast_2d(model.atomic_energies_fn.atomic_energies.numpy())[self.head]
        self.constants = np.zeros(_NUMBERS)
        self.constants[elements] = alone + shift + bias
        terms = ["repulsion at short distances (ZBL)"] if hasattr(model, "pair_repulsion") else []
        self.facts = {
            "library": f"MACE {_version('mace-torch')}",
            "features": len(self.theta),
            "elements": elements,
            "trained": elements,
            "cutoff": float(model.r_max),
            "fixed_terms": terms,
            "readout": f"{kind}, sum over atoms of {' and '.join(words)}, all linear at their end",
            "energy_unit": None,
            "notes": [],
        }

    def seam(self) -> dict:
        """The layers of all readouts."""
        return {
            "layers": [self.name_of(layer) for layer, *_ in self.layers],
            "chosen": [chosen.tolist() for _, chosen, _ in self.layers],
            "column": self.head,
            "scale": [float(self.scale)] * len(self.facts["elements"]),
            "stretch": [1.0] * len(self.facts["elements"]),
            "types": self.facts["elements"],
        }

    def _last_layer(self, readout: Any, heads: int) -> tuple[Any, np.ndarray, str]:
        """The layer, which of its inputs are features, and how to call it."""
        kind = type(readout).__name__
        names = {
            "LinearReadoutBlock": ("linear", "a linear readout"),
            "NonLinearReadoutBlock": ("linear_2", "a readout with one hidden layer"),
            "NonLinearBiasReadoutBlock": ("linear_2", "a readout with two hidden layers"),
        }
        if kind not in names:
            raise Refusal(f"has a readout of the kind {kind}, which is not taken")
        name, words = names[kind]
        layer = getattr(readout, name)
        scalars = self._scalars(layer)
        if layer.weight.numel() != len(scalars) * heads:
            raise Refusal("has a readout whose weights are not those of one linear layer")
        if name == "linear_2" and heads > 1:
            # The inputs of the other heads are masked with zeros.
            width = len(scalars) // heads
            scalars = scalars[self.head * width : (self.head + 1) * width]
        return layer, np.array(scalars), f"{words} of {len(scalars)} scalars"

    def put(self, theta: np.ndarray) -> None:
        """The response of a layer to each weight is found by setting all of them to one."""
        start = 0
        for layer, chosen, _ in self.layers:
            part = theta[start : start + len(chosen)]
            start += len(chosen)
            scalars = self._scalars(layer)
            rows = [scalars.index(one) for one in chosen]
            table = layer.weight.data.view(len(scalars), -1)
            kept = table.clone()
            table[:] = 1.0
            probe = self.torch.eye(layer.irreps_in.dim)
            response = (layer(probe) - layer(0 * probe))[chosen, self.head]
            table[:] = kept
            table[rows, self.head] = self._tensor(part) / (response * self.scale)

    def shift(self, change: np.ndarray) -> None:
        """The energies of isolated atoms take it."""
        elements = self.facts["elements"]
        table = self.model.atomic_energies_fn.atomic_energies
        table.view(-1, len(elements))[self.head] += self._tensor(change[elements])

    def _scalars(self, layer: Any) -> list:
        """Places of the inputs that do not turn with the molecule."""
        found, start = [], 0
        for count, irrep in layer.irreps_in:
            if irrep.l == 0 and irrep.p == 1:
                found += range(start, start + count)
            start += count * irrep.dim
        return found

    def evaluate(self, numbers: np.ndarray, x: Any) -> tuple[Any, Any]:
        """Inputs of the last layers, caught on their way in."""
        given = self.input(numbers, x)
        layers = [layer for layer, *_ in self.layers]
        seen, found = self.inputs(layers, lambda: self.model(given, compute_force=False))
        frames, atoms = x.shape[:2]
        parts = [seen[number][:, chosen] for number, (_, chosen, _) in enumerate(self.layers)]
        h = self.torch.cat(parts, dim=1).reshape(frames, atoms, -1)
        return self.split(numbers, h, found["energy"])

    def input(self, numbers: np.ndarray, x: Any) -> dict:
        """One graph of all frames."""
        elements = len(self.facts["elements"])
        data = self.graph(x, self.rows(numbers), elements)
        data["head"] += self.head
        return {**data, **self.edges(x, self.facts["cutoff"])}


class So3lr(TorchModel):
    """SO3LR and So3krates: the input of the last layer, scaled by element as the library does.

    Repulsion, charges and dispersion are U₀. Where the file leaves them open, the cutoff of long
    range and its damping are those of the library's own calculator.
    """

    package = "so3krates_torch"
    LONG_RANGE, DAMPING = 12.0, 2.0

    def open(self) -> None:
        """Find the last layer."""
        model, kind = self.model, type(self.model).__name__
        if kind not in ("SO3LR", "So3krates"):
            raise Refusal(f"holds a {kind}; of so3krates-torch, SO3LR and So3krates are taken")
        block = model.atomic_energy_output_block
        if type(block).__name__ != "AtomicEnergyOutputHead" or block.final_non_linearity:
            raise Refusal("has an output that is not one linear layer at its end")
        if getattr(model, "use_pme", False):
            raise Refusal("has charges on a periodic mesh; molecules have none")
        notes = []
        self.long_range = bool(getattr(model, "use_lr", False))
        if self.long_range and model.r_max_lr is None:
            model.r_max_lr = self.LONG_RANGE
            if model.dispersion_energy_cutoff_lr_damping is None:
                model.dispersion_energy_cutoff_lr_damping = self.DAMPING
            notes.append(
                f"the file leaves the cutoff of charges and dispersion open: {self.LONG_RANGE:g} Å "
                f"with a damping over {self.DAMPING:g} Å, as the library's own calculator"
            )
        layer, count = block.final_layer, int(model.num_elements)
        self.layer, self.block = layer, block
        self.theta = layer.weight.data[0].numpy().copy()
        scales = block.energy_scales.weight.data[0].numpy()
        self.scales = np.zeros(_NUMBERS)
        self.scales[1 : count + 1] = scales
        self.constants = np.zeros(_NUMBERS)
        bias = float(layer.bias[0]) if layer.bias is not None else 0.0
        self.constants[1 : count + 1] = scales * bias + block.energy_shifts.data.numpy()
        names = {
            "zbl_repulsion_bool": "repulsion at short distances (ZBL)",
            "electrostatic_energy_bool": "electrostatics of predicted charges",
            "dispersion_energy_bool": "dispersion",
        }
        terms = [words for name, words in names.items() if getattr(model, name, False)]
        # Scales of elements that no training frame had are one, as they began.
        learned = [z for z in range(1, count + 1) if self.scales[z] != 1.0]
        self.facts = {
            "library": f"so3krates-torch {_version('so3krates-torch')}",
            "features": len(self.theta),
            "elements": list(range(1, count + 1)),
            "trained": learned or None,
            "cutoff": max(float(model.r_max), float(model.r_max_lr) if self.long_range else 0.0),
            "fixed_terms": terms,
            "readout": f"{kind}, sum over atoms of a network, {len(self.theta)} inputs of its last "
            "linear layer, scaled by element",
            "energy_unit": "eV" if kind == "SO3LR" else None,
            "notes": notes,
        }

    def put(self, theta: np.ndarray) -> None:
        """θ are the weights themselves."""
        self.layer.weight.data[0] = self._tensor(theta)

    def shift(self, change: np.ndarray) -> None:
        """The shifts of the elements take it."""
        shifts = self.block.energy_shifts.data
        shifts += self._tensor(change[1 : len(shifts) + 1])

    def evaluate(self, numbers: np.ndarray, x: Any) -> tuple[Any, Any]:
        """Input of the last layer, caught on its way in."""
        given = self.input(numbers, x)
        return self.scaled(numbers, x, lambda: self.model(given, compute_force=False), "energy")

    def input(self, numbers: np.ndarray, x: Any) -> dict:
        """One graph of all frames."""
        torch, frames = self.torch, len(x)
        data = self.graph(x, self.rows(numbers), len(self.facts["elements"]))
        data["atomic_numbers"] = torch.from_numpy(np.tile(numbers, frames))
        data["total_charge"] = torch.full((frames,), float(self.options.get("charge", 0)))
        data["total_spin"] = torch.full((frames,), self.options.get("unpaired", 0) / 2)
        data.update(self.edges(x, float(self.model.r_max)))
        if self.long_range:
            data.update(self.edges(x, float(self.model.r_max_lr), "_lr"))
        return data


class Nequip(TorchModel):
    """NequIP: the input of the readout's last layer, scaled by element as the library does.

    The file is a package (``.nequip.zip``) or the checkpoint of a training. A pair potential is U₀.
    """

    package = "nequip"

    def _load(self) -> Any:
        """What the library itself makes of the file, whose name has to say what it is."""
        state = importlib.import_module("nequip.utils.global_state")
        utils = importlib.import_module("nequip.model.saved_models.load_utils")
        state.set_global_state(allow_tf32=False)  # else it builds no model of a training
        with zipfile.ZipFile(io.BytesIO(self.data)) as archive:
            packed = any(name.endswith("model/package_metadata.txt") for name in archive.namelist())
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / ("model.nequip.zip" if packed else "model.ckpt")
            path.write_bytes(self.data)
            return utils.load_saved_model(str(path))

    def open(self) -> None:
        """Find the last layer."""
        model = self.model
        self.energy: Any = getattr(getattr(model, "model", None), "func", None)
        readout = getattr(self.energy, "per_atom_energy_readout", None)
        layers: Any = getattr(getattr(readout, "mlp_module", None), "mlp", None)
        if not isinstance(layers, self.torch.nn.Sequential):
            raise Refusal("has no readout of atoms that ends in one linear layer, as NequIP's have")
        self.layer = layers[-1]
        self._in_double_precision()
        known = importlib.import_module("ase.data").atomic_numbers
        unknown = [name for name in model.type_names if name not in known]
        if unknown:
            raise Refusal(f"has types of atoms that are no symbols of elements: {unknown!r:.80}")
        self.counted = elements = [known[name] for name in model.type_names]
        if len(set(elements)) < len(elements):
            raise Refusal("has several types of atoms of one element, which positions do not tell")
        self.rescaling = self.energy.per_type_energy_scale_shift
        scale, shift = self._by_type("scales", 1.0), self._by_type("shifts", 0.0)
        bias = 0.0 if self.layer.bias is None else float(self.layer.bias[0])
        self.theta = (self.layer.weight * self.layer.alpha)[:, 0].numpy().copy()
        self.scales, self.constants = np.zeros(_NUMBERS), np.zeros(_NUMBERS)
        self.scales[elements], self.constants[elements] = scale, scale * bias + shift
        self.types = np.zeros(_NUMBERS, np.int64)
        self.types[elements] = np.arange(len(elements))
        pair = getattr(self.energy, "pair_potential", None)
        hidden = "a linear readout" if len(layers) == 1 else "a readout with hidden layers"
        self.facts = {
            "library": f"NequIP {_version('nequip')}",
            "features": len(self.theta),
            "elements": sorted(elements),
            "trained": sorted(elements),
            "cutoff": float(model.metadata["r_max"]),
            "fixed_terms": [] if pair is None else [f"pair potential ({type(pair).__name__})"],
            "readout": f"NequIP, sum over atoms of {hidden} of {len(self.theta)} scalars, scaled "
            "by element",
            "energy_unit": None,
            "notes": [],
        }

    def _in_double_precision(self) -> None:
        """Some modules have written down the precision that they were made in."""
        for module in self.model.modules():
            for name in ("_output_dtype", "model_dtype"):
                if hasattr(module, name):
                    setattr(module, name, self.torch.float64)

    def _by_type(self, name: str, missing: float) -> np.ndarray:
        """A scale or shift of each type; the library has one for all, one for each, or none."""
        values = getattr(self.rescaling, name).numpy().ravel()
        return np.broadcast_to(values if values.size else missing, len(self.model.type_names))

    def seam(self) -> dict:
        """The model counts elements in an order of its own."""
        return {**super().seam(), "types": self.counted}

    def put(self, theta: np.ndarray) -> None:
        """The layer multiplies its weights by a number."""
        self.layer.weight[:, 0] = self._tensor(theta) / self.layer.alpha

    def write(self, theta: np.ndarray, change: np.ndarray, path: str) -> None:
        """Only a training or the program nequip-package writes such a file."""
        raise Refusal(
            "is a file that its library writes after a training only: give 'fisherdash export' "
            "--torch in place of --native"
        )

    def library(self, numbers: np.ndarray, x: Any) -> tuple[Any, Any]:
        """Energies and forces as the model's own forward gives them."""
        found = self.model(self.input(numbers, x))
        return found["total_energy"].reshape(-1), found["forces"].reshape(x.shape)

    def evaluate(self, numbers: np.ndarray, x: Any) -> tuple[Any, Any]:
        """Input of the last layer, caught on its way in."""
        given = self.input(numbers, x)
        return self.scaled(numbers, x, lambda: self.energy(given), "total_energy")

    def input(self, numbers: np.ndarray, x: Any) -> dict:
        """One graph of all frames."""
        torch, (frames, atoms) = self.torch, x.shape[:2]
        self.rows(numbers)  # refuses elements that it lacks
        return {
            "pos": x.reshape(-1, 3),
            "edge_index": self.edges(x, self.facts["cutoff"])["edge_index"],
            "atom_types": torch.from_numpy(np.tile(self.types[numbers], frames)),
            "batch": torch.arange(frames).repeat_interleave(atoms),
            "num_atoms": torch.full((frames,), atoms),
        }


FAMILIES: dict[str, Callable[[bytes, dict], Any]] = {
    "mace": Mace,
    "so3lr": So3lr,
    "nequip": Nequip,
}
"""Name → what opens a model."""


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "of unknown version"
