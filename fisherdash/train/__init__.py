"""Training: settings in, a report per epoch out; whole epochs stay on the device."""

from fisherdash.settings import TrainSettings
from fisherdash.train.loop import resume, train, train_together
from fisherdash.train.progress import EpochReport, Trainee
