"""What Lambda's runtime does before a function's code is read: log records become lines of JSON.

Python reads this module by itself when it starts, for a function's process has its folder on PYTHONPATH.
MiniStack starts functions without a handler for log records, so that those below WARNING would be lost.
"""

import json
import logging
import time
import traceback

_OF_EVERY_RECORD = {*vars(logging.makeLogRecord({})), "message", "asctime"}


class _JsonFormatter(logging.Formatter):
    """Formats records as Lambda does for LogFormat JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record, with what was given as `extra`, as one line."""
        line = {
            "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created)),
            "level": record.levelname,
            "message": record.getMessage(),
            "logger": record.name,
            **{name: value for name, value in vars(record).items() if name not in _OF_EVERY_RECORD},
        }
        if record.exc_info:
            line["stackTrace"] = traceback.format_tb(record.exc_info[2])
        return json.dumps(line, default=str)


_handler = logging.StreamHandler()
_handler.setFormatter(_JsonFormatter())
logging.getLogger().addHandler(_handler)
logging.getLogger().setLevel(logging.INFO)
