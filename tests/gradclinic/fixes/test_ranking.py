"""The order of fixes: expected beforehand, and moved by what trials showed."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradclinic.contract.catalogue import FixRecord
from gradclinic.fixes import propose_fixes
from gradclinic.fixes.ranking import PRIOR_TRIES, REMEDIES, STAND_BY_THEMSELVES, TREATMENTS, chance_of_help, rank
from gradclinic.fixes.roots import IMPLIED_BY, root_of
from tests.gradclinic.fixes.sick import LINEAR, OUTPUT, SIGMOID, diagnosis, finding, repeat, spec_of

DEEP = spec_of(repeat(5, LINEAR, SIGMOID), OUTPUT)
VANISHING = finding("vanishing_gradient", "activation")


def record(tries: int, helped: int, harmed: int = 0, rule: Any = "vanishing_gradient") -> FixRecord:
    return FixRecord(rule=rule, tries=tries, helped=helped, harmed=harmed, median_effect=None)


def kinds(records: Any) -> list[str]:
    return [fix.kind for fix in propose_fixes(DEEP, diagnosis(VANISHING), records=records)]


class TestChance:
    def test_without_records_it_is_what_the_order_says(self):
        chances = [chance_of_help(place, []) for place in range(10)]
        assert chances == sorted(chances, reverse=True)
        assert all(0 < chance < 1 for chance in chances)

    def test_as_many_tries_as_the_prior_is_worth_count_half(self):
        tries = int(PRIOR_TRIES)
        expected = chance_of_help(3, [])
        assert chance_of_help(3, [record(tries, tries)]) == pytest.approx((expected + 1) / 2)
        assert chance_of_help(3, [record(tries, 0)]) == pytest.approx(expected / 2)

    @given(st.integers(0, 20), st.integers(0, 1000), st.data())
    def test_it_is_a_share_and_grows_with_help_and_falls_with_harm(self, place, tries, data):
        helped = data.draw(st.integers(0, tries))
        harmed = data.draw(st.integers(0, tries - helped))
        chance = chance_of_help(place, [record(tries, helped, harmed)])
        assert 0 < chance < 1
        assert chance_of_help(place, [record(tries + 1, helped + 1, harmed)]) > chance
        assert chance_of_help(place, [record(tries + 1, helped, harmed)]) < chance
        worse = chance_of_help(place, [record(tries + 1, helped, harmed + 1)])
        assert worse < chance_of_help(place, [record(tries + 1, helped, harmed)])

    def test_one_trial_under_several_findings_counts_once(self):
        one = record(20, 10)
        assert chance_of_help(0, [one, record(5, 5, rule="non_finite")]) == chance_of_help(0, [one])


class TestRecords:
    def test_what_helped_often_moves_up_and_what_never_did_moves_down(self):
        usual = kinds({})
        assert usual[0] == "activation"
        up = kinds({("residual", "vanishing_gradient"): record(40, 38)})
        assert up[0] == "residual"
        down = kinds({("activation", "vanishing_gradient"): record(40, 0)})
        assert down[0] == "normalization"
        assert sorted(down) == sorted(up) == sorted(usual)

    def test_a_single_lucky_try_moves_nothing_past_the_cure(self):
        assert kinds({("optimizer", "vanishing_gradient"): record(1, 1)})[0] == "activation"

    def test_records_of_other_findings_do_not_count(self):
        assert kinds({("residual", "non_finite"): record(40, 40, rule="non_finite")}) == kinds({})


class TestRank:
    def test_what_takes_a_cause_away_stands_before_what_treats(self):
        assert rank("early_stopping", finding("overfitting")) < rank("l1", finding("overfitting"))
        assert rank("batch_size", finding("noisy_gradient"))[0] == 0
        assert rank("learning_rate", finding("undertrained")) < rank("training_length", finding("undertrained"))

    def test_a_kind_is_named_once_for_a_finding(self):
        for table in (REMEDIES, TREATMENTS):
            for named in table.values():
                assert len(set(named)) == len(named)
        assert not any(set(REMEDIES[rule]) & set(TREATMENTS.get(rule, ())) for rule in REMEDIES)
        for rule, named in STAND_BY_THEMSELVES.items():
            assert set(named) <= {*REMEDIES.get(rule, ()), *TREATMENTS.get(rule, ())}


class TestRoots:
    def test_no_two_findings_are_each_others_root(self):
        rules = sorted({*IMPLIED_BY, *itertools.chain(*IMPLIED_BY.values())})
        for one, other in itertools.combinations(rules, 2):
            pair = [finding(one), finding(other)]
            roots = {root_of(found, pair).rule for found in pair}
            assert roots in ({one}, {other}, {one, other})
            assert roots == {one, other} or any(root_of(found, pair) is found for found in pair)

    def test_what_stands_by_itself_is_treated_although_it_follows(self):
        high = finding("learning_rate_too_high", "learning_rate")
        noisy = finding("noisy_gradient", caused_by="learning_rate_too_high")
        document = spec_of(LINEAR, OUTPUT, training={"batch_size": 4})
        fixes = {fix.kind: fix for fix in propose_fixes(document, diagnosis(high, noisy))}
        assert "batch_size" not in fixes  # nothing was measured
        evidence = [{"signal": "noise_over_batch", "value": 12.0}]
        noisy = noisy.model_validate(noisy.model_dump() | {"evidence": evidence})
        fixes = {fix.kind: fix for fix in propose_fixes(document, diagnosis(high, noisy))}
        assert fixes["batch_size"].addresses == ["noisy_gradient"]
        assert fixes["learning_rate"].addresses == ["learning_rate_too_high", "noisy_gradient"]

    def test_a_heavy_penalty_is_suspected_whatever_else_was_found(self):
        heavy = spec_of(repeat(5, LINEAR, SIGMOID), OUTPUT, training={"l1": 0.05})
        effect = finding("loss_not_decreasing", caused_by="vanishing_gradient")
        assert {"l1-lower", "l1-removed"} <= {fix.id for fix in propose_fixes(heavy, diagnosis(VANISHING, effect))}
        light = spec_of(repeat(5, LINEAR, SIGMOID), OUTPUT, training={"l1": 1e-5})
        assert "l1" not in {fix.kind for fix in propose_fixes(light, diagnosis(VANISHING, effect))}
