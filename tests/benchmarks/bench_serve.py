"""Serving: images a second that clients get one after the other and at once, and the most memory it takes.

    python -m tests.benchmarks.bench_serve
    python -m tests.benchmarks.bench_serve --rounds 9 --photographs path/to/folder

The server is a process, started as SageMaker starts it, with the shipped backbone at 224 pixels; clients keep
their connections. The promises: four clients get 1.5 times what one gets, and the memory stays below 1.5 GB.
"""

from __future__ import annotations

import argparse
import http.client
import io
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import cycle
from pathlib import Path

import numpy as np
from PIL import Image

from tests.benchmarks.measure import interleaved, median, show
from tests.support.training.models import description
from tests.support.training.server import ModelServer, serving
from training.artifact import write_artifact
from training.model import Classifier
from training.paths import Paths

CLIENTS = 4
AT_ONCE = 16
PROMISED_RATIO, PROMISED_BYTES = 1.5, 1_500_000_000


def draw(number: int) -> bytes:
    """Draw an image as big as a photograph of CUB: smooth colours with some grain, about 100 kB as JPEG."""
    random = np.random.default_rng(number)
    coarse = Image.fromarray(random.integers(0, 256, (24, 32, 3), np.uint8)).resize((500, 375), 3)
    pixels = np.clip(np.asarray(coarse) + random.normal(0, 10, (375, 500, 3)), 0, 255).astype(np.uint8)
    return encoded(Image.fromarray(pixels), "JPEG", quality=90)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    """Write an image as a file."""
    output = io.BytesIO()
    image.save(output, kind, **options)
    return output.getvalue()


def camera() -> bytes:
    """Draw 24 megapixels with a camera's grain, held upright: about 9 MB as JPEG, and to be turned."""
    random = np.random.default_rng(7)
    smooth = Image.fromarray(random.integers(0, 256, (400, 600, 3), np.uint8)).resize((6000, 4000), 3)
    grain = random.integers(-12, 12, (4000, 6000, 3), np.int16)
    turned = Image.Exif()
    turned[0x0112] = 6
    pixels = np.clip(np.asarray(smooth) + grain, 0, 255).astype(np.uint8)
    return encoded(Image.fromarray(pixels), "JPEG", quality=90, exif=turned)


def write_model(base: Path) -> None:
    """Write a model of eight classes."""
    classifier = Classifier("efficientnet_lite0", 8, 0.2)
    classifier.load_pretrained(Path())
    described = description([str(label) for label in range(8)], 224)
    write_artifact(Paths(base).model, classifier, described)


def rate(server: ModelServer, images: list[bytes], seconds: float, clients: int) -> float:
    """Return images a second that so many clients get together."""
    end = time.perf_counter() + seconds

    def ask(first: int) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        source, done = cycle(images[first:] + images[:first]), 0
        while time.perf_counter() < end:
            connection.request("POST", "/invocations", next(source), {"Content-Type": "image/jpeg"})
            response = connection.getresponse()
            response.read()
            assert response.status == http.client.OK
            done += 1
        connection.close()
        return done

    started = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        answered = sum(pool.map(ask, range(clients)))
    return answered / (time.perf_counter() - started)


def memory(base: Path, image: bytes) -> float:
    """Return the most memory that a fresh server takes for so many images at once, in MB."""
    with serving(base) as server:
        assert {status for status, _ in server.together([image] * AT_ONCE)} == {200}
        return server.peak_memory() / 1e6


def main() -> int:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=7, help="how often each number of clients is measured")
    parser.add_argument("--seconds", type=float, default=3.0, help="how long each time")
    parser.add_argument("--photographs", type=Path, help="a folder of JPEG files in place of drawn ones")
    options = parser.parse_args()
    if options.photographs:
        images = [path.read_bytes() for path in sorted(options.photographs.rglob("*.jpg"))[:64]]
    else:
        images = [draw(number) for number in range(64)]
    with tempfile.TemporaryDirectory() as name:
        base = Path(name)
        write_model(base)
        with serving(base) as server:
            rate(server, images, 1, CLIENTS)
            clients = {
                str(number): partial(rate, server, images, options.seconds, number) for number in (1, CLIENTS)
            }
            values = interleaved(options.rounds, clients)
        large = {"24 megapixels": camera()}
        large["62 megapixels"] = encoded(Image.new("RGB", (7900, 7850)), "PNG")
        taken = {what: memory(base, image) for what, image in large.items()}
    one, four = (median(each) for each in values.values())
    ratios = [many / alone for alone, many in zip(*values.values(), strict=True)]
    show(
        f"Serving, medians of {options.rounds}",
        ("what", "baseline", "ours", "ratio", "promised"),
        [
            (
                f"images a second: {CLIENTS} clients, one",
                f"{one:.1f}",
                f"{four:.1f}",
                f"{median(ratios):.2f}",
                f">= {PROMISED_RATIO}",
            ),
            *(
                (
                    f"MB at most: {AT_ONCE} images of {what} at once",
                    f"{PROMISED_BYTES / 1e6:,.0f}",
                    f"{found:,.0f}",
                    f"{found * 1e6 / PROMISED_BYTES:.2f}",
                    "<= 1",
                )
                for what, found in taken.items()
            ),
        ],
        (f"{len(images)} images of {sum(map(len, images)) / len(images) / 1000:.0f} kB",),
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
