"""Small outputs of every program that is read, in the form in which each writes them."""

from collections.abc import Iterator, Mapping

import numpy as np
from ase.data import chemical_symbols

from fisherdash.units import BOHR, HARTREE

SIDE = 12.0
"""Å of the cubic cell of programs that need one."""


def _rows(pattern: str, numbers: np.ndarray, *columns: np.ndarray) -> str:
    """A line of each atom: ``pattern`` is given its index, symbol, atomic number and numbers."""
    all_of = np.concatenate(columns, axis=1)
    return "\n".join(
        pattern.format(index + 1, chemical_symbols[z], z, *all_of[index])
        for index, z in enumerate(numbers)
    )  # fmt: skip


def _frames(data: Mapping[str, np.ndarray]) -> Iterator[tuple[np.ndarray, float, np.ndarray]]:
    keys = ("positions", "energies", "forces")
    return zip(*(data[key] for key in keys), strict=True)


def orca(data: Mapping[str, np.ndarray]) -> str:
    """Of an optimisation; each geometry, its energy and its gradient."""
    z, text = data["atomic_numbers"], "                                 * O   R   C   A *\n"
    for x, e, f in _frames(data):
        text += "\n---------------------------------\nCARTESIAN COORDINATES (ANGSTROEM)\n"
        text += "---------------------------------\n"
        text += _rows("  {1:<4}{3:12.8f}{4:12.8f}{5:12.8f}", z, x)
        text += f"\n\nFINAL SINGLE POINT ENERGY  {e / HARTREE:20.12f}\n\n"
        text += "------------------\nCARTESIAN GRADIENT\n------------------\n\n"
        text += _rows("{0:4d}   {1:<3}:{3:15.9f}{4:15.9f}{5:15.9f}", z, -f / HARTREE * BOHR)
        text += "\n\nDifference to translation invariance:\n"
    return text


def nwchem(data: Mapping[str, np.ndarray]) -> str:
    """Of an optimisation, with the energy of a line search in between."""
    z, text = data["atomic_numbers"], "   Northwest Computational Chemistry Package (NWChem) 6.8\n"
    for x, e, f in _frames(data):
        text += f"\n         Total DFT energy =   {e / HARTREE - 0.1:20.12f}\n"
        text += f"\n         Total DFT energy =   {e / HARTREE:20.12f}\n"
        text += "\n                         DFT ENERGY GRADIENTS\n\n"
        text += "    atom               coordinates                        gradient\n"
        text += "                 x          y          z           x          y          z\n"
        row = "{0:4d} {1:<3}" + "".join(f"{{{n}:15.9f}}" for n in range(3, 9))
        text += _rows(row, z, x / BOHR, -f / HARTREE * BOHR) + "\n\n"
    return text


def psi4(data: Mapping[str, np.ndarray]) -> str:
    """Of an optimisation, which prints a geometry before its energy and before its gradient."""
    z, text = (
        data["atomic_numbers"],
        "    Psi4: An Open-Source Ab Initio Electronic Structure Package\n",
    )
    for x, e, f in _frames(data):
        head = "    Geometry (in Angstrom), charge = 0, multiplicity = 1:\n\n"
        head += (
            "       Center              X                  Y                   Z           Mass\n"
        )
        head += "    ------------   -----------------  -----------------  -------------\n"
        head += _rows("         {1:<4}{3:20.12f}{4:20.12f}{5:20.12f}   1.0078", z, x) + "\n\n"
        text += head + f"    Total Energy =  {e / HARTREE:24.16f}\n\n" + head
        text += (
            "  -Total Gradient:\n     Atom            X                  Y                   Z\n"
        )
        text += "    ------   -----------------  -----------------  -----------------\n"
        text += _rows("{0:8d}{3:20.12f}{4:20.12f}{5:20.12f}", z, -f / HARTREE * BOHR) + "\n\n"
    return text


def qchem(data: Mapping[str, np.ndarray]) -> str:
    """Of an optimisation; gradients have a column for each atom, six side by side."""
    z, text = data["atomic_numbers"], "                  Welcome to Q-Chem, Inc., Pleasanton, CA\n"
    for x, e, f in _frames(data):
        text += "             Standard Nuclear Orientation (Angstroms)\n"
        text += "    I     Atom           X                Y                Z\n"
        text += " ----------------------------------------------------------------\n"
        text += _rows("{0:5d}      {1:<3}{3:17.10f}{4:17.10f}{5:17.10f}", z, x)
        text += "\n ----------------------------------------------------------------\n"
        text += f" Total energy in the final basis set = {e / HARTREE:20.10f}\n"
        text += " Gradient of SCF Energy\n"
        for start in range(0, len(z), 6):
            part = -f[start : start + 6].T / HARTREE * BOHR
            text += "".join(f"{start + n + 1:12d}" for n in range(part.shape[1])) + "\n"
            for axis, row in enumerate(part):
                text += f"{axis + 1:5d}" + "".join(f"{value:14.9f}" for value in row) + "\n"
        text += " Max gradient component =       5.055E-02\n"
    return text


def outcar(data: Mapping[str, np.ndarray]) -> str:
    """Of VASP's dynamics; atoms of an element stand together."""
    z = data["atomic_numbers"]
    kinds = list(dict.fromkeys(z.tolist()))
    text = " vasp.6.3.0 20Jan22 complex\n\n"
    for kind in kinds:
        text += f"   VRHFIN ={chemical_symbols[kind]}: s2p4\n"
    text += "   ions per type =  " + "".join(f"{(z == kind).sum():4d}" for kind in kinds) + "\n\n"
    for x, e, f in _frames(data):
        text += "      direct lattice vectors                 reciprocal lattice vectors\n"
        for row in np.eye(3):
            text += "".join(f"{SIDE * v:15.9f}" for v in row)
            text += "".join(f"{v / SIDE:15.9f}" for v in row) + "\n"
        text += "\n POSITION                                       TOTAL-FORCE (eV/Angst)\n"
        text += " " + "-" * 83 + "\n"
        text += _rows("".join(f"{{{n}:14.8f}}" for n in range(3, 9)), z, x, f)
        text += "\n " + "-" * 83 + "\n    total drift:    0.000000      0.000000      0.000000\n\n"
        text += "  FREE ENERGIE OF THE ION-ELECTRON SYSTEM (eV)\n"
        text += f"  free  energy   TOTEN  = {e:18.8f} eV\n\n"
    return text


def vasprun(data: Mapping[str, np.ndarray]) -> str:
    """VASP's XML of the same."""
    z = data["atomic_numbers"]
    names = "".join(f"<rc><c>{chemical_symbols[one]:2}</c><c>1</c></rc>" for one in z)
    basis = "".join(f"<v>{' '.join(str(SIDE * v) for v in row)}</v>" for row in np.eye(3))

    def listed(name: str, array: np.ndarray) -> str:
        rows = "".join(f"<v>{' '.join(f'{v:.12f}' for v in row)}</v>" for row in array)
        return f'<varray name="{name}">{rows}</varray>'

    def structure(x: np.ndarray, name: str = "") -> str:
        crystal = f'<crystal><varray name="basis">{basis}</varray></crystal>'
        return f"<structure{name}>{crystal}{listed('positions', x / SIDE)}</structure>\n"

    text = '<?xml version="1.0" encoding="ISO-8859-1"?>\n<modeling>\n<kpoints>'
    text += '<varray name="kpointlist"><v>0 0 0</v></varray>'
    text += '<varray name="weights"><v>1</v></varray></kpoints>\n'
    text += f'<atominfo><array name="atoms"><set>{names}</set></array></atominfo>\n'
    text += structure(data["positions"][0], ' name="initialpos"')
    for x, e, f in _frames(data):
        energy = "".join(
            f'<i name="{key}">{e:.10f}</i>'
            for key in ("e_fr_energy", "e_wo_entrp", "e_0_energy")
        )  # fmt: skip
        energy = f"<energy>{energy}</energy>"
        text += f"<calculation><scstep>{energy}</scstep>{structure(x)}{listed('forces', f)}{energy}"
        text += "</calculation>\n"
    return text + "</modeling>\n"


def gaussian(data: Mapping[str, np.ndarray]) -> str:
    """Of an optimisation that prints the input orientation."""
    z = data["atomic_numbers"]
    text = " Entering Gaussian System, Link 0=g16\n #P B3LYP/6-31G force\n\n"
    for x, e, f in _frames(data):
        text += " " * 26 + "Input orientation:\n " + "-" * 69 + "\n"
        text += " Center     Atomic      Atomic             Coordinates (Angstroms)\n"
        text += (
            " Number     Number       Type             X           Y           Z\n "
            + "-" * 69
            + "\n"
        )
        text += _rows("{0:7d}{2:11d}           0    {3:12.8f}{4:12.8f}{5:12.8f}", z, x)
        text += (
            "\n "
            + "-" * 69
            + f"\n SCF Done:  E(RB3LYP) = {e / HARTREE:16.10f}     A.U. after    8 cycles\n"
        )
        text += " Center     Atomic                   Forces (Hartrees/Bohr)\n"
        text += (
            " Number     Number              X              Y              Z\n " + "-" * 67 + "\n"
        )
        text += _rows("{0:7d}{2:9d}     {3:15.9f}{4:15.9f}{5:15.9f}", z, f / HARTREE * BOHR)
        text += "\n " + "-" * 67 + "\n Cartesian Forces:  Max     0.1 RMS     0.1\n"
    return text


def aims(data: Mapping[str, np.ndarray]) -> str:
    """Of FHI-aims, dynamics."""
    z = data["atomic_numbers"]
    text = "          Invoking FHI-aims ...\n  | Number of atoms                   : "
    text += f"{len(z):8d}\n  | Number of spin channels           :        1\n"
    text += (
        f"  The structure contains {len(z):8d} atoms,  and a total of         10.000 electrons.\n"
    )
    text += "  | Number of Kohn-Sham states (occupied + empty):       11\n"
    text += "  Running Born-Oppenheimer molecular dynamics in NVE ensemble.\n\n"
    text += "  Input geometry:\n  | No unit cell requested.\n  | Atomic structure:\n"
    text += "  |       Atom                x [A]            y [A]            z [A]\n"
    text += _rows("  |{0:5d}: Species {1:<10}{3:17.8f}{4:17.8f}{5:17.8f}", z, data["positions"][0])
    text += "\n\n          Begin self-consistency loop: Initialization.\n"
    text += "          Begin self-consistency iteration #    1\n\n"
    for index, (x, e, f) in enumerate(_frames(data)):
        if index:
            text += "  Atomic structure (and velocities) as used in the preceding time step:\n"
            text += "                         x [A]             y [A]             z [A]\n"
        text += "  Self-consistency cycle converged.\n\n"
        text += f"  | Total energy uncorrected      : {e:28.15E} eV\n"
        text += f"  | Electronic free energy        : {e:28.15E} eV\n"
        text += "\n  Total atomic forces (unitary forces cleaned) [eV/Ang]:\n"
        text += _rows("  |{0:5d}{3:31.15E}{4:31.15E}{5:31.15E}", z, f) + "\n\n"
        text += "  Advancing structure using Born-Oppenheimer Molecular Dynamics:\n"
        text += "  Atomic structure (and velocities) as used in the preceding time step:\n"
        text += "                         x [A]             y [A]             z [A]\n"
        text += _rows("            atom  {3:18.8f}{4:18.8f}{5:18.8f}  {1}\n"
                      "              velocity  0.0 0.0 0.0", z, x)  # fmt: skip
        text += "\n\n          Begin self-consistency loop: Re-initialization.\n"
    return text


def espresso(data: Mapping[str, np.ndarray]) -> str:
    """Of Quantum ESPRESSO's pw.x, one geometry."""
    z, x = data["atomic_numbers"], data["positions"][0] / SIDE
    e, f = data["energies"][0] / HARTREE * 2, data["forces"][0] / HARTREE * 2 * BOHR
    kinds = list(dict.fromkeys(z.tolist()))
    text = "\n     Program PWSCF v.5.4.0 starts on 22Sep2019 at 18: 5:43\n\n"
    text += f"     lattice parameter (alat)  = {SIDE / BOHR:14.8f}  a.u.\n"
    text += f"     number of atoms/cell      = {len(z):12d}\n"
    text += f"     number of atomic types    = {len(kinds):12d}\n"
    text += f"     celldm(1)= {SIDE / BOHR:.8f}  celldm(2)=   0.000000  celldm(3)=   0.000000\n\n"
    text += "     crystal axes: (cart. coord. in units of alat)\n"
    for axis, row in enumerate(np.eye(3)):
        text += f"               a({axis + 1}) = ( " + "".join(f"{v:11.6f}" for v in row) + " )\n"
    text += "\n     atomic species   valence    mass     pseudopotential\n"
    for kind in kinds:
        text += f"        {chemical_symbols[kind]:<3}            1.00     1.00000     X( 1.00)\n"
    text += "\n   Cartesian axes\n\n     site n.     atom                  positions (alat units)\n"
    text += _rows("{0:10d}           {1:<3} tau({0:4d}) = ( {3:12.9f} {4:12.9f} {5:12.9f} )", z, x)
    text += "\n\n     number of k points=     1\n              cart. coord. in units 2pi/alat\n"
    text += "        k(    1) = (   0.0000000   0.0000000   0.0000000), wk =   2.0000000\n\n"
    text += f"!    total energy              = {e:18.10f} Ry\n\n"
    text += "     Forces acting on atoms (Ry/au):\n\n"
    text += _rows("     atom {0:4d} type  1   force = {3:14.9f}{4:14.9f}{5:14.9f}", z, f)
    return text + "\n\n     Total force =     0.083261     Total SCF correction =     0.000435\n\n"


def gpaw(data: Mapping[str, np.ndarray]) -> str:
    """Of GPAW, one geometry."""
    z = data["atomic_numbers"]
    text = "  ___ ___ ___ _ _ _  \n |   |   |_  | | | | \n | | | | | . | | | | \n"
    text += " |__ |  _|___|_____|  20.1.1\n |___|_|             \n\n"
    x, e, f = next(_frames(data))
    text += "Reference energy: 0.000000\n\nPositions:\n"
    text += _rows("{0:4d} {1:<3}{3:15.8f}{4:15.8f}{5:15.8f}    ( 0.0000,  0.0000,  0.0000)", z, x)
    text += (
        "\n\nUnit cell:\n           periodic     x           y           z      points  spacing\n"
    )
    for axis, row in enumerate(np.eye(3)):
        text += (
            f"  {axis + 1}. axis:    no "
            + "".join(f"{SIDE * v:12.6f}" for v in row)
            + "    28     0.2\n"
        )
    text += "\nEnergy contributions relative to reference atoms: (reference = 0.000000)\n\n"
    text += f"Kinetic:         +7.060775\nFree energy: {e:18.8f}\nExtrapolated: {e:17.8f}\n\n"
    text += "Forces in eV/Ang:\n"
    return text + _rows("{0:3d} {1:<3}{3:14.8f}{4:14.8f}{5:14.8f}", z, f) + "\n\n"


def turbomole(data: Mapping[str, np.ndarray]) -> str:
    """Turbomole's file ``gradient``."""
    z, text = data["atomic_numbers"], "$grad          cartesian gradients\n"
    for cycle, (x, e, f) in enumerate(_frames(data)):
        text += (
            f"  cycle = {cycle + 1:6d}    SCF energy = {e / HARTREE:18.10f}   |dE/dxyz| =  0.09\n"
        )
        lower = "{3:20.14f}{4:20.14f}{5:20.14f}"
        text += "\n".join(
            row.format(0, 0, 0, *place) + f"      {chemical_symbols[one].lower()}"
            for row, place, one in zip([lower] * len(z), x / BOHR, z, strict=True)
        )
        text += "\n" + _rows("{3:22.13E}{4:22.13E}{5:22.13E}", z, -f / HARTREE * BOHR).replace(
            "E", "D"
        )
        text += "\n"
    return text + "$end\n"


def castep(data: Mapping[str, np.ndarray]) -> str:
    """Of CASTEP, dynamics."""
    z, stars = data["atomic_numbers"], " " + "*" * 84 + "\n"
    kinds = list(dict.fromkeys(z.tolist()))
    text = " | Welcome to Academic Release CASTEP version 23.1 |\n\n"
    text += (
        stars + " ************************************ Title " + "*" * 40 + "\n \n" + stars + "\n"
    )
    for step, (x, e, f) in enumerate(_frames(data)):
        if step:
            text += f" Starting MD iteration {step:10d} ...\n\n"
        text += " " * 38 + "Unit Cell\n" + " " * 27 + "-" * 31 + "\n"
        text += "        Real Lattice(A)                      Reciprocal Lattice(1/A)\n"
        for row in np.eye(3):
            text += (
                "".join(f"{SIDE * v:14.7f}" for v in row)
                + "".join(f"{v:14.9f}" for v in row)
                + "\n"
            )
        text += "\n" + " " * 38 + "Cell Contents\n" + " " * 27 + "-" * 31 + "\n"
        text += f"                         Total number of ions in cell = {len(z):4d}\n"
        text += f"                      Total number of species in cell = {len(kinds):4d}\n"
        text += f"                        Max number of any one species = {len(z):4d}\n\n"
        text += "           " + "x" * 60 + "\n"
        text += "           x  Element    Atom        Fractional coordinates of atoms  x\n"
        text += "           x            Number           u          v          w      x\n"
        text += "           x" + "-" * 58 + "x\n"
        text += _rows("           x  {1:<10}{0:4d}   {3:14.9f}{4:14.9f}{5:14.9f}   x", z, x / SIDE)
        text += "\n           " + "x" * 60 + "\n\n"
        text += f" Final energy = {e:20.10f}     eV\n\n"
        text += " ************************************** Forces " + "*" * 38 + "\n"
        text += " *" + " " * 82 + "*\n *                           Cartesian components (eV/A)  *\n"
        text += (
            " * "
            + "-" * 80
            + " *\n *                         x                    y          z  *\n"
        )
        text += " *" + " " * 82 + "*\n"
        text += _rows(" * {1:<10}{0:7d}{3:20.8f}{4:20.8f}{5:20.8f}         *", z, f)
        text += "\n *" + " " * 82 + "*\n" + stars + "\n"
    return text + " Finalisation time   =      0.07 s\n"


OUTPUTS = {
    "orca-output": orca, "nwchem-out": nwchem, "psi4-out": psi4, "qchem-out": qchem,
    "vasp-out": outcar, "vasp-xml": vasprun, "gaussian-out": gaussian, "aims-output": aims,
    "espresso-out": espresso, "gpaw-out": gpaw, "turbomole-gradient": turbomole,
    "castep-castep": castep,
}  # fmt: skip


def cp2k_files(data: Mapping[str, np.ndarray]) -> dict[str, bytes]:
    """CP2K's files of the positions and of the forces, by their names."""
    files, symbols = {}, [chemical_symbols[z] for z in data["atomic_numbers"]]
    for kind, key, scale in (("pos", "positions", 1.0), ("frc", "forces", HARTREE / BOHR)):
        lines = []
        for step, (x, e) in enumerate(zip(data[key] / scale, data["energies"], strict=True)):
            lines += [f"{len(x)}", f" i = {step:8d}, time = {step:.3f}, E = {e / HARTREE:.12f}"]
            lines += [
                f"{n} {v[0]:.12f} {v[1]:.12f} {v[2]:.12f}" for n, v in zip(symbols, x, strict=True)
            ]
        files[f"w-{kind}-1.xyz"] = "\n".join(lines).encode()
    return files
