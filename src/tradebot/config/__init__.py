"""Settings: the tables (`sections`), all of them (`settings`), and where they come from (`loading`).

Only this package reads the environment. Secrets are not settings.
"""

import os

# Looking for plugins of other packages, pydantic reads the metadata of every package there is: 0.03 s at each start.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")

from tradebot.config.loading import (
    SECRETS,
    environment_secrets,
    inherited_environment,
    load,
    read_file,
    without_algebra_threads,
    without_telemetry,
)
from tradebot.config.sections import Model, Names, Risk, Section, Trading, Universe
from tradebot.config.settings import Settings, leaves

__all__ = [
    "SECRETS", "Model", "Names", "Risk", "Section", "Settings", "Trading", "Universe", "environment_secrets",
    "inherited_environment", "leaves", "load", "read_file", "without_algebra_threads", "without_telemetry",
]  # fmt: skip
