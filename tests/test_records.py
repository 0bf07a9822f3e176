"""A record survives JSON, notices any change, and refuses what it does not know."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from genbench.errors import StoreError
from genbench.metrics.values import Interval, MetricValue
from genbench.results.records import Artifact, Record, _quick_digest, canonical_json, digest
from genbench.results.store import read_record, write_record


def make_record(**changes: Any) -> Record:
    values: dict[str, Any] = {
        "record_id": "01ARZ3NDEKTSV4RRFFQ69G5FAV",
        "cell_key": digest({"a": 1}),
        "status": "ok",
        "cell": {
            "suite": {"name": "s", "version": "1", "task": "sha256:1", "hash": "sha256:2",
                      "profile": "smoke"},
            "generator": {"name": "g", "version": "1", "provider": "p 1", "params": {"k": 1.5}},
            "seed": 0,
        },
        "dataset": {"name": "d", "files": []},
        "metrics": {
            "fid": MetricValue("ok", 1.5, Interval(1.0, 2.0, 0.95, "block-jackknife"), n=10),
            "nll": MetricValue("not_applicable", reason="g has no likelihood"),
        },
        "artifacts": (Artifact("grid", "grid.png", "0" * 64, 12),),
        "attempt": {"n": 1},
    }  # fmt: skip
    return Record(**{**values, **changes})


def test_a_record_survives_json() -> None:
    record = make_record()
    assert Record.from_json(json.loads(json.dumps(record.to_json()))) == record


@pytest.mark.parametrize(
    "path", [("metrics", "fid", "value"), ("cell", "seed"), ("status",), ("attempt", "n")]
)
def test_any_altered_value_is_noticed(path: tuple[str, ...]) -> None:
    body = make_record().to_json()
    node = body
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = "failed" if path == ("status",) else 7
    with pytest.raises(StoreError, match="was altered"):
        Record.from_json(body)


def test_a_record_of_another_schema_is_refused() -> None:
    body = {**make_record().to_json(), "schema": "genbench.record/99"}
    with pytest.raises(StoreError, match=r"genbench\.record/99"):
        Record.from_json(body)


@pytest.mark.parametrize("body", [None, [], "text", {}, {"schema": "genbench.record/1"}])
def test_what_is_no_record_is_refused(body: Any) -> None:
    with pytest.raises(StoreError):
        Record.from_json(body)


@pytest.mark.parametrize(
    ("field", "value"),
    [("status", "fine"), ("metrics", {"fid": {"status": "ok"}}), ("cell", {}), ("dataset", [])],
)
def test_a_wrong_field_is_refused_even_with_a_good_digest(field: str, value: Any) -> None:
    body = {**make_record().to_json(), field: value}
    del body["digest"]
    body["digest"] = digest(body)
    with pytest.raises(StoreError, match="malformed"):
        Record.from_json(body)


def test_nan_never_reaches_json() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        make_record(metrics={"fid": MetricValue("ok", float("nan"))}).to_json()


def test_the_result_digest_ignores_when_and_where_but_not_what() -> None:
    one = make_record().to_json()["result_digest"]
    elsewhere = make_record(
        record_id="01BX5ZZKBKACTAV9WEVGEMMVRZ",
        timing={"fit_s": 3.0},
        environment={"threads": 8},
        metrics={
            name: dataclasses.replace(m, seconds=9.0) for name, m in make_record().metrics.items()
        },
    )
    assert elsewhere.to_json()["result_digest"] == one
    other = make_record(metrics={"fid": MetricValue("ok", 1.6)})
    assert other.to_json()["result_digest"] != one


def test_canonical_json_is_independent_of_order() -> None:
    assert canonical_json({"b": 1, "a": "é"}) == '{"a":"é","b":1}'.encode()
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})


_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**18) + 1, 10**18 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.floats(-1e-3, 1e-3)
    | st.text(st.characters(exclude_categories=("Cs",))),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=20,
)


@pytest.mark.slow
@given(st.dictionaries(st.text(max_size=5), _JSON))
def test_the_quick_digest_is_the_digest(body: dict[str, Any]) -> None:
    text = _strings(body)  # only text may look like a number and be none
    assume(b"e-" not in text and b"0.0000" not in text)
    assert _quick_digest(body) == digest(body)


def _strings(value: Any) -> bytes:
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, dict):
        return b"".join(_strings(part) for pair in value.items() for part in pair)
    return b"".join(map(_strings, value)) if isinstance(value, list) else b""


@pytest.mark.parametrize(
    "text", ["took 1e-7, [0.00001]", "0.000012,", 'é\u2028\x00"', 1e-5, 5e-324]
)
def test_a_record_is_read_whatever_its_text_looks_like(text: Any) -> None:
    body = make_record(dataset={"note": text}).to_json()
    assert Record.from_json(body).to_json() == body
    body["dataset"]["note"] = "another"
    with pytest.raises(StoreError, match="was altered"):
        Record.from_json(body)


def sealed(body: dict[str, Any]) -> dict[str, Any]:
    """`body` with the digest that its forger would give it."""
    body.pop("digest", None)
    return {**body, "digest": digest(body)}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("metrics", "fid", "value"), 1e308),
        (("metrics", "fid", "value"), -1e200),
        (("metrics", "fid", "std_error"), 1e101),
        (("metrics", "fid", "interval", "high"), 1e308),
        (("timing",), {"fit_s": 1e308}),
        (("resources",), {"peak_rss_bytes": 10**17 * 10**90}),
        (("examples_served",), -1),
    ],
)
def test_numbers_that_nothing_measures_are_refused(path: tuple[str, ...], value: Any) -> None:
    body = make_record().to_json()
    node = body
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = value
    with pytest.raises(StoreError, match=r"malformed: ValueError: .*(finite|large|negative)"):
        Record.from_json(sealed(body))


def test_a_record_of_a_million_metrics_is_refused_before_its_digest_is_taken() -> None:
    body = make_record().to_json()
    body["metrics"] = {str(i): {"status": "failed"} for i in range(1_000_000)}
    with pytest.raises(StoreError, match="1,000,000 metrics, over 1,000"):
        Record.from_json(body)


def test_a_value_too_large_to_be_stored_becomes_a_reason(tmp_path: Path) -> None:
    huge = MetricValue("ok", 1e200, Interval(0.0, 1e201), 1.0, signature="fid")
    write_record(tmp_path, make_record(metrics={"fid": huge, "kid": MetricValue("ok", 1.0)}))
    back = read_record(tmp_path / "record.json").metrics
    assert (back["fid"].status, back["fid"].value) == ("undefined", None)
    assert back["fid"].reason == "it came out as 1e+200, beyond 1e+100"
    assert back["kid"].value == 1.0


@pytest.mark.parametrize("value", ["\ud800", 10**30, float("inf")])
def test_a_record_without_a_digest_is_refused_whatever_it_holds(value: Any) -> None:
    """Also where the fast writer of digests has no answer."""
    body = make_record().to_json()
    del body["digest"]
    body["times"] = {"x": value}
    with pytest.raises(StoreError):
        Record.from_json(body)


def test_half_characters_of_our_own_are_written_out() -> None:
    body = make_record(error={"message": "no \udcff"}).to_json()
    assert body["error"]["message"] == "no \\udcff"
    Record.from_json(body)
