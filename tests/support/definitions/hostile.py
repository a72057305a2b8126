"""Definitions that are made to keep a reader busy or to fill its memory, each as large as a file may be."""

import json
from collections.abc import Callable
from typing import Any

from tests.support.definitions.small import small, step
from upload_trigger.definition.loading import MAX_DEPTH

LARGEST = 1_048_576
NESTED = (MAX_DEPTH - 9) // 3
"""How often what takes three levels fits into itself."""
Made = Callable[[], bytes]
_HEAD = '{"Version":"2020-12-01","Steps":['
_FAIL = '{"Name":"A","Type":"Fail","Arguments":{"ErrorMessage":"a"'


def written(definition: Any) -> bytes:
    return json.dumps(definition, separators=(",", ":")).encode()


def filled(before: str, unit: str, after: str, largest: int = LARGEST) -> bytes:
    """Repeat `unit` until the text is as large as it may be; a # in it is its number."""
    room = largest - len((before + after).encode())
    count = room // len(unit.replace("#", "000000").encode())
    return (before + "".join(unit.replace("#", f"{n:06}") for n in range(count)) + after).encode()


def many(unit: dict[str, Any], **more: Any) -> bytes:
    """Repeat a step, named by its number, beside other members of the definition."""
    before = json.dumps({"Version": "2020-12-01", **more})[:-1] + ',"Steps":['
    text = json.dumps({"Name": "#", **unit}, separators=(",", ":"), ensure_ascii=False)
    return filled(before, text + ",", "0]}")


def deep(unit: str, levels: int = MAX_DEPTH - 6, opening: str = "[", closing: str = "]") -> bytes:
    """Put a long list at the greatest depth that is read."""
    before = f'{_HEAD}{_FAIL},"x":{opening * levels}'
    return filled(before, unit, f"0{closing * levels}}}}}]}}")


def arguments(kind: str, before: str, unit: str, after: str) -> bytes:
    """Fill the Arguments of a step."""
    return filled(f'{_HEAD}{{"Name":"A","Type":"{kind}","Arguments":{{{before}', unit, f"{after}}}}}]}}")


def message(unit: str, on: str = "") -> bytes:
    """Fill a Std:Join."""
    return arguments("Fail", f'"ErrorMessage":{{"Std:Join":{{"On":"{on}","Values":[', unit, '""]}}')


def steps(unit: str) -> bytes:
    """Fill the list of steps."""
    return filled(_HEAD, unit, '{"Name":"Z","Type":"Fail","Arguments":{}}]}')


def options(before: str, unit: str, after: str) -> bytes:
    """Fill what a step has beside its Arguments."""
    return filled(f"{_HEAD}{_FAIL}}},{before}", unit, f"{after}}}]}}")


def chain(count: int, last: int) -> dict[str, Any]:
    """A long chain of dependencies that ends in steps which wait for themselves."""
    listed = [step(f"C{n}", DependsOn=[f"C{n + 1}"]) for n in range(count)]
    end = [step(f"S{n}", DependsOn=[f"S{n}"]) for n in range(last)]
    return small(*listed, step(f"C{count}", DependsOn=[f"S{n}" for n in range(last)]), *end)


def dense(count: int, each: int) -> dict[str, Any]:
    """Steps that wait for many others, those after them too: as many edges, and cycles, as fit."""
    names = [f"S{n}" for n in range(count)]
    return small(*(step(name, DependsOn=names[max(0, n - each) : n + 2]) for n, name in enumerate(names)))


def similar(number: int) -> str:
    """Names of the longest kind that differ in the middle, all of them nearly the same."""
    return "a" * 28 + f"{number:06}" + "a" * 28


def similar_parameters() -> dict[str, Any]:
    """As many parameters as count for "did you mean", and references that are none of them but nearly so."""
    declared = [{"Name": similar(n), "Type": "String", "DefaultValue": ""} for n in range(500)]
    wrong = [{"Get": f"Parameters.{similar(n + 500_000)}"} for n in range(9_000)]
    joined = {"Std:Join": {"On": "", "Values": wrong}}
    return small(step("A", Arguments={"ErrorMessage": joined}), Parameters=declared)


def outputs_and_references() -> dict[str, Any]:
    """Many outputs and many references to the last of them."""
    uri = {"S3Uri": "s3://b/k", "LocalPath": "/a", "S3UploadMode": "EndOfJob"}
    outputs = [{"OutputName": f"o{n}", "S3Output": uri} for n in range(5_000)]
    process = step("P", Type="Processing", Arguments={"ProcessingOutputConfig": {"Outputs": outputs}})
    get = {"Get": "Steps.P.ProcessingOutputConfig.Outputs['o4999'].S3Output.S3Uri"}
    joined = {"Std:Join": {"On": "", "Values": [get] * 7_000}}
    return small(process, step("Q", Arguments={"ErrorMessage": joined}))


def files_and_references() -> dict[str, Any]:
    """Many property files and many references to the last of them."""
    files = [{"PropertyFileName": f"f{n}", "OutputName": "o", "FilePath": "p"} for n in range(8_000)]
    process = step("P", Type="Processing", PropertyFiles=files)
    get = {"Std:JsonGet": {"PropertyFile": {"Get": "Steps.P.PropertyFiles.f7999"}, "Path": "a"}}
    joined = {"Std:Join": {"On": "", "Values": [get] * 6_000}}
    return small(process, step("Q", Arguments={"ErrorMessage": joined}))


def nested_conditions() -> dict[str, Any]:
    """Conditions inside conditions as deep as may be, then wide."""
    inner: Any = {"Type": "Or", "Conditions": [{"Type": "Equals", "LeftValue": 1, "RightValue": 1}] * 15_000}
    for _ in range(NESTED):
        inner = {"Type": "Not", "Condition": {"Type": "Or", "Conditions": [inner]}}
    return small(step("C", Type="Condition", Arguments={"Conditions": [inner], "IfSteps": []}))


def nested_steps() -> dict[str, Any]:
    """Condition steps inside condition steps, each with many references of its own."""
    get = {"Type": "Equals", "LeftValue": {"Get": "Execution.PipelineName"}, "RightValue": 1}
    inner: list[Any] = [step(f"F{n}") for n in range(2_000)]
    for n in range(NESTED):
        conditions = [get] * 60
        inner = [step(f"C{n}", Type="Condition", Arguments={"Conditions": conditions, "IfSteps": inner})]
    return small(*inner)


def defaults(text: str, channels: int = 20) -> bytes:
    """Many places for the location of data, each given by a parameter whose default does not fit."""
    source = {"S3DataType": "S3Prefix", "S3Uri": {"Get": "Parameters.P"}}
    data = [{"ChannelName": "a", "DataSource": {"S3DataSource": source}}] * channels
    declared = [{"Name": "P", "Type": "String", "DefaultValue": text}]
    return many({"Type": "Training", "Arguments": {"InputDataConfig": data}}, Parameters=declared)


def locations(text: str) -> bytes:
    """Many locations of data that do not fit."""
    return many({"Type": "Processing", "Arguments": {"ProcessingInputs": [{"S3Input": {"S3Uri": text}}]}})


_URI = "s3://" + "a" * 1017 + "/\n"
_TAG = {"Key": "\u00e9" * 128, "Value": "\u00e9" * 250 + "\u0000"}
_EXECUTE = '"AlgorithmSpecification":{"ContainerArguments":['
_JOINS = '{"Std:Join":{"On":"","Values":['
HOSTILE: dict[str, Made] = {
    # bytes that are hardly JSON
    "opening brackets": lambda: b"[" * LARGEST,
    "closing brackets": lambda: b"]" * LARGEST,
    "empty lists": lambda: filled("[", "[],", "0]"),
    "escaped quotes": lambda: b'"' + b'\\"' * 524_000,
    "backslashes": lambda: b'{"a": "' + b"\\" * 1_048_000,
    "digits": lambda: b'{"a": ' + b"9" * 1_048_000 + b"}",
    "fraction": lambda: b'{"a": 0.' + b"9" * 1_048_000 + b"}",
    "exponents": lambda: filled('{"a":[', "1e9,", "0]}"),
    "one infinite number last": lambda: filled('{"a":[', "[0],", "1e999]}"),
    "repeated keys": lambda: filled("{", '"a":1,', '"a":1}'),
    "many repeated keys": lambda: filled("{", '"#":1,"#":1,', '"z":1}'),
    "a long key": lambda: b'{"' + b"k" * 500_000 + b'": [' + b"NaN," * 130_000 + b"1]}",
    "surrogates": lambda: filled('{"a":"', "\\ud83d\\ude00", '\\ud800"}'),
    # depth
    "deep empty objects": lambda: deep("{},"),
    "deep lists": lambda: deep("[0],"),
    "deep objects": lambda: deep('{"a":0},'),
    "deep references": lambda: deep('{"Get":"Execution.PipelineName"},'),
    "deep numbers": lambda: deep("0,"),
    "joins of joins": lambda: deep('{"Std:Join":{"On":1,"Values":[]}},', NESTED, _JOINS, "]}}"),
    "many joins": lambda: message('{"Std:Join":{"On":"","Values":["",""]}},'),
    "a long separator": lambda: message('"",', "-" * 100_000),
    "nested conditions": lambda: written(nested_conditions()),
    "nested steps": lambda: written(nested_steps()),
    # what is not known
    "unknown members": lambda: arguments("Training", "", '"TrainingJobNam#":0,', '"Z":0'),
    "unknown members of the definition": lambda: filled('{"Version":"1",', '"Step#":0,', '"Steps":[]}'),
    "unknown members of a step": lambda: options("", '"DisplayNam#":0,', '"Z":0'),
    "unknown step types": lambda: steps('{"Name":"S#","Type":"Other","Arguments":{}},'),
    "mistyped step types": lambda: steps('{"Name":"S#","Type":"Trainig","Arguments":{}},'),
    "empty steps": lambda: steps("{},"),
    "small training steps": lambda: steps('{"Name":"#","Type":"Training","Arguments":{}},'),
    "unknown execution variables": lambda: message('{"Get":"Execution.PipelineNa#"},'),
    "unknown functions": lambda: arguments("Fail", '"ErrorMessage":"a","x":[', '{"Std:Joim":0},', "0]"),
    "newer functions": lambda: arguments("Fail", '"ErrorMessage":"a","x":[', '{"Std:Newer":0},', "0]"),
    "misspelt retry policies": lambda: options(
        '"RetryPolicies":[{"ExceptionType":[', '"Step.SERVICE_FAULS",', '""]}]'
    ),
    "newer exception types": lambda: options('"RetryPolicies":[{"ExceptionType":[', '"X#",', '""]}]'),
    "empty retry policies": lambda: options('"RetryPolicies":[', "{},", "0]"),
    # names and references
    "wrong references": lambda: written(small(*(step(f"S{n}", DependsOn=[f"T{n}"]) for n in range(9_000)))),
    "similar names": lambda: written(
        small(*(step(similar(n), DependsOn=[similar(n + 500_000)]) for n in range(5_000)))
    ),
    "similar parameters": lambda: written(similar_parameters()),
    "parameters": lambda: filled('{"Parameters":[', '{"Name":"P#","Type":"String"},', '0],"Steps":[]}'),
    "a long reference": lambda: written(
        small(step("B", Arguments={"ErrorMessage": {"Get": "Steps." + "x" * 900_000}}))
    ),
    "many tokens": lambda: written(
        small(step("A", Arguments={"ErrorMessage": {"Get": "Steps.A" + ".b" * 450_000}}))
    ),
    "one cycle": lambda: written(
        small(*(step(f"S{n}", DependsOn=[f"S{(n + 1) % 9_000}"]) for n in range(9_000)))
    ),
    "many cycles": lambda: written(small(*(step(f"S{n}", DependsOn=[f"S{n}"]) for n in range(9_000)))),
    "a chain to many cycles": lambda: written(chain(5_000, 3_500)),
    "many edges": lambda: written(dense(800, 170)),
    "outputs and references": lambda: written(outputs_and_references()),
    "property files and references": lambda: written(files_and_references()),
    # conditions and items
    "conditions": lambda: arguments("Condition", '"Conditions":[', '{"Type":"Or"},', "0]"),
    "compared values": lambda: arguments("Condition", '"Conditions":[{"Type":"In","Values":[', "[],", "0]}]"),
    "items": lambda: arguments("ForEach", '"ForEachBody":[],"IterableItems":[', "0,", "0]"),
    # Arguments
    "container arguments": lambda: arguments("Training", _EXECUTE, '"a",', '"a"]}'),
    "hyper-parameters": lambda: arguments("Training", '"HyperParameters":{', '"#":"",', '"z":""}'),
    "hyper-parameters of the wrong type": lambda: arguments(
        "Training", '"HyperParameters":{', '"#":0,', '"z":0}'
    ),
    "channels": lambda: arguments("Training", '"InputDataConfig":[', '{"ChannelName":"a"},', "{}]"),
    "long pointers": lambda: json.dumps(
        {
            "Version": "2020-12-01",
            "Steps": [_nested("\U0001f426" * 128, MAX_DEPTH - 6, [[None] * 20])]
            * (LARGEST // MAX_DEPTH // 1_600),
        }
    ).encode(),
    "lineage": lambda: arguments("Lineage", '"Artifacts":[', '{"ArtifactName":"a-!"},', "{}]"),
    "tuned jobs": lambda: arguments("Tuning", '"TrainingJobDefinitions":[', "{},", "{}]"),
    "long texts": lambda: arguments("Training", '"RoleArn":"', "a", '"'),
    "tags that nearly fit": lambda: many({"Type": "Training", "Arguments": {"Tags": [_TAG] * 50}}),
    "locations that nearly fit": lambda: locations(_URI),
    "defaults that nearly fit": lambda: defaults(_URI),
    "defaults of other letters": lambda: defaults("\u00e9" * 1024),
    "long defaults": lambda: defaults("a" * 200_000),
    "values of an enum": lambda: filled(
        '{"Parameters":[{"Name":"P","Type":"String","DefaultValue":"a","EnumValues":[', '"b#",', '""]}]}'
    ),
}


def _nested(key: str, depth: int, inner: object) -> object:
    for _ in range(depth):
        inner = {key: inner}
    return inner


def values(unit: str, before: str = "{", after: str = '"z":0}') -> bytes:
    """Fill a parameters.json."""
    return filled(before, unit, after, 262_144)


HOSTILE_VALUES: dict[str, Made] = {
    "unknown names": lambda: values('"n#":0,'),
    "similar unknown names": lambda: values(f'"{similar(0)}#":0,'),
    "digits": lambda: b'{"Epochs":"' + b"9" * 4_000 + b'"}',
    "many digits": lambda: b'{"Epochs":"' + b"9" * 260_000 + b'"}',
    "brackets in a text": lambda: b'{"Epochs":"' + b"[" * 260_000 + b'"}',
    "a long text": lambda: b'{"InputDataUrl":"' + b"a" * 260_000 + b'"}',
    "a long list": lambda: values("0,", '{"Epochs":[', "0]}"),
    "brackets": lambda: b"[" * 262_144,
}
"""The same of a parameters.json."""
