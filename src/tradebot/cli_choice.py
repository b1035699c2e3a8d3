"""Which of its modes a command is asked for: options of which one is given at most, and options that belong to them."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from tradebot.errors import UsageError


def mode_of(
    given: Mapping[str, Any], modes: Sequence[str], belongs: Mapping[str, Collection[str]], otherwise: str
) -> str:
    """The mode whose option is among those `given` (all, by name), else the mode `otherwise`.

    `belongs` says of further options with which modes they go; one that is named there itself may stand
    alone. `UsageError` for options that do not go together or name nothing.
    """
    if empty := [name for name, value in given.items() if value == ""]:
        raise UsageError(f"--{empty[0]} names nothing; leave it out or write what it is about")
    found = [name for name in modes if given[name]]
    if len(found) > 1:
        raise UsageError(f"--{found[0]} and --{found[1]} exclude each other; leave one of them out")
    mode = found[0] if found else otherwise
    for option, fitting in belongs.items():
        if given[option] and mode not in fitting:
            others = " or ".join(f"--{name}" for name in fitting if name != option)
            raise UsageError(f"--{option} goes {'alone or ' * (option in fitting)}with {others} only")
    return mode
