"""timm's networks as backbones, by the names `timm/<architecture>` and `timm/<architecture>.<tag>`.

The tag names the published weights, and with them the mean and deviation of their images' colours. Imported
only where such a backbone is asked for: timm and torchvision take three seconds to import. Nothing here opens
a connection.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable
from typing import Any

import timm
from timm.models import get_pretrained_cfg
from torch import nn

from image_data.spelling import did_you_mean, some
from training.backbones.backbone import Backbone, InputFormat, State, WithoutMemory, feature_width
from training.backbones.hugging_face import authors_names
from training.job import JobError

PREFIX = "timm/"


def check_name(name: str) -> None:
    """Raise a JobError for a network or weights that this version of timm does not know."""
    model = name.removeprefix(PREFIX)
    architecture, _, tag = model.partition(".")
    if architecture not in timm.list_models():
        known = [f"{PREFIX}{each}" for each in (*timm.list_models(), *timm.list_pretrained())]
        hint = (
            did_you_mean(name, known) or "; `python -c 'import timm; print(timm.list_models())'` lists them"
        )
        what = f"which is no network of timm {timm.__version__}"
    elif "." in model and model not in timm.list_pretrained():
        what = f"but timm {timm.__version__} knows no weights of {architecture} named {tag}"
        known = [f"{PREFIX}{each}" for each in timm.list_pretrained(f"{architecture}.*")]
        hint = f"; the legal names are {some([f'{PREFIX}{architecture}', *known], 20)}"
    else:
        return
    raise JobError(f"1 hyper-parameter is wrong: backbone is {name!r}, {what}{hint}")


def build(name: str, image_size: int | None, stochastic_depth: float) -> Backbone:
    """Build the network without its classifier, for images of this size where its layers depend on it."""
    model = name.removeprefix(PREFIX)
    config: Any = get_pretrained_cfg(model, allow_unregistered=False)
    native_size: int = config.input_size[-1]
    size = image_size or native_size
    options = _options(model, size, native_size, stochastic_depth)
    create = functools.partial(timm.create_model, model, pretrained=False, num_classes=0, **options)
    width = feature_width(name, create, size, native_size)
    network: nn.Module = create()
    classifier = config.classifier or ()
    return Backbone(
        name=name,
        network=network,
        width=width,
        native_size=native_size,
        input_format=InputFormat(config.mean, config.std),
        classifier=tuple(
            f"{each}." for each in ([classifier] if isinstance(classifier, str) else classifier)
        ),
        convert=_converter(model, network),
        forms="timm's of this network, its authors' (as Meta's), or one of Hugging Face transformers'",
    )


def _options(model: str, size: int, native_size: int, stochastic_depth: float) -> dict[str, Any]:
    """Return what the network's class takes of what we would tell it."""
    with WithoutMemory():
        network = type(timm.create_model(model, pretrained=False))
    # A class of a few lines hands what it does not name itself to the one that it extends.
    constructors = [vars(each)["__init__"] for each in network.__mro__ if "__init__" in vars(each)]
    takes = {name for each in constructors for name in inspect.signature(each).parameters}
    options: dict[str, Any] = {}
    if "img_size" in takes and size != native_size:
        options["img_size"] = size
    if "drop_path_rate" in takes:
        options["drop_path_rate"] = stochastic_depth
    return options


def _converter(model: str, network: nn.Module) -> Callable[[State], State]:
    """Return what renames and resizes a file's tensors: ours for transformers', and then timm's own."""
    module = sys.modules[timm.model_entrypoint(model).__module__]
    of_authors = getattr(module, "checkpoint_filter_fn", None)

    def convert(state: State) -> State:
        state = dict(authors_names(state))
        return of_authors(state, network) if of_authors else state

    return convert
