"""A comparison as tables, as a picture, and as one HTML file with the commands that repeat it.

Nothing in that file is loaded from elsewhere and nothing in it runs; every text is escaped.
"""

from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import ase
import pandas as pd

from fisherdash.analysis import RunStatistics, Trajectories, Versus, compare
from fisherdash.plots.drift import time_axis_end
from fisherdash.plots.figure import styles
from fisherdash.text import number
from fisherdash.trajectories import KIND_WORDS
from fisherdash.viewer import charts
from fisherdash.workspace.headers import RunHeader

if TYPE_CHECKING:
    from matplotlib.axes import Axes


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
    return "; ".join(words) + "." if words else ""


POINTS = 800
"""Points of each curve in the picture."""
FAINT: Any = {"linewidth": 0.6, "alpha": 0.3}

STYLE = """
body { font: 16px/1.5 sans-serif; color: #1c2430; max-width: 920px; margin: 2rem auto; }
table { border-collapse: collapse; }
th, td { border: 1px solid #d5dbe3; padding: .3rem .6rem; text-align: left; }
pre { background: #f3f5f8; padding: .8rem; white-space: pre-wrap; overflow-wrap: anywhere; }
svg { width: 100%; height: auto; } .quiet { color: #5b6572; font-size: .9rem; }
"""


def run_picture(traj: Trajectories, roles: Sequence[str]) -> str:
    """The curves of a run as SVG: change of energy, survivors and temperature over time."""
    from fisherdash.plots.svg import picture  # Matplotlib is slow to import

    times, made = charts(traj, styles(roles), POINTS)

    def draw(axes: "list[Axes]") -> None:
        for axis, chart in zip(axes, made, strict=True):
            way = "steps-post" if chart.step else "default"
            for line in chart.lines:
                bold = {"linewidth": 1.8, "label": line.name} if line.replica < 0 else FAINT
                axis.plot(times, line.values, color=line.style.colour, linestyle=line.style.border,
                          drawstyle=way, gid=f"{chart.id} {line.name}", **bold)  # fmt: skip
            axis.set(ylabel=chart.title, ylim=chart.limits)
            if chart.ticks is not None:
                axis.set_yticks(chart.ticks)
        axes[0].legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3)
        axes[-1].set(xlabel="time (ps)", xlim=(0, time_axis_end(traj, None)))

    heights = [chart.height for chart in made]
    text = picture(draw, rows=len(made), height=6.0, sharex=True, height_ratios=heights)
    return text[text.index("<svg") :]


def html_report(header: RunHeader, traj: Trajectories, commands: Sequence[str]) -> str:
    """The report of a run with at least one frame.

    Args:
      header: of the run.
      traj: its energies.
      commands: shell commands that repeat the numbers, in their order.
    """
    found = compare(traj)
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
        f"<p><strong>{escape(found.sentence)}</strong></p>",
        *(f"<p>{escape(caution)}</p>" for caution in found.cautions),
        _table(comparison_table(found)),
        f'<p class="quiet">{escape(tests_in_words(found))} Drift is that of the survivors only, so '
        "it is read together with their number. Slopes are Theil–Sen; intervals are bootstrapped "
        "over replicas.</p>",
        run_picture(traj, header.roles),
        '<p class="quiet">Bold: median of the survivors. Faint: each replica until it fails.</p>',
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


def _table(frame: pd.DataFrame) -> str:
    return frame.to_html(index=False, escape=True, border=0)
