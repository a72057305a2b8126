"""`python -m local up` with the toy image in place of ours: `python tests/toy_up.py up --env-file FILE`."""

import functools

from local import up
from local.__main__ import main
from local.aws import LocalAWS
from toy_pipeline import IMAGE

if __name__ == "__main__":
    up.LocalAWS = functools.partial(LocalAWS, source=IMAGE)  # type: ignore[assignment, attr-defined, unused-ignore]
    main()
