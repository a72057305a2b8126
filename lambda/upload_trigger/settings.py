"""What the stack tells the function through its environment: the deployment's values and its policy."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from upload_trigger.definition.problems import did_you_mean

NAMES = (
    "PIPELINE_NAME",
    "PIPELINE_ROLE_ARN",
    "PIPELINE_PARAMETERS",
    "PIPELINE_PARAMETER_DEFAULTS",
    "DEPLOYMENT_POLICY",
    "ON_RUNNING",
)
PARALLEL, STOP = "parallel", "stop"
RULES = (
    "step_types",
    "members",
    "roles",
    "images",
    "entry_points",
    "network",
    "vpc",
    "encryption",
    "environment",
    "texts",
    "tags",
    "locations",
    "instance_types",
    "instance_counts",
    "volume_sizes",
    "run_times",
    "retries",
    "cache",
    "approval_status",
    "model_package_group",
    "registration",
    "cost",
)
STEP_TYPES = ("Condition", "Fail", "Processing", "RegisterModel", "Training")
"""The types of steps that the policy judges; `further_step_types` lets others run unjudged."""
FORMER_RULES = {"registration_gate": "registration"}
"""Rules that an earlier edition had, and what to write now."""


class SettingsError(ValueError):
    """The function's environment is not what the stack writes."""

    def __init__(self, what: str) -> None:
        super().__init__(f"the function's {what}; deploy the stack again")


@dataclass(frozen=True, kw_only=True)
class Policy:
    """The limits of a deployment; the defaults are those of `deployment_policy.json`, member by member."""

    policy_off: Mapping[str, str] = field(default_factory=dict)
    """Why a rule does not count here, by the rule's name."""
    further_step_types: Mapping[str, str] = field(default_factory=dict)
    """Why a step type may run although the policy does not know its Arguments, by the type."""
    allowed_images: tuple[str, ...] = ()
    entry_points: tuple[str, ...] = (
        "python -m training.preprocess",
        "python -m training.train",
        "python -m training.evaluate",
    )
    environment_keys: tuple[str, ...] = ()
    tag_keys: tuple[str, ...] = ("TrainingType", "project", "execution")
    processing_instance_types: tuple[str, ...] = (
        "ml.m5.large",
        "ml.m5.xlarge",
        "ml.m5.2xlarge",
        "ml.m5.4xlarge",
    )
    training_instance_types: tuple[str, ...] = (
        "ml.c5.xlarge",
        "ml.c5.2xlarge",
        "ml.c5.4xlarge",
        "ml.m5.xlarge",
        "ml.m5.2xlarge",
    )
    max_instance_count: int = 4
    max_volume_gb: int = 100
    max_runtime_seconds: int = 86_400
    max_wait_seconds: int = 172_800
    max_retry_attempts: int = 5
    max_cache_days: int = 30
    """The oldest result of a step that a CacheConfig may take instead of running the step."""
    model_approval_statuses: tuple[str, ...] = ("PendingManualApproval",)
    instance_prices: Mapping[str, float] = field(default_factory=dict)
    """USD an hour, beside and instead of `PRICES`."""
    max_execution_cost_usd: float = 150.0

    @classmethod
    def read(cls, text: str) -> Policy:
        """Read the environment variable; raise SettingsError with one sentence on what is wrong."""
        name = "DEPLOYMENT_POLICY"
        written = _object(name, text)
        fields = {each.name: each.type for each in dataclasses.fields(cls)}
        for key, value in written.items():
            if key not in fields:
                raise SettingsError(f"{name}: {key} is no setting of it{did_you_mean(key, fields)}")
            must, is_legal = _FORMS[str(fields[key])]
            if not is_legal(value):
                raise SettingsError(f"{name}: {key} must be {must}, not {json.dumps(value)[:80]}")
        _check_reasons(name, written)
        settings: dict[str, Any] = {
            key: tuple(each) if isinstance(each, list) else each for key, each in written.items()
        }
        return cls(**settings)


def _check_reasons(name: str, written: Mapping[str, Any]) -> None:
    """Raise SettingsError unless what is switched off or let in has a reason, and is there to be."""
    for rule, reason in written.get("policy_off", {}).items():
        if rule in FORMER_RULES:
            what = f"{name}: policy_off names {rule}, which is now called {FORMER_RULES[rule]}"
            raise SettingsError(f"{what}: write {FORMER_RULES[rule]} in its place")
        if rule not in RULES:
            what = f"{name}: policy_off names {rule}, which is no rule"
            raise SettingsError(what + did_you_mean(rule, RULES))
        if not reason.strip():
            raise SettingsError(f"{name}: policy_off must say why {rule} is off")
    for kind, reason in written.get("further_step_types", {}).items():
        if kind in STEP_TYPES:
            raise SettingsError(f"{name}: further_step_types names {kind}, which the policy judges already")
        if not reason.strip():
            raise SettingsError(f"{name}: further_step_types must say why {kind} steps may run")


def _is_number(value: Any) -> bool:
    # NaN is no number to compare with: no definition would be refused for it.
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e12


def _is_map(value: Any, is_legal: Callable[[Any], bool]) -> bool:
    return isinstance(value, dict) and all(map(is_legal, value.values()))


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


_FORMS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "Mapping[str, str]": ("an object of texts", lambda value: _is_map(value, _is_text)),
    "Mapping[str, float]": ("an object of numbers", lambda value: _is_map(value, _is_number)),
    "tuple[str, ...]": (
        "a list of texts",
        lambda value: isinstance(value, list) and all(map(_is_text, value)),
    ),
    "int": ("a number from 0", lambda value: _is_number(value) and isinstance(value, int)),
    "float": ("a number from 0", _is_number),
}
"""By the type of a setting: what it must be in JSON."""


@dataclass(frozen=True)
class Settings:
    """The function's environment, read and checked."""

    pipeline_name: str
    role_arn: str
    parameters: Mapping[str, str]
    """Passed wherever the definition declares them; they win over everything else."""
    parameter_defaults: Mapping[str, str]
    """Passed where the definition declares a parameter that nothing else gives a value to."""
    policy: Policy
    on_running: str
    """What an upload does to running executions of its pipeline: `parallel` lets them be, or `stop`."""

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> Settings:
        """Read the environment or say which variables are missing or wrong."""
        missing = [name for name in NAMES if not environment.get(name)]
        if missing:
            raise SettingsError(f"environment lacks {', '.join(missing)}")
        pipeline_name, role_arn, parameters, defaults, policy, on_running = (
            environment[name] for name in NAMES
        )
        if on_running not in (PARALLEL, STOP):
            raise SettingsError(f"ON_RUNNING is {on_running}; it must be {PARALLEL} or {STOP}")
        values = _texts("PIPELINE_PARAMETERS", parameters)
        if not values.get("ArtifactBucket"):
            raise SettingsError("PIPELINE_PARAMETERS lacks ArtifactBucket")
        defaulted = _texts("PIPELINE_PARAMETER_DEFAULTS", defaults)
        return cls(pipeline_name, role_arn, values, defaulted, Policy.read(policy), on_running)

    @property
    def bucket(self) -> str:
        """Name the bucket that uploads go to."""
        return self.parameters["ArtifactBucket"]


def _texts(name: str, text: str) -> dict[str, str]:
    return {key: str(each) for key, each in _object(name, text).items()}


def _object(name: str, text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SettingsError(f"{name}: it is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise SettingsError(f"{name}: it must be a JSON object, not {text[:80]}")
    return value
