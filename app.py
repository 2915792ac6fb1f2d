"""The page list and the shared frame, nothing else."""

import streamlit as st

st.set_page_config(page_title="MARS", layout="wide")
st.navigation([st.Page("pages/overview.py", title="Overview", default=True)]).run()
