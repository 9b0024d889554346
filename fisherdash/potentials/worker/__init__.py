"""Models of other libraries, evaluated in the Python that has the library.

``worker`` runs there, with the libraries' ``models``; ``client`` starts it and talks to it,
``trusted`` keeps which files may be opened and by which Python, ``outside`` is the potential, and
``importing`` makes a checkpoint of a model.
"""

from fisherdash.potentials.worker.outside import Outside
