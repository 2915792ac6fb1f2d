"""Sequence-to-sequence models as generators: they rewrite texts passage by passage.

generators.py   the paraphraser and the refiner, their cards and settings
rewriting.py    a whole text: lay out, write, sort out, put together again
layout.py       what of a text is kept to the letter, and its passages
fitness.py      which candidates are fit to use, and which of them differ most
writing.py      what is asked of a model, and what it answers
model.py        loading a model; batches by length
decoding.py     several candidates at once, the same in any batch
"""

from mars_engine.augment.generators.seq2seq.generators import Seq2SeqParaphraser, Seq2SeqRefiner

__all__ = ["Seq2SeqParaphraser", "Seq2SeqRefiner"]
