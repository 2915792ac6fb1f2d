"""Small instruct models as generators: one rewriting a request, in plain text, passage by passage.

generators.py   the paraphraser and the refiner, their cards and settings
manner.py       how such a model is asked, whoever runs it: instructions, samples, echoes, announcements
writer.py       the model: its chat template, batches by length, several samples, answers
fluency.py      how likely the model finds a text in its place
ranking.py      the same, loaded when it is needed, and paraphrases ranked by it
"""

from mars_engine.augment.generators.causal.generators import CausalParaphraser, CausalRefiner
from mars_engine.augment.generators.causal.ranking import CausalFluency, rank_paraphrases

__all__ = ["CausalFluency", "CausalParaphraser", "CausalRefiner", "rank_paraphrases"]
