"""Pure functions over trajectories: when a network's structure changed, and along which path."""

from ontogeny.development.settings import StageConfig
from ontogeny.development.stagewise import stages
from ontogeny.development.trajectories import joint_pca

__all__ = ["StageConfig", "joint_pca", "stages"]
