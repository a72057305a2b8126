"""Measure the steps as jobs run them, in processes: Preprocess, evaluation, two trainings side by side.

    python -m tests.benchmarks.bench_steps [--images 800] [--rounds 3]

Preprocess: processor seconds an image, from a .tgz to shards. The baseline unpacks the archive, and two
processes of Pillow shrink and save its images to the same size with the same filter. Memory: the peak of
Preprocess with all images against that with a tenth of them.

Evaluation: the network's answers to the test images. The baseline opens an original, prepares it with
torchvision's transforms and asks the network, one image after the other.

Training: two jobs of the default recipe side by side, in the environment of jobs on local AWS, against the
same two in the environment as it comes. Their models must be equal.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from local.engine.jobs.container import SIDE_BY_SIDE
from tests.benchmarks.bench_data_path import draw
from tests.benchmarks.measure import interleaved, median, show

CLASSES = 8
ROOT = Path(__file__).resolve().parents[2]
# What most people write: everything is unpacked, and a process for each core shrinks and saves.
SCRIPT = """
import sys, tarfile
from multiprocessing import Pool
from pathlib import Path
from PIL import Image

def shrink(path):
    image = Image.open(path).convert("RGB")
    scale = 256 / min(image.size)
    size = tuple(max(256, round(side * scale)) for side in image.size)
    target = Path(sys.argv[2]) / "small" / path.parent.name
    target.mkdir(parents=True, exist_ok=True)
    image.resize(size, Image.Resampling.BICUBIC).save(target / path.name, "JPEG", quality=90)

if __name__ == "__main__":
    with tarfile.open(sys.argv[1]) as archive:
        archive.extractall(sys.argv[2], filter="data")
    with Pool(2) as pool:
        pool.map(shrink, sorted(Path(sys.argv[2]).glob("images/*/*.jpg")), chunksize=16)
"""
ONE_AT_A_TIME = """
import json, sys
from pathlib import Path
import torch
from PIL import Image
from torchvision import transforms
from training.artifact import read_archive

model, description, _ = read_archive(Path(sys.argv[1]))
size = description.image_size
prepare = transforms.Compose([
    transforms.Resize(round(size / 0.875), transforms.InterpolationMode.BICUBIC), transforms.CenterCrop(size),
    transforms.ToTensor(), transforms.Normalize(description.mean, description.std),
])
paths = json.loads(Path(sys.argv[2]).read_text())
with torch.no_grad():
    import time
    started = time.perf_counter()
    for path in paths:
        model(prepare(Image.open(path).convert("RGB"))[None])
print(time.perf_counter() - started)
"""
# A small process in between: the peak of a process counts what it was forked from.
MEASURED = """
import resource, subprocess, sys
code = subprocess.call(sys.argv[1:])
usage = resource.getrusage(resource.RUSAGE_CHILDREN)
print(usage.ru_utime + usage.ru_stime, usage.ru_maxrss, file=sys.stderr)
sys.exit(code)
"""
ALL_AT_ONCE = """
import sys, time
from pathlib import Path
from training.allocator import keep_memory
from training.artifact import read_archive
from training.data import Channel
from training.evaluate import predict

keep_memory()
model, description, _ = read_archive(Path(sys.argv[1]))
test = Channel(Path(sys.argv[2]))
started = time.perf_counter()
predict(model, description, test)
print(time.perf_counter() - started)
"""


def run(arguments: Sequence[str], **variables: str) -> tuple[float, float, str]:
    """Run a process to its end: its processor seconds with its children's, its peak in MB, its output."""
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}", "PYTHONDONTWRITEBYTECODE": "1", **variables}
    command = [sys.executable, "-S", "-c", MEASURED, *arguments]
    done = subprocess.run(command, check=False, env=environment, capture_output=True, cwd=ROOT, text=True)
    assert done.returncode == 0, done.stderr
    seconds, kilobytes = done.stderr.splitlines()[-1].split()
    return float(seconds), int(kilobytes) / 1024, done.stdout


def write_archive(folder: Path, count: int, size: tuple[int, int] = (500, 375)) -> Path:
    """Pack `count` images in class folders."""
    folder.mkdir(exist_ok=True)
    path = folder / "birds.tgz"
    with tarfile.open(path, "w:gz") as archive:
        for number in range(count):
            data = draw(number, size)
            member = tarfile.TarInfo(f"images/{number % CLASSES:03d}.class/{number}.jpg")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def seconds_told(command: Sequence[str]) -> float:
    """Return the seconds that a process says it took for what it was started for."""
    return float(run(command)[2])


class Steps:
    """The folders of the steps, and what is measured of each."""

    def __init__(self, folder: Path, archive: Path) -> None:
        self.folder = folder
        self.archive = archive
        self.count = 0

    def preprocess(self, archive: Path | None = None) -> Path:
        """Run Preprocess in a folder of its own, and return it."""
        self.count += 1
        base = self.folder / f"preprocess-{self.count}"
        data = base / "processing/input/data"
        data.mkdir(parents=True)
        (data / "birds.tgz").symlink_to(archive or self.archive)
        self.usage = run([sys.executable, "-m", "training.preprocess"], SAGEMAKER_BASE_DIR=str(base))
        return base / "processing/output"

    def preprocess_seconds(self, archive: Path) -> float:
        """Return Preprocess's processor seconds."""
        self.preprocess(archive)
        return self.usage[0]

    def preprocess_memory(self, archive: Path) -> float:
        """Return Preprocess's peak memory in MB."""
        self.preprocess(archive)
        return self.usage[1]

    def script_seconds(self, archive: Path) -> float:
        """Return the obvious script's processor seconds."""
        with tempfile.TemporaryDirectory(dir=self.folder) as place:
            script = Path(place) / "script.py"
            script.write_text(SCRIPT)
            return run([sys.executable, str(script), str(archive), place])[0]

    def training_folder(self, shards: Path, name: str) -> Path:
        """Lay out a training job's folder."""
        base = self.folder / f"train-{name}-{self.count}"
        self.count += 1
        (base / "input/config").mkdir(parents=True)
        (base / "input/data").mkdir()
        (base / "input/config/hyperparameters.json").write_text("{}")
        for channel in ("train", "validation"):
            (base / "input/data" / channel).symlink_to(shards / channel)
        return base

    def side_by_side(self, shards: Path, variables: dict[str, str], models: set[str]) -> float:
        """Train twice at once; the wall time, and the digests of the models."""
        bases = [self.training_folder(shards, name) for name in ("Spot", "OnDemand")]
        started = time.perf_counter()
        processes = [
            subprocess.Popen(
                [sys.executable, "-m", "training.train"],
                cwd=ROOT,
                stdout=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": str(ROOT), "SAGEMAKER_BASE_DIR": str(base), **variables},
            )
            for base in bases
        ]
        assert [process.wait() for process in processes] == [0, 0]
        seconds = time.perf_counter() - started
        models |= {
            hashlib.sha256((base / "model/model.safetensors").read_bytes()).hexdigest() for base in bases
        }
        return seconds

    def pack_model(self) -> Path:
        """Pack the last trained model as SageMaker does."""
        base = max(self.folder.glob("train-*"), key=lambda path: path.stat().st_mtime)
        path = self.folder / "model.tar.gz"
        with tarfile.open(path, "w:gz") as archive:
            for file in sorted((base / "model").iterdir()):
                archive.add(file, file.name)
        return path

    def originals(self, shards: Path) -> Path:
        """Unpack the originals of the test images, and list their paths."""
        names = [
            image["name"] for image in json.loads((shards / "test/index-algo-1.json").read_text())["images"]
        ]
        with tarfile.open(self.archive) as archive:
            archive.extractall(self.folder, filter="data")
        paths = self.folder / "paths.json"
        paths.write_text(json.dumps([str(self.folder / "images" / name) for name in names]))
        return paths


def main() -> int:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=800, help="how many are generated")
    parser.add_argument("--rounds", type=int, default=3, help="how often each is measured")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        steps = Steps(folder, write_archive(folder, options.images))
        few = write_archive(folder / "few", options.images // 10)
        phone = write_archive(folder / "phone", 4 * CLASSES, (4000, 3000))
        shards = steps.preprocess()
        tuned, plain = set[str](), set[str]()
        values = interleaved(
            options.rounds,
            {
                "script": partial(steps.script_seconds, steps.archive),
                "preprocess": partial(steps.preprocess_seconds, steps.archive),
                "phone, script": partial(steps.script_seconds, phone),
                "phone, preprocess": partial(steps.preprocess_seconds, phone),
                "few": partial(steps.preprocess_memory, few),
                "many": partial(steps.preprocess_memory, steps.archive),
                "as it comes": partial(steps.side_by_side, shards, {}, plain),
                "side by side": partial(steps.side_by_side, shards, SIDE_BY_SIDE, tuned),
            },
        )
        assert len(tuned) == 1, "two trainings of the same data differ"
        model, paths = steps.pack_model(), steps.originals(shards)
        commands = {
            "one at a time": [sys.executable, "-c", ONE_AT_A_TIME, str(model), str(paths)],
            "evaluate": [sys.executable, "-c", ALL_AT_ONCE, str(model), str(shards / "test")],
        }
        values |= interleaved(
            options.rounds,
            {
                what: partial(lambda command: float(run(command)[2]), command)
                for what, command in commands.items()
            },
        )
    rows = []
    for title, baseline, ours, unit in (
        ("Preprocess: processor seconds", "script", "preprocess", "s"),
        (
            "Preprocess of 32 images of 12 megapixels: processor seconds",
            "phone, script",
            "phone, preprocess",
            "s",
        ),
        ("Preprocess: peak memory at a tenth of the images, at all", "few", "many", "MB"),
        ("evaluation: seconds", "one at a time", "evaluate", "s"),
        ("two trainings side by side: seconds", "as it comes", "side by side", "s"),
    ):
        before, now = median(values[baseline]), median(values[ours])
        rows.append((title, f"{before:.2f} {unit}", f"{now:.2f} {unit}", f"{now / before:.2f}"))
    show(
        f"The steps as jobs run them, medians of {options.rounds}",
        ("what", "baseline", "ours", "ratio"),
        rows,
        (f"{options.images} generated images of 500 x 375 pixels in {CLASSES} classes, in a .tgz",),
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
