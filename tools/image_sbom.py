"""Write training/sbom.cdx.json, what the training image is made of, in CycloneDX's form.

    python tools/image_sbom.py            # write it

From the documents that the image is built from: the base of the Dockerfile, the packages that it installs
with their exact versions, and what the installed packages say of their licences. It is a part of the image.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import License
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

ROOT = Path(__file__).resolve().parent.parent
SBOM = ROOT / "training" / "sbom.cdx.json"
IMAGE = "cv-training"


def main() -> None:
    """Write the file."""
    SBOM.write_text(render(), encoding="utf-8")


def render() -> str:
    """Return the bill of materials as the text that is committed."""
    parts = [base(), *packages()]
    bom = Bom(components=parts)
    # The same parts give the same text: no time and no random number.
    bom.metadata.timestamp = None  # type: ignore[assignment]
    bom.serial_number = uuid.uuid5(uuid.NAMESPACE_URL, " ".join(str(part.bom_ref) for part in parts))
    bom.metadata.component = Component(name=IMAGE, type=ComponentType.CONTAINER, bom_ref=IMAGE)
    bom.register_dependency(bom.metadata.component, parts)
    return JsonV1Dot6(bom).output_as_string(indent=2) + "\n"


def base() -> Component:
    """Return the image that the Dockerfile builds on; its own packages are its publisher's to list."""
    dockerfile = (ROOT / "training" / "Dockerfile").read_text(encoding="utf-8")
    (digest,) = re.findall(r"^ARG PYTHON_DIGEST=sha256:([0-9a-f]{64})$", dockerfile, re.MULTILINE)
    ((name, tag),) = re.findall(r"^FROM (\w+):([\w.-]+)@", dockerfile, re.MULTILINE)
    purl = PackageURL("docker", None, name, f"sha256:{digest}", {"tag": tag})
    return Component(
        name=name,
        version=tag,
        type=ComponentType.CONTAINER,
        purl=purl,
        bom_ref=str(purl),
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=digest)],
        description="The base image. The packages of its Debian are not listed here.",
    )


def packages() -> Iterator[Component]:
    """Yield the Python packages, those of the CUDA variant alone marked as such."""
    for file, variant in (("requirements.txt", None), ("constraints-cuda.txt", "cuda")):
        for line in (ROOT / "training" / file).read_text(encoding="utf-8").splitlines():
            if line and not line.startswith("#"):
                name, _, version = line.partition("==")
                purl = PackageURL("pypi", None, name, version)
                yield Component(
                    name=name,
                    version=version,
                    type=ComponentType.LIBRARY,
                    purl=purl,
                    bom_ref=str(purl),
                    licenses=[] if variant else licences(name),
                    properties=[Property(name="variant", value=variant)] if variant else [],
                )


def licences(name: str) -> list[License]:
    """Return what a package says of its licence, as an SPDX expression or in a few words of its own."""
    said = metadata.metadata(name)
    text = next((said[field] for field in ("License-Expression", "License") if field in said), "")
    return [LicenseFactory().make_from_string(text)] if 0 < len(text) <= 60 and text != "UNKNOWN" else []


if __name__ == "__main__":
    main()
