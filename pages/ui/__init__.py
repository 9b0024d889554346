"""What the pages share; whoever imports any of it works for the visitor of the page."""

from fisherdash.workspace import users
from pages.ui.server import user

# Here and not in app.py, so that no page can run for everybody, however it is started.
users.ask_with(user)
