"""Rewriting a text passage by passage, whichever model writes.

rewriting.py    a whole text: lay out, write, sort out, put together again
layout.py       what of a text is kept to the letter, and its passages
sentences.py    protected spans, and the sentences of a text
writing.py      what is asked of a model, and what it answers
fitness.py      which candidates are fit to use, and which of them differ most
"""
