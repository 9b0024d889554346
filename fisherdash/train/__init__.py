"""Training: settings in, a report per epoch out; whole epochs stay on the device."""

from fisherdash.train.loop import EpochReport, train
from fisherdash.train.resume import resume
from fisherdash.train.settings import SCHEDULES, TrainSettings
from fisherdash.train.together import Trainee, train_together

__all__ = [
    "SCHEDULES",
    "EpochReport",
    "TrainSettings",
    "Trainee",
    "resume",
    "train",
    "train_together",
]
