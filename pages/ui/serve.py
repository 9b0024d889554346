"""Starts the server of pages.ui.server: ``python -m pages.ui.serve [STREAMLIT OPTIONS]``."""

import sys

from streamlit.runtime.pages_manager import PagesManager
from streamlit.web.cli import main

from fisherdash.background import few_arenas
from fisherdash.errors import InputError
from fisherdash.workspace import limits
from pages.ui.server import allowed_hosts

if __name__ == "__main__":
    few_arenas()
    try:
        limits.check_variables()
        allowed_hosts()
    except InputError as error:
        sys.stderr.write(f"fisherdash app: {error}\n")
        sys.exit(2)
    # Until app.py has run once, Streamlit takes a folder called pages/ for the whole app, and a
    # bookmark that comes first to a fresh server would meet a page without its app.
    PagesManager.uses_pages_directory = False
    main(["run", "pages/ui/server.py", *sys.argv[1:]], prog_name="streamlit")
