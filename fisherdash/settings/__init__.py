"""Every setting, declared once: neither JAX nor Streamlit is imported here."""

from fisherdash.settings.data import (
    FORMATS,
    ImportSettings,
    LoadSettings,
    OutsideSettings,
    SampleSettings,
    SplitSettings,
)
from fisherdash.settings.dynamics import LandscapeSettings, MDSettings, Precision, Scope
from fisherdash.settings.fields import Settings, like, setting, settings_of, shown
from fisherdash.settings.refit import (
    USUAL_NOISE_RIDGE,
    Metric,
    Options,
    Rule,
    StabilitySettings,
    most_directions,
)
from fisherdash.settings.shell import (
    add_options,
    as_options,
    converter,
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
