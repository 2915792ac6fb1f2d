"""What becomes of a pair: triage's policy, and people's decisions, which overrule it."""

import pytest

from mars_engine.core.treatment import PairTreatment, treat_pair


def test_a_suspected_pair_is_treated_by_the_policy():
    def treated(policy):
        return treat_pair(suspected=True, policy=policy, smoothing=0.25, decision=None)

    assert treated("keep") == PairTreatment(trained_on=True, label_confidence=1.0, gets_budget=True)
    assert treated("ask") == PairTreatment(trained_on=True, label_confidence=1.0, gets_budget=False)
    assert treated("leave_out") == PairTreatment(trained_on=False, label_confidence=1.0, gets_budget=False)
    assert treated("smooth") == PairTreatment(trained_on=True, label_confidence=0.75, gets_budget=True)
    assert treated("flip") == PairTreatment(trained_on=True, label_confidence=0.0, gets_budget=True)


@pytest.mark.parametrize("policy", ["ask", "keep", "leave_out", "smooth", "flip"])
def test_a_policy_never_touches_a_pair_that_is_not_suspected(policy):
    assert treat_pair(suspected=False, policy=policy, smoothing=0.25, decision=None) == PairTreatment()


@pytest.mark.parametrize("suspected", [True, False])
@pytest.mark.parametrize("policy", ["ask", "keep", "leave_out", "smooth", "flip"])
def test_a_persons_decision_overrules_every_policy(policy, suspected):
    def treated(decision):
        return treat_pair(suspected=suspected, policy=policy, smoothing=0.25, decision=decision)

    assert treated("label_right") == PairTreatment()
    assert treated("flip") == PairTreatment(label_confidence=0.0)
    assert treated("ambiguous") == PairTreatment(label_confidence=0.5, gets_budget=False)
    dropped = treated("drop")
    assert not dropped.trained_on
    assert not dropped.gets_budget


@pytest.mark.parametrize("decision", [None, "label_right", "flip"])
@pytest.mark.parametrize("policy", ["ask", "keep", "smooth", "flip"])
def test_an_indistinct_pair_gets_no_budget_whatever_is_decided(decision, policy):
    treatment = treat_pair(suspected=False, indistinct=True, policy=policy, smoothing=0.1, decision=decision)
    assert not treatment.gets_budget
    assert treatment.trained_on
