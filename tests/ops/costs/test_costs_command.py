"""`cv-pipeline costs`: an execution from Describe answers, a month from Cost Explorer, and every mistake."""

from __future__ import annotations

import csv
import json
import re
import xml.etree.ElementTree as ET
from datetime import date, timedelta
from pathlib import Path

import boto3
import pytest
from botocore.exceptions import ClientError

from ops import __main__ as cli
from ops.costs.bars import draw
from ops.costs.explorer import Day, Month
from tests.support.ops.ledger import Ledger, ledger
from tests.support.services.fake_cost_explorer import Charge
from tests.support.services.fake_execution_scenarios import succeeded

__all__ = ["ledger"]  # a fixture

SVG = "{http://www.w3.org/2000/svg}"


def last_month(ledger: Ledger) -> date:
    return (ledger.ce.today.replace(day=1) - timedelta(days=1)).replace(day=1)


def fill(ledger: Ledger) -> date:
    """Charge every day of the last month something, of two projects; return its first day."""
    first = last_month(ledger)
    tags = {"project": "cv-birds", "execution": "q3fz81mkd2ax"}
    charges = [
        Charge(first + timedelta(days=number), amount, labels)
        for number in range(28)
        for amount, labels in (
            ("0.10", {**tags, "TrainingType": "Spot"}),
            ("0.25", {**tags, "TrainingType": "OnDemand"}),
            ("0.03", tags),
            ("9.00", {"project": "cv-fish", "TrainingType": "Spot"}),
            ("5.00", {}),
        )
    ]
    ledger.ce.charges = (*charges, Charge(first, "70", tags, service="Amazon Elastic Compute Cloud"))
    return first


def test_an_execution_is_billed_as_a_table_with_what_spot_billed_against_on_demand(ledger: Ledger) -> None:
    code, out, _ = ledger.run("costs")
    assert code == 0
    lines = out.splitlines()
    assert lines[0] == "cv-birds  execution q3fz81mkd2ax  Succeeded"
    spot = next(line for line in lines if line.startswith("TrainSpot"))
    assert spot.split() == [
        *("TrainSpot", "pipelines-q3fz81mkd2ax-TrainSpot-ab12cd34ef", "1", "x", "ml.c5.4xlarge", "(Spot)"),
        *("0:07", "0.0016"),
    ]
    assert "Billed 0.0066 USD by AWS's list prices of us-east-1 (" in out
    assert "billed 0.0016 USD and TrainOnDemand (On-Demand) 0.0037 USD: 56% less." in out


def test_the_prices_are_those_of_the_deployments_policy(ledger: Ledger) -> None:
    ledger.function.environment["DEPLOYMENT_POLICY"] = json.dumps({"instance_prices": {"ml.c5.4xlarge": 360}})
    _, out, _ = ledger.run("costs", "latest")
    assert "and instance_prices of stack cv-birds" in out
    assert "TrainSpot (Spot) billed 0.70" in out, "seven seconds of 360 USD an hour"


def test_whoever_may_not_read_the_policy_is_told_by_what_prices_it_is(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**_: object) -> None:
        raise ClientError({"Error": {"Code": "AccessDeniedException"}}, "GetFunctionConfiguration")

    monkeypatch.setattr(ledger.function, "get_function_configuration", refuse)
    code, out, _ = ledger.run("costs")
    assert code == 0
    said = "us-east-1, because AWS refuses GetFunctionConfiguration of stack cv-birds to you"
    assert f"Billed 0.0066 USD by AWS's list prices of {said} (" in out


def test_an_execution_as_json_and_as_csv_has_the_lines_of_the_bill(ledger: Ledger, tmp_path: Path) -> None:
    code, out, err = ledger.run("costs", succeeded().arn, "--json", "--csv", "bill.csv")
    assert (code, err) == (0, "Wrote bill.csv\n")
    told = json.loads(out)
    assert told["execution_arn"] == succeeded().arn
    assert told["total_usd"] == pytest.approx(sum(line["usd"] for line in told["lines"]))
    with (tmp_path / "bill.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["job"] for row in rows] == [line["job"] for line in told["lines"]]
    assert sum(float(row["usd"]) for row in rows) == pytest.approx(told["total_usd"])


def test_a_month_is_the_sum_of_every_page_by_training_type_of_this_project_alone(ledger: Ledger) -> None:
    first = fill(ledger)
    code, out, _ = ledger.run("costs", "--month", f"{first:%Y-%m}")
    assert code == 0
    assert f"SageMaker in {first:%Y-%m}, project cv-birds: 10.64 USD (Cost Explorer)" in out
    rows = [line.split() for line in out.splitlines()[2:]]
    assert rows[:3] == [
        ["OnDemand", "7.0000", "66%"],
        ["Spot", "2.8000", "26%"],
        ["without", "TrainingType", "0.8400", "8%"],
    ]
    assert ledger.ce.calls.count("GetCostAndUsage") == 4, "a request for each page"


@pytest.mark.parametrize(
    ("by", "totals"),
    [
        ("execution", {"q3fz81mkd2ax": 10.64}),
        ("project", {"cv-birds": 10.64, "cv-fish": 252.0, "": 140.0}),
    ],
)
def test_a_month_by_execution_and_by_project(ledger: Ledger, by: str, totals: dict[str, float]) -> None:
    first = fill(ledger)
    code, out, _ = ledger.run("costs", "--month", f"{first:%Y-%m}", "--by", by, "--json")
    assert code == 0
    assert json.loads(out)["totals"] == pytest.approx(totals)


def test_the_running_month_ends_today_and_says_which_days_may_change(ledger: Ledger) -> None:
    today = ledger.ce.today
    ledger.ce.charges = (Charge(today, "1.5", {"project": "cv-birds", "TrainingType": "Spot"}),)
    code, out, _ = ledger.run("costs", "--month", f"{today:%Y-%m}")
    assert code == 0
    assert (
        f"AWS may still change the days from {today if today.day == 1 else today - timedelta(days=1)}" in out
    )


def test_a_month_without_costs_says_so(ledger: Ledger) -> None:
    code, out, _ = ledger.run("costs", "--month", "2026-01")
    assert code == 0
    assert "knows of no costs with these tags; it is up to a day late" in out


def test_a_month_as_csv_has_a_row_for_each_day_and_value(ledger: Ledger, tmp_path: Path) -> None:
    first = fill(ledger)
    assert ledger.run("costs", "--month", f"{first:%Y-%m}", "--csv", "month.csv")[0] == 0
    with (tmp_path / "month.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3 * 28
    assert sum(float(row["amount"]) for row in rows) == pytest.approx(10.64)
    assert {row["TrainingType"] for row in rows} == {"Spot", "OnDemand", ""}
    assert rows[0] == {
        "date": f"{first}",
        "TrainingType": "",
        "amount": "0.03",
        "currency": "USD",
        "estimated": "False",
    }


def test_a_month_as_svg_has_a_bar_a_day_stacked_by_training_type(ledger: Ledger, tmp_path: Path) -> None:
    first = fill(ledger)
    assert ledger.run("costs", "--month", f"{first:%Y-%m}", "--svg", "month.svg")[0] == 0
    text = (tmp_path / "month.svg").read_text()
    picture = ET.fromstring(text)  # noqa: S314 - our own picture
    assert picture.get("role") == "img"
    names = {each.get("id"): each.text or "" for each in picture if each.get("id")}
    assert set((picture.get("aria-labelledby") or "").split()) == set(names)
    assert names["title"] == f"SageMaker costs of {first:%B %Y} by TrainingType: 10.64 USD"
    assert "OnDemand 7.00, Spot 2.80, without TrainingType 0.84" in names["desc"]
    assert "prefers-color-scheme: dark" in text
    bars = [each for each in picture.iter(f"{SVG}rect") if each.find(f"{SVG}title") is not None]
    columns: dict[str, list[float]] = {}
    for bar in bars:
        columns.setdefault(bar.attrib["x"], []).append(float(bar.attrib["height"]))
    assert len(columns) == 28
    for spot in columns.values():
        assert len(spot) == 3
        assert spot[0] / spot[1] == pytest.approx(2.5, rel=0.01), "0.25 USD on 0.10 USD"


def test_many_values_are_drawn_as_seven_and_the_rest(ledger: Ledger) -> None:
    amounts = {f"<run {number}>&": float(number) for number in range(1, 31)} | {"credit": -3.0}
    month = Month(date(2026, 2, 1), "execution", "cv-birds", "USD", (Day(date(2026, 2, 3), amounts, False),))
    picture = ET.fromstring(draw(month))  # noqa: S314 - our own picture
    titles = [rect.find(f"{SVG}title") for rect in picture.iter(f"{SVG}rect")]
    tips = [title.text for title in titles if title is not None]
    assert len(tips) == 8
    assert tips[-1] == "2026-02-03: all others 276.0000 USD"
    texts = [each.text for each in picture.iter(f"{SVG}text")]
    assert "all others" in texts
    assert "<run 30>&" in texts
    assert texts[-1] == "28", "February has as many days"
    bars = [each for each in picture.iter(f"{SVG}rect") if each.find(f"{SVG}title") is not None]
    assert sum(float(each.attrib["height"]) for each in bars) <= 420


def test_a_month_of_nothing_can_be_drawn() -> None:
    picture = ET.fromstring(draw(Month(date(2026, 2, 1), "project", None, "USD", ())))  # noqa: S314
    assert [each.text for each in picture.iter(f"{SVG}desc")] == ["No costs."]


@pytest.mark.parametrize(
    ("inactive", "said"),
    [
        ({"project"}, "project: the tag is not active"),
        ({"TrainingType", "project"}, "TrainingType, project: the tags are not active"),
    ],
)
def test_tags_that_are_not_active_are_named_with_what_to_do(
    ledger: Ledger, inactive: set[str], said: str
) -> None:
    ledger.ce.active -= inactive
    code, _, err = ledger.run("costs", "--month", "2026-01")
    assert code == 2
    assert said in err
    assert "`cv-pipeline costs --activate-tags`. It takes 12 to 48 hours" in err
    assert "GetCostAndUsage" not in ledger.ce.calls, "nothing would be found, for a cent"


def test_whoever_may_not_see_the_tags_is_told_and_still_asks(ledger: Ledger) -> None:
    first = fill(ledger)
    ledger.ce.denied.add("ListCostAllocationTags")
    code, out, _ = ledger.run("costs", "--month", f"{first:%Y-%m}")
    assert code == 0
    assert "in an organization only its management account is told" in out
    assert "10.64 USD" in out


def test_activating_the_tags_says_how_long_it_takes(ledger: Ledger) -> None:
    ledger.ce.active.clear()
    code, out, _ = ledger.run("costs", "--activate-tags")
    assert code == 0
    assert out == (
        "Active for cost allocation: TrainingType, project, execution. "
        "It takes 12 to 48 hours until Cost Explorer shows them.\n"
    )
    assert ledger.ce.active == {"TrainingType", "project", "execution"}


def test_a_tag_that_aws_does_not_know_yet_is_reported_by_its_key(ledger: Ledger) -> None:
    ledger.ce.active.clear()
    ledger.ce.known.remove("execution")
    code, out, err = ledger.run("costs", "--activate-tags")
    assert code == 2
    assert "Active for cost allocation: TrainingType, project." in out
    assert "not activated: execution: TagKeysNotFoundException: Tag keys not found" in err
    assert "up to a day after the first job that has it" in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--month", "2026-13"], "--month '2026-13': write year and month, such as --month "),
        (["--month", "november"], "write year and month"),
        (["--month", "2026-1"], "write year and month"),
        (["--month", "0000-01"], "write year and month"),
        (["--month", "2999-01"], "--month 2999-01 has not begun: the newest month is "),
        (
            ["--month", "2026-01", "--csv", "no/such/folder.csv"],
            "cannot write no/such/folder.csv: No such file",
        ),
        (["--month", "2026-01", "--svg", "."], "cannot write .: it is a directory"),
        (["--csv", "no/such/folder.csv"], "cannot write no/such/folder.csv: No such file or directory; give"),
        (["--month", "2026-01", "latest"], "give an execution (latest) or --month 2026-01, not both"),
        (["--by", "project"], "--by tells a month: give --month, too"),
        (["--svg", "x.svg"], "--svg tells a month: give --month, too"),
        (["--activate-tags", "--month", "2026-01"], "--activate-tags stands alone"),
        (
            ["--month", "2026-01", "--by", "colour"],
            "'colour' is not one of 'TrainingType', 'project'",
        ),
    ],
)
def test_a_mistake_is_said_in_one_sentence_before_aws_is_asked(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, arguments: list[str], said: str
) -> None:
    def ask(self: object, service: str) -> None:
        raise AssertionError(f"{service} was asked")

    monkeypatch.setattr(cli.Session, "client", ask)
    code, out, err = ledger.run("costs", *arguments)
    assert (code, out) == (2, "")
    assert said in " ".join(err.split())
    assert len([line for line in err.splitlines() if line.startswith("Error: ")]) == 1


@pytest.mark.parametrize("arguments", [["--month", "2026-01"], ["--activate-tags"]])
def test_local_aws_has_no_cost_explorer_and_says_what_to_ask_instead(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    def local(service: str) -> object:
        keys = {"aws_access_key_id": "x", "aws_secret_access_key": "x"}
        url = "http://localhost:4566"
        return boto3.client(service, region_name="us-east-1", endpoint_url=url, **keys)

    monkeypatch.setattr(ledger, "client", local)
    code, _, err = ledger.run("costs", *arguments)
    assert code == 2
    assert err == (
        "Error: local AWS has no Cost Explorer, because nothing here is billed: "
        "`cv-pipeline costs EXECUTION` says what the jobs of an execution would cost\n"
    )


def test_the_rights_to_ask_cost_explorer_are_documented(ledger: Ledger) -> None:
    """No local AWS has one: what its calls need is held against the rows here."""
    text = (Path(__file__).resolve().parents[3] / "docs" / "operations.md").read_text(encoding="utf-8")
    for option, arguments in (("--month", ["--month", "2026-01"]), ("--activate-tags", ["--activate-tags"])):
        (row,) = [line for line in text.splitlines() if line.startswith(f"| `costs {option}` |")]
        ledger.ce.calls.clear()
        assert ledger.run("costs", *arguments)[0] == 0
        assert ledger.ce.calls
        assert {f"ce:{call}" for call in ledger.ce.calls} == set(re.findall(r"`(ce:\w+)`", row))


def test_cost_explorer_is_asked_in_us_east_1_wherever_the_stack_is() -> None:
    keys = {"aws_access_key_id": "x", "aws_secret_access_key": "x"}
    client = boto3.client("ce", region_name="eu-central-1", **keys)
    assert client.meta.endpoint_url == "https://ce.us-east-1.amazonaws.com"
