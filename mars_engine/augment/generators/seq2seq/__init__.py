"""Sequence-to-sequence models as generators: they rewrite texts passage by passage.

generators.py   the paraphraser and the refiner, their cards and settings
model.py        loading a model; batches by length
decoding.py     several candidates at once, the same in any batch
"""

from mars_engine.augment.generators.seq2seq.generators import Seq2SeqParaphraser, Seq2SeqRefiner

__all__ = ["Seq2SeqParaphraser", "Seq2SeqRefiner"]
