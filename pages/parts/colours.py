"""Colours, the same everywhere. They tell apart for the colour-blind, and never carry a meaning alone."""

WRONG, NEUTRAL, RIGHT = "#b35806", "#f7f7f7", "#2166ac"
"""Ends and middle of the diverging scale of margins: orange below 0 (ranked wrong), blue above (ranked right)."""

MARGIN_SCALE = ((0.0, "#b35806"), (0.25, "#f1a340"), (0.5, "#d9d9d9"), (0.75, "#67a9cf"), (1.0, "#2166ac"))
"""For plotly's `colorscale`, with `cmid=0`; grey in the middle, so that a point near 0 shows on white and on black."""

PALE = "rgba(128, 128, 128, 0.25)"
"""Points and bars outside the selection: context."""

SERIES = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00")
"""Lines and bars of several models (Okabe and Ito 2008), told apart by dash or pattern too."""

DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
