"""Settings of the quality gates."""

from typing import Annotated, Literal

from pydantic import Field

from mars_engine.core.config.section import Section

JudgeName = Literal["none", "chat"]


class QualityConfig(Section):
    """The quality gates of proposals: which are on, and their thresholds. A person can overrule each."""

    non_empty: bool = True
    """Gate: no text is empty."""
    not_a_copy: bool = True
    """Gate: the answers are not, case and white space aside, the source's or a variant's."""
    near_duplicate: bool = True
    """Gate: an answer at least says something that neither the source nor an earlier variant says."""
    max_variant_similarity: Annotated[float, Field(ge=-1, le=1)] = 0.99
    """From this cosine similarity on, two variants of an answer are near duplicates."""
    on_prompt: bool = True
    """Gate: answers stay about the prompt."""
    max_prompt_loss: Annotated[float, Field(ge=0, le=2)] = 0.15
    """Most by which an answer's cosine similarity to the prompt may lie below its source's."""
    fidelity: bool = True
    """Gate: paraphrases stay close to what they paraphrase."""
    min_fidelity: Annotated[float, Field(ge=-1, le=1)] = 0.8
    """Least cosine similarity of a paraphrase to the text it paraphrases."""
    numbers: bool = True
    """Gate: paraphrases keep all numbers, in digits or in words."""
    names: bool = True
    """Gate: paraphrases keep all names (capitalised words)."""
    negations: bool = True
    """Gate: paraphrases keep the English negations of each sentence that they say in nearly the same words."""
    code: bool = True
    """Gate: paraphrases keep code between backticks as it is."""
    contrast: bool = True
    """Gate: the two answers stay as far apart as the source's."""
    max_contrast_loss: Annotated[float, Field(ge=0, le=2)] = 0.05
    """Most by which a proposal's distance may lie below its source's."""
    label: bool = True
    """Gate: models that never saw the source do not rank the proposal the wrong way round; sources whose label a person
    has confirmed are not judged."""
    min_label_margin: Annotated[float, Field(ge=-10, le=10)] = -0.25
    """Least out-of-fold margin of a proposal, in standard deviations of those of all pairs."""
    margin: bool = True
    """Gate: the out-of-fold margin stays near the source's."""
    max_margin_loss: Annotated[float, Field(ge=0)] = 1.0
    """Most by which a proposal's out-of-fold margin may lie below its source's, in standard deviations of those of all
    pairs."""
    judge: bool = True
    """Gate: a judge model, where there is one, does not prefer the rejected answer in both orders."""
    judge_by: JudgeName = "none"
    """Who judges for that gate: 'none', or 'chat' (judge_model under [chat]; two requests a proposal)."""
    leakage: bool = True
    """Gate: no question with its answer nearly stands in a held-out pair or evaluated benchmark."""
    max_leakage: Annotated[float, Field(gt=0, le=1)] = 0.6
    """From this share of shared passages (shingles of 16 letters) on, a text is leaked."""
    language: bool = True
    """Gate: the language stays; unsure cases pass."""
    fluency: bool = False
    """Gate: under the language model of [causal], no text reads worse than its source; takes seconds a proposal on a
    processor."""
    max_fluency_loss: Annotated[float, Field(ge=0)] = 1.0
    """Most by which the mean log-likelihood of a text's tokens may lie below its source's, in nats."""
    refusals: bool = True
    """Gate: no refusal and no 'as an AI' that the source did not have (English)."""
    personal_data: bool = True
    """Gate: addresses, phone and card numbers and handles are neither added nor altered."""
    max_length_growth: Annotated[float, Field(ge=0)] = 5.0
    """Most by which composed pairs may differ more in length than their sources, chosen minus rejected, in percent of
    the mean length of an answer; beyond it composing warns."""
