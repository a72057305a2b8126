"""A second factor of IAM users: virtual MFA devices, whose codes are those of RFC 6238.

A person gives the serial number and a code with sts:AssumeRole, and the role's trust policy then sees
`aws:MultiFactorAuthPresent`. A code that is wrong refuses the call, whatever the trust policy asks for.
"""

from __future__ import annotations

import base64
import hmac
import struct
import time
from typing import Any

PRESENT = "aws:MultiFactorAuthPresent"
_STEP_SECONDS = 30
_DIGITS = 6
_DRIFT = (0, -1, 1)
"""Steps by which a device's clock may be off."""


def code(seed: str, at: float | None = None) -> str:
    """Give what a device with this base32 seed shows now, or `at` a moment in seconds since the epoch."""
    step = int((time.time() if at is None else at) // _STEP_SECONDS)
    digest = hmac.digest(base64.b32decode(seed + "=" * (-len(seed) % 8)), struct.pack(">Q", step), "sha1")
    start = digest[-1] & 15
    (number,) = struct.unpack(">I", digest[start : start + 4])
    return f"{(number & 0x7FFFFFFF) % 10**_DIGITS:0{_DIGITS}}"


def shows(devices: Any, user_arn: str, serial: str, given: str) -> bool:
    """Tell whether one of moto's virtual devices is this user's and shows the code `given`."""
    device = devices.get(serial)
    if device is None or device.user is None or device.user.arn != user_arn:
        return False
    now = time.time()
    codes = (code(device.base32_string_seed, now + drift * _STEP_SECONDS) for drift in _DRIFT)
    return any(hmac.compare_digest(each.encode(), given.encode()) for each in codes)
