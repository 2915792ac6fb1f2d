"""What the method's own words mean, where they first stand on a page: closed at first, opened by mouse or keyboard."""

from html import escape

import streamlit as st

from pages.parts.frame.glossary import GLOSSARY, Word

STYLE = """
<style>
  .mars-words { font-size: .88rem; }
  .mars-words summary { cursor: pointer; width: fit-content; opacity: .85; border-radius: .25rem; }
  .mars-words summary:focus-visible { outline: 2px solid currentColor; outline-offset: 2px; }
  .mars-words dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1rem; margin: .5rem 0 0; }
  .mars-words dt { font-weight: 600; margin: 0; }
  .mars-words dd { margin: 0; max-width: 46rem; }
  @media (max-width: 640px) { .mars-words dl { grid-template-columns: 1fr; } .mars-words dd { margin-bottom: .4rem; } }
  @media print { .mars-words { display: none; } }
</style>
"""


def explain(*words: Word) -> None:
    """Offer a line for each word, in a browser's own disclosure: Tab and Enter open it, and nothing is run again."""
    lines = "".join(f"<dt>{escape(word)}</dt><dd>{escape(GLOSSARY[word])}</dd>" for word in words)
    named = escape(", ".join(words))
    summary = f"<summary>What is meant by: {named}</summary>"
    st.html(f'{STYLE}<details class="mars-words">{summary}<dl>{lines}</dl></details>')
