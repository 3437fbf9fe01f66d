"""Pure functions of trajectories: when a network's structure changed, and along which path."""

from ontogeny.development.clusters import SignatureConfig, signatures
from ontogeny.development.essential import EssentialConfig, essential_dynamics
from ontogeny.development.settings import StageConfig
from ontogeny.development.stagewise import stages
from ontogeny.development.trajectories import joint_pca

__all__ = [
    "EssentialConfig",
    "SignatureConfig",
    "StageConfig",
    "essential_dynamics",
    "joint_pca",
    "signatures",
    "stages",
]
