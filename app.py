"""The page list and the shared frame, nothing else."""

import streamlit as st

from pages.parts.frame.page import open_frame

PAGES = (
    st.Page("pages/overview.py", title="Overview", icon=":material/home:", default=True),
    st.Page("pages/explore.py", title="Explore", icon=":material/scatter_plot:"),
    st.Page("pages/check.py", title="Check", icon=":material/fact_check:"),
    st.Page("pages/review.py", title="Review", icon=":material/rate_review:"),
    st.Page("pages/people.py", title="People", icon=":material/group:"),
    st.Page("pages/train.py", title="Train", icon=":material/model_training:"),
    st.Page("pages/align.py", title="Align", icon=":material/compare_arrows:"),
    st.Page("pages/results.py", title="Results", icon=":material/query_stats:"),
    st.Page("pages/data.py", title="Data", icon=":material/database:"),
    st.Page("pages/settings.py", title="Settings", icon=":material/settings:"),
    st.Page("pages/present.py", title="Present", visibility="hidden"),
    st.Page("pages/pair.py", title="Pair", visibility="hidden"),
)

open_frame(PAGES)
