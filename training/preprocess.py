"""The step Preprocess: choose classes, split, shrink, and write indexed shards with a manifest.

    python -m training.preprocess --class-selection "13, 17, 35-40" --image-size 224 --seed 7

Reads /opt/ml/processing/input/data (a data set in any layout of image_data, in a folder or an archive) and
writes the folders train, validation, test and manifest of /opt/ml/processing/output. With several instances
each one reads the whole input, decodes every n-th image and writes its own shards; together they hold what
one would write.
"""

from __future__ import annotations

import hashlib
import sys
import time
from argparse import Namespace
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from image_data import decoding
from image_data.errors import UnreadableImageError
from image_data.inspection import UNREADABLE_SHARE, Inspection
from image_data.plan import Choice, Plan, make_plan
from image_data.records import SPLITS, TRAIN, ImageRecord
from image_data.streaming import in_order
from training import job, manifest
from training.paths import Hosts, Paths, write_json, write_json_list
from training.shards import ShardWriter, StoredImage, short_side

WARNINGS = 20
"""Images that the log names one by one; the manifest names all."""


def parse_arguments(argv: Sequence[str] | None) -> Namespace:
    """Read the step's arguments."""
    parser = job.ArgumentParser(
        prog="python -m training.preprocess", description=(__doc__ or "").splitlines()[0]
    )
    add = parser.add_argument
    add("--class-selection", default="all", help="numbers, ranges or names; all = every class")
    add("--annotation-file-name", default="classes.txt", help="the file that lists classes or images")
    add("--seed", type=int, default=7, help="of the split, where the data set leaves a choice")
    add("--data-digest", default="unknown", help="of the objects that are read; recorded")
    add("--validation-share", type=float, default=0.1, help="of the train images, carved out for validation")
    add("--test-share", type=float, default=0.2, help="of all images, where there is no train_test_split.txt")
    add(
        "--image-size", type=int, default=224, help="side of the network's input, which images are stored for"
    )
    add("--quality", type=int, default=90, help="of the stored JPEGs, 1 to 95")
    add(
        "--unreadable-share",
        type=float,
        default=UNREADABLE_SHARE,
        help="of the images that may be broken before the step fails",
    )
    arguments = parser.parse_args(argv)
    for name in ("class_selection", "annotation_file_name", "data_digest"):
        # SageMaker takes no empty argument, but one of spaces.
        if not getattr(arguments, name).strip():
            parser.error(f"--{name.replace('_', '-')} is blank; give it a value, or leave it out")
    for name, low, high in (
        ("validation_share", 0.01, 0.5),
        ("test_share", 0.01, 0.9),
        ("image_size", 32, 1024),
        ("quality", 1, 95),
        ("unreadable_share", 0, 1),
    ):
        if not low <= getattr(arguments, name) <= high:
            parser.error(f"--{name.replace('_', '-')} must be from {low} to {high}")
    return arguments


def store_image(data: bytes, *, short_side: int, quality: int | None) -> StoredImage | str:
    """Decode, shrink and encode one image (exactly where `quality` is None), or say why it cannot be read."""
    try:
        shrunk = decoding.shrunk(data, short_side)
    except UnreadableImageError as error:
        return str(error)
    small = shrunk.image
    encoded = decoding.encode_exactly(small) if quality is None else decoding.encode(small, quality)
    return StoredImage(encoded, ".ppm" if quality is None else ".jpg", *small.size, *shrunk.original_size)


def write_shards(plan: Plan, hosts: Hosts, output: Callable[[str], Path], arguments: Namespace) -> Inspection:
    """Stream the images through the decoders into this host's shards, and return what was found."""
    inspection = Inspection(plan)
    labels = {number: label for label, number in enumerate(sorted(plan.classes))}
    mine = {image.number for image in plan.images[hosts.rank :: len(hosts.names)]}
    stored_side = short_side(arguments.image_size)

    def handle(item: tuple[ImageRecord, bytes]) -> tuple[ImageRecord, bytes, StoredImage | str | None]:
        image, data = item
        quality = arguments.quality if plan.splits[image.number] == TRAIN else None
        stored = store_image(data, short_side=stored_side, quality=quality) if image.number in mine else None
        return image, hashlib.sha256(data).digest(), stored

    with ExitStack() as stack:
        writers = {split: stack.enter_context(ShardWriter(output(split), hosts.current)) for split in SPLITS}
        for image, digest, stored in in_order(handle, plan.data.read(plan.images)):
            inspection.add_bytes(image, digest)
            if isinstance(stored, StoredImage):
                writers[plan.splits[image.number]].add(image, labels[image.class_id], stored)
                inspection.add_readable(image, stored.original_width, stored.original_height)
            elif stored is not None:
                inspection.add_unreadable(image, stored)
    inspection.unreadable.sort(key=lambda image: image.name)
    return inspection


def warn(inspection: Inspection) -> None:
    """Say what the manifest names and the step lets pass."""
    warnings = inspection.warnings()
    for warning in warnings[:WARNINGS]:
        print(f"warning: {warning}", file=sys.stderr, flush=True)
    if len(warnings) > WARNINGS:
        more = f"{len(warnings) - WARNINGS:,} more; manifest.json names all"
        print(f"warning: and {more}", file=sys.stderr, flush=True)


def write_documents(
    plan: Plan,
    inspection: Inspection,
    hosts: Hosts,
    output: Callable[[str], Path],
    arguments: Namespace,
) -> None:
    """Write the manifest and, beside the shards, the classes with the data's digest."""
    digest = manifest.data_digest(plan, inspection)
    classes = {
        "classes": manifest.class_list(plan.classes),
        "digest": digest,
        "short_side": short_side(arguments.image_size),
    }
    for split in SPLITS:
        write_json(output(split) / "classes.json", classes)
    head = manifest.head(plan, inspection, digest, arguments.data_digest)
    if hosts.rank == 0:
        images = manifest.images(plan, inspection)
        write_json_list(output("manifest") / "manifest.json", head, "images", images)
    else:
        document = {"version": manifest.VERSION, "host": hosts.current, "unreadable": head["unreadable"]}
        write_json(output("manifest") / f"manifest-{hosts.current}.json", document)


def preprocess(paths: Paths, argv: Sequence[str] | None = None) -> None:
    """Run the step and say what it did."""
    started = time.perf_counter()
    job.check_writable(paths.message.parent, *map(paths.processing_output, (*SPLITS, "manifest")))
    arguments = parse_arguments(argv)
    hosts = paths.processing_hosts()
    place = paths.processing_input("data")
    found = any(place.iterdir()) if place.is_dir() else None
    if not found:
        problem = "missing" if found is None else "empty"
        raise job.JobError(f"the input data is {problem}: does InputDataUrl point to the data? ({place})")
    plan = make_plan(
        place,
        Choice(
            class_selection=arguments.class_selection,
            annotation_file=arguments.annotation_file_name,
            seed=arguments.seed,
            validation_share=arguments.validation_share,
            test_share=arguments.test_share,
        ),
    )
    for note in plan.data.notes:
        print(f"note: {note}", flush=True)
    inspection = write_shards(plan, hosts, paths.processing_output, arguments)
    warn(inspection)
    inspection.check(arguments.unreadable_share)
    write_documents(plan, inspection, hosts, paths.processing_output, arguments)
    summary = (
        f"{plan.data.layout}, {len(plan.classes)} classes, {len(plan.images)} images: "
        + ", ".join(f"{count} {split}" for split, count in plan.counts().items())
        + f"; {len(inspection.unreadable)} unreadable"
    )
    seconds = time.perf_counter() - started
    speed = f"{inspection.read} written in {seconds:.1f} s, {inspection.read / seconds:.0f} images/s"
    print(f"{summary}; {speed}; input digest {arguments.data_digest}")
    job.write_reason(paths.message, summary)


def main(argv: Sequence[str] | None = None) -> int:
    """Run as a container does and return the exit code."""
    paths = Paths.from_environment()
    job.stop_at_sigterm()
    return job.run(lambda: preprocess(paths, argv), paths.message)


if __name__ == "__main__":
    sys.exit(main())
