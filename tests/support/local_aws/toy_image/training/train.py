"""Take five steps of a tenth of a second, with a checkpoint after each."""

import json
import time

from . import BASE

CHECKPOINT = BASE / "checkpoints" / "step.txt"

hyper_parameters = json.loads((BASE / "input/config/hyperparameters.json").read_text())
data = (BASE / "input/data/train/part.json").read_text()
step = int(CHECKPOINT.read_text()) if CHECKPOINT.exists() else 0
print(f"starting at step {step}", flush=True)
for done in range(step + 1, 6):
    time.sleep(0.1)
    progress = f"validation_accuracy=0.9 progress={20 * done}"
    print(f"epoch={done}/5 train_loss={1 / done:.4f} {progress}", flush=True)
    if CHECKPOINT.parent.exists():
        CHECKPOINT.write_text(str(done))
(BASE / "model/model.safetensors").write_bytes((json.dumps(hyper_parameters, sort_keys=True) + data).encode())
(BASE / "model/model.json").write_text("{}")
