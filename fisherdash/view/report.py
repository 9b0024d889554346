"""A comparison as one HTML file: numbers, curves, settings and the commands that repeat it.

Nothing in it is loaded from elsewhere and nothing in it runs; every text is escaped.
"""

from collections.abc import Iterable, Sequence
from html import escape

import ase
import pandas as pd

from fisherdash.analyse import Trajectories, compare
from fisherdash.runs.header import RunHeader
from fisherdash.view.drift import time_axis_end
from fisherdash.view.linked import charts
from fisherdash.view.svg import picture
from fisherdash.view.tables import comparison_table, tests_in_words
from fisherdash.view.theme import styles

POINTS = 800
"""Points of each curve in the picture."""

STYLE = """
body { font: 16px/1.5 sans-serif; color: #1c2430; max-width: 920px; margin: 2rem auto; }
table { border-collapse: collapse; }
th, td { border: 1px solid #d5dbe3; padding: .3rem .6rem; text-align: left; }
pre { background: #f3f5f8; padding: .8rem; white-space: pre-wrap; overflow-wrap: anywhere; }
svg { width: 100%; height: auto; } .quiet { color: #5b6572; font-size: .9rem; }
"""


def run_picture(traj: Trajectories, roles: Sequence[str]) -> str:
    """The curves of a run as SVG."""
    times, made = charts(traj, styles(roles), POINTS)
    return picture(times, made, traj.names, time_axis_end(traj, None))


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
    body = [
        f"<h1>{escape(header.title)}</h1>",
        f"<p><strong>{escape(found.sentence)}</strong></p>",
        *(f"<p>{escape(caution)}</p>" for caution in found.cautions),
        _table(comparison_table(found)),
        f'<p class="quiet">{escape(tests_in_words(found))} Drift is that of the survivors only, so '
        "it is read together with their number. Slopes are Theil–Sen; intervals are bootstrapped "
        "over replicas.</p>",
        run_picture(traj, header.roles),
        '<p class="quiet">Bold: median of the living. Faint: each replica until its death.</p>',
        "<h2>How it was made</h2>",
        _facts(facts.items()),
        *(f'<p class="quiet">{escape(note)}</p>' for note in header.notes),
        f"<pre>{escape(chr(10).join(line for line in commands if line))}</pre>",
        "<h2>Models</h2>",
        _table(pd.DataFrame([{"head": name, **facts} for name, facts in _models(header)])),
        f'<p class="quiet">{escape(_versions(header))}</p>',
    ]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f"<title>{escape(header.title)}</title><style>{STYLE}</style></head>"
        f"<body>{''.join(body)}</body></html>"
    )


def _models(header: RunHeader) -> Iterable[tuple[str, dict[str, object]]]:
    known = header.checkpoints or ({},) * len(header.names)
    for name, facts in zip(header.names, known, strict=False):
        yield name, {"fingerprint": facts.get("fingerprint", "unknown")}


def _versions(header: RunHeader) -> str:
    return ", ".join(f"{name} {number}" for name, number in header.versions.items())


def _facts(rows: Iterable[tuple[str, object]]) -> str:
    cells = "".join(f"<tr><th>{escape(k)}</th><td>{escape(str(v))}</td></tr>" for k, v in rows)
    return f"<table>{cells}</table>"


def _table(frame: pd.DataFrame) -> str:
    return frame.to_html(index=False, escape=True, border=0)
