"""One loop that trains any module and emits dense checkpoints."""

from ontogeny.training.loop import TrainingConfig as TrainingConfig
from ontogeny.training.loop import TrainingDiverged as TrainingDiverged
from ontogeny.training.loop import train as train
from ontogeny.training.schedule import checkpoint_steps as checkpoint_steps
