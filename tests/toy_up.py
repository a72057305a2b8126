"""`python -m local up` with the toy image in place of ours: `python tests/toy_up.py up --env-file FILE`."""

import functools

from local import up
from local.__main__ import main
from local.engine.jobs.session import JobSettings
from toy_pipeline import IMAGE

if __name__ == "__main__":
    up.JobSettings = functools.partial(JobSettings, source=str(IMAGE))  # type: ignore[assignment, attr-defined, unused-ignore]
    main()
