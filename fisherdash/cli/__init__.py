"""The shell's commands by subject: ``models``, ``dynamics``, ``system``.

A command is a pair ``add_NAME(parser)`` and ``NAME(args, console)``; ``fisherdash.__main__`` holds
the table. What they share is in ``console`` (running and printing) and ``options`` (arguments and
their limits).
"""
