"""`python -m local up` and `run` with a toy image in place of ours.

python tests/support/local_aws/toy_up.py up --env-file FILE
"""

import functools
import os

from local import run, up
from local.__main__ import main
from local.engine.jobs.session import JobSettings
from tests.support.local_aws.toy_pipeline import IMAGE

if __name__ == "__main__":
    image = os.environ.get("TOY_IMAGE", str(IMAGE))
    for command in (run, up):
        command.JobSettings = functools.partial(JobSettings, source=image)  # type: ignore[assignment, attr-defined, unused-ignore]
    main()
