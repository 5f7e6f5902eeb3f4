"""What is trained next, what is verified, and what is recommended."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradclinic.contract.parse import parse_spec
from gradclinic.fixes import apply_patch
from gradclinic.trials import advance, failed_result
from gradclinic.trials.arm import Arm
from gradclinic.trials.judging import compare
from tests.gradclinic.trials.builders import OTHER, SICK, SPEC, STILL_SICK, diagnosis, fix, result, run, spec_with

GOOD, BAD, ALONE = fix("good"), fix("bad", 0.02), fix("learning-rate-alone", 0.03, "learning_rate")


def wobble(seed: int) -> float:
    return {5: 0.0, 6: 0.01, 7: -0.01, 8: 0.005, 9: -0.005}[seed]


def sick(seed: int):
    return result(0.1 + abs(wobble(seed)), SICK)


def healthy(seed: int):
    return result(0.9 + wobble(seed))


def named(advanced):
    return {one.id: one for one in advanced.diagnosis.fixes}


def test_a_healthy_training_is_told_to_change_nothing():
    found = advance(SPEC, result(0.9), [])
    assert found.trials == ()
    assert found.diagnosis.proof is None


def test_nothing_is_tried_where_nothing_is_asked_for():
    assert advance(spec_with(fixes=0), result(0.1, SICK, fixes=(GOOD,)), []).trials == ()


def test_a_preflight_has_nothing_to_compare():
    before = result(0.1, SICK, fixes=(GOOD,), steps=0, planned=0)
    found = advance(SPEC | {"training": {"steps": 0}}, before, [])
    assert found.trials == ()
    assert found.diagnosis == before.diagnosis


def test_every_fix_and_the_learning_rate_alone_get_a_first_look_on_the_seed_of_the_baseline():
    found = advance(SPEC, result(0.1, SICK, fixes=(GOOD, BAD, ALONE)), [])
    assert [(trial.fix, trial.seed) for trial in found.trials] == [("good", 5), ("bad", 5), ("learning-rate-alone", 5)]
    assert found.trials[0].document == apply_patch(SPEC, GOOD.patch)
    assert {one.verdict for one in found.diagnosis.fixes} == {"untested"}


def test_what_helps_is_verified_on_all_seeds_against_the_unchanged_spec():
    baseline = result(0.1, SICK, fixes=(GOOD, BAD, ALONE))
    end, asked, results = run(SPEC, baseline, {None: sick, "good": healthy, "bad": sick, "learning-rate-alone": sick})
    good = named(end)["good"]
    assert good.verdict == "verified"
    assert good.recommended
    assert end.diagnosis.fixes[0] is good
    assert good.effect.seeds == 3
    assert good.effect.healthy_seeds == 3
    assert good.effect.findings_resolved == ["loss_not_decreasing"]
    low, high = good.effect.difference_ci95
    assert low <= good.effect.fixed - good.effect.baseline <= high
    assert good.effect.p_value < 0.05
    assert named(end)["bad"].verdict == "no_effect"
    assert {(trial.fix, trial.seed) for trial in asked if trial.fix in {None, "good"}} == {
        (None, 6), (None, 7), ("good", 5), ("good", 6), ("good", 7),
    }  # fmt: skip
    assert len(results) == len(asked) == end.diagnosis.proof.trials == 7
    assert end.diagnosis.proof.cost == 7.0
    assert "Good" in end.diagnosis.proof.recommendation


def test_the_order_in_which_results_come_in_does_not_matter():
    baseline = result(0.1, SICK, fixes=(GOOD, BAD, ALONE))
    end, _, results = run(SPEC, baseline, {None: sick, "good": healthy, "bad": sick, "learning-rate-alone": sick})
    for seed in range(5):
        shuffled = [results[place] for place in np.random.default_rng(seed).permutation(len(results))]
        assert advance(SPEC, baseline, shuffled).diagnosis == end.diagnosis


def test_where_the_learning_rate_alone_does_as_well_it_is_taken_as_the_simpler_change():
    longer = GOOD.model_copy(update={"patch": [*GOOD.patch, {"op": "replace", "path": "/training/seed", "value": 5}]})
    baseline = result(0.1, SICK, fixes=(longer, ALONE))
    end, *_ = run(
        SPEC, baseline, {None: sick, "good": healthy, "learning-rate-alone": lambda s: result(0.89 + wobble(s))}
    )
    assert named(end)["learning-rate-alone"].recommended
    assert not named(end)["good"].recommended


def test_a_healthy_arm_is_taken_before_a_better_one_that_leaves_something_to_mend():
    baseline = result(0.1, SICK, fixes=(GOOD, BAD))
    left = lambda seed: result(0.91 + wobble(seed), OTHER)  # noqa: E731
    end, *_ = run(SPEC, baseline, {None: sick, "good": lambda s: result(0.85 + wobble(s)), "bad": left})
    assert named(end)["good"].recommended


def test_a_chain_is_built_where_one_fix_is_not_enough():
    second = fix("second", 0.5)
    baseline = result(0.1, SICK, fixes=(GOOD,))
    halfway = lambda seed: result(0.6 + wobble(seed), STILL_SICK, fixes=(second,))  # noqa: E731
    end, asked, _ = run(SPEC, baseline, {None: sick, "good": halfway, "good+second": healthy})
    chain = named(end)["good+second"]
    assert chain.verdict == "verified"
    assert chain.recommended
    assert chain.chain == ["good", "second"]
    assert apply_patch(SPEC, chain.patch)["optimizer"]["lr"] == 0.5
    assert chain.effect.baseline == pytest.approx(0.1, abs=0.02)
    assert end.diagnosis.proof.rounds == 2
    assert {trial.round for trial in asked if trial.fix == "good+second"} == {2}
    assert named(end)["good"].verdict == "verified"


def test_a_link_that_adds_nothing_is_not_recommended():
    second = fix("second", 0.5)
    baseline = result(0.1, SICK, fixes=(GOOD,))
    halfway = lambda seed: result(0.6 + wobble(seed), STILL_SICK, fixes=(second,))  # noqa: E731
    end, *_ = run(SPEC, baseline, {None: sick, "good": halfway, "good+second": halfway})
    assert named(end)["good"].recommended
    assert named(end)["good+second"].verdict == "no_effect"


def test_what_seems_to_help_gets_two_seeds_more():
    scores = {5: 0.30, 6: 0.60, 7: 0.15, 8: 0.5, 9: 0.55}
    baseline = result(0.1, SICK, fixes=(GOOD,))
    end, asked, _ = run(spec_with(budget=9), baseline, {None: sick, "good": lambda s: result(scores[s])})
    assert {trial.seed for trial in asked if trial.fix == "good"} == {5, 6, 7, 8, 9}
    assert {trial.seed for trial in asked if trial.fix is None} == {6, 7, 8, 9}
    assert named(end)["good"].verdict == "verified"
    assert named(end)["good"].effect.seeds == 5


def test_a_better_outcome_that_leaves_the_finding_as_it_was_is_not_verified():
    baseline = result(0.1, SICK, fixes=(GOOD,))
    end, *_ = run(SPEC, baseline, {None: sick, "good": lambda s: result(0.5 + wobble(s), SICK)})
    assert named(end)["good"].verdict == "inconclusive"
    assert "still there" in named(end)["good"].verdict_why
    assert "none was proven" in end.diagnosis.proof.recommendation


def test_what_is_worse_on_other_seeds_is_harmful():
    warned = lambda seed: result(0.8 + wobble(seed), STILL_SICK)  # noqa: E731
    scores = {5: 0.82, 6: 0.3, 7: 0.25}
    baseline = result(0.8, STILL_SICK, fixes=(GOOD,))
    end, *_ = run(SPEC, baseline, {None: warned, "good": lambda s: result(scores[s])})
    assert named(end)["good"].verdict in {"harmful", "no_effect"}
    assert not named(end)["good"].recommended


def test_all_means_that_every_fix_that_helps_is_proven():
    baseline = result(0.1, SICK, fixes=(GOOD, BAD, ALONE))
    halfway = lambda seed: result(0.4 + wobble(seed), STILL_SICK)  # noqa: E731
    outcomes = {None: sick, "good": healthy, "bad": halfway, "learning-rate-alone": sick}
    end, *_ = run(spec_with(fixes="all"), baseline, outcomes)
    assert named(end)["good"].verdict == named(end)["bad"].verdict == "verified"
    assert named(end)["good"].recommended


def test_a_hopeless_arm_gets_no_other_seed():
    baseline = result(0.1, SICK, fixes=(GOOD, BAD))
    given_up = lambda _: result(0.5, hopeless=True, steps=34)  # noqa: E731
    end, asked, _ = run(SPEC, baseline, {None: sick, "good": healthy, "bad": given_up})
    assert [trial.seed for trial in asked if trial.fix == "bad"] == [5]
    assert "34 of 100" in named(end)["bad"].verdict_why
    assert end.diagnosis.proof.cost == pytest.approx(5.34)


def test_the_next_fixes_are_tried_where_the_first_ones_did_not_help():
    fixes = (BAD, GOOD)
    baseline = result(0.1, SICK, fixes=fixes)
    end, asked, _ = run(spec_with(fixes=1, budget=20), baseline, {None: sick, "good": healthy, "bad": sick})
    assert [trial.fix for trial in asked][:2] == ["bad", "good"]
    assert named(end)["good"].recommended


def test_no_more_is_trained_than_the_budget_allows():
    baseline = result(0.1, SICK, fixes=(GOOD, BAD, ALONE))
    outcomes = {None: sick, "good": healthy, "bad": healthy, "learning-rate-alone": healthy}
    for budget in (0.5, 1, 2, 4, 8):
        end, asked, _ = run(spec_with(fixes=3, budget=budget), baseline, outcomes)
        assert end.diagnosis.proof.cost <= budget
        assert len(asked) <= budget


def test_a_longer_training_costs_more_of_the_budget():
    longer = GOOD.model_copy(update={"patch": [{"op": "replace", "path": "/training/steps", "value": 400}]})
    baseline = result(0.1, SICK, fixes=(longer,))
    assert advance(spec_with(fixes=1, budget=3), baseline, []).trials == ()
    assert len(advance(spec_with(fixes=1, budget=4), baseline, []).trials) == 1


def test_a_trial_that_could_not_be_done_speaks_for_nobody():
    baseline = result(0.1, SICK, fixes=(GOOD,))
    (trial,) = advance(SPEC, baseline, []).trials
    end = advance(SPEC, baseline, [failed_result(trial, baseline, "The worker was lost.")])
    assert named(end)["good"].verdict == "untested"
    assert "The worker was lost." in named(end)["good"].verdict_why
    assert end.trials == ()


def test_controls_that_could_not_be_done_prove_nothing():
    baseline = result(0.5, SICK, fixes=(GOOD,))
    (trial,) = advance(SPEC, baseline, []).trials
    done = {("good", 5): result(0.55, fix="good", seed=5)}
    while (ahead := advance(SPEC, baseline, list(done.values()))).trials:
        for trial in ahead.trials:
            done[trial.fix, trial.seed] = (
                failed_result(trial, baseline, "Timed out.")
                if trial.fix is None
                else result(0.55, fix=trial.fix, seed=trial.seed)
            )
    good = named(ahead)["good"]
    assert good.verdict == "inconclusive"
    assert good.effect.seeds == 1
    assert good.effect.cost.time == 1.0


def test_a_longer_training_does_not_take_what_a_plain_fix_needs():
    longer = fix("longer").model_copy(update={"patch": [{"op": "replace", "path": "/training/steps", "value": 1000}]})
    baseline = result(0.1, SICK, fixes=(longer, GOOD))
    end, asked, _ = run(spec_with(fixes=2), baseline, {None: sick, "good": healthy, "longer": healthy})
    assert named(end)["good"].verdict == "verified"
    assert {trial.fix for trial in asked} == {None, "good"}
    assert "no room" in named(end)["longer"].verdict_why


def test_a_fix_whose_patch_does_not_apply_stays_untested():
    bad = fix("bad").model_copy(update={"patch": [{"op": "replace", "path": "/nowhere/at/all", "value": 1}]})
    baseline = result(0.1, SICK, fixes=(bad, GOOD))
    end, *_ = run(SPEC, baseline, {None: sick, "good": healthy})
    assert named(end)["bad"].verdict == "untested"
    assert named(end)["good"].recommended


def test_the_control_is_the_learning_rate_that_was_measured():
    lower = fix("learning-rate-lower", 0.05, "learning_rate")
    still = fix("learning-rate-lower-still", 0.005, "learning_rate")
    baseline = result(0.1, SICK, fixes=(GOOD, lower, still))
    assert [trial.fix for trial in advance(spec_with(fixes=1), baseline, []).trials] == ["good", "learning-rate-lower"]


def test_two_seeds_are_enough_to_ask_for_since_a_third_is_trained_where_it_matters():
    baseline = result(0.1, SICK, fixes=(GOOD,))
    end, asked, _ = run(spec_with(fixes=1, seeds=2), baseline, {None: sick, "good": healthy})
    assert named(end)["good"].verdict == "verified"
    assert {trial.seed for trial in asked} == {5, 6, 7, 8}


def test_nothing_is_said_before_it_is_settled():
    baseline = result(0.1, SICK, fixes=(GOOD,))
    assert "Not settled" in advance(SPEC, baseline, []).diagnosis.proof.recommendation
    assert "no room" in advance(spec_with(budget=0.1), baseline, []).diagnosis.proof.recommendation


def test_more_seeds_are_a_second_look_and_count_as_one():
    compared = {}
    for seeds in ((5, 6, 7), (5, 6, 7, 8, 9)):
        base, arm = (
            Arm(change, SPEC, {seed: result(score + wobble(seed) * slope, seed=seed) for seed in (5, 6, 7, 8, 9)})
            for change, score, slope in ((None, 0.5, 1), (GOOD, 0.55, -1))
        )
        compared[seeds] = compare(base, [arm], seeds)["good"].p_value
    assert compared[5, 6, 7] == pytest.approx(2 * compared[5, 6, 7, 8, 9])


def test_losses_are_compared_only_where_they_are_the_same():
    same = result(None, SICK, metric=None, val_skill=0.2, fixes=(GOOD, BAD))
    better = {"metric": None, "val_skill": 0.8}
    end, *_ = run(
        SPEC, same,
        {
            None: lambda s: result(None, SICK, metric=None, val_skill=0.2 + wobble(s)),
            "good": lambda s: result(None, **(better | {"val_skill": 0.8 + wobble(s)})),
            "bad": lambda _: result(None, **better, loss="MSE"),
        },
    )  # fmt: skip
    assert named(end)["good"].verdict == "verified"
    assert named(end)["good"].effect.metric == "val_loss"
    assert named(end)["bad"].verdict != "verified"
    assert named(end)["bad"].verdict_why.startswith("The two have no outcome in common")


@pytest.mark.parametrize(
    ("fixes", "seeds", "proposed", "expected"),
    [(3, 3, None, 14), (3, 3, 2, 11), ("all", 3, 5, 20), (0, 3, 5, 0), (1, 2, 1, 8), (1, 5, 1, 14)],
)
def test_the_budget_is_told_beforehand(fixes, seeds, proposed, expected):
    verification = parse_spec(spec_with(fixes=fixes, seeds=seeds)).verification
    assert verification.trials_at_most(proposed) == expected


def test_the_diagnosis_on_the_way_shows_what_is_settled():
    baseline = result(0.1, SICK, fixes=(GOOD, BAD))
    first = [result(0.9, fix="good", round=1), result(0.1, SICK, fix="bad", round=1)]
    ahead = advance(SPEC, baseline, first)
    assert {trial.fix for trial in ahead.trials} == {None, "good"}
    assert named(ahead)["good"].verdict == "untested"
    assert named(ahead)["bad"].verdict == "no_effect"
    assert ahead.planned >= 2 + len(ahead.trials)
    assert diagnosis(SICK).health == "critical"


def test_seeds_that_a_later_round_adds_to_its_base_change_nothing_that_was_decided_before():
    second = fix("second", 0.5)
    baseline = result(0.1, SICK, fixes=(GOOD,))

    def halfway(seed: int):  # healthy on two of three seeds, and on four of five
        return result(0.6, STILL_SICK, fixes=(second,)) if seed == 5 else result(0.6 + wobble(seed), fixes=(second,))

    scores = {5: 0.75, 6: 0.62, 7: 0.9, 8: 0.75, 9: 0.75}
    end, asked, _ = run(
        spec_with(budget=40), baseline, {None: sick, "good": halfway, "good+second": lambda s: result(scores[s])}
    )
    assert {trial.seed for trial in asked if trial.fix == "good"} == {5, 6, 7, 8, 9}
    assert end.diagnosis.proof.rounds == 2
    assert named(end)["good+second"].verdict != "untested"


@given(data=st.data())
def test_whatever_comes_out_the_proof_ends_and_keeps_to_its_budget(data):
    fixes = (GOOD, BAD, fix("third", 0.3), ALONE)[: data.draw(st.integers(1, 4))]
    count = data.draw(st.sampled_from([1, 2, 3, "all"]))
    seeds, budget = data.draw(st.integers(2, 5)), data.draw(st.floats(0.5, 30))
    left = st.sampled_from([(), (SICK,), (STILL_SICK,), (OTHER,)])
    known = {}

    def outcome(trial):
        key = (trial.fix, trial.seed)
        assert key not in known, "asked for twice"
        score = data.draw(st.sampled_from([None, 0.1, 0.3, 0.31, 0.6, 0.9]))
        found = data.draw(left)
        hopeless = data.draw(st.booleans())
        known[key] = result(
            score, *found, fixes=fixes if found else (), hopeless=hopeless, steps=34 if hopeless else 100,
            fix=trial.fix, seed=trial.seed, round=trial.round,
        )  # fmt: skip
        return known[key]

    document = spec_with(fixes=count, seeds=seeds, budget=budget)
    baseline = result(0.1, SICK, fixes=fixes)
    rounds = 0
    while (ahead := advance(document, baseline, list(known.values()))).trials:
        assert ahead.planned >= len(known) + len(ahead.trials)
        for trial in ahead.trials:
            outcome(trial)
        # What was begun stays: no round is forgotten by what a later one trains.
        assert ahead.diagnosis.proof.rounds >= rounds
        rounds = ahead.diagnosis.proof.rounds
    proof = ahead.diagnosis.proof
    assert proof.rounds >= rounds
    assert proof.cost <= budget + 0.01
    assert proof.trials == len(known)
    assert sum(one.recommended for one in ahead.diagnosis.fixes) <= 1
    assert all(one.verdict == "verified" for one in ahead.diagnosis.fixes if one.recommended)
