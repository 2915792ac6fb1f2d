"""Preference pairs about lamps and the like in a frame, and settings under which a workspace of them is quick."""

import pandas as pd

COLOURS = ("red", "green", "blue", "grey", "black", "white", "brown", "pink")
QUICK = {"probe": {"layers": "2,4", "l2": 0.01}, "allocation": {"budget": 8}}


def some_pairs(count: int, *, of: str = "lamp") -> pd.DataFrame:
    rows = [
        {
            "prompt": f"Describe the {colour} {of} on the table.",
            "chosen": f"It is important to note that the {of} is {colour}. It stands on a wide table and gives a lot "
            "of light. However, it is quite old.",
            "rejected": f"No idea what {of} you mean. Maybe {colour}.",
        }
        for colour in COLOURS[:count]
    ]
    return pd.DataFrame(rows)
