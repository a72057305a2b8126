"""Sleep, beside a worker that takes no notice of SIGTERM."""

import subprocess
import sys
import time

WORKER = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"

with subprocess.Popen([sys.executable, "-c", WORKER]):
    time.sleep(600)
