"""One loop that trains any module, or many instances of one at once, in stages, and emits dense checkpoints."""

from ontogeny.training.config import TrainingConfig as TrainingConfig
from ontogeny.training.config import gradient_descent as gradient_descent
from ontogeny.training.runs import instance_folders as instance_folders
from ontogeny.training.runs import train as train
from ontogeny.training.runs import train_instances as train_instances
from ontogeny.training.stages import Stage as Stage
from ontogeny.training.stages import are_stages as are_stages
