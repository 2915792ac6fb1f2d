"""Small instruct models as generators: one rewriting a request, in plain text, passage by passage.

generators.py   the paraphraser and the refiner, their cards and settings
writer.py       the model: its chat template, batches by length, several samples, answers
fluency.py      how likely the model finds a text in its place
"""

from mars_engine.augment.generators.causal.generators import CausalParaphraser, CausalRefiner

__all__ = ["CausalParaphraser", "CausalRefiner"]
