"""Streamlit's server, which reads the pairs while the first browser is on its way.

    python pages/parts/frame/server.py OPTIONS...

The options are those of `streamlit run`. `mars app` starts it.
"""

import sys
import threading
from pathlib import Path

HOME = Path(__file__).resolve().parents[3]
"""Where app.py and pages/ are."""


def main() -> None:
    """Serve app.py until the process is ended."""
    sys.path[0] = str(HOME)
    from streamlit.web import cli

    threading.Thread(target=_make_ready, name="making ready", daemon=True).start()
    cli.main(["run", str(HOME / "app.py"), *sys.argv[1:]], prog_name="streamlit")


def _make_ready() -> None:
    """Load what the first page needs. What goes wrong is for that page to meet, and to tell."""
    from mars_engine.core.errors import MarsError
    from pages.parts.frame.page import desk

    try:
        desk().headline()
    except MarsError:
        return
    import plotly.graph_objects as go

    import pages.parts.overview.figures
    import pages.parts.overview.steps  # noqa: F401 (loaded here, where nobody waits for it)

    go.Figure(go.Bar(x=[0], y=[0])).to_json()


if __name__ == "__main__":
    main()
