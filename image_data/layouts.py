"""Which layout a data set has, and what it says: the one door to everything that is laid out."""

from __future__ import annotations

import dataclasses
import posixpath
from pathlib import Path

from image_data import class_folders, cub, manifests
from image_data.errors import DataError
from image_data.files import Files, FolderFiles, Scan, find_files, is_image
from image_data.records import DataSet
from image_data.spelling import did_you_mean, some


def find_data_set(place: Path, annotation_file: str = cub.CLASSES) -> DataSet:
    """Read the data set at `place`, a folder or an archive: CUB's layout, a list of images, or class folders.

    `annotation_file` is the file that lists CUB's classes, or the list of images where there are several.

    Raises:
        DataError: It is none, it is wrong, or there are several.
    """
    files = find_files(place)
    if place.is_dir() and not isinstance(files, FolderFiles):
        _check_beside(files, FolderFiles(place))
    return read_data_set(files, annotation_file)


def read_data_set(files: Files, annotation_file: str = cub.CLASSES) -> DataSet:
    """Read the data set in these files; see `find_data_set`."""
    lists = {annotation_file, cub.CLASSES, *cub.REQUIRED, *cub.OPTIONAL}
    scan = files.scan(lambda name: posixpath.basename(name) in lists or manifests.is_list(name))
    scan = Scan(tuple(dict.fromkeys(scan.names)), scan.texts)  # an archive may have a name twice
    _check_names(files, scan)
    found = manifests.candidates(scan)
    named = [name for name in found if annotation_file in (name, posixpath.basename(name))]
    roots = cub.roots(scan.names)
    if roots and not named:
        _check_single(files, scan, roots)
        return cub.read(files, scan, roots[0], annotation_file)
    if len(named or found) > 1:
        raise DataError(
            f"{files.where} has several lists of images ({some(named or found)}): "
            "give one's path as AnnotationFileName"
        )
    if named or found:
        return manifests.read(files, scan, (named or found)[0])
    if annotation_file != cub.CLASSES:
        present = [name for name in scan.names if not is_image(name)]
        here = annotation_file in (posixpath.basename(name) for name in present)
        if not here:
            why = f"is not in {files.where}{did_you_mean(annotation_file, present)}"
        elif manifests.is_list(annotation_file):
            why = f"lists no images: {manifests.HEADER}"
        else:
            why = f"is no list of images: its name must end in {some(manifests.LIST_SUFFIXES)}"
        raise DataError(f"AnnotationFileName {annotation_file!r} {why}")
    data = class_folders.read(files, scan)
    unused = [name for name in scan.texts if manifests.is_table(name)]
    if not unused:
        return data
    note = f"the folders name the classes and not {some(unused, 3)}: {manifests.HEADER}"
    return dataclasses.replace(data, notes=(*data.notes, note))


def _check_beside(archive: Files, folder: FolderFiles) -> None:
    """Raise DataError where a list of images lies beside the archive that has them."""
    lists = manifests.candidates(folder.scan(manifests.is_list))
    if lists:
        raise DataError(
            f"{folder.where} holds {some(lists)} beside an archive, {archive.where}: unpack the archive, or "
            "pack the list into it"
        )


def _check_names(files: Files, scan: Scan) -> None:
    """Raise DataError where there are no files, or one of a name that cannot be written down."""
    if not scan.names:
        raise DataError(f"{files.where} holds no files (one whose path leads out of an archive is left out)")
    for name in scan.names:
        if not _is_utf8(name):
            raise DataError(
                f"{files.where}: the name {name!a} is not UTF-8; rename it (and where a list names it)"
            )


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _check_single(files: Files, scan: Scan, roots: list[str]) -> None:
    """Raise DataError where there is another data set beside CUB's."""
    if len(roots) > 1:
        names = some(root.rstrip("/") or "the top" for root in roots)
        raise DataError(f"{files.where} holds several data sets ({names}): leave one, or name one")
    elsewhere = {name.rpartition("/")[0] for name in scan.names if is_image(name)}
    elsewhere = {folder for folder in elsewhere if not f"{folder}/".startswith(roots[0])}
    if len(elsewhere) > 1:
        raise DataError(
            f"{files.where} holds a data set in {roots[0].rstrip('/')} and images beside it "
            f"({some(sorted(elsewhere), 3)}): leave one of the two"
        )
