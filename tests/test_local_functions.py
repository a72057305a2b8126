"""Lambda on the laptop: functions run as processes, log and fail as on AWS."""

import base64
import functools
import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore.exceptions import ClientError

from laptop_functions import SENDING, TRUST, Make, call, client, log_of, make_function, running, zipped
from local.aws import LocalAWS


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAWS]:
    with LocalAWS(work_dir=tmp_path_factory.mktemp("aws")) as aws:
        yield aws


@pytest.fixture
def make(aws: LocalAWS) -> Make:
    return functools.partial(make_function, aws)


def test_the_handler_gets_event_context_environment_and_its_roles_credentials(
    aws: LocalAWS, make: Make
) -> None:
    name = make(
        "import os\n"
        "def handler(event, context):\n"
        "    keys = ['function_name', 'memory_limit_in_mb', 'invoked_function_arn', 'log_group_name']\n"
        "    return {'event': event, 'left': context.get_remaining_time_in_millis(),\n"
        "            'endpoint': os.environ['AWS_ENDPOINT_URL'],\n"
        "            'token': bool(os.environ['AWS_SESSION_TOKEN']),\n"
        "            'mine': os.environ['MINE'], 'home': os.getcwd() == os.environ['LAMBDA_TASK_ROOT'],\n"
        "            **{key: getattr(context, key) for key in keys}}\n",
        MemorySize=256,
        Environment={"Variables": {"MINE": "a b ü"}},
    )
    result, answer = call(aws, name, {"a": 1})
    assert "FunctionError" not in answer
    assert answer["StatusCode"] == 200
    assert answer["ExecutedVersion"] == "$LATEST"
    assert result["event"] == {"a": 1}
    assert 0 < result["left"] <= 10_000
    assert result["endpoint"] == aws.endpoint_url
    assert result["token"]
    assert result["home"]
    assert result["mine"] == "a b ü"
    assert result["function_name"] == name
    assert result["memory_limit_in_mb"] == "256"
    assert result["log_group_name"] == f"/aws/lambda/{name}"
    assert result["invoked_function_arn"] == f"arn:aws:lambda:us-east-1:123456789012:function:{name}"


def test_a_function_may_do_what_its_role_may_and_nothing_else(aws: LocalAWS, make: Make) -> None:
    source = (
        "import boto3\n"
        "def handler(event, context):\n"
        "    who = boto3.client('sts').get_caller_identity()['Arn']\n"
        "    try:\n"
        "        boto3.client('s3').list_buckets()\n"
        "    except Exception as error:\n"
        "        return [who, str(error)]\n"
    )
    name = make(source, Timeout=30)
    (who, refused), _ = call(aws, name)
    assert f"assumed-role/role-{name}/" in who
    assert "AccessDenied" in refused
    assert "s3:ListAllMyBuckets" in refused


def test_the_second_invocation_is_warm_and_a_changed_function_starts_cold(aws: LocalAWS, make: Make) -> None:
    source = (
        "count = 0\ndef handler(event, context):\n    global count\n    count += 1\n    return [%d, count]\n"
    )
    name = make(source % 1)
    assert [call(aws, name)[0] for _ in range(2)] == [[1, 1], [1, 2]]
    client(aws, "lambda").update_function_code(FunctionName=name, ZipFile=zipped(source % 2))
    assert call(aws, name)[0] == [2, 1]
    client(aws, "lambda").update_function_configuration(
        FunctionName=name, Environment={"Variables": {"A": "1"}}
    )
    assert call(aws, name)[0] == [2, 1]


def test_an_exception_is_the_answer_with_type_message_and_stack(aws: LocalAWS, make: Make) -> None:
    name = make("def handler(event, context):\n    raise KeyError('nothing')\n")
    result, answer = call(aws, name, LogType="Tail")
    assert answer["FunctionError"] == "Unhandled"
    assert answer["StatusCode"] == 200
    assert result["errorType"] == "KeyError"
    assert result["errorMessage"] == "'nothing'"
    assert result["requestId"]
    assert len(result["stackTrace"]) == 1
    assert "index.py" in result["stackTrace"][0]
    assert "[ERROR] KeyError" in base64.b64decode(answer["LogResult"]).decode()
    assert any("Traceback" in line for line in log_of(aws, name))


@pytest.mark.parametrize(
    ("source", "kind", "message"),
    [
        ("import nonsense_module", "Runtime.ImportModuleError", "Unable to import module 'index'"),
        ("def other(event, context): pass", "Runtime.HandlerNotFound", "Handler 'handler' missing on module"),
        ("def handler(:", "Runtime.UserCodeSyntaxError", "Syntax error in module 'index'"),
        ("1 / 0", "ZeroDivisionError", "division by zero"),
        ("import os\ndef handler(e, c): os._exit(3)", "Runtime.ExitError", "exit status 3"),
        ("import os\ndef handler(e, c): os.kill(os.getpid(), 9)", "Runtime.ExitError", "SIGKILL"),
        ("def handler(e, c): return {1, 2}", "Runtime.MarshalError", "Unable to marshal response"),
    ],
)
def test_what_goes_wrong_is_named_as_on_aws(
    aws: LocalAWS, make: Make, source: str, kind: str, message: str
) -> None:
    name = make(source)
    for _ in range(2):  # and it does not poison the next invocation
        result, answer = call(aws, name)
        assert answer["FunctionError"] == "Unhandled"
        assert result["errorType"] == kind
        assert message in result["errorMessage"]


def test_a_function_is_stopped_at_its_timeout_with_its_children(
    aws: LocalAWS, make: Make, tmp_path: Any
) -> None:
    name = make(
        "import subprocess, time\n"
        "def handler(event, context):\n"
        "    child = subprocess.Popen(['sleep', '60'])\n"
        "    open(event, 'w').write(str(child.pid))\n"
        "    print('before')\n"
        "    time.sleep(60)\n",
        Timeout=1,
    )
    began = time.monotonic()
    result, answer = call(aws, name, str(tmp_path / "pid"))
    assert time.monotonic() - began < 15
    assert answer["FunctionError"] == "Unhandled"
    assert result["errorType"] == "Sandbox.Timedout"
    assert "Task timed out after 1.00 seconds" in result["errorMessage"]
    assert not running(int((tmp_path / "pid").read_text()))
    assert any("Task timed out after 1.00 seconds" in line for line in log_of(aws, name))


def test_a_text_log_has_start_lines_end_and_report(aws: LocalAWS, make: Make) -> None:
    name = make(
        "import logging\n"
        "def handler(event, context):\n"
        "    print('printed')\n"
        "    logging.getLogger('mine').warning('warned\\nin two lines')\n"
    )
    call(aws, name)
    start, printed, warned, end, report = log_of(aws, name)
    assert start.startswith("START RequestId: ")
    assert start.endswith("Version: $LATEST")
    request_id = start.split()[2]
    assert printed == "printed"
    assert warned.startswith("[WARNING]\t")
    assert warned.endswith(f"\t{request_id}\twarned\nin two lines")
    assert end == f"END RequestId: {request_id}"
    assert report.startswith(f"REPORT RequestId: {request_id}\tDuration: ")
    assert "Init Duration" in report
    assert "Memory Size: 128 MB" in report


def test_a_json_log_is_json_line_for_line(aws: LocalAWS, make: Make) -> None:
    name = make(
        "import logging\n"
        "def handler(event, context):\n"
        "    logging.getLogger('mine').info('told', extra={'bucket': 'b'})\n"
        "    logging.getLogger('mine').debug('not told')\n",
        LoggingConfig={"LogFormat": "JSON"},
    )
    call(aws, name)
    start, told, report = (json.loads(line) for line in log_of(aws, name))
    assert start["type"] == "platform.start"
    assert {key: told[key] for key in ("level", "message", "logger", "bucket")} == {
        "level": "INFO",
        "message": "told",
        "logger": "mine",
        "bucket": "b",
    }
    assert report["type"] == "platform.report"
    assert report["record"]["status"] == "success"
    assert 0 < report["record"]["metrics"]["maxMemoryUsedMB"] < 200


def test_without_the_permission_to_log_the_function_runs_and_the_laptop_says_so(
    aws: LocalAWS, make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    name = make("def handler(event, context):\n    return 1\n", statements=(SENDING,))
    assert call(aws, name)[0] == 1
    assert "cannot write its log group" in caplog.text
    assert "logs:CreateLogStream" in caplog.text


def test_thirty_invocations_at_once_all_answer(aws: LocalAWS, make: Make) -> None:
    name = make("def handler(event, context):\n    return event\n")
    with ThreadPoolExecutor(30) as pool:
        assert sorted(pool.map(lambda number: call(aws, name, number)[0], range(30))) == list(range(30))


def test_reserved_concurrency_throttles(aws: LocalAWS, make: Make) -> None:
    name = make("import time\ndef handler(event, context):\n    time.sleep(event)\n")
    client(aws, "lambda").put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=1)
    first = threading.Thread(target=call, args=(aws, name, 1.5))
    first.start()
    time.sleep(0.5)
    with pytest.raises(ClientError) as refused:
        call(aws, name, 0)
    first.join()
    assert refused.value.response["Error"]["Code"] == "TooManyRequestsException"
    assert call(aws, name, 0)[1]["StatusCode"] == 200


@pytest.mark.parametrize("member", ["../evil.py", "/etc/evil.py", "a/../../evil.py", "..\\evil.py"])
def test_a_zip_that_leads_out_of_its_folder_is_refused(aws: LocalAWS, make: Make, member: str) -> None:
    name = make("def handler(event, context): pass\n")
    with pytest.raises(ClientError, match="leads out of the folder"):
        client(aws, "lambda").update_function_code(FunctionName=name, ZipFile=zipped("", member))


def test_what_is_no_zip_and_a_role_that_lambda_cannot_assume_are_refused(aws: LocalAWS, make: Make) -> None:
    name = make("def handler(event, context): pass\n")
    with pytest.raises(ClientError, match="Could not unzip"):
        client(aws, "lambda").update_function_code(FunctionName=name, ZipFile=b"no zip")
    trust = json.dumps(TRUST).replace("lambda", "sagemaker")
    role = client(aws, "iam").create_role(RoleName="not-for-lambda", AssumeRolePolicyDocument=trust)["Role"]
    with pytest.raises(ClientError, match="cannot be assumed by Lambda"):
        client(aws, "lambda").update_function_configuration(FunctionName=name, Role=role["Arn"])


def test_a_payload_that_is_no_json_is_refused(aws: LocalAWS, make: Make) -> None:
    name = make("def handler(event, context): pass\n")
    with pytest.raises(ClientError, match="Could not parse request body into json"):
        client(aws, "lambda").invoke(FunctionName=name, Payload=b"{")
