"""One file a command. Each has HELP, ``add_arguments(parser)`` and ``run(args, console)``.

``run`` returns the mapping that ``--json`` prints; its keys are promised to scripts. What the
commands share is in ``common`` (running and printing) and ``options`` (arguments and their limits).
"""
