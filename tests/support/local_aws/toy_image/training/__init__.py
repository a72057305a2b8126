"""Containers that follow the /opt/ml contract in milliseconds: for tests of everything around the training.

This folder stands for our image's: `python -m training.preprocess|train|evaluate`, as the shipped definition
starts them.
"""

import os
from pathlib import Path

BASE = Path(os.environ["SAGEMAKER_BASE_DIR"])
