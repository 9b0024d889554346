"""A comparison as tables, as a picture, and as one HTML file with the commands that repeat it.

Nothing in that file is loaded from elsewhere: Plotly.js and 3Dmol.js are inside, and what they draw
is numbers. Every text is escaped.
"""

from collections.abc import Mapping, Sequence
from html import escape

import ase
import numpy as np
import pandas as pd

from fisherdash import molecules
from fisherdash.analysis import RunStatistics, Trajectories, Versus, compare
from fisherdash.errors import InputError
from fisherdash.plots.chart import Chart, picture, styles, template
from fisherdash.plots.drift import drift_figure, temperature_figure
from fisherdash.text import number
from fisherdash.trajectories import KIND_WORDS
from fisherdash.workspace import Run
from fisherdash.workspace.headers import RunHeader


def failure_words(kinds: Mapping[str, int]) -> str:
    """How many failures there are of each kind that occurs."""
    parts = [f"{count} {KIND_WORDS[kind]}" for kind, count in kinds.items() if count]
    return ", ".join(parts) or "none"


REFERENCE_ENERGY = "reference energy at the end (SD of the data), median [95 %]"
"""Name of the column."""


def comparison_table(found: RunStatistics) -> pd.DataFrame:
    """A row a head, in words and rounded numbers, the units in the names of the columns."""
    rows = []
    for name in found.names:
        half, jitter = found.time_to_failure[name], found.fluctuation[name]
        energy = found.reference_energy.get(name)
        rows.append(
            {
                "head": name,
                "survivors": f"{found.survivors[name]} of {found.replicas}",
                "failures": failure_words(found.failures[name]),
                "drift (meV/atom/ps), median [95 %]": found.drift[name].text(sign=True),
                "fluctuation (meV/atom)": number(jitter),
                "median time to failure (ps)": "more than half survive"
                if half is None
                else f"{half:.3g}",
                **({REFERENCE_ENERGY: energy.text(".2g", sign=True)} if energy is not None else {}),
            }
        )
    return pd.DataFrame(rows)


def comparison_numbers(found: RunStatistics) -> pd.DataFrame:
    """The same in full precision, empty where there is no value."""
    rows = []
    for name in found.names:
        rows.append(
            {
                "head": name,
                "replicas": found.replicas,
                "survivors": found.survivors[name],
                **{f"failed_{kind}": count for kind, count in found.failures[name].items()},
                "duration_ps": found.duration,
                "drift_meV_per_atom_per_ps": found.drift[name].value,
                "drift_low": found.drift[name].low,
                "drift_high": found.drift[name].high,
                "fluctuation_meV_per_atom": found.fluctuation[name],
                "time_to_failure_ps": found.time_to_failure[name],
                **(
                    {"reference_energy_sd": found.reference_energy[name].value}
                    if found.reference_energy
                    else {}
                ),
            }
        )
    return pd.DataFrame(rows)


def tests_in_words(found: RunStatistics) -> str:
    """The statistical tests in words, for each later head; empty where none can be made."""
    return " ".join(filter(None, map(_tests, found.against)))


def _tests(one: Versus) -> str:
    words = []
    if one.difference.value is not None:
        p_value = one.difference.p_value
        difference = one.difference.text(sign=True, unit="meV/atom/ps")
        words.append(
            f"Paired difference of |drift|, {one.second} minus {one.first}, over {one.pairs} pairs "
            f"of survivors: {difference}"
            + (f" (signed-rank p = {p_value:.2g})" if p_value is not None else "")
        )
    if one.logrank_p_value is not None:
        words.append(
            f"equal survival of {one.first} and {one.second}: log-rank p = "
            f"{one.logrank_p_value:.2g}"
        )
    said = "; ".join(words)
    return f"{said[0].upper()}{said[1:]}." if said else ""


STYLE = """
body { font: 16px/1.5 sans-serif; color: #1c2430; max-width: 920px; margin: 2rem auto; }
table { border-collapse: collapse; }
th, td { border: 1px solid #d5dbe3; padding: .3rem .6rem; text-align: left; }
pre { background: #f3f5f8; padding: .8rem; white-space: pre-wrap; overflow-wrap: anywhere; }
.wide { overflow-x: auto; margin: 1rem 0; } .quiet { color: #5b6572; font-size: .9rem; }
"""


def run_picture(traj: Trajectories, roles: Sequence[str]) -> str:
    """Drift, survivors and temperature of a run as SVG; InputError where there is no Chromium."""
    looks, drift = styles(roles), compare(traj).drift
    return picture(
        [drift_figure(traj, looks, drift=drift, singles=True), temperature_figure(traj, looks)]
    )


def run_report(run: Run, commands: Sequence[str]) -> str:
    """The report of a run, with the trajectories of one initial state in 3D.

    It is the first state from which a head failed, or the first of all.
    """
    traj = run.trajectories()
    failed = np.flatnonzero((traj.failed_step >= 0).any(axis=0))
    replica = int(failed[0]) if len(failed) else 0
    shown = [np.flatnonzero(row) for row in traj.surviving[:, replica]]
    stride = max(1, -(-max(map(len, shown)) // molecules.MOST))  # one for all: they play in step
    try:
        scene = molecules.side_by_side(
            run.header.atomic_numbers,
            [run.frames(h, replica, which[::stride]) for h, which in enumerate(shown)],
        )
    except InputError:  # no 3Dmol.js, or nothing before the first failure
        scene = ""
    if scene:
        ends = [
            f"{name} until {traj.times[which[-1]] / 1000.0:.3g} ps"
            for name, which in zip(traj.names, shown, strict=True)
        ]
        words = f"Replica {replica + 1}, from left to right: {', '.join(ends)}."
        scene = f'<div class="wide">{scene}</div><p class="quiet">{escape(words)}</p>'
    return html_report(run.header, traj, commands, scene)


def html_report(
    header: RunHeader, traj: Trajectories, commands: Sequence[str], scene: str = ""
) -> str:
    """The report of a run with at least one frame.

    Args:
      header: of the run.
      traj: its energies.
      commands: shell commands that repeat the numbers, in their order.
      scene: HTML of the molecules.
    """
    found, looks = compare(traj), styles(header.roles)
    chosen = header.settings
    facts = {
        "molecule": ase.Atoms(header.atomic_numbers).get_chemical_formula(),
        "started": header.created,
        "replicas of each head": chosen["replicas"],
        "steps": f"{chosen['steps']:,} of {chosen['timestep']:g} fs",
        "length so far (ps)": f"{traj.duration:.4g}",
        "temperature of the first momenta (K)": f"{chosen['temperature']:g}",
        "seed": chosen["seed"],
        "precision of the network": chosen.get("precision", "float32"),
        "device": header.device or "unknown",
        "starting frames": header.dataset.get("source") or "unknown",
    }
    known = header.checkpoints or ({},) * len(header.names)
    fingerprints = [one.get("fingerprint", "unknown") for one in known]
    versions = ", ".join(f"{name} {number}" for name, number in header.versions.items())
    cells = (f"<tr><th>{escape(k)}</th><td>{escape(str(v))}</td></tr>" for k, v in facts.items())
    body = [
        f"<h1>{escape(header.title)}</h1>",
        *(f"<p><strong>{escape(sentence)}</strong></p>" for sentence in found.sentences),
        *(f"<p>{escape(caution)}</p>" for caution in found.cautions),
        _table(comparison_table(found)),
        f'<p class="quiet">{escape(tests_in_words(found))} Drift is that of the survivors only, so '
        "it is read together with their number. Slopes are Theil–Sen; intervals are bootstrapped "
        "over replicas.</p>",
        _plotly(drift_figure(traj, looks, drift=found.drift), "drift", library=True),
        '<p class="quiet">Line: running mean of the median of the survivors, with the fitted drift '
        "dotted. Band: 10 to 90 % of them. Crosses: failures.</p>",
        _plotly(temperature_figure(traj, looks), "temperature"),
        scene,
        "<h2>How it was made</h2>",
        f"<table>{''.join(cells)}</table>",
        *(f'<p class="quiet">{escape(note)}</p>' for note in header.notes),
        f"<pre>{escape(chr(10).join(line for line in commands if line))}</pre>",
        "<h2>Models</h2>",
        _table(pd.DataFrame({"head": header.names, "fingerprint": fingerprints})),
        f'<p class="quiet">{escape(versions)}</p>',
    ]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f"<title>{escape(header.title)}</title><style>{STYLE}</style></head>"
        f"<body>{''.join(body)}</body></html>"
    )


def _plotly(made: Chart, name: str, library: bool = False) -> str:
    """The chart as HTML of its own, with Plotly.js where it comes first."""
    made.update_layout(template=template("light"))
    drawn = made.to_html(
        full_html=False, include_plotlyjs=library, div_id=name, config={"displaylogo": False}
    )
    return f'<div class="wide" role="figure" aria-label="{escape(made.alt)}">{drawn}</div>'


def _table(frame: pd.DataFrame) -> str:
    return frame.to_html(index=False, escape=True, border=0)
