"""Generators: what writes the paraphrases and the refined answers."""

from mars_engine.augment.generators.extractive_refiner import ExtractiveRefiner
from mars_engine.augment.generators.rule_paraphraser import RuleParaphraser

__all__ = ["ExtractiveRefiner", "RuleParaphraser"]
