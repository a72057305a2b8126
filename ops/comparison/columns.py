"""What is compared: a column for each model, with all that is known of where it comes from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from botocore.exceptions import ClientError

from ops.aws.session import ClientFactory
from ops.comparison.paired import Answers, read_answers
from ops.costs.bill import Bill, read_bill
from ops.costs.prices import Prices
from ops.errors import DENIED, AbsentError, error_code, error_message
from ops.executions import evaluations, execution
from ops.executions.evaluations import Evaluation
from ops.executions.models import RegisteredModel, read_package
from ops.executions.snapshot import Snapshot, SnapshotReader
from ops.output.terminal import dollars

DATA, CODE, PARAMETERS, HYPER_PARAMETERS, COST = GROUPS = (
    "Data",
    "Code",
    "Parameters",
    "Hyper-parameters",
    "Cost",
)
OF_DATA = ("InputDataUrl", "InputDataDigest")
OF_CODE = "TrainingImageUri"
Result = TypeVar("Result")
Facts = Mapping[str, Mapping[str, str]]
"""Values by group and name."""


@dataclass(frozen=True)
class Column:
    """One model: of an execution, or a model package."""

    title: str
    arn: str
    """Of the execution or the model package."""
    training_type: str
    evaluation: Evaluation | None
    answers: Answers | None
    not_paired: str
    """Why there are no answers."""
    facts: Facts
    steps: Mapping[str, str] = field(default_factory=dict)
    """What the definition says of each step."""
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Run:
    """An execution as far as it was read."""

    snapshot: Snapshot
    definition: Mapping[str, Any]
    parameters: Mapping[str, str]
    version: int | None
    bill: Bill | None
    problems: tuple[str, ...] = ()


class Columns:
    """Reads what is to be compared; an execution that several columns come from once."""

    def __init__(self, clients: ClientFactory, prices: Prices) -> None:
        self._clients, self._prices = clients, prices
        self._sagemaker, self._s3 = clients.client("sagemaker"), clients.client("s3")
        self._runs: dict[str, _Run] = {}

    def of_execution(self, arn: str) -> list[Column]:
        """Return a column for each evaluation of an execution, or one that says that there is none.

        Raises:
            AbsentError: There is no such execution.
        """
        name = arn.rpartition("/")[2]
        problems: list[str] = []
        run = _unless_denied(f"execution {name}", problems, lambda: self._read(arn))
        if run is None:
            return [self._column(name, arn, "", evaluation=None, run=None, problems=problems)]
        snapshot = run.snapshot
        read = _unless_denied(
            f"the evaluations of {name}",
            problems,
            lambda: evaluations.read(self._sagemaker, self._s3, snapshot),
        )
        found, missing = read or ({}, problems)
        columns = [
            self._column(f"{name} {kind}", arn, kind, evaluation=evaluation, run=run)
            for kind, evaluation in found.items()
        ]
        # A training without an evaluation has a column, too, and an execution without either.
        kinds = {training.type for training in run.snapshot.trainings.values()} - found.keys()
        for kind in sorted(kinds or ({""} if not columns else set())):
            title = f"{name} {kind}".strip()
            columns.append(self._column(title, arn, kind, evaluation=None, run=run, problems=missing))
        return columns

    def of_package(self, arn: str) -> Column:
        """Return the column of a model package, with the execution that it says it comes from.

        Raises:
            AbsentError: There is no such model package.
        """
        package = read_package(self._sagemaker, arn)
        problems: list[str] = []
        evaluation = self._evaluation(package, problems)
        run: _Run | None = None
        if package.execution_arn is None:
            problems.append(f"{package.name} does not say which execution it comes from")
        else:
            recorded = package.execution_arn
            try:
                run = _unless_denied(
                    f"the execution of {package.name}", problems, lambda: self._read(recorded)
                )
            except AbsentError:
                problems.append(f"the execution of {package.name} is gone: {package.execution_arn}")
        kind = package.training_type
        column = self._column(package.name, arn, kind, evaluation=evaluation, run=run, problems=problems)
        facts = {group: dict(values) for group, values in column.facts.items()}
        facts[CODE].setdefault(OF_CODE, package.image or "")
        return replace(column, facts=facts)

    def _evaluation(self, package: RegisteredModel, problems: list[str]) -> Evaluation | None:
        if package.evaluation_url is None:
            problems.append(f"{package.name} has no ModelMetrics that name an evaluation")
            return None
        try:
            return evaluations.fetch(self._s3, package.evaluation_url, package.training_type)
        except ClientError as error:
            reason = f"{error_code(error)}: {error_message(error)}"
        except ValueError as error:
            reason = str(error)
        problems.append(f"the evaluation of {package.name}, {package.evaluation_url}: {reason}")
        return None

    def _read(self, arn: str) -> _Run:
        if arn not in self._runs:
            self._runs[arn] = self._ask(arn)
        return self._runs[arn]

    def _ask(self, arn: str) -> _Run:
        reader = SnapshotReader(self._sagemaker, self._clients.client("logs"), arn)
        snapshot = reader.read()
        answer = self._sagemaker.describe_pipeline_execution(PipelineExecutionArn=arn)
        problems: list[str] = []
        name = snapshot.execution.id
        parameters = _unless_denied(
            f"the parameters of {name}", problems, lambda: execution.read_parameters(self._sagemaker, arn)
        )
        bill = _unless_denied(
            f"the bill of {name}", problems, lambda: read_bill(self._sagemaker, snapshot, self._prices)
        )
        return _Run(
            snapshot,
            reader.definition,
            parameters or {},
            answer.get("PipelineVersionId"),
            bill,
            tuple(problems),
        )

    def _column(
        self,
        title: str,
        arn: str,
        kind: str,
        *,
        evaluation: Evaluation | None,
        run: _Run | None,
        problems: Sequence[str] = (),
    ) -> Column:
        answers, why = None, "it has no evaluation"
        if evaluation is not None:
            try:
                answers = read_answers(self._s3, evaluation)
            except ValueError as error:
                why = str(error)
        facts = _facts(run, kind) if run else {group: {} for group in GROUPS}
        steps = dict(_steps(run.definition)) if run else {}
        said = (*problems, *(run.problems if run else ()))
        return Column(title, arn, kind, evaluation, answers, why, facts, steps, said)


def _unless_denied(what: str, problems: list[str], read: Callable[[], Result]) -> Result | None:
    """Return what `read` does; None, and a sentence among `problems`, where AWS refuses it."""
    try:
        return read()
    except ClientError as error:
        if error_code(error) not in DENIED:
            raise
        problems.append(f"{what}: {error_message(error)}")
        return None


def _facts(run: _Run, kind: str) -> Facts:
    parameters = run.parameters
    definition = json.dumps(run.definition, sort_keys=True)
    code = {
        OF_CODE: parameters.get(OF_CODE, ""),
        "sha256 of the definition": hashlib.sha256(definition.encode(errors="replace")).hexdigest(),
        "Pipeline version": "" if run.version is None else str(run.version),
    }
    training = next((each for each in run.snapshot.trainings.values() if each.type == kind), None)
    return {
        DATA: {name: parameters[name] for name in OF_DATA if name in parameters},
        CODE: {name: value for name, value in code.items() if value},
        PARAMETERS: {
            name: value for name, value in parameters.items() if name not in OF_DATA and name != OF_CODE
        },
        HYPER_PARAMETERS: dict(training.hyper_parameters) if training else {},
        COST: _cost(run.bill, kind) if run.bill else {},
    }


def _cost(bill: Bill, kind: str) -> Mapping[str, str]:
    billed = [line.usd for line in bill.lines if line.kind == "Training" and line.training_type == kind]
    known = [usd for usd in billed if usd is not None]
    return {
        "Training": dollars(sum(known)) if known and len(known) == len(billed) else "",
        "Whole execution": ("at least " if bill.not_known else "") + dollars(bill.total_usd),
    }


def _steps(definition: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what a definition says of each step, without what the steps in its branches say."""
    for planned in execution.plan(definition):
        own = {key: value for key, value in planned.arguments.items() if key not in ("IfSteps", "ElseSteps")}
        said = {"Type": planned.type, "Arguments": own, "needs": planned.needs}
        yield planned.name, json.dumps(said, sort_keys=True, default=str)
