"""Every setting, declared once: neither JAX nor Streamlit is imported here."""

from fisherdash.settings.data import FORMATS, LoadSettings, SampleSettings, SplitSettings
from fisherdash.settings.dynamics import LandscapeSettings, MDSettings, Precision, Scope
from fisherdash.settings.fields import Settings, like, setting, settings_of, shown
from fisherdash.settings.refit import (
    MOST_WEIGHTS,
    USUAL_NOISE_RIDGE,
    Metric,
    Options,
    Rule,
    StabilitySettings,
)
from fisherdash.settings.shell import (
    add_options,
    as_options,
    from_arguments,
    option,
    shell_command,
)
from fisherdash.settings.training import (
    MAX_ATOMIC_NUMBER,
    ModelConfig,
    TrainSettings,
    TutorialSettings,
)

__all__ = [
    "FORMATS",
    "MAX_ATOMIC_NUMBER",
    "MOST_WEIGHTS",
    "USUAL_NOISE_RIDGE",
    "LandscapeSettings",
    "LoadSettings",
    "MDSettings",
    "Metric",
    "ModelConfig",
    "Options",
    "Precision",
    "Rule",
    "SampleSettings",
    "Scope",
    "Settings",
    "SplitSettings",
    "StabilitySettings",
    "TrainSettings",
    "TutorialSettings",
    "add_options",
    "as_options",
    "from_arguments",
    "like",
    "option",
    "setting",
    "settings_of",
    "shell_command",
    "shown",
]
