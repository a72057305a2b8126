"""The promises G1 to G5 of docs/delivery.md as a test can ask for them: at rest, and at every call."""

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from tests.support.delivery.invocations import Invocation, ServiceCall
from tests.support.delivery.storm_uploads import (
    BAD,
    GIVEN,
    KEYS,
    PIPELINES,
    TEXTS,
    UNSTARTABLE,
    UNSTORABLE,
    UploadedDefinition,
    is_admitted,
    is_valid,
)
from tests.support.services.fake_s3 import FakeS3
from tests.support.services.fake_sagemaker import MUTATING, FakeExecution, FakeSageMaker

FINAL = ("STARTED", "SUPERSEDED", "REJECTED")


def broken_promises(watch: "Watch") -> Iterator[str]:
    """Name what does not hold in a world at rest."""
    for execution in watch.sagemaker.executions:
        if _origin(execution).get("versionId") not in watch.uploads:
            yield f"G1: {execution.arn} comes from no upload: {execution.description}"
    for upload in watch.uploads.values():
        verdict, executions = watch.verdict(upload), watch.executions(upload)
        if len(executions) > 1:
            yield f"G1: {upload} was started {len(executions)} times"
        for execution in executions:
            yield from _of_exactly_those_bytes(upload, execution)
        if verdict is None:
            yield f"G3: {upload} vanished: it has no verdict"
            continue
        yield from _is_true(watch, upload, verdict, executions)
    for key in KEYS:
        yield from _newest_wins(watch, key)


def _of_exactly_those_bytes(upload: UploadedDefinition, execution: FakeExecution) -> Iterator[str]:
    if upload.kind in BAD:
        yield f"G5: {upload} was started although it is {upload.kind}"
    elif execution.definition != upload.text:
        yield f"G1: the execution of {upload} runs {execution.definition}"
    if execution.pipeline != upload.pipeline:
        yield f"G1: {upload} was started in the pipeline {execution.pipeline}"
    origin = _origin(execution)
    if origin.get("key") != upload.key or origin.get("sequencer") not in ("", upload.sequencer):
        yield f"G1: the execution of {upload} says it comes from {origin}"
    if origin.get("sha256") != hashlib.sha256(upload.body).hexdigest():
        yield f"G1: the execution of {upload} names other bytes: {origin}"


def _is_true(
    watch: "Watch", upload: UploadedDefinition, verdict: dict[str, Any], executions: list[FakeExecution]
) -> Iterator[str]:
    """Hold a verdict against what happened."""
    kind, beside = verdict.get("verdict"), watch.parameters_beside(upload)
    if executions and kind != "STARTED":
        yield f"G3: {upload} runs, but its verdict is {kind}"
    if kind == "STARTED" and executions:
        (execution, *_) = executions
        yield from _tells_of(upload, verdict, execution)
        # Of two starts with one token the later one's version is the one that is not run: equal bytes do.
        versions = watch.sagemaker.pipelines[upload.pipeline].versions
        if versions[verdict.get("pipelineVersionId", execution.version) - 1] != upload.text:
            yield f"G3: the verdict on {upload} names the version of another definition: {verdict}"
        if execution.parameters not in [GIVEN[each] for each in beside if each in GIVEN]:
            yield f"G1: {upload} runs with {execution.parameters}, beside it was {beside}"
    elif kind == "STARTED":
        yield f"G3: the verdict on {upload} is STARTED, but there is no execution"
    elif kind == "SUPERSEDED":
        yield from _by_a_newer_one(watch, upload, verdict)
    elif kind == "REJECTED":
        if all(is_valid(upload.kind, each) for each in beside):
            yield f"G3: {upload} is valid, but its verdict is {verdict}"
        if not all(set(each) == {"pointer", "message"} for each in verdict["reasons"] or [{}]):
            yield f"G3: {upload} was REJECTED without a reason: {verdict}"
    else:
        yield f"G3: at rest, after a redrive, the verdict on {upload} is {verdict}"
    # Of what is SUPERSEDED, SageMaker was not asked.
    legal = {"STARTED": is_valid, "SUPERSEDED": is_admitted}.get(str(kind))
    if legal and not any(legal(upload.kind, each) for each in beside):
        yield f"G5: {upload} is invalid, but its verdict is {kind}"


def _tells_of(upload: UploadedDefinition, verdict: dict[str, Any], execution: FakeExecution) -> Iterator[str]:
    """Hold a verdict against the execution; a version that it could not find out it has to say."""
    silent = "pipelineVersionId" not in verdict
    if silent and "DescribePipelineExecution" not in json.dumps(verdict["warnings"]):
        yield f"G3: the verdict on {upload} says nothing of the version, but it was {execution}"
    # What these could not find out at the start, a redrive has found out by now.
    told = (verdict.get("executionArn"), verdict.get("parameters"))
    if told != (execution.arn, execution.values):
        yield f"G3: the verdict on {upload} says {told}, but it was {execution}"


def _by_a_newer_one(watch: "Watch", upload: UploadedDefinition, verdict: dict[str, Any]) -> Iterator[str]:
    by = watch.uploads.get(verdict["supersededBy"]["versionId"])
    if by is None or by.key != upload.key or by.moment < upload.moment:
        yield f"G2: {upload} is SUPERSEDED by {by}, which is no newer upload of its key"
    elif verdict["supersededBy"]["executionArn"] not in [each.arn for each in watch.executions(by)]:
        yield f"G2: {upload} is SUPERSEDED by {by}, which has no such execution"


def _newest_wins(watch: "Watch", key: str) -> Iterator[str]:
    """The pipeline holds the newest upload that started; those that started not are older or invalid."""
    uploads = [each for each in watch.uploads.values() if each.key == key]
    started = [each for each in uploads if (watch.verdict(each) or {}).get("verdict") == "STARTED"]
    pipeline = watch.sagemaker.pipelines.get(PIPELINES[key])
    if started and (pipeline is None or pipeline.versions[-1] != started[-1].text):
        yield f"G2: {started[-1]} is the newest of {key}, but the pipeline is {pipeline}"
    for execution in watch.executions(started[-1]) if started else []:
        if execution.status != "Executing":
            yield f"G2: the execution of the newest upload {started[-1]} was stopped"
    # Where nothing has ever started, there is nothing that a refused start could leave the pipeline as.
    if pipeline and all(upload.kind in (*BAD, UNSTORABLE) for upload in uploads):
        yield f"G5: {key} has no upload that SageMaker stores, but a pipeline {pipeline}"


@dataclass
class Watch:
    """Sees every call of every invocation, knows every upload, and notes each promise that a call breaks."""

    s3: FakeS3
    sagemaker: FakeSageMaker
    moment: int = 0
    uploads: dict[str, UploadedDefinition] = field(default_factory=dict)
    """By versionId, in the order in which they were uploaded."""
    parameters: dict[str, list[tuple[int, str]]] = field(
        default_factory=lambda: defaultdict(lambda: [(-1, "none")])
    )
    """By the definition's key, when which parameters.json was uploaded."""
    at_work: list[Invocation] = field(default_factory=list)
    """The world's."""
    broken: list[str] = field(default_factory=list)
    _started: dict[str, int] = field(default_factory=dict)
    """By versionId, when the invocation that started it began."""
    _visible: dict[int, frozenset[str]] = field(default_factory=dict)
    """By when an invocation began, the uploads whose executions were listed then."""
    _verdicts: dict[str, tuple[int, str, str]] = field(default_factory=dict)
    """By versionId, when the verdict was written for the last time, its kind, and its execution."""

    def fork(self, s3: FakeS3, sagemaker: FakeSageMaker, at_work: list[Invocation]) -> "Watch":
        """Return another one that knows the same, for a copy of its world."""
        parameters: dict[str, list[tuple[int, str]]] = defaultdict(lambda: [(-1, "none")])
        parameters |= {key: list(history) for key, history in self.parameters.items()}
        return replace(
            self,
            s3=s3,
            sagemaker=sagemaker,
            at_work=at_work,
            uploads=dict(self.uploads),
            parameters=parameters,
            broken=list(self.broken),
            _started=dict(self._started),
            _visible={each.began: self._visible[each.began] for each in at_work},
            _verdicts=dict(self._verdicts),
        )

    def knows(self) -> tuple[Any, ...]:
        """Return what it knows as a value: of the moments, which only order things, their order."""
        moments = {each.moment for each in self.uploads.values()} | set(self._started.values())
        moments |= {moment for moment, *_ in self._verdicts.values()} | {each.began for each in self.at_work}
        moments |= {moment for history in self.parameters.values() for moment, _ in history}
        place = {moment: index for index, moment in enumerate(sorted(moments))}
        return (
            tuple((version_id, place[each.moment]) for version_id, each in self.uploads.items()),
            tuple(sorted((version_id, place[began]) for version_id, began in self._started.items())),
            tuple(sorted((each, place[moment], *said) for each, (moment, *said) in self._verdicts.items())),
            tuple(
                (key, *((place[moment], kind) for moment, kind in history))
                for key, history in sorted(self.parameters.items())
            ),
            tuple((place[each.began], *sorted(self._visible[each.began])) for each in self.at_work),
        )

    def begin(self, invocation: Invocation) -> None:
        """Remember what an invocation can know from the beginning."""
        listed = [each for each in self.sagemaker.executions if self.sagemaker.is_listed(each)]
        versions = frozenset(str(_origin(each).get("versionId")) for each in listed)
        self._visible[invocation.began] = versions

    def is_not_listed_for(self, invocation: Invocation, execution: FakeExecution) -> None:
        """Remember that an invocation cannot know an execution from the beginning after all."""
        self._visible[invocation.began] -= {str(_origin(execution).get("versionId"))}

    def end(self, invocation: Invocation) -> None:
        """Look at what an invocation leaves that ended well; whom Lambda tries again has time for more."""
        if invocation.error is not None or "Records" not in invocation.event:
            return
        for version_id, began in self._started.items():
            upload = self.uploads[version_id]
            kind = (self.verdict(upload) or {}).get("verdict")
            if began == invocation.began and kind != "STARTED":
                self.broken.append(f"G3: {upload} runs, and the invocation that started it leaves it {kind}")

    def call(self, invocation: Invocation, call: ServiceCall) -> None:
        """Look at one call after its effect."""
        if call.operation in MUTATING:
            self.broken.extend(self._mutation(invocation, call))
        elif call.operation == "PutObject":
            self.broken.extend(self._verdict_written(invocation, call))

    def _mutation(self, invocation: Invocation, call: ServiceCall) -> Iterator[str]:
        given = call.given
        definition = given.get("PipelineDefinition")
        if definition is not None and definition not in TEXTS.values():
            yield f"G5: {call.operation} was called with a definition that is not valid: {definition}"
        if call.operation != "StartPipelineExecution":
            return
        upload = self.uploads[json.loads(given["PipelineExecutionDescription"])["versionId"]]
        if len(self.executions(upload)) > 1:
            yield f"G1: {upload} was started {len(self.executions(upload))} times"
        if upload.version_id not in self._started:
            (execution,) = self.executions(upload)
            self._started[upload.version_id] = invocation.began
            yield from _of_exactly_those_bytes(upload, execution)
            yield from self._late(invocation, upload)

    def _late(self, invocation: Invocation, upload: UploadedDefinition) -> Iterator[str]:
        for version_id in self._visible[invocation.began]:
            newer = self.uploads[version_id]
            if newer.key == upload.key and newer.moment > upload.moment:
                yield f"G2: {upload} came late and was started although the newer {newer} had started"

    def _verdict_written(self, invocation: Invocation, call: ServiceCall) -> Iterator[str]:
        given = json.loads(call.given["Body"])
        version_id, kind = given["versionId"], given["verdict"]
        new = (self.moment, kind, given.get("executionArn", ""))
        old = self._verdicts.get(version_id)
        # Of what was started before the verdict on it was written, STARTED may correct another verdict.
        corrects = kind == "STARTED" and old and old[0] >= self._started.get(version_id, invocation.began)
        if old and old[1] in FINAL and old[1:] != new[1:] and not corrects:
            yield f"G3: {self.uploads[version_id]} was {old[1]} and is now {kind}: a verdict is given once"
        # A reconciliation says so of what would pass by itself, too, and the next one puts it right.
        is_own = self._started.get(version_id) == invocation.began and "Records" in invocation.event
        if kind == "FAILED" and is_own:
            yield f"G3: {self.uploads[version_id]} runs, and the invocation that started it says FAILED"
        if kind == "REJECTED" and version_id in self.uploads:
            yield from self._left_as_it_was(invocation, self.uploads[version_id])
        self._verdicts[version_id] = new

    def _left_as_it_was(self, invocation: Invocation, upload: UploadedDefinition) -> Iterator[str]:
        """The pipeline holds no definition that SageMaker would not start, if ever another one was.

        Asked of an invocation that is alone at work: another one may be about to put the pipeline right.
        """
        if upload.kind != UNSTARTABLE or self.at_work != [invocation]:
            return
        started = [self.uploads[each] for each, (_, kind, _) in self._verdicts.items() if kind == "STARTED"]
        earlier = [each for each in started if each.key == upload.key]
        pipeline = self.sagemaker.pipelines.get(upload.pipeline)
        if earlier and pipeline and pipeline.versions[-1] == upload.text:
            yield f"G5: {upload} is REJECTED, and the pipeline is left with it and not with {earlier[-1]}"

    def executions(self, upload: UploadedDefinition) -> list[FakeExecution]:
        """Return the executions that say they come from an upload."""
        found = self.sagemaker.executions
        return [each for each in found if _origin(each).get("versionId") == upload.version_id]

    def verdict(self, upload: UploadedDefinition) -> dict[str, Any] | None:
        """Read the verdict on an upload."""
        found = self.s3.latest(f"verdicts/{upload.key}/{upload.version_id}.json")
        verdict: dict[str, Any] | None = json.loads(found.body) if found else None
        return verdict

    def parameters_beside(self, upload: UploadedDefinition) -> list[str]:
        """Return the kinds of parameters.json that an upload may have met until its verdict was written."""
        settled = self._verdicts.get(upload.version_id, (self.moment, "", ""))[0]
        history = self.parameters[upload.key]
        ends = [moment for moment, _ in history[1:]] + [self.moment + 1]
        return [
            kind
            for (begin, kind), end in zip(history, ends, strict=True)
            if begin <= settled and end > upload.moment
        ]


def _origin(execution: FakeExecution) -> dict[str, Any]:
    origin: dict[str, Any] = json.loads(execution.description)
    return origin
