"""Training: settings in, a report per epoch out; whole epochs stay on the device."""

from fisherdash.train.loop import EpochReport, train
from fisherdash.train.resume import resume
from fisherdash.train.settings import TrainSettings

__all__ = ["EpochReport", "TrainSettings", "resume", "train"]
