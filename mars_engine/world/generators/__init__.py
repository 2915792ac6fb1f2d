"""Generators: what writes the paraphrases and the refined answers."""

from mars_engine.world.generators.extractive_refiner import ExtractiveRefiner
from mars_engine.world.generators.rule_paraphraser import RuleParaphraser

__all__ = ["ExtractiveRefiner", "RuleParaphraser"]
