"""The sign-in with a shared token, where the server has one; a browser that gave it once is known for a month."""

import getpass
import hashlib
import hmac
import os

import streamlit as st

from mars_engine.service.serving import TOKEN_VARIABLE

SIGNED_IN = "signed in"
"""Name in the session state."""

DAYS_KNOWN = 30

_keeper = st.components.v2.component(
    "mars_keep_signed_in",
    js="""
    export default function ({ data }) {
      const secure = location.protocol === "https:" ? "; Secure" : "";
      document.cookie = `${data.name}=${data.value}; path=/; SameSite=Strict; max-age=${data.seconds}${secure}`;
    }
    """,
)


def is_signed_in() -> bool:
    """Ask for the shared token, where the server has one and this browser has not given it yet."""
    token = os.environ.get(TOKEN_VARIABLE, "")
    if not token:
        return True
    name, value = _cookie(token)
    if hmac.compare_digest(str(st.context.cookies.get(name, "")).encode(), value.encode()):
        return True
    if st.session_state.get(SIGNED_IN):
        _keeper(key="keep signed in", data={"name": name, "value": value, "seconds": DAYS_KNOWN * 24 * 3600})
        return True
    st.title("MARS")
    st.text("This workspace is shared with those who have its token.")
    with st.form("sign-in", border=True):
        given = st.text_input("Token", type="password", autocomplete="current-password")
        if st.form_submit_button("Sign in"):
            if hmac.compare_digest(given.encode(), token.encode()):
                st.session_state[SIGNED_IN] = True
                st.rerun()
            st.text("⚠ That is not the token. Ask whoever started the server.")
    return False


def offered_name() -> str:
    """Return the name of this machine's user, who has opened the app; "" where a token lets others in too."""
    if os.environ.get(TOKEN_VARIABLE):
        return ""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # a user without a name, as in some containers
        return ""


def _cookie(token: str) -> tuple[str, str]:
    """Return the name and value of the cookie of those who gave the token. The token cannot be read from it, and a
    server with another token, on this machine or later, has another."""
    digest = hmac.new(token.encode(), b"a browser that gave the token", hashlib.sha256).hexdigest()
    return f"mars_{digest[:8]}", digest[8:]
