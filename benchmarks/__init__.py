"""Benchmarks: each one runs its peer in the same process, on the same input, in turn.

``python -m benchmarks`` prints one JSON object with one key a benchmark, each with ``ours``,
``peer``, ``ratio`` and ``unit``. One file a benchmark, with ``run() -> Result``.
"""
