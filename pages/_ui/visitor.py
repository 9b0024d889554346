"""Who looks at the page, as far as their work is kept apart from others'.

On one's own machine nobody in particular. Where sign-in is configured (Streamlit's own, ``[auth]``
in ``.streamlit/secrets.toml``), the account; on a shared server without it, the browser, by the
cookie that :mod:`pages._ui.server` gives out. What cannot be told apart sees only its own session.
"""

from collections.abc import Mapping

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from fisherdash.runs import limits, people

COOKIE = "fisherdash_visitor"
_SHORTEST_COOKIE = 32


def user() -> str:
    """The user of the session that this thread runs for; everybody in any other thread."""
    session = get_script_run_ctx(suppress_warning=True)
    if session is None:
        return people.EVERYBODY
    if needs_sign_in():
        identity = _account() if st.user.is_logged_in else None
    elif limits.is_shared():
        identity = _browser()
    else:
        return people.EVERYBODY
    return people.named(identity or f"session {session.session_id}")


def needs_sign_in() -> bool:
    """Whether this server was told to let in only those who have signed in."""
    # Streamlit adds the key where, and only where, [auth] is configured.
    return "is_logged_in" in st.user


def is_one_of_many() -> bool:
    """Whether others use this server, whose work is kept apart."""
    return people.current() != people.EVERYBODY


def may_enter() -> bool:
    """Whether the pages may be shown to whoever looks."""
    return not needs_sign_in() or bool(st.user.is_logged_in)


def sign_in() -> None:
    """All that somebody sees who has to sign in first."""
    st.title("FisherDash")
    st.markdown("Sign in to see your data, models and runs.")
    for provider in _providers():
        label = f"Sign in with {provider}" if provider else "Sign in"
        arguments = (provider,) if provider else ()
        st.button(label, icon=":material/login:", on_click=st.login, args=arguments)


def sign_out() -> None:
    """Who has signed in, with a way out; nothing where nobody has to."""
    if needs_sign_in():
        st.caption("Signed in")
        st.text(str(st.user.get("name") or st.user.get("email") or "without a name"))
        st.button("Sign out", icon=":material/logout:", on_click=st.logout)


def _account() -> str | None:
    """Who signed in: the provider's own, never reused name of the account where it gives one."""
    subject = st.user.get("sub") or st.user.get("email")
    return f"account {st.user.get('iss')} {subject}" if subject else None


def _browser() -> str | None:
    cookie = st.context.cookies.get(COOKIE, "")
    return f"browser {cookie}" if len(cookie) >= _SHORTEST_COOKIE else None


def _providers() -> list[str]:
    """Names of the configured providers; "" for the one that has none."""
    section: Mapping[str, object] = st.secrets["auth"]
    named = [name for name, value in section.items() if isinstance(value, Mapping)]
    return named or [""]
