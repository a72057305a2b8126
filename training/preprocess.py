"""The step Preprocess: choose classes, split, shrink, and write indexed shards with a manifest.

    python -m training.preprocess --class-selection "13, 17, 35-40" --seed 7

Reads /opt/ml/processing/input/data (a CUB-200-2011 folder or archive) and writes the folders train,
validation, test and manifest of /opt/ml/processing/output. With several instances each one reads the whole
input, decodes every n-th image and writes its own shards; together they hold what one would write.
"""

from __future__ import annotations

import hashlib
import os
import sys
import time
from argparse import Namespace
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from image_data import decoding
from image_data.errors import UnreadableImageError
from training import job
from training.cub import ImageRecord, read_annotations
from training.job import JobError
from training.manifest import ManifestImage, Unreadable, class_list, data_digest, manifest
from training.paths import Hosts, Paths, write_json
from training.selection import select_classes
from training.shards import ShardWriter, StoredImage
from training.source import Source, find_source
from training.split import SPLITS, assign_splits

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Plan:
    """Which images go where; the same on every host."""

    source: Source
    classes: Mapping[int, str]
    records: Mapping[str, ImageRecord]
    splits: Mapping[int, str]


@dataclass
class Progress:
    """What one host has found out so far."""

    hashes: list[tuple[str, ImageRecord, str]] = field(default_factory=list)
    sizes: dict[int, tuple[int, int]] = field(default_factory=dict)
    unreadable: list[Unreadable] = field(default_factory=list)
    handled: int = 0


def parse_arguments(argv: Sequence[str] | None) -> Namespace:
    """Read the step's arguments."""
    parser = job.ArgumentParser(
        prog="python -m training.preprocess", description=(__doc__ or "").splitlines()[0]
    )
    add = parser.add_argument
    add("--class-selection", default="", help="numbers, ranges or names; empty or all = every class")
    add("--annotation-file-name", default="classes.txt", help="the file that lists the classes")
    add("--seed", type=int, default=7, help="of the split, where the data set leaves a choice")
    add("--data-digest", default="unknown", help="of the objects that are read; recorded")
    add("--validation-share", type=float, default=0.1, help="of the train images, carved out for validation")
    add("--test-share", type=float, default=0.2, help="of all images, where there is no train_test_split.txt")
    add("--short-side", type=int, default=256, help="pixels of the stored images; 440 to train with 384")
    add("--quality", type=int, default=90, help="of the stored JPEGs, 1 to 95")
    add(
        "--unreadable-share",
        type=float,
        default=0.05,
        help="of the images that may be broken before the step fails",
    )
    arguments = parser.parse_args(argv)
    for name, low, high in (
        ("validation_share", 0.01, 0.5),
        ("test_share", 0.01, 0.9),
        ("short_side", 32, 2048),
        ("quality", 1, 95),
        ("unreadable_share", 0, 1),
    ):
        if not low <= getattr(arguments, name) <= high:
            parser.error(f"--{name.replace('_', '-')} must be from {low} to {high}")
    return arguments


def make_plan(folder: Path, arguments: Namespace) -> Plan:
    """Read the annotations and decide each chosen image's split."""
    source = find_source(folder)
    annotations = read_annotations(
        source.texts(arguments.annotation_file_name), arguments.annotation_file_name
    )
    classes = select_classes(arguments.class_selection, annotations.classes)
    records = annotations.of_classes(classes)
    splits = assign_splits(
        records,
        seed=arguments.seed,
        validation_share=arguments.validation_share,
        test_share=arguments.test_share,
    )
    _check_splits(classes, records, splits)
    by_name = {record.name: record for record in records}
    if len(by_name) < len(records):
        twice = Counter(record.name for record in records).most_common(1)[0][0]
        raise JobError(f"images.txt lists {twice!r} more than once")
    return Plan(source, classes, by_name, splits)


def _check_splits(
    classes: Mapping[int, str], records: Sequence[ImageRecord], splits: Mapping[int, str]
) -> None:
    counts = Counter((record.class_id, splits[record.image_id]) for record in records)
    untrained = [name for number, name in classes.items() if not counts[number, "train"]]
    if untrained:
        raise JobError(
            f"no images to train with for {', '.join(untrained[:5])}: at least 3 a class are needed"
        )
    for split in ("validation", "test"):
        if split not in splits.values():
            raise JobError(f"no images are left for {split}: give the classes more images")


def shrink_image(data: bytes, *, short_side: int, quality: int) -> StoredImage | str:
    """Decode, shrink and encode one image; return the reason where it cannot be read."""
    try:
        original = decoding.decode(data)
    except UnreadableImageError as error:
        return str(error)
    small = decoding.shrink(original, short_side)
    return StoredImage(decoding.encode(small, quality), *small.size, *original.size)


def in_order(
    pool: ThreadPoolExecutor, work: Callable[[Item], Result], items: Iterable[Item], *, window: int
) -> Iterator[Result]:
    """Map over a stream that does not fit into memory: at most `window` items are under way."""
    waiting: deque[Future[Result]] = deque()
    for item in items:
        waiting.append(pool.submit(work, item))
        if len(waiting) >= window:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def write_shards(plan: Plan, hosts: Hosts, output: Callable[[str], Path], arguments: Namespace) -> Progress:
    """Stream the images through the decoders into this host's shards.

    Pillow releases Python's lock while it decodes, resizes and encodes, so threads use every core, and the
    bytes need not travel between processes.
    """
    progress = Progress()
    ranks = {name: rank for rank, name in enumerate(plan.records)}
    labels = {number: label for label, number in enumerate(sorted(plan.classes))}

    def handle(item: tuple[str, bytes]) -> tuple[str, str, StoredImage | str | None]:
        name, data = item
        mine = ranks[name] % len(hosts.names) == hosts.rank
        options = {"short_side": arguments.short_side, "quality": arguments.quality}
        return name, hashlib.sha256(data).hexdigest(), shrink_image(data, **options) if mine else None

    workers = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with ExitStack() as stack:
        writers = {split: stack.enter_context(ShardWriter(output(split), hosts.current)) for split in SPLITS}
        pool = stack.enter_context(ThreadPoolExecutor(workers))
        for name, sha256, result in in_order(
            pool, handle, plan.source.images(plan.records), window=4 * workers
        ):
            record = plan.records[name]
            split = plan.splits[record.image_id]
            progress.hashes.append((sha256, record, split))
            progress.handled += result is not None
            if isinstance(result, StoredImage):
                writers[split].add(record, labels[record.class_id], result)
                progress.sizes[record.image_id] = (result.original_width, result.original_height)
            elif result is not None:
                progress.unreadable.append(Unreadable(name, result))
    progress.unreadable.sort(key=lambda image: image.name)
    return progress


def check_unreadable(progress: Progress, share: float) -> None:
    """Fail where more than this share of the images could not be read."""
    broken = len(progress.unreadable)
    for image in progress.unreadable:
        print(f"warning: unreadable image {image.name!r}: {image.reason}", file=sys.stderr, flush=True)
    if broken > share * progress.handled:
        first = progress.unreadable[0]
        raise JobError(
            f"{broken} of {progress.handled} images cannot be read, more than {share:.0%}; "
            f"the first is {first.name!r}: {first.reason}. Repair them or take them out of images.txt"
        )


def write_documents(
    plan: Plan, progress: Progress, hosts: Hosts, output: Callable[[str], Path], input_digest: str
) -> None:
    """Write the manifest and, beside the shards, the classes with the data's digest."""
    digest = data_digest(plan.classes, progress.hashes)
    for split in SPLITS:
        write_json(output(split) / "classes.json", {"classes": class_list(plan.classes), "digest": digest})
    if hosts.rank == 0:
        listed = _manifest_images(progress)
        document = manifest(plan.classes, listed, progress.unreadable, digest)
        write_json(output("manifest") / "manifest.json", {**document, "input_digest": input_digest})
    else:
        unreadable = [{"name": image.name, "reason": image.reason} for image in progress.unreadable]
        document = {"version": 1, "host": hosts.current, "unreadable": unreadable}
        write_json(output("manifest") / f"manifest-{hosts.current}.json", document)


def _manifest_images(progress: Progress) -> list[ManifestImage]:
    unreadable = {image.name for image in progress.unreadable}
    listed = []
    for sha256, record, split in sorted(progress.hashes, key=lambda item: item[1].image_id):
        if record.name not in unreadable:
            size = progress.sizes.get(record.image_id, (None, None))
            listed.append(ManifestImage(record.image_id, record.name, record.class_id, split, sha256, *size))
    return listed


def preprocess(paths: Paths, argv: Sequence[str] | None = None) -> None:
    """Run the step and say what it did."""
    started = time.perf_counter()
    job.check_writable(paths.message.parent, *map(paths.processing_output, (*SPLITS, "manifest")))
    arguments = parse_arguments(argv)
    hosts = paths.processing_hosts()
    plan = make_plan(paths.processing_input("data"), arguments)
    progress = write_shards(plan, hosts, paths.processing_output, arguments)
    check_unreadable(progress, arguments.unreadable_share)
    write_documents(plan, progress, hosts, paths.processing_output, arguments.data_digest)
    counts = Counter(plan.splits.values())
    summary = (
        f"{len(plan.classes)} classes, {len(plan.records)} images: "
        + ", ".join(f"{counts[split]} {split}" for split in SPLITS)
        + f"; {len(progress.unreadable)} unreadable"
    )
    seconds = time.perf_counter() - started
    speed = f"{progress.handled} written in {seconds:.1f} s, {progress.handled / seconds:.0f} images/s"
    print(f"{summary}; {speed}; input digest {arguments.data_digest}")
    job.write_reason(paths.message, summary)


def main(argv: Sequence[str] | None = None) -> int:
    """Run as a container does and return the exit code."""
    paths = Paths.from_environment()
    job.stop_at_sigterm()
    return job.run(lambda: preprocess(paths, argv), paths.message)


if __name__ == "__main__":
    sys.exit(main())
