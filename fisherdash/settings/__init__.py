"""Every setting, declared once: neither JAX nor Streamlit is imported here."""

from fisherdash.settings.dynamics import (
    LandscapeSettings,
    MDSettings,
    Precision,
    SampleSettings,
    Scope,
    Start,
)
from fisherdash.settings.fields import Settings, like, setting, settings_of, shown
from fisherdash.settings.refit import (
    HEAD_FORMS,
    METHODS,
    RULES,
    HeadForm,
    Method,
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
    SCHEDULES,
    ModelConfig,
    SplitSettings,
    TrainSettings,
    TutorialSettings,
    TutorialUnit,
)

__all__ = [
    "HEAD_FORMS",
    "MAX_ATOMIC_NUMBER",
    "METHODS",
    "RULES",
    "SCHEDULES",
    "HeadForm",
    "LandscapeSettings",
    "MDSettings",
    "Method",
    "ModelConfig",
    "Options",
    "Precision",
    "Rule",
    "SampleSettings",
    "Scope",
    "Settings",
    "SplitSettings",
    "StabilitySettings",
    "Start",
    "TrainSettings",
    "TutorialSettings",
    "TutorialUnit",
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
