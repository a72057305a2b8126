"""Take five steps of a tenth of a second, all instances together, with a checkpoint after each."""

import json
import time

from . import BASE
from .hosts import IS_FIRST, meet, together

CHECKPOINT = BASE / "checkpoints" / "step.txt"

hyper_parameters = json.loads((BASE / "input/config/hyperparameters.json").read_text())
data = (BASE / "input/data/train/part.json").read_text()
peers = meet()
step = int(CHECKPOINT.read_text()) if CHECKPOINT.exists() else 0
print(f"starting at step {step}", flush=True)
for done in range(step + 1, 6):
    time.sleep(0.1)
    together(peers, done)
    if not IS_FIRST:
        continue
    progress = f"validation_accuracy=0.9 progress={20 * done}"
    print(f"epoch={done}/5 train_loss={1 / done:.4f} {progress}", flush=True)
    if CHECKPOINT.parent.exists():
        CHECKPOINT.write_text(str(done))
if IS_FIRST:
    weights = (json.dumps(hyper_parameters, sort_keys=True) + data).encode()
    (BASE / "model/model.safetensors").write_bytes(weights)
    (BASE / "model/model.json").write_text("{}")
