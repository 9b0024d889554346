"""What the pages share; whoever imports any of it works for the visitor of the page."""

from fisherdash.runs import people
from pages._ui.visitor import user

# Here and not in app.py, so that no page can run for everybody, however it is started.
people.ask_with(user)
