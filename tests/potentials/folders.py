"""Small folders as NeuroChem writes them, with random weights, and their energy by definition."""

import itertools
from pathlib import Path

import numpy as np

SIZES = {"H": (5, 4), "C": (4, 3), "O": (3, 4)}
CONSTANTS = {
    "Rcr": [4.0], "Rca": [3.0], "EtaR": [4.0], "ShfR": [0.9, 1.6, 2.4], "Zeta": [4.0],
    "ShfZ": [0.4, 1.2, 2.0], "EtaA": [3.0], "ShfA": [0.9, 1.7],
}  # fmt: skip
ATOMS = {"H": -0.5, "C": -38.0, "O": -75.0}
INPUTS = 3 * 3 + 6 * 2 * 3


def files(seed: int = 0, sizes: dict = SIZES, **constants: list) -> dict[str, bytes]:
    """The content of the folder by names."""
    rng = np.random.default_rng(seed)
    symbols = list(sizes)
    nets = ""
    found: dict[str, bytes] = {}
    for symbol, hidden in sizes.items():
        inside = "activation=9;\n      type=0;\n      l2norm=1;\n    ]\n"
        layers = "".join(f"    layer [\n      nodes={size};\n      {inside}" for size in hidden)
        last = "    layer [\n      nodes=1;\n      activation=6;\n      type=0;\n    ]\n"
        nets += f"  atom_net {symbol} $\n{layers}{last}    $\n"
        full = (INPUTS, *hidden, 1)
        for n, (inputs, outputs) in enumerate(itertools.pairwise(full), 1):
            stem = f"networks/ANN-{symbol}.nnf-l{n}"
            weight = rng.normal(size=(outputs, inputs)) * 1.2 / np.sqrt(inputs)
            found[f"{stem}.wparam"] = weight.astype("<f4").tobytes()
            found[f"{stem}.bparam"] = (0.2 * rng.normal(size=outputs)).astype("<f4").tobytes()
    said = {**CONSTANTS, **constants}
    lines = [f"{name} = [{','.join(map(str, value))}]" for name, value in said.items()]
    lines += ["TM = 1", f"Atyp = [{','.join(symbols)}]"]
    lines = [line.replace("[", "").replace("]", "") if line[:3] in ("Rcr", "Rca") else line
             for line in lines]  # fmt: skip
    found["r.params"] = "\n".join(lines).encode()
    found["sae.dat"] = "\n".join(f"{s},{n}={ATOMS[s]}" for n, s in enumerate(symbols)).encode()
    found["inputtrain.ipt"] = (
        f"sflparamsfile=../elsewhere/r.params\nntwkStoreDir=networks/\natomEnergyFile=sae.dat\n"
        f"network_setup {{\n  inputsize={INPUTS};\n{nets}}}\n"
    ).encode()
    return found


def write(where: Path, seed: int = 0) -> Path:
    """The folder on disk."""
    for name, content in files(seed).items():
        (where / name).parent.mkdir(parents=True, exist_ok=True)
        (where / name).write_bytes(content)
    return where


def energy(folder: dict[str, bytes], symbols: list[str], x: np.ndarray) -> float:
    """In the unit of the folder, the atoms' energies included; explicit sums over j and j < k."""
    c, species = CONSTANTS, list(SIZES)
    pairs = [(s, t) for n, s in enumerate(species) for t in species[n:]]

    def near(d: float, cutoff: float) -> float:
        return 0.5 * (1 + np.cos(np.pi * d / cutoff)) if d < cutoff else 0.0

    total = 0.0
    for i, symbol in enumerate(symbols):
        radial = {s: np.zeros(len(c["ShfR"])) for s in species}
        angular = {pair: np.zeros((len(c["ShfA"]), len(c["ShfZ"]))) for pair in pairs}
        others = [j for j in range(len(symbols)) if j != i]
        for j in others:
            d = np.linalg.norm(x[j] - x[i])
            bump = np.exp(-c["EtaR"][0] * (d - np.array(c["ShfR"])) ** 2)
            radial[symbols[j]] += 0.25 * bump * near(d, c["Rcr"][0])
            for k in others:
                if k <= j:
                    continue
                e = np.linalg.norm(x[k] - x[i])
                angle = np.arccos(0.95 * np.dot(x[j] - x[i], x[k] - x[i]) / (d * e))
                bent = ((1 + np.cos(angle - np.array(c["ShfZ"]))) / 2) ** c["Zeta"][0]
                away = np.exp(-c["EtaA"][0] * ((d + e) / 2 - np.array(c["ShfA"])) ** 2)
                both = 2 * near(d, c["Rca"][0]) * near(e, c["Rca"][0])
                kind = (symbols[j], symbols[k])
                kind = kind if kind in angular else kind[::-1]
                angular[kind] += both * np.outer(away, bent)
        v = np.concatenate([*radial.values(), *(one.ravel() for one in angular.values())])
        sizes = (INPUTS, *SIZES[symbol], 1)
        for n, (inputs, outputs) in enumerate(itertools.pairwise(sizes), 1):
            stem = f"networks/ANN-{symbol}.nnf-l{n}"
            weight = np.frombuffer(folder[f"{stem}.wparam"], "<f4").reshape(outputs, inputs)
            v = weight.astype(float) @ v + np.frombuffer(folder[f"{stem}.bparam"], "<f4")
            if n < len(sizes) - 1:
                v = np.where(v > 0, v, 0.1 * np.expm1(v / 0.1))
        total += float(v[0]) + ATOMS[symbol]
    return total
