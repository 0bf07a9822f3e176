"""Ranks are claims: planted cases say which claims may be made, and which must not."""

from __future__ import annotations

import random
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from genbench.errors import UsageError
from genbench.metrics.values import Interval, MetricValue
from genbench.results.aggregation import RowKey, Summary, group, summarize
from genbench.results.differences import difference
from genbench.results.margins import Margin, margin_of
from genbench.results.ranking import holm, pareto_front, standings
from genbench.results.records import Record


def metric(value, error=1.0, *, signature="fid|n=1000", df=None, **changes):
    t = scipy.stats.norm.ppf(0.975) if df is None else scipy.stats.t.ppf(0.975, df)
    interval = None
    if error is not None:
        interval = Interval(value - t * error, value + t * error, 0.95, "block-jackknife")
    return replace(
        MetricValue("ok", float(value), interval, error, signature=signature, n=1000), **changes
    )


def record(name, seed, value=None, *, attempt=1, status="ok", profile="smoke", **generator):
    """A record whose `value` is a float, a MetricValue, or None for a record without metrics."""
    if value is not None and not isinstance(value, MetricValue):
        value = metric(value)
    cell = {
        "suite": {"name": "toy", "version": "1", "task": f"sha256:{profile}", "hash": "sha256:1",
                  "profile": profile},
        "generator": {"name": name, "version": "1", "provider": "genbench 0", "params": {},
                      **generator},
        "seed": seed,
    }  # fmt: skip
    return Record(
        record_id=f"{name}-{seed}-{attempt}",
        cell_key=f"{name}-{seed}",
        status=status,
        cell=cell,
        dataset={},
        metrics={} if value is None else {"fid": value, "nll": value},
        attempt={"n": attempt},
        error=None if status == "ok" else {"phase": "fit", "message": "went wrong"},
    )


def rows_of(**values):
    """One row per name; its seeds are 0, 1, ... in the order of the values."""
    return [
        record(name.replace("_", "-"), seed, value)
        for name, row in values.items()
        for seed, value in enumerate(row)
    ]


def ranked(records, metric_id="fid", *, higher_is_better=False, **options):
    found = standings(records, metric_id, higher_is_better=higher_is_better, **options)
    return {standing.row.name: standing for standing in found}


# --- one number per row ------------------------------------------------------------------------


def test_the_greatest_attempt_among_ok_records_counts():
    records = [record("a", 0, 1.0, attempt=1), record("a", 0, 2.0, attempt=2)]
    records.append(record("a", 0, attempt=3, status="failed"))
    (only,) = group(records).values()
    assert [r.metrics["fid"].value for r in only] == [2.0]


def test_without_an_ok_record_the_newest_failure_is_shown():
    records = [record("a", 0, attempt=n, status=s) for n, s in [(2, "oom"), (1, "failed")]]
    summary = summarize(next(iter(group(records).values())), "fid")
    assert summary.status == "failed"
    assert summary.problems == {0: "oom: went wrong"}


def test_versions_parameters_providers_and_sources_are_rows_of_their_own():
    variants = [{}, {"version": "2"}, {"provider": "other"}, {"params": {"lr": 1}}, {"source": "x"}]
    rows = group([record("a", 0, 1.0, **v) for v in variants])
    assert len(rows) == 5
    first = RowKey.of(record("a", 0, params={"b": 1, "a": 2}))
    assert first == RowKey.of(record("a", 1, params={"a": 2, "b": 1}))


def test_profiles_are_never_ranked_together():
    with pytest.raises(UsageError, match=r"2 tasks cannot be ranked together.*profile"):
        group([record("a", 0, 1.0), record("b", 0, 1.0, profile="standard")])


def test_one_seed_has_its_sampling_interval_and_an_unknown_training_spread():
    value = metric(5.0, 0.5, df=19)
    summary = summarize([record("a", 7, value)], "fid")
    assert summary.interval == value.interval
    assert summary.training_sd is None
    assert (summary.basis, summary.std_error, summary.n_seeds) == ("sampling", 0.5, 1)
    assert summary.df == pytest.approx(19, rel=1e-6)


def test_several_seeds_give_scipys_t_interval_and_add_no_sampling_error():
    values = [3.0, 4.0, 8.0]
    summary = summarize([record("a", i, metric(v, 100.0)) for i, v in enumerate(values)], "fid")
    expected = scipy.stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert summary.mean == 5.0
    assert summary.training_sd == pytest.approx(np.std(values, ddof=1))
    assert summary.interval.low == pytest.approx(expected.low)
    assert summary.interval.high == pytest.approx(expected.high)
    assert summary.sampling_error == pytest.approx(100.0)
    assert summary.values == {0: 3.0, 1: 4.0, 2: 8.0}


def test_a_control_keeps_its_sampling_error_since_its_seeds_share_rows():
    records = [record("heldout", s, metric(3.0, 0.2), family="control") for s in range(3)]
    summary = summarize(records, "fid")
    assert summary.basis == "sampling"
    assert summary.std_error == pytest.approx(0.2)


def test_equal_values_at_every_seed_do_not_become_certainty():
    summary = summarize([record("a", s, metric(1.0, 0.2)) for s in range(3)], "fid")
    assert summary.training_sd == 0.0
    assert summary.std_error == pytest.approx(0.2)


def test_seeds_measured_differently_have_no_mean():
    records = [record("a", s, metric(1.0, signature=f"fid|v{s}")) for s in range(2)]
    summary = summarize(records, "fid")
    assert (summary.status, summary.mean) == ("undefined", None)
    assert "fid|v0; fid|v1" in summary.reason


@pytest.mark.parametrize("status", ["not_applicable", "undefined", "failed"])
def test_a_typed_cell_stays_typed(status):
    value = MetricValue(status, reason="because")
    summary = summarize([record("a", 0, value)], "fid")
    assert (summary.status, summary.reason, summary.mean) == (status, "because", None)


def test_a_metric_that_the_record_lacks_is_missing():
    summary = summarize([record("a", 0)], "fid")
    assert summary.status == "missing"
    assert "has no fid" in summary.reason


def test_only_the_seeds_asked_for_count():
    records = [record("a", s, float(s)) for s in range(4)]
    assert summarize(records, "fid", seeds=[1, 3]).values == {1: 1.0, 3: 3.0}
    assert summarize(records, "fid", seeds=[9]).status == "missing"


# --- differences -------------------------------------------------------------------------------


def test_two_or_more_seeds_are_compared_by_welch():
    a, b = [1.0, 2.0, 4.0], [6.0, 6.5, 9.0]
    first, second = (summarize(rows_of(x=v), "fid") for v in (a, b))
    result = difference(first, second)
    expected = scipy.stats.ttest_ind(a, b, equal_var=False)
    assert result.estimate == pytest.approx(np.mean(a) - np.mean(b))
    assert result.p_value == pytest.approx(expected.pvalue)
    assert result.df == pytest.approx(expected.df)
    low, high = expected.confidence_interval(0.95)
    assert (result.interval.low, result.interval.high) == pytest.approx((low, high))
    assert result.basis == "seeds"


def test_one_seed_is_compared_by_sampling_error_and_marked():
    first, second = (
        summarize([record(n, 0, metric(v, 3.0))], "fid") for n, v in (("a", 0), ("b", 9))
    )
    result = difference(first, second)
    assert result.basis == "sampling"
    assert result.std_error == pytest.approx(np.sqrt(18))
    assert result.p_value == pytest.approx(2 * scipy.stats.norm.sf(9 / np.sqrt(18)))
    assert result.significant


def test_without_any_standard_error_nothing_is_significant():
    first, second = (
        summarize([record(n, 0, metric(v, None))], "fid") for n, v in (("a", 0), ("b", 9))
    )
    result = difference(first, second)
    assert result.estimate == -9.0
    assert not result.significant
    assert "no standard error" in result.reason


def test_numbers_with_other_signatures_kinds_or_metrics_do_not_compare():
    base = Summary(RowKey("a", "1", "p"), "nll", False, "ok", mean=1.0, std_error=0.1)
    for changes, words in [
        ({"signature": "v2"}, "other signature"),
        ({"likelihood": "exact"}, "other likelihood kind"),
        ({"metric": "fid"}, "different metrics"),
        ({"mean": None, "status": "failed", "reason": "broke"}, "a has no nll: broke"),
    ]:
        result = difference(base, replace(base, **changes))
        assert result.estimate is None
        assert not result.significant
        assert words in result.reason


@given(st.lists(st.floats(-9, 9), min_size=2, max_size=4), st.floats(-9, 9), st.floats(0.1, 3))
def test_a_difference_is_antisymmetric(values, other, error):
    a = summarize([record("a", s, metric(v, error)) for s, v in enumerate(values)], "fid")
    b = summarize([record("b", 0, metric(other, error))], "fid")
    there, back = difference(a, b), difference(b, a)
    assert there.estimate == -back.estimate
    assert there.p_value == back.p_value
    assert there.interval.low == -back.interval.high


def test_holm_rejects_what_the_textbook_does():
    assert holm([0.01, 0.04, 0.03, 0.005]) == [True, False, False, True]
    assert holm([0.2, 0.001]) == [False, True]
    assert holm([]) == []


# --- ranks -------------------------------------------------------------------------------------


def test_clear_orders_have_clear_ranks_in_either_direction():
    records = rows_of(a=[1, 1.1, 0.9], b=[5, 5.1, 4.9], c=[9, 9.1, 8.9])
    low, high = ranked(records), ranked(records, higher_is_better=True)
    assert [low[n].rank_interval for n in "abc"] == [(1, 1), (2, 2), (3, 3)]
    assert [high[n].rank_interval for n in "abc"] == [(3, 3), (2, 2), (1, 1)]
    assert [s.row.name for s in standings(records, "fid", higher_is_better=True)] == list("cba")
    assert all(s.basis == "seeds" and s.of == 3 for s in low.values())


def test_rows_that_noise_could_swap_are_ties():
    found = ranked(rows_of(a=[1, 3, 2], b=[2, 4, 3], c=[90, 91, 92]))
    assert [found[n].rank for n in "abc"] == [1, 2, 3]
    assert [found[n].rank_interval for n in "abc"] == [(1, 2), (1, 2), (3, 3)]
    assert [t.name for t in found["a"].ties] == ["b"]
    assert found["c"].ties == ()


def test_a_difference_that_is_significant_alone_is_not_after_correction():
    """Two rows 2.2 standard errors apart differ alone, and are a tie among many rows."""
    pair = {"a": metric(0.0), "b": metric(2.2 * np.sqrt(2))}
    two = ranked([record(n, 0, v, family="scored") for n, v in pair.items()])
    assert two["b"].rank_interval == (2, 2)
    assert two["b"].basis == "sampling"
    others = {f"x{i}": metric(1.0 + i / 10) for i in range(6)}
    many = ranked([record(n, 0, v, family="scored") for n, v in {**pair, **others}.items()])
    assert many["b"].rank_interval == (1, 8)


def test_controls_are_never_ranked():
    records = [*rows_of(a=[2, 2.1], b=[3, 3.1])]
    records += [record("noise", s, 0.1, family="control") for s in range(2)]
    noise = ranked(records)["noise"]
    assert (noise.ranked, noise.reason, noise.rank) == (False, "control", None)
    assert ranked(records)["a"].rank == 1


def test_a_row_with_fewer_seeds_is_incomplete_whatever_its_value():
    found = ranked(rows_of(a=[5, 5.1, 5.2], b=[6, 6.1, 6.2], lucky=[0.1]))
    assert not found["lucky"].ranked
    assert found["lucky"].reason == "incomplete: 1 of 3 seeds (lacks 1, 2)"
    assert (found["lucky"].place, found["a"].of) == (1, 2), "its place is shown, and claims nothing"
    assert found["a"].rank == 1


def test_a_failed_seed_makes_a_row_incomplete():
    records = [*rows_of(a=[5, 5.1], b=[1]), record("b", 1, status="failed")]
    found = ranked(records)
    assert "lacks 1" in found["b"].reason
    assert found["b"].summary.problems == {1: "failed: went wrong"}


def test_the_caller_may_say_which_seeds_make_a_row_complete():
    records = rows_of(a=[5, 5.1, 99.0], b=[6, 6.1])
    assert not ranked(records)["b"].ranked
    found = ranked(records, seeds=[0, 1])
    assert (found["a"].rank, found["b"].rank) == (1, 2)
    assert found["a"].summary.mean == pytest.approx(5.05)


def test_another_signature_is_shown_but_not_ranked():
    records = [*rows_of(a=[5], b=[6]), record("c", 0, metric(0.0, signature="fid|old"))]
    odd = ranked(records)["c"]
    assert (odd.ranked, odd.reason) == (False, "other signature: fid|old")
    assert odd.summary.mean == 0.0


def test_likelihood_kinds_rank_apart():
    kinds = {"v": "lower-bound", "w": "lower-bound", "f": "dequantized"}
    records = [
        record(n, seed, 1.0 + i * 50 + seed, likelihood=k)
        for i, (n, k) in enumerate(kinds.items())
        for seed in range(2)
    ]
    found = ranked(records, "nll")
    assert [(found[n].rank, found[n].of) for n in "vw"] == [(1, 2), (2, 2)]
    assert (found["f"].ranked, found["f"].rank) == (False, None)
    assert "other likelihood kind" in found["f"].reason
    assert ranked(records, "fid")["f"].of == 3, "the kind matters to likelihoods only"


def test_a_row_without_a_number_says_why():
    records = [*rows_of(a=[1], b=[2]), record("gan", 0, MetricValue("not_applicable", reason="no"))]
    records.append(record("bad", 0, status="timeout"))
    found = ranked(records)
    assert (found["gan"].reason, found["gan"].ranked) == ("no", False)
    assert (found["bad"].reason, found["bad"].ranked) == ("timeout: went wrong", False)
    assert len(found) == 4


def test_a_metric_without_direction_ranks_nothing():
    found = ranked(rows_of(a=[1], b=[2]), higher_is_better=None)
    assert {s.reason for s in found.values()} == {"fid has no direction"}


# --- one seed ----------------------------------------------------------------------------------


def test_rows_trained_at_one_seed_have_a_place_and_no_rank():
    found = standings(rows_of(b=[5.0], a=[1.0], c=[9.0]), "fid", higher_is_better=False)
    assert [(s.row.name, s.place) for s in found] == [("a", 1), ("b", 2), ("c", 3)]
    assert all(
        (s.ranked, s.rank, s.rank_interval, s.ties) == (False, None, None, ()) for s in found
    )
    assert all("one seed" in s.reason for s in found)


def test_equal_rows_at_one_seed_are_never_ranked_apart():
    """Their sampling errors are a hundredth of what trainings differ by."""
    rng = np.random.default_rng(0)
    boards = [
        [record(f"g{i}", 0, metric(v, 0.01)) for i, v in enumerate(row)]
        for row in rng.normal(5.0, 1.0, size=(50, 4))
    ]
    assert not any(s.rank_interval for b in boards for s in ranked(b).values())


def test_fixed_samples_rank_among_themselves_by_sampling_error():
    records = [record(n, 0, v, family="scored") for n, v in (("x", 1.0), ("y", 50.0))]
    found = ranked([*records, record("trained", 0, 20.0)])
    assert (found["x"].rank_interval, found["y"].rank_interval) == ((1, 1), (2, 2))
    assert (found["x"].of, found["x"].basis) == (2, "sampling")
    assert (found["trained"].ranked, found["trained"].place, found["y"].place) == (False, 2, 3)


def test_fixed_samples_need_no_seeds_beside_trained_rows():
    found = ranked([*rows_of(a=[5, 5.1, 4.9]), record("x", 0, metric(90.0), family="scored")])
    assert (found["a"].rank, found["x"].rank, found["x"].of) == (1, 2, 2)


def test_one_row_that_could_be_ranked_has_no_rank_beside_rows_of_one_seed():
    records = [record("x", 0, 50.0, family="scored"), *rows_of(a=[1.0], b=[2.0])]
    found = ranked(records)
    assert (found["x"].ranked, found["x"].rank, found["x"].place) == (False, None, 3)


def test_rows_of_one_seed_each_at_another_seed_still_have_an_order():
    found = ranked([record("a", 0, 5.0), record("b", 7, 6.0)])
    assert [found[n].place for n in "ab"] == [1, 2]


# --- the floor ---------------------------------------------------------------------------------


def calibrated(*records, real=3.0, gaussian=103.0, error=0.1, signature="fid|n=1000"):
    """Records with their controls; a twentieth of the way to `gaussian` is the margin."""
    values = {"heldout": real, "gaussian": gaussian}
    return [*records] + [
        record(n, 0, metric(v, error, signature=signature), family="control")
        for n, v in values.items()
    ]


def floors(records, **options):
    return {n: s.floor for n, s in ranked(records, **options).items()}


def test_only_controls_of_genbenchs_own_are_controls():
    """A record of elsewhere that calls itself one is neither floor nor scale, and has no rank."""
    real = calibrated(record("mine", 0, metric(3.0, 0.1)), real=3.0, gaussian=40.0)
    theirs = [
        record("heldout", 0, metric(1.0, 0.1), family="control", provider="theirs 1.0"),
        record("gaussian", 0, metric(9.0, 0.1), family="control", provider="file noise.py"),
        record("shuffled", 0, metric(9.0, 0.1), family="control"),
    ]
    found = standings([*real, *theirs], "fid", higher_is_better=False)
    reasons = {(s.row.name, s.row.provider): s.reason for s in found if s.row.name != "mine"}
    poses = "calls its family control, and is none of genbench's"
    assert reasons == {
        ("heldout", "genbench 0"): "control",
        ("gaussian", "genbench 0"): "control",
        ("heldout", "theirs 1.0"): poses,
        ("gaussian", "file noise.py"): poses,
        ("shuffled", "genbench 0"): poses,
    }
    (mine,) = (s for s in found if s.row.name == "mine")
    assert mine == ranked(real)["mine"]


def test_at_the_floor_is_who_is_shown_to_be_within_the_margin():
    records = rows_of(good=[3.0, 3.2, 2.9], better=[1.0, 1.1, 0.9], bad=[9.0, 9.1, 9.2])
    assert floors(calibrated(*records)) == {
        "good": "at", "better": "at", "bad": "worse", "heldout": None, "gaussian": None,
    }  # fmt: skip


def test_a_wide_interval_is_no_evidence_of_being_as_good_as_real_data():
    """106 samples, FID 70 +- 60 beside 40 of real data: not worse for sure, and far from shown."""
    row = record("mine", 0, metric(70.0, 30.0))
    assert floors(calibrated(row, real=40.0, gaussian=400.0, error=20.0))["mine"] == "cannot tell"
    even_equal = record("mine", 0, metric(40.0, 30.0))
    found = ranked(calibrated(even_equal, real=40.0, gaussian=400.0, error=20.0))["mine"]
    assert (found.floor, found.at_floor) == ("cannot tell", False)


@given(
    st.floats(-20, 20), st.floats(0.05, 4), st.floats(0.05, 4), st.integers(2, 40),
    st.floats(0.5, 30),
)  # fmt: skip
def test_the_verdict_is_the_one_sided_test_against_the_margin(gap, a, b, df, margin):
    """Oracle: scipy's t with Welch's degrees of freedom."""
    row, real = metric(gap, a, df=df), metric(0.0, b, df=df)
    records = [record("mine", 0, row), record("heldout", 0, real, family="control")]
    found = ranked(records, margin=Margin(amounts={"fid": margin}))["mine"]
    error = np.hypot(a, b)
    welch = error**4 / (a**4 / df + b**4 / df)
    p_at = scipy.stats.t.cdf((gap - margin) / error, welch)
    p_worse = 2 * scipy.stats.t.sf(abs(gap) / error, welch)
    if min(abs(p_at - 0.05), abs(p_worse - 0.05)) > 1e-6:
        worse = "worse" if gap > 0 and p_worse < 0.05 else "cannot tell"
        assert found.floor == ("at" if p_at < 0.05 else worse)


def test_without_a_comparable_floor_nothing_is_said_of_it():
    records = rows_of(a=[3.0, 3.2])
    assert floors(records)["a"] is None
    assert floors(calibrated(*records, signature="fid|n=397"))["a"] is None


def test_without_errors_or_without_a_scale_nobody_can_tell():
    assert floors(calibrated(record("a", 0, metric(3.0, None))))["a"] == "cannot tell"
    records = rows_of(a=[3.0, 3.2, 2.9])
    assert floors(calibrated(*records, gaussian=3.0))["a"] == "cannot tell"
    alone = [*records, record("heldout", 0, metric(3.0, 0.1), family="control")]
    assert floors(alone)["a"] == "cannot tell"
    assert floors(alone, margin=Margin(amounts={"fid": 2.0}))["a"] == "at"


def test_a_value_of_too_few_rows_is_never_called_as_good_as_real_data():
    noted = metric(3.0, 0.1, details={"note": "too few rows (n < d)"})
    found = ranked(calibrated(record("a", 0, noted)))["a"]
    assert (found.floor, found.summary.note) == ("cannot tell", "too few rows (n < d)")


def test_a_suite_says_its_margin_and_strangers_say_nothing():
    assert margin_of({"floor": {"margin": 0.2}}) == Margin(0.2)
    assert margin_of({"floor": {"margin": {"fid": 2, "kid": True}}}) == Margin(amounts={"fid": 2.0})
    for odd in ({}, {"floor": 3}, {"floor": {"margin": "x"}}, {"floor": {"margin": -1}}):
        assert margin_of(odd) == Margin()


def board(real, mine):
    """Four metrics of real rows, of one row, and of noise."""

    def one(name, values, family):
        made = record(name, 0, 1.0, family=family)
        found = {k: metric(v, 0.001, signature=k) for k, v in values.items()}
        return replace(made, metrics=found)

    noise = dict.fromkeys(real, 0.0)
    return [one("heldout", real, "control"), one("noise", noise, "control"), one("mine", mine, "x")]


REAL = {"precision": 0.7, "recall": 0.7, "density": 1.0, "coverage": 0.95}


@pytest.mark.parametrize(
    ("metric_id", "mine", "verdict"),
    [
        ("precision", {"precision": 1.0, "recall": 0.0}, None),  # a blank smear
        ("density", {"density": 4.0, "coverage": 0.05}, None),
        ("recall", {"recall": 1.0, "precision": 0.01}, None),  # scattered everywhere
        ("coverage", {"coverage": 0.97, "density": 0.1}, None),
        ("precision", {"precision": 1.0, "coverage": 0.05}, None),
        ("precision", {"precision": 0.71, "recall": 0.69, "coverage": 0.95}, "at"),
        ("recall", {"precision": 0.6, "recall": 0.7}, "at"),
    ],
)
def test_no_mark_on_a_metric_whose_partner_collapsed(metric_id, mine, verdict):
    found = ranked(board(REAL, mine), metric_id, higher_is_better=True)["mine"]
    assert found.floor == verdict


# --- laws --------------------------------------------------------------------------------------

tables = st.integers(1, 3).flatmap(
    lambda seeds: st.lists(
        st.lists(st.floats(-100, 100), min_size=seeds, max_size=seeds), min_size=1, max_size=7
    )
)


def from_table(table):
    return rows_of(**{f"g{i}": row for i, row in enumerate(table)})


@settings(deadline=None)
@given(tables, st.booleans(), st.randoms(use_true_random=False))
def test_laws_of_every_ranking(table, higher_is_better, rng: random.Random):
    records = from_table(table)
    found = standings(records, "fid", higher_is_better=higher_is_better)
    count = len(table)
    many = len(table[0]) > 1
    assert all(s.ranked == many and s.of == (count if many else 0) for s in found)
    places = [s.place for s in found]
    assert places == sorted(places)
    assert places[0] == 1
    for standing in found if many else ():
        low, high = standing.rank_interval
        assert 1 <= low <= standing.rank <= high <= count
        assert all(standing.row in ranked_ties(found, tie) for tie in standing.ties)
        assert len(standing.ties) == high - low
    if many:
        assert [s.rank for s in found] == places
    rng.shuffle(records)
    assert standings(records, "fid", higher_is_better=higher_is_better) == found


def ranked_ties(found, row):
    return next(s.ties for s in found if s.row == row)


@settings(deadline=None)
@given(tables, st.booleans())
def test_a_row_better_by_far_is_first_and_only_first(table, higher_is_better):
    best = 1e9 if higher_is_better else -1e9
    records = from_table(table) + rows_of(best=[best + s for s in range(len(table[0]))])
    # Two or three seeds bound how small a p-value can be: take fixed samples with their own errors.
    records = [
        replace(r, cell={**r.cell, "generator": {**r.cell["generator"], "family": "scored"}})
        for r in records
        if r.seed == 0
    ]
    standing = ranked(records, higher_is_better=higher_is_better)["best"]
    assert (standing.rank, standing.rank_interval, standing.ties) == (1, (1, 1), ())


def test_under_equal_rows_a_false_claim_is_made_in_at_most_about_5_percent_of_tables():
    rng = np.random.default_rng(0)
    tables_ = rng.normal(size=(300, 5, 3))
    wrong = sum(
        any(s.rank_interval != (1, 5) for s in standings(from_table(t), "fid",
                                                        higher_is_better=True))
        for t in tables_
    )  # fmt: skip
    assert wrong <= 25  # binomial(300, .05): 15, sd 3.8


# --- Pareto ------------------------------------------------------------------------------------


def test_pareto_front_keeps_what_nothing_beats():
    costs, quality = [1.0, 2.0, 3.0, 2.0, None, 4.0], [5.0, 3.0, 4.0, 3.0, 1.0, float("nan")]
    assert pareto_front(costs, quality, False) == [True, True, False, True, False, False]
    assert pareto_front(costs, quality, True) == [True, False, False, False, False, False]


def test_pareto_front_wants_one_quality_per_cost():
    with pytest.raises(UsageError, match="2 costs and 1 qualities"):
        pareto_front([1.0, 2.0], [1.0], True)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1), st.booleans())
def test_every_point_off_the_front_is_beaten_by_one_on_it(points, up):
    costs, qualities = zip(*points, strict=True)
    front = pareto_front(costs, qualities, up)
    sign = -1 if up else 1
    on = {(c, sign * q) for (c, q), kept in zip(points, front, strict=True) if kept}
    assert on
    for (cost, quality), kept in zip(points, front, strict=True):
        beaten = [o for o in on if o != (cost, sign * quality) and o[0] <= cost
                  and o[1] <= sign * quality]  # fmt: skip
        assert bool(beaten) is not kept


def test_ranking_imports_no_torch():
    code = "import sys, genbench.results.ranking; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
