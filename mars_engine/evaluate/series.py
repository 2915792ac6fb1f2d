"""Colours and dashes of figures, the same in the app and in the report, and how many pairs have a point each."""

WRONG, RIGHT = "#b35806", "#2166ac"
"""Ends of the diverging scale of margins: orange below 0 (ranked wrong), blue above (ranked right)."""

SERIES = ("#0072b2", "#b87f00", "#009e73", "#cc79a7", "#4a9bd1", "#d55e00")
"""Colours of lines, bars and points, after Okabe and Ito (2008), so that the colour-blind tell them apart. Two of
theirs are darker here, for each is to be seen on white and on the app's dark ground alike."""

DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
"""The lines beside them, since no colour carries a meaning alone; plotly's names."""

MOST_POINTS = 20_000
"""Up to so many pairs each has a point of its own; above, figures of the app draw a density."""
