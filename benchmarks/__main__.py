"""Run every benchmark and print one JSON object."""

import json
import sys

from benchmarks import forces

BENCHMARKS = {"forces": forces.run}


def main() -> int:
    """One key a benchmark."""
    print(json.dumps({name: run()._asdict() for name, run in BENCHMARKS.items()}, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
