"""The blocks that a network consists of, from its modules alone: how deep each is, and the last stage.

A container (nn.Sequential and the like), and a module that holds a list of equal blocks, such as a stage,
are taken apart; what is then left are the units: residual blocks, transformer blocks, plain convolutions. A
norm belongs to the unit before it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from torch import nn

CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)


@dataclass(frozen=True)
class Unit:
    """One layer or block; `parent` is the name of the module that holds it, "" for the network."""

    name: str
    parent: str
    module: nn.Module

    @property
    def is_block(self) -> bool:
        """Tell a block of several layers from a single one."""
        return _is_block(self.module)


def parameter_depths(network: nn.Module) -> dict[str, float]:
    """Return how deep every parameter lies: from 0.0, the stem, up to 1.0, which no parameter reaches.

    The parameters of one unit lie equally deep. What a network holds beside its units, such as the embedding
    of positions, is added to the stem's output and lies as deep as it.
    """
    units = _units(network)
    depths = {name: 0.0 for name, _ in network.named_parameters()}
    groups = sum(not _is_norm(unit.module) for unit in units)
    place = -1
    for unit in units:
        place += not _is_norm(unit.module)
        for name, _ in unit.module.named_parameters():
            depths[f"{unit.name}.{name}"] = max(0, place) / groups
    return depths


def last_stage(network: nn.Module) -> str:
    """Return the prefix of the parameters of the last stage.

    That is what holds the last blocks where it holds no others' equals, as `layer4` of a ResNet, and else the
    last block, as of a transformer; of a network without blocks, the last layer.
    """
    units = [unit for unit in _units(network) if not _is_norm(unit.module)]
    last = next((unit for unit in reversed(units) if unit.is_block), units[-1])
    same = [unit for unit in units if type(unit.module) is type(last.module)]
    is_stage = last.parent and not all(unit.name.startswith(f"{last.parent}.") for unit in same)
    return f"{last.parent if is_stage else last.name}."


def _units(network: nn.Module) -> list[Unit]:
    return list(_walk(network, ""))


def _walk(module: nn.Module, name: str) -> Iterator[Unit]:
    for attribute, child in module.named_children():
        path = f"{name}.{attribute}" if name else attribute
        if _is_taken_apart(child):
            yield from _walk(child, path)
        elif next(child.parameters(), None) is not None:
            yield Unit(path, name, child)


def _is_taken_apart(module: nn.Module) -> bool:
    if isinstance(module, CONTAINERS):
        # A convolution with its norm and activation is one layer.
        weights = sum(parameter.ndim > 1 for parameter in module.parameters())
        return weights > 1 or any(_is_taken_apart(child) for child in module.children())
    return any(_holds_blocks(child) for child in module.children() if isinstance(child, CONTAINERS))


def _holds_blocks(container: nn.Module) -> bool:
    blocks = Counter(type(child) for child in container.children() if _is_block(child))
    return any(count > 1 for count in blocks.values())


def _is_block(module: nn.Module) -> bool:
    if isinstance(module, CONTAINERS) or not list(module.children()):
        return False
    return sum(parameter.ndim > 1 for parameter in module.parameters()) > 1


def _is_norm(module: nn.Module) -> bool:
    return all(parameter.ndim <= 1 for parameter in module.parameters())
