"""The method's own words, each explained in one line that needs no paper."""

from typing import Literal

Word = Literal[
    "suspect",
    "out-of-fold",
    "low-margin",
    "law",
    "signed",
    "absolute",
    "uniform",
    "fisher",
    "τ",
    "refined",
    "composed",
    "curvature",
    "effective rank",
    "log-loss",
    "semantic distance",
]

GLOSSARY: dict[Word, str] = {
    "suspect": "A label in doubt: models that never saw the pair call it wrong each time, and not narrowly. It need "
    "not be wrong: hard pairs are suspected too, so a person is asked.",
    "out-of-fold": "By models that never saw the pair: the pairs are cut into parts, and each part is scored by a "
    "model that was trained on the other parts.",
    "low-margin": "Pairs on which the model is least sure, or wrong: each gets more than an equal share of the budget.",
    "law": "The rule by which the budget of new pairs is shared out among the pairs that are there.",
    "signed": "The law that gives most to pairs that the model ranks wrong, then to those on which it wavers.",
    "absolute": "The law that gives most to pairs on which the model wavers, whether it ranks them right or wrong.",
    "uniform": "The law that gives each pair the same.",
    "fisher": "The law that gives a pair as much as its uncertainty tells of the model's weights: p(1 − p).",
    "τ": "How steeply a law favours low margins: 0 gives each pair the same, a large τ nearly all to the lowest.",
    "refined": "The two answers were so alike that a clearly worse one, or a better one, was written before rewording.",
    "composed": "Made into new training pairs: approved wordings of prompt, better and worse answer, recombined.",
    "curvature": "How sharply the loss rises when the model's weights move. Where it is flat, the pairs say little.",
    "effective rank": "How many directions of the weights the training pairs really say something about.",
    "log-loss": "How surprised the model is by the right answers, in nats: 0 is certain and right, 0.69 is a coin.",
    "semantic distance": "How far apart in meaning the two answers are: 0 the same, larger the more they differ.",
}
"""In the order in which a page lists them."""
